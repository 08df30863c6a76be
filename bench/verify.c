#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
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
    case QDOT_S32:
    case QDOT_TYPE_DEFAULT:
        break;
    }
    return "s32";
}

static void fill_terms(struct product *p, uint64_t *state)
{
    /* A sum of k products of full-range bytes has a spread of about 11,000 sqrt(k): the outputs use
     * their whole range and some are clamped. */
    const float base = 60.0f / (11000.0f * sqrtf((float)p->k));
    p->a_zero = p->a_type == QDOT_U8 ? 131 : 3;
    p->out_zero = p->out_type == QDOT_U8 ? 128 : p->out_type == QDOT_S8 ? -4 : 0;
    for (size_t j = 0; j < p->n; j++) {
        const uint64_t word = next_random(state);
        p->bias[j] = (int32_t)(word % 20001) - 10000;
        p->scale[j] = base * (0.5f + (float)(word >> 40) / 16777216.0f);
        if (p->bias_f)
            p->bias_f[j] = (float)(int32_t)(word >> 16 & 1023) / 64.0f - 8.0f;
    }
}

int product_create(struct product *p, struct qdot_error *err)
{
    const bool plain = p->out_type == QDOT_S32;
    uint64_t state = p->m * 0x10000000001u ^ p->n * 0x1000001u ^ p->k;
    size_t mk, kn, mn;
    p->a = p->b = NULL;
    p->bias = p->acc = NULL;
    p->scale = p->bias_f = NULL;
    p->a_zero = p->out_zero = 0;
    if (__builtin_mul_overflow(p->m, p->k, &mk) || __builtin_mul_overflow(p->k, p->n, &kn) ||
        __builtin_mul_overflow(p->m, p->n, &mn))
        goto none;
    p->a = verify_alloc(mk, 1);
    p->b = verify_alloc(kn, 1);
    if (!p->a || !p->b)
        goto none;
    fill_random(p->a, mk, &state);
    fill_random(p->b, kn, &state);
    if (!plain) {
        p->bias = verify_alloc(p->n, sizeof(*p->bias));
        p->scale = verify_alloc(p->n, sizeof(*p->scale));
        if (p->out_type == QDOT_F32)
            p->bias_f = verify_alloc(p->n, sizeof(*p->bias_f));
        if (!p->bias || !p->scale || (p->out_type == QDOT_F32 && !p->bias_f))
            goto none;
        fill_terms(p, &state);
    }
    return QDOT_OK;
none:
    product_free(p);
    if (err) {
        err->status = QDOT_NO_MEMORY;
        snprintf(err->text, sizeof(err->text), "no memory for the matrices of %zux%zux%zu", p->m,
                 p->n, p->k);
    }
    return QDOT_NO_MEMORY;
}

void product_free(struct product *p)
{
    free(p->a);
    free(p->b);
    free(p->bias);
    free(p->scale);
    free(p->bias_f);
    free(p->acc);
    p->a = p->b = NULL;
    p->bias = p->acc = NULL;
    p->scale = p->bias_f = NULL;
}

void product_describe(const struct product *p, bool twin, struct qdot_op_desc *desc)
{
    const bool f32 = p->out_type == QDOT_F32;
    *desc = (struct qdot_op_desc){
        .size = sizeof(*desc),
        .kind = QDOT_GEMM,
        .m = p->m,
        .n = p->n,
        .k = p->k,
        .a_type = p->a_type,
        .b_type = p->b_type,
        .out_type = twin ? QDOT_S32 : p->out_type,
        .b = p->b,
        .a_zero = p->a_zero,
        .bias = p->bias,
    };
    if (!twin && p->scale) {
        desc->scale = p->scale;
        desc->scale_count = p->n;
        desc->bias_f = f32 ? p->bias_f : NULL;
        desc->out_zero = f32 ? 0 : p->out_zero;
    }
}

/* One row of accumulators: 64-bit sums, wrapped at the end. */
static void plain_row(const struct product *p, size_t i, int64_t *sum)
{
    const int32_t a_flip = flip_of(p->a_type), b_flip = flip_of(p->b_type);
    for (size_t j = 0; j < p->n; j++)
        sum[j] = p->bias ? p->bias[j] : 0;
    for (size_t l = 0; l < p->k; l++) {
        const int32_t a = value_of(p->a[i * p->k + l], a_flip) - p->a_zero;
        const uint8_t *b = p->b + l * p->n;
        for (size_t j = 0; j < p->n; j++)
            sum[j] += (int64_t)a * value_of(b[j], b_flip);
    }
}

