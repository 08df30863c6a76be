#include <stdio.h>
#include <string.h>
#include "shape.h"

static bool too_large(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) || product > SIZE_MAX / 16;
}

static void default_one(size_t *value)
{
    if (*value == 0)
        *value = 1;
}

bool shape_complete(struct shape *s, char *reason, size_t reason_bytes)
{
    struct qdot_conv *c = &s->conv;
    struct qdot_error err = {0};
    if (s->kind == QDOT_CONV) {
        default_one(&c->batch);
        default_one(&c->stride_h);
        default_one(&c->stride_w);
        default_one(&c->dilation_h);
        default_one(&c->dilation_w);
        default_one(&c->groups);
        if (qdot_conv_output(c, &s->out_h, &s->out_w, &err) != QDOT_OK) {
            snprintf(reason, reason_bytes, "%s", err.text);
            return false;
        }
        /* Sizes that the library has found to fit in 63 bits. */
        s->m = c->batch * s->out_h * s->out_w;
        s->n = c->out_channels;
        s->k = c->kernel_h * c->kernel_w * (c->channels / c->groups);
    }
    if (s->m && s->n && s->k && !too_large(s->m, s->n) && !too_large(s->k, s->n) &&
        !too_large(shape_inputs(s), 1) && (s->kind == QDOT_CONV || !too_large(s->m, s->k)))
        return true;
    snprintf(reason, reason_bytes, "expected matrices that fit in memory");
    return false;
}

/* Numbers with an x between them, up to a blank or the end; how many, or 0 when it is not that. */
static size_t numbers(const char **text, size_t *values, size_t capacity)
{
    const char *at = *text;
    for (size_t count = 0; count < capacity; at++) {
        size_t value = 0;
        const char *begin = at;
        for (; *at >= '0' && *at <= '9'; at++)
            if (__builtin_mul_overflow(value, 10, &value) ||
                __builtin_add_overflow(value, (size_t)(*at - '0'), &value))
                return 0;
        if (at == begin)
            return 0;
        values[count++] = value;
        if (*at == 'x')
            continue;
        *text = at;
        return *at == '\0' || *at == ' ' ? count : 0;
    }
    return 0;
}

size_t shape_numbers(const char *text, size_t *values, size_t capacity)
{
    const size_t count = numbers(&text, values, capacity);
    return *text ? 0 : count;
}

bool shape_parse_letter(const char **text, struct qdot_conv *c)
{
    size_t v[4];
    const char letter = *(*text)++;
    const size_t count = numbers(text, v, 4);
    if (count == 0 || (letter != 'p' && v[0] == 0))
        return false;
    if (letter == 'g' && count == 1) {
        c->groups = v[0];
        return true;
    }
    if (letter == 'p' && (count == 1 || count == 4)) {
        c->pad_top = v[0];
        c->pad_left = v[count == 4 ? 1 : 0];
        c->pad_bottom = v[count == 4 ? 2 : 0];
        c->pad_right = v[count == 4 ? 3 : 0];
        return true;
    }
    if ((letter != 's' && letter != 'd') || count > 2 || v[count - 1] == 0)
        return false;
    *(letter == 's' ? &c->stride_h : &c->dilation_h) = v[0];
    *(letter == 's' ? &c->stride_w : &c->dilation_w) = v[count - 1];
    return true;
}

bool shape_parse_conv(const char *text, struct shape *shape)
{
    size_t in[4], out[3];
    if (numbers(&text, in, 4) != 4 || *text++ != ' ' || numbers(&text, out, 3) != 3)
        return false;
    struct qdot_conv c = {.batch = in[0],
                          .height = in[1],
                          .width = in[2],
                          .channels = in[3],
                          .out_channels = out[0],
                          .kernel_h = out[1],
                          .kernel_w = out[2]};
    while (*text == ' ') {
        text++;
        if (!shape_parse_letter(&text, &c))
            return false;
    }
    if (*text || in[0] == 0)
        return false;
    *shape = (struct shape){.kind = QDOT_CONV, .conv = c};
    return true;
}

static void put_pair(FILE *out, char letter, size_t h, size_t w)
{
    fprintf(out, h == w ? " %c%zu" : " %c%zux%zu", letter, h, w);
}

void shape_text(const struct shape *s, char *text, size_t bytes)
{
    const struct qdot_conv *c = &s->conv;
    if (bytes == 0)
        return;
    text[0] = '\0';
    FILE *out = fmemopen(text, bytes, "w");
    if (!out)
        return;
    if (s->kind == QDOT_GEMM) {
        fprintf(out, "%zux%zux%zu", s->m, s->n, s->k);
    } else {
        fprintf(out, "%zux%zux%zux%zu %zux%zux%zu", c->batch, c->height, c->width, c->channels,
                c->out_channels, c->kernel_h, c->kernel_w);
        put_pair(out, 's', c->stride_h, c->stride_w);
        if (c->pad_top == c->pad_left && c->pad_top == c->pad_bottom && c->pad_top == c->pad_right)
            fprintf(out, " p%zu", c->pad_top);
        else
            fprintf(out, " p%zux%zux%zux%zu", c->pad_top, c->pad_left, c->pad_bottom, c->pad_right);
        if (c->dilation_h != 1 || c->dilation_w != 1)
            put_pair(out, 'd', c->dilation_h, c->dilation_w);
        fprintf(out, " g%zu", c->groups);
    }
    fclose(out);
    text[bytes - 1] = '\0'; /* not there when the buffer is full */
}

size_t shape_inputs(const struct shape *s)
{
    const struct qdot_conv *c = &s->conv;
    return s->kind == QDOT_GEMM ? s->m * s->k : c->batch * c->height * c->width * c->channels;
}

bool shape_is_product(const struct shape *s)
{
    const struct qdot_conv *c = &s->conv;
    return s->kind == QDOT_GEMM ||
           (c->kernel_h == 1 && c->kernel_w == 1 && c->stride_h == 1 && c->stride_w == 1 &&
            !c->pad_top && !c->pad_left && !c->pad_bottom && !c->pad_right && c->groups == 1);
}

double shape_ops(const struct shape *s)
{
    return 2.0 * (double)s->m * (double)s->n * (double)s->k;
}

size_t shape_streamed(const struct shape *s)
{
    return s->kind != QDOT_GEMM ? 0 : s->m > s->n ? s->m * s->k : s->n * s->k;
}

/* Pairs of an output and a tap of one axis that meet inside the input. */
static double inside(size_t outputs, size_t kernel, size_t stride, size_t dilation, size_t before,
                     size_t size)
{
    double count = 0;
    for (size_t y = 0; y < outputs; y++)
        for (size_t i = 0; i < kernel; i++) {
            const size_t at = y * stride + i * dilation;
            count += at >= before && at - before < size;
        }
    return count;
}

double shape_padding(const struct shape *s)
{
    const struct qdot_conv *c = &s->conv;
    if (s->kind == QDOT_GEMM)
        return 0;
    const double rows =
        inside(s->out_h, c->kernel_h, c->stride_h, c->dilation_h, c->pad_top, c->height);
    const double columns =
        inside(s->out_w, c->kernel_w, c->stride_w, c->dilation_w, c->pad_left, c->width);
    return 1 -
           rows * columns / ((double)(s->out_h * c->kernel_h) * (double)(s->out_w * c->kernel_w));
}
