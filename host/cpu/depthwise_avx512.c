/*
 * Depthwise convolution by AVX-512 VNNI, 64 channels at a time.
 *
 * vpdpbusd adds four products of bytes into a 32-bit lane. Here they are four taps of one channel:
 * the bytes of 4 neighbouring points of a line are interleaved into a quad of 4 zmm, dword by
 * channel. A quad serves every line of the kernel (so it is made once, into a ring of kh lines in
 * L1) and, where outputs lie one point apart, two outputs: with 3 taps in a line the weights
 * (w0 w1 w2 0) and (0 w0 w1 w2) give output x and x + 1. Longer lines of taps take further quads, 4
 * points on each.
 *
 * Order of channels: unpacking works within 128-bit pieces, so register j of a quad has channels
 * 16 l + 4 j .. + 3 in its piece l. Packing the four registers of sums to bytes undoes just that.
 * Weights, bias and scale are put into this order once a call; 32-bit outputs are put back.
 *
 * Instructions for 64 channels of 2 outputs, 3x3, stride 1, to bytes:
 *   quad            2 loads, 6 unpacks, 4 stores
 *   sums            12 loads of quads, 12 of weights (for 4 outputs 24 each way halved), 24 vpdpbusd
 *   to bytes        2 x (4 cvt, 4 mul, 4 cvt, 2 packs, 2 adds, 1 packus, 1 max, 1 min), 2 stores;
 *                   2 x 4 min more where a sum times its scale may exceed 32 bits
 * which is 68 on vector ports: 34 clocks on Intel (ports 0 and 5; 12 of them only on 5), of which 9
 * are useful vpdpbusd: 26 % of their peak. On Zen 5 (4 vector pipes, vpdpbusd and mul on two of
 * them) the bounds are 16 clocks for those two, 17 for all, 14 for loads.
 */
#include <immintrin.h>
#include <string.h>
#include "cpu.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define INLINE static inline __attribute__((always_inline)) TARGET
#define NR 64
#define OUTPUTS 8        /* at a time, of half the channels: 16 registers of sums */
#define QUAD 256         /* bytes: 4 points of NR channels */
#define RING_BYTES 20480 /* wanted: with the weights and the lines it is made of it stays in L1 */
#define KERNEL_MAX 4096  /* larger ones have no room anyway */

/* c += a * b, four products a lane. gcc would rather load b for each product and copy c around. */
#if defined(__clang__)
#define DOT(c, a, b) c = _mm512_dpbusd_epi32(c, a, b)
#else
#define DOT(c, a, b) __asm__("vpdpbusd %2, %1, %0" : "+v"(c) : "v"(a), "v"(b))
#endif

/* Dilated kernels fall into phases: outputs whose windows share no point with those of other
 * phases. Within a phase, points counted in steps of the dilation, it is 1. */
struct axis {
    size_t phases, stride, point_step; /* point_step in points of the strip */
};

