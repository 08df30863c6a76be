/*
 * Depthwise convolution by AVX-512 VNNI: lines of outputs from quads.
 *
 * Eight outputs of half the channels at a time have 16 registers of sums; a register of weights
 * serves them all, one of a quad one output, or two that lie a point apart.
 */
#include "depthwise_avx512.h"
#include "requantise_avx512.h"

/* c += a * b, four products a lane. gcc would rather load b for each product and copy c around. */
#if defined(__clang__)
#define DOT(c, a, b) c = _mm512_dpbusd_epi32(c, a, b)
#else
#define DOT(c, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b))
#endif

/* ---- sums ------------------------------------------------------------------------------------ */

/* Adds the products of 'outputs' neighbouring outputs' windows and weights to c, for half the
 * channels: registers 2 * half and the next. 'at' is where the first output's quad lies, from the
 * line's first. */
INLINE void add_products(const struct depthwise_line *l, size_t at, const __m512i *weights,
                         size_t terms, const int half, const int shared, const int outputs,
                         __m512i (*c)[2])
{
    const uint8_t *const *quads = l->quads, *const *const end = quads + terms;
    weights += 2 * half;
    at += (size_t)half * 128;
    do { /* there is one at least: else gcc copies all sums to and fro */
        const uint8_t *quad = *quads++ + at;
        UNROLL(2)
        for (int j = 0; j < 2; j++) {
            const __m512i w0 = weights[j], w1 = weights[4 * shared - 4 + j];
            UNROLL(8)
            for (int q = 0; q < outputs; q += shared) {
                const __m512i a = _mm512_load_si512(quad + q / shared * QUAD + j * 64);
                DOT(c[q][j], a, w0);
                if (shared == 2)
                    DOT(c[q + 1][j], a, w1);
            }
        }
        weights += 4 * shared;
    } while (quads != end);
    UNROLL(8)
    for (int q = 0; q < outputs; q++) {
        OWN_REGISTER(c[q][0]); /* else clang moves products behind the branches that follow */
        OWN_REGISTER(c[q][1]);
    }
}

/* bias + b_neg * the window's sum, where sums begin when there are zero points of weights. */
INLINE void window_sums(const struct depthwise_work *w, const struct depthwise_line *l, size_t at,
                        const int shared, __m512i (*start)[4])
{
    for (int half = 0; half < 2; half++) {
        __m512i c[OUTPUTS][2];
        UNROLL(8)
        for (int q = 0; q < OUTPUTS; q++) {
            c[q][0] = c[q][1] = _mm512_setzero_si512();
            OWN_REGISTER(c[q][0]);
            OWN_REGISTER(c[q][1]);
        }
        add_products(l, at, w->ones, w->terms, half, shared, OUTPUTS, c);
        UNROLL(8)
        for (int q = 0; q < OUTPUTS; q++) {
            UNROLL(2)
            for (int j = 0; j < 2; j++)
                start[q][2 * half + j] = _mm512_add_epi32(
                    w->bias[2 * half + j], _mm512_mullo_epi32(c[q][j], w->b_neg[2 * half + j]));
        }
    }
}

static __attribute__((noinline)) TARGET void window_sums_1(const struct depthwise_work *w,
                                                           const struct depthwise_line *l,
                                                           size_t at, __m512i (*start)[4])
{
    window_sums(w, l, at, 1, start);
}

static __attribute__((noinline)) TARGET void window_sums_2(const struct depthwise_work *w,
                                                           const struct depthwise_line *l,
                                                           size_t at, __m512i (*start)[4])
{
    window_sums(w, l, at, 2, start);
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* In registers: stores of bytes could alias where they come from. */
struct narrowing {
    __m512i zero, lo, hi; /* of 16, 8 and 8 bits */
    const __m512 *scale;
    __mmask64 channels;
    /* Of other roundings than QDOT_ROUND_RNE: bytes are signed, and then XORed with flip. */
    struct cpu_fixed fixed[4];
    __m512 zero_first;
    __m512i flip;
};

/*
 * To bytes: convert, multiply, convert; packing saturates to 16 bits, the zero point is added with
 * saturation, packing saturates to 8 bits, and a clamp that is narrower is one of bytes. Each
 * saturation is monotonic and lies outside the clamp, so the result is clamp(rne(x) + zero). The
 * second conversion gives INT_MIN for all that does not fit: right for what is far below, and where
 * something may be far above (not 'plain') it is cut off at a value beyond all outputs. Both
 * conversions round to nearest even, the mode cpu.c sets.
 */
INLINE __m512i to_words(const struct narrowing *n, const int half, const bool plain,
                        const enum qdot_rounding rounding, const __m512i *c)
{
    __m512i v[2];
    UNROLL(2)
    for (int j = 0; j < 2; j++) {
        if (rounding >= QDOT_ROUND_Q31_DOUBLE_AWAY) {
            v[j] = rounded(c[j], &n->fixed[2 * half + j], rounding);
            continue;
        }
        __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(c[j]), n->scale[2 * half + j]);
        if (rounding == QDOT_ROUND_RNE_ZERO_FIRST)
            x = _mm512_add_ps(x, n->zero_first);
        if (!plain)
            x = _mm512_min_ps(x, _mm512_set1_ps(65536.0f));
        v[j] = _mm512_cvtps_epi32(x);
    }
    return _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), n->zero);
}

