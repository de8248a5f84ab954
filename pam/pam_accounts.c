/* SPDX-License-Identifier: MIT */
/* pam_accounts: passwords and expiry of the users of both layers, for pam.d(5), in front of pam_unix.

   pam_unix changes the password only of users with rows in /etc/passwd and /etc/shadow, this module that of every
   user of the image or of this machine, in the words of pam_unix. For everybody else both parts answer
   PAM_USER_UNKNOWN, so that the stack goes on. What refuses a password change is PAM_AUTHTOK_ERR, as of the
   pam_deny behind pam_unix. The rows are written by TOOL (docs/decisions/pam.md). */
#include "account.h"
#include "rules.h"
#include "tool.h"

#include <errno.h>
#include <libintl.h>
#include <security/pam_ext.h>
#include <security/pam_modutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
/* So its users read them in their language. */
#define TRANSLATIONS "Linux-PAM"

enum { TRIES = 3, SECONDS_A_DAY = 24 * 60 * 60, FAIL_DELAY = 2000000 /* us */ };

/* strtoul(3) of C17: a module that asks for C23's, from glibc 2.38 on, is not loaded by an older one. */
extern unsigned long parse_number(const char *text, char **end, int base) __asm__("strtoul");

struct options {
    bool silent, delay, debug, once, noreap;
    struct rules rules;
};

/* Words of pam_unix that libpam reads itself, and those that mean nothing here: hashes are made by TOOL. */
static bool is_harmless(const char *word)
{
    static const char *const words[] = {"try_first_pass", "shadow", "nullok", "nullresetok", "md5", "sha256", "sha512",
                                        "blowfish", "yescrypt", "gost_yescrypt", "bigcrypt", "des", "quiet", "audit",
                                        "likeauth", "broken_shadow"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return strncmp(word, "rounds=", 7) == 0 || strncmp(word, "authtok_type=", 13) == 0;
}

static struct options read_options(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    struct options options = {.silent = flags & PAM_SILENT, .delay = true};
    /* Whose password has expired proves who he is, though login(1) is root. */
    options.rules.is_root = getuid() == 0 && !(flags & PAM_CHANGE_EXPIRED_AUTHTOK);
    options.rules.minimum = 6;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (strncmp(word, "minlen=", 7) == 0)
            options.rules.minimum = (size_t)parse_number(word + 7, NULL, 10);
        else if (strcmp(word, "obscure") == 0)
            options.rules.obscure = true;
        else if (strcmp(word, "use_authtok") == 0 || strcmp(word, "use_first_pass") == 0)
            options.once = true;
        else if (strcmp(word, "nodelay") == 0)
            options.delay = false;
        else if (strcmp(word, "noreap") == 0)
            options.noreap = true;
        else if (strcmp(word, "debug") == 0)
            options.debug = true;
        else if (!is_harmless(word))
            pam_syslog(pamh, LOG_ERR, "unrecognized option [%s]", word);
    }
    return options;
}

static void tell(pam_handle_t *pamh, const struct options *options, int style, const char *text)
{
    if (!options->silent)
        pam_prompt(pamh, style, NULL, "%s", dgettext(TRANSLATIONS, text));
}

static const char *text_item(pam_handle_t *pamh, int item)
{
    const void *value = NULL;
    return pam_get_item(pamh, item, &value) == PAM_SUCCESS && value ? value : "";
}

/* The account that the application means. Returns PAM_SUCCESS, or what to answer without one. */
static int load(pam_handle_t *pamh, const struct options *options, struct account *account, const char **user)
{
    int result = pam_get_user(pamh, user, NULL);
    if (result != PAM_SUCCESS)
        return result;
    result = account_load(account, *user);
    if (result == 1)
        return PAM_SUCCESS;
    if (options->debug || (result < 0 && result != -EACCES))
        pam_syslog(pamh, result < 0 ? LOG_ERR : LOG_DEBUG, "user \"%s\": %s", *user,
                   result < 0 ? strerror(-result) : "in neither layer");
    account_free(account);
    switch (result) {
    case 0:
        return PAM_USER_UNKNOWN;
    case -EACCES:
        return PAM_CRED_INSUFFICIENT;
    case -ENOMEM:
        return PAM_BUF_ERR;
    default:
        return PAM_SYSTEM_ERR;
    }
}