static struct axis axis_of(size_t stride, size_t dilation)
{
    size_t a = stride, b = dilation;
    while (b) { /* the greatest common divisor */
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return (struct axis){dilation / a, stride / a, dilation};
}

/* How a line of outputs is made of quads. */
struct plan {
    size_t shared; /* outputs that a quad serves: 2 when the stride is 1, else 1 */
    size_t groups; /* of taps, a quad each, in a line of the kernel */
    size_t block;  /* outputs at a time, a multiple of OUTPUTS */
    size_t ahead;  /* quads from a group's to the next one's */
    size_t quads;  /* in a line of the ring */
};

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* With a stride of 1 or 2 quads begin at every second point, and a group's are those of the group
 * before, two on. Else each group has quads of its own. */
static struct plan plan_of(size_t kh, size_t kw, size_t stride, size_t columns)
{
    struct plan p = {.shared = stride == 1 ? 2 : 1};
    p.groups = (kw + p.shared + 2) / 4;
    const size_t room = RING_BYTES / QUAD / kh, extra = 2 * (p.groups - 1);
    if (stride > 2)
        p.block = room / p.groups;
    else
        p.block = room > extra ? (room - extra) * p.shared : 0;
    p.block = p.block < OUTPUTS ? OUTPUTS : p.block / OUTPUTS * OUTPUTS;
    p.block = min(p.block, round_up(columns, OUTPUTS));
    p.ahead = stride > 2 ? p.block : 2;
    p.quads = stride > 2 ? p.block * p.groups : p.block / p.shared + extra;
    return p;
}

/* Where a block has at most 32 channels, the upper half of each register has them too, of an output
 * half a line further on. */
#define HALF 32

/* What the lines of one call have in common. Vectors are in the order of a quad. */
struct work {
    struct plan plan;
    size_t terms; /* kh * groups: quads under one output */
    const struct cpu_output *output;
    const __m512i *weights; /* [terms][shared][4] */
    const __m512i *ones;    /* likewise: 1 under every tap; when b_neg is wanted */
    const __m512i *bias, *b_neg;
    const __m512 *scale, *bias_f;
    __mmask64 channels;
};

/* One line of outputs, or a block of it. */
struct line {
    const uint8_t *const *quads; /* [terms]: under the first output */
    uint8_t *out;
    size_t out_step; /* bytes between its outputs */
    size_t count;
    size_t apart; /* bytes to the outputs of the upper halves; 0: they are channels 32 to 63 */
    size_t count_apart; /* of those */
};
typedef void line_fn(const struct work *w, const struct line *l);

/* ---- quads ----------------------------------------------------------------------------------- */

/* A line of points, as struct cpu_depthwise has it. */
struct points {
    const uint8_t *line; /* at point 'left'; NULL: all padding */
    size_t left, right, point_bytes;
    size_t apart; /* points to that of the upper halves; 0: they are channels 32 to 63 */
    __mmask64 channels;
    __m512i flips, fills;
};

/* The channels of one point, or of one and the one apart. */
INLINE __m512i load_inside(const struct points *p, size_t x, const bool flip, const bool halves)
{
    const uint8_t *from = p->line + (x - p->left) * p->point_bytes;
    __m512i v;
    if (halves)
        v = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_maskz_loadu_epi8((__mmask32)p->channels, from)),
            _mm256_maskz_loadu_epi8((__mmask32)p->channels, from + p->apart * p->point_bytes), 1);
    else
        v = _mm512_maskz_loadu_epi8(p->channels, from);
    return flip ? _mm512_xor_si512(v, p->flips) : v;
}

/* The same where either may be padding. */
INLINE __m512i load_point(const struct points *p, size_t x)
{
    const size_t y = x + p->apart;
    const bool inside = x >= p->left && x < p->right;
    if (p->apart == 0)
        return inside ? load_inside(p, x, true, false) : p->fills;
    const __mmask32 channels = (__mmask32)p->channels;
    __m256i low = _mm512_castsi512_si256(p->fills), high = low;
    if (inside)
        low = _mm256_xor_si256(
            _mm256_maskz_loadu_epi8(channels, p->line + (x - p->left) * p->point_bytes),
            _mm512_castsi512_si256(p->flips));
    if (y >= p->left && y < p->right)
        high = _mm256_xor_si256(
            _mm256_maskz_loadu_epi8(channels, p->line + (y - p->left) * p->point_bytes),
            _mm512_castsi512_si256(p->flips));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

struct pair {
    __m512i low, high;
};

INLINE struct pair pair_of(__m512i a, __m512i b)
{
    return (struct pair){_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b)};
}

INLINE void store_quad(uint8_t *quad, struct pair a, struct pair b)
{
    _mm512_store_si512(quad, _mm512_unpacklo_epi16(a.low, b.low));
    _mm512_store_si512(quad + 64, _mm512_unpackhi_epi16(a.low, b.low));
    _mm512_store_si512(quad + 128, _mm512_unpacklo_epi16(a.high, b.high));
    _mm512_store_si512(quad + 192, _mm512_unpackhi_epi16(a.high, b.high));
}

/* 'count' quads that lie inside: of points x, x + step, ..., and on, 'advance' steps each. */
INLINE void inside_quads(const struct points *p, size_t x, size_t step, size_t advance,
                         size_t count, uint8_t *quads, const bool flip, const bool halves)
{
    if (advance == 2) {
        struct pair a =
            pair_of(load_inside(p, x, flip, halves), load_inside(p, x + step, flip, halves));
        for (size_t i = 0; i < count; i++) {
            x += 2 * step;
            const struct pair b =
                pair_of(load_inside(p, x, flip, halves), load_inside(p, x + step, flip, halves));
            store_quad(quads + i * QUAD, a, b);
            a = b;
        }
        return;
    }
    for (size_t i = 0; i < count; i++, x += advance * step)
        store_quad(quads + i * QUAD,
                   pair_of(load_inside(p, x, flip, halves), load_inside(p, x + step, flip, halves)),
                   pair_of(load_inside(p, x + 2 * step, flip, halves),
                           load_inside(p, x + 3 * step, flip, halves)));
}

