/* A child process of conform: started, listened to until its time is up, its end told apart. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "conform_process.h"

double process_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

size_t line_split(char *line, char **fields, size_t capacity)
{
    size_t count = 0;
    for (char *at = line; at && count < capacity; count++) {
        fields[count] = at;
        at = strchr(at, '\t');
        if (at)
            *at++ = '\0';
    }
    return count;
}

void arguments_add(struct arguments *a, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int length = vsnprintf(a->text + a->used, sizeof(a->text) - a->used, format, list);
    va_end(list);
    if (length < 0 || (size_t)length >= sizeof(a->text) - a->used ||
        a->count + 1 >= sizeof(a->argv) / sizeof(a->argv[0])) {
        a->overflow = true;
        return;
    }
    a->argv[a->count++] = a->text + a->used;
    a->argv[a->count] = NULL;
    a->used += (size_t)length + 1;
}

static void become(const struct arguments *a, const int fds[2], pid_t parent)
{
    close(fds[0]);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(3);
    dup2(fds[1], CONFORM_FD);
    if (fds[1] != CONFORM_FD)
        close(fds[1]);
    dup2(2, 1); /* drivers that print: not among conform's own lines */
    execv("/proc/self/exe", a->argv);
    _exit(127);
}

/* What ended it, or "" when it said "end" and left with 0. */
static void describe_end(int status, bool ended, char *reason, size_t reason_bytes)
{
    if (WIFSIGNALED(status))
        snprintf(reason, reason_bytes, "ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(reason, reason_bytes, "left with exit status %d", WEXITSTATUS(status));
    else
        snprintf(reason, reason_bytes, "%s", ended ? "" : "left before its cases were done");
}

enum process_end process_run(const struct arguments *a, const double *deadline,
                             line_handler *handle, void *context, char *reason, size_t reason_bytes)
{
    int fds[2];
    if (a->overflow || pipe(fds) != 0) {
        snprintf(reason, reason_bytes, "no child process: %s",
                 a->overflow ? "arguments too long" : strerror(errno));
        return PROCESS_CRASHED;
    }
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become(a, fds, parent);
    close(fds[1]);
    if (pid < 0) {
        snprintf(reason, reason_bytes, "no child process: %s", strerror(errno));
        close(fds[0]);
        return PROCESS_CRASHED;
    }

    char text[4096];
    size_t used = 0;
    bool ended = false, late = false;
    for (;;) {
        double left = *deadline - process_now();
        struct pollfd wait = {.fd = fds[0], .events = POLLIN};
        int ready = left > 0 ? poll(&wait, 1, left < 1 ? (int)(left * 1000) + 1 : 1000) : 0;
        if (left <= 0) {
            late = true;
            break;
        }
        if (ready < 0 && errno != EINTR)
            break;
        if (ready <= 0)
            continue;
        ssize_t got = read(fds[0], text + used, sizeof(text) - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
        text[used] = '\0';
        char *start = text, *newline;
        while ((newline = strchr(start, '\n'))) {
            *newline = '\0';
            if (strcmp(start, "end") == 0)
                ended = true;
            else
                handle(context, start);
            start = newline + 1;
        }
        used = (size_t)(text + used - start);
        memmove(text, start, used);
        if (used == sizeof(text) - 1)
            used = 0; /* no line is this long: not ours */
    }
    close(fds[0]);

    /* After its last line a child has no reason to stay: it may hang in a driver's clean-up. */
    int status = 0;
    for (;;) {
        pid_t gone = late ? 0 : waitpid(pid, &status, WNOHANG);
        if (gone == pid)
            break;
        if (late || process_now() > *deadline) {
            late = true;
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                continue;
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    if (late) {
        snprintf(reason, reason_bytes, "time limit reached");
        return PROCESS_LATE;
    }
    describe_end(status, ended, reason, reason_bytes);
    return reason[0] ? PROCESS_CRASHED : PROCESS_ENDED;
}
