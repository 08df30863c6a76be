/* Options that several verbs have: suites and shapes, types, devices, threads. */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include "options.h"
#include "request.h"
#include "save.h"

bool request_item(const char **list, char *item, size_t bytes)
{
    if (!*list)
        return false;
    const size_t length = strcspn(*list, ",");
    snprintf(item, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), *list);
    *list = (*list)[length] ? *list + length + 1 : NULL;
    return true;
}

static int unknown_suite(const struct request *r, const char *item)
{
    char names[512] = "";
    for (size_t i = 0, at = 0; i < bench_net_count && at < sizeof(names); i++)
        if (i == 0 || strcmp(bench_nets[i].suite, bench_nets[i - 1].suite) != 0)
            at += (size_t)snprintf(names + at, sizeof(names) - at, "%s%s", at ? ", " : "",
                                   bench_nets[i].suite);
    return opt_error(r->verb, "--suite %s: expected one of %s, or a network or class of theirs",
                     item, names);
}

static int parse_suites(struct request *r, const char *list)
{
    char item[64];
    while (request_item(&list, item, sizeof(item))) {
        bool found = false;
        for (size_t i = 0; i < bench_net_count; i++) {
            if (strcmp(bench_nets[i].suite, item) != 0 && strcmp(bench_nets[i].name, item) != 0)
                continue;
            found = true;
            if (r->plan.net_count == PLAN_NETS)
                return opt_error(r->verb, "--suite: more than %d networks", PLAN_NETS);
            r->plan.nets[r->plan.net_count++] = &bench_nets[i];
        }
        if (!found)
            return unknown_suite(r, item);
    }
    return EXIT_OK;
}

static int add_shape(struct request *r, const char *option, const char *item, struct shape *shape)
{
    const size_t i = r->custom.count;
    char reason[256];
    if (!shape_complete(shape, reason, sizeof(reason)))
        return opt_error(r->verb, "%s %s: %s", option, item, reason);
    if (i == MAX_SHAPES)
        return opt_error(r->verb, "--shape, --conv: more than %d", MAX_SHAPES);
    snprintf(r->shape_names[i], sizeof(r->shape_names[i]), "%s", item);
    r->shapes[i] = (struct bench_layer){.name = r->shape_names[i], .count = 1, .shape = *shape};
    r->custom.count++;
    return EXIT_OK;
}

static int parse_shapes(struct request *r, const char *list, const char *convs)
{
    char item[SHAPE_TEXT];
    int status = EXIT_OK;
    while (status == EXIT_OK && request_item(&list, item, sizeof(item))) {
        struct shape shape = {.kind = QDOT_GEMM};
        size_t mnk[3];
        if (!opt_shape(item, mnk))
            return opt_error(r->verb, "--shape %s: expected MxNxK, each at least 1", item);
        shape.m = mnk[0];
        shape.n = mnk[1];
        shape.k = mnk[2];
        status = add_shape(r, "--shape", item, &shape);
    }
    list = convs;
    while (status == EXIT_OK && request_item(&list, item, sizeof(item))) {
        struct shape shape;
        if (!shape_parse_conv(item, &shape))
            return opt_error(r->verb,
                             "--conv %s: expected BxHxWxC OxKHxKW and perhaps s, p, d, g, as in "
                             "\"1x56x56x64 64x3x3 s1 p1 g1\"",
                             item);
        status = add_shape(r, "--conv", item, &shape);
    }
    if (status != EXIT_OK)
        return status;
    if (r->custom.count) {
        r->custom.suite = r->custom.name = "shape";
        r->custom.layers = r->shapes;
        if (r->plan.net_count == PLAN_NETS)
            return opt_error(r->verb, "--suite: more than %d networks", PLAN_NETS - 1);
        r->plan.nets[r->plan.net_count++] = &r->custom;
    }
    return EXIT_OK;
}

int request_suites(struct request *r, const char *suites, const char *shapes, const char *convs)
{
    const int status = parse_suites(r, suites            ? suites
                                       : shapes || convs ? NULL
                                                         : BENCH_DEFAULT_SUITES);
    return status == EXIT_OK ? parse_shapes(r, shapes, convs) : status;
}