static TARGET void make_quads(const struct points *p, size_t x, size_t step, size_t advance,
                              size_t count, uint8_t *quads, bool flip)
{
    if (!p->line) {
        for (size_t i = 0; i < count * QUAD; i += 64)
            _mm512_store_si512(quads + i, p->fills);
        return;
    }
    for (size_t i = 0; i < count;) {
        const size_t last = x + 3 * step;
        size_t some = 1;
        if (x >= p->left && last + p->apart < p->right) {
            some = min(count - i, (p->right - 1 - last - p->apart) / (advance * step) + 1);
            if (p->apart && flip)
                inside_quads(p, x, step, advance, some, quads + i * QUAD, true, true);
            else if (p->apart)
                inside_quads(p, x, step, advance, some, quads + i * QUAD, false, true);
            else if (flip)
                inside_quads(p, x, step, advance, some, quads + i * QUAD, true, false);
            else
                inside_quads(p, x, step, advance, some, quads + i * QUAD, false, false);
        } else {
            store_quad(quads + i * QUAD, pair_of(load_point(p, x), load_point(p, x + step)),
                       pair_of(load_point(p, x + 2 * step), load_point(p, last)));
        }
        i += some;
        x += some * advance * step;
    }
}

/* ---- order ----------------------------------------------------------------------------------- */

/* Channels from their natural order to that of a quad, or back: 4 x 4 pieces transposed. */
INLINE void reorder(__m512i v[4])
{
    const __m512i a = _mm512_shuffle_i32x4(v[0], v[1], 0x44);
    const __m512i b = _mm512_shuffle_i32x4(v[2], v[3], 0x44);
    const __m512i c = _mm512_shuffle_i32x4(v[0], v[1], 0xee);
    const __m512i d = _mm512_shuffle_i32x4(v[2], v[3], 0xee);
    v[0] = _mm512_shuffle_i32x4(a, b, 0x88);
    v[1] = _mm512_shuffle_i32x4(a, b, 0xdd);
    v[2] = _mm512_shuffle_i32x4(c, d, 0x88);
    v[3] = _mm512_shuffle_i32x4(c, d, 0xdd);
}

/* The same of an array by channel; of few channels, both halves have them. */
INLINE void reorder_array(const void *from, __m512i *to, bool few)
{
    __m512i v[4];
    UNROLL(4)
    for (int j = 0; j < 4; j++)
        v[j] = _mm512_loadu_si512((const uint8_t *)from + (few ? j % 2 : j) * 64);
    reorder(v);
    UNROLL(4)
    for (int j = 0; j < 4; j++)
        to[j] = v[j];
}

/* The packed taps, by group and channel, to the weights of quads: in place for the first output of a
 * quad, one point later for the second. */
static TARGET void place_weights(const struct cpu_depthwise *d, const struct plan *plan,
                                 __m512i *to)
{
    const bool few = d->channels <= HALF;
    for (size_t i = 0; i < d->kh; i++) {
        const uint8_t *line = d->weights + i * d->run_groups * QUAD;
        __m512i before[4], now[4], later[4];
        UNROLL(4)
        for (int j = 0; j < 4; j++)
            before[j] = _mm512_setzero_si512();
        for (size_t g = 0; g < plan->groups; g++) {
            UNROLL(4)
            for (int j = 0; j < 4; j++)
                now[j] = g < d->run_groups
                             ? _mm512_loadu_si512(line + g * QUAD + (few ? j % 2 : j) * 64)
                             : _mm512_setzero_si512();
            reorder(now);
            UNROLL(4)
            for (int j = 0; j < 4; j++) {
                later[j] =
                    _mm512_or_si512(_mm512_slli_epi32(now[j], 8), _mm512_srli_epi32(before[j], 24));
                *to++ = now[j];
            }
            UNROLL(4)
            for (int j = 0; j < 4; j++) {
                if (plan->shared == 2)
                    *to++ = later[j];
                before[j] = now[j];
            }
        }
    }
}

