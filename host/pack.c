/*
 * Packed B: the only place that knows its layout, and where zero points and flips are folded.
 *
 *   blob      = header (64 bytes) | panels
 *   panels    = panels of nr columns; where the row is tight the last has little more than are left
 *   panel     = k_groups groups; group = its columns; column = kr consecutive k, one byte each
 *
 * so of a GEMM element (k, n) is byte (k / kr * columns + n % nr) * kr + k % kr of panel n / nr. K is
 * padded with zero bytes (zero in the packed form, so that padding adds nothing to any sum), columns
 * past n are zeros. Nothing in the blob depends on zero points, bias or A. The sums of columns, in the
 * packed form, are computed where B is packed or a blob is loaded.
 *
 * Of a convolution K falls into runs, each padded to kr by itself, and the columns into parts, the
 * groups, each with panels of its own.
 */
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#include "internal.h"

#define HEADER_BYTES 64
static const char magic[8] = {'q', 'd', 'o', 't', 'p', 'a', 'c', 'k'};

struct header {
    char magic[8];
    uint32_t version; /* of this layout; little-endian like everything in it */
    uint16_t nr, kr;
    uint32_t tight;
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

/* In memory. Groups that begin with a cache line are read quicker: where that takes no more than a
 * fiftieth of B they do. */
static size_t last_columns(const struct qdot_row *row, const struct qdot_packed *packed)
{
    const size_t last = row->nr - (packed->part_pad - packed->part_columns);
    const size_t lines = (last + 15) / 16 * 16, more = lines < row->nr ? lines : row->nr;
    if (!row->tight)
        return row->nr;
    return more - last <= packed->part_columns / 50 ? more : last;
}

bool qdot_packed_layout(const struct qdot_row *row, const struct qdot_problem *p,
                        struct qdot_packed *packed)
{
    const struct qdot_geometry *g = &p->conv;
    size_t terms, k_pad;
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
        !qdot_mul_size(k_pad, packed->n_pad, &packed->panels_bytes) ||
        !qdot_mul_size(packed->n_pad, 5 * sizeof(int32_t), &terms) ||
        packed->panels_bytes > (size_t)PTRDIFF_MAX - HEADER_BYTES - QDOT_PANELS_SLACK - terms)
        return false;
    packed->k_groups = k_pad / row->kr;
    packed->run_groups = packed->k_groups / packed->runs;
    packed->part_panels = packed->part_pad / row->nr;
    packed->last_columns = last_columns(row, packed);
    packed->part_bytes = k_pad * (packed->part_pad - row->nr + packed->last_columns);
    packed->panels_bytes = packed->part_bytes * packed->parts;
    packed->blob_bytes = HEADER_BYTES + packed->panels_bytes;
    return true;
}

