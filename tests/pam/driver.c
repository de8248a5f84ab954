/* SPDX-License-Identifier: MIT */
/* A PAM application: driver CONFDIR SERVICE USER HOW[,HOW...] [ANSWER...]

   HOW: acct, chauthtok, expired, silent, and in what state the application is: ruid=N, uid=N (without privileges), ignore
   (SIGCHLD ignored), reap (a handler takes every exit status), interrupt (a timer interrupts each system call),
   closed (no standard descriptors), tight (no file may grow), pipe (SIGPIPE ignored and blocked). An answer may be hex:DIGITS; before it
   comes what is to be done meanwhile, rename:OLD NEW. Prints what the modules say,
   a message a line after its style, then the result and how many descriptors more than before are open; then how often each of
   the texts in SCAN, in hex with commas, is left in memory. */
#include <dirent.h>
#include <fcntl.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *out;

/* Two hex digits of what must not be in memory as it is. */
static char from_hex(const char *digits)
{
    char pair[3] = {digits[0], digits[1], '\0'};
    return (char)strtol(pair, NULL, 16);
}

static char *decode(const char *hex)
{
    char *text = calloc(1, strlen(hex) / 2 + 1);
    for (size_t i = 0; text && i < strlen(hex) / 2; i++)
        text[i] = from_hex(hex + 2 * i);
    return text;
}

/* How often a text is in the writable memory of this process. */
static int count_in_memory(const char *hex)
{
    static char block[1 << 16];
    size_t length = strlen(hex) / 2;
    int count = 0, fd = open("/proc/self/mem", O_RDONLY);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096];
    while (maps && fd >= 0 && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char mode[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, mode) != 3 || mode[1] != 'w')
            continue;
        for (unsigned long at = start; at < end; at += sizeof block / 2) {
            ssize_t got = pread(fd, block, sizeof block, (off_t)at);
            for (ssize_t i = 0; i < got - (ssize_t)length && i < (ssize_t)sizeof block / 2; i++) {
                size_t same = 0;
                while (same < length && block[i + (ssize_t)same] == from_hex(hex + 2 * same))
                    same++;
                /* The block itself is memory, too. */
                count += same == length && (at + (unsigned long)i < (unsigned long)block ||
                                            at + (unsigned long)i >= (unsigned long)block + sizeof block);
            }
        }
    }
    return count;
}

static char **answers;

static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
    (void)data;
    struct pam_response *made = calloc((size_t)count, sizeof *made);
    if (!made)
        return PAM_BUF_ERR;
    *responses = made;
    for (int i = 0; i < count; i++) {
        int style = messages[i]->msg_style;
        fprintf(out, "%s:%s\n", style == PAM_PROMPT_ECHO_OFF ? "ask" : style == PAM_ERROR_MSG ? "error" : "info",
                messages[i]->msg);
        if (style != PAM_PROMPT_ECHO_OFF)
            continue;
        if (!*answers)
            return PAM_CONV_ERR;
        const char *answer = *answers++;
        if (strncmp(answer, "rename:", 7) == 0) {
            if (rename(answer + 7, answers[0]) != 0)
                return PAM_CONV_ERR;
            answer = answers[1];
            answers += 2;
        }
        made[i].resp = strncmp(answer, "hex:", 4) == 0 ? decode(answer + 4) : strdup(answer);
    }
    return PAM_SUCCESS;
}

static void reap(int number)
{
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

static void nothing(int number)
{
    (void)number;
}

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (directory && readdir(directory))
        count++;
    if (directory)
        closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    answers = argv + 5;
    out = fdopen(fcntl(1, F_DUPFD_CLOEXEC, 20), "w");
    int flags = 0, acct = 0;
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (char *how = strtok(argv[4], ","); how; how = strtok(NULL, ",")) {
        if (strcmp(how, "acct") == 0)
            acct = 1;
        else if (strcmp(how, "expired") == 0)
            flags |= PAM_CHANGE_EXPIRED_AUTHTOK;
        else if (strcmp(how, "silent") == 0)
            flags |= PAM_SILENT;
        else if (strcmp(how, "ignore") == 0)
            signal(SIGCHLD, SIG_IGN);
        else if (strcmp(how, "reap") == 0)
            signal(SIGCHLD, reap);
        else if (strcmp(how, "pipe") == 0) {
            sigset_t set;
            sigfillset(&set);
            sigprocmask(SIG_BLOCK, &set, NULL);
            signal(SIGPIPE, SIG_IGN);
        } else if (strcmp(how, "interrupt") == 0) {
            struct itimerval often = {{0, 500}, {0, 500}};
            action.sa_handler = nothing;
            sigaction(SIGALRM, &action, NULL);
            setitimer(ITIMER_REAL, &often, NULL);
        } else if (strcmp(how, "tight") == 0) {
            struct rlimit none = {0, RLIM_INFINITY};
            setrlimit(RLIMIT_FSIZE, &none);
        } else if (strcmp(how, "closed") == 0) {
            close(0);
            close(1);
            close(2);
        } else if (strncmp(how, "ruid=", 5) == 0) {
            if (setresuid((uid_t)atoi(how + 5), 0, 0) != 0)
                return 2;
        } else if (strncmp(how, "uid=", 4) == 0) {
            if (setuid((uid_t)atoi(how + 4)) != 0)
                return 2;
        } else if (strcmp(how, "chauthtok") != 0)
            return 2;
    }
    struct pam_conv conversation = {converse, NULL};
    pam_handle_t *handle;
    int result = pam_start_confdir(argv[2], argv[3], &conversation, argv[1], &handle);
    if (result != PAM_SUCCESS)
        return 2;
    int before = count_descriptors();
    result = acct ? pam_acct_mgmt(handle, flags) : pam_chauthtok(handle, flags);
    int more = count_descriptors() - before;
    sigaction(SIGCHLD, NULL, &action);
    const char *kept = action.sa_handler == SIG_IGN ? "ignored" : action.sa_handler == reap ? "reaped" : "default";
    fprintf(out, "= %d, descriptors %+d, SIGCHLD %s\n", result, more, kept);
    pam_end(handle, result);
    if (getenv("SCAN"))
        for (char *hex = strtok(getenv("SCAN"), ","); hex; hex = strtok(NULL, ","))
            fprintf(out, "in memory: %d\n", count_in_memory(hex));
    fclose(out);
    return 0;
}
