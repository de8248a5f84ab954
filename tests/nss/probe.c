/* SPDX-License-Identifier: MIT */
/* probe MODULE DATADIR SCENARIO: what no comparison with `files' shows. The scratch
   directory DATADIR is the one that the module was built for. */
#include "service.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition,   \
                    errno);                                                                     \
            exit(1);                                                                            \
        }                                                                                       \
    } while (0)

static struct service nss;

static void write_file(const char *name, const char *text, size_t length)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, length) == (ssize_t)length && close(fd) == 0);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

static void write_users(int count)
{
    FILE *out = fopen("passwd", "w");
    CHECK(out);
    for (int i = 0; i < count; i++)
        fprintf(out, "user%d:x:%d:%d:User %d:/home/user%d:/bin/sh\n", i, 1000 + i, 1000 + i, i, i);
    CHECK(fclose(out) == 0);
}

static enum nss_status user(const char *name, struct passwd *row, char *buffer, size_t size)
{
    int error = 0;
    enum nss_status status = nss.passwd.by_name(name, row, buffer, size, &error);
    errno = error;
    return status;
}

/* ---- scenarios ---- */

/* Whatever the buffer's size: the right answer or ERANGE; and the enumeration goes on
   with the same row. malloc'ed to size, so that ASan and valgrind see an overrun. */
static void too_small_buffers(void)
{
    write_text("passwd", "a:x:1:1::/:\nlonger:x:2:2:gecos:/home/longer:/bin/sh\nb:x:3:3::/:\n");
    write_text("group", "a:x:1:\nbig:x:2:one,two,three,four,five\nb:x:3:one\n");
    write_text("gshadow", "big:x:adm,ops:one,two,three\n");
    size_t enough_passwd = 0, enough_group = 0, enough_gshadow = 0;
    struct passwd pw;
    struct group gr;
    struct sgrp sg;
    int error;

    for (size_t size = 0; size < 160; size++) {
        char *buffer = malloc(size ? size : 1);
        enum nss_status status = nss.passwd.by_name("longer", &pw, buffer, size, &error);
        if (status == NSS_STATUS_SUCCESS) {
            CHECK(pw.pw_uid == 2 && strcmp(pw.pw_shell, "/bin/sh") == 0);
            enough_passwd = enough_passwd ? enough_passwd : size;
        } else
            CHECK(status == NSS_STATUS_TRYAGAIN && error == ERANGE && !enough_passwd);
        status = nss.group.by_id(2, &gr, buffer, size, &error);
        if (status == NSS_STATUS_SUCCESS) {
            CHECK(strcmp(gr.gr_mem[4], "five") == 0 && !gr.gr_mem[5]);
            enough_group = enough_group ? enough_group : size;
        } else
            CHECK(status == NSS_STATUS_TRYAGAIN && error == ERANGE && !enough_group);
        status = nss.gshadow.by_name("big", &sg, buffer, size, &error);
        if (status == NSS_STATUS_SUCCESS) {
            CHECK(strcmp(sg.sg_adm[1], "ops") == 0 && strcmp(sg.sg_mem[2], "three") == 0 && !sg.sg_mem[3]);
            enough_gshadow = enough_gshadow ? enough_gshadow : size;
        } else
            CHECK(status == NSS_STATUS_TRYAGAIN && error == ERANGE && !enough_gshadow);
        /* A longer row before the wanted one is no reason for ERANGE. */
        if (size >= 32)
            CHECK(nss.passwd.by_name("b", &pw, buffer, size, &error) == NSS_STATUS_SUCCESS);
        free(buffer);
    }
    CHECK(enough_passwd && enough_group && enough_gshadow);

    char small[16], large[256];
    nss.passwd.set(0);
    CHECK(nss.passwd.next(&pw, small, sizeof small, &error) == NSS_STATUS_SUCCESS && pw.pw_uid == 1);
    for (int i = 0; i < 3; i++) {
        error = 0;
        CHECK(nss.passwd.next(&pw, small, sizeof small, &error) == NSS_STATUS_TRYAGAIN && error == ERANGE);
    }
    CHECK(nss.passwd.next(&pw, large, sizeof large, &error) == NSS_STATUS_SUCCESS && pw.pw_uid == 2);
    CHECK(strcmp(pw.pw_name, "longer") == 0 && strcmp(pw.pw_shell, "/bin/sh") == 0);
    CHECK(nss.passwd.next(&pw, small, sizeof small, &error) == NSS_STATUS_SUCCESS && pw.pw_uid == 3);
    CHECK(nss.passwd.next(&pw, large, sizeof large, &error) == NSS_STATUS_NOTFOUND);
    nss.passwd.end();
}

