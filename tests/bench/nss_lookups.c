/* SPDX-License-Identifier: MIT */
/* nss_lookups MODULE SECONDS: time glibc's `files' and the module, built with
   DATADIR=/etc, on the rows that are in /etc, in turns. Prints one line per question:
   its name and the medians of both in microseconds. */
#include "../nss/service.h"

#include <string.h>
#include <time.h>

enum { ROUNDS = 15, SPACE = 1 << 16 };

static char buffer[SPACE];
static char last_user[64], last_group[64];
static unsigned last_uid, last_gid;

static void fail(const char *question)
{
    fprintf(stderr, "%s: wrong answer\n", question);
    exit(1);
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

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*ask)(const struct service *);
    } questions[] = {
        {"getpwnam, last row", by_name},    {"getpwnam, first row", first_by_name}, {"getpwnam, no such user", unknown},
        {"getpwuid, last row", by_uid},     {"getgrnam, last row", group_by_name},  {"getgrgid, last row", group_by_gid},
        {"getspnam, last row", shadow_by_name}, {"initgroups", initgroups_of},      {"getpwent, all rows", enumerate},
        {"getgrent, all rows", enumerate_groups},
    };
    if (argc != 3)
        return 2;
    struct service services[] = {load_service("libc.so.6", "files"), load_service(argv[1], "altfiles")};
    double budget = atof(argv[2]) * 1e6;
    find_last_rows(&services[0]);

    for (size_t q = 0; q < sizeof questions / sizeof *questions; q++) {
        double each = budget / (sizeof questions / sizeof *questions) / ROUNDS / 2;
        double times[2][ROUNDS];
        int calls = (int)(each / time_of(questions[q].ask, &services[0], 1)) + 1;
        time_of(questions[q].ask, &services[1], 1);
        for (int round = 0; round < ROUNDS; round++)
            for (int s = 0; s < 2; s++)
                times[s][round] = time_of(questions[q].ask, &services[s], calls);
        for (int s = 0; s < 2; s++)
            qsort(times[s], ROUNDS, sizeof(double), ascending);
        printf("%s\t%.3f\t%.3f\n", questions[q].name, times[0][ROUNDS / 2], times[1][ROUNDS / 2]);
    }
}
