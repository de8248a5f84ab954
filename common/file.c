/* SPDX-License-Identifier: MIT */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int file_open(const char *path)
{
    long fd;
    do
        fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_LARGEFILE, 0);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : (int)fd;
}

ssize_t file_read(int fd, char *buffer, size_t size)
{
    ssize_t got;
    do
        got = syscall(SYS_read, fd, buffer, size);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

void file_close(int fd)
{
    syscall(SYS_close, fd);
}

bool file_read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
    char *to = buffer;
    while (size > 0) {
        /* libc knows how the system call of each machine takes a 64-bit offset, but its pread is a cancellation
           point. */
        int state;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        ssize_t got = pread(fd, to, size, (off_t)offset);
        pthread_setcancelstate(state, NULL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        to += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

int file_slurp(const char *path, bool (*may_trust)(const struct stat *), char **text, size_t *length)
{
    *text = NULL;
    *length = 0;
    int fd = file_open(path);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES)
        return 0;
    if (fd < 0)
        return fd;

    struct stat status;
    int result = fstat(fd, &status) ? -errno : S_ISREG(status.st_mode) && (!may_trust || may_trust(&status));
    if (result == 1) {
        size_t size = (size_t)status.st_size;
        *text = malloc(size + 1);
        if (!*text)
            result = -ENOMEM;
        while (result == 1 && *length < size) {
            ssize_t got = file_read(fd, *text + *length, size - *length);
            if (got < 0)
                result = (int)got;
            if (got <= 0)
                break;
            *length += (size_t)got;
        }
        if (result == 1) {
            (*text)[*length] = '\0';
        } else {
            free(*text);
            *text = NULL;
        }
    }
    file_close(fd);
    return result;
}
