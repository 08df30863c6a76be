#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rounding.h"
#include "verify.h"

enum { SAMPLED_ROWS = 4, FREIVALDS_ROUNDS = 2 };

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static void fill_random(uint8_t *bytes, size_t count, uint64_t *state)
{
    for (size_t i = 0; i < count; i += 8) {
        const uint64_t word = next_random(state);
        memcpy(bytes + i, &word, count - i < 8 ? count - i : 8);
    }
}

/* The top bit that makes s8 of u8: value = (byte ^ flip) - flip, without a branch. */
static int32_t flip_of(enum qdot_type type)
{
    return type == QDOT_S8 ? 128 : 0;
}

static int32_t value_of(uint8_t byte, int32_t flip)
{
    return (int32_t)(byte ^ (uint8_t)flip) - flip;
}

void *verify_alloc(size_t count, size_t size)
{
    size_t bytes;
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > PTRDIFF_MAX - 64)
        return NULL;
    /* Linux would promise more than there is and end the process later. */
    if (pages > 0 && page > 0 && bytes / (size_t)page >= (size_t)pages)
        return NULL;
    return aligned_alloc(64, (bytes + 64) & ~(size_t)63);
}

size_t type_bytes(enum qdot_type type)
{
    return type == QDOT_U8 || type == QDOT_S8 ? 1 : 4;
}

const char *type_text(enum qdot_type type)
{
    switch (type) {
    case QDOT_U8:
        return "u8";
    case QDOT_S8:
        return "s8";
    case QDOT_F32:
        return "f32";
    default:
        return "s32"; /* no product has the types of quantize */
    }
}

static void fill_terms(struct product *p, uint64_t *state)
{
    /* A sum of k products of full-range bytes has a spread of about 11,000 sqrt(k): the outputs use
     * their whole range and some are clamped. */
    const float base = 60.0f / (11000.0f * sqrtf((float)p->shape.k));
    p->a_zero = p->a_type == QDOT_U8 ? 131 : 3;
    p->out_zero = p->out_type == QDOT_U8 ? 128 : p->out_type == QDOT_S8 ? -4 : 0;
    for (size_t j = 0; j < p->shape.n; j++) {
        const uint64_t word = next_random(state);
        p->bias[j] = (int32_t)(word % 20001) - 10000;
        p->scale[j] = base * (0.5f + (float)(word >> 40) / 16777216.0f);
        if (p->bias_f)
            p->bias_f[j] = (float)(int32_t)(word >> 16 & 1023) / 64.0f - 8.0f;
    }
}

static bool make_multipliers(struct product *p)
{
    p->multiplier = verify_alloc(p->shape.n, sizeof(*p->multiplier));
    p->shift = verify_alloc(p->shape.n, sizeof(*p->shift));
    for (size_t j = 0; p->multiplier && p->shift && j < p->shape.n; j++)
        if (qdot_multiplier((double)p->scale[j], &p->multiplier[j], &p->shift[j], NULL) != QDOT_OK)
            return false;
    return p->multiplier && p->shift;
}

int product_create(struct product *p, struct qdot_error *err)
{
    const struct shape *s = &p->shape;
    const bool plain = p->out_type == QDOT_S32;
    uint64_t state = s->m * 0x10000000001u ^ s->n * 0x1000001u ^ s->k;
    char text[SHAPE_TEXT];
    p->bias = p->acc = p->multiplier = p->shift = NULL;
    p->scale = p->bias_f = NULL;
    p->a_zero = p->out_zero = 0;
    p->a = verify_alloc(shape_inputs(s), 1);
    p->b = verify_alloc(s->k * s->n, 1);
    if (!p->a || !p->b)
        goto none;
    fill_random(p->a, shape_inputs(s), &state);
    fill_random(p->b, s->k * s->n, &state);
    if (!plain) {
        p->bias = verify_alloc(s->n, sizeof(*p->bias));
        p->scale = verify_alloc(s->n, sizeof(*p->scale));
        if (p->out_type == QDOT_F32)
            p->bias_f = verify_alloc(s->n, sizeof(*p->bias_f));
        if (!p->bias || !p->scale || (p->out_type == QDOT_F32 && !p->bias_f))
            goto none;
        fill_terms(p, &state);
        if (rounding_is_q31(p->rounding) && !make_multipliers(p))
            goto none;
    }
    return QDOT_OK;
none:
    product_free(p);
    shape_text(s, text, sizeof(text));
    if (err) {
        err->status = QDOT_NO_MEMORY;
        snprintf(err->text, sizeof(err->text), "no memory for the matrices of %s", text);
    }
    return QDOT_NO_MEMORY;
}

