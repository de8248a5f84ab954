/* SPDX-License-Identifier: MIT */
/* HIDDEN, /etc/accounts/hidden: the names whose rows in the image must not be seen, a "DATABASE:NAME" a line.
   Only root's own file counts, and only as a whole: one that is broken, huge, or writable for others hides
   nothing. */
#ifndef ALTFILES_HIDDEN_H
#define ALTFILES_HIDDEN_H

#include <stdbool.h>

struct hidden {
    bool loaded;
    char *text; /* sound, or NULL where nothing is hidden */
};

/* Is the name at the start of `line' hidden in this database? Loads the file first, unless that has been done.
   Returns 1, 0, or a negative errno value. */
int hidden_has(struct hidden *hidden, const char *database, const char *line);

/* Forget the file. */
void hidden_free(struct hidden *hidden);

#endif
