/* SPDX-License-Identifier: MIT */
#include "search.h"
#include "file.h"
#include "rows.h"

#include <errno.h>
#include <stdlib.h>

void search_close(struct search *search)
{
    index_close(&search->index);
    lines_close(&search->lines);
    hidden_free(&search->hidden);
    free(search->copy);
    search->copy = NULL;
}

/* The next row by the open index among those not scanned yet; -1 where the index is damaged. */
static int next_indexed(struct search *search)
{
    uint64_t offset;
    uint32_t length;
    int found;
    while ((found = index_next(&search->index, search->table, search->key, &offset, &length)) > 0) {
        if (offset < search->lines.offset + search->lines.next)
            continue;
        free(search->copy);
        search->copy = malloc((size_t)length + 1);
        if (!search->copy)
            return -ENOMEM;
        if (!file_read_at(search->lines.fd, search->copy, length, offset))
            break;
        search->line = search->copy;
        search->length = length;
        search->after = offset + length;
        search->led++;
        return 1;
    }
    return found ? -1 : 0;
}

int search_next(struct search *search)
{
    int result;
    if (search->known && lines_are_many(&search->lines)) {
        index_open(&search->index, search->known, search->index_path, search->lines.fd);
        search->known = NULL;
    }
    if (search->index.block) {
        /* Where one row in so many bytes is wanted, to read on is faster. */
        result = search->led >= 32 && search->after / search->led < 512 ? -1 : next_indexed(search);
        if (result != -1)
            return result;
        index_close(&search->index);
        if (search->after) /* what it has said up to there was sound */
            lines_seek(&search->lines, search->after);
    }
    while ((result = lines_next(&search->lines)) > 0) {
        search->line = search->lines.line;
        search->length = search->lines.length;
        while (search->length > 0 && is_blank(*search->line)) {
            search->line++;
            search->length--;
        }
        if (search->length > 0 && *search->line != '\0' && *search->line != '#')
            break;
    }
    return result;
}

int search_sees(struct search *search, const char *database)
{
    search->line[search->length] = '\0';
    int hidden = hidden_has(&search->hidden, database, search->line);
    return hidden < 0 ? hidden : !hidden;
}
