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
    /* libc knows how the system call of each machine takes a 64-bit offset, but its pread is a cancellation
       point. */
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    ssize_t got = pread(fd, buffer, size, (off_t)offset);
    pthread_setcancelstate(state, NULL);
    return got == (ssize_t)size;
}

static int none_or(int error)
{
    return error == ENOENT || error == ENOTDIR || error == EACCES ? 0 : -error;
}

int file_slurp(const char *path, bool (*may_trust)(const struct stat *), char **text, size_t *length)
{
    struct stat status;
    *text = NULL;
    *length = 0;
    /* Of a file that is not there, as most are, stat(2) tells in half the time of open(2). */
    if (stat(path, &status))
        return none_or(errno);
    int fd = file_open(path);
    if (fd < 0)
        return none_or(-fd);

    ssize_t result = fstat(fd, &status) ? -errno : S_ISREG(status.st_mode) && (!may_trust || may_trust(&status));
    if (result > 0 && !(*text = malloc((size_t)status.st_size + 1)))
        result = -ENOMEM;
    while (result > 0 && (result = file_read(fd, *text + *length, (size_t)status.st_size - *length)) > 0)
        *length += (size_t)result;
    file_close(fd);
    if (*text && result == 0) {
        (*text)[*length] = '\0';
        return 1;
    }
    free(*text);
    *text = NULL;
    return (int)result;
}