static void statuses_and_errno(void)
{
    struct passwd pw;
    char buffer[256];
    int error;
    long start = 1, size = 4;
    gid_t *gids = malloc(4 * sizeof *gids);

    unlink("passwd");
    unlink("group");
    error = 0;
    CHECK(nss.passwd.by_name("a", &pw, buffer, sizeof buffer, &error) == NSS_STATUS_UNAVAIL && error == ENOENT);
    CHECK(nss.passwd.by_id(1, &pw, buffer, sizeof buffer, &error) == NSS_STATUS_UNAVAIL);
    CHECK(nss.initgroups("a", 1, &start, &size, &gids, -1, &error) == NSS_STATUS_UNAVAIL && start == 1);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &error) == NSS_STATUS_UNAVAIL && error == ENOENT);
    errno = 77;
    CHECK(nss.passwd.set(0) == NSS_STATUS_UNAVAIL && errno == 77);
    CHECK(nss.passwd.end() == NSS_STATUS_SUCCESS && errno == 77);

    CHECK(mkdir("passwd", 0755) == 0);
    error = 0;
    CHECK(nss.passwd.by_name("a", &pw, buffer, sizeof buffer, &error) == NSS_STATUS_UNAVAIL && error == EISDIR);
    CHECK(rmdir("passwd") == 0);
    CHECK(symlink("passwd", "passwd") == 0);
    CHECK(nss.passwd.by_name("a", &pw, buffer, sizeof buffer, &error) == NSS_STATUS_UNAVAIL && error == ELOOP);
    CHECK(unlink("passwd") == 0);

    /* As glibc calls it: errnop is the address of errno. */
    write_text("passwd", "a:x:1:1::/:\nodd:x: 2:+3::/:\nb:x:99999999999999999999:1::/:\n");
    write_text("group", "g:x:5:a\n");
    errno = 77;
    CHECK(nss.passwd.by_name("a", &pw, buffer, sizeof buffer, &errno) == NSS_STATUS_SUCCESS && errno == 77);
    CHECK(nss.passwd.by_name("odd", &pw, buffer, sizeof buffer, &errno) == NSS_STATUS_SUCCESS && errno == 77);
    CHECK(nss.passwd.by_id(2, &pw, buffer, sizeof buffer, &errno) == NSS_STATUS_SUCCESS && errno == 77);
    CHECK(nss.initgroups("a", 1, &start, &size, &gids, -1, &errno) == NSS_STATUS_SUCCESS && errno == 77);
    CHECK(nss.passwd.set(0) == NSS_STATUS_SUCCESS && errno == 77);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &errno) == NSS_STATUS_SUCCESS && errno == 77);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &errno) == NSS_STATUS_SUCCESS && errno == 77);
    /* POSIX: getpwent(3) does not touch errno at the end. */
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &errno) == NSS_STATUS_NOTFOUND && errno == 77);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &errno) == NSS_STATUS_NOTFOUND && errno == 77);
    CHECK(nss.passwd.end() == NSS_STATUS_SUCCESS && errno == 77);
    CHECK(nss.passwd.by_name("b", &pw, buffer, sizeof buffer, &errno) == NSS_STATUS_NOTFOUND && errno == ENOENT);
    CHECK(nss.passwd.by_name("#a", &pw, buffer, sizeof buffer, &errno) == NSS_STATUS_NOTFOUND && errno == ENOENT);
    CHECK(nss.passwd.by_name("a:x", &pw, buffer, sizeof buffer, &errno) == NSS_STATUS_NOTFOUND);
    CHECK(nss.passwd.by_id(9, &pw, buffer, sizeof buffer, &errno) == NSS_STATUS_NOTFOUND && errno == ENOENT);
    errno = 77;
    CHECK(nss.initgroups("nobody", 1, &start, &size, &gids, -1, &errno) == NSS_STATUS_NOTFOUND && errno == ENOENT);

    struct rlimit few, before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = before;
    few.rlim_cur = 0;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHECK(user("a", &pw, buffer, sizeof buffer) == NSS_STATUS_UNAVAIL && errno == EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);

    CHECK(chmod("passwd", 0) == 0 && seteuid(65534) == 0);
    CHECK(user("a", &pw, buffer, sizeof buffer) == NSS_STATUS_UNAVAIL && errno == EACCES);
    CHECK(seteuid(0) == 0);
    free(gids);
}

