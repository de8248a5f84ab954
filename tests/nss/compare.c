/* SPDX-License-Identifier: MIT */
/* compare MODULE DATABASE [INDEX] < cases: does the module, built with DATADIR=/etc,
   answer as glibc's `files' service? Run it where /etc is a scratch directory: each
   case, a native 32-bit length and so many bytes, becomes /etc/DATABASE in turn. With
   INDEX, a path, a case has a second such part, the index; it is a new file each time,
   since the module may tell files apart by inode. */
#include "service.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST = 1 << 17, KEYS = 64 };

union row {
    char *name; /* the first field of them all */
    struct passwd pw;
    struct group gr;
    struct spwd sp;
    struct sgrp sg;
};

static void show_text(FILE *out, const char *text)
{
    if (!text) {
        fputs(" NULL", out);
        return;
    }
    fputs(" \"", out);
    for (; *text; text++)
        if (*text > ' ' && *text < 127 && *text != '"')
            putc(*text, out);
        else
            fprintf(out, "\\x%02x", (unsigned char)*text);
    putc('"', out);
}

static void show_list(FILE *out, char *const *list)
{
    fputs(list ? " [" : " NULL", out);
    for (; list && *list; list++)
        show_text(out, *list);
    fputs(list ? " ]" : "", out);
}

static void show_row(FILE *out, char kind, const union row *row)
{
    show_text(out, row->name);
    switch (kind) {
    case 'p':
        show_text(out, row->pw.pw_passwd);
        fprintf(out, " %u %u", row->pw.pw_uid, row->pw.pw_gid);
        show_text(out, row->pw.pw_gecos);
        show_text(out, row->pw.pw_dir);
        show_text(out, row->pw.pw_shell);
        break;
    case 'g':
        show_text(out, row->gr.gr_passwd);
        fprintf(out, " %u", row->gr.gr_gid);
        show_list(out, row->gr.gr_mem);
        break;
    case 's':
        show_text(out, row->sp.sp_pwdp);
        fprintf(out, " %ld %ld %ld %ld %ld %ld %lu", row->sp.sp_lstchg, row->sp.sp_min, row->sp.sp_max,
                row->sp.sp_warn, row->sp.sp_inact, row->sp.sp_expire, row->sp.sp_flag);
        break;
    case 'S':
        show_text(out, row->sg.sg_passwd);
        show_list(out, row->sg.sg_adm);
        show_list(out, row->sg.sg_mem);
        break;
    }
    putc('\n', out);
}

static char buffer[LARGEST];

/* Call with ever larger buffers, from too small on, until it is not ERANGE. */
#define WITH_ENOUGH_SPACE(status, call)                                                   \
    do {                                                                                  \
        size_t space = 1;                                                                 \
        int error;                                                                        \
        while ((status = (call)) == NSS_STATUS_TRYAGAIN && error == ERANGE &&             \
               space < LARGEST)                                                           \
            space += 1 + space / 3;                                                       \
    } while (0)

/* What there is to ask: the keys were taken from the case's bytes, so that both
   services are asked the same even if they see different rows. */
struct keys {
    char names[KEYS][64];
    int count;
    unsigned ids[KEYS];
    int id_count;
};

static char *ask(const struct service *s, const struct functions *db, char kind, const struct keys *keys,
                 bool with_groups)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    union row row;
    enum nss_status status;

    db->set(0);
    for (int rows = 0; rows < 2000; rows++) {
        memset(&row, 0xee, sizeof row);
        WITH_ENOUGH_SPACE(status, db->next(&row, buffer, space, &error));
        if (status != NSS_STATUS_SUCCESS)
            break;
        fputs("row:", out);
        show_row(out, kind, &row);
    }
    fprintf(out, "end: %d\n", status);
    db->end();
    for (int i = 0; i < keys->count; i++) {
        memset(&row, 0xee, sizeof row);
        WITH_ENOUGH_SPACE(status, db->by_name(keys->names[i], &row, buffer, space, &error));
        fputs("name", out);
        show_text(out, keys->names[i]);
        fprintf(out, ": %d", status);
        if (status == NSS_STATUS_SUCCESS)
            show_row(out, kind, &row);
        putc('\n', out);
    }
    for (int i = 0; db->by_id && i < keys->id_count; i++) {
        memset(&row, 0xee, sizeof row);
        WITH_ENOUGH_SPACE(status, db->by_id(keys->ids[i], &row, buffer, space, &error));
        fprintf(out, "id %u: %d", keys->ids[i], status);
        if (status == NSS_STATUS_SUCCESS)
            show_row(out, kind, &row);
        putc('\n', out);
    }
    for (int i = 0; with_groups && i < keys->count; i++)
        for (long limit = -1; limit <= 3; limit += 2) {
            long start = 1, size = 1;
            gid_t *gids = malloc(sizeof *gids);
            int error = 0;
            gids[0] = 7;
            status = s->initgroups(keys->names[i], 7, &start, &size, &gids, limit, &error);
            fputs("groups of", out);
            show_text(out, keys->names[i]);
            fprintf(out, " (at most %ld): %d", limit, status);
            for (long j = 0; j < start; j++)
                fprintf(out, " %u", gids[j]);
            putc('\n', out);
            free(gids);
        }
    fclose(out);
    return text;
}

