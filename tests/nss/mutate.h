/* SPDX-License-Identifier: MIT */
/* What the fuzz targets of nss/ and subid/ have in common. A program defines one `target'.

   With clang -fsanitize=fuzzer -DLIBFUZZER it is libFuzzer's. Else its main() is
     fuzz ROUNDS SEED THREADS FILE...   mutates each file so often, and asks in so many threads
     fuzz -                             takes one input from standard input (AFL++). */
#ifndef TESTS_MUTATE_H
#define TESTS_MUTATE_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct target {
    void (*write_input)(const uint8_t *data, size_t size); /* the files of an input */
    void (*ask)(void);                                     /* everything about them */
    void (*ask_forked)(void);                              /* what the child of a fork(2) may ask */
};
extern const struct target target;

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target.write_input(data, size);
    target.ask();
    return 0;
}
#else
enum { MOST_THREADS = 8, LARGEST_INPUT = 1 << 16 };

static void *ask_in_thread(void *argument)
{
    target.ask();
    return argument;
}

/* With threads: all at once, and in the child of a fork(2) meanwhile, which must not wait for ever. */
static void try_input(const uint8_t *data, size_t size, int threads)
{
    pthread_t ids[MOST_THREADS];
    target.write_input(data, size);
    if (threads == 0) {
        target.ask();
        return;
    }
    for (int i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, ask_in_thread, NULL))
            abort();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose own locks do not survive fork(2) */
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        target.ask_forked();
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        abort();
#endif
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

int main(int argc, char **argv)
{
    static uint8_t seed[LARGEST_INPUT], input[LARGEST_INPUT];
    if (argc == 2) {
        try_input(input, fread(input, 1, sizeof input, stdin), 0);
        return 0;
    }
    if (argc < 5 || atoi(argv[3]) > MOST_THREADS)
        return 2;
    srandom((unsigned)atoi(argv[2]));
    for (int file = 4; file < argc; file++) {
        FILE *in = fopen(argv[file], "rb");
        size_t size = in ? fread(seed, 1, sizeof seed, in) : 0;
        if (!in || fclose(in) || size == 0)
            return 2;
        try_input(seed, size, atoi(argv[3]));
        for (int round = atoi(argv[1]); round > 0; round--) {
            memcpy(input, seed, size);
            for (long change = 1 + random() % 8; change > 0; change--)
                input[(size_t)random() % size] = (uint8_t)(random() % 3 ? ":\n,#0+a\0"[random() % 8] : random());
            try_input(input, random() % 4 ? size : (size_t)random() % size, atoi(argv[3]));
        }
    }
    puts("done");
    return 0;
}
#endif

#endif
