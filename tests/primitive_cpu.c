/* Group primitive on the CPU: what compilers make of C here, and the instructions of kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "checks.h"
#include "guard.h"
#include "primitive_cpu.h"

/* ---- C, by whatever instructions this program was compiled to ---------------------------------- */

static float as_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t as_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* For each element x, y, z of a, b, c the value; of an operand that is none the type is another one's. */
#define EACH(name, R, A, B, C, value)                                                  \
    static void name(const uint8_t *a, const uint8_t *b, const uint8_t *c, uint8_t *r, \
                     size_t bytes)                                                     \
    {                                                                                  \
        for (size_t i = 0; i < bytes / sizeof(R); i++) {                               \
            A x;                                                                       \
            B y;                                                                       \
            C z;                                                                       \
            memcpy(&x, a + i * sizeof(x), sizeof(x));                                  \
            memcpy(&y, b + i * sizeof(y), sizeof(y));                                  \
            memcpy(&z, c + i * sizeof(z), sizeof(z));                                  \
            (void)y;                                                                   \
            (void)z;                                                                   \
            const R result = (R)(value);                                               \
            memcpy(r + i * sizeof(result), &result, sizeof(result));                   \
        }                                                                              \
    }
#define BYTE(type, word, i) ((type)((word) >> 8 * (i)))
#define FOUR(s, t)                                                   \
    (BYTE(s, x, 0) * BYTE(t, y, 0) + BYTE(s, x, 1) * BYTE(t, y, 1) + \
     BYTE(s, x, 2) * BYTE(t, y, 2) + BYTE(s, x, 3) * BYTE(t, y, 3))
#define MAGIC 12582912.0f /* 1.5 * 2^23: added to a small float it rounds, into the low bits */
#define CLAMPED(x, lo, hi) ((x) < (lo) ? (lo) : (x) > (hi) ? (hi) : (x))

EACH(c_dot_us, uint32_t, uint32_t, uint32_t, uint32_t, z + (uint32_t)FOUR(uint8_t, int8_t))
EACH(c_dot_ss, uint32_t, uint32_t, uint32_t, uint32_t, z + (uint32_t)FOUR(int8_t, int8_t))
EACH(c_dot_uu, uint32_t, uint32_t, uint32_t, uint32_t, z + (uint32_t)FOUR(uint8_t, uint8_t))
EACH(c_dot_su, uint32_t, uint32_t, uint32_t, uint32_t, z + (uint32_t)FOUR(int8_t, uint8_t))
EACH(c_mul_short, int16_t, uint8_t, int8_t, uint8_t, x *y)
EACH(c_mad, uint32_t, uint32_t, uint32_t, uint32_t, x *y + z)
EACH(c_mul_high, int32_t, int32_t, int32_t, int32_t, (int64_t)x *y >> 32)
EACH(c_fixed, int32_t, int32_t, int32_t, int32_t, ((int64_t)x * y + (1 << 30)) >> 31)
EACH(c_right, int64_t, int64_t, int64_t, int64_t, x >> y)
EACH(c_sat, int8_t, int32_t, int32_t, int32_t, CLAMPED(x, -128, 127))
EACH(c_add_sat, int16_t, int16_t, int16_t, int16_t, CLAMPED(x + y, -32768, 32767))
EACH(c_float, float, int32_t, int32_t, int32_t, x)
EACH(c_rounded, int8_t, float, float, float,
     as_bits(CLAMPED(x, -128.0f, 127.0f) + MAGIC) - as_bits(MAGIC))
EACH(c_fmul_fadd, float, float, float, float, x *y + z)
EACH(c_fdiv, float, float, float, float, x / y)
EACH(c_fmin, uint32_t, uint32_t, uint32_t, uint32_t, as_float(x) < as_float(y) ? x : y)

#define P(text, r, a, b, c, expected, detail, domain, run)            \
    {                                                                 \
        {text, r, a, b, c, expected, detail, domain, true, NULL}, run \
    }
#define DOT(text, signs, run) P(text, U32, U32, U32, U32, math_dot_add, signs, BYTES, run)
#define END                  \
    {                        \
        {.text = NULL}, NULL \
    }