INLINE __m512i to_bytes(const struct narrowing *n, const enum qdot_type type, const bool plain,
                        const enum qdot_rounding rounding, __m512i a, __m512i b)
{
    if (rounding != QDOT_ROUND_RNE) {
        const __m512i s8 = _mm512_packs_epi16(a, b);
        return _mm512_xor_si512(_mm512_min_epi8(_mm512_max_epi8(s8, n->lo), n->hi), n->flip);
    }
    const __m512i bytes = type == QDOT_U8 ? _mm512_packus_epi16(a, b) : _mm512_packs_epi16(a, b);
    if (plain)
        return bytes;
    if (type == QDOT_U8)
        return _mm512_min_epu8(_mm512_max_epu8(bytes, n->lo), n->hi);
    return _mm512_min_epi8(_mm512_max_epi8(bytes, n->lo), n->hi);
}

INLINE void store_narrow(const struct narrowing *n, const struct depthwise_line *l, __m512i bytes,
                         uint8_t *out, bool high)
{
    const __mmask32 channels = (__mmask32)n->channels;
    if (l->apart == 0) {
        _mm512_mask_storeu_epi8(out, n->channels, bytes);
        return;
    }
    _mm256_mask_storeu_epi8(out, channels, _mm512_castsi512_si256(bytes));
    if (high)
        _mm256_mask_storeu_epi8(out + l->apart, channels, _mm512_extracti64x4_epi64(bytes, 1));
}

/* Half of 64 outputs of 32 bits: of each 16 channels the first or the last 8. */
INLINE void store_wide(const struct depthwise_work *w, const struct depthwise_line *l,
                       const int half, const enum qdot_type type, const __m512i *c, uint8_t *out,
                       bool high)
{
    __m512i v[2], pieces[2];
    UNROLL(2)
    for (int j = 0; j < 2; j++) {
        v[j] = c[j];
        if (type == QDOT_F32)
            v[j] = _mm512_castps_si512(
                _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(c[j]), w->scale[2 * half + j]),
                              w->bias_f[2 * half + j]));
    }
    pieces[0] = _mm512_permutex2var_epi64(v[0], _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), v[1]);
    pieces[1] =
        _mm512_permutex2var_epi64(v[0], _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), v[1]);
    UNROLL(4)
    for (int i = 0; i < 4; i++) {
        const __m256i piece = i % 2 ? _mm512_extracti64x4_epi64(pieces[i / 2], 1)
                                    : _mm512_castsi512_si256(pieces[i / 2]);
        const bool upper = l->apart && i >= 2;
        const int channel = 16 * i + 8 * half - (upper ? HALF : 0);
        if (!upper || high)
            _mm256_mask_storeu_epi32(out + (upper ? l->apart : 0) + 4 * channel,
                                     (__mmask8)(w->channels >> channel), piece);
    }
}

/* 'outputs' neighbouring outputs, of which 'count' exist and, apart, 'high'. */
INLINE void some_outputs(const struct depthwise_work *w, const struct depthwise_line *l,
                         const struct narrowing *n, size_t at, uint8_t *out, size_t count,
                         size_t high, const int shared, const int outputs,
                         const enum qdot_type type, const bool plain,
                         const enum qdot_rounding rounding)
{
    __m512i start[OUTPUTS][4], words[OUTPUTS];
    if (w->b_neg) {
        if (shared == 2)
            window_sums_2(w, l, at, start);
        else
            window_sums_1(w, l, at, start);
    }
    UNROLL(2)
    for (int half = 0; half < 2; half++) {
        __m512i c[OUTPUTS][2];
        UNROLL(8)
        for (int q = 0; q < outputs; q++) {
            UNROLL(2)
            for (int j = 0; j < 2; j++) {
                c[q][j] = w->b_neg ? start[q][2 * half + j] : w->bias[2 * half + j];
                OWN_REGISTER(c[q][j]);
            }
        }
        add_products(l, at, w->weights, w->terms, half, shared, outputs, c);
        uint8_t *to = out;
        UNROLL(8)
        for (int q = 0; q < outputs; q++, to += l->out_step) {
            if (type != QDOT_S32 && type != QDOT_F32 && half == 0)
                words[q] = to_words(n, half, plain, rounding, c[q]);
            else if ((size_t)q >= count)
                break;
            else if (type == QDOT_S32 || type == QDOT_F32)
                store_wide(w, l, half, type, c[q], to, (size_t)q < high);
            else
                store_narrow(n, l,
                             to_bytes(n, type, plain, rounding, words[q],
                                      to_words(n, half, plain, rounding, c[q])),
                             to, (size_t)q < high);
        }
    }
}

