/* What the options of bench and tune amount to. */
#ifndef BENCH_REQUEST_H
#define BENCH_REQUEST_H

#include "runner.h"

#define BENCH_DEFAULT_SUITES \
    "resnet50,mobilenet_v2,mobilenet_v1,efficientnet_lite0,yolov8n,bert_base,llama2_7b"

enum { MAX_DEVICES = 64, MAX_THREADS = 16, MAX_SHAPES = 256 };

/* What the options amount to, with the memory behind the plan. */
struct request {
    const char *verb; /* for errors */
    struct bench_plan plan;
    struct bench_net custom;
    struct bench_layer shapes[MAX_SHAPES];
    char shape_names[MAX_SHAPES][SHAPE_TEXT];
    struct qdot_device_info devices[MAX_DEVICES];
    size_t device_count;
    size_t threads[MAX_THREADS];
    size_t thread_count;
};

/* Each returns EXIT_OK, or its exit status after a line on stderr. Lists have commas between their
 * items; NULL is the default. */
int request_suites(struct request *r, const char *suites, const char *shapes, const char *convs);
int request_types(struct request *r, const char *types, const char *outs);
int request_threads(struct request *r, const char *threads);
int request_devices(struct request *r, const char *devices);
int request_tuning(const struct request *r, const char *path); /* is the file right? */

/* The next item of such a list, into 'item'; false at its end. */
bool request_item(const char **list, char *item, size_t bytes);
/* A file that cannot be written should say so before the minutes of measuring. */
bool request_writable(const char *verb, const char *option, const char *path);
size_t request_widest(const struct bench_plan *plan); /* of its shapes, as text */

#endif
