/* SPDX-License-Identifier: MIT */
#include "index.h"
#include "file.h"

#include <endian.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* The first block is the header; the blocks of the tables follow. All numbers are little-endian, and the last
   word of each block is the hash of what is before it, of the file's digest (but for the header) and of the
   block's number. */
enum { INDEX_BLOCK = 1024, WORDS = INDEX_BLOCK / 8, ENTRY = 16, PER_BLOCK = (INDEX_BLOCK - 8) / ENTRY };
/* The clock that stamps files may be as coarse as this (CONFIG_HZ=100): a file that has just changed can change
   once more and look the same. */
#ifndef TICK
#define TICK 10000000
#endif
enum { MAGIC, SIZE, DIGEST, INODE, MTIME, CTIME, ROWS };
static const char magic[8] = {'A', 'C', 'C', 'T', 'I', 'D', 'X', '1'};

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 32;
}

static uint64_t word_at(const char *block, size_t number)
{
    uint64_t word;
    memcpy(&word, block + 8 * number, sizeof word);
    return le64toh(word);
}

static uint64_t mix_words(uint64_t hash, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = mix(hash, word_at(bytes, i));
    return hash;
}

/* Of bytes, the last word of which is filled up with zeros, and of their number. */
uint32_t index_key_of_name(const char *name, size_t length)
{
    uint64_t hash = 0;
    for (size_t at = 0; at < length; at += 8) {
        char word[8] = {0};
        memcpy(word, name + at, length - at < 8 ? length - at : 8);
        hash = mix_words(hash, word, 1);
    }
    return (uint32_t)(mix(hash, length) >> 32);
}

uint32_t index_key_of_id(uint32_t id)
{
    return (uint32_t)(mix(mix(0, id), 1) >> 32);
}

static bool read_block(const struct index *index, uint64_t digest, uint32_t number)
{
    return file_read_at(index->fd, index->block, INDEX_BLOCK, (uint64_t)number * INDEX_BLOCK) &&
        mix(mix_words(digest, index->block, WORDS - 1), number) == word_at(index->block, WORDS - 1);
}

static uint32_t blocks_of(uint32_t rows)
{
    return rows / PER_BLOCK + (rows % PER_BLOCK != 0);
}

static uint64_t nanoseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Nothing that happens to a file leaves all of these as they were. */
static uint64_t identity_of(const struct stat *status)
{
    uint64_t hash = mix(mix(mix(0, status->st_dev), status->st_ino), (uint64_t)status->st_size);
    return mix(mix(hash, nanoseconds(status->st_mtim)), nanoseconds(status->st_ctim));
}

/* The same hash of a file. */
static bool has_digest(int fd, uint64_t size, uint64_t digest, char *scratch)
{
    uint64_t hash = 0;
    for (uint64_t at = 0; at < size; at += INDEX_BLOCK) {
        size_t length = size - at < INDEX_BLOCK ? (size_t)(size - at) : INDEX_BLOCK;
        if (!file_read_at(fd, scratch, length, at))
            return false;
        memset(scratch + length, 0, -length % 8);
        hash = mix_words(hash, scratch, (length + 7) / 8);
    }
    return mix(hash, size) == digest;
}

/* Find out about an index that is not known yet. */
static void judge(struct index *index, const struct stat *own, int source, const struct stat *status)
{
    const char *block = index->block;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if ((int64_t)(nanoseconds(now) - nanoseconds(own->st_ctim)) < TICK ||
        (int64_t)(nanoseconds(now) - nanoseconds(status->st_ctim)) < TICK)
        return;
    index->refuted = identity_of(own);
    if (!read_block(index, 0, 0) || memcmp(block, magic, sizeof magic) != 0)
        return;
    uint64_t size = (uint64_t)status->st_size, blocks = 1;
    for (int table = 0; table < INDEX_TABLES; table++) {
        index->rows[table] = (uint32_t)word_at(block, (size_t)(ROWS + table));
        blocks += blocks_of(index->rows[table]);
    }
    index->digest = word_at(block, DIGEST);
    if (word_at(block, SIZE) != size || (uint64_t)own->st_size != blocks * INDEX_BLOCK)
        return;
    index->proven = word_at(block, CTIME) != 0 && word_at(block, INODE) == status->st_ino &&
        word_at(block, MTIME) == nanoseconds(status->st_mtim) &&
        word_at(block, CTIME) == nanoseconds(status->st_ctim);
    if (!index->proven && index->wanted)
        index->proven = has_digest(source, size, index->digest, index->block);
    else if (!index->proven)
        index->refuted = 0;
    index->wanted = true;
}

