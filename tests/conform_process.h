#ifndef CONFORM_PROCESS_H
#define CONFORM_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

enum { CONFORM_FD = 3 }; /* in a child: where its lines go */

struct arguments {
    char text[2048];
    size_t used;
    char *argv[48];
    size_t count;
    bool overflow;
};

enum process_end { PROCESS_ENDED, PROCESS_CRASHED, PROCESS_LATE };

typedef void line_handler(void *context, char *line);

double process_now(void);                                      /* seconds */
size_t line_split(char *line, char **fields, size_t capacity); /* at tabs; how many */
void arguments_add(struct arguments *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Runs this program with these arguments until it ends or the deadline, which the handler may move.
 */
enum process_end process_run(const struct arguments *a, const double *deadline,
                             line_handler *handle, void *context, char *reason,
                             size_t reason_bytes);

#endif
