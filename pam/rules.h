/* SPDX-License-Identifier: MIT */
/* What pam_unix has against a new password, in its words. Pure. */
#ifndef PAM_ACCOUNTS_RULES_H
#define PAM_ACCOUNTS_RULES_H

#include <stdbool.h>

struct rules {
    bool is_root;   /* who may choose any password but none */
    bool obscure;   /* the checks of Debian's pam_unix */
    size_t minimum; /* bytes */
};

/* NULL, or a message to be translated. old_password: NULL where it was not asked for. */
const char *rules_refuse(const struct rules *rules, const char *old_password, const char *new_password);

#endif