static bool verify(pam_handle_t *pamh, const struct options *options, const struct account *account,
                   const char *user, const char *password)
{
    if (options->delay)
        pam_fail_delay(pamh, FAIL_DELAY);
    if (account_verify(account, password))
        return true;
    const char *login = pam_modutil_getlogin(pamh);
    pam_syslog(pamh, LOG_NOTICE, "authentication failure; logname=%s uid=%d euid=%d tty=%s ruser=%s rhost=%s  user=%s",
               login ? login : "", (int)getuid(), (int)geteuid(), text_item(pamh, PAM_TTY), text_item(pamh, PAM_RUSER),
               text_item(pamh, PAM_RHOST), user);
    return false;
}

/* May the password be changed today? Whoever must change it may. */
static bool is_in_time(pam_handle_t *pamh, const struct options *options, const struct account *account,
                       const char *user)
{
    long left;
    int state = account_state(account, time(NULL) / SECONDS_A_DAY, &left);
    if (options->rules.is_root || state == PAM_SUCCESS || state == PAM_NEW_AUTHTOK_REQD)
        return true;
    if (state == PAM_AUTHTOK_ERR)
        tell(pamh, options, PAM_ERROR_MSG, "You must wait longer to change your password.");
    else
        pam_syslog(pamh, LOG_NOTICE, "user shadow entry expired: %s", user);
    return false;
}

/* PAM_PRELIM_CHECK: who asks proves that he knows the old password, unless he is root or there is none. */
static int prove(pam_handle_t *pamh, const struct options *options, const struct account *account, const char *user)
{
    if (account->field && *account->field == '\0')
        return PAM_SUCCESS;
    if (!options->rules.is_root) {
        const char *password;
        if (!options->silent)
            pam_info(pamh, dgettext(TRANSLATIONS, "Changing password for %s."), user);
        int result = pam_get_authtok(pamh, PAM_OLDAUTHTOK, &password, NULL);
        if (result != PAM_SUCCESS) {
            pam_syslog(pamh, LOG_NOTICE, "password - (old) token not obtained");
            return PAM_AUTHTOK_ERR;
        }
        if (!verify(pamh, options, account, user, password))
            return PAM_AUTHTOK_ERR;
    }
    return is_in_time(pamh, options, account, user) ? PAM_SUCCESS : PAM_AUTHTOK_ERR;
}

/* The new password: of the modules before this one, or typed. */
static int choose(pam_handle_t *pamh, const struct options *options, const char *old_password, const char **password)
{
    for (int tries = options->once ? 1 : TRIES; tries > 0; tries--) {
        if (pam_get_authtok(pamh, PAM_AUTHTOK, password, NULL) != PAM_SUCCESS)
            return PAM_AUTHTOK_ERR;
        const char *refused = rules_refuse(&options->rules, old_password, *password);
        if (!refused)
            return PAM_SUCCESS;
        tell(pamh, options, PAM_ERROR_MSG, refused);
        pam_set_item(pamh, PAM_AUTHTOK, NULL);
    }
    pam_syslog(pamh, LOG_NOTICE, "new password not acceptable");
    return PAM_AUTHTOK_ERR;
}

/* Where the application has taken the tool's exit status away, the file says whether it has done its work. */
static int find_out(const char *user, const char *password)
{
    struct account account;
    if (account_load(&account, user) != 1)
        return PAM_AUTHTOK_ERR;
    bool done = account_verify(&account, password);
    account_free(&account);
    return done ? PAM_SUCCESS : PAM_AUTHTOK_ERR;
}

