/*
 * Packed B: the only place that knows its layout, and where zero points and flips are folded.
 *
 *   blob      = header (64 bytes) | panels, padded to 64 bytes | col_sum: int32 [n_pad]
 *   panels    = n_pad / nr panels of nr columns
 *   panel     = k_groups groups; group = nr columns; column = kr consecutive k, one byte each
 *
 * so of a GEMM element (k, n) is byte ((n / nr * k_groups + k / kr) * nr + n % nr) * kr + k % kr. K
 * is padded with zero bytes (zero in the packed form, so that padding adds nothing to any sum),
 * columns past n are zero. col_sum[n] is the sum of column n in the packed form. Nothing in the blob
 * depends on zero points, bias or A.
 *
 * Of a convolution K falls into runs, each padded to kr by itself, and the columns into parts, the
 * groups, each padded to nr by itself.
 */
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#include "internal.h"

#if defined(__SSE2__)
static inline __m128i load16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void store16(uint8_t *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}
#endif

#define HEADER_BYTES 64
static const char magic[8] = {'q', 'd', 'o', 't', 'p', 'a', 'c', 'k'};

struct header {
    char magic[8];
    uint32_t version; /* of this layout; little-endian like everything in it */
    uint32_t nr, kr;
    uint32_t b_form;
    uint32_t b_type;
    uint32_t geometry; /* parts, runs and kernel, hashed; 0 for a GEMM */
    uint64_t n, k;
    uint64_t bytes;    /* of the whole blob */
    uint64_t checksum; /* of all before this field and all after the header */
};
_Static_assert(sizeof(struct header) == HEADER_BYTES, "the header is written as it stands");

static bool round_up(size_t value, size_t step, size_t *rounded)
{
    if (value > (size_t)PTRDIFF_MAX - step)
        return false;
    *rounded = (value + step - 1) / step * step;
    return true;
}

bool qdot_packed_layout(const struct qdot_row *row, const struct qdot_problem *p,
                        struct qdot_packed *packed)
{
    const struct qdot_geometry *g = &p->conv;
    size_t panels, panels_padded, sums, k_pad;
    memset(packed, 0, sizeof(*packed));
    packed->parts = packed->runs = 1;
    packed->part_columns = p->n;
    packed->run = p->k;
    if (p->op == QDOT_CONV) {
        const bool lines = row->depthwise || (row->lines && g->dilation_w == 1 && g->groups == 1);
        packed->parts = row->depthwise ? 1 : g->groups;
        packed->part_columns = g->o / packed->parts;
        packed->runs = lines ? g->kh : g->kh * g->kw;
        packed->run = p->k / packed->runs;
    }
    if (!round_up(packed->part_columns, row->nr, &packed->part_pad) ||
        !qdot_mul_size(packed->part_pad, packed->parts, &packed->n_pad) ||
        !round_up(packed->run, row->kr, &k_pad) || !qdot_mul_size(k_pad, packed->runs, &k_pad) ||
        !qdot_mul_size(k_pad, row->nr, &packed->panel_bytes) ||
        !qdot_mul_size(k_pad, packed->n_pad, &panels) || !round_up(panels, 64, &panels_padded) ||
        !qdot_mul_size(packed->n_pad, 5 * sizeof(int32_t), &sums) ||
        panels_padded > (size_t)PTRDIFF_MAX - HEADER_BYTES - sums)
        return false;
    packed->k_groups = k_pad / row->kr;
    packed->run_groups = packed->k_groups / packed->runs;
    packed->panels_bytes = panels;
    packed->blob_bytes = HEADER_BYTES + panels_padded + packed->n_pad * sizeof(int32_t);
    return true;
}

void *qdot_packed_panels(const struct qdot_packed *packed)
{
    return (uint8_t *)packed->blob + HEADER_BYTES;
}

int32_t *qdot_packed_col_sum(const struct qdot_packed *packed)
{
    return (int32_t *)(void *)((uint8_t *)packed->blob + packed->blob_bytes -
                               packed->n_pad * sizeof(int32_t));
}

/* ---- packing --------------------------------------------------------------------------------- */

