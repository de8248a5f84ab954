/* SPDX-License-Identifier: MIT */
/* libnss_altfiles: the accounts of the operating system image, for nsswitch.conf(5).

   The same functions as glibc's `files' service, over DATADIR instead of /etc, without the rows that HIDDEN
   hides. The module is loaded into every process, pid 1 included: it keeps nothing but the state of an
   enumeration and what it has found out about the index, reads with read(2) and never maps a file, since a
   mapped file that somebody truncates kills its readers with SIGBUS. */
#include "file.h"
#include "hidden.h"
#include "index.h"
#include "lines.h"
#include "local.h"
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

/* Whoever writes HIDDEN has to know, without loading the module, that it is honoured: the name of this symbol
   says so (accounts/system/module.py looks for it). */
EXPORT const char _nss_altfiles_hidden_1[] = LOCALDIR "/accounts/hidden";

struct database {
    const char *name;
    const char *path;
    const char *index_path;
    const char *local_path;
    row_parser *parse;
    uint32_t (*id)(const void *row); /* NULL where rows have none */
    struct index index;
    pthread_mutex_t lock; /* of what follows, the enumeration */
    struct lines lines;
    struct hidden hidden;
    struct local local;
};

static uint32_t passwd_id(const void *row)
{
    return ((const struct passwd *)row)->pw_uid;
}

static uint32_t group_id(const void *row)
{
    return ((const struct group *)row)->gr_gid;
}