void product_free(struct product *p)
{
    free(p->a);
    free(p->b);
    free(p->bias);
    free(p->scale);
    free(p->multiplier);
    free(p->shift);
    free(p->bias_f);
    free(p->acc);
    p->a = p->b = NULL;
    p->bias = p->acc = p->multiplier = p->shift = NULL;
    p->scale = p->bias_f = NULL;
}

void product_describe(const struct product *p, bool twin, struct qdot_op_desc *desc)
{
    const bool f32 = p->out_type == QDOT_F32;
    *desc = (struct qdot_op_desc){
        .size = sizeof(*desc),
        .kind = p->shape.kind,
        .a_type = p->a_type,
        .b_type = p->b_type,
        .out_type = twin ? QDOT_S32 : p->out_type,
        .b = p->b_at_run ? NULL : p->b,
        .a_zero = p->a_zero,
        .bias = p->bias,
    };
    if (p->shape.kind == QDOT_CONV) {
        desc->conv = p->shape.conv;
    } else {
        desc->m = p->shape.m;
        desc->n = p->shape.n;
        desc->k = p->shape.k;
    }
    if (!twin && p->scale) {
        desc->rounding = f32 ? QDOT_ROUND_RNE : p->rounding;
        if (p->multiplier) {
            desc->multiplier = p->multiplier;
            desc->shift = p->shift;
            desc->multiplier_count = p->shape.n;
        } else {
            desc->scale = p->scale;
            desc->scale_count = p->shape.n;
        }
        desc->bias_f = f32 ? p->bias_f : NULL;
        desc->out_zero = f32 ? 0 : p->out_zero;
    }
}

/* Row i of accumulators: 64-bit sums. */
static void gemm_row(const struct product *p, size_t i, int64_t *sum)
{
    const int32_t a_flip = flip_of(p->a_type), b_flip = flip_of(p->b_type);
    const size_t n = p->shape.n, k = p->shape.k;
    for (size_t j = 0; j < n; j++)
        sum[j] = p->bias ? p->bias[j] : 0;
    for (size_t l = 0; l < k; l++) {
        const int32_t a = value_of(p->a[i * k + l], a_flip) - p->a_zero;
        const uint8_t *b = p->b + l * n;
        for (size_t j = 0; j < n; j++)
            sum[j] += (int64_t)a * value_of(b[j], b_flip);
    }
}

/* The channels of the input pixel under tap (i, j) of an output pixel; NULL: padding. */
static const uint8_t *pixel_under(const struct product *p, size_t pixel, size_t i, size_t j)
{
    const struct qdot_conv *c = &p->shape.conv;
    const size_t ow = p->shape.out_w, oh = p->shape.out_h;
    const size_t y = pixel / ow % oh * c->stride_h + i * c->dilation_h;
    const size_t x = pixel % ow * c->stride_w + j * c->dilation_w;
    if (y < c->pad_top || y - c->pad_top >= c->height || x < c->pad_left ||
        x - c->pad_left >= c->width)
        return NULL;
    const size_t image = pixel / (oh * ow);
    const size_t row = image * c->height + y - c->pad_top;
    return p->a + (row * c->width + x - c->pad_left) * c->channels;
}

