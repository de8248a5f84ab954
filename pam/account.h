/* SPDX-License-Identifier: MIT */
/* The password and its ageing of a user of either layer, read from the files: who is in neither is somebody
   else's user, whatever NSS may know of him. */
#ifndef PAM_ACCOUNTS_ACCOUNT_H
#define PAM_ACCOUNTS_ACCOUNT_H

#include <shadow.h>
#include <stdbool.h>

/* What crypt(3) takes: CRYPT_MAX_PASSPHRASE_SIZE counts the NUL. */
enum { LONGEST_PASSWORD = 511 };

struct account {
    char *field;        /* the password field that counts; NULL where passwd says "x" and shadow has no row */
    bool aged;          /* shadow has a row, whose days are: */
    struct spwd shadow; /* days only; -1 for an empty field */
};

/* Returns 1 with *account to be freed, 0 for a user of neither layer, or a negative errno value; -EACCES for a
   caller who may not read shadow. */
int account_load(struct account *account, const char *name);
void account_free(struct account *account);

/* Whether the field holds a hash of the password. No password opens an empty or a locked field. */
bool account_verify(const struct account *account, const char *password);

/* What pam_unix (1.7.0) makes of the days: PAM_SUCCESS, PAM_ACCT_EXPIRED, PAM_NEW_AUTHTOK_REQD, PAM_AUTHTOK_EXPIRED,
   or PAM_AUTHTOK_ERR for a password that is too young to be changed. *left, if not negative: days until it has to
   be, for a warning; 0 where the administrator wants that at once. today: days since the epoch. */
int account_state(const struct account *account, long today, long *left);

#endif