static bool rows_agree(const struct product *p, const int32_t *c, int64_t *sum, uint64_t *state,
                       char *reason, size_t reason_bytes)
{
    for (size_t s = 0; s < SAMPLED_ROWS; s++) {
        const size_t i = s == 0 ? 0 : s == 1 ? p->m - 1 : (size_t)(next_random(state) % p->m);
        plain_row(p, i, sum);
        for (size_t j = 0; j < p->n; j++) {
            const int32_t expected = (int32_t)(uint32_t)(uint64_t)sum[j];
            if (c[i * p->n + j] != expected) {
                snprintf(reason, reason_bytes, "acc[%zu][%zu] is %d, expected %d", i, j,
                         (int)c[i * p->n + j], (int)expected);
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

/* r: n and br: k words of scratch. */
static bool freivalds(const struct product *p, const int32_t *c, uint32_t *r, uint32_t *br,
                      uint64_t *state, char *reason, size_t reason_bytes)
{
    for (int round = 0; round < FREIVALDS_ROUNDS; round++) {
        /* An odd factor is a unit mod 2^32: round 0 misses no row with a single wrong element, not
         * even one that is off by 2^31. Round 1 draws from all, for what odd factors cancel. */
        for (size_t j = 0; j < p->n; j++)
            r[j] = (uint32_t)(next_random(state) >> 32) | (round == 0 ? 1 : 0);
        for (size_t l = 0; l < p->k; l++)
            br[l] = dot_bytes(p->b + l * p->n, flip_of(p->b_type), 0, r, p->n);
        const uint32_t bias = p->bias ? dot_c(p->bias, r, p->n) : 0;
        for (size_t i = 0; i < p->m; i++) {
            const uint32_t expected =
                dot_bytes(p->a + i * p->k, flip_of(p->a_type), p->a_zero, br, p->k) + bias;
            if (dot_c(c + i * p->n, r, p->n) != expected) {
                snprintf(reason, reason_bytes, "row %zu of the product is wrong (Freivalds)", i);
                return false;
            }
        }
    }
    return true;
}

bool product_prove(struct product *p, const int32_t *c, char *reason, size_t reason_bytes)
{
    const size_t bytes = p->m * p->n * sizeof(*c);
    uint64_t state = 0x5DEECE66Du ^ p->m ^ p->n << 20 ^ p->k << 40;
    if (p->acc) {
        if (memcmp(p->acc, c, bytes) == 0)
            return true;
        snprintf(reason, reason_bytes, "the accumulators differ from the proven ones");
        return false;
    }
    int64_t *sum = verify_alloc(p->n, sizeof(*sum));
    uint32_t *r = verify_alloc(p->n, sizeof(*r));
    uint32_t *br = verify_alloc(p->k, sizeof(*br));
    int32_t *acc = verify_alloc(p->m * p->n, sizeof(*acc));
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

static int32_t requantized(const struct product *p, int32_t acc, float scale)
{
    const float lo = p->out_type == QDOT_U8 ? 0.0f : -128.0f;
    const float hi = p->out_type == QDOT_U8 ? 255.0f : 127.0f;
    /* Clamped before the zero point is added, so that the conversion to int is defined: a value
     * beyond +-1000 ends at a limit either way. */
    float scaled = rintf((float)acc * scale);
    scaled = fminf(fmaxf(scaled, -1000.0f), 1000.0f) + (float)p->out_zero;
    return (int32_t)fminf(fmaxf(scaled, lo), hi);
}

bool product_check(const struct product *p, const void *out, char *reason, size_t reason_bytes)
{
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            const size_t at = i * p->n + j;
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
            const int32_t expected =
                p->out_type == QDOT_S32 ? acc : requantized(p, acc, p->scale[j]);
            if (got != expected) {
                snprintf(reason, reason_bytes, "out[%zu][%zu] is %d, expected %d", i, j, (int)got,
                         (int)expected);
                return false;
            }
        }
    return true;
}
