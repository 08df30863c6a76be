/* Operands of primitives, and the comparison of what a device made of them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "primitive.h"

enum { ALL = 65536, FEW = 4096 };

size_t scalar_bytes(enum scalar type)
{
    static const size_t bytes[] = {
        [S8] = 1,  [U8] = 1,  [S16] = 2, [U16] = 2, [S32] = 4,
        [U32] = 4, [S64] = 8, [U64] = 8, [F32] = 4,
    };
    return bytes[type];
}

bool scalar_signed(enum scalar type)
{
    return type == S8 || type == S16 || type == S32 || type == S64;
}

/* The value that a type gives these bits. */
static int64_t extended(uint64_t bits, enum scalar type)
{
    const unsigned unused = 64 - 8 * (unsigned)scalar_bytes(type);
    int64_t value;
    bits <<= unused;
    memcpy(&value, &bits, sizeof(value));
    if (scalar_signed(type))
        return value >> unused;
    bits >>= unused;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

int64_t scalar_load(const void *memory, size_t i, enum scalar type)
{
    uint64_t bits = 0;
    memcpy(&bits, (const uint8_t *)memory + i * scalar_bytes(type), scalar_bytes(type));
    return extended(bits, type);
}

static float as_float(int64_t bits)
{
    const uint32_t word = (uint32_t)bits;
    float value;
    memcpy(&value, &word, sizeof(value));
    return value;
}

void scalar_print(int64_t value, enum scalar type, char *text, size_t bytes)
{
    if (type == F32)
        snprintf(text, bytes, "%a (0x%08" PRIx32 ")", (double)as_float(value), (uint32_t)value);
    else if (type == U64)
        snprintf(text, bytes, "%" PRIu64, (uint64_t)value);
    else
        snprintf(text, bytes, "%" PRId64, value);
}

/* ---- operands -------------------------------------------------------------------------------- */

static const int64_t extreme_integers[] = {
    0,
    1,
    -1,
    2,
    -2,
    127,
    128,
    -127,
    -128,
    -129,
    255,
    256,
    -255,
    -256,
    32767,
    32768,
    -32768,
    -32769,
    65535,
    65536,
    16777215,
    16777216,
    16777217,
    16777219,
    33554431,
    -16777217,
    INT32_MAX,
    -65536,
    -65535,
    129,
    254,
    1073741824,
    0x55555555,
    0x7f7f7f7f,
    INT32_MAX - 1,
    INT32_MIN,
    INT32_MIN + 1,
    INT64_MAX,
    INT64_MIN,
    INT64_MIN + 1,
    -256 * 256 + 1,
    0x80808080,
};
static const uint32_t extreme_floats[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0xbf000000, 0x3fc00000, 0x40200000,
    0xc0200000, 0x7f7fffff, 0xff7fffff, 0x00800000, 0x80800000, 0x4b000000, 0x4b800000, 0x4b7fffff,
    0xcb800001, 0x4f000000, 0xcf000000, 0x4effffff, 0xcf000001, 0x4f800000, 0x42fe0000, 0x42ff0000,
    0xc3000000, 0xc3008000, 0x437f0000, 0x437f8000, 0x3effffff, 0x3f7fffff, 0x00000001, 0x807fffff,
    0x7f800000, 0xff800000, 0x4affffff, 0x4b000001,
};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static bool usable_float(uint32_t bits, enum domain domain, bool subnormals)
{
    const uint32_t exponent = bits >> 23 & 0xff;
    if (exponent == 0xff && domain == FINITE)
        return false;
    return (subnormals || exponent != 0 || bits << 1 == 0) && !(exponent == 0xff && bits << 9 != 0);
}

static int64_t some_float(struct random *r, enum domain domain, bool subnormals)
{
    static const float limits[] = {0, 0, 128, 256, 32768, 65536, 2147483648.0f, 16777216.0f};
    uint32_t bits;
    do {
        const uint64_t any = random_next(r);
        bits = (uint32_t)(any >> 32);
        if ((any & 3) == 0) {
            bits = extreme_floats[(any >> 8) % COUNT(extreme_floats)];
        } else if (domain == NEAR && (any & 3) < 3) { /* steps of a quarter about a limit */
            float value = limits[any >> 8 & 7] + (float)((int)(any >> 16 & 0xfff) - 2048) / 4;
            value = any >> 4 & 1 ? -value : value;
            memcpy(&bits, &value, sizeof(bits));
            bits += (any >> 5 & 3) == 1 ? 1 : 0; /* and just beside one */
        }
    } while (!usable_float(bits, domain, subnormals));
    return bits;
}

/* As many bits as not, so that small and large ones are as frequent. */
static int64_t some_integer(struct random *r, enum scalar type)
{
    const uint64_t any = random_next(r);
    if ((any & 3) == 0)
        return extended((uint64_t)extreme_integers[(any >> 8) % COUNT(extreme_integers)], type);
    const uint64_t bits = random_next(r) >> (any >> 2) % (8 * scalar_bytes(type));
    return extended(any >> 40 & 1 ? ~bits : bits, type);
}

static int64_t some_bytes(struct random *r, enum scalar type)
{
    uint64_t bits = 0;
    fill_bytes(r, &bits, 4, QDOT_S8, FILL_MIXED, 0);
    return extended(bits, type);
}

static int64_t some_value(struct random *r, const struct primitive *p, size_t which,
                          bool subnormals)
{
    const enum scalar type = (const enum scalar[]){p->a, p->b, p->c}[which];
    if (type == NONE)
        return 0;
    if (type == F32)
        return some_float(r, p->domain, subnormals);
    if ((p->domain == BYTES && which < 2) || (p->domain == BYTE_OF && which == 0))
        return some_bytes(r, type);
    if (p->domain == BYTE_OF && which == 1)
        return (int64_t)(8 * random_below(r, 4));
    int64_t value = some_integer(r, type);
    if (p->domain == SMALL && which < 2) {
        const uint64_t bits = (uint64_t)value << 40;
        memcpy(&value, &bits, sizeof(value));
        return scalar_signed(type) ? value >> 40 : (int64_t)(bits >> 40);
    }
    return p->domain == SHIFT && which == 1 ? value & (int64_t)(8 * scalar_bytes(p->a) - 1) : value;
}

static void store(void *memory, size_t i, enum scalar type, int64_t value)
{
    memcpy((uint8_t *)memory + i * scalar_bytes(type), &value, scalar_bytes(type));
}

/* How many of the operands' bits there are, where all their values can be tried. */
static unsigned exhausted(const struct primitive *p)
{
    const size_t bytes = scalar_bytes(p->a) + (p->b ? scalar_bytes(p->b) : 0);
    return p->domain == ANY && p->c == NONE && bytes <= 2 ? 8 * (unsigned)bytes : 0;
}

bool operands_make(struct operands *o, const struct primitive *p, uint64_t seed, bool small,
                   bool subnormals)
{
    const enum scalar types[3] = {p->a, p->b, p->c};
    const unsigned bits = exhausted(p);
    struct random r = {random_seed(seed, p->text, 0)};
    *o = (struct operands){.count = small && bits != 16 ? FEW : ALL};
    for (size_t j = 0; j < 3; j++) {
        if (types[j] == NONE)
            continue;
        o->memory[j] = malloc(o->count * scalar_bytes(types[j]));
        if (!o->memory[j])
            return false;
    }
    for (size_t i = 0; i < o->count; i++)
        for (size_t j = 0; j < 3 && types[j]; j++) {
            int64_t value = some_value(&r, p, j, subnormals);
            if (bits)
                value = extended(j ? i >> 8 * scalar_bytes(types[0]) : i, types[j]);
            store(o->memory[j], i, types[j], value);
        }
    for (size_t i = 0; i < FOLDED; i++)
        for (size_t j = 0; j < 3; j++)
            o->folded[i][j] = some_value(&r, p, j, subnormals);
    /* the ends of a's type are among those in vectors, and among the others */
    for (size_t i = 0; i < FOLDED && p->a != F32 && p->domain != SMALL; i += 4) {
        const uint64_t top = UINT64_C(1) << (8 * scalar_bytes(p->a) - 1);
        o->folded[i][0] = extended(i % 8 ? top - 1 : top, p->a);
    }
    return true;
}

void operands_free(struct operands *o)
{
    for (size_t j = 0; j < 3; j++)
        free(o->memory[j]);
    *o = (struct operands){0};
}

/* ---- comparison ------------------------------------------------------------------------------ */

/* Any NaN is as good as another, and where subnormals are flushed so may be a step. */
static bool same(enum scalar type, int64_t got, int64_t expected, bool subnormals)
{
    if (got == expected)
        return true;
    if (type != F32)
        return false;
    const float x = as_float(got), y = as_float(expected);
    if (isnan(y))
        return isnan(x);
    return !subnormals && fabsf(x - y) <= 0x1p-126f;
}

bool primitive_compare(const struct primitive *p, const struct operands *o, enum form form,
                       const void *results, size_t count, bool subnormals, struct outcome *outcome)
{
    static const char *const names[] = {"", ", in vectors of 16", ", of constants"};
    const enum scalar types[3] = {p->a, p->b, p->c};
    for (size_t i = 0; i < count; i++) {
        int64_t v[3] = {0};
        for (size_t j = 0; j < 3 && types[j]; j++)
            v[j] = form == FORM_FOLDED ? o->folded[i][j] : scalar_load(o->memory[j], i, types[j]);
        const int64_t got = scalar_load(results, i, p->r);
        const int64_t expected = extended((uint64_t)p->expected(p, v[0], v[1], v[2]), p->r);
        if (same(p->r, got, expected, subnormals))
            continue;
        char text[3][30] = {"", "", ""};
        for (size_t j = 0; j < 3 && types[j]; j++)
            scalar_print(v[j], types[j], text[j], sizeof(text[j]));
        snprintf(outcome->reason, sizeof(outcome->reason), "a wrong value%s", names[form]);
        snprintf(outcome->index, sizeof(outcome->index), "[%zu], a = %s%s%s%s%s", i, text[0],
                 p->b ? ", b = " : "", text[1], p->c ? ", c = " : "", text[2]);
        scalar_print(got, p->r, outcome->got, sizeof(outcome->got));
        scalar_print(expected, p->r, outcome->expected, sizeof(outcome->expected));
        return false;
    }
    return true;
}
