/* SPDX-License-Identifier: MIT */
/* One row of passwd(5), shadow(5), group(5) or gshadow(5), taken apart.

   Pure: no I/O, no memory of its own, errno untouched. Every oddity (blanks before a number, ids out of range,
   `+' and `-' rows, empty list items, missing fields) is answered as glibc's own `files' service answers it, so
   that a row means the same in /etc and in the image. tests/nss compares the two. */
#ifndef ALTFILES_ROWS_H
#define ALTFILES_ROWS_H

#include <stdbool.h>
#include <stdint.h>

/* A parser cuts up the NUL-terminated `line' in place, points the row's fields into it and puts pointer arrays
   between the line's end and `limit'. It returns 1, 0 for a malformed line, or -ERANGE when the arrays do not
   fit. */
typedef int row_parser(char *line, char *limit, void *row);

row_parser parse_passwd; /* row: struct passwd */
row_parser parse_shadow; /* row: struct spwd */
row_parser parse_group;  /* row: struct group */
row_parser parse_gshadow; /* row: struct sgrp */

/* Blanks as isspace(3) has them in the C locale: what a file means must not depend on the locale of the program
   that asks. */
static inline bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether a NULL-terminated list has a name. */
bool has_member(char *const *list, const char *name);

#endif