static void check_groups(const char *who, gid_t primary, long limit, enum nss_status expected, int count,
                         const gid_t *wanted)
{
    long start = 1, size = 1;
    gid_t *gids = malloc(sizeof *gids);
    int error;

    gids[0] = primary;
    CHECK(nss.initgroups(who, primary, &start, &size, &gids, limit, &error) == expected);
    CHECK(start == count + 1 && start <= size && gids[0] == primary);
    CHECK(limit <= 0 || size <= limit);
    for (int i = 0; i < count; i++)
        CHECK(gids[i + 1] == wanted[i]);
    free(gids);
}

static void group_lists(void)
{
    write_text("group", "one:x:1:amy\n#no:x:99:amy\n  # no:x:98:amy\ntwo:x:2:bob,amy\nprim:x:3:amy\nbad:x:z:amy\n"
                        "four:x:4: amy ,bob\nfive:x:5:xamy,amyx\nsix:x:6:amy,amy\namy:x:7:\nagain:x:6:amy");
    gid_t wanted[] = {1, 2, 6, 6};
    check_groups("amy", 3, -1, NSS_STATUS_SUCCESS, 4, wanted);
    check_groups("amy", 3, 0, NSS_STATUS_SUCCESS, 4, wanted);
    check_groups("amy", 3, 5, NSS_STATUS_SUCCESS, 4, wanted);
    check_groups("amy", 3, 3, NSS_STATUS_SUCCESS, 2, wanted);
    check_groups("amy", 3, 2, NSS_STATUS_SUCCESS, 1, wanted);
    check_groups("amy", 3, 1, NSS_STATUS_NOTFOUND, 0, wanted);
    check_groups("", 3, -1, NSS_STATUS_NOTFOUND, 0, wanted);
    check_groups("x", 3, -1, NSS_STATUS_NOTFOUND, 0, wanted);
    check_groups("bob,amy", 3, -1, NSS_STATUS_NOTFOUND, 0, wanted);

    FILE *out = fopen("group", "w");
    gid_t many[5000];
    for (int i = 0; i < 5000; i++) {
        many[i] = 1000u + (gid_t)i;
        fprintf(out, "g%d:x:%d:amy\n", i, 1000 + i);
    }
    CHECK(fclose(out) == 0);
    check_groups("amy", 3, -1, NSS_STATUS_SUCCESS, 5000, many);
    check_groups("amy", 3, 65536, NSS_STATUS_SUCCESS, 5000, many);
    check_groups("amy", 3, 1000, NSS_STATUS_SUCCESS, 999, many);
}

static void long_lines(void)
{
    enum { MEMBERS = 100000 };
    FILE *out = fopen("group", "w");
    fputs("large:x:5:", out);
    for (int i = 0; i < MEMBERS; i++)
        fprintf(out, "member%d%c", i, i < MEMBERS - 1 ? ',' : '\n');
    fputs("after:x:6:member99999\n", out);
    CHECK(fclose(out) == 0);

    struct group gr;
    char small[1024];
    int error;
    gid_t wanted[] = {5, 6};
    check_groups("member99999", 1, -1, NSS_STATUS_SUCCESS, 2, wanted);
    CHECK(nss.group.by_name("after", &gr, small, sizeof small, &error) == NSS_STATUS_SUCCESS && gr.gr_gid == 6);
    CHECK(nss.group.by_name("large", &gr, small, sizeof small, &error) == NSS_STATUS_TRYAGAIN && error == ERANGE);
    size_t size = 4 << 20;
    char *buffer = malloc(size);
    CHECK(nss.group.by_name("large", &gr, buffer, size, &error) == NSS_STATUS_SUCCESS);
    CHECK(strcmp(gr.gr_mem[MEMBERS - 1], "member99999") == 0 && !gr.gr_mem[MEMBERS]);
    free(buffer);

    /* Past any sense: skipped, with the rows around it unharmed. */
    size = 40u << 20;
    buffer = malloc(size);
    memset(buffer, 'x', size);
    memcpy(buffer, "a:x:1:1::/:\nb:x:2:2:", 20);
    memcpy(buffer + size - 14, "\nc:x:3:3::/:\n", 13);
    buffer[size - 1] = 'y'; /* and an unfinished one */
    write_file("passwd", buffer, size);
    free(buffer);
    struct passwd pw;
    CHECK(user("a", &pw, small, sizeof small) == NSS_STATUS_SUCCESS && pw.pw_uid == 1);
    CHECK(user("b", &pw, small, sizeof small) == NSS_STATUS_NOTFOUND);
    CHECK(user("c", &pw, small, sizeof small) == NSS_STATUS_SUCCESS && pw.pw_uid == 3);
    nss.passwd.set(0);
    CHECK(nss.passwd.next(&pw, small, sizeof small, &error) == NSS_STATUS_SUCCESS && pw.pw_uid == 1);
    CHECK(nss.passwd.next(&pw, small, sizeof small, &error) == NSS_STATUS_SUCCESS && pw.pw_uid == 3);
    CHECK(nss.passwd.next(&pw, small, sizeof small, &error) == NSS_STATUS_NOTFOUND);
    nss.passwd.end();
    write_text("passwd", "");
}

