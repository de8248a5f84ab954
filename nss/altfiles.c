/* SPDX-License-Identifier: MIT */
/* libnss_altfiles: the accounts of the operating system image, for nsswitch.conf(5).

   The same functions as glibc's `files' service, over DATADIR instead of /etc. The
   module is loaded into every process, pid 1 included: it keeps nothing but the state
   of an enumeration, reads with read(2) and never maps a file, since a mapped file that
   somebody truncates kills its readers with SIGBUS. */
#include "lines.h"
#include "rows.h"

#include <errno.h>
#include <grp.h>
#include <gshadow.h>
#include <nss.h>
#include <pthread.h>
#include <pwd.h>
#include <shadow.h>
#include <stdlib.h>
#include <string.h>

#ifndef DATADIR
#error "DATADIR is the directory of the image's passwd, group, shadow and gshadow"
#endif

#define EXPORT __attribute__((visibility("default")))

struct database {
    const char *path;
    row_parser *parse;
    uint32_t (*id)(const void *row); /* NULL where rows have none */
    pthread_mutex_t lock;            /* of what follows */
    struct lines lines;              /* the enumeration */
};

static uint32_t passwd_id(const void *row)
{
    return ((const struct passwd *)row)->pw_uid;
}

static uint32_t group_id(const void *row)
{
    return ((const struct group *)row)->gr_gid;
}

static struct database passwd = {DATADIR "/passwd", parse_passwd, passwd_id, PTHREAD_MUTEX_INITIALIZER, {0}};
static struct database group = {DATADIR "/group", parse_group, group_id, PTHREAD_MUTEX_INITIALIZER, {0}};
static struct database shadow = {DATADIR "/shadow", parse_shadow, NULL, PTHREAD_MUTEX_INITIALIZER, {0}};
static struct database gshadow = {DATADIR "/gshadow", parse_gshadow, NULL, PTHREAD_MUTEX_INITIALIZER, {0}};

/* The answer for a result that is 1 (found), 0 (not found) or a negative errno value.
   errnop, usually the address of errno itself, is NULL where nothing is to be reported. */
static enum nss_status answer(int result, int saved_errno, int *errnop)
{
    errno = saved_errno;
    if (result <= 0 && errnop)
        *errnop = result ? -result : ENOENT;
    switch (result) {
    case 1:
        return NSS_STATUS_SUCCESS;
    case 0:
        return NSS_STATUS_NOTFOUND;
    case -ERANGE: /* the caller's buffer is too small */
    case -EAGAIN:
    case -ENOMEM:
        return NSS_STATUS_TRYAGAIN;
    default:
        return NSS_STATUS_UNAVAIL;
    }
}

/* The next line that is neither blank nor a comment, without the blanks before it. */
static int next_row(struct lines *lines)
{
    int result;
    while ((result = lines_next(lines)) > 0) {
        while (is_blank(*lines->line)) {
            lines->line++;
            lines->length--;
        }
        if (*lines->line != '\0' && *lines->line != '#')
            break;
    }
    return result;
}

/* Parse a copy of the current line in the caller's buffer. */
static int take_row(const struct database *db, const struct lines *lines, void *row, char *buffer,
                    size_t buflen)
{
    if (lines->length >= buflen)
        return -ERANGE;
    memcpy(buffer, lines->line, lines->length + 1);
    return db->parse(buffer, buffer + buflen, row);
}

/* Names that no row has, though one may look like it. A `+' or `-' row is for
   nss_compat and is only ever seen in an enumeration. */
static bool is_impossible(const char *name)
{
    return name[0] == '+' || name[0] == '-' || name[0] == '#' || strchr(name, ':');
}

static bool has_name(const char *line, const char *name, size_t length)
{
    return strncmp(line, name, length) == 0 && (line[length] == ':' || line[length] == '\0');
}

/* Rule out most rows by the digits of their third field. Only a parser can tell about
   odd ones such as " 07" or "-1". */
static bool may_have_id(const char *line, uint32_t id)
{
    if (*line == '+' || *line == '-')
        return false;
    line = after_colons(line, 2);
    uint64_t number = 0;
    int digits = 0;
    for (; line[digits] >= '0' && line[digits] <= '9' && digits < 10; digits++)
        number = number * 10 + (uint64_t)(line[digits] - '0');
    return digits == 0 || line[digits] != ':' || number == id;
}

/* The first row with this name, or with this id if the name is NULL. */
static enum nss_status look_up(const struct database *db, const char *name, uint32_t id, void *row,
                               char *buffer, size_t buflen, int *errnop)
{
    int saved_errno = errno;
    struct lines lines;
    int result = lines_open(&lines, db->path);
    if (result < 0)
        return answer(result, saved_errno, errnop);

    size_t length = name ? strlen(name) : 0;
    bool found = name && is_impossible(name);
    while (!found && (result = next_row(&lines)) > 0) {
        if (!(name ? has_name(lines.line, name, length) : may_have_id(lines.line, id)))
            continue;
        result = take_row(db, &lines, row, buffer, buflen);
        found = result < 0 || (result > 0 && (name || db->id(row) == id));
    }
    lines_close(&lines);
    return answer(result, saved_errno, errnop);
}

