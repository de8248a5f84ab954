/* SPDX-License-Identifier: MIT */
#include "hidden.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

#ifndef LOCALDIR
#error "LOCALDIR is the directory of this machine's own account files, /etc"
#endif

enum { LARGEST = 1 << 20 };

static bool may_trust(const struct stat *status)
{
    return status->st_uid == 0 && !(status->st_mode & (S_IWGRP | S_IWOTH)) && status->st_size <= LARGEST;
}

/* "DATABASE:NAME", to the end of the line. */
static bool is_row(const char *line)
{
    static const char *const all[] = {"passwd:", "group:", "shadow:", "gshadow:", "subuid:", "subgid:"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strncmp(line, all[i], strlen(all[i])) == 0) {
            size_t name = strcspn(line += strlen(all[i]), ":\n");
            return name > 0 && line[name] == '\n';
        }
    return false;
}

/* Every line whole, and blank, a comment or a row. */
static bool is_sound(const char *text, size_t length)
{
    if (length > 0 && (text[length - 1] != '\n' || memchr(text, '\0', length)))
        return false;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        if (*line != '\n' && *line != '#' && !is_row(line))
            return false;
    return true;
}

int hidden_has(struct hidden *hidden, const char *database, const char *line)
{
    if (!hidden->loaded) {
        size_t length;
        int result = file_slurp(LOCALDIR "/accounts/hidden", may_trust, &hidden->text, &length);
        if (result < 0)
            return result;
        if (hidden->text && !is_sound(hidden->text, length))
            hidden_free(hidden);
        hidden->loaded = true;
    }
    if (!hidden->text)
        return 0;

    size_t prefix = strlen(database), name = strcspn(line, ":");
    for (const char *row = hidden->text; *row; row = strchr(row, '\n') + 1)
        if (strncmp(row, database, prefix) == 0 && row[prefix] == ':' &&
            strncmp(row + prefix + 1, line, name) == 0 && row[prefix + 1 + name] == '\n')
            return 1;
    return 0;
}

void hidden_free(struct hidden *hidden)
{
    free(hidden->text);
    *hidden = (struct hidden){0};
}