/* 1 for each tap, in the same places. */
static TARGET void place_ones(size_t kh, size_t kw, const struct plan *plan, __m512i *to)
{
    for (size_t i = 0; i < kh; i++)
        for (size_t g = 0; g < plan->groups; g++)
            for (size_t shift = 0; shift < plan->shared; shift++) {
                uint32_t ones = 0;
                for (size_t b = 0; b < 4; b++)
                    if (g * 4 + b >= shift && g * 4 + b - shift < kw)
                        ones |= (uint32_t)1 << 8 * b;
                for (int j = 0; j < 4; j++)
                    *to++ = _mm512_set1_epi32((int32_t)ones);
            }
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* Adds the products of 'outputs' neighbouring outputs' windows and weights to c, for half the
 * channels: registers 2 * half and the next. 'at' is where the first output's quad lies, from the
 * line's first. */
INLINE void add_products(const struct line *l, size_t at, const __m512i *weights, size_t terms,
                         const int half, const int shared, const int outputs, __m512i (*c)[2])
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
INLINE void window_sums(const struct work *w, const struct line *l, size_t at, const int shared,
                        __m512i (*start)[4])
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

static __attribute__((noinline)) TARGET void
window_sums_1(const struct work *w, const struct line *l, size_t at, __m512i (*start)[4])
{
    window_sums(w, l, at, 1, start);
}

static __attribute__((noinline)) TARGET void
window_sums_2(const struct work *w, const struct line *l, size_t at, __m512i (*start)[4])
{
    window_sums(w, l, at, 2, start);
}

/* ---- outputs --------------------------------------------------------------------------------- */

/* In registers: stores of bytes could alias where they come from. */
struct narrowing {
    __m512i zero, lo, hi; /* of 16, 8 and 8 bits */
    const __m512 *scale;
    __mmask64 channels;
};

/*
 * To bytes: convert, multiply, convert; packing saturates to 16 bits, the zero point is added with
 * saturation, packing saturates to 8 bits, the clamp is one of bytes. Each saturation is monotonic
 * and lies outside the clamp, so the result is clamp(rne(x) + zero). The second conversion gives
 * INT_MIN for all that does not fit: right for what is far below, and where something may be far
 * above ('bounded' is false) it is cut off at a value beyond all outputs. Both conversions round to
 * nearest even, the mode cpu.c sets.
 */
INLINE __m512i to_words(const struct narrowing *n, const int half, const bool bounded,
                        const __m512i *c)
{
    __m512i v[2];
    UNROLL(2)
    for (int j = 0; j < 2; j++) {
        __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(c[j]), n->scale[2 * half + j]);
        if (!bounded)
            x = _mm512_min_ps(x, _mm512_set1_ps(65536.0f));
        v[j] = _mm512_cvtps_epi32(x);
    }
    return _mm512_adds_epi16(_mm512_packs_epi32(v[0], v[1]), n->zero);
}

INLINE __m512i to_bytes(const struct narrowing *n, const enum qdot_type type, __m512i a, __m512i b)
{
    if (type == QDOT_U8)
        return _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(a, b), n->lo), n->hi);
    return _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(a, b), n->lo), n->hi);
}

INLINE void store_narrow(const struct narrowing *n, const struct line *l, __m512i bytes,
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
INLINE void store_wide(const struct work *w, const struct line *l, const int half,
                       const enum qdot_type type, const __m512i *c, uint8_t *out, bool high)
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
INLINE void some_outputs(const struct work *w, const struct line *l, const struct narrowing *n,
                         size_t at, uint8_t *out, size_t count, size_t high, const int shared,
                         const int outputs, const enum qdot_type type, const bool bounded)
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
                words[q] = to_words(n, half, bounded, c[q]);
            else if ((size_t)q >= count)
                break;
            else if (type == QDOT_S32 || type == QDOT_F32)
                store_wide(w, l, half, type, c[q], to, (size_t)q < high);
            else
                store_narrow(n, l, to_bytes(n, type, words[q], to_words(n, half, bounded, c[q])),
                             to, (size_t)q < high);
        }
    }
}

