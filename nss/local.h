/* SPDX-License-Identifier: MIT */
/* The rows of an account file of LOCALDIR, /etc, by name: what an enumeration of the image's rows must leave
   out, because the `files' service has given it already. */
#ifndef ALTFILES_LOCAL_H
#define ALTFILES_LOCAL_H

#include <grp.h>
#include <stdbool.h>
#include <stddef.h>

struct local {
    bool loaded;
    char *text;
    char **lines; /* into text, NUL-terminated, sorted by name, then in file order */
    size_t count;
};

/* Returns 1 or a negative errno value; a file that is not there has no rows. */
int local_load(struct local *local, const char *path);
void local_free(struct local *local);

/* The first line with the name at the start of `line', or *after its predecessor of the same name; NULL if
   there is none. */
const char *local_find(const struct local *local, const char *line, size_t *after);

/* The line of a group whose rows in both layers are joined as `[SUCCESS=merge]' joins them. Returns 1, 0 when
   `above' alone says all of it, or -ERANGE. */
int local_join(const struct group *above, const struct group *below, char *buffer, size_t buflen);

#endif
