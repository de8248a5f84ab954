/* SPDX-License-Identifier: MIT */
/* A fuzz target over the whole module, linked in: an account file, its index and the
   hidden file, whatever they hold. The files are below the working directory, for which
   the module is built (DATADIR=. INDEXDIR=./index LOCALDIR=./local).

   For libFuzzer, AFL++, or the main() of mutate.h. */
#include "mutate.h"

#include <fcntl.h>
#include <grp.h>
#include <gshadow.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DECLARE(type, ent, nam)                                                 \
    enum nss_status _nss_altfiles_set##ent(int);                                \
    enum nss_status _nss_altfiles_end##ent(void);                               \
    enum nss_status _nss_altfiles_get##ent##_r(type *, char *, size_t, int *);  \
    enum nss_status _nss_altfiles_get##nam##_r(const char *, type *, char *, size_t, int *);
DECLARE(struct passwd, pwent, pwnam)
DECLARE(struct group, grent, grnam)
DECLARE(struct spwd, spent, spnam)
DECLARE(struct sgrp, sgent, sgnam)
enum nss_status _nss_altfiles_getpwuid_r(uid_t, struct passwd *, char *, size_t, int *);
enum nss_status _nss_altfiles_getgrgid_r(gid_t, struct group *, char *, size_t, int *);
enum nss_status _nss_altfiles_initgroups_dyn(const char *, gid_t, long *, long *, gid_t **, long, int *);

enum { PARTS = 4, SPACE = 512 };
static const char *const databases[] = {"passwd", "group", "shadow", "gshadow"};

static void write_file(const char *directory, const char *name, const uint8_t *data, size_t size)
{
    char path[64], new[72];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(new, sizeof new, "%s.new", path);
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC, 0644); /* a new inode, as the index knows files by it */
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) || rename(new, path))
        abort();
}

static const char *const names[] = {"root", "a", "u", "amy", ""};

/* Four parts behind their lengths (two bytes each): the file, its index, the hidden file, /etc's file. */
static void write_input(const uint8_t *data, size_t size)
{
    const char *database = databases[size ? data[0] % 4 : 0];
    const uint8_t *parts[PARTS] = {NULL};
    size_t sizes[PARTS] = {0}, at = size ? 1 : 0;
    for (int i = 0; i < PARTS && at + 2 <= size; i++) {
        sizes[i] = data[at] | (size_t)data[at + 1] << 8;
        at += 2;
        sizes[i] = sizes[i] < size - at ? sizes[i] : size - at;
        parts[i] = data + at;
        at += sizes[i];
    }
    write_file(".", database, parts[0], sizes[0]);
    write_file("index", database, parts[1], sizes[1]);
    write_file("local/accounts", "hidden", parts[2], sizes[2]);
    write_file("local", database, parts[3], sizes[3]);
}

#define ASK_BY_NAME(type, ent, nam)                                                             \
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {                                 \
        type row;                                                                               \
        _nss_altfiles_get##nam##_r(names[i], &row, buffer, SPACE, &error);                      \
    }

/* What the child of a fork(2) may ask, too: nothing in it waits for another thread. */
static void look_up(void)
{
    char *buffer = malloc(SPACE);
    int error;
    ASK_BY_NAME(struct passwd, pwent, pwnam)
    ASK_BY_NAME(struct group, grent, grnam)
    ASK_BY_NAME(struct spwd, spent, spnam)
    ASK_BY_NAME(struct sgrp, sgent, sgnam)
    for (unsigned id = 0; id < 6; id++) {
        struct passwd pw;
        struct group gr;
        _nss_altfiles_getpwuid_r(id, &pw, buffer, SPACE, &error);
        _nss_altfiles_getgrgid_r(id, &gr, buffer, SPACE, &error);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        long start = 0, room = 1;
        gid_t *gids = malloc(sizeof *gids);
        _nss_altfiles_initgroups_dyn(names[i], 7, &start, &room, &gids, 3, &error);
        free(gids);
    }
    free(buffer);
}

#define ENUMERATE(type, ent, nam)                                                               \
    {                                                                                           \
        type row;                                                                               \
        _nss_altfiles_set##ent(0);                                                              \
        for (int i = 0; i < 64; i++)                                                            \
            if (_nss_altfiles_get##ent##_r(&row, buffer, SPACE, &error) == NSS_STATUS_NOTFOUND) \
                break;                                                                          \
        _nss_altfiles_end##ent();                                                               \
    }

static void ask(void)
{
    for (int round = 0; round < 2; round++) {
        char *buffer = malloc(SPACE);
        int error;
        ENUMERATE(struct passwd, pwent, pwnam)
        ENUMERATE(struct group, grent, grnam)
        ENUMERATE(struct spwd, spent, spnam)
        ENUMERATE(struct sgrp, sgent, sgnam)
        free(buffer);
        look_up();
    }
}

const struct target target = {write_input, ask, look_up};
