/* SPDX-License-Identifier: MIT */
/* The lines of an account file, read in large blocks. */
#ifndef ALTFILES_LINES_H
#define ALTFILES_LINES_H

#include <stdbool.h>
#include <stddef.h>

/* A longer line is no account but a damaged file; it is skipped, so that garbage cannot make every process of
   the system allocate without bound. The longest sensible row, a group of a million users, still fits. */
#ifndef LONGEST_LINE
#define LONGEST_LINE ((size_t)16 << 20)
#endif

struct lines {
    int fd;
    char *block;    /* NULL while no file is open */
    size_t size;    /* of the block; one more byte is allocated for a final NUL */
    size_t next;    /* offset of the first byte not yet handed out */
    size_t end;     /* offset behind the last byte read */
    char *line;     /* the current line: NUL-terminated, no newline */
    size_t length;  /* == strlen(line) */
    bool started;
    bool eof;
    int ask;        /* after so many lines whether to go on, see LINES_MANY; 0 for never */
    bool again;     /* hand out the current line once more */
    bool nul_bytes; /* the file has some: cut lines there, as a C string reader would */
};

/* Both return a negative errno value when they fail. lines_next returns 1 when there is a line, which stays
   valid until the next call, 0 at the end, and once, in a file that is not small, LINES_MANY: the caller may
   know a faster way to the rest, which begins at the offset `next' of the file, and may use the block from
   LINES_SPARE on until it calls again. */
enum { LINES_MANY = 2, LINES_SPARE = 16 * 1024 };
int lines_open(struct lines *lines, const char *path);
int lines_next(struct lines *lines);

/* Let the next call of lines_next return the current line once more. */
static inline void lines_again(struct lines *lines)
{
    lines->again = true;
}

void lines_close(struct lines *lines);

#endif