static void conv_row(const struct product *p, size_t pixel, int64_t *sum)
{
    const struct qdot_conv *c = &p->shape.conv;
    const int32_t a_flip = flip_of(p->a_type), b_flip = flip_of(p->b_type);
    const size_t cg = c->channels / c->groups, og = c->out_channels / c->groups;
    for (size_t o = 0; o < c->out_channels; o++) {
        const uint8_t *w = p->b + o * p->shape.k;
        sum[o] = p->bias ? p->bias[o] : 0;
        for (size_t i = 0; i < c->kernel_h; i++)
            for (size_t j = 0; j < c->kernel_w; j++, w += cg) {
                const uint8_t *a = pixel_under(p, pixel, i, j);
                for (size_t l = 0; a && l < cg; l++)
                    sum[o] += (int64_t)(value_of(a[o / og * cg + l], a_flip) - p->a_zero) *
                              value_of(w[l], b_flip);
            }
    }
}

static bool rows_agree(const struct product *p, const int32_t *c, int64_t *sum, uint64_t *state,
                       char *reason, size_t reason_bytes)
{
    const size_t m = p->shape.m, n = p->shape.n;
    for (size_t s = 0; s < SAMPLED_ROWS; s++) {
        const size_t i = s == 0 ? 0 : s == 1 ? m - 1 : (size_t)(next_random(state) % m);
        if (p->shape.kind == QDOT_CONV)
            conv_row(p, i, sum);
        else
            gemm_row(p, i, sum);
        for (size_t j = 0; j < n; j++) {
            const int32_t expected = (int32_t)(uint32_t)(uint64_t)sum[j];
            if (c[i * n + j] != expected) {
                snprintf(reason, reason_bytes, "acc[%zu][%zu] is %d, expected %d", i, j,
                         (int)c[i * n + j], (int)expected);
                return false;
            }
        }
    }
    return true;
}

static uint32_t dot_c(const int32_t *c, const uint32_t *r, size_t n)
{
    uint32_t sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += (uint32_t)c[j] * r[j];
    return sum;
}

static uint32_t dot_bytes(const uint8_t *bytes, int32_t flip, int32_t zero, const uint32_t *r,
                          size_t n)
{
    uint32_t sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += (uint32_t)(value_of(bytes[j], flip) - zero) * r[j];
    return sum;
}

/* Words of B r: k, or for each tap all channels of the input. */
static size_t combined_size(const struct shape *s)
{
    return s->kind == QDOT_CONV ? s->k * s->conv.groups : s->k;
}

static void combine(const struct product *p, const uint32_t *r, uint32_t *br)
{
    const struct qdot_conv *c = &p->shape.conv;
    const int32_t flip = flip_of(p->b_type);
    const size_t n = p->shape.n, k = p->shape.k;
    if (p->shape.kind == QDOT_GEMM) {
        for (size_t l = 0; l < k; l++)
            br[l] = dot_bytes(p->b + l * n, flip, 0, r, n);
        return;
    }
    const size_t cg = c->channels / c->groups, og = c->out_channels / c->groups;
    memset(br, 0, combined_size(&p->shape) * sizeof(*br));
    for (size_t o = 0; o < n; o++)
        for (size_t tap = 0; tap < k / cg; tap++) {
            const uint8_t *w = p->b + o * k + tap * cg;
            uint32_t *to = br + tap * c->channels + o / og * cg;
            for (size_t l = 0; l < cg; l++)
                to[l] += (uint32_t)value_of(w[l], flip) * r[o];
        }
}

/* Row i of A (B r). */
static uint32_t combined_row(const struct product *p, size_t i, const uint32_t *br)
{
    const struct qdot_conv *c = &p->shape.conv;
    const int32_t flip = flip_of(p->a_type);
    const size_t k = p->shape.k;
    uint32_t sum = 0;
    if (p->shape.kind == QDOT_GEMM)
        return dot_bytes(p->a + i * k, flip, p->a_zero, br, k);
    for (size_t y = 0; y < c->kernel_h; y++)
        for (size_t x = 0; x < c->kernel_w; x++, br += c->channels) {
            const uint8_t *a = pixel_under(p, i, y, x);
            if (a)
                sum += dot_bytes(a, flip, p->a_zero, br, c->channels);
        }
    return sum;
}