static enum nss_status start(struct database *db)
{
    int saved_errno = errno;

    pthread_mutex_lock(&db->lock);
    if (db->lines.block)
        lines_close(&db->lines);
    int result = lines_open(&db->lines, db->path);
    pthread_mutex_unlock(&db->lock);
    /* Not the place to report an error, and a missing image layer is none: a program
       that watches errno around getpwent(3) must not see one. */
    return answer(result < 0 ? result : 1, saved_errno, NULL);
}

static enum nss_status stop(struct database *db)
{
    int saved_errno = errno;

    pthread_mutex_lock(&db->lock);
    if (db->lines.block)
        lines_close(&db->lines);
    pthread_mutex_unlock(&db->lock);
    return answer(1, saved_errno, NULL);
}

static enum nss_status next(struct database *db, void *row, char *buffer, size_t buflen, int *errnop)
{
    int saved_errno = errno;

    pthread_mutex_lock(&db->lock);
    int result = db->lines.block ? 0 : lines_open(&db->lines, db->path);
    if (result == 0) {
        while ((result = next_row(&db->lines)) > 0) {
            result = take_row(db, &db->lines, row, buffer, buflen);
            if (result != 0)
                break;
        }
        /* The caller comes back for the same row with a larger buffer. */
        if (result == -ERANGE)
            lines_again(&db->lines);
    }
    pthread_mutex_unlock(&db->lock);
    /* POSIX: getpwent(3) leaves errno alone at the end. */
    return answer(result, saved_errno, result ? errnop : NULL);
}

/* Append a gid to the array that getgrouplist(3) collects. Returns 0 when it may hold
   no more. */
static int add_gid(gid_t gid, long *start, long *size, gid_t **gids, long limit)
{
    if (*start == *size) {
        if (limit > 0 && *size >= limit)
            return 0;
        long larger = limit > 0 && limit < 2 * *size ? limit : 2 * *size;
        gid_t *grown = reallocarray(*gids, (size_t)larger, sizeof **gids);
        if (!grown)
            return -ENOMEM;
        *gids = grown;
        *size = larger;
    }
    (*gids)[(*start)++] = gid;
    return 1;
}

/* The supplementary groups of a user in one pass. The caller removes what an earlier
   service has already found; like `files', this lists a gid twice if two rows do. */
EXPORT enum nss_status _nss_altfiles_initgroups_dyn(const char *user, gid_t primary, long *start,
                                                    long *size, gid_t **gids, long limit, int *errnop)
{
    int saved_errno = errno;
    struct lines lines;
    int result = lines_open(&lines, group.path);
    if (result < 0)
        return answer(result, saved_errno, errnop);

    long first = *start;
    while ((result = next_row(&lines)) > 0) {
        uint32_t gid;
        if (!group_line_names(lines.line, user) || !group_line_gid(lines.line, &gid) || gid == primary)
            continue;
        result = add_gid(gid, start, size, gids, limit);
        if (result <= 0)
            break;
    }
    lines_close(&lines);
    return answer(result < 0 ? result : *start > first, saved_errno, errnop);
}

#define ENUMERATION(db, type, ent)                                                                          \
    EXPORT enum nss_status _nss_altfiles_set##ent(int stayopen)                                             \
    {                                                                                                       \
        (void)stayopen;                                                                                     \
        return start(&db);                                                                                  \
    }                                                                                                       \
    EXPORT enum nss_status _nss_altfiles_end##ent(void)                                                     \
    {                                                                                                       \
        return stop(&db);                                                                                   \
    }                                                                                                       \
    EXPORT enum nss_status _nss_altfiles_get##ent##_r(type *row, char *buffer, size_t buflen, int *errnop)  \
    {                                                                                                       \
        return next(&db, row, buffer, buflen, errnop);                                                      \
    }

#define BY_NAME(db, type, function)                                                                         \
    EXPORT enum nss_status _nss_altfiles_##function(const char *name, type *row, char *buffer,              \
                                                    size_t buflen, int *errnop)                             \
    {                                                                                                       \
        return look_up(&db, name, 0, row, buffer, buflen, errnop);                                          \
    }

#define BY_ID(db, type, function, id_type)                                                                  \
    EXPORT enum nss_status _nss_altfiles_##function(id_type id, type *row, char *buffer, size_t buflen,     \
                                                    int *errnop)                                            \
    {                                                                                                       \
        return look_up(&db, NULL, id, row, buffer, buflen, errnop);                                         \
    }

ENUMERATION(passwd, struct passwd, pwent)
BY_NAME(passwd, struct passwd, getpwnam_r)
BY_ID(passwd, struct passwd, getpwuid_r, uid_t)

ENUMERATION(group, struct group, grent)
BY_NAME(group, struct group, getgrnam_r)
BY_ID(group, struct group, getgrgid_r, gid_t)

ENUMERATION(shadow, struct spwd, spent)
BY_NAME(shadow, struct spwd, getspnam_r)

ENUMERATION(gshadow, struct sgrp, sgent)
BY_NAME(gshadow, struct sgrp, getsgnam_r)
