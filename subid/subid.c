/* SPDX-License-Identifier: MIT */
/* libsubid_altfiles: subordinate ids of both layers, for `subid: altfiles' in nsswitch.conf.

   libsubid (shadow-utils 4.9 and later, ABI 4 and 5) asks one service only, so this one
   answers for LOCALDIR's subuid and subgid first and then for DATADIR's, without the
   owners that the hidden file hides. newuidmap and newgidmap, which are set-uid, load
   it: nothing is kept, nothing but those files is read, and the module of nss/ reads them. */
#include "../common/file.h"
#include "../common/hidden.h"
#include "../common/lines.h"

#include <errno.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* subid.h and shadow's prototypes.h. */
enum subid_type { ID_TYPE_UID = 1, ID_TYPE_GID = 2 };
enum subid_status { SUCCESS, UNKNOWN_USER, ERROR_CONN, ERROR };
struct subid_range {
    unsigned long start, count;
};

/* strtoul(3) of C17, whatever glibc this is built with: C23's, from 2.38 on, takes 0b11 for a number, and a plugin
   that asks for it is not loaded by an older glibc. */
extern unsigned long parse_number(const char *text, char **end, int base) __asm__("strtoul");

/* Called with the owner, NUL-terminated, and range of each row; returns whether to go on. */
typedef bool visitor(void *context, const char *owner, struct subid_range range);

/* Digits up to the end character; shadow takes octal and hexadecimal ones as well. */
static bool take_number(char **rest, char end, unsigned long *number)
{
    char *stop;
    errno = 0;
    *number = parse_number(*rest, &stop, 0);
    if (**rest < '0' || **rest > '9' || errno || *stop != end)
        return false;
    *rest = stop + 1;
    return true;
}

/* Visit the rows of one file. Returns false when the visitor or a file does not let us go on. */
static bool visit_file(const char *path, const char *hidden_in, visitor *visit, void *context)
{
    struct lines lines;
    struct hidden hidden = {0};
    int result = lines_open(&lines, path);
    if (result < 0)
        return result == -ENOENT || result == -ENOTDIR;

    bool more = true;
    while (more && (result = lines_next(&lines)) > 0) {
        lines.line[lines.length] = '\0';
        char *rest = strchr(lines.line, ':');
        struct subid_range range;
        if (!rest || rest == lines.line)
            continue;
        char *numbers = rest + 1;
        if (!take_number(&numbers, ':', &range.start) || !take_number(&numbers, '\0', &range.count))
            continue;
        int gone = hidden_in ? hidden_has(&hidden, hidden_in, lines.line) : 0;
        *rest = '\0';
        more = gone >= 0 && (gone || visit(context, lines.line, range));
    }
    hidden_free(&hidden);
    lines_close(&lines);
    return more && result >= 0;
}

static bool visit_both(enum subid_type type, visitor *visit, void *context)
{
    if (type == ID_TYPE_GID)
        return visit_file(LOCALDIR "/subgid", NULL, visit, context) &&
            visit_file(DATADIR "/subgid", "subgid", visit, context);
    return visit_file(LOCALDIR "/subuid", NULL, visit, context) &&
        visit_file(DATADIR "/subuid", "subuid", visit, context);
}

/* The UID of a user, or -1. */
static long long find_uid(const char *name)
{
    for (size_t size = 1024; size <= 1 << 20; size *= 4) {
        struct passwd row, *found;
        char *buffer = malloc(size);
        if (!buffer)
            return -1;
        int error = getpwnam_r(name, &row, buffer, size, &found);
        long long uid = !error && found ? (long long)row.pw_uid : -1;
        free(buffer);
        if (error != ERANGE)
            return uid;
    }
    return -1;
}

/* An owner's ranges; rows may name it by login name or by UID (subuid(5)). */
struct owned {
    const char *owner;
    char uid[24];
    struct subid_range *ranges;
    int count;
};

static bool add_owned(void *context, const char *owner, struct subid_range range)
{
    struct owned *owned = context;
    if (strcmp(owner, owned->owner) != 0 && strcmp(owner, owned->uid) != 0)
        return true;
    struct subid_range *grown = reallocarray(owned->ranges, (size_t)owned->count + 1, sizeof *grown);
    if (!grown)
        return false;
    owned->ranges = grown;
    owned->ranges[owned->count++] = range;
    return true;
}

EXPORT enum subid_status shadow_subid_list_owner_ranges(const char *owner, enum subid_type type,
                                                        struct subid_range **ranges, int *count)
{
    struct owned owned = {.owner = owner};
    long long uid = find_uid(owner);
    *ranges = NULL;
    *count = 0;
    if (uid >= 0)
        snprintf(owned.uid, sizeof owned.uid, "%lld", uid);
    if (!visit_both(type, add_owned, &owned)) {
        free(owned.ranges);
        return ERROR;
    }
    *ranges = owned.ranges;
    *count = owned.count;
    return SUCCESS;
}

/* Whether the ranges together, whatever their order, cover all of start and count. */
EXPORT enum subid_status shadow_subid_has_range(const char *owner, unsigned long start, unsigned long count,
                                                enum subid_type type, bool *result)
{
    struct subid_range *ranges;
    int known;
    *result = false;
    enum subid_status status = shadow_subid_list_owner_ranges(owner, type, &ranges, &known);
    if (status != SUCCESS || count == 0 || start + count - 1 < start) {
        if (status == SUCCESS)
            free(ranges);
        return status;
    }
    bool covered = false, found = true;
    while (found && !covered) {
        found = false;
        for (int i = 0; i < known && !found; i++) {
            unsigned long inside = start - ranges[i].start;
            if (start < ranges[i].start || inside >= ranges[i].count)
                continue;
            unsigned long got = ranges[i].count - inside;
            found = true;
            covered = got >= count;
            start += got;
            count -= covered ? count : got;
        }
    }
    free(ranges);
    *result = covered;
    return SUCCESS;
}

/* The users who own an id. */
struct owners {
    unsigned long id;
    uid_t *uids;
    int count;
};

static bool add_owner(void *context, const char *owner, struct subid_range range)
{
    struct owners *owners = context;
    if (owners->id < range.start || owners->id - range.start >= range.count)
        return true;
    char *end;
    unsigned long number = parse_number(owner, &end, 10);
    long long uid = *end ? find_uid(owner) : (long long)number;
    if (uid < 0 || uid > UINT32_MAX) /* nobody who is known */
        return true;
    for (int i = 0; i < owners->count; i++)
        if (owners->uids[i] == (uid_t)uid)
            return true;
    uid_t *grown = reallocarray(owners->uids, (size_t)owners->count + 1, sizeof *grown);
    if (!grown)
        return false;
    owners->uids = grown;
    owners->uids[owners->count++] = (uid_t)uid;
    return true;
}

EXPORT enum subid_status shadow_subid_find_subid_owners(unsigned long id, enum subid_type type, uid_t **uids,
                                                        int *count)
{
    struct owners owners = {.id = id};
    bool whole = visit_both(type, add_owner, &owners);
    if (!whole)
        free(owners.uids);
    *uids = whole ? owners.uids : NULL;
    *count = whole ? owners.count : 0;
    return whole ? SUCCESS : ERROR;
}

/* ABI 5: what frees the arrays above; before, libsubid calls free(3) itself. */
EXPORT void shadow_subid_free(void *pointer)
{
    free(pointer);
}
