/* SPDX-License-Identifier: MIT */
#include "tool.h"
#include "account.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <security/pam_ext.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#ifndef TOOL
#error "TOOL is the path of `accounts'"
#endif

/* Of accounts/cli/setpassword.py. */
enum { TOOL_USER_UNKNOWN = 3, TOOL_CHANGED = 4, TOOL_LOCK_BUSY = 5 };
/* A pipe takes so much at once, however little the caller may have of them: pipe(7). */
enum { LARGEST_MESSAGE = 4096, LARGEST_COMPLAINT = 400 };

/* Only what is safe between fork and exec in a program with threads. */
static _Noreturn void give_up(const char *text, int status)
{
    if (write(2, text, strlen(text)) < 0)
        _exit(126);
    _exit(status);
}

static void set_limits(void)
{
    static const struct {
        int resource;
        rlim_t wanted;
    } limits[] = {{RLIMIT_AS, RLIM_INFINITY}, {RLIMIT_CPU, RLIM_INFINITY}, {RLIMIT_DATA, RLIM_INFINITY},
                  {RLIMIT_FSIZE, RLIM_INFINITY}, {RLIMIT_NOFILE, 1024}, {RLIMIT_STACK, 8 << 20}, {RLIMIT_CORE, 0}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        struct rlimit limit;
        if (getrlimit(limits[i].resource, &limit) != 0)
            continue;
        struct rlimit wanted = {limits[i].wanted, limit.rlim_max};
        if (wanted.rlim_max < wanted.rlim_cur)
            wanted.rlim_max = wanted.rlim_cur;
        if (setrlimit(limits[i].resource, &wanted) == 0)
            continue;
        /* root of a container, say */
        limit.rlim_cur = limit.rlim_max;
        setrlimit(limits[i].resource, &limit);
    }
}

/* Nothing of the caller's may have a say in what the tool does: not his limits, signals, terminal, umask,
   directory, environment or descriptors. */
static _Noreturn void become_tool(const char *user, const char *service, int input, int output)
{
    char *const environment[] = {NULL};
    char *const arguments[] = {"accounts", "set-password", "--service", (char *)service, "--", (char *)user, NULL};
    sigset_t no_signals;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&no_signals);
    sigprocmask(SIG_SETMASK, &no_signals, NULL);
    /* Out of the terminal's reach: ^Z would stop the tool with the locks in its hands. */
    setsid();
    set_limits();
    umask(077);

    /* The caller's standard descriptors may be closed, and ours have their numbers. */
    int null = fcntl(open("/dev/null", O_WRONLY), F_DUPFD, 3);
    input = fcntl(input, F_DUPFD, 3);
    output = fcntl(output, F_DUPFD, 3);
    if (dup2(input, 0) < 0 || dup2(null, 1) < 0 || dup2(output, 2) < 0)
        _exit(126);
    if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
        for (int fd = 3; fd < 65536; fd++)
            close(fd);
    /* Of su(1) and of the set-uid passwd(1) only the effective user is root. */
    bool is_root = getuid() == 0;
    if (chdir("/") != 0 || setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0)
        give_up("cannot become root", 126);
    /* Root of a user namespace may not; whose groups they are he is, then. */
    if (setgroups(0, NULL) != 0 && !is_root)
        give_up("cannot become root", 126);
    execve(TOOL, arguments, environment);
    give_up(errno == ENOENT ? TOOL ": not found" : TOOL ": cannot be run", 127);
}

/* What the tool says, up to its end; its first line, fit for a log. */
static void hear(int fd, char complaint[LARGEST_COMPLAINT])
{
    char block[256];
    size_t used = 0;
    ssize_t got;
    while ((got = read(fd, block, sizeof block)) > 0 || (got < 0 && errno == EINTR))
        for (ssize_t i = 0; i < got && used < LARGEST_COMPLAINT - 1; i++)
            complaint[used++] = block[i];
    complaint[used] = '\0';
    complaint[strcspn(complaint, "\n")] = '\0';
    for (char *c = complaint; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
}

/* The pipe with the message in it: a write(2) before anybody reads needs no care for SIGPIPE, and cannot wait.
   The password and the field end with a NUL each: a message that is cut short must not become a password.
   Returns the end to read from, or -1. */
static int fill_pipe(const char *password, const char *field)
{
    char message[LARGEST_MESSAGE];
    size_t length = strlen(password) + 1, more = field ? strlen(field) + 1 : 0;
    int ends[2];
    if (length > sizeof message || more > sizeof message - length) {
        errno = EMSGSIZE;
        return -1;
    }
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    memcpy(message, password, length);
    if (field)
        memcpy(message + length, field, more);
    ssize_t written;
    do
        written = write(ends[1], message, length + more);
    while (written < 0 && errno == EINTR);
    explicit_bzero(message, sizeof message);
    close(ends[1]);
    if (written == (ssize_t)(length + more))
        return ends[0];
    close(ends[0]);
    return -1;
}

/* Run the tool and wait. Returns its status as waitpid(2) has it, or -1 with errno. */
static int run(const char *user, const char *service, int input, char complaint[LARGEST_COMPLAINT])
{
    int said[2], status;
    if (pipe2(said, O_CLOEXEC) != 0)
        return -1;
    pid_t child = fork();
    if (child == 0)
        become_tool(user, service, input, said[1]);
    int saved_errno = errno;
    close(said[1]);
    if (child > 0) {
        hear(said[0], complaint);
        pid_t ended;
        while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR)
            ;
        saved_errno = errno;
        child = ended;
    }
    close(said[0]);
    errno = saved_errno;
    return child < 0 ? -1 : status;
}

static int pam_code(int status)
{
    switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
    case 0:
        return PAM_SUCCESS;
    case TOOL_USER_UNKNOWN:
        return PAM_USER_UNKNOWN;
    case TOOL_CHANGED:
        return PAM_TRY_AGAIN;
    case TOOL_LOCK_BUSY:
        return PAM_AUTHTOK_LOCK_BUSY;
    default:
        return PAM_AUTHTOK_ERR;
    }
}

int tool_set_password(pam_handle_t *pamh, const char *user, const char *password, const char *field, bool noreap)
{
    const void *service = NULL;
    pam_get_item(pamh, PAM_SERVICE, &service);
    int input = fill_pipe(password, field);
    if (input < 0) {
        pam_syslog(pamh, LOG_ERR, "cannot hand over the password of %s: %m", user);
        return PAM_BUF_ERR;
    }

    struct sigaction old, standard = {.sa_handler = SIG_DFL};
    char complaint[LARGEST_COMPLAINT] = "";
    sigemptyset(&standard.sa_mask);
    if (!noreap)
        sigaction(SIGCHLD, &standard, &old);
    int status = run(user, service ? service : "other", input, complaint);
    int error = errno;
    if (!noreap)
        sigaction(SIGCHLD, &old, NULL);
    close(input);

    if (status == -1 && error == ECHILD)
        return PAM_INCOMPLETE;
    if (status == -1) {
        errno = error;
        pam_syslog(pamh, LOG_ERR, "cannot run " TOOL ": %m");
        return PAM_BUF_ERR;
    }
    int code = pam_code(status);
    if (*complaint)
        pam_syslog(pamh, code == PAM_SUCCESS ? LOG_WARNING : LOG_ERR, "%s", complaint);
    else if (WIFSIGNALED(status))
        pam_syslog(pamh, LOG_ERR, TOOL " was killed by signal %d", WTERMSIG(status));
    else if (code == PAM_AUTHTOK_ERR)
        pam_syslog(pamh, LOG_ERR, TOOL " ended with status %d", WEXITSTATUS(status));
    return code;
}