/* u8 is s8 moved by 128. */
INLINE void narrow_otherwise(const struct depthwise_work *w, const enum qdot_rounding rounding,
                             struct narrowing *n)
{
    const struct cpu_output *o = w->output;
    const int32_t moved = o->type == QDOT_U8 ? 128 : 0;
    const bool first = rounding == QDOT_ROUND_RNE_ZERO_FIRST;
    n->zero = _mm512_set1_epi16((int16_t)((first ? 0 : o->zero) - moved));
    n->lo = _mm512_set1_epi8((char)(o->clamp_lo - moved));
    n->hi = _mm512_set1_epi8((char)(o->clamp_hi - moved));
    n->flip = _mm512_set1_epi8((char)moved);
    n->zero_first = _mm512_set1_ps((float)o->zero);
    UNROLL(4)
    for (int j = 0; j < 4; j++)
        n->fixed[j] = fixed_of(w->multiplier[j], w->shift[j]);
}

INLINE void whole_line(const struct depthwise_work *w, const struct depthwise_line *l,
                       const int shared, const enum qdot_type type, const bool plain,
                       const enum qdot_rounding rounding)
{
    const struct cpu_output *o = w->output;
    struct narrowing n = {
        .zero = _mm512_set1_epi16((int16_t)o->zero),
        .lo = _mm512_set1_epi8((char)o->clamp_lo),
        .hi = _mm512_set1_epi8((char)o->clamp_hi),
        .scale = w->scale,
        .channels = w->channels,
    };
    if (rounding != QDOT_ROUND_RNE)
        narrow_otherwise(w, rounding, &n);
    const size_t step = (size_t)(OUTPUTS / shared) * QUAD;
    uint8_t *out = l->out;
    size_t at = 0, left = l->count, high = l->count_apart;
    for (; left > 4; at += step, out += OUTPUTS * l->out_step) {
        some_outputs(w, l, &n, at, out, left, high, shared, OUTPUTS, type, plain, rounding);
        left -= left < OUTPUTS ? left : OUTPUTS;
        high -= high < OUTPUTS ? high : OUTPUTS;
    }
    if (left > 2)
        some_outputs(w, l, &n, at, out, left, high, shared, 4, type, plain, rounding);
    else if (left)
        some_outputs(w, l, &n, at, out, left, high, shared, 2, type, plain, rounding);
}

#define LINE(name, shared, type, plain, rounding)                      \
    static TARGET void name##_##shared(const struct depthwise_work *w, \
                                       const struct depthwise_line *l) \
    {                                                                  \
        whole_line(w, l, shared, type, plain, rounding);               \
    }
#define LINES(name, type, plain)               \
    LINE(name, 1, type, plain, QDOT_ROUND_RNE) \
    LINE(name, 2, type, plain, QDOT_ROUND_RNE)
#define OTHER_LINES(name, rounding)         \
    LINE(name, 1, QDOT_S8, false, rounding) \
    LINE(name, 2, QDOT_S8, false, rounding)
LINES(line_u8, QDOT_U8, false)
LINES(line_u8_plain, QDOT_U8, true)
LINES(line_s8, QDOT_S8, false)
LINES(line_s8_plain, QDOT_S8, true)
LINES(line_s32, QDOT_S32, false)
LINES(line_f32, QDOT_F32, false)
OTHER_LINES(line_zero_first, QDOT_ROUND_RNE_ZERO_FIRST)
OTHER_LINES(line_double_away, QDOT_ROUND_Q31_DOUBLE_AWAY)
OTHER_LINES(line_double_up, QDOT_ROUND_Q31_DOUBLE_UP)
OTHER_LINES(line_single_up, QDOT_ROUND_Q31_SINGLE_UP)

depthwise_line_fn *cpu_depthwise_line(const struct cpu_output *o, size_t shared)
{
#define PICK(name) return shared == 2 ? name##_2 : name##_1
    if (o->type == QDOT_S32)
        PICK(line_s32);
    if (o->type == QDOT_F32)
        PICK(line_f32);
    if (o->rounding == QDOT_ROUND_RNE_ZERO_FIRST)
        PICK(line_zero_first);
    if (o->rounding == QDOT_ROUND_Q31_DOUBLE_AWAY)
        PICK(line_double_away);
    if (o->rounding == QDOT_ROUND_Q31_DOUBLE_UP)
        PICK(line_double_up);
    if (o->rounding == QDOT_ROUND_Q31_SINGLE_UP)
        PICK(line_single_up);
    if (o->type == QDOT_U8 && o->plain)
        PICK(line_u8_plain);
    if (o->type == QDOT_U8)
        PICK(line_u8);
    if (o->plain)
        PICK(line_s8_plain);
    PICK(line_s8);
#undef PICK
}