/* glibc's initgroups takes commented-out groups for groups. Ours does not. */
static bool has_comment(const char *bytes, size_t length)
{
    bool at_start = true;
    for (size_t i = 0; i < length; i++) {
        if (at_start && bytes[i] == '#')
            return true;
        at_start = bytes[i] == '\n' || (at_start && strchr(" \t\v\f\r", bytes[i]) && bytes[i]);
    }
    return false;
}

static void add_key(struct keys *keys, const char *text, size_t length)
{
    char name[sizeof keys->names[0]];

    if (length >= sizeof name)
        return;
    memcpy(name, text, length);
    name[length] = '\0';
    for (int i = 0; i < keys->count; i++)
        if (strcmp(keys->names[i], name) == 0)
            return;
    if (keys->count < KEYS)
        strcpy(keys->names[keys->count++], name);
    unsigned id = (unsigned)strtoul(name, NULL, 10);
    for (int i = 0; i < keys->id_count; i++)
        if (keys->ids[i] == id)
            return;
    if (keys->id_count < KEYS)
        keys->ids[keys->id_count++] = id;
}

/* Every piece between separators, with and without the blanks around it. */
static struct keys keys_of(const char *bytes, size_t length)
{
    struct keys keys = {.ids = {UINT32_MAX}, .id_count = 1};
    size_t from = 0;

    add_key(&keys, "", 0);
    add_key(&keys, "nobody-has-this-name", 20);
    for (size_t i = 0; i <= length; i++) {
        if (i < length && !memchr(":,\n", bytes[i], 4))
            continue;
        add_key(&keys, bytes + from, i - from);
        while (from < i && strchr(" \t\v\f\r", bytes[from]) && bytes[from])
            from++;
        add_key(&keys, bytes + from, i - from);
        from = i + 1;
    }
    return keys;
}

/* The next part of the stream as a new file; its length, or -1 at the end. */
static long take_part(const char *path, char *bytes, size_t size)
{
    uint32_t length;
    char new[64];
    if (fread(&length, sizeof length, 1, stdin) != 1)
        return -1;
    snprintf(new, sizeof new, "%s.new", path);
    int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (length > size || fread(bytes, 1, length, stdin) != length || fd < 0 ||
        write(fd, bytes, length) != (ssize_t)length || close(fd) || rename(new, path))
        exit(2);
    return length;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4)
        return 2;
    struct service files = load_service("libc.so.6", "files");
    struct service ours = load_service(argv[1], "altfiles");
#define CHOOSE(db, type, prefix, by)                 \
    if (strcmp(argv[2], #db) == 0) {                 \
        theirs_db = &files.db;                       \
        ours_db = &ours.db;                          \
        kind = #db[0] == 'g' && #db[1] == 's' ? 'S' : #db[0]; \
    }
    const struct functions *theirs_db = NULL, *ours_db = NULL;
    char kind = 0;
    FOR_EACH_DATABASE(CHOOSE)
    char path[32];
    snprintf(path, sizeof path, "/etc/%s", argv[2]);

    int cases = 0, different = 0;
    long length;
    static char bytes[LARGEST / 2], index[LARGEST];
    while ((length = take_part(path, bytes, sizeof bytes)) >= 0) {
        if (argc == 4)
            take_part(argv[3], index, sizeof index);
        struct keys keys = keys_of(bytes, (size_t)length);
        bool with_groups = kind == 'g' && !has_comment(bytes, (size_t)length);
        char *theirs = ask(&files, theirs_db, kind, &keys, with_groups);
        char *mine = ask(&ours, ours_db, kind, &keys, with_groups);
        if (strcmp(theirs, mine) != 0 && ++different <= 10)
            printf("case %d\n--- files\n%s--- altfiles\n%s", cases, theirs, mine);
        free(theirs);
        free(mine);
        cases++;
    }
    printf("%d cases, %d different\n", cases, different);
    return different != 0;
}