#define DATABASE(file, id)                                                                                  \
    static struct database file = {#file, DATADIR "/" #file, INDEXDIR "/" #file, LOCALDIR "/" #file,        \
                                   parse_##file, id, {0}, PTHREAD_MUTEX_INITIALIZER, {0}, {0}, {0}};

DATABASE(passwd, passwd_id)
DATABASE(group, group_id)
DATABASE(shadow, NULL)
DATABASE(gshadow, NULL)

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

/* The next line that is neither blank nor a comment, without the blanks before it; as lines_next. */
static int next_row(struct lines *lines)
{
    int result;
    while ((result = lines_next(lines)) == 1) {
        while (is_blank(*lines->line)) {
            lines->line++;
            lines->length--;
        }
        if (*lines->line != '\0' && *lines->line != '#')
            break;
    }
    return result;
}

/* Parse a copy of a line in the caller's buffer, where it may be already. */
static int take_row(const struct database *db, const char *line, size_t length, void *row, char *buffer,
                    size_t buflen)
{
    if (length >= buflen)
        return -ERANGE;
    memmove(buffer, line, length + 1);
    return db->parse(buffer, buffer + buflen, row);
}

/* Names that no row has, though one may look like it. A `+' or `-' row is for nss_compat and is only ever seen
   in an enumeration. */
static bool is_impossible(const char *name)
{
    return name[0] == '+' || name[0] == '-' || name[0] == '#' || strchr(name, ':');
}

static bool has_name(const char *line, const char *name, size_t length)
{
    return strncmp(line, name, length) == 0 && (line[length] == ':' || line[length] == '\0');
}

/* Rule out most rows by the digits of their third field. Only a parser can tell about odd ones such as " 07" or
   "-1". */
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

/* Take a line if it is the row with this name, or with this id if the name is NULL. */
static int take_if(const struct database *db, struct hidden *hidden, const char *name, uint32_t id,
                   const char *line, size_t length, void *row, char *buffer, size_t buflen)
{
    if (!(name ? has_name(line, name, strlen(name)) : may_have_id(line, id)))
        return 0;
    int result = hidden_has(hidden, db->name, line);
    if (result)
        return result < 0 ? result : 0;
    result = take_row(db, line, length, row, buffer, buflen);
    return result == 1 && !name && db->id(row) != id ? 0 : result;
}

/* The next line that the index has for a key among the rows not read yet, malloc'ed. Returns 1, 0 when
   there are no more, LINES_MANY where the index cannot say, or -ENOMEM. */
static int next_indexed(struct index *index, const struct lines *lines, enum index_table table, uint32_t key,
                        char **line)
{
    uint64_t offset;
    uint32_t length;
    int found;
    while ((found = index_next(index, table, key, &offset, &length)) > 0 && offset < lines->next)
        ;
    if (found <= 0)
        return found ? LINES_MANY : 0;
    *line = malloc((size_t)length + 1);
    if (!*line)
        return -ENOMEM;
    (*line)[length] = '\0';
    if (file_read_at(lines->fd, *line, length, offset))
        return 1;
    free(*line);
    return LINES_MANY;
}

/* The same as take_if among the rows not read yet, by the index; LINES_MANY where that cannot say. */
static int look_up_indexed(struct database *db, struct hidden *hidden, const struct lines *lines, const char *name,
                           uint32_t id, void *row, char *buffer, size_t buflen)
{
    struct index index;
    if (!index_open(&index, &db->index, db->index_path, lines->fd, lines->block + LINES_SPARE))
        return LINES_MANY;
    uint32_t key = name ? index_key_of_name(name, strlen(name)) : index_key_of_id(id);
    char *line;
    int result, taken = 0;
    while (taken == 0 && (result = next_indexed(&index, lines, name ? BY_NAME : BY_ID, key, &line)) == 1) {
        taken = take_if(db, hidden, name, id, line, strlen(line), row, buffer, buflen);
        free(line);
    }
    index_close(&index);
    return taken ? taken : result;
}

/* The first row with this name, or with this id if the name is NULL. */
static enum nss_status look_up(struct database *db, const char *name, uint32_t id, void *row, char *buffer,
                               size_t buflen, int *errnop)
{
    int saved_errno = errno;
    struct lines lines;
    int result = lines_open(&lines, db->path);
    if (result < 0)
        return answer(result, saved_errno, errnop);

    struct hidden hidden = {0};
    bool found = name && is_impossible(name);
    while (!found && (result = next_row(&lines)) > 0) {
        if (result == LINES_MANY) {
            result = look_up_indexed(db, &hidden, &lines, name, id, row, buffer, buflen);
            found = result != LINES_MANY;
        } else {
            result = take_if(db, &hidden, name, id, lines.line, lines.length, row, buffer, buflen);
            found = result != 0;
        }
    }
    hidden_free(&hidden);
    lines_close(&lines);
    return answer(result, saved_errno, errnop);
}

/* ---- enumeration: each name once, as `files' alone would give what both layers are ---- */

static void forget(struct database *db)
{
    if (db->lines.block)
        lines_close(&db->lines);
    hidden_free(&db->hidden);
    local_free(&db->local);
}

static enum nss_status start(struct database *db)
{
    int saved_errno = errno;

    pthread_mutex_lock(&db->lock);
    forget(db);
    int result = lines_open(&db->lines, db->path);
    pthread_mutex_unlock(&db->lock);
    /* Not the place to report an error, and a missing image layer is none: a program that watches errno around
       getpwent(3) must not see one. */
    return answer(result < 0 ? result : 1, saved_errno, NULL);
}

static enum nss_status stop(struct database *db)
{
    int saved_errno = errno;

    pthread_mutex_lock(&db->lock);
    forget(db);
    pthread_mutex_unlock(&db->lock);
    return answer(1, saved_errno, NULL);
}

/* A malloc'ed copy of a line, parsed, with room for the lists; NULL if there is no memory. *result is what the
   parser says. */
static void *parse_copy(const struct database *db, const char *line, void *row, int *result)
{
    size_t length = strlen(line), size = length + 1 + (length + 4) * sizeof(char *);
    char *copy = malloc(size);
    *result = copy ? take_row(db, line, length, row, copy, size) : -ENOMEM;
    return copy;
}

/* A group's row of the image whose name LOCALDIR has too, at `above': what the two are joined. */
static int take_joined(const struct database *db, const char *line, const struct group *above, void *row,
                       char *buffer, size_t buflen)
{
    struct group below;
    int result;
    void *copy = parse_copy(db, line, &below, &result);
    if (result == 1)
        result = below.gr_gid == above->gr_gid ? local_join(above, &below, buffer, buflen) : 0;
    free(copy);
    return result == 1 ? db->parse(buffer, buffer + buflen, row) : result;
}

/* Take the current line unless it is hidden, or said in LOCALDIR. */
static int take_next(struct database *db, void *row, char *buffer, size_t buflen)
{
    const char *line = db->lines.line, *other;
    int result = hidden_has(&db->hidden, db->name, line);
    if (result)
        return result < 0 ? result : 0;
    if (!db->local.loaded && (result = local_load(&db->local, db->local_path)) < 0)
        return result;

    for (size_t after = 0; (other = local_find(&db->local, line, &after));) {
        union {
            struct passwd pw;
            struct group gr;
            struct spwd sp;
            struct sgrp sg;
        } above;
        void *copy = parse_copy(db, other, &above, &result);
        if (result == 1)
            result = db == &group && above.gr.gr_mem ? take_joined(db, line, &above.gr, row, buffer, buflen) : 0;
        else if (result == 0)
            result = LINES_MANY; /* no row at all: go on */
        free(copy);
        if (result != LINES_MANY)
            return result;
    }
    return take_row(db, line, db->lines.length, row, buffer, buflen);
}

static enum nss_status next(struct database *db, void *row, char *buffer, size_t buflen, int *errnop)
{
    int saved_errno = errno;

    pthread_mutex_lock(&db->lock);
    int result = db->lines.block ? 0 : lines_open(&db->lines, db->path);
    if (result == 0) {
        while ((result = next_row(&db->lines)) > 0) {
            if (result == LINES_MANY)
                continue;
            result = take_next(db, row, buffer, buflen);
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

/* Note the gid of a line that lists the user, is not hidden and not the primary group's. Cuts up the line.
   Returns 0 when there may be no more, else 1 or a negative errno value. */
static int add_line(struct hidden *hidden, char *line, const char *user, gid_t primary, long *start, long *size,
                    gid_t **gids, long limit)
{
    uint32_t gid;
    if (!group_line_names(line, user))
        return 1;
    int result = hidden_has(hidden, group.name, line);
    if (result)
        return result < 0 ? result : 1;
    if (!group_line_gid(line, &gid) || gid == primary)
        return 1;
    return add_gid(gid, start, size, gids, limit);
}

/* The same for all rows not read yet, by the index; LINES_MANY where that cannot say. */
static int add_indexed(struct hidden *hidden, const struct lines *lines, const char *user, gid_t primary,
                       long *start, long *size, gid_t **gids, long limit)
{
    struct index index;
    if (!index_open(&index, &group.index, group.index_path, lines->fd, lines->block + LINES_SPARE))
        return LINES_MANY;
    uint32_t key = index_key_of_name(user, strlen(user));
    long first = *start;
    char *line;
    int result, added = 1;
    while (added == 1 && (result = next_indexed(&index, lines, BY_MEMBER, key, &line)) == 1) {
        added = add_line(hidden, line, user, primary, start, size, gids, limit);
        free(line);
    }
    index_close(&index);
    if (added == 1 && result == LINES_MANY)
        *start = first; /* the scan finds them again */
    return added == 1 ? result : added;
}

/* The supplementary groups of a user in one pass. The caller removes what an earlier service has already found;
   like `files', this lists a gid twice if two rows do. */
EXPORT enum nss_status _nss_altfiles_initgroups_dyn(const char *user, gid_t primary, long *start,
                                                    long *size, gid_t **gids, long limit, int *errnop)
{
    int saved_errno = errno;
    struct lines lines;
    int result = lines_open(&lines, group.path);
    if (result < 0)
        return answer(result, saved_errno, errnop);

    long first = *start;
    struct hidden hidden = {0};
    bool more = true;
    while (more && (result = next_row(&lines)) > 0) {
        if (result == LINES_MANY) {
            result = add_indexed(&hidden, &lines, user, primary, start, size, gids, limit);
            more = result == LINES_MANY;
        } else {
            result = add_line(&hidden, lines.line, user, primary, start, size, gids, limit);
            more = result > 0;
        }
    }
    hidden_free(&hidden);
    lines_close(&lines);
    return answer(result < 0 ? result : *start > first, saved_errno, errnop);
}

#define ANSWER(function, ...) EXPORT enum nss_status _nss_altfiles_##function(__VA_ARGS__)

#define ENUMERATION_AND_NAME(db, type, ent, getnam_r)                                                       \
    ANSWER(set##ent, int stayopen)                                                                          \
    {                                                                                                       \
        (void)stayopen;                                                                                     \
        return start(&db);                                                                                  \
    }                                                                                                       \
    ANSWER(end##ent, void)                                                                                  \
    {                                                                                                       \
        return stop(&db);                                                                                   \
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
