/* SPDX-License-Identifier: MIT */
#include "account.h"
#include "local.h"
#include "rows.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <nss.h>
#include <pwd.h>
#include <security/pam_modules.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The image's rows, by the code of the NSS module: hide rows and the index count here as they do there. */
enum nss_status _nss_altfiles_getpwnam_r(const char *, struct passwd *, char *, size_t, int *);
enum nss_status _nss_altfiles_getspnam_r(const char *, struct spwd *, char *, size_t, int *);

enum { FIRST_BUFFER = 1024, LARGEST_BUFFER = 1 << 20 };

union row {
    struct passwd pw;
    struct spwd sp;
};

static enum nss_status image_row(bool shadow, const char *name, union row *row, char *buffer, size_t size,
                                 int *error)
{
    return shadow ? _nss_altfiles_getspnam_r(name, &row->sp, buffer, size, error)
                  : _nss_altfiles_getpwnam_r(name, &row->pw, buffer, size, error);
}

static void forget(char *text, size_t size)
{
    if (text)
        explicit_bzero(text, size);
    free(text);
}

/* Rows of other users have hashes, too. */
static void forget_local(struct local *local)
{
    for (size_t i = 0; i < local->count; i++)
        explicit_bzero(local->lines[i], strlen(local->lines[i]));
    local_free(local);
}

/* The first sound row of LOCALDIR with that name. Results as those of find_row. */
static int find_local(bool shadow, const char *name, union row *row, char **buffer, size_t *size)
{
    struct local local = {0};
    int result = local_load(&local, shadow ? LOCALDIR "/shadow" : LOCALDIR "/passwd");
    if (result < 0)
        return result;
    result = 0;
    const char *line;
    for (size_t after = 0; result == 0 && (line = local_find(&local, name, &after));) {
        *size = strlen(line) + 1;
        *buffer = strdup(line);
        if (!*buffer)
            result = -ENOMEM;
        else
            result = (shadow ? parse_shadow : parse_passwd)(*buffer, *buffer + *size, row);
        if (result <= 0)
            forget(*buffer, *size);
    }
    forget_local(&local);
    return result;
}

/* The row of that name, of LOCALDIR if that has one, else of DATADIR; it points into *buffer, to be forgotten.
   Returns 1, 0 when there is none, or a negative errno value. */
static int find_row(bool shadow, const char *name, union row *row, char **buffer, size_t *size)
{
    int result = find_local(shadow, name, row, buffer, size);
    if (result != 0)
        return result;
    for (*size = FIRST_BUFFER; *size <= LARGEST_BUFFER; *size *= 4) {
        int error = 0;
        *buffer = malloc(*size);
        if (!*buffer)
            return -ENOMEM;
        enum nss_status status = image_row(shadow, name, row, *buffer, *size, &error);
        if (status == NSS_STATUS_SUCCESS)
            return 1;
        forget(*buffer, *size);
        if (status == NSS_STATUS_NOTFOUND || error == ENOENT)
            return 0;
        if (error != ERANGE)
            return error ? -error : -EIO;
    }
    return -ERANGE;
}

static bool is_locked_away(const char *path)
{
    return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) != 0 && errno == EACCES;
}

int account_load(struct account *account, const char *name)
{
    union row row = {0};
    char *buffer = NULL;
    size_t size = 0;

    *account = (struct account){0};
    /* What looks like one in a file is none, see passwd(5). */
    if (*name == '\0' || strchr("+-#", *name) || strpbrk(name, ":\n"))
        return 0;
    int result = find_row(false, name, &row, &buffer, &size);
    if (result != 1)
        return result;
    const char *field = row.pw.pw_passwd ? row.pw.pw_passwd : "";
    bool shadowed = strcmp(field, "x") == 0 || (strncmp(field, "##", 2) == 0 && strcmp(field + 2, name) == 0);
    if (!shadowed)
        account->field = strdup(field);
    forget(buffer, size);
    if (!shadowed)
        return account->field ? 1 : -ENOMEM;

    if (is_locked_away(LOCALDIR "/shadow") || is_locked_away(DATADIR "/shadow"))
        return -EACCES;
    result = find_row(true, name, &row, &buffer, &size);
    if (result == 0)
        return 1;
    if (result < 0)
        return result;
    account->shadow = row.sp;
    account->shadow.sp_namp = account->shadow.sp_pwdp = NULL;
    account->aged = true;
    account->field = strdup(row.sp.sp_pwdp ? row.sp.sp_pwdp : "");
    forget(buffer, size);
    return account->field ? 1 : -ENOMEM;
}

void account_free(struct account *account)
{
    forget(account->field, account->field ? strlen(account->field) : 0);
    *account = (struct account){0};
}

/* In a time that says nothing about where they differ. */
static bool is_same(const char *a, const char *b)
{
    size_t length = strlen(a);
    if (length != strlen(b))
        return false;
    unsigned differ = 0;
    for (size_t i = 0; i < length; i++)
        differ |= (unsigned char)a[i] ^ (unsigned char)b[i];
    return differ == 0;
}

bool account_verify(const struct account *account, const char *password)
{
    const char *field = account->field;
    if (!field || *field == '\0' || *field == '!' || *field == '*' || strlen(password) > LONGEST_PASSWORD)
        return false;
    struct crypt_data *data = calloc(1, sizeof *data);
    if (!data)
        return false;
    const char *made = crypt_r(password, field, data);
    bool result = made && *made != '*' && is_same(made, field);
    explicit_bzero(data, sizeof *data);
    free(data);
    return result;
}

int account_state(const struct account *account, long today, long *left)
{
    const struct spwd *days = &account->shadow;
    *left = -1;
    if (!account->aged)
        return PAM_SUCCESS;
    if (days->sp_expire >= 0 && today >= days->sp_expire)
        return PAM_ACCT_EXPIRED;
    if (days->sp_lstchg == 0) {
        *left = 0;
        return PAM_NEW_AUTHTOK_REQD;
    }
    if (days->sp_lstchg < 0 || today < days->sp_lstchg)
        return PAM_SUCCESS;
    long age = today - days->sp_lstchg, end;
    if (days->sp_max >= 0) {
        if (days->sp_inact >= 0 && !__builtin_add_overflow(days->sp_max, days->sp_inact, &end) && age >= end)
            return PAM_AUTHTOK_EXPIRED;
        if (age >= days->sp_max)
            return PAM_NEW_AUTHTOK_REQD;
        if (days->sp_warn > 0 && age >= days->sp_max - days->sp_warn)
            *left = days->sp_max - age;
    }
    return days->sp_min > 0 && age < days->sp_min ? PAM_AUTHTOK_ERR : PAM_SUCCESS;
}