/* PAM_UPDATE_AUTHTOK. What was proven is proven again, and must hold until the tool has the locks. */
static int update(pam_handle_t *pamh, const struct options *options, const struct account *account, const char *user)
{
    const void *old_password = NULL;
    const char *password = NULL;
    int result = pam_get_item(pamh, PAM_OLDAUTHTOK, &old_password);
    if (result != PAM_SUCCESS)
        return result;
    result = choose(pamh, options, old_password, &password);
    if (result != PAM_SUCCESS)
        return result;
    bool proven = !options->rules.is_root && account->field && *account->field;
    if (proven && (!old_password || !account_verify(account, old_password))) {
        pam_syslog(pamh, LOG_NOTICE, "user password changed by another process");
        return PAM_AUTHTOK_ERR;
    }
    if (!is_in_time(pamh, options, account, user))
        return PAM_AUTHTOK_ERR;
    result = tool_set_password(pamh, user, password, options->rules.is_root ? NULL : account->field, options->noreap);
    if (result == PAM_INCOMPLETE)
        result = find_out(user, password);
    if (result == PAM_SUCCESS)
        pam_syslog(pamh, LOG_NOTICE, "password changed for %s", user);
    else if (result == PAM_TRY_AGAIN) {
        pam_syslog(pamh, LOG_NOTICE, "user password changed by another process");
        result = PAM_AUTHTOK_ERR;
    }
    return result;
}

EXPORT int pam_sm_chauthtok(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    struct options options = read_options(pamh, flags, argc, argv);
    struct account account;
    const char *user;
    int result = load(pamh, &options, &account, &user);
    if (result != PAM_SUCCESS)
        return result;
    if (geteuid() != 0)
        result = PAM_CRED_INSUFFICIENT;
    else if (flags & PAM_PRELIM_CHECK)
        result = prove(pamh, &options, &account, user);
    else
        result = flags & PAM_UPDATE_AUTHTOK ? update(pamh, &options, &account, user) : PAM_SYSTEM_ERR;
    account_free(&account);
    return result;
}

static void warn_of_end(pam_handle_t *pamh, const struct options *options, long days)
{
    const char *text = dngettext(TRANSLATIONS, "Warning: your password will expire in %d day.",
                                 "Warning: your password will expire in %d days.", (unsigned long)days);
    if (!options->silent)
        pam_info(pamh, text, (int)days);
}

EXPORT int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    struct options options = read_options(pamh, flags, argc, argv);
    struct account account;
    const char *user;
    int result = load(pamh, &options, &account, &user);
    /* The caller may not read shadow. pam_unix has a helper for that. */
    if (result == PAM_CRED_INSUFFICIENT)
        return PAM_AUTHINFO_UNAVAIL;
    if (result != PAM_SUCCESS)
        return result;
    long left = -1;
    result = account.field ? account_state(&account, time(NULL) / SECONDS_A_DAY, &left) : PAM_AUTHINFO_UNAVAIL;
    account_free(&account);

    switch (result) {
    case PAM_ACCT_EXPIRED:
    case PAM_AUTHTOK_EXPIRED:
        pam_syslog(pamh, LOG_NOTICE, "account %s has expired (%s)", user,
                   result == PAM_ACCT_EXPIRED ? "account expired" : "failed to change password");
        tell(pamh, &options, PAM_ERROR_MSG, "Your account has expired; please contact your system administrator.");
        break;
    case PAM_NEW_AUTHTOK_REQD:
        pam_syslog(pamh, left == 0 ? LOG_NOTICE : LOG_DEBUG, "expired password for user %s (%s)", user,
                   left == 0 ? "root enforced" : "password aged");
        tell(pamh, &options, PAM_ERROR_MSG,
             left == 0 ? "You are required to change your password immediately (administrator enforced)."
                       : "You are required to change your password immediately (password expired).");
        break;
    case PAM_AUTHTOK_ERR: /* too young: nobody wants to change it now */
        result = PAM_SUCCESS;
        /* fall through */
    case PAM_SUCCESS:
        if (left >= 0)
            warn_of_end(pamh, &options, left);
    }
    return result;
}
