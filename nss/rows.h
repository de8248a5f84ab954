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
bool is_blank(char c);

/* What follows the count-th colon of a line; "" if it has fewer. */
const char *after_colons(const char *line, int count);

/* Is `user', a name that could stand in a file, a member in this group(5) line? */
bool group_line_names(const char *line, const char *user);

/* The gid of a group(5) line, which is cut up. Returns false if it is malformed. */
bool group_line_gid(char *line, uint32_t *gid);

#endif
