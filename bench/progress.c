/* A thread that wakes up after a second, and then four times a second. */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "progress.h"

struct progress {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    const char *verb;
    char text[160];
    bool stop;
};

static void *show(void *arg)
{
    struct progress *p = arg;
    struct timespec start, next;
    bool shown = false;
    clock_gettime(CLOCK_REALTIME, &start);
    next = (struct timespec){start.tv_sec + 1, start.tv_nsec};
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        if (pthread_cond_timedwait(&p->wake, &p->lock, &next) == 0)
            continue;
        shown = true;
        fprintf(stderr, "\r\033[Kqdot %s: %.150s, %ld s", p->verb, p->text,
                (long)(next.tv_sec - start.tv_sec));
        next.tv_nsec += 250000000;
        next.tv_sec += next.tv_nsec >= 1000000000;
        next.tv_nsec %= 1000000000;
    }
    pthread_mutex_unlock(&p->lock);
    if (shown)
        fputs("\r\033[K", stderr);
    return NULL;
}

struct progress *progress_start(const char *verb, const char *text)
{
    if (!isatty(STDERR_FILENO))
        return NULL;
    struct progress *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->verb = verb;
    snprintf(p->text, sizeof(p->text), "%s", text);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    if (pthread_create(&p->thread, NULL, show, p) == 0)
        return p;
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
    return NULL;
}

void progress_text(struct progress *p, const char *text)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    snprintf(p->text, sizeof(p->text), "%s", text);
    pthread_mutex_unlock(&p->lock);
}

void progress_stop(struct progress *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
