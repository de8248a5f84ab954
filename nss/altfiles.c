/* SPDX-License-Identifier: MIT */
/* libnss_altfiles: the accounts of the operating system image, for nsswitch.conf(5).

   The same functions as glibc's `files' service, over DATADIR instead of /etc, without the rows that HIDDEN
   hides. The module is loaded into every process, pid 1 included: it keeps nothing but the state of an
   enumeration and what it has found out about the index, reads with read(2) and never maps a file, since a
   mapped file that somebody truncates kills its readers with SIGBUS. */
#include "local.h"
#include "rows.h"
#include "search.h"

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

/* Whoever writes HIDDEN has to know, without loading the module, that it is honoured: the name of this symbol
   says so (accounts/system/module.py looks for it). */
EXPORT const char _nss_altfiles_hidden_1[] = LOCALDIR "/accounts/hidden";

struct database {
    const char *name;
    const char *path;
    const char *index_path;
    const char *local_path;
    row_parser *parse;
    size_t id; /* where in a row it is; 0, the name's place, where rows have none */
    struct index index;
    pthread_mutex_t lock; /* of what follows, the enumeration */
    struct search search;
    struct local local;
    bool again; /* give the current row once more */
};

#define DATABASE(file, id)                                                                                  \
    static struct database file = {#file, DATADIR "/" #file, INDEXDIR "/" #file, LOCALDIR "/" #file,        \
                                   parse_##file, id, {0}, PTHREAD_MUTEX_INITIALIZER, {0}, {0}, false};

DATABASE(passwd, offsetof(struct passwd, pw_uid))
DATABASE(group, offsetof(struct group, gr_gid))
DATABASE(shadow, 0)
DATABASE(gshadow, 0)

/* The answer for a result that is 1 (found), 0 (not found) or a negative errno value. errnop, usually the
   address of errno itself, is NULL where nothing is to be reported. */
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

/* Parse a copy of a line in the caller's buffer. */
static int take_row(const struct database *db, const char *line, size_t length, void *row, char *buffer,
                    size_t buflen)
{
    if (length >= buflen)
        return -ERANGE;
    memcpy(buffer, line, length);
    buffer[length] = '\0';
    return db->parse(buffer, buffer + buflen, row);
}

/* A malloc'ed copy of a line, parsed, with room for the lists; NULL if there is no memory. *result is what the
   parser says. */
static char *parse_copy(const struct database *db, const char *line, size_t length, void *row, int *result)
{
    size_t size = length + 1 + (length + 4) * sizeof(char *);
    char *copy = malloc(size);
    *result = copy ? take_row(db, line, length, row, copy, size) : -ENOMEM;
    return copy;
}

/* Names that no row has, though one may look like it. A `+' or `-' row is for nss_compat and is only ever seen
   in an enumeration. */
static bool is_impossible(const char *name)
{
    return name[0] == '+' || name[0] == '-' || name[0] == '#' || strchr(name, ':');
}

static bool has_name(const struct search *search, const char *name, size_t length)
{
    if (search->length < length || memcmp(search->line, name, length) != 0)
        return false;
    return search->length == length || search->line[length] == ':' || search->line[length] == '\0';
}

/* Rule out most rows by their third field as it is usually written. Only a parser can tell about odd ones such as
   " 07" or "-1". */
static bool may_have_id(const struct search *search, const char *digits, size_t length)
{
    const char *end = search->line + search->length, *field = memchr(search->line, ':', search->length);
    if (!field || *search->line == '+' || *search->line == '-')
        return false;
    do /* a password is too short for memchr(3) to pay */
        field++;
    while (field < end && *field != ':');
    size_t left = (size_t)(end - field);
    if (left < 2 || field[1] < '1' || field[1] > '9')
        return left > 1;
    return field[1] == *digits && left > length && memcmp(field + 1, digits, length) == 0;
}

/* The first row with this name, or with this id if the name is NULL. */
static enum nss_status look_up(struct database *db, const char *name, uint32_t id, void *row, char *buffer,
                               size_t buflen, int *errnop)
{
    int saved_errno = errno, taken = 0;
    char digits[12] = "", *first = digits + sizeof digits - 1;
    uint32_t rest = id;
    do
        *--first = (char)('0' + rest % 10);
    while (rest /= 10);
    const char *wanted = name ? name : first;
    size_t length = strlen(wanted);
    struct search search = {.known = &db->index,
                            .index_path = db->index_path,
                            .table = name ? BY_NAME : BY_ID,
                            .key = name ? index_key_of_name(name, length) : index_key_of_id(id)};
    int result = lines_open(&search.lines, db->path);
    if (result == 0 && !(name && is_impossible(name)))
        while (taken == 0 && (result = search_next(&search)) > 0) {
            if (!(name ? has_name(&search, name, length) : may_have_id(&search, wanted, length)))
                continue;
            taken = search_sees(&search, db->name);
            if (taken == 1)
                taken = take_row(db, search.line, search.length, row, buffer, buflen);
            if (taken == 1 && !name && *(const uint32_t *)((const char *)row + db->id) != id)
                taken = 0;
        }
    search_close(&search);
    return answer(taken ? taken : result, saved_errno, errnop);
}

/* Enumerations give each name once, as `files' alone would give what both layers are. Forget this one, and perhaps
   begin another. */
static enum nss_status restart(struct database *db, bool begin)
{
    int saved_errno = errno;
    pthread_mutex_lock(&db->lock);
    search_close(&db->search);
    local_free(&db->local);
    db->again = false;
    int result = begin ? lines_open(&db->search.lines, db->path) : 0;
    pthread_mutex_unlock(&db->lock);
    /* Not the place to report an error, and a missing image layer is none: a program that watches errno around
       getpwent(3) must not see one. */
    return answer(result < 0 ? result : 1, saved_errno, NULL);
}

/* The current row, of a group of which LOCALDIR has a row, `above', too: what the two are joined. */
static int take_joined(const struct search *search, const struct group *above, void *row, char *buffer,
                       size_t buflen)
{
    struct group below;
    int result;
    char *copy = parse_copy(&group, search->line, search->length, &below, &result);
    if (result == 1)
        result = below.gr_gid == above->gr_gid ? local_join(above, &below, buffer, buflen) : 0;
    free(copy);
    return result == 1 ? parse_group(buffer, buffer + buflen, row) : result;
}

/* Take the current row unless it is hidden, or said in LOCALDIR. */
static int take_next(struct database *db, void *row, char *buffer, size_t buflen)
{
    const struct search *search = &db->search;
    const char *other;
    int result = search_sees(&db->search, db->name);
    if (result == 1 && !db->local.loaded)
        result = local_load(&db->local, db->local_path);
    if (result != 1)
        return result;
    for (size_t after = 0; (other = local_find(&db->local, search->line, &after));) {
        union {
            struct passwd pw;
            struct group gr;
            struct spwd sp;
            struct sgrp sg;
        } above;
        char *copy = parse_copy(db, other, strlen(other), &above, &result);
        bool is_row = result != 0;
        if (result == 1)
            result = db == &group ? take_joined(search, &above.gr, row, buffer, buflen) : 0;
        free(copy);
        if (is_row)
            return result;
    }
    return take_row(db, search->line, search->length, row, buffer, buflen);
}

static enum nss_status next(struct database *db, void *row, char *buffer, size_t buflen, int *errnop)
{
    int saved_errno = errno;
    pthread_mutex_lock(&db->lock);
    int taken = 0, result = db->search.lines.block ? 0 : lines_open(&db->search.lines, db->path);
    while (result >= 0 && taken == 0 && (result = db->again ? 1 : search_next(&db->search)) > 0) {
        taken = take_next(db, row, buffer, buflen);
        db->again = taken == -ERANGE; /* the caller comes back with a larger buffer */
    }
    pthread_mutex_unlock(&db->lock);
    result = taken ? taken : result;
    /* POSIX: getpwent(3) leaves errno alone at the end. */
    return answer(result, saved_errno, result ? errnop : NULL);
}

/* Append a gid to the array that getgrouplist(3) collects. Returns 0 when it may hold no more. */
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

/* Note the gid of the current row if it lists the user and is not the primary group's. Returns 0 when there may be
   no more, else 1 or a negative errno value. */
static int add_row(struct search *search, const char *user, gid_t primary, long *start, long *size, gid_t **gids,
                   long limit)
{
    struct group row;
    int result;
    char *copy = parse_copy(&group, search->line, search->length, &row, &result);
    bool listed = result == 1 && row.gr_gid != primary && has_member(row.gr_mem, user);
    if (listed)
        result = search_sees(search, group.name);
    if (result >= 0)
        result = listed && result == 1 ? add_gid(row.gr_gid, start, size, gids, limit) : 1;
    free(copy);
    return result;
}

/* The supplementary groups of a user in one pass. The caller removes what an earlier service has already found;
   like `files', this lists a gid twice if two rows do. */
EXPORT enum nss_status _nss_altfiles_initgroups_dyn(const char *user, gid_t primary, long *start,
                                                    long *size, gid_t **gids, long limit, int *errnop)
{
    int saved_errno = errno, added = 1;
    long first = *start;
    struct search search = {.known = &group.index,
                            .index_path = group.index_path,
                            .table = BY_MEMBER,
                            .key = index_key_of_name(user, strlen(user))};
    int result = lines_open(&search.lines, group.path);
    while (result >= 0 && added == 1 && (result = search_next(&search)) > 0) {
        /* Most list nobody: they end in a colon, and have no comma. */
        if (search.line[search.length - 1] == ':' && !memchr(search.line, ',', search.length))
            continue;
        search.line[search.length] = '\0';
        if (strstr(search.line, user))
            added = add_row(&search, user, primary, start, size, gids, limit);
    }
    search_close(&search);
    if (result >= 0)
        result = added < 0 ? added : *start > first;
    return answer(result, saved_errno, errnop);
}

#define ANSWER(function, ...) EXPORT enum nss_status _nss_altfiles_##function(__VA_ARGS__)

#define ENUMERATION_AND_NAME(db, type, ent, getnam_r)                                                       \
    ANSWER(set##ent, int stayopen)                                                                          \
    {                                                                                                       \
        (void)stayopen;                                                                                     \
        return restart(&db, true);                                                                          \
    }                                                                                                       \
    ANSWER(end##ent, void)                                                                                  \
    {                                                                                                       \
        return restart(&db, false);                                                                         \
    }                                                                                                       \
    ANSWER(get##ent##_r, type *row, char *buffer, size_t buflen, int *errnop)                               \
    {                                                                                                       \
        return next(&db, row, buffer, buflen, errnop);                                                      \
    }                                                                                                       \
    ANSWER(getnam_r, const char *name, type *row, char *buffer, size_t buflen, int *errnop)                 \
    {                                                                                                       \
        return look_up(&db, name, 0, row, buffer, buflen, errnop);                                          \
    }

#define ID(db, type, getid_r, id_type)                                                                      \
    ANSWER(getid_r, id_type id, type *row, char *buffer, size_t buflen, int *errnop)                        \
    {                                                                                                       \
        return look_up(&db, NULL, id, row, buffer, buflen, errnop);                                         \
    }

ENUMERATION_AND_NAME(passwd, struct passwd, pwent, getpwnam_r)
ENUMERATION_AND_NAME(group, struct group, grent, getgrnam_r)
ENUMERATION_AND_NAME(shadow, struct spwd, spent, getspnam_r)
ENUMERATION_AND_NAME(gshadow, struct sgrp, sgent, getsgnam_r)
ID(passwd, struct passwd, getpwuid_r, uid_t)
ID(group, struct group, getgrgid_r, gid_t)
