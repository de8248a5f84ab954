/* SPDX-License-Identifier: MIT */
/* The lines of an account file, read in large blocks. */
#ifndef ALTFILES_LINES_H
#define ALTFILES_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A longer line is no account but a damaged file; it is skipped, so that garbage cannot make every process of
   the system allocate without bound. The longest sensible row, a group of a million users, still fits. */
#ifndef LONGEST_LINE
#define LONGEST_LINE ((size_t)16 << 20)
#endif

/* The first read is smaller than a block: most files have no more, and the most wanted row, root's, comes first
   in the others, so that their first lines are worth a look before an index is asked. */
#ifndef FIRST_READ
enum { FIRST_READ = 12 * 1024, FIRST_LOOK = 1024 };
#endif

struct lines {
    int fd;
    char *block;     /* NULL while no file is open */
    size_t size;     /* of the block; one more byte is allocated for a final NUL */
    size_t next;     /* the first byte of the block not yet handed out */
    size_t end;      /* behind the last byte read */
    uint64_t offset; /* of the block in the file */
    char *line;      /* the current line; its newline, behind it, may be overwritten */
    size_t length;   /* NULs that are in the file included */
    bool eof;
};

/* All return a negative errno value when they fail. lines_fill returns 1 when the block has more in it, and 0 at
   the end of the file. */
int lines_open(struct lines *lines, const char *path);
int lines_fill(struct lines *lines);
void lines_close(struct lines *lines);

/* Returns 1 when there is a line, which stays valid until the next call, and 0 at the end. */
static inline int lines_next(struct lines *lines)
{
    char *newline;
    int result;
    while (!(newline = memchr(lines->block + lines->next, '\n', lines->end - lines->next)))
        if ((result = lines_fill(lines)) <= 0)
            return result;
    lines->line = lines->block + lines->next;
    lines->length = (size_t)(newline - lines->line);
    lines->next += lines->length + 1;
    return 1;
}

/* Whether the file is not small and its first lines have been looked at: is there a faster way to the rest? */
static inline bool lines_are_many(const struct lines *lines)
{
    return lines->offset + lines->end >= FIRST_READ && lines->offset + lines->next > FIRST_LOOK;
}

/* Let the next line be the one at this offset of the file. */
void lines_seek(struct lines *lines, uint64_t offset);

#endif