/* Lines of every length across the ends of the blocks. */
static void block_boundaries(void)
{
    char small[256];
    struct passwd pw;

    for (int filler = 8192 - 40; filler < 8192 + 8; filler++) {
        FILE *out = fopen("passwd", "w");
        fprintf(out, "#%0*d\n", filler, 0);
        fputs("a:x:1:1::/:\nb:x:2:2:B:/home/b:/bin/sh\n", out);
        fprintf(out, "#%0*d\n", 32768 - 20, 0);
        fputs("last:x:3:3:L:/home/last:/bin/last", out);
        CHECK(fclose(out) == 0);
        CHECK(user("a", &pw, small, sizeof small) == NSS_STATUS_SUCCESS && pw.pw_uid == 1);
        CHECK(user("b", &pw, small, sizeof small) == NSS_STATUS_SUCCESS && strcmp(pw.pw_shell, "/bin/sh") == 0);
        CHECK(user("last", &pw, small, sizeof small) == NSS_STATUS_SUCCESS);
        CHECK(strcmp(pw.pw_shell, "/bin/last") == 0);
    }
}

static int open_descriptors(int *inheritable)
{
    int count = 0;
    *inheritable = 0;
    for (int fd = 3; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0)
            continue;
        count++;
        *inheritable += !(flags & FD_CLOEXEC);
    }
    return count;
}

static void descriptors(void)
{
    struct passwd pw;
    char buffer[256];
    int error, inherited, inheritable;

    write_users(3);
    int before = open_descriptors(&inherited);
    user("user2", &pw, buffer, sizeof buffer);
    user("unknown", &pw, buffer, sizeof buffer);
    user("user2", &pw, buffer, 5);
    CHECK(open_descriptors(&inheritable) == before);
    nss.passwd.set(1);
    nss.passwd.set(0);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &error) == NSS_STATUS_SUCCESS);
    nss.passwd.set(0);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &error) == NSS_STATUS_SUCCESS && pw.pw_uid == 1000);
    CHECK(open_descriptors(&inheritable) == before + 1 && inheritable == inherited);
    /* A new image is seen by the next setpwent. */
    write_text("passwd.new", "new:x:5:5::/:\n");
    CHECK(rename("passwd.new", "passwd") == 0);
    nss.passwd.set(0);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &error) == NSS_STATUS_SUCCESS && pw.pw_uid == 5);
    nss.passwd.end();
    nss.passwd.end();
    CHECK(open_descriptors(&inheritable) == before);
}

enum { USERS = 2000, THREADS = 8 };
static atomic_int seen[USERS];

static void *look_up_all(void *argument)
{
    struct passwd pw;
    char buffer[256], name[32];
    int error;
    for (int i = (int)(intptr_t)argument; i < USERS; i += THREADS * 4) {
        snprintf(name, sizeof name, "user%d", i);
        CHECK(nss.passwd.by_name(name, &pw, buffer, sizeof buffer, &error) == NSS_STATUS_SUCCESS);
        CHECK(pw.pw_uid == 1000u + (uid_t)i && strcmp(pw.pw_name, name) == 0);
        CHECK(nss.passwd.by_id(1000 + (unsigned)i, &pw, buffer, sizeof buffer, &error) == NSS_STATUS_SUCCESS);
        CHECK(strcmp(pw.pw_name, name) == 0);
    }
    return NULL;
}

