/*
 * Depthwise convolution by AVX-512 VNNI, 64 channels at a time: what is done in which order.
 *
 * Four neighbouring points of a line are interleaved into a quad. A quad serves every line of the
 * kernel (so it is made once, into a ring of kh lines in L1) and, where outputs lie one point apart,
 * two outputs: with 3 taps in a line the weights (w0 w1 w2 0) and (0 w0 w1 w2) give output x and x +
 * 1. Longer lines of taps take further quads, 4 points on each.
 *
 * Instructions for 64 channels of 2 outputs, 3x3, stride 1, to bytes:
 *   quad            2 loads, 6 unpacks, 4 stores
 *   sums            12 loads of quads, 6 of weights, 24 vpdpbusd
 *   to bytes        2 x (4 cvt, 4 mul, 4 cvt, 2 packs, 2 adds, 1 packus, 1 max, 1 min), 2 stores;
 *                   2 x 4 min more where a sum times its scale may exceed 32 bits
 * which is 68 on vector ports: 34 clocks on Intel (ports 0 and 5; 12 of them only on 5), of which 9
 * are useful vpdpbusd: 26 % of their peak. On Zen 5 (four vector pipes, vpdpbusd and mul on two of
 * them) the bound is 16; measured are 26 for sums and bytes and 4 for the quad while all is in L1.
 * With a stride of 2 two outputs take 4 quads, whose 16 stores are 16 clocks on either.
 */
#include "depthwise_avx512.h"

#define RING_BYTES 20480 /* wanted: with the weights and the lines it is made of it stays in L1 */
#define KERNEL_MAX 4096  /* larger ones have no room anyway */

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

/* ---- quads ----------------------------------------------------------------------------------- */

/* A line of points, as struct cpu_depthwise has it, under a block of outputs. */
struct points {
    const uint8_t *line; /* at point 'left'; NULL: all padding */
    size_t left, right, point_bytes;
    size_t x, step; /* the first point, and points from one to the next */
    size_t apart;   /* points to that of the upper halves; 0: they are channels 32 to 63 */
    size_t before;  /* quads at every second point: so many first ones are not all inside */
    size_t inside;  /* and then so many are */
    __mmask64 channels;
    __m512i flips, fills;
    bool flip;
};

/* The channels of a point inside, or of one and the one apart. */
INLINE __m512i load_inside(const struct points *p, const uint8_t *from, const bool flip,
                           const bool halves)
{
    __m512i v;
    if (halves)
        v = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_maskz_loadu_epi8((__mmask32)p->channels, from)),
            _mm256_maskz_loadu_epi8((__mmask32)p->channels, from + p->apart * p->point_bytes), 1);
    else
        v = _mm512_maskz_loadu_epi8(p->channels, from);
    return flip ? _mm512_xor_si512(v, p->flips) : v;
}