void *qdot_packed_panels(const struct qdot_packed *packed)
{
    return (uint8_t *)packed->blob + HEADER_BYTES;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

#define INLINE static inline __attribute__((always_inline))

#if defined(__SSE2__)
INLINE __m128i load16(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

INLINE void store16(uint8_t *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

INLINE void add16(int32_t *p, __m128i v)
{
    uint8_t *at = (uint8_t *)p;
    store16(at, _mm_add_epi32(load16(at), v));
}

/* Units of so many bytes of a and b in turn: of their lower halves, or of the upper ones. */
INLINE __m128i units_low(__m128i a, __m128i b, const size_t unit)
{
    return unit == 1   ? _mm_unpacklo_epi8(a, b)
           : unit == 2 ? _mm_unpacklo_epi16(a, b)
                       : _mm_unpacklo_epi32(a, b);
}

INLINE __m128i units_high(__m128i a, __m128i b, const size_t unit)
{
    return unit == 1   ? _mm_unpackhi_epi8(a, b)
           : unit == 2 ? _mm_unpackhi_epi16(a, b)
                       : _mm_unpackhi_epi32(a, b);
}

/* kr rows of 16 columns to 16 columns of kr rows. */
INLINE void interleave_rows(__m128i *v, const size_t kr)
{
    for (size_t i = 0; i + 1 < kr; i += 2) {
        const __m128i low = units_low(v[i], v[i + 1], 1);
        v[i + 1] = units_high(v[i], v[i + 1], 1);
        v[i] = low;
    }
    if (kr == 4) {
        const __m128i low = v[0], high = v[1];
        v[0] = units_low(low, v[2], 2);
        v[1] = units_high(low, v[2], 2);
        v[2] = units_low(high, v[3], 2);
        v[3] = units_high(high, v[3], 2);
    }
}

/* 16 / kr columns of 16 k to 16 / kr groups of as many columns. Each pass turns the bits of a unit's
 * place round by one, so that in the end row and column have changed places. */
INLINE void interleave_columns(__m128i *v, const size_t kr)
{
    const size_t count = 16 / kr;
    __m128i w[16];
    for (size_t pass = 1; pass < count; pass *= 2) {
        for (size_t i = 0; i < count / 2; i++) {
            w[2 * i] = units_low(v[i], v[i + count / 2], kr);
            w[2 * i + 1] = units_high(v[i], v[i + count / 2], kr);
        }
        for (size_t i = 0; i < count; i++)
            v[i] = w[i];
    }
}

/* Adds the sums of 16 / kr neighbouring columns, of at most 64 groups, so that 16 bits hold them. */
INLINE void sum_vector(const uint8_t *bytes, size_t group_bytes, size_t groups, const size_t kr,
                       __m128i to_signed, int32_t *sums)
{
    __m128i even = _mm_setzero_si128(), odd = even;
    for (size_t g = 0; g < groups; g++, bytes += group_bytes) {
        const __m128i v = _mm_xor_si128(load16(bytes), to_signed);
        even = _mm_add_epi16(even, _mm_srai_epi16(_mm_slli_epi16(v, 8), 8));
        odd = _mm_add_epi16(odd, _mm_srai_epi16(v, 8));
    }
    const __m128i pairs = _mm_add_epi16(even, odd);
    if (kr == 4) {
        add16(sums, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
        return;
    }
    const __m128i low = kr == 2 ? pairs : _mm_unpacklo_epi16(even, odd);
    add16(sums, _mm_srai_epi32(_mm_unpacklo_epi16(low, low), 16));
    add16(sums + 4, _mm_srai_epi32(_mm_unpackhi_epi16(low, low), 16));
    if (kr == 1) {
        const __m128i high = _mm_unpackhi_epi16(even, odd);
        add16(sums + 8, _mm_srai_epi32(_mm_unpacklo_epi16(high, high), 16));
        add16(sums + 12, _mm_srai_epi32(_mm_unpackhi_epi16(high, high), 16));
    }
}
#endif

/* In the three that follow kr is a constant, 1, 2 or 4, for what is done as vectors, or 0. */

INLINE void pack_rows(const struct qdot_piece *p, const size_t kr)
{
    size_t columns = 0, k = 0; /* done as vectors */
#if defined(__SSE2__)
    const __m128i flips = _mm_set1_epi8((char)p->flip);
    columns = kr ? p->columns / 16 * 16 : 0;
    k = kr ? p->k / kr * kr : 0;
    for (size_t i = 0; i < k && columns; i += kr) {
        const uint8_t *b = p->b + i * p->ldb;
        uint8_t *to = p->to + i / kr * p->group_bytes;
        for (size_t j = 0; j < columns; j += 16, to += 16 * kr) {
            __m128i v[4];
            for (size_t r = 0; r < kr; r++)
                v[r] = _mm_xor_si128(load16(b + r * p->ldb + j), flips);
            interleave_rows(v, kr);
            for (size_t r = 0; r < kr; r++)
                store16(to + 16 * r, v[r]);
        }
    }
#endif
    for (size_t i = columns < p->columns ? 0 : k; i < p->k; i++) {
        uint8_t *to = p->to + i / p->kr * p->group_bytes + i % p->kr;
        for (size_t j = i < k ? columns : 0; j < p->columns; j++)
            to[j * p->kr] = p->b[i * p->ldb + j] ^ p->flip;
    }
}

INLINE void pack_columns(const struct qdot_piece *p, const size_t kr)
{
    size_t columns = 0, k = 0; /* done as vectors */
#if defined(__SSE2__)
    const size_t count = kr ? 16 / kr : 1;
    const __m128i flips = _mm_set1_epi8((char)p->flip);
    columns = kr ? p->columns / count * count : 0;
    k = p->k / 16 * 16;
    for (size_t j = 0; j < columns; j += count)
        for (size_t i = 0; i < k; i += 16) {
            __m128i v[16];
            for (size_t c = 0; c < count; c++)
                v[c] = _mm_xor_si128(load16(p->b + (j + c) * p->ldb + i), flips);
            interleave_columns(v, kr);
            for (size_t g = 0; g < count; g++)
                store16(p->to + (i / kr + g) * p->group_bytes + j * kr, v[g]);
        }
#endif
    for (size_t j = k < p->k ? 0 : columns; j < p->columns; j++)
        for (size_t i = j < columns ? k : 0; i < p->k; i += p->kr) {
            const size_t depth = p->k - i < p->kr ? p->k - i : p->kr;
            uint8_t *to = p->to + i / p->kr * p->group_bytes + j * p->kr;
            for (size_t r = 0; r < depth; r++)
                to[r] = p->b[j * p->ldb + i + r] ^ p->flip;
        }
}

INLINE void add_sums(const struct qdot_piece *p, const size_t kr)
{
    const uint32_t sign = p->is_signed ? 0x80 : 0; /* (byte ^ 0x80) - 0x80: signed */
    size_t columns = 0;                            /* done as vectors */
#if defined(__SSE2__)
    const size_t count = kr ? 16 / kr : 1, most = 64;
    const __m128i to_signed = _mm_set1_epi8((char)(sign ^ 0x80));
    columns = kr ? p->columns / count * count : 0;
    for (size_t g = 0; g < p->groups; g += most)
        for (size_t j = 0; j < columns; j += count)
            sum_vector(p->to + g * p->group_bytes + j * kr, p->group_bytes,
                       p->groups - g < most ? p->groups - g : most, kr, to_signed, p->col_sum + j);
    for (size_t j = 0; j < columns; j++)
        p->col_sum[j] =
            (int32_t)((uint32_t)p->col_sum[j] + (sign ^ 0x80) * (uint32_t)(kr * p->groups));
#endif
    for (size_t j = columns; j < p->columns; j++) {
        uint32_t sum = (uint32_t)p->col_sum[j];
        for (size_t g = 0; g < p->groups; g++)
            for (size_t i = 0; i < p->kr; i++)
                sum += (p->to[g * p->group_bytes + j * p->kr + i] ^ sign) - sign;
        p->col_sum[j] = (int32_t)sum;
    }
}

#define PACKER(kr)                                       \
    static void rows_##kr(const struct qdot_piece *p)    \
    {                                                    \
        pack_rows(p, kr);                                \
    }                                                    \
    static void columns_##kr(const struct qdot_piece *p) \
    {                                                    \
        pack_columns(p, kr);                             \
    }                                                    \
    static void sums_##kr(const struct qdot_piece *p)    \
    {                                                    \
        add_sums(p, kr);                                 \
    }                                                    \
    static const struct qdot_packer packer_##kr = {rows_##kr, columns_##kr, sums_##kr};
PACKER(0)
PACKER(1)
PACKER(2)
PACKER(4)

static const struct qdot_packer *packer_of(const struct qdot_row *row)
{
    return row->packer    ? row->packer
           : row->kr == 4 ? &packer_4
           : row->kr == 2 ? &packer_2
           : row->kr == 1 ? &packer_1
                          : &packer_0;
}

/* ---- all of B -------------------------------------------------------------------------------- */

/* Groups [first, first + groups) of a panel, without B. */
static struct qdot_piece piece_of(const struct qdot_row *row, const struct qdot_packed *packed,
                                  void *panels, size_t panel, size_t first, size_t groups,
                                  int32_t *col_sum)
{
    const size_t left = packed->part_columns - panel % packed->part_panels * row->nr;
    const size_t group_bytes = qdot_panel_columns(packed, row->nr, panel) * row->kr;
    return (struct qdot_piece){
        .kr = row->kr,
        .columns = left < row->nr ? left : row->nr,
        .groups = groups,
        .group_bytes = group_bytes,
        .to = (uint8_t *)panels + qdot_panel_at(packed, panel) + first * group_bytes,
        .is_signed = row->b_form == QDOT_S8,
        .col_sum = col_sum + panel * row->nr,
    };
}

/* The same of one run, packed and summed up. */
static void pack_piece(const struct qdot_row *row, const struct qdot_problem *p,
                       const struct qdot_packed *packed, const uint8_t *b, size_t run,
                       struct qdot_piece *piece, size_t panel, size_t first)
{
    const size_t k = run * packed->run + first * row->kr, left = packed->run - first * row->kr;
    const size_t column =
        panel / packed->part_panels * packed->part_columns + panel % packed->part_panels * row->nr;
    piece->b = b + (p->b_transposed ? column * p->ldb + k : k * p->ldb + column);
    piece->ldb = p->ldb;
    piece->k = left < piece->groups * row->kr ? left : piece->groups * row->kr;
    piece->flip = qdot_flip(p->b_type, row->b_form);
    if (piece->columns * row->kr < piece->group_bytes)
        memset(piece->to, 0, piece->groups * piece->group_bytes);
    else if (piece->k < piece->groups * row->kr)
        memset(piece->to + (piece->groups - 1) * piece->group_bytes, 0, piece->group_bytes);
    (p->b_transposed ? packer_of(row)->columns : packer_of(row)->rows)(piece);
    packer_of(row)->add_sums(piece);
}

/* k in a piece, more or less: what it has of B and of the panel is still in L2 when it is summed up. */
#define ROWS_K ((size_t)256)
#define COLUMNS_K ((size_t)1024)

void qdot_pack_b(const struct qdot_row *row, const struct qdot_problem *p,
                 const struct qdot_packed *packed, const void *b, size_t panel_begin,
                 size_t panel_end, void *panels, int32_t *col_sum)
{
    /* What lies side by side in B is read together: of [k,n] a piece of every panel, of [n,k] all
     * pieces of a panel. */
    const size_t k = p->b_transposed ? COLUMNS_K : ROWS_K, most = (k + row->kr - 1) / row->kr;
    const size_t step = p->b_transposed ? 1 : panel_end - panel_begin;
    memset(col_sum + panel_begin * row->nr, 0,
           (panel_end - panel_begin) * row->nr * sizeof(*col_sum));
    for (size_t begin = panel_begin; begin < panel_end; begin += step)
        for (size_t run = 0; run < packed->runs; run++)
            for (size_t g = 0; g < packed->run_groups; g += most)
                for (size_t i = begin; i < begin + step; i++) {
                    const size_t left = packed->run_groups - g;
                    struct qdot_piece piece =
                        piece_of(row, packed, panels, i, run * packed->run_groups + g,
                                 left < most ? left : most, col_sum);
                    pack_piece(row, p, packed, b, run, &piece, i, g);
                }
}

void qdot_sum_pieces(const struct qdot_row *row, const struct qdot_packed *packed, void *panels,
                     size_t count, int32_t *sums)
{
    const size_t groups = packed->k_groups / count;
    memset(sums, 0, count * packed->n_pad * sizeof(*sums));
    for (size_t i = 0; i < packed->parts * packed->part_panels; i++)
        for (size_t r = 0; r < count; r++) {
            const struct qdot_piece piece =
                piece_of(row, packed, panels, i, r * groups, groups, sums + r * packed->n_pad);
            packer_of(row)->add_sums(&piece);
        }
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
    struct header h = {
        .version = 4, .nr = row->nr, .kr = row->kr, .tight = row->tight, .b_form = row->b_form};
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

uint64_t qdot_packed_shape(const struct qdot_row *row, const struct qdot_problem *p,
                           const struct qdot_packed *packed)
{
    const struct header h = make_header(row, p, packed);
    return qdot_hash(&h, offsetof(struct header, checksum), 0);
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
           h.tight == row->tight && h.b_form == row->b_form;
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
    if (h.nr != want.nr || h.kr != want.kr || h.tight != want.tight || h.b_form != want.b_form)
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
