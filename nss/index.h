/* SPDX-License-Identifier: MIT */
/* The index of an image's account file (docs/decisions/index.md): where in it the rows with a name, an id or a
   member are. It is a hint that must be proven: what does not match the file, or is damaged, is as none. */
#ifndef ALTFILES_INDEX_H
#define ALTFILES_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum index_table { BY_NAME, BY_ID, BY_MEMBER, INDEX_TABLES };

/* What this process knows of the index of one file, all zero to begin with; and, in a copy of that, an index
   that is open and where the search in it is. */
struct index {
    uint64_t identity; /* of the file when the following was found out */
    uint64_t digest;
    uint64_t refuted; /* the identity of an index that is none of this file */
    uint32_t rows[INDEX_TABLES];
    bool proven;
    bool wanted; /* has been asked for before: a second question is worth reading all of the file */
    int fd;
    char *block; /* NULL while no index is open */
    uint32_t place;
};

/* Open the index at `path', if it is proven to be of the open file `source'. */
void index_open(struct index *index, struct index *known, const char *path, int source);
void index_close(struct index *index);

uint32_t index_key_of_name(const char *name, size_t length);
uint32_t index_key_of_id(uint32_t id);

/* The next entry of a table that has a key, in the order of the rows. Returns 1 with the row's place in the
   file, 0 when there are no more, or -1 for a damaged index. */
int index_next(struct index *index, enum index_table table, uint32_t key, uint64_t *offset, uint32_t *length);

#endif