/* r: n and br: combined_size words of scratch. */
static bool freivalds(const struct product *p, const int32_t *c, uint32_t *r, uint32_t *br,
                      uint64_t *state, char *reason, size_t reason_bytes)
{
    const size_t m = p->shape.m, n = p->shape.n;
    for (int round = 0; round < FREIVALDS_ROUNDS; round++) {
        /* An odd factor is a unit mod 2^32: round 0 misses no row with a single wrong element, not
         * even one that is off by 2^31. Round 1 draws from all, for what odd factors cancel. */
        for (size_t j = 0; j < n; j++)
            r[j] = (uint32_t)(next_random(state) >> 32) | (round == 0 ? 1 : 0);
        combine(p, r, br);
        const uint32_t bias = p->bias ? dot_c(p->bias, r, n) : 0;
        for (size_t i = 0; i < m; i++) {
            if (dot_c(c + i * n, r, n) != combined_row(p, i, br) + bias) {
                snprintf(reason, reason_bytes, "row %zu of the product is wrong (Freivalds)", i);
                return false;
            }
        }
    }
    return true;
}

bool product_prove(struct product *p, const int32_t *c, char *reason, size_t reason_bytes)
{
    const size_t m = p->shape.m, n = p->shape.n;
    const size_t bytes = m * n * sizeof(*c);
    uint64_t state = 0x5DEECE66Du ^ m ^ n << 20 ^ p->shape.k << 40;
    if (p->acc) {
        if (memcmp(p->acc, c, bytes) == 0)
            return true;
        snprintf(reason, reason_bytes, "the accumulators differ from the proven ones");
        return false;
    }
    int64_t *sum = verify_alloc(n, sizeof(*sum));
    uint32_t *r = verify_alloc(n, sizeof(*r));
    uint32_t *br = verify_alloc(combined_size(&p->shape), sizeof(*br));
    int32_t *acc = verify_alloc(m * n, sizeof(*acc));
    bool good = sum && r && br && acc;
    if (!good)
        snprintf(reason, reason_bytes, "no memory to verify the result");
    good = good && rows_agree(p, c, sum, &state, reason, reason_bytes) &&
           freivalds(p, c, r, br, &state, reason, reason_bytes);
    if (good) {
        memcpy(acc, c, bytes);
        p->acc = acc;
        acc = NULL;
    }
    free(sum);
    free(r);
    free(br);
    free(acc);
    return good;
}

/* Clamped as a double: the conversion to int is defined then. */
static int32_t requantized(const struct product *p, int32_t acc, size_t j)
{
    const double lo = p->out_type == QDOT_U8 ? 0 : -128, hi = p->out_type == QDOT_U8 ? 255 : 127;
    const double value =
        rounding_output(p->rounding, acc, p->scale[j], p->multiplier ? p->multiplier[j] : 0,
                        p->shift ? p->shift[j] : 0, p->out_zero);
    return (int32_t)fmin(fmax(value, lo), hi);
}

bool product_check(const struct product *p, const void *out, char *reason, size_t reason_bytes)
{
    const size_t n = p->shape.n;
    for (size_t i = 0; i < p->shape.m; i++)
        for (size_t j = 0; j < n; j++) {
            const size_t at = i * n + j;
            const int32_t acc = p->acc[at];
            if (p->out_type == QDOT_F32) {
                const float product = (float)acc * p->scale[j];
                const float expected = product + p->bias_f[j];
                const float got = ((const float *)out)[at];
                if (memcmp(&got, &expected, sizeof(got)) != 0) {
                    snprintf(reason, reason_bytes, "out[%zu][%zu] is %a, expected %a", i, j,
                             (double)got, (double)expected);
                    return false;
                }
                continue;
            }
            const int32_t got = p->out_type == QDOT_S32  ? ((const int32_t *)out)[at]
                                : p->out_type == QDOT_U8 ? (int32_t)((const uint8_t *)out)[at]
                                                         : (int32_t)((const int8_t *)out)[at];
            const int32_t expected = p->out_type == QDOT_S32 ? acc : requantized(p, acc, j);
            if (got != expected) {
                snprintf(reason, reason_bytes, "out[%zu][%zu] is %d, expected %d", i, j, (int)got,
                         (int)expected);
                return false;
            }
        }
    return true;
}
