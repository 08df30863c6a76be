/*
 * Depthwise convolution by AVX2, 16 channels at a time: the bytes of two taps are interleaved,
 * widened to pairs of 16 bits and multiplied by vpmaddwd, which sums pairs in 32 bits, exactly. Two
 * taps of one output take 2 loads, 2 flips, 2 unpacks, 2 conversions, 2 vpmaddwd and 2 additions;
 * their weights are loaded once for four outputs.
 */
#define TARGET __attribute__((target("avx2")))
#include "finish_ymm.h"
#include "depthwise_taps.h"

#define NR CPU_TAPS_NR
#define PAIR_BYTES (2 * NR * sizeof(int16_t))
#define INLINE static inline __attribute__((always_inline)) TARGET

/* The weights of taps 2 i and 2 i + 1, as pairs of words by channel; 0 where there is no tap. */
static TARGET void pair_weights(const struct cpu_depthwise *d, uint8_t *pairs)
{
    const size_t count = d->kh * d->kw;
    for (size_t t = 0; t < count; t += 2, pairs += PAIR_BYTES) {
        const uint8_t *line = d->weights + t * NR;
        const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)line);
        const __m128i b = t + 1 < count
                              ? _mm_loadu_si128((const __m128i *)(const void *)(line + NR))
                              : _mm_setzero_si128();
        _mm256_store_si256((__m256i *)(void *)pairs, _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)));
        _mm256_store_si256((__m256i *)(void *)(pairs + 32),
                           _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b)));
    }
}

INLINE void some_windows(const struct cpu_windows *w, struct cpu_tile *t, const uint8_t *pairs,
                         size_t first, const int outputs)
{
    const uint8_t *const *taps = w->taps, *const *const end = taps + w->d->kh * w->d->kw;
    const __m128i flips = _mm_set1_epi8((char)w->d->flip);
    const size_t at = first * w->step;
    __m256i c[4][2];
    UNROLL(4)
    for (int q = 0; q < outputs; q++) {
        c[q][0] = load_i(w->d->output->bias);
        c[q][1] = load_i(w->d->output->bias + 8);
        OWN_REGISTER(c[q][0]);
        OWN_REGISTER(c[q][1]);
    }
    do {
        const __m256i w0 = _mm256_load_si256((const __m256i *)(const void *)pairs);
        const __m256i w1 = _mm256_load_si256((const __m256i *)(const void *)(pairs + 32));
        const uint8_t *p0 = taps[0] + at, *p1 = taps[1] + at;
        UNROLL(4)
        for (int q = 0; q < outputs; q++, p0 += w->step, p1 += w->step) {
            __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p0);
            __m128i b = _mm_loadu_si128((const __m128i *)(const void *)p1);
            a = _mm_xor_si128(a, flips);
            b = _mm_xor_si128(b, flips);
            c[q][0] = _mm256_add_epi32(
                c[q][0], _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), w0));
            c[q][1] = _mm256_add_epi32(
                c[q][1], _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)), w1));
        }
        taps += 2;
        pairs += PAIR_BYTES;
    } while (taps < end);
    __m256i sum[4][2];
    ptrdiff_t out_rows[4];
    t->out = cpu_depthwise_out(w, first);
    t->out_rows = out_rows;
    UNROLL(4)
    for (int q = 0; q < outputs; q++) {
        sum[q][0] = c[q][0];
        sum[q][1] = c[q][1];
        out_rows[q] = cpu_depthwise_out(w, first + (size_t)q) - t->out;
    }
    for (int q = 0; w->d->output->b_neg && q < outputs; q++)
        cpu_depthwise_add_b_neg(w, first + (size_t)q, (uint32_t *)sum[q]);
    finish(t, outputs, sum);
}

static TARGET void windows(const struct cpu_windows *w)
{
    const struct cpu_depthwise *d = w->d;
    const uint8_t *pairs = (const uint8_t *)d->scratch + cpu_depthwise_taps_bytes(d->kh, d->kw);
    struct cpu_output output = *d->output;
    struct cpu_tile t = {.output = &output, .columns = d->channels};
    size_t i = 0;
    output.b_neg = NULL; /* done here */
    for (; i + 4 <= w->count; i += 4)
        some_windows(w, &t, pairs, i, 4);
    for (; i < w->count; i++)
        some_windows(w, &t, pairs, i, 1);
}

static TARGET void run(const struct cpu_depthwise *d)
{
    pair_weights(d, (uint8_t *)d->scratch + cpu_depthwise_taps_bytes(d->kh, d->kw));
    cpu_depthwise_by_taps(d, windows);
}

static size_t scratch_bytes(size_t kh, size_t kw, size_t columns)
{
    const size_t bytes = cpu_depthwise_taps_bytes(kh, kw);
    (void)columns;
    return bytes == SIZE_MAX ? bytes : bytes + (kh * kw + 1) / 2 * PAIR_BYTES;
}

const struct cpu_depthwise_kernel cpu_depthwise_1x16_avx2 = {
    .run = run,
    .requantise = cpu_requantise_avx2,
    .scratch_bytes = scratch_bytes,
};
