/* SPDX-License-Identifier: MIT */
/* TOOL, `accounts set-password`, takes the password from here to the file. */
#ifndef PAM_ACCOUNTS_TOOL_H
#define PAM_ACCOUNTS_TOOL_H

#include <security/pam_modules.h>
#include <stdbool.h>

/* Set a user's password; `field', unless NULL, is what the password field must still be by then. noreap: leave the
   application's SIGCHLD alone, a word of pam_unix. Tells syslog what went wrong. Returns
   PAM_SUCCESS, PAM_USER_UNKNOWN, PAM_AUTHTOK_LOCK_BUSY, PAM_TRY_AGAIN when the field has changed, PAM_BUF_ERR,
   PAM_AUTHTOK_ERR, or PAM_INCOMPLETE where the application has taken the exit status away. */
int tool_set_password(pam_handle_t *pamh, const char *user, const char *password, const char *field, bool noreap);

#endif
