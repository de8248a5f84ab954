/* SPDX-License-Identifier: MIT */
#include "lines.h"
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A block that stays in the processor's nearest cache between the kernel's copy and the search beats a bigger
   one with fewer system calls. It is on the heap because NSS is called on the smallest of thread stacks. */
enum { BLOCK = 32 * 1024 };

int lines_open(struct lines *lines, const char *path)
{
    int fd = file_open(path);
    if (fd < 0)
        return fd;
    *lines = (struct lines){.fd = fd, .size = BLOCK, .block = malloc(BLOCK + 1)};
    if (!lines->block) {
        file_close(fd);
        return -ENOMEM;
    }
    return 0;
}

void lines_close(struct lines *lines)
{
    if (lines->block)
        file_close(lines->fd);
    free(lines->block);
    lines->block = NULL;
}

void lines_seek(struct lines *lines, uint64_t offset)
{
    lseek(lines->fd, (off_t)offset, SEEK_SET);
    lines->offset = offset;
    lines->next = lines->end = 0;
    lines->eof = false;
}

/* Read more behind the unfinished line, which moves to the start of the block first. Returns 1, a negative
   errno value, or 0 when the line is too long to be kept. */
static int read_more(struct lines *lines)
{
    if (lines->next > 0) {
        lines->offset += lines->next;
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
    bool first = lines->offset + lines->end == 0;
    ssize_t got = file_read(lines->fd, lines->block + lines->end, first ? FIRST_READ : lines->size - lines->end);
    if (got < 0)
        return (int)got;
    lines->end += (size_t)got;
    lines->eof = got == 0;
    if (lines->eof && lines->end > 0) /* the last line ends like any other */
        lines->block[lines->end++] = '\n';
    return 1;
}

int lines_fill(struct lines *lines)
{
    bool overlong = false;
    for (char *newline = NULL; !newline;) {
        if (lines->eof)
            return 0;
        size_t searched = lines->end - lines->next;
        int more = read_more(lines);
        if (more < 0)
            return more;
        if (more == 0) {
            overlong = true;
            lines->offset += lines->end;
            searched = lines->end = 0;
        }
        newline = memchr(lines->block + searched, '\n', lines->end - searched);
        if (newline && overlong)
            lines->next = (size_t)(newline - lines->block) + 1;
    }
    return 1;
}
