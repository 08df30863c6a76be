/* What primitives must give, in C: slow and plain. */
#include <math.h>
#include <string.h>
#include "primitive.h"

static int64_t wrapped(uint64_t bits)
{
    int64_t value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static int64_t lowest(enum scalar type)
{
    return scalar_signed(type) ? wrapped(~UINT64_C(0) << (8 * scalar_bytes(type) - 1)) : 0;
}

static int64_t highest(enum scalar type) /* not of u64 */
{
    const size_t bits = 8 * scalar_bytes(type) - scalar_signed(type);
    return (int64_t)((UINT64_C(1) << bits) - 1);
}

static int64_t saturated(int64_t value, enum scalar type)
{
    return value < lowest(type) ? lowest(type) : value > highest(type) ? highest(type) : value;
}

#define EXPECTED(name) int64_t name(const struct primitive *p, int64_t a, int64_t b, int64_t c)
#define UNUSED (void)p, (void)a, (void)b, (void)c

/* ---- integers -------------------------------------------------------------------------------- */

EXPECTED(math_same)
{
    UNUSED;
    return a;
}

EXPECTED(math_add)
{
    UNUSED;
    return wrapped((uint64_t)a + (uint64_t)b);
}

EXPECTED(math_sub)
{
    UNUSED;
    return wrapped((uint64_t)a - (uint64_t)b);
}

EXPECTED(math_mul)
{
    UNUSED;
    return wrapped((uint64_t)a * (uint64_t)b);
}

EXPECTED(math_mad)
{
    UNUSED;
    return wrapped((uint64_t)a * (uint64_t)b + (uint64_t)c);
}

/* The upper 64 bits of the product of two unsigned of 64. */
static uint64_t high64(uint64_t x, uint64_t y)
{
    const uint64_t x0 = x & UINT32_MAX, x1 = x >> 32, y0 = y & UINT32_MAX, y1 = y >> 32;
    const uint64_t middle = x1 * y0 + (x0 * y0 >> 32);
    return x1 * y1 + (middle >> 32) + ((x0 * y1 + (middle & UINT32_MAX)) >> 32);
}

EXPECTED(math_mul_high)
{
    UNUSED;
    const size_t bits = 8 * scalar_bytes(p->a);
    if (bits < 64)
        return scalar_signed(p->a) ? a * b >> bits : wrapped((uint64_t)a * (uint64_t)b >> bits);
    uint64_t high = high64((uint64_t)a, (uint64_t)b);
    if (p->a == S64) /* as unsigned, a negative factor counts 2^64 too much */
        high -= (a < 0 ? (uint64_t)b : 0) + (b < 0 ? (uint64_t)a : 0);
    return wrapped(high);
}

EXPECTED(math_mad_high)
{
    return wrapped((uint64_t)math_mul_high(p, a, b, c) + (uint64_t)c);
}

EXPECTED(math_half_add)
{
    UNUSED;
    return (a + b) >> 1;
}

EXPECTED(math_half_add_up)
{
    UNUSED;
    return (a + b + 1) >> 1;
}

EXPECTED(math_abs)
{
    UNUSED;
    return a < 0 ? -a : a;
}

EXPECTED(math_abs_diff)
{
    UNUSED;
    return a > b ? a - b : b - a;
}

EXPECTED(math_min)
{
    UNUSED;
    return a < b ? a : b;
}

EXPECTED(math_max)
{
    UNUSED;
    return a > b ? a : b;
}

/* Between b and c, whichever is the lower. */
EXPECTED(math_clamp)
{
    UNUSED;
    const int64_t lo = b < c ? b : c, hi = b < c ? c : b;
    return a < lo ? lo : a > hi ? hi : a;
}

EXPECTED(math_left)
{
    UNUSED;
    return wrapped((uint64_t)a << (b & (int64_t)(8 * scalar_bytes(p->a) - 1)));
}

EXPECTED(math_right)
{
    UNUSED;
    const int64_t bits = b & (int64_t)(8 * scalar_bytes(p->a) - 1);
    return p->a == U64 ? wrapped((uint64_t)a >> bits) : a >> bits;
}

EXPECTED(math_rotate)
{
    UNUSED;
    const unsigned bits = 8 * (unsigned)scalar_bytes(p->a), by = (unsigned)b & (bits - 1);
    const uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    const uint64_t value = (uint64_t)a & mask;
    return wrapped(by ? value << by | value >> (bits - by) : value);
}

EXPECTED(math_bits)
{
    UNUSED;
    int64_t count = 0;
    for (size_t i = 0; i < 8 * scalar_bytes(p->a); i++)
        count += (uint64_t)a >> i & 1;
    return count;
}

EXPECTED(math_zeros)
{
    UNUSED;
    int64_t count = 0;
    for (size_t i = 8 * scalar_bytes(p->a); i-- > 0 && !((uint64_t)a >> i & 1);)
        count++;
    return count;
}

EXPECTED(math_upsample)
{
    UNUSED;
    return wrapped((uint64_t)b << 8 * scalar_bytes(p->a) | (uint64_t)a);
}

EXPECTED(math_sum_if_negative)
{
    UNUSED;
    uint64_t sum = ((uint64_t)b << 32) + (uint32_t)a;
    sum += c < 0 ? (uint64_t)c : 0;
    return wrapped((uint32_t)(sum ^ sum >> 32));
}

EXPECTED(math_product_right)
{
    UNUSED;
    return a * b >> 31;
}

EXPECTED(math_fixed)
{
    UNUSED;
    return (a * b + (1 << 30)) >> 31;
}

/* The lower 32 bits, signed as the type is. */
static int64_t lower(const struct primitive *p, int64_t a)
{
    const int64_t word = (int64_t)((uint64_t)a & UINT32_MAX);
    return scalar_signed(p->a) && word > INT32_MAX ? word - (INT64_C(1) << 32) : word;
}

EXPECTED(math_words_product)
{
    UNUSED;
    return wrapped((uint64_t)lower(p, a) * (uint64_t)lower(p, b));
}

EXPECTED(math_words_fixed)
{
    UNUSED;
    return (lower(p, a) * lower(p, b) + (1 << 30)) >> 31 & UINT32_MAX;
}

EXPECTED(math_words_sum)
{
    UNUSED;
    return wrapped((uint64_t)a + ((uint64_t)a >> 32));
}

EXPECTED(math_bytes_apart)
{
    UNUSED;
    int64_t sum = 0;
    for (size_t i = 0; i < scalar_bytes(p->a); i++) {
        const int x = (uint8_t)((uint64_t)a >> 8 * i), y = (uint8_t)((uint64_t)b >> 8 * i);
        sum += x > y ? x - y : y - x;
    }
    return sum;
}

EXPECTED(math_if_negative)
{
    UNUSED;
    return a < 0 ? c : b;
}

EXPECTED(math_left_past)
{
    UNUSED;
    return b < (int64_t)(8 * scalar_bytes(p->a)) ? wrapped((uint64_t)a << b) : 0;
}

EXPECTED(math_right_past)
{
    UNUSED;
    return a >> (b < 63 ? b : 63);
}

EXPECTED(math_right_by)
{
    UNUSED;
    return wrapped((uint64_t)a >> p->detail);
}

EXPECTED(math_entry)
{
    UNUSED;
    const size_t bytes = scalar_bytes(p->r), first = (size_t)a % (size_t)p->detail * bytes;
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | PRIMITIVE_ENTRY(first + i);
    return wrapped(value);
}

/* ---- saturation ------------------------------------------------------------------------------ */

EXPECTED(math_sat)
{
    UNUSED;
    return saturated(a, p->r);
}

EXPECTED(math_add_sat)
{
    UNUSED;
    return saturated(a + b, p->r);
}

EXPECTED(math_sub_sat)
{
    UNUSED;
    return saturated(a - b, p->r);
}

EXPECTED(math_mul_sat)
{
    UNUSED;
    return saturated(a * b, p->r);
}

/* The absolute value as 32 bits have it: that of the least is itself. */
EXPECTED(math_abs_sat)
{
    UNUSED;
    return saturated(a == INT32_MIN ? a : a < 0 ? -a : a, p->r);
}

EXPECTED(math_mad_sat)
{
    UNUSED;
    return saturated(a * b + c, p->r);
}

/* ---- floats ---------------------------------------------------------------------------------- */

static float number(int64_t bits)
{
    const uint32_t word = (uint32_t)bits;
    float value;
    memcpy(&value, &word, sizeof(value));
    return value;
}

static int64_t bits_of(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof(word));
    return word;
}