int request_types(struct request *r, const char *list, const char *outs_list)
{
    struct bench_plan *plan = &r->plan;
    static const struct {
        const char *name;
        enum qdot_type a, b;
    } pairs[] = {{"u8s8", QDOT_U8, QDOT_S8},
                 {"s8s8", QDOT_S8, QDOT_S8},
                 {"u8u8", QDOT_U8, QDOT_U8},
                 {"s8u8", QDOT_S8, QDOT_U8}};
    static const enum qdot_type outs[] = {QDOT_S32, QDOT_S8, QDOT_U8, QDOT_F32};
    char item[32];
    while (request_item(&list, item, sizeof(item))) {
        size_t i = 0;
        while (i < 4 && strcmp(pairs[i].name, item) != 0)
            i++;
        if (i == 4 || plan->type_count == PLAN_TYPES)
            return opt_error(r->verb, "--types %s: expected u8s8, s8s8, u8u8 or s8u8", item);
        plan->types[plan->type_count][0] = pairs[i].a;
        plan->types[plan->type_count++][1] = pairs[i].b;
    }
    list = outs_list;
    while (request_item(&list, item, sizeof(item))) {
        size_t i = 0;
        while (i < 4 && strcmp(type_text(outs[i]), item) != 0)
            i++;
        if (i == 4 || plan->out_count == PLAN_OUTS)
            return opt_error(r->verb, "--out %s: expected s32, s8, u8 or f32", item);
        plan->outs[plan->out_count++] = outs[i];
    }
    return EXIT_OK;
}

int request_threads(struct request *r, const char *list)
{
    char item[32];
    cpu_set_t set;
    while (request_item(&list, item, sizeof(item))) {
        int64_t value;
        if (!opt_integer(item, 1, 1024, &value))
            return opt_error(r->verb, "--threads %s: expected a number from 1 to 1024", item);
        if (r->thread_count == MAX_THREADS)
            return opt_error(r->verb, "--threads: more than %d numbers", MAX_THREADS);
        r->threads[r->thread_count++] = (size_t)value;
    }
    if (r->thread_count == 0) {
        const bool known = sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0;
        r->threads[r->thread_count++] = known ? (size_t)CPU_COUNT(&set) : 1;
    }
    return EXIT_OK;
}

static bool named_device(const struct qdot_device_info *info, const char *name)
{
    const char *colon = strchr(info->name, ':');
    return strcmp(info->name, name) == 0 ||
           (strcmp(info->backend, name) == 0 && (!colon || strcmp(colon, ":0") == 0));
}

int request_devices(struct request *r, const char *list)
{
    struct qdot_device_info found[MAX_DEVICES];
    struct qdot_error err = {0};
    size_t count = 0;
    char item[64];
    for (size_t i = 0; i < MAX_DEVICES; i++)
        found[i] = (struct qdot_device_info){.size = sizeof(found[i])};
    if (qdot_devices(found, MAX_DEVICES, &count, &err) != QDOT_OK)
        return opt_failed(r->verb, &err);
    if (count > MAX_DEVICES)
        count = MAX_DEVICES;
    if (!list || strcmp(list, "auto") == 0) {
        for (size_t i = 0; i < count; i++)
            if (found[i].available)
                r->devices[r->device_count++] = found[i];
            else
                printf("no %s device: %s\n", found[i].backend, found[i].reason);
        return EXIT_OK;
    }
    while (request_item(&list, item, sizeof(item))) {
        size_t i = 0;
        while (i < count && !named_device(&found[i], item))
            i++;
        if (i == count)
            return opt_error(r->verb, "--device %s: no such device; 'qdot devices' lists them",
                             item);
        if (!found[i].available)
            return opt_error(r->verb, "--device %s: %s", item, found[i].reason);
        if (r->device_count == MAX_DEVICES)
            return opt_error(r->verb, "--device: more than %d devices", MAX_DEVICES);
        r->devices[r->device_count++] = found[i];
    }
    return EXIT_OK;
}

int request_tuning(const struct request *r, const char *path)
{
    const struct qdot_device_desc desc = {
        .device = "cpu", .cache_dir = "", .thread_count = 1, .tuning_file = path};
    struct qdot_device *device = NULL;
    struct qdot_error err = {0};
    const int status = path ? qdot_open(&desc, &device, &err) : QDOT_OK;
    qdot_close(device);
    return status == QDOT_OK ? EXIT_OK : opt_failed(r->verb, &err);
}

bool request_writable(const char *verb, const char *option, const char *path)
{
    struct save save = {0};
    const bool good = !path || save_bytes(&save, verb, option, path, NULL, 0, NULL, 0);
    save_discard(&save);
    return good;
}

size_t request_widest(const struct bench_plan *plan)
{
    size_t width = 16;
    for (size_t i = 0; i < plan->net_count; i++)
        for (size_t j = 0; j < plan->nets[i]->count; j++) {
            struct shape shape = plan->nets[i]->layers[j].shape;
            char text[SHAPE_TEXT] = "";
            if (shape_complete(&shape, text, sizeof(text)))
                shape_text(&shape, text, sizeof(text));
            width = strlen(text) > width ? strlen(text) : width;
        }
    return width;
}
