/* SPDX-License-Identifier: MIT */
/* A fuzz target over the whole of libsubid_altfiles, linked in: subuid of both layers and the hidden file, below the
   working directory (DATADIR=. LOCALDIR=./local). What has_range says is held against the ranges that are listed. */
#include "../nss/mutate.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>

enum { UIDS = 1, MOST = 300 };
struct subid_range {
    unsigned long start, count;
};
int shadow_subid_list_owner_ranges(const char *, int, struct subid_range **, int *);
int shadow_subid_has_range(const char *, unsigned long, unsigned long, int, bool *);
int shadow_subid_find_subid_owners(unsigned long, int, uid_t **, int *);
void shadow_subid_free(void *);

/* In place of libc's, which would ask whatever this machine has. */
int getpwnam_r(const char *name, struct passwd *row, char *buffer, size_t size, struct passwd **found)
{
    (void)buffer;
    *found = NULL;
    if (size < 2048)
        return ERANGE;
    if (strcmp(name, "root") == 0) {
        *row = (struct passwd){.pw_uid = 0};
        *found = row;
    }
    return 0;
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd))
        abort();
}

/* Three parts behind their lengths (two bytes each). */
static void write_input(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"subuid", "local/subuid", "local/accounts/hidden"};
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        size_t length = at + 2 <= size ? data[at] | (size_t)data[at + 1] << 8 : 0;
        at = at + 2 <= size ? at + 2 : size;
        length = length < size - at ? length : size - at;
        write_file(paths[i], data + at, length);
        at += length;
    }
}

static bool covers(const struct subid_range *ranges, int count, unsigned long id)
{
    for (int i = 0; i < count; i++)
        if (id >= ranges[i].start && id - ranges[i].start < ranges[i].count)
            return true;
    return false;
}

static void ask(void)
{
    static const char *const owners[] = {"root", "0", "nobody-has-this-name", ""};
    for (size_t owner = 0; owner < sizeof owners / sizeof *owners; owner++) {
        struct subid_range *ranges;
        int count;
        if (shadow_subid_list_owner_ranges(owners[owner], UIDS, &ranges, &count) != 0)
            continue;
        for (int i = 0; i < count && i < 8; i++)
            for (unsigned long length = 1; length < MOST; length *= 3) {
                unsigned long start = ranges[i].start + (unsigned long)i, id = 0;
                bool has;
                while (id < length && start + id >= start && covers(ranges, count, start + id))
                    id++;
                if (shadow_subid_has_range(owners[owner], start, length, UIDS, &has) != 0 || has != (id == length))
                    abort();
            }
        shadow_subid_free(ranges);
    }
    for (unsigned long id = 100; id < 100000; id *= 10) {
        uid_t *uids;
        int count;
        if (shadow_subid_find_subid_owners(id, UIDS, &uids, &count) == 0)
            shadow_subid_free(uids);
    }
}

const struct target target = {write_input, ask, ask};