static void *enumerate_together(void *argument)
{
    struct passwd pw;
    char small[36], buffer[256];
    int error;
    (void)argument;
    for (;;) {
        enum nss_status status = nss.passwd.next(&pw, small, sizeof small, &error);
        if (status == NSS_STATUS_TRYAGAIN) {
            CHECK(error == ERANGE);
            status = nss.passwd.next(&pw, buffer, sizeof buffer, &error);
        }
        if (status == NSS_STATUS_NOTFOUND)
            return NULL;
        CHECK(status == NSS_STATUS_SUCCESS && pw.pw_uid >= 1000 && pw.pw_uid < 1000 + USERS);
        atomic_fetch_add(&seen[pw.pw_uid - 1000], 1);
    }
}

/* Threads that share one enumeration get every row once; the others never notice. */
static void threads(void)
{
    pthread_t ids[2 * THREADS];
    write_users(USERS);
    nss.passwd.set(0);
    for (intptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&ids[2 * i], NULL, look_up_all, (void *)i) == 0);
        CHECK(pthread_create(&ids[2 * i + 1], NULL, enumerate_together, NULL) == 0);
    }
    for (int i = 0; i < 2 * THREADS; i++)
        CHECK(pthread_join(ids[i], NULL) == 0);
    nss.passwd.end();
    for (int i = 0; i < USERS; i++)
        CHECK(seen[i] == 1);
}

static atomic_bool finished;

static void *truncate_and_rewrite(void *argument)
{
    (void)argument;
    while (!finished) {
        write_users(3000);
        CHECK(truncate("passwd", 50000) == 0);
        CHECK(truncate("passwd", 0) == 0);
    }
    return NULL;
}

/* A mapped file would kill the reader with SIGBUS. */
static void truncation_while_reading(void)
{
    pthread_t writer;
    struct passwd pw;
    char buffer[256];
    int error, found = 0, missed = 0;

    write_users(3000);
    CHECK(pthread_create(&writer, NULL, truncate_and_rewrite, NULL) == 0);
    for (int i = 0; i < 400 || !found || !missed; i++) {
        enum nss_status status = user("user2999", &pw, buffer, sizeof buffer);
        CHECK(status == NSS_STATUS_SUCCESS || status == NSS_STATUS_NOTFOUND);
        if (status == NSS_STATUS_SUCCESS) {
            CHECK(strcmp(pw.pw_name, "user2999") == 0);
            found++;
        } else
            missed++;
        if (i % 20 == 0) {
            nss.passwd.set(0);
            while ((status = nss.passwd.next(&pw, buffer, sizeof buffer, &error)) == NSS_STATUS_SUCCESS)
                CHECK(pw.pw_uid < 4000);
            CHECK(status == NSS_STATUS_NOTFOUND);
        }
    }
    finished = true;
    CHECK(pthread_join(writer, NULL) == 0);
    nss.passwd.end();
}

static void interrupt(int signal)
{
    (void)signal;
}

static void *write_slowly(void *argument)
{
    const char *text = argument;
    usleep(20000); /* the reader waits in open(2) */
    int fd = open("passwd", O_WRONLY);
    CHECK(fd >= 0);
    for (; *text; text++) {
        CHECK(write(fd, text, 1) == 1);
        usleep(1500);
    }
    close(fd);
    return NULL;
}

/* A fifo stands for a slow file system: signals interrupt open and read, and what
   read(2) brings comes in single bytes. */
static void interrupted_and_short_reads(void)
{
    static char text[] = "a:x:1:1::/:\nlate:x:2:2:Late:/home/late:/bin/sh\n";
    struct passwd pw;
    char buffer[256];
    pthread_t writer;
    sigset_t alarms;

    CHECK(unlink("passwd") == 0 || errno == ENOENT);
    CHECK(mkfifo("passwd", 0600) == 0);
    CHECK(sigaction(SIGALRM, &(struct sigaction){.sa_handler = interrupt}, NULL) == 0); /* no SA_RESTART */
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, NULL);
    CHECK(pthread_create(&writer, NULL, write_slowly, text) == 0);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 1000}, {0, 1000}}, NULL) == 0);
    CHECK(user("late", &pw, buffer, sizeof buffer) == NSS_STATUS_SUCCESS && pw.pw_uid == 2);
    CHECK(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL) == 0);
    CHECK(strcmp(pw.pw_shell, "/bin/sh") == 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK(pthread_join(writer, NULL) == 0);
    CHECK(unlink("passwd") == 0);
}

