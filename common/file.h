/* SPDX-License-Identifier: MIT */
/* Files without cancellation points: a thread cancelled in libc's open, read or close would leave a descriptor
   open and an enumeration locked for ever. */
#ifndef ALTFILES_FILE_H
#define ALTFILES_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* All return a negative errno value when they fail. */
int file_open(const char *path);
ssize_t file_read(int fd, char *buffer, size_t size);
void file_close(int fd);

/* Whether all of buffer could be filled, at once, with what is at the offset. */
bool file_read_at(int fd, void *buffer, size_t size, uint64_t offset);

/* All of a regular file with a NUL behind it, to be freed, as *text; may_trust, if not NULL, has a look at the
   file first. Returns 1, or 0 with *text NULL for a file that is not there, not for this caller, not regular or
   not trusted. Anything else, such as a caller who has used up his descriptors, is an error: he is not to
   choose what the answer is. */
int file_slurp(const char *path, bool (*may_trust)(const struct stat *), char **text, size_t *length);

#endif