/* The same where either may be padding. Nothing is read where a mask is 0. */
INLINE __m512i load_point(const struct points *p, size_t x)
{
    const size_t width = p->right - p->left, i = x - p->left; /* of a point to the left: huge */
    const uint8_t *from = p->line + (ptrdiff_t)i * (ptrdiff_t)p->point_bytes;
    __m512i v = _mm512_xor_si512(p->fills, p->flips);
    v = _mm512_mask_loadu_epi8(v, i < width ? p->channels : 0, from);
    if (p->apart)
        v = _mm512_mask_loadu_epi8(v, i + p->apart < width ? p->channels << HALF : 0,
                                   from + p->apart * p->point_bytes - HALF);
    return _mm512_xor_si512(v, p->flips);
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

static TARGET void fill_quads(const struct points *p, size_t count, uint8_t *quads)
{
    for (size_t i = 0; i < count * QUAD; i += 64)
        _mm512_store_si512(quads + i, p->fills);
}

static TARGET void store_edge(const struct points *p, size_t x, uint8_t *quad)
{
    store_quad(quad, pair_of(load_point(p, x), load_point(p, x + p->step)),
               pair_of(load_point(p, x + 2 * p->step), load_point(p, x + 3 * p->step)));
}

/* The quads of points x, x + 2, ... steps that lie inside. */
INLINE void store_inside(const struct points *p, size_t x, uint8_t *quads, const bool flip,
                         const bool halves)
{
    const size_t step = p->step * p->point_bytes;
    const uint8_t *from = p->line + (x - p->left) * p->point_bytes;
    const uint8_t *const end = quads + p->inside * QUAD;
    struct pair a =
        pair_of(load_inside(p, from, flip, halves), load_inside(p, from + step, flip, halves));
    for (; quads != end; quads += QUAD) {
        from += 2 * step;
        const struct pair b =
            pair_of(load_inside(p, from, flip, halves), load_inside(p, from + step, flip, halves));
        store_quad(quads, a, b);
        a = b;
    }
}

/* Inlined into one, these loops would have no registers. */
#define INSIDE(name, flip, halves)                                                      \
    static __attribute__((noinline)) TARGET void name(const struct points *p, size_t x, \
                                                      uint8_t *quads)                   \
    {                                                                                   \
        store_inside(p, x, quads, flip, halves);                                        \
    }
INSIDE(store_inside_plain, false, false)
INSIDE(store_inside_flip, true, false)
INSIDE(store_inside_halves, false, true)
INSIDE(store_inside_halves_flip, true, true)

/* 'count' quads, at every second point. */
static TARGET void make_quads(const struct points *p, size_t count, uint8_t *quads)
{
    const size_t after = p->before + p->inside;
    if (!p->line) {
        fill_quads(p, count, quads);
        return;
    }
    for (size_t i = 0; i < p->before; i++)
        store_edge(p, p->x + 2 * i * p->step, quads + i * QUAD);
    if (p->inside) {
        const size_t x = p->x + 2 * p->before * p->step;
        uint8_t *to = quads + p->before * QUAD;
        if (p->apart)
            (p->flip ? store_inside_halves_flip : store_inside_halves)(p, x, to);
        else
            (p->flip ? store_inside_flip : store_inside_plain)(p, x, to);
    }
    for (size_t i = after; i < count; i++)
        store_edge(p, p->x + 2 * i * p->step, quads + i * QUAD);
}

/* 'count' quads for each group of taps, 'stride' points from one to the next. */
static TARGET void make_groups(const struct points *p, const struct plan *plan, size_t stride,
                               size_t count, uint8_t *quads)
{
    if (!p->line) {
        fill_quads(p, plan->quads, quads);
        return;
    }
    for (size_t g = 0; g < plan->groups; g++)
        for (size_t i = 0; i < count; i++)
            store_edge(p, p->x + (4 * g + i * stride) * p->step,
                       quads + (g * plan->ahead + i) * QUAD);
}

/* Sets before and inside. */
static void find_inside(struct points *p, size_t count)
{
    const size_t two = 2 * p->step;
    p->before = p->x < p->left ? min((p->left - p->x + two - 1) / two, count) : 0;
    const size_t last = p->x + p->before * two + 3 * p->step + p->apart;
    p->inside = last < p->right ? min((p->right - 1 - last) / two + 1, count - p->before) : 0;
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

static TARGET void run_block(const struct depthwise_work *w, const struct plan *plan,
                             const struct cpu_depthwise *d, const struct phase *p, size_t first,
                             size_t count, depthwise_line_fn *line, const uint8_t **slots,
                             uint8_t *ring)
{
    const size_t slot_bytes = plan->quads * QUAD;
    struct points points = {
        .left = d->left,
        .right = d->right,
        .point_bytes = d->point_bytes,
        .x = p->x + first * p->stride * p->point_step,
        .step = p->point_step,
        .apart = p->half * p->stride * p->point_step,
        .channels = w->channels,
        .flips = _mm512_set1_epi8((char)d->flip),
        .fills = _mm512_set1_epi8((char)d->fill),
        .flip = d->flip != 0,
    };
    /* Under the block's outputs alone: it may be the last and short. */
    const size_t quads = (count + plan->shared - 1) / plan->shared + 2 * (plan->groups - 1);
    find_inside(&points, quads);
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
                make_quads(&points, quads, slot);
            else
                make_groups(&points, plan, p->stride, count, slot);
        }
        const struct depthwise_line l = {
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
    const struct plan plan =
        plan_of(d->kh, d->kw, h.stride, (d->columns + h.phases - 1) / h.phases);
    struct depthwise_work w = {
        .terms = d->kh * plan.groups,
        .output = o,
        .channels = d->channels >= NR ? ~(__mmask64)0 : ((__mmask64)1 << d->channels) - 1,
    };
    const bool few = d->channels <= HALF;
    const struct layout at = layout_of(&plan, d->kh);
    uint8_t *scratch = d->scratch;
    __m512i *terms = (__m512i *)(void *)(scratch + at.terms);
    place_weights(d, &plan, (__m512i *)(void *)scratch);
    reorder_array(o->bias, terms, few);
    const bool fixed = o->rounding >= QDOT_ROUND_Q31_DOUBLE_AWAY;
    reorder_array(fixed ? (const void *)o->multiplier : o->scale, terms + 4, few);
    reorder_array(fixed ? (const void *)o->shift : o->bias_f, terms + 8, few);
    w.weights = (__m512i *)(void *)scratch;
    w.bias = terms;
    w.scale = (__m512 *)(void *)(terms + 4);
    w.bias_f = (__m512 *)(void *)(terms + 8);
    w.multiplier = terms + 4;
    w.shift = terms + 8;
    if (o->b_neg) {
        __m512i *ones = (__m512i *)(void *)(scratch + at.ones);
        place_ones(d->kh, d->kw, &plan, ones);
        reorder_array(o->b_neg, terms + 12, few);
        w.ones = ones;
        w.b_neg = terms + 12;
    }
    depthwise_line_fn *line = cpu_depthwise_line(o, plan.shared);
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
            const size_t blocks = (columns + plan.block - 1) / plan.block;
            const size_t block = round_up((columns + blocks - 1) / blocks, OUTPUTS);
            for (size_t first = 0; first < columns; first += block)
                run_block(&w, &plan, d, &p, first, min(columns - first, block), line,
                          (const uint8_t **)(void *)(scratch + at.slots), scratch + at.ring);
        }
}

const struct cpu_depthwise_kernel cpu_depthwise_2x64_avx512vnni = {
    .run = run_depthwise,
    .requantise = cpu_requantise_avx512,
    .rounds = true,
    .scratch_bytes = scratch_bytes,
};
