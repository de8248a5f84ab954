/* SPDX-License-Identifier: MIT */
/* nss_lookups SECONDS [SERVICE=]PATH...: time glibc's `files' and modules that read the
   rows in /etc, in turns. A module's service is altfiles unless it is given. Prints one
   line per question: its name and the medians, microseconds of processor time; "-"
   where a module does not have the function, "wrong" where its answer is. */
#include "../nss/service.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 9, SPACE = 1 << 16, MODULES = 6 };

static char buffer[SPACE];
static char last_user[64], last_group[64];
static unsigned last_uid, last_gid;

static bool wrong;

static void fail(const char *question)
{
    (void)question;
    wrong = true;
}

static void by_name(const struct service *s)
{
    struct passwd row;
    int error;
    if (s->passwd.by_name(last_user, &row, buffer, SPACE, &error) != NSS_STATUS_SUCCESS || row.pw_uid != last_uid)
        fail("getpwnam");
}

static void by_uid(const struct service *s)
{
    struct passwd row;
    int error;
    if (s->passwd.by_id(last_uid, &row, buffer, SPACE, &error) != NSS_STATUS_SUCCESS)
        fail("getpwuid");
}

static void first_by_name(const struct service *s)
{
    struct passwd row;
    int error;
    if (s->passwd.by_name("root", &row, buffer, SPACE, &error) != NSS_STATUS_SUCCESS)
        fail("getpwnam root");
}

static void unknown(const struct service *s)
{
    struct passwd row;
    int error;
    if (s->passwd.by_name("no-such-user", &row, buffer, SPACE, &error) != NSS_STATUS_NOTFOUND)
        fail("getpwnam unknown");
}

static void group_by_name(const struct service *s)
{
    struct group row;
    int error;
    if (s->group.by_name(last_group, &row, buffer, SPACE, &error) != NSS_STATUS_SUCCESS || row.gr_gid != last_gid)
        fail("getgrnam");
}

static void group_by_gid(const struct service *s)
{
    struct group row;
    int error;
    if (s->group.by_id(last_gid, &row, buffer, SPACE, &error) != NSS_STATUS_SUCCESS)
        fail("getgrgid");
}

static void shadow_by_name(const struct service *s)
{
    struct spwd row;
    int error;
    if (s->shadow.by_name(last_user, &row, buffer, SPACE, &error) != NSS_STATUS_SUCCESS)
        fail("getspnam");
}

static void initgroups_of(const struct service *s)
{
    long start = 1, size = 64;
    gid_t *gids = malloc((size_t)size * sizeof *gids);
    int error;
    if (s->initgroups(last_user, last_gid, &start, &size, &gids, 65536, &error) != NSS_STATUS_SUCCESS || start < 2)
        fail("initgroups");
    free(gids);
}

/* A user whom one group lists: account_files() of bench_nss.py. */
static void initgroups_of_few(const struct service *s)
{
    long start = 1, size = 64;
    gid_t *gids = malloc((size_t)size * sizeof *gids);
    int error;
    if (s->initgroups("user000042", 42, &start, &size, &gids, 65536, &error) != NSS_STATUS_SUCCESS || start != 2)
        fail("initgroups");
    free(gids);
}

static void enumerate(const struct service *s)
{
    struct passwd row;
    int error, rows = 0;
    s->passwd.set(0);
    while (s->passwd.next(&row, buffer, SPACE, &error) == NSS_STATUS_SUCCESS)
        rows++;
    s->passwd.end();
    if (rows == 0)
        fail("getpwent");
}

static void enumerate_groups(const struct service *s)
{
    struct group row;
    int error, rows = 0;
    s->group.set(0);
    while (s->group.next(&row, buffer, SPACE, &error) == NSS_STATUS_SUCCESS)
        rows++;
    s->group.end();
    if (rows == 0)
        fail("getgrent");
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* others share the machine; nothing here waits */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double time_of(void (*question)(const struct service *), const struct service *s, int calls)
{
    double start = now();
    for (int i = 0; i < calls; i++)
        question(s);
    return (now() - start) / calls;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void find_last_rows(const struct service *s)
{
    struct passwd user;
    struct group group;
    int error;
    while (s->passwd.next(&user, buffer, SPACE, &error) == NSS_STATUS_SUCCESS) {
        snprintf(last_user, sizeof last_user, "%s", user.pw_name);
        last_uid = user.pw_uid;
    }
    s->passwd.end();
    while (s->group.next(&group, buffer, SPACE, &error) == NSS_STATUS_SUCCESS) {
        snprintf(last_group, sizeof last_group, "%s", group.gr_name);
        last_gid = group.gr_gid;
    }
    s->group.end();
}

static bool can(const struct service *s, void (*ask)(const struct service *))
{
    return !((ask == initgroups_of || ask == initgroups_of_few) && !s->initgroups) &&
        !(ask == shadow_by_name && !s->shadow.by_name);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*ask)(const struct service *);
    } questions[] = {
        {"getpwnam, last row", by_name},    {"getpwnam, first row", first_by_name}, {"getpwnam, no such user", unknown},
        {"getpwuid, last row", by_uid},     {"getgrnam, last row", group_by_name},  {"getgrgid, last row", group_by_gid},
        {"getspnam, last row", shadow_by_name}, {"initgroups, one group in ten", initgroups_of},
        {"initgroups, one group", initgroups_of_few}, {"getpwent, all rows", enumerate},
        {"getgrent, all rows", enumerate_groups},
    };
    if (argc < 3 || argc > MODULES + 2)
        return 2;
    double budget = atof(argv[1]) * 1e6;
    struct service services[MODULES + 1] = {load_service("libc.so.6", "files")};
    int count = 1;
    for (char **word = argv + 2; *word; word++) {
        char *path = strchr(*word, '=');
        if (path)
            *path = '\0';
        services[count++] = load_what_there_is(path ? path + 1 : *word, path ? *word : "altfiles");
    }
    find_last_rows(&services[0]);

    for (size_t q = 0; q < sizeof questions / sizeof *questions; q++) {
        double each = budget / (sizeof questions / sizeof *questions) / ROUNDS / count;
        static double times[MODULES + 1][ROUNDS];
        bool wrongs[MODULES + 1] = {false};
        for (int round = 0; round < ROUNDS; round++)
            for (int s = 0; s < count; s++)
                if (can(&services[s], questions[q].ask)) {
                    /* Once without a look at the clock: what a process has to find out first. */
                    double once = time_of(questions[q].ask, &services[s], round ? 1 : 3);
                    times[s][round] = time_of(questions[q].ask, &services[s], (int)(each / once) + 1);
                    wrongs[s] = wrongs[s] || wrong;
                    wrong = false;
                }
        printf("%s", questions[q].name);
        for (int s = 0; s < count; s++) {
            qsort(times[s], ROUNDS, sizeof(double), ascending);
            if (wrongs[s])
                printf("\twrong");
            else if (can(&services[s], questions[q].ask))
                printf("\t%.3f", times[s][ROUNDS / 2]);
            else
                printf("\t-");
        }
        putchar('\n');
    }
}
