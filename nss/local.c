/* SPDX-License-Identifier: MIT */
#include "local.h"
#include "file.h"
#include "rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names end at a colon or with the line, and sort like the bytes they are. */
static int compare_names(const char *a, const char *b)
{
    while (*a == *b && *a && *a != ':') {
        a++;
        b++;
    }
    int x = *a == ':' ? 0 : (unsigned char)*a, y = *b == ':' ? 0 : (unsigned char)*b;
    return x - y;
}

static int compare_lines(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    int order = compare_names(x, y);
    return order ? order : (x > y) - (x < y);
}

int local_load(struct local *local, const char *path)
{
    size_t length;
    int result = file_slurp(path, NULL, &local->text, &length);
    if (result < 0)
        return result;
    local->loaded = true;
    if (!local->text)
        return 1;

    char *end = local->text + length;
    local->lines = reallocarray(NULL, length / 2 + 1, sizeof *local->lines); /* a row and its newline are two bytes */
    if (!local->lines) {
        local_free(local);
        return -ENOMEM;
    }
    for (char *line = local->text, *next; line < end; line = next) {
        next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next : end;
        *next++ = '\0';
        while (is_blank(*line))
            line++;
        if (*line && *line != '#')
            local->lines[local->count++] = line;
    }
    qsort(local->lines, local->count, sizeof *local->lines, compare_lines);
    return 1;
}

void local_free(struct local *local)
{
    free(local->text);
    free(local->lines);
    *local = (struct local){0};
}

const char *local_find(const struct local *local, const char *line, size_t *after)
{
    size_t low = *after, high = *after ? *after : local->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_names(local->lines[middle], line) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low >= local->count || compare_names(local->lines[low], line) != 0)
        return NULL;
    *after = low + 1;
    return local->lines[low];
}

int local_join(const struct group *above, const struct group *below, char *buffer, size_t buflen)
{
    int length = snprintf(buffer, buflen, "%s:%s:%u:", above->gr_name, above->gr_passwd, above->gr_gid);
    size_t used = (size_t)length;
    bool adds = false, first = true;

    for (int layer = 0; layer < 2; layer++)
        for (char **member = layer ? below->gr_mem : above->gr_mem; *member; member++) {
            if (layer && has_member(above->gr_mem, *member))
                continue;
            adds = adds || layer;
            if (used < buflen)
                used += (size_t)snprintf(buffer + used, buflen - used, "%s%s", first ? "" : ",", *member);
            first = false;
        }
    if (!adds)
        return 0;
    return used < buflen ? 1 : -ERANGE;
}