static atomic_int cancelled_found;

static void *enumerate_once(void *argument)
{
    struct passwd pw;
    char buffer[256];
    int error;
    (void)argument;
    if (nss.passwd.next(&pw, buffer, sizeof buffer, &error) == NSS_STATUS_SUCCESS)
        cancelled_found = 1;
    pthread_testcancel();
    cancelled_found = 2;
    return NULL;
}

/* A thread cancelled inside a lookup finishes it first, and lets go of the lock. */
static void cancellation(void)
{
    pthread_t reader;
    void *result;
    struct passwd pw;
    char buffer[256];
    int error;

    CHECK(unlink("passwd") == 0 || errno == ENOENT);
    CHECK(mkfifo("passwd", 0600) == 0);
    CHECK(pthread_create(&reader, NULL, enumerate_once, NULL) == 0);
    usleep(50000);
    CHECK(pthread_cancel(reader) == 0);
    int fd = open("passwd", O_WRONLY);
    CHECK(fd >= 0 && write(fd, "a:x:1:1::/:\n", 12) == 12);
    close(fd);
    CHECK(pthread_join(reader, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && cancelled_found == 1);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &error) == NSS_STATUS_NOTFOUND);
    nss.passwd.end();
    CHECK(unlink("passwd") == 0);
}

static void *look_up_once(void *argument)
{
    struct passwd pw;
    char buffer[256];
    CHECK(user("user1999", &pw, buffer, sizeof buffer) == NSS_STATUS_SUCCESS);
    return argument;
}

static void smallest_stack(void)
{
    pthread_t thread;
    pthread_attr_t attributes;

    write_users(USERS);
    pthread_attr_init(&attributes);
    CHECK(pthread_attr_setstacksize(&attributes, 16384) == 0);
    CHECK(pthread_create(&thread, &attributes, look_up_once, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void no_memory(void)
{
    struct rlimit none = {0, 0};
    struct passwd pw;
    char buffer[256];
    long start = 1, size = 1;
    gid_t *gids = malloc(sizeof *gids);
    int error = 0, ignored;
    /* gcc 16 leaves out an allocation that nobody looks at, and takes it for one that succeeds. */
    void *volatile taken;

    write_users(3);
    write_text("group", "a:x:5:a\n");
    int before = open_descriptors(&ignored);
    CHECK(setrlimit(RLIMIT_AS, &none) == 0);
    for (size_t piece = 1 << 20; piece >= 1024; piece /= 2)
        while ((taken = malloc(piece)))
            ;
    CHECK(nss.passwd.by_name("user1", &pw, buffer, sizeof buffer, &error) == NSS_STATUS_TRYAGAIN && error == ENOMEM);
    CHECK(nss.passwd.next(&pw, buffer, sizeof buffer, &error) == NSS_STATUS_TRYAGAIN && error == ENOMEM);
    CHECK(nss.initgroups("a", 1, &start, &size, &gids, -1, &error) == NSS_STATUS_TRYAGAIN && error == ENOMEM);
    CHECK(nss.passwd.end() == NSS_STATUS_SUCCESS);
    CHECK(open_descriptors(&ignored) == before);
}

int main(int argc, char **argv)
{
#define SCENARIO(function) {#function, function}
    static const struct {
        const char *name;
        void (*run)(void);
    } scenarios[] = {
        SCENARIO(too_small_buffers), SCENARIO(statuses_and_errno), SCENARIO(group_lists), SCENARIO(long_lines),
        SCENARIO(block_boundaries), SCENARIO(descriptors), SCENARIO(threads), SCENARIO(truncation_while_reading),
        SCENARIO(interrupted_and_short_reads), SCENARIO(cancellation), SCENARIO(smallest_stack),
        SCENARIO(no_memory),
    };
    if (argc != 4 || chdir(argv[2]))
        return 2;
    nss = load_service(argv[1], "altfiles");
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(argv[3], scenarios[i].name) == 0) {
            scenarios[i].run();
            return 0;
        }
    return 2;
}
