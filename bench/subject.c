#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peak.h"
#include "subject.h"

static int create_input(struct subject *s, struct qdot_buffer **buffer, const void *memory,
                        size_t bytes, struct qdot_error *err)
{
    const int status = qdot_buffer_create(s->device, bytes, NULL, buffer, err);
    return status == QDOT_OK ? qdot_buffer_write(*buffer, 0, memory, bytes, err) : status;
}

static int create(struct subject *s, struct qdot_device *device, const struct product *p, bool twin,
                  const char *kernel, struct qdot_error *err)
{
    struct qdot_op_desc desc;
    struct qdot_device_info info = {.size = sizeof(info)};
    memset(s, 0, sizeof(*s));
    product_describe(p, twin, &desc);
    desc.kernel = kernel;
    const uint64_t begin = bench_now_ns();
    int status = qdot_op_create(device, &desc, &s->op, err);
    if (status != QDOT_OK)
        return status;
    s->create_ms = (double)(bench_now_ns() - begin) / 1e6;
    s->device = qdot_op_device(s->op);
    snprintf(s->row, sizeof(s->row), "%s", qdot_op_row(s->op));
    s->out_bytes = p->shape.m * p->shape.n * type_bytes(desc.out_type);
    s->host_out = verify_alloc(s->out_bytes, 1);
    if (!s->host_out) {
        status = bench_fail(err, QDOT_NO_MEMORY, "no memory for the output");
        goto failed;
    }
    s->run.size = sizeof(s->run);
    status = qdot_device_info(s->device, &info, err);
    if (status != QDOT_OK)
        goto failed;
    if (strcmp(info.backend, "cpu") == 0) {
        s->run.a.host = p->a;
        s->run.b.host = p->b_at_run ? p->b : NULL;
        s->run.out.host = s->host_out;
        return QDOT_OK;
    }
    status = create_input(s, &s->a, p->a, shape_inputs(&p->shape), err);
    if (status == QDOT_OK && p->b_at_run)
        status = create_input(s, &s->b, p->b, p->shape.k * p->shape.n, err);
    if (status == QDOT_OK)
        status = qdot_buffer_create(s->device, s->out_bytes, NULL, &s->out, err);
    if (status != QDOT_OK)
        goto failed;
    s->run.a.buffer = s->a;
    s->run.b.buffer = s->b;
    s->run.out.buffer = s->out;
    return QDOT_OK;
failed:
    subject_destroy(s);
    return status;
}

int subject_create(struct subject *s, struct qdot_device *device, const struct product *p,
                   const char *kernel, struct qdot_error *err)
{
    return create(s, device, p, false, kernel, err);
}

void subject_destroy(struct subject *s)
{
    qdot_op_destroy(s->op);
    qdot_buffer_destroy(s->a);
    qdot_buffer_destroy(s->b);
    qdot_buffer_destroy(s->out);
    free(s->host_out);
    memset(s, 0, sizeof(*s));
}

int subject_run(void *subject, size_t runs, struct qdot_error *err)
{
    struct subject *s = subject;
    for (size_t i = 0; i < runs; i++) {
        const int status = qdot_op_run(s->op, &s->run, err);
        if (status != QDOT_OK)
            return status;
    }
    return qdot_sync(s->device, err);
}

int subject_poison(struct subject *s, struct qdot_error *err)
{
    memset(s->host_out, VERIFY_POISON, s->out_bytes);
    return s->out ? qdot_buffer_write(s->out, 0, s->host_out, s->out_bytes, err) : QDOT_OK;
}

static int fetch(struct subject *s, struct qdot_error *err)
{
    return s->out ? qdot_buffer_read(s->out, 0, s->host_out, s->out_bytes, err) : QDOT_OK;
}

int subject_check(struct subject *s, const struct product *p, bool *good, char *reason,
                  size_t reason_bytes, struct qdot_error *err)
{
    const int status = fetch(s, err);
    *good = status == QDOT_OK && product_check(p, s->host_out, reason, reason_bytes);
    return status;
}

int subject_prove(struct qdot_device *device, struct product *p, const char *kernel, bool *good,
                  char *reason, size_t reason_bytes, struct qdot_error *err)
{
    struct subject twin;
    int status = create(&twin, device, p, true, kernel, err);
    if (status != QDOT_OK)
        return status;
    status = subject_poison(&twin, err);
    if (status == QDOT_OK)
        status = subject_run(&twin, 1, err);
    if (status == QDOT_OK)
        status = fetch(&twin, err);
    if (status == QDOT_OK)
        *good = product_prove(p, twin.host_out, reason, reason_bytes);
    subject_destroy(&twin);
    return status;
}

int subject_verify(struct subject *s, struct product *p, bool *good, char *reason,
                   size_t reason_bytes, struct qdot_error *err)
{
    *good = true;
    int status = QDOT_OK;
    if (p->out_type != QDOT_S32 && !p->acc)
        status = subject_prove(s->device, p, s->row, good, reason, reason_bytes, err);
    if (status != QDOT_OK || !*good)
        return status;
    status = subject_poison(s, err);
    if (status == QDOT_OK)
        status = subject_run(s, 1, err);
    if (status == QDOT_OK && p->out_type == QDOT_S32) {
        status = fetch(s, err);
        if (status == QDOT_OK)
            *good = product_prove(p, s->host_out, reason, reason_bytes);
        return status;
    }
    return status == QDOT_OK ? subject_check(s, p, good, reason, reason_bytes, err) : status;
}
