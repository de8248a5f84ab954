/* SPDX-License-Identifier: MIT */
/* The functions of one NSS service, whichever object they come from. */
#ifndef TESTS_SERVICE_H
#define TESTS_SERVICE_H

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <gshadow.h>
#include <nss.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>

#define FOR_EACH_DATABASE(X)          \
    X(passwd, struct passwd, pw, pwnam) \
    X(group, struct group, gr, grnam)   \
    X(shadow, struct spwd, sp, spnam)   \
    X(gshadow, struct sgrp, sg, sgnam)

typedef enum nss_status set_function(int);
typedef enum nss_status end_function(void);
typedef enum nss_status next_function(void *, char *, size_t, int *);
typedef enum nss_status name_function(const char *, void *, char *, size_t, int *);
typedef enum nss_status id_function(unsigned, void *, char *, size_t, int *);
typedef enum nss_status initgroups_function(const char *, gid_t, long *, long *, gid_t **, long, int *);

struct functions {
    const char *file;
    set_function *set;
    end_function *end;
    next_function *next;
    name_function *by_name;
    id_function *by_id; /* passwd and group only */
};

struct service {
    struct functions passwd, group, shadow, gshadow;
    initgroups_function *initgroups;
};

static inline void *optional_symbol(void *object, const char *name, const char *service)
{
    char symbol[64];
    snprintf(symbol, sizeof symbol, "_nss_%s_%s", service, name);
    return dlsym(object, symbol);
}

static inline void *service_symbol(void *object, const char *name, const char *service)
{
    char symbol[64];
    snprintf(symbol, sizeof symbol, "_nss_%s_%s", service, name);
    void *address = dlsym(object, symbol);
    if (!address) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    return address;
}

/* glibc's own `files' service lives in libc.so.6: pass "libc.so.6" and "files". */
static inline struct service load_functions(const char *path, const char *name,
                                            void *(*symbol)(void *, const char *, const char *))
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    struct service s = {0};
#define LOAD(db, type, prefix, by)                                  \
    s.db.file = #db;                                                \
    s.db.set = symbol(object, "set" #prefix "ent", name);           \
    s.db.end = symbol(object, "end" #prefix "ent", name);           \
    s.db.next = symbol(object, "get" #prefix "ent_r", name);        \
    s.db.by_name = symbol(object, "get" #by "_r", name);
    FOR_EACH_DATABASE(LOAD)
#undef LOAD
    s.passwd.by_id = symbol(object, "getpwuid_r", name);
    s.group.by_id = symbol(object, "getgrgid_r", name);
    s.initgroups = symbol(object, "initgroups_dyn", name);
    return s;
}

static inline struct service load_service(const char *path, const char *name)
{
    return load_functions(path, name, service_symbol);
}

/* The same of a module that need not have all of them; a function that is not there is NULL. */
static inline struct service load_what_there_is(const char *path, const char *name)
{
    return load_functions(path, name, optional_symbol);
}

#endif