/* Four rows of B, 'columns' bytes each, interleaved: target[4 * j + i] = row i, byte j, flipped. */
static void interleave_rows(const uint8_t *b, size_t ldb, size_t columns, uint8_t flip,
                            uint8_t *target)
{
    size_t j = 0;
#if defined(__SSE2__)
    const __m128i flips = _mm_set1_epi8((char)flip);
    for (; j + 16 <= columns; j += 16) {
        __m128i r[4];
        for (size_t i = 0; i < 4; i++)
            r[i] = _mm_xor_si128(load16(b + i * ldb + j), flips);
        const __m128i low01 = _mm_unpacklo_epi8(r[0], r[1]), low23 = _mm_unpacklo_epi8(r[2], r[3]);
        const __m128i high01 = _mm_unpackhi_epi8(r[0], r[1]),
                      high23 = _mm_unpackhi_epi8(r[2], r[3]);
        store16(target + 4 * j, _mm_unpacklo_epi16(low01, low23));
        store16(target + 4 * j + 16, _mm_unpackhi_epi16(low01, low23));
        store16(target + 4 * j + 32, _mm_unpacklo_epi16(high01, high23));
        store16(target + 4 * j + 48, _mm_unpackhi_epi16(high01, high23));
    }
#endif
    for (; j < columns; j++)
        for (size_t i = 0; i < 4; i++)
            target[4 * j + i] = b[i * ldb + j] ^ flip;
}

/* One panel from B [k,n]: rows of B are walked in order, each spread over the panel's columns. */
static void pack_panel(const struct qdot_row *row, const uint8_t *b, size_t ldb, size_t columns,
                       size_t k, uint8_t flip, uint8_t *panel)
{
    const size_t nr = row->nr, kr = row->kr;
    for (size_t group = 0; group * kr < k; group++, panel += nr * kr) {
        const size_t depth = k - group * kr < kr ? k - group * kr : kr;
        const uint8_t *source = b + group * kr * ldb;
        if (depth < kr || columns < nr)
            memset(panel, 0, nr * kr);
        if (kr == 4 && depth == 4) {
            interleave_rows(source, ldb, columns, flip, panel);
            continue;
        }
        for (size_t i = 0; i < depth; i++)
            for (size_t j = 0; j < columns; j++)
                panel[j * kr + i] = source[i * ldb + j] ^ flip;
    }
}

/* 'columns' columns of B, 'groups' whole groups of 4 k of each, from columns that lie in memory one
 * after another, ldb apart, to groups that are group_bytes apart. */
static void interleave_columns(const uint8_t *b, size_t ldb, size_t columns, size_t groups,
                               uint8_t flip, uint8_t *target, size_t group_bytes)
{
    size_t j = 0;
#if defined(__SSE2__)
    const __m128i flips = _mm_set1_epi8((char)flip);
    for (; j + 4 <= columns; j += 4) {
        size_t g = 0;
        for (; g + 4 <= groups; g += 4) { /* 4 x 4 words transposed */
            __m128i c[4];
            for (size_t i = 0; i < 4; i++)
                c[i] = _mm_xor_si128(load16(b + (j + i) * ldb + g * 4), flips);
            const __m128i low01 = _mm_unpacklo_epi32(c[0], c[1]);
            const __m128i low23 = _mm_unpacklo_epi32(c[2], c[3]);
            const __m128i high01 = _mm_unpackhi_epi32(c[0], c[1]);
            const __m128i high23 = _mm_unpackhi_epi32(c[2], c[3]);
            uint8_t *out = target + g * group_bytes + j * 4;
            store16(out, _mm_unpacklo_epi64(low01, low23));
            store16(out + group_bytes, _mm_unpackhi_epi64(low01, low23));
            store16(out + 2 * group_bytes, _mm_unpacklo_epi64(high01, high23));
            store16(out + 3 * group_bytes, _mm_unpackhi_epi64(high01, high23));
        }
        for (; g < groups; g++)
            for (size_t i = 0; i < 16; i++)
                target[g * group_bytes + j * 4 + i] = b[(j + i / 4) * ldb + g * 4 + i % 4] ^ flip;
    }
#endif
    for (; j < columns; j++)
        for (size_t g = 0; g < groups; g++)
            for (size_t i = 0; i < 4; i++)
                target[g * group_bytes + j * 4 + i] = b[j * ldb + g * 4 + i] ^ flip;
}

/* One panel from B [n,k]: groups of kr bytes lie side by side already. */
static void pack_panel_transposed(const struct qdot_row *row, const uint8_t *b, size_t ldb,
                                  size_t columns, size_t k, uint8_t flip, uint8_t *panel)
{
    const size_t nr = row->nr, kr = row->kr, groups = (k + kr - 1) / kr;
    const size_t whole = kr == 4 ? k / 4 : 0; /* groups done by the fast way */
    const size_t step = 64;                   /* so many groups of a panel stay in L1 */
    if (columns < nr)
        memset(panel, 0, groups * nr * kr);
    else if (k % kr)
        memset(panel + (groups - 1) * nr * kr, 0, nr * kr);
    for (size_t g = 0; g < whole; g += step)
        interleave_columns(b + g * 4, ldb, columns, whole - g < step ? whole - g : step, flip,
                           panel + g * nr * 4, nr * 4);
    for (size_t j = 0; j < columns; j++)
        for (size_t i = whole * 4; i < k; i++)
            panel[(i / kr * nr + j) * kr + i % kr] = b[j * ldb + i] ^ flip;
}