/* Of all `known': only ever tried, since the child of fork(2) may find it locked for ever. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void index_open(struct index *index, struct index *known, const char *path, int source)
{
    struct stat own, status;
    *index = (struct index){0};
    int fd = file_open(path);
    if (fd < 0)
        return;
    char *block = malloc(INDEX_BLOCK);
    if (block && fstat(source, &status) == 0 && S_ISREG(status.st_mode) && pthread_mutex_trylock(&lock) == 0) {
        uint64_t identity = identity_of(&status);
        if (known->identity != identity)
            *known = (struct index){.identity = identity};
        known->fd = fd;
        known->block = block;
        if (!known->proven && fstat(fd, &own) == 0 && S_ISREG(own.st_mode) && identity_of(&own) != known->refuted)
            judge(known, &own, source, &status);
        if (known->proven)
            *index = *known;
        pthread_mutex_unlock(&lock);
    }
    if (!index->block) {
        file_close(fd);
        free(block);
    }
}

void index_close(struct index *index)
{
    if (index->block)
        file_close(index->fd);
    free(index->block);
    index->block = NULL;
}

static uint32_t key_at(const struct index *index, uint32_t entry)
{
    return (uint32_t)word_at(index->block, 2 * (size_t)entry);
}

/* The first place of a table, which begins behind block `before', with at least this key, and the block of that
   place read; or UINT32_MAX for a damaged index. Keys are hashes, so that a guess by their size is nearly
   right; every third guess is the middle, so that the search is short whatever they are. */
static uint32_t first_place(const struct index *index, uint32_t before, uint32_t rows, uint32_t key)
{
    uint32_t low = 0, high = blocks_of(rows);
    uint64_t least = 0, most = UINT32_MAX;
    for (int guess = 1; low < high; guess++) {
        uint64_t share = guess % 3 ? (key - least) * (high - low) / (most - least + 1) : (high - low) / 2;
        uint32_t middle = low + (uint32_t)share;
        if (!read_block(index, index->digest, before + 1 + middle))
            return UINT32_MAX;
        uint32_t count = rows - middle * PER_BLOCK < PER_BLOCK ? rows - middle * PER_BLOCK : PER_BLOCK;
        uint32_t first = key_at(index, 0), last = key_at(index, count - 1);
        if (first < least || last < first || last > most)
            return UINT32_MAX;
        if (last < key) {
            low = middle + 1;
            least = last;
        } else if (first >= key && middle > low) {
            high = middle;
            most = first;
        } else {
            uint32_t entry = 0;
            while (key_at(index, entry) < key)
                entry++;
            return middle * PER_BLOCK + entry;
        }
    }
    if (low < blocks_of(rows) && !read_block(index, index->digest, before + 1 + low))
        return UINT32_MAX;
    return low * PER_BLOCK;
}

int index_next(struct index *index, enum index_table table, uint32_t key, uint64_t *offset, uint32_t *length)
{
    uint32_t before = 0, rows = index->rows[table], place = index->place;
    for (int other = 0; other < (int)table; other++)
        before += blocks_of(index->rows[other]);
    if (place == 0)
        place = first_place(index, before, rows, key);
    else if (place % PER_BLOCK == 0 && place < rows &&
             !read_block(index, index->digest, before + 1 + place / PER_BLOCK))
        place = UINT32_MAX;
    if (place == UINT32_MAX)
        return -1;
    uint32_t entry = place % PER_BLOCK;
    if (place >= rows || key_at(index, entry) != key)
        return 0;
    *offset = word_at(index->block, 2 * (size_t)entry + 1);
    *length = (uint32_t)(word_at(index->block, 2 * (size_t)entry) >> 32);
    index->place = place + 1;
    return 1;
}
