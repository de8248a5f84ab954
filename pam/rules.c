/* SPDX-License-Identifier: MIT */
#include "account.h"
#include "rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char lower(char c)
{
    return (char)tolower((unsigned char)c);
}

static bool is_palindrome(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length / 2; i++)
        if (lower(text[i]) != lower(text[length - 1 - i]))
            return false;
    return true;
}

static bool has_character(const char *text, char c)
{
    while (*text && lower(*text) != lower(c))
        text++;
    return *text != '\0';
}

/* More than half of the old password's first characters, as many as the new one has, are somewhere in the new one;
   from 8 on anything goes. */
static bool is_similar(const char *old_password, const char *new_password)
{
    size_t compared = 0, found = 0;
    if (strlen(new_password) >= 8)
        return false;
    for (; new_password[compared] && old_password[compared]; compared++)
        found += has_character(new_password, old_password[compared]);
    return compared < 2 * found;
}

/* With one kind of character it takes 8 of them, with two kinds 7, and so on. */
static bool is_simple(const char *text)
{
    size_t digits = 0, uppers = 0, lowers = 0, length = strlen(text);
    for (const char *c = text; *c; c++) {
        digits += isdigit((unsigned char)*c) != 0;
        uppers += isupper((unsigned char)*c) != 0;
        lowers += islower((unsigned char)*c) != 0;
    }
    bool others = digits + uppers + lowers < length;
    size_t kinds = (digits > 0) + (uppers > 0) + (lowers > 0) + others;
    return length < 9 - kinds;
}

/* Is the new password a part of the old one said twice? */
static bool is_wrapped(const char *old_password, const char *new_password)
{
    size_t length = strlen(old_password), wanted = strlen(new_password);
    if (wanted > 2 * length)
        return false;
    for (size_t start = 0; start + wanted <= 2 * length; start++) {
        size_t same = 0;
        while (same < wanted && lower(old_password[(start + same) % length]) == lower(new_password[same]))
            same++;
        if (same == wanted)
            return true;
    }
    return false;
}

static const char *refuse_obscure(const char *old_password, const char *new_password)
{
    if (is_palindrome(new_password))
        return "Bad: new password cannot be a palindrome";
    if (strcasecmp(old_password, new_password) == 0)
        return "Bad: new and old password must differ by more than just case";
    if (is_similar(old_password, new_password))
        return "Bad: new and old password are too similar";
    if (is_simple(new_password))
        return "Bad: new password is too simple";
    if (is_wrapped(old_password, new_password))
        return "Bad: new password is just a wrapped version of the old one";
    return NULL;
}

const char *rules_refuse(const struct rules *rules, const char *old_password, const char *new_password)
{
    size_t length = strlen(new_password);
    if (length == 0)
        return "No password has been supplied.";
    if (old_password && strcmp(old_password, new_password) == 0)
        return "The password has not been changed.";
    if (length > LONGEST_PASSWORD)
        return "You must choose a shorter password.";
    if (rules->is_root)
        return NULL;
    if (length < rules->minimum)
        return "You must choose a longer password.";
    return rules->obscure && old_password ? refuse_obscure(old_password, new_password) : NULL;
}
