/* What 'qdot conform --json' wrote, read again. */
#ifndef CONFORM_READ_H
#define CONFORM_READ_H

#include "conform.h"

struct seen_device {
    char name[24], backend[16], description[128], driver[128];
    bool available;
};

struct seen_result {
    char device[24], kernel[64], group[24], reason[640];
    enum status status;
    size_t cases;
};

struct seen {
    char qdot[24], date[32], verdict[16];
    struct seen_device *devices;
    size_t device_count;
    struct seen_result *results;
    size_t result_count;
};

/* Any bytes: true, or false and what is wrong, as "NAME: line N: ...". Free it in both cases. */
bool seen_parse(const char *text, size_t bytes, const char *name, struct seen *seen, char *wrong,
                size_t wrong_bytes);
bool seen_read(const char *path, struct seen *seen, char *wrong, size_t wrong_bytes);
void seen_free(struct seen *seen);

#endif
