/* SPDX-License-Identifier: MIT */
#include "lines.h"
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A block that stays in the processor's nearest cache between the kernel's copy and the search beats a bigger
   one with fewer system calls. It is on the heap because NSS is called on the smallest of thread stacks. The
   first read is smaller: most files have no more, and the most wanted row, root's, comes first in the others,
   so that a few lines of them are worth a look before an index is asked. */
#ifndef FIRST_READ
#define FIRST_READ (12 * 1024)
#endif
enum { BLOCK = 32 * 1024, FIRST_LINES = 64 };

int lines_open(struct lines *lines, const char *path)
{
    int fd = file_open(path);
    if (fd < 0)
        return fd;
    *lines = (struct lines){.fd = fd, .size = BLOCK, .block = malloc(BLOCK + 1)};
    if (!lines->block) {
        lines_close(lines);
        return -ENOMEM;
    }
    return 0;
}

void lines_close(struct lines *lines)
{
    file_close(lines->fd);
    free(lines->block);
    lines->block = NULL;
}

/* Read more behind the unfinished line, which moves to the start of the block first. Returns 1, a negative
   errno value, or 0 when the line is too long to be kept. */
static int read_more(struct lines *lines)
{
    bool first = !lines->started;

    lines->started = true;
    if (lines->next > 0) {
        lines->end -= lines->next;
        memmove(lines->block, lines->block + lines->next, lines->end);
        lines->next = 0;
    } else if (lines->end == lines->size) {
        if (lines->size >= LONGEST_LINE)
            return 0;
        char *block = realloc(lines->block, 2 * lines->size + 1);
        if (!block)
            return -ENOMEM;
        lines->block = block;
        lines->size *= 2;
    }
    char *to = lines->block + lines->end;
    ssize_t got = file_read(lines->fd, to, first ? FIRST_READ : lines->size - lines->end);
    if (got < 0)
        return (int)got;
    lines->eof = got == 0;
    lines->ask = first && got == FIRST_READ ? FIRST_LINES : 0;
    lines->end += (size_t)got;
    /* One fast search per block spares a strlen for every line. */
    lines->nul_bytes = lines->nul_bytes || memchr(to, '\0', (size_t)got);
    return 1;
}

int lines_next(struct lines *lines)
{
    if (lines->again) {
        lines->again = false;
        return 1;
    }
    if (lines->ask > 0 && --lines->ask == 0)
        return LINES_MANY;
    size_t searched = lines->next;
    bool overlong = false;
    for (;;) {
        char *newline = memchr(lines->block + searched, '\n', lines->end - searched);
        if (newline || (lines->eof && lines->next < lines->end)) {
            char *stop = newline ? newline : lines->block + lines->end;
            lines->line = lines->block + lines->next;
            lines->next = (size_t)(stop - lines->block) + (newline != NULL);
            if (overlong) { /* this is only its tail */
                overlong = false;
                searched = lines->next;
                continue;
            }
            *stop = '\0';
            lines->length = lines->nul_bytes ? strlen(lines->line) : (size_t)(stop - lines->line);
            return 1;
        }
        if (lines->eof)
            return 0;
        if (lines->ask > 0) {
            lines->ask = 0;
            return LINES_MANY;
        }
        searched = lines->end - lines->next;
        int more = read_more(lines);
        if (more < 0)
            return more;
        if (more == 0) {
            overlong = true;
            searched = lines->end = 0;
        }
    }
}