#if defined(__SSE2__)
/* The sums of four neighbouring columns of signed bytes in groups of 4. */
static void sum_four(const uint8_t *column, size_t group_bytes, size_t k_groups, int32_t *col_sum)
{
    const __m128i ones = _mm_set1_epi16(1);
    __m128i sums = _mm_setzero_si128();
    for (size_t group = 0; group < k_groups; group++) {
        const __m128i bytes = load16(column + group * group_bytes);
        const __m128i even = _mm_srai_epi16(_mm_slli_epi16(bytes, 8), 8);
        const __m128i pairs = _mm_add_epi16(even, _mm_srai_epi16(bytes, 8));
        sums = _mm_add_epi32(sums, _mm_madd_epi16(pairs, ones));
    }
    store16((uint8_t *)col_sum, sums);
}
#endif

/* Column sums of one finished panel, mod 2^32. */
static void sum_panel(const struct qdot_row *row, const uint8_t *panel, size_t k_groups,
                      int32_t *col_sum)
{
    const size_t nr = row->nr, kr = row->kr;
    const uint32_t sign = row->b_form == QDOT_S8 ? 0x80 : 0; /* (byte ^ 0x80) - 0x80: signed */
#if defined(__SSE2__)
    if (kr == 4 && sign && nr % 4 == 0) {
        for (size_t j = 0; j < nr; j += 4)
            sum_four(panel + j * 4, nr * 4, k_groups, col_sum + j);
        return;
    }
#endif
    uint32_t *sum = (uint32_t *)col_sum;
    memset(sum, 0, nr * sizeof(*sum));
    for (size_t group = 0; group < k_groups; group++, panel += nr * kr)
        for (size_t j = 0; j < nr; j++)
            for (size_t i = 0; i < kr; i++)
                sum[j] += (panel[j * kr + i] ^ sign) - sign;
}

void qdot_pack_b(const struct qdot_row *row, const struct qdot_problem *p,
                 const struct qdot_packed *packed, const void *b, size_t panel_begin,
                 size_t panel_end, void *panels, int32_t *col_sum)
{
    const uint8_t flip = qdot_flip(p->b_type, row->b_form);
    const size_t part_panels = packed->part_pad / row->nr;
    const size_t run_bytes = packed->run_groups * row->kr * row->nr;
    for (size_t i = panel_begin; i < panel_end; i++) {
        const size_t first = i % part_panels * row->nr; /* column of its part */
        const size_t rest = packed->part_columns - first, columns = rest < row->nr ? rest : row->nr;
        const size_t column = i / part_panels * packed->part_columns + first;
        uint8_t *panel = (uint8_t *)panels + i * packed->panel_bytes;
        const uint8_t *source = b;
        if (!p->b_transposed)
            pack_panel(row, source + column, p->ldb, columns, p->k, flip, panel);
        for (size_t r = 0; p->b_transposed && r < packed->runs; r++)
            pack_panel_transposed(row, source + column * p->ldb + r * packed->run, p->ldb, columns,
                                  packed->run, flip, panel + r * run_bytes);
        sum_panel(row, panel, packed->k_groups, col_sum + i * row->nr);
    }
}

void qdot_sum_runs(const struct qdot_row *row, const struct qdot_packed *packed, const void *panels,
                   size_t pieces, int32_t *sums)
{
    const size_t groups = packed->run_groups / pieces, bytes = groups * row->kr * row->nr;
    for (size_t i = 0; i < packed->n_pad / row->nr; i++)
        for (size_t r = 0; r < packed->runs * pieces; r++)
            sum_panel(row, (const uint8_t *)panels + i * packed->panel_bytes + r * bytes, groups,
                      sums + r * packed->n_pad + i * row->nr);
}