INLINE void whole_line(const struct work *w, const struct line *l, const int shared,
                       const enum qdot_type type, const bool bounded)
{
    const struct cpu_output *o = w->output;
    const struct narrowing n = {
        .zero = _mm512_set1_epi16((int16_t)o->zero),
        .lo = _mm512_set1_epi8((char)o->clamp_lo),
        .hi = _mm512_set1_epi8((char)o->clamp_hi),
        .scale = w->scale,
        .channels = w->channels,
    };
    const size_t step = (size_t)(OUTPUTS / shared) * QUAD;
    uint8_t *out = l->out;
    size_t at = 0, left = l->count, high = l->count_apart;
    for (; left > 4; at += step, out += OUTPUTS * l->out_step) {
        some_outputs(w, l, &n, at, out, left, high, shared, OUTPUTS, type, bounded);
        left -= min(left, OUTPUTS);
        high -= min(high, OUTPUTS);
    }
    if (left > 2)
        some_outputs(w, l, &n, at, out, left, high, shared, 4, type, bounded);
    else if (left)
        some_outputs(w, l, &n, at, out, left, high, shared, 2, type, bounded);
}

#define LINE(name, shared, type, bounded)                                          \
    static TARGET void name##_##shared(const struct work *w, const struct line *l) \
    {                                                                              \
        whole_line(w, l, shared, type, bounded);                                   \
    }
#define LINES(name, type, bounded) LINE(name, 1, type, bounded) LINE(name, 2, type, bounded)
LINES(line_u8, QDOT_U8, false)
LINES(line_u8_bounded, QDOT_U8, true)
LINES(line_s8, QDOT_S8, false)
LINES(line_s8_bounded, QDOT_S8, true)
LINES(line_s32, QDOT_S32, false)
LINES(line_f32, QDOT_F32, false)

