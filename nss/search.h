/* SPDX-License-Identifier: MIT */
/* The rows of an account file of the image that may be what is asked for, in the order of the file: by the index
   where there is one that counts, else all rows. */
#ifndef ALTFILES_SEARCH_H
#define ALTFILES_SEARCH_H

#include "hidden.h"
#include "index.h"
#include "lines.h"

struct search {
    struct index *known; /* what to know about the index; NULL for all rows, or once it was asked */
    const char *index_path;
    enum index_table table;
    uint32_t key;
    struct index index;
    struct lines lines;
    struct hidden hidden;
    char *copy;     /* of the row that the index has led to */
    uint64_t after; /* where in the file that row ends */
    uint32_t led;   /* how many there were */
    char *line;     /* the current row, without the blanks before it; not yet NUL-terminated: most rows are not */
    size_t length;  /* wanted, and to read what has just been written costs more than to look at it */
};

/* The first four fields are the caller's, who opens the lines as well; the others are zero to begin with.
   search_next returns as lines_next. search_close is for one whose lines could not be opened, too. */
int search_next(struct search *search);
void search_close(struct search *search);

/* NUL-terminate the current row. Whether it is to be seen: 1, 0 for a hidden one, or a negative errno value. */
int search_sees(struct search *search, const char *database);

#endif