void qdot_fold_bias(const struct qdot_row *row, const struct qdot_problem *p,
                    const int32_t *bias_in, const int32_t *b_neg, const int32_t *col_sum,
                    int32_t *bias_out, size_t begin, size_t end)
{
    const uint32_t a_zero = (uint32_t)(p->a_zero + qdot_shift(p->a_type, row->a_form));
    const uint32_t k_a_zero = (uint32_t)p->k * a_zero;
    for (size_t j = begin; j < end; j++)
        bias_out[j] = (int32_t)((uint32_t)bias_in[j] - a_zero * (uint32_t)col_sum[j] -
                                k_a_zero * (uint32_t)b_neg[j]);
}

/* ---- the saved form -------------------------------------------------------------------------- */

static struct header make_header(const struct qdot_row *row, const struct qdot_problem *p,
                                 const struct qdot_packed *packed)
{
    struct header h = {.version = 2, .nr = row->nr, .kr = row->kr, .b_form = row->b_form};
    const uint64_t geometry[] = {packed->parts, packed->runs, row->depthwise,
                                 p->conv.kh,    p->conv.kw,   p->conv.transposed};
    memcpy(h.magic, magic, sizeof(magic));
    h.b_type = p->b_type;
    if (p->op == QDOT_CONV)
        h.geometry = (uint32_t)qdot_hash(geometry, sizeof(geometry), 0) | 1;
    h.n = p->n;
    h.k = p->k;
    h.bytes = packed->blob_bytes;
    return h;
}

static uint64_t checksum(const struct header *h, const void *blob)
{
    uint64_t seed = qdot_hash(h, offsetof(struct header, checksum), 0);
    return qdot_hash((const uint8_t *)blob + HEADER_BYTES, h->bytes - HEADER_BYTES, seed);
}

void qdot_packed_seal(const struct qdot_row *row, const struct qdot_problem *p,
                      struct qdot_packed *packed)
{
    struct header h = make_header(row, p, packed);
    /* The bytes between panels and sums are part of what is summed up. */
    uint8_t *end = (uint8_t *)qdot_packed_panels(packed) + packed->panels_bytes;
    memset(end, 0, (size_t)((uint8_t *)qdot_packed_col_sum(packed) - end));
    h.checksum = checksum(&h, packed->blob);
    memcpy(packed->blob, &h, sizeof(h));
}

bool qdot_packed_is_for(const struct qdot_row *row, const void *blob, size_t bytes)
{
    struct header h;
    if (bytes < sizeof(h))
        return false;
    memcpy(&h, blob, sizeof(h));
    return memcmp(h.magic, magic, sizeof(magic)) == 0 && h.nr == row->nr && h.kr == row->kr &&
           h.b_form == row->b_form;
}

int qdot_packed_verify(const struct qdot_row *row, const struct qdot_problem *p,
                       const struct qdot_packed *layout, const void *blob, size_t bytes,
                       struct qdot_error *err)
{
    struct header h, want = make_header(row, p, layout);
    if (bytes < sizeof(h))
        return qdot_fail(err, QDOT_BAD_PACKED, "packed: %zu bytes are too few for a header of %d",
                         bytes, HEADER_BYTES);
    memcpy(&h, blob, sizeof(h));
    if (memcmp(h.magic, magic, sizeof(magic)) != 0)
        return qdot_fail(err, QDOT_BAD_PACKED, "packed: not a packed B: the magic is wrong");
    if (h.version != want.version)
        return qdot_fail(err, QDOT_BAD_PACKED, "packed: layout version %u, expected %u", h.version,
                         want.version);
    if (h.nr != want.nr || h.kr != want.kr || h.b_form != want.b_form)
        return qdot_fail(err, QDOT_BAD_PACKED,
                         "packed: panels of %u columns by %u k, expected %u by %u for row %s", h.nr,
                         h.kr, want.nr, want.kr, row->name);
    if (h.geometry != want.geometry)
        return qdot_fail(err, QDOT_BAD_PACKED,
                         "packed: the B of another kind of op, or of other groups or kernels");
    if (h.n != want.n || h.k != want.k || h.b_type != want.b_type)
        return qdot_fail(err, QDOT_BAD_PACKED,
                         "packed: k, n = %llu, %llu of type %u, expected %zu, %zu of type %u",
                         (unsigned long long)h.k, (unsigned long long)h.n, h.b_type, p->k, p->n,
                         want.b_type);
    if (h.bytes != want.bytes || bytes != want.bytes)
        return qdot_fail(err, QDOT_BAD_PACKED, "packed: %zu bytes given, expected %zu", bytes,
                         layout->blob_bytes);
    want.checksum = checksum(&want, blob);
    if (memcmp(&h, &want, sizeof(h)) != 0)
        return qdot_fail(err, QDOT_BAD_PACKED, "packed: the checksum does not match: damaged");
    return QDOT_OK;
}