static line_fn *line_of(const struct cpu_output *o, size_t shared)
{
#define PICK(name) return shared == 2 ? name##_2 : name##_1
    if (o->type == QDOT_S32)
        PICK(line_s32);
    if (o->type == QDOT_F32)
        PICK(line_f32);
    if (o->type == QDOT_U8 && o->bounded)
        PICK(line_u8_bounded);
    if (o->type == QDOT_U8)
        PICK(line_u8);
    if (o->bounded)
        PICK(line_s8_bounded);
    PICK(line_s8);
#undef PICK
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* Where things are in the scratch, from its beginning; ring is the end of all else. */
struct layout {
    size_t weights, ones, terms, slots, ring, end;
};

static struct layout layout_of(const struct plan *plan, size_t kh)
{
    const size_t table = kh * plan->groups * plan->shared * QUAD;
    struct layout at = {.ones = table, .terms = 2 * table};
    at.slots = at.terms + 4 * QUAD;
    at.ring = round_up(at.slots + 2 * kh * plan->groups * sizeof(uint8_t *), 64);
    at.end = at.ring + kh * plan->quads * QUAD;
    return at;
}

static size_t scratch_bytes(size_t kh, size_t kw, size_t columns)
{
    size_t most = 0;
    if (kh > KERNEL_MAX || kw > KERNEL_MAX)
        return SIZE_MAX;
    for (size_t stride = 1; stride <= 3; stride++) { /* a block of a larger one is as of 3 */
        const struct plan plan = plan_of(kh, kw, stride, columns);
        const struct layout at = layout_of(&plan, kh);
        most = at.end > most ? at.end : most;
    }
    return most;
}

/* One phase: of lines and columns x of it, 'lines' by 'columns' outputs. The ring's slots are listed
 * twice over, so that kh lines from any slot on lie in the list one after another. */
struct phase {
    size_t y, x, line_step, point_step; /* its first point, and points between its own */
    size_t line_stride, stride;
    size_t lines, columns;
    size_t half; /* columns: the upper halves do those from here on; 0: there are none */
    uint8_t *out;
    size_t out_line, out_step; /* bytes between outputs */
};

static TARGET void run_block(const struct work *w, const struct cpu_depthwise *d,
                             const struct phase *p, size_t first, size_t count, line_fn *line,
                             const uint8_t **slots, uint8_t *ring)
{
    const struct plan *plan = &w->plan;
    const size_t slot_bytes = plan->quads * QUAD;
    const size_t x = p->x + first * p->stride * p->point_step;
    struct points points = {
        .left = d->left,
        .right = d->right,
        .point_bytes = d->point_bytes,
        .apart = p->half * p->stride * p->point_step,
        .channels = w->channels,
        .flips = _mm512_set1_epi8((char)d->flip),
        .fills = _mm512_set1_epi8((char)d->fill),
    };
    /* Under the block's outputs alone: it may be the last and short. */
    const size_t quads = (count + plan->shared - 1) / plan->shared + 2 * (plan->groups - 1);
    size_t made = 0;
    for (size_t i = 0; i < 2 * d->kh; i++)
        for (size_t g = 0; g < plan->groups; g++)
            slots[i * plan->groups + g] = ring + i % d->kh * slot_bytes + g * plan->ahead * QUAD;
    for (size_t y = 0; y < p->lines; y++) {
        const size_t top = y * p->line_stride;
        for (made = made < top ? top : made; made < top + d->kh; made++) {
            const size_t line_y = p->y + made * p->line_step;
            uint8_t *slot = ring + made % d->kh * slot_bytes;
            points.line = line_y >= d->top && line_y < d->bottom
                              ? d->input + (line_y - d->top) * d->line_bytes
                              : NULL;
            if (p->stride <= 2)
                make_quads(&points, x, p->point_step, 2, quads, slot, d->flip != 0);
            for (size_t g = 0; p->stride > 2 && g < plan->groups; g++)
                make_quads(&points, x + 4 * g * p->point_step, p->point_step, p->stride, count,
                           slot + g * plan->ahead * QUAD, d->flip != 0);
        }
        const struct line l = {
            .quads = slots + top % d->kh * plan->groups,
            .out = p->out + y * p->out_line + first * p->out_step,
            .out_step = p->out_step,
            .count = count,
            .apart = p->half * p->out_step,
            .count_apart = p->columns > p->half + first ? p->columns - p->half - first : 0,
        };
        line(w, &l);
    }
}

static TARGET void run_depthwise(const struct cpu_depthwise *d)
{
    const struct cpu_output *o = d->output;
    const struct axis v = axis_of(d->stride_h, d->dilation_h);
    const struct axis h = axis_of(d->stride_w, d->dilation_w);
    const size_t out_step = o->ldo_bytes, out_line = d->columns * out_step;
    struct work w = {
        .plan = plan_of(d->kh, d->kw, h.stride, (d->columns + h.phases - 1) / h.phases),
        .output = o,
        .channels = d->channels >= NR ? ~(__mmask64)0 : ((__mmask64)1 << d->channels) - 1,
    };
    const bool few = d->channels <= HALF;
    w.terms = d->kh * w.plan.groups;
    const struct layout at = layout_of(&w.plan, d->kh);
    uint8_t *scratch = d->scratch;
    __m512i *terms = (__m512i *)(void *)(scratch + at.terms);
    place_weights(d, &w.plan, (__m512i *)(void *)scratch);
    reorder_array(o->bias, terms, few);
    reorder_array(o->scale, terms + 4, few);
    reorder_array(o->bias_f, terms + 8, few);
    w.weights = (__m512i *)(void *)scratch;
    w.bias = terms;
    w.scale = (__m512 *)(void *)(terms + 4);
    w.bias_f = (__m512 *)(void *)(terms + 8);
    if (o->b_neg) {
        __m512i *ones = (__m512i *)(void *)(scratch + at.ones);
        place_ones(d->kh, d->kw, &w.plan, ones);
        reorder_array(o->b_neg, terms + 12, few);
        w.ones = ones;
        w.b_neg = terms + 12;
    }
    line_fn *line = line_of(o, w.plan.shared);
    for (size_t y = 0; y < v.phases && y < d->lines; y++)
        for (size_t x = 0; x < h.phases && x < d->columns; x++) {
            struct phase p = {
                .y = y * d->stride_h,
                .x = x * d->stride_w,
                .line_step = v.point_step,
                .point_step = h.point_step,
                .line_stride = v.stride,
                .stride = h.stride,
                .lines = (d->lines - y - 1) / v.phases + 1,
                .columns = (d->columns - x - 1) / h.phases + 1,
                .out = o->out + y * out_line + x * out_step,
                .out_line = v.phases * out_line,
                .out_step = h.phases * out_step,
            };
            if (few && p.columns > 1)
                p.half = (p.columns + 1) / 2;
            /* Equal blocks, whole eights. */
            const size_t columns = p.half ? p.half : p.columns;
            const size_t blocks = (columns + w.plan.block - 1) / w.plan.block;
            const size_t block = round_up((columns + blocks - 1) / blocks, OUTPUTS);
            for (size_t first = 0; first < columns; first += block)
                run_block(&w, d, &p, first, min(columns - first, block), line,
                          (const uint8_t **)(void *)(scratch + at.slots), scratch + at.ring);
        }
}

const struct cpu_depthwise_kernel cpu_depthwise_2x64_avx512vnni = {
    .run = run_depthwise,
    .scratch_bytes = scratch_bytes,
};
