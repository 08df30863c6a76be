/* A line on stderr for what takes longer than a second, only where stderr is a terminal. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

struct progress; /* opaque; NULL where there is nothing to show, which every call accepts */

struct progress *progress_start(const char *verb, const char *text);
void progress_text(struct progress *progress, const char *text); /* what is being done now */
void progress_stop(struct progress *progress);                   /* wipes the line */

#endif