static const struct instruction c_dots[] = {
    DOT("C: c + four products of u8 and s8", SIGNED_B, c_dot_us),
    DOT("C: c + four products of s8", SIGNED_BOTH, c_dot_ss),
    DOT("C: c + four products of u8", SIGNED_NONE, c_dot_uu),
    DOT("C: c + four products of s8 and u8", SIGNED_A, c_dot_su),
    END,
};
static const struct instruction c_integers[] = {
    P("C: (int16_t)(a * b)", S16, U8, S8, NONE, math_mul, 0, ANY, c_mul_short),
    P("C: a * b + c", U32, U32, U32, U32, math_mad, 0, ANY, c_mad),
    P("C: (int64_t)a * b >> 32", S32, S32, S32, NONE, math_mul_high, 0, ANY, c_mul_high),
    P("C: ((int64_t)a * b + (1 << 30)) >> 31", S32, S32, S32, NONE, math_fixed, 0, ANY, c_fixed),
    P("C: a >> b", S64, S64, S64, NONE, math_right, 0, SHIFT, c_right),
    END,
};
static const struct instruction c_saturating[] = {
    P("C: a from -128 to 127", S8, S32, NONE, NONE, math_sat, 0, ANY, c_sat),
    P("C: a + b from -32768 to 32767", S16, S16, S16, NONE, math_add_sat, 0, ANY, c_add_sat),
    END,
};
static const struct instruction c_floats[] = {
    P("C: (float)a", F32, S32, NONE, NONE, math_float, TO_NEAREST, ANY, c_float),
    P("C: (a from -128 to 127) + 1.5 * 2^23", S8, F32, NONE, NONE, math_to_int_sat, TO_NEAREST,
      NEAR, c_rounded),
    P("C: a * b + c", F32, F32, F32, F32, math_fmul_fadd, 0, ANY, c_fmul_fadd),
    P("C: a / b", F32, F32, F32, NONE, math_fdiv, 0, ANY, c_fdiv),
    P("C: a < b ? a : b", F32, F32, F32, NONE, math_fmin_or_second, 0, ANY, c_fmin),
    END,
};

#define MOVE(name, type)                                             \
    static void name(const uint8_t *from, uint8_t *to, size_t count) \
    {                                                                \
        type value;                                                  \
        (void)count;                                                 \
        memcpy(&value, from, sizeof(value));                         \
        memcpy(to, &value, sizeof(value));                           \
    }
MOVE(c_move2, uint16_t)
MOVE(c_move4, uint32_t)
MOVE(c_move8, uint64_t)

static const struct move c_moves[] = {
    {"C: 2 bytes", NULL, 2, 1, 1, c_move2},
    {"C: 4 bytes", NULL, 4, 1, 1, c_move4},
    {"C: 8 bytes", NULL, 8, 1, 1, c_move8},
    {.text = NULL},
};

/* ---- a set of cases -------------------------------------------------------------------------- */

enum { LISTS = 2 };

struct cases {
    const struct instruction *lists[LISTS];
    const struct move *moves[LISTS];
};

struct state {
    const struct cases *cases;
    struct check_target target;
    char features[512]; /* with a blank before and behind each */
};

static const struct instruction *instruction_at(const struct cases *cases, size_t index)
{
    for (size_t list = 0; list < LISTS && cases->lists[list]; list++)
        for (const struct instruction *at = cases->lists[list]; at->p.text; at++)
            if (index-- == 0)
                return at;
    return NULL;
}

static const struct move *move_at(const struct cases *cases, size_t index)
{
    for (size_t list = 0; list < LISTS && cases->moves[list]; list++)
        for (const struct move *at = cases->moves[list]; at->text; at++)
            if (index-- == 0)
                return at;
    return NULL;
}

static const char *name_of(void *state, size_t index)
{
    const struct state *s = state;
    const struct instruction *instruction = instruction_at(s->cases, index);
    const struct move *move = move_at(s->cases, index);
    return instruction ? instruction->p.text : move ? move->text : NULL;
}