/* An integer below 2^53 as a float: in double it is exact. */
EXPECTED(math_float)
{
    UNUSED;
    const double exact = (double)a;
    float value = (float)exact; /* to the nearest, ties to even */
    if (p->detail == TO_ZERO && fabs((double)value) > fabs(exact))
        value = nextafterf(value, 0);
    if (p->detail == UPWARD && (double)value < exact)
        value = nextafterf(value, INFINITY);
    if (p->detail == DOWNWARD && (double)value > exact)
        value = nextafterf(value, -INFINITY);
    return bits_of(value);
}

static double rounded(double value, int how)
{
    return how == TO_NEAREST ? nearbyint(value)
           : how == TO_ZERO  ? trunc(value)
           : how == UPWARD   ? ceil(value)
                             : floor(value);
}

EXPECTED(math_to_int_sat)
{
    UNUSED;
    const double value = rounded((double)number(a), p->detail);
    const double lo = (double)lowest(p->r), hi = (double)highest(p->r);
    return value <= lo ? lowest(p->r) : value >= hi ? highest(p->r) : (int64_t)value;
}

EXPECTED(math_to_int_or_least)
{
    UNUSED;
    const double value = rounded((double)number(a), p->detail);
    const bool is_near = value >= (double)INT32_MIN && value <= (double)INT32_MAX;
    return is_near ? (int64_t)value : INT32_MIN;
}

