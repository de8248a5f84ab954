/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include <errno.h>
#include <grp.h>
#include <gshadow.h>
#include <pwd.h>
#include <shadow.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>

static bool is_nis(const char *name)
{
    return name[0] == '+' || name[0] == '-';
}

/* A lone `+' or `-' name, as nss_compat uses it, needs no further fields. */
static bool is_bare_nis(const char *name, const char *rest)
{
    return *rest == '\0' && is_nis(name);
}

/* Cut off the text before the next colon. */
static char *take_text(char **rest)
{
    char *text = *rest;
    char *colon = strchrnul(text, ':');
    *rest = *colon ? colon + 1 : colon;
    *colon = '\0';
    return text;
}

/* Cut off a number as strtoull(3) reads it in base 10: blanks and a sign may precede the digits. By hand, because
   what newer headers make of that name is missing from older C libraries, and images are built for those, too. One
   of more than 32 bits makes the row malformed, as in Debian's glibc; elsewhere it becomes the uid 4294967295,
   which to the kernel means "no such id". */
static bool take_number(char **rest, uint32_t *number)
{
    char *at = *rest;
    while (is_blank(*at))
        at++;
    bool negative = *at == '-', overflow = false;
    if (negative || *at == '+')
        at++;
    if (*at < '0' || *at > '9')
        return false;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        overflow |= __builtin_mul_overflow(value, 10, &value) |
            __builtin_add_overflow(value, (unsigned)(*at - '0'), &value);
    value = negative ? -value : value;
    if (overflow || value > UINT32_MAX || (*at != ':' && *at != '\0'))
        return false;
    *number = (uint32_t)value;
    *rest = *at ? at + 1 : at;
    return true;
}

/* The same where the field may be empty, though not missing. */
static bool take_optional(char **rest, uint32_t *number, uint32_t absent)
{
    if (**rest != ':')
        return take_number(rest, number);
    *number = absent;
    (*rest)++;
    return true;
}

/* Cut up a list of names that ends at `terminator' into an array at *space, and move *space behind it. Returns
   NULL if there is no room before `limit'. */
static char **take_list(char **rest, char terminator, char **space, char *limit)
{
    char **list = (char **)(*space + -(uintptr_t)*space % alignof(char *));
    size_t count = 0;
    char *at = *rest;
    char ended_by = ',';

    while (ended_by == ',' && *at) {
        while (is_blank(*at))
            at++;
        char *item = at;
        while (*at && *at != ',' && *at != terminator)
            at++;
        ended_by = *at;
        if (at > item) {
            if ((char *)(list + count + 1) > limit)
                return NULL;
            list[count++] = item;
        }
        if (*at)
            *at++ = '\0';
    }
    if ((char *)(list + count + 1) > limit)
        return NULL;
    list[count] = NULL;
    *rest = at;
    *space = (char *)(list + count + 1);
    return list;
}

int parse_passwd(char *line, char *limit, void *row)
{
    struct passwd *pw = row;
    (void)limit;

    *pw = (struct passwd){.pw_name = take_text(&line)};
    if (is_bare_nis(pw->pw_name, line))
        return 1;
    pw->pw_passwd = take_text(&line);
    bool ids = is_nis(pw->pw_name)
        ? take_optional(&line, &pw->pw_uid, 0) && take_optional(&line, &pw->pw_gid, 0)
        : take_number(&line, &pw->pw_uid) && take_number(&line, &pw->pw_gid);
    if (!ids)
        return 0;
    pw->pw_gecos = take_text(&line);
    pw->pw_dir = take_text(&line);
    pw->pw_shell = line;
    return 1;
}

/* A number of days, or -1 for none. shadow(5) files written by 32-bit tools say 4294967295 for that. */
static bool take_days(char **rest, long *days)
{
    uint32_t number;
    if (!take_optional(rest, &number, UINT32_MAX))
        return false;
    *days = (int)number;
    return true;
}

int parse_shadow(char *line, char *limit, void *row)
{
    struct spwd *sp = row;
    (void)limit;

    *sp = (struct spwd){
        .sp_namp = take_text(&line), .sp_warn = -1, .sp_inact = -1, .sp_expire = -1, .sp_flag = ~0ul};
    if (is_bare_nis(sp->sp_namp, line))
        return 1;
    sp->sp_pwdp = take_text(&line);
    if (!take_days(&line, &sp->sp_lstchg) || !take_days(&line, &sp->sp_min) ||
        !take_days(&line, &sp->sp_max))
        return 0;
    while (is_blank(*line))
        line++;
    if (*line == '\0') /* the short form, from before there was password ageing */
        return 1;
    if (!take_days(&line, &sp->sp_warn) || !take_days(&line, &sp->sp_inact) ||
        !take_days(&line, &sp->sp_expire))
        return 0;
    if (*line) {
        uint32_t flag;
        if (strchr(line, ':') || !take_number(&line, &flag))
            return 0;
        sp->sp_flag = flag;
    }
    return 1;
}

int parse_group(char *line, char *limit, void *row)
{
    struct group *gr = row;
    char *space = line + strlen(line) + 1;

    *gr = (struct group){.gr_name = take_text(&line)};
    if (!is_bare_nis(gr->gr_name, line)) {
        gr->gr_passwd = take_text(&line);
        if (is_nis(gr->gr_name) ? !take_optional(&line, &gr->gr_gid, 0) : !take_number(&line, &gr->gr_gid))
            return 0;
    }
    gr->gr_mem = take_list(&line, '\0', &space, limit);
    return gr->gr_mem ? 1 : -ERANGE;
}

int parse_gshadow(char *line, char *limit, void *row)
{
    struct sgrp *sg = row;
    char *space = line + strlen(line) + 1;

    *sg = (struct sgrp){.sg_namp = take_text(&line)};
    if (!is_bare_nis(sg->sg_namp, line)) {
        sg->sg_passwd = take_text(&line);
        sg->sg_adm = take_list(&line, ':', &space, limit);
        if (!sg->sg_adm)
            return -ERANGE;
    }
    sg->sg_mem = take_list(&line, '\0', &space, limit);
    return sg->sg_mem ? 1 : -ERANGE;
}

bool has_member(char *const *list, const char *name)
{
    while (*list && strcmp(*list, name) != 0)
        list++;
    return *list != NULL;
}