static bool has(const struct state *s, const char *feature)
{
    char word[64];
    snprintf(word, sizeof(word), " %s ", feature ? feature : "");
    return !feature || strstr(s->features, word);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static enum verdict compute(const struct state *s, const struct instruction *instruction,
                            struct outcome *outcome)
{
    const struct primitive *p = &instruction->p;
    struct operands o;
    const bool made = operands_make(&o, p, s->target.seed, s->target.small, true);
    const size_t bytes = o.count * scalar_bytes(p->r);
    uint8_t *r = made ? malloc(bytes) : NULL;
    enum verdict verdict = VERDICT_NOT_RUN;
    if (!r) {
        check_fail(outcome, "out of memory");
    } else {
        memset(r, GUARD_POISON, bytes);
        const uint8_t *given[3]; /* another one where an operand is none */
        for (size_t j = 0; j < 3; j++)
            given[j] = o.memory[j] ? o.memory[j] : o.memory[0];
        instruction->run(given[0], given[1], given[2], r, bytes);
        verdict = primitive_compare(p, &o, FORM_SCALAR, r, o.count, true, outcome)
                      ? check_pass(outcome)
                      : VERDICT_FAIL;
    }
    free(r);
    operands_free(&o);
    return verdict;
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum { SPAN = 256, OFFSETS = 64 };

/* 'at' bytes from the end of what is before an unmapped page, or from the beginning of what is behind
 * one. */
static size_t place(bool at_end, size_t bytes, size_t at)
{
    return at_end ? SPAN - bytes - at : at;
}

static bool moved(const struct move *move, bool at_end, const uint8_t *from, uint8_t *to,
                  size_t count, size_t source, size_t target, struct outcome *outcome)
{
    const size_t bytes = count * move->element;
    const size_t begin = place(at_end, bytes, target);
    uint8_t expected[SPAN];
    from += place(at_end, bytes, source);
    memset(to, GUARD_POISON, SPAN);
    memset(expected, GUARD_POISON, SPAN);
    memcpy(expected + begin, from, bytes);
    move->run(from, to + begin, count);
    if (memcmp(to, expected, SPAN) == 0)
        return true;
    size_t at = 0;
    while (to[at] == expected[at])
        at++;
    check_fail(outcome,
               at < begin || at >= begin + bytes ? "a byte beside it was changed" : "a wrong byte");
    snprintf(outcome->index, sizeof(outcome->index),
             "byte %td of %zu, from %zu bytes %s a page to %zu", (ptrdiff_t)at - (ptrdiff_t)begin,
             bytes, source, at_end ? "before the end of" : "into", target);
    snprintf(outcome->got, sizeof(outcome->got), "0x%02x", to[at]);
    snprintf(outcome->expected, sizeof(outcome->expected), "0x%02x", expected[at]);
    return false;
}

static bool move_all(const struct move *move, bool at_end, const uint8_t *from, uint8_t *to,
                     struct outcome *outcome)
{
    for (size_t count = move->least; count <= move->most; count++)
        for (size_t source = 0; source < OFFSETS; source++)
            for (size_t target = 0; target < OFFSETS; target++)
                if (!moved(move, at_end, from, to, count, source, target, outcome))
                    return false;
    return true;
}

static enum verdict try_move(const struct state *s, const struct move *move,
                             struct outcome *outcome)
{
    enum verdict verdict = check_pass(outcome);
    struct random r = {random_seed(s->target.seed, move->text, 0)};
    for (int at_end = 0; at_end < 2 && verdict == VERDICT_PASS; at_end++) {
        struct guarded from = {0}, to = {0};
        if (!guarded_alloc(&from, SPAN, at_end) || !guarded_alloc(&to, SPAN, at_end)) {
            check_fail(outcome, "out of memory");
            verdict = VERDICT_NOT_RUN;
        } else {
            fill_bytes(&r, from.memory, SPAN, QDOT_U8, FILL_ANY, 0);
            if (!move_all(move, at_end, from.memory, to.memory, outcome))
                verdict = VERDICT_FAIL;
        }
        guarded_free(&from);
        guarded_free(&to);
    }
    return verdict;
}

/* ---- the sets -------------------------------------------------------------------------------- */

static enum verdict run(void *state, size_t index, struct outcome *outcome)
{
    const struct state *s = state;
    const struct instruction *instruction = instruction_at(s->cases, index);
    const struct move *move = move_at(s->cases, index);
    const char *needs = instruction ? instruction->p.needs : move->needs;
    if (!has(s, needs))
        return check_refuse(outcome, "needs %s", needs);
    return instruction ? compute(s, instruction, outcome) : try_move(s, move, outcome);
}

static bool find_features(struct state *s, char *reason, size_t reason_bytes)
{
    const struct qdot_device_desc desc = {.size = sizeof(desc), .device = "cpu", .cache_dir = ""};
    struct qdot_device_info info = {.size = sizeof(info)};
    struct qdot_device *device = NULL;
    struct qdot_error err = {0};
    const bool found = !qdot_open(&desc, &device, &err) && !qdot_device_info(device, &info, &err);
    if (found)
        snprintf(s->features, sizeof(s->features), " %.500s ", info.features);
    else
        snprintf(reason, reason_bytes, "%s", err.text);
    qdot_close(device);
    return found;
}

static void *open_cases(const struct check_target *target, char *reason, size_t reason_bytes)
{
    struct state *s = calloc(1, sizeof(*s));
    if (!s) {
        snprintf(reason, reason_bytes, "out of memory");
        return NULL;
    }
    s->cases = target->cases;
    s->target = *target;
    if (find_features(s, reason, reason_bytes))
        return s;
    free(s);
    return NULL;
}

static const struct cases dots = {.lists = {c_dots, x86_dots}},
                          integers = {.lists = {c_integers, x86_integers}},
                          saturating = {.lists = {c_saturating, x86_saturating}},
                          floats = {.lists = {c_floats, x86_floats}},
                          loads = {.moves = {c_moves, x86_moves}};

#define SET(name, about, cases)                                                           \
    {                                                                                     \
        "device/" name, "primitive", about, "cpu", open_cases, name_of, run, free, &cases \
    }

const struct check_set check_primitive_cpu[] = {
    SET("dot", "sums of products of bytes and words, plain and saturating", dots),
    SET("integer", "integers: products, sums, high words, shifts, tables", integers),
    SET("saturate", "conversions and sums that saturate", saturating),
    SET("float", "floats: conversions, rounding, nothing fused", floats),
    SET("load", "vectors and masked parts at every alignment, up to unmapped pages", loads),
    {.name = NULL},
};