EXPECTED(math_rint)
{
    UNUSED;
    return bits_of(nearbyintf(number(a)));
}

EXPECTED(math_trunc)
{
    UNUSED;
    return bits_of(truncf(number(a)));
}

EXPECTED(math_floor)
{
    UNUSED;
    return bits_of(floorf(number(a)));
}

EXPECTED(math_fadd)
{
    UNUSED;
    return bits_of(number(a) + number(b));
}

EXPECTED(math_fmul)
{
    UNUSED;
    return bits_of(number(a) * number(b));
}

EXPECTED(math_fmul_fadd)
{
    UNUSED;
    const volatile float product = number(a) * number(b); /* never fused, whatever the compiler */
    return bits_of(product + number(c));
}

EXPECTED(math_fdiv)
{
    UNUSED;
    return bits_of(number(a) / number(b));
}

EXPECTED(math_fmin_or_second)
{
    UNUSED;
    return number(a) < number(b) ? a : b;
}

EXPECTED(math_fmax_or_second)
{
    UNUSED;
    return number(a) > number(b) ? a : b;
}

EXPECTED(math_fma)
{
    UNUSED;
    return bits_of(fmaf(number(a), number(b), number(c)));
}

/* A sum a times a scale b, to the nearest, and saturated. */
EXPECTED(math_requantise)
{
    UNUSED;
    const volatile float product = (float)a * number(b);
    return math_to_int_sat(p, bits_of(product), 0, 0);
}

/* ---- sums of four products ------------------------------------------------------------------- */

static int64_t byte(int64_t word, size_t i, bool is_signed)
{
    const uint8_t bits = (uint8_t)((uint64_t)word >> 8 * i);
    return is_signed && bits > 127 ? (int64_t)bits - 256 : bits;
}

EXPECTED(math_dot)
{
    UNUSED;
    int64_t sum = 0;
    for (size_t i = 0; i < 4; i++)
        sum += byte(a, i, p->detail & SIGNED_A) * byte(b, i, p->detail & SIGNED_B);
    return sum;
}

/* The byte of a that begins at bit b. */
EXPECTED(math_byte)
{
    UNUSED;
    return byte(a, (size_t)b / 8, p->detail & SIGNED_A);
}

EXPECTED(math_dot_add) /* wraps */
{
    return math_dot(p, a, b, c) + c;
}

EXPECTED(math_dot_sat)
{
    return saturated(math_dot(p, a, b, c) + c, p->r);
}

static int64_t word(int64_t words, size_t i)
{
    const uint16_t bits = (uint16_t)((uint64_t)words >> 16 * i);
    return bits > INT16_MAX ? (int64_t)bits - 65536 : bits;
}

EXPECTED(math_words_dot) /* wraps */
{
    UNUSED;
    return word(a, 0) * word(b, 0) + word(a, 1) * word(b, 1) + c;
}

EXPECTED(math_words_dot_sat)
{
    return saturated(math_words_dot(p, a, b, c), p->r);
}
