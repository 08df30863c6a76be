/* The instructions of x86 that kernels of the library use, and their saturating relatives. Those of 256
 * and 512 bits that narrow do so by halves of 128: a permutation puts these in order. */
#include "primitive_cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define SSE2 "sse2"
#define AVX2 "avx2"
#define VNNI "avx2,avxvnni"
#define AVX512 "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni"
#define VBMI "avx512f,avx512bw,avx512vbmi"

#define X(p, at) _mm_loadu_si128((const void *)((p) + (at)))
#define Y(p, at) _mm256_loadu_si256((const void *)((p) + (at)))
#define Z(p, at) _mm512_loadu_si512((p) + (at))
#define XF(p, at) _mm_castsi128_ps(X(p, at))
#define YF(p, at) _mm256_castsi256_ps(Y(p, at))
#define ZF(p, at) _mm512_castsi512_ps(Z(p, at))
#define Y_ORDERED(v) _mm256_permute4x64_epi64(v, 0xd8)
#define Z_ORDERED(v) _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v)

/* A table: PRIMITIVE_ENTRY of each byte. */
#define ENTRIES4(i) \
    PRIMITIVE_ENTRY(i), PRIMITIVE_ENTRY((i) + 1), PRIMITIVE_ENTRY((i) + 2), PRIMITIVE_ENTRY((i) + 3)
#define ENTRIES16(i) ENTRIES4(i), ENTRIES4((i) + 4), ENTRIES4((i) + 8), ENTRIES4((i) + 12)
#define ENTRIES64(i) ENTRIES16(i), ENTRIES16((i) + 16), ENTRIES16((i) + 32), ENTRIES16((i) + 48)
static const uint8_t entries[128] = {ENTRIES64(0), ENTRIES64(64)};

#define KERNEL(name, isa, type, store, value)                                                 \
    __attribute__((target(isa))) static void name(const uint8_t *a, const uint8_t *b,         \
                                                  const uint8_t *c, uint8_t *r, size_t bytes) \
    {                                                                                         \
        (void)b;                                                                              \
        (void)c;                                                                              \
        for (size_t i = 0; i < bytes; i += sizeof(type))                                      \
            store((void *)(r + i), value);                                                    \
    }
#define XMM(name, isa, value) KERNEL(name, isa, __m128i, _mm_storeu_si128, value)
#define YMM(name, isa, value) KERNEL(name, isa, __m256i, _mm256_storeu_si256, value)
#define ZMM(name, isa, value) KERNEL(name, isa, __m512i, _mm512_storeu_si512, value)
#define XMM_PS(name, isa, value) XMM(name, isa, _mm_castps_si128(value))
#define YMM_PS(name, isa, value) YMM(name, isa, _mm256_castps_si256(value))
#define ZMM_PS(name, isa, value) ZMM(name, isa, _mm512_castps_si512(value))

/* ---- sums of products ------------------------------------------------------------------------ */

XMM(x_pmaddwd, SSE2, _mm_madd_epi16(X(a, i), X(b, i)))
YMM(y_vpmaddwd, AVX2, _mm256_madd_epi16(Y(a, i), Y(b, i)))
YMM(y_vpmaddubsw, AVX2, _mm256_maddubs_epi16(Y(a, i), Y(b, i)))
YMM(y_vpdpbusd, VNNI, _mm256_dpbusd_avx_epi32(Y(c, i), Y(a, i), Y(b, i)))
YMM(y_vpdpbusds, VNNI, _mm256_dpbusds_avx_epi32(Y(c, i), Y(a, i), Y(b, i)))
YMM(y_vpdpwssd, VNNI, _mm256_dpwssd_avx_epi32(Y(c, i), Y(a, i), Y(b, i)))
YMM(y_vpdpwssds, VNNI, _mm256_dpwssds_avx_epi32(Y(c, i), Y(a, i), Y(b, i)))
XMM(x_vpdpbusd, AVX512, _mm_dpbusd_epi32(X(c, i), X(a, i), X(b, i)))
YMM(e_vpdpbusd, AVX512, _mm256_dpbusd_epi32(Y(c, i), Y(a, i), Y(b, i)))
ZMM(z_vpmaddwd, AVX512, _mm512_madd_epi16(Z(a, i), Z(b, i)))
ZMM(z_vpmaddubsw, AVX512, _mm512_maddubs_epi16(Z(a, i), Z(b, i)))
ZMM(z_vpdpbusd, AVX512, _mm512_dpbusd_epi32(Z(c, i), Z(a, i), Z(b, i)))
ZMM(z_vpdpbusds, AVX512, _mm512_dpbusds_epi32(Z(c, i), Z(a, i), Z(b, i)))
ZMM(z_vpdpwssd, AVX512, _mm512_dpwssd_epi32(Z(c, i), Z(a, i), Z(b, i)))
ZMM(z_vpdpwssds, AVX512, _mm512_dpwssds_epi32(Z(c, i), Z(a, i), Z(b, i)))
YMM(y_vpsadbw, AVX2, _mm256_sad_epu8(Y(a, i), Y(b, i)))
ZMM(z_vpsadbw, AVX512, _mm512_sad_epu8(Z(a, i), Z(b, i)))

#define DOT(text, needs, r, how, signs, run)                        \
    {                                                               \
        {text, r, U32, U32, r, how, signs, BYTES, true, needs}, run \
    }
#define PAIR(text, needs, run)                                                       \
    {                                                                                \
        {text, S16, U16, U16, NONE, math_dot_sat, SIGNED_B, BYTES, true, needs}, run \
    }
#define P(text, needs, r, a, b, c, expected, detail, domain, run)      \
    {                                                                  \
        {text, r, a, b, c, expected, detail, domain, true, needs}, run \
    }
#define END                  \
    {                        \
        {.text = NULL}, NULL \
    }

const struct instruction x86_dots[] = {
    P("pmaddwd xmm", NULL, S32, U32, U32, NONE, math_words_dot, 0, BYTES, x_pmaddwd),
    P("vpmaddwd ymm", "avx2", S32, U32, U32, NONE, math_words_dot, 0, BYTES, y_vpmaddwd),
    PAIR("vpmaddubsw ymm", "avx2", y_vpmaddubsw),
    DOT("{vex} vpdpbusd ymm", "avxvnni", S32, math_dot_add, SIGNED_B, y_vpdpbusd),
    DOT("{vex} vpdpbusds ymm", "avxvnni", S32, math_dot_sat, SIGNED_B, y_vpdpbusds),
    DOT("{vex} vpdpwssd ymm", "avxvnni", S32, math_words_dot, 0, y_vpdpwssd),
    DOT("{vex} vpdpwssds ymm", "avxvnni", S32, math_words_dot_sat, 0, y_vpdpwssds),
    DOT("{evex} vpdpbusd xmm", "avx512vnni", S32, math_dot_add, SIGNED_B, x_vpdpbusd),
    DOT("{evex} vpdpbusd ymm", "avx512vnni", S32, math_dot_add, SIGNED_B, e_vpdpbusd),
    P("vpmaddwd zmm", "avx512vnni", S32, U32, U32, NONE, math_words_dot, 0, BYTES, z_vpmaddwd),
    PAIR("vpmaddubsw zmm", "avx512vnni", z_vpmaddubsw),
    DOT("vpdpbusd zmm", "avx512vnni", S32, math_dot_add, SIGNED_B, z_vpdpbusd),
    DOT("vpdpbusds zmm", "avx512vnni", S32, math_dot_sat, SIGNED_B, z_vpdpbusds),
    DOT("vpdpwssd zmm", "avx512vnni", S32, math_words_dot, 0, z_vpdpwssd),
    DOT("vpdpwssds zmm", "avx512vnni", S32, math_words_dot_sat, 0, z_vpdpwssds),
    P("vpsadbw ymm", "avx2", U64, U64, U64, NONE, math_bytes_apart, 0, ANY, y_vpsadbw),
    P("vpsadbw zmm", "avx512vnni", U64, U64, U64, NONE, math_bytes_apart, 0, ANY, z_vpsadbw),
    END,
};

/* ---- integers -------------------------------------------------------------------------------- */

YMM(y_vpmulld, AVX2, _mm256_mullo_epi32(Y(a, i), Y(b, i)))
YMM(y_vpmuldq, AVX2, _mm256_mul_epi32(Y(a, i), Y(b, i)))
YMM(y_vpmuludq, AVX2, _mm256_mul_epu32(Y(a, i), Y(b, i)))
YMM(y_fixed, AVX2,
    _mm256_srli_epi64(_mm256_slli_epi64(_mm256_add_epi64(_mm256_mul_epi32(Y(a, i), Y(b, i)),
                                                         _mm256_set1_epi64x(1 << 30)),
                                        1),
                      32))
YMM(y_vpaddd, AVX2, _mm256_add_epi32(Y(a, i), Y(b, i)))
YMM(y_vpsubq, AVX2, _mm256_sub_epi64(Y(a, i), Y(b, i)))
YMM(y_vpsllvd, AVX2, _mm256_sllv_epi32(Y(a, i), Y(b, i)))
YMM(y_vpsravd, AVX2, _mm256_srav_epi32(Y(a, i), Y(b, i)))
YMM(y_vpsrlq, AVX2, _mm256_srli_epi64(Y(a, i), 31))
YMM(y_vpmovsxbw, AVX2, _mm256_cvtepi8_epi16(X(a, i / 2)))
YMM(y_vpmovzxbw, AVX2, _mm256_cvtepu8_epi16(X(a, i / 2)))
YMM(y_vphaddd, AVX2, Y_ORDERED(_mm256_hadd_epi32(Y(a, 2 * i), Y(a, 2 * i + 32))))
YMM(y_vpmaxub, AVX2, _mm256_max_epu8(Y(a, i), Y(b, i)))
YMM(y_vpminub, AVX2, _mm256_min_epu8(Y(a, i), Y(b, i)))
YMM(y_vpmaxsb, AVX2, _mm256_max_epi8(Y(a, i), Y(b, i)))
YMM(y_vpminsb, AVX2, _mm256_min_epi8(Y(a, i), Y(b, i)))
ZMM(z_vpmulld, AVX512, _mm512_mullo_epi32(Z(a, i), Z(b, i)))
ZMM(z_vpmuldq, AVX512, _mm512_mul_epi32(Z(a, i), Z(b, i)))
ZMM(z_vpmuludq, AVX512, _mm512_mul_epu32(Z(a, i), Z(b, i)))
ZMM(z_fixed, AVX512,
    _mm512_srli_epi64(_mm512_slli_epi64(_mm512_add_epi64(_mm512_mul_epi32(Z(a, i), Z(b, i)),
                                                         _mm512_set1_epi64(1 << 30)),
                                        1),
                      32))
ZMM(z_vpaddd, AVX512, _mm512_add_epi32(Z(a, i), Z(b, i)))
ZMM(z_vpsubq, AVX512, _mm512_sub_epi64(Z(a, i), Z(b, i)))
ZMM(z_vpsllvd, AVX512, _mm512_sllv_epi32(Z(a, i), Z(b, i)))
ZMM(z_vpsravd, AVX512, _mm512_srav_epi32(Z(a, i), Z(b, i)))
ZMM(z_vpsrlq, AVX512, _mm512_srli_epi64(Z(a, i), 31))
ZMM(z_vpmaxub, AVX512, _mm512_max_epu8(Z(a, i), Z(b, i)))
ZMM(z_vpminub, AVX512, _mm512_min_epu8(Z(a, i), Z(b, i)))
ZMM(z_vpmaxsb, AVX512, _mm512_max_epi8(Z(a, i), Z(b, i)))
ZMM(z_vpminsb, AVX512, _mm512_min_epi8(Z(a, i), Z(b, i)))
ZMM(z_vpblendmb, AVX512, _mm512_mask_blend_epi8(_mm512_movepi8_mask(Z(a, i)), Z(b, i), Z(c, i)))
ZMM(z_vpermd, AVX512, _mm512_permutexvar_epi32(Z(a, i), Z(entries, 0)))
YMM(y_vpermd, AVX2, _mm256_permutevar8x32_epi32(Y(entries, 0), Y(a, i)))
ZMM(z_vpermi2q, AVX512, _mm512_permutex2var_epi64(Z(entries, 0), Z(a, i), Z(entries, 64)))
ZMM(z_vpermi2b, VBMI, _mm512_permutex2var_epi8(Z(entries, 0), Z(a, i), Z(entries, 64)))

const struct instruction x86_integers[] = {
    P("vpmulld ymm", "avx2", S32, S32, S32, NONE, math_mul, 0, ANY, y_vpmulld),
    P("vpmuldq ymm", "avx2", S64, S64, S64, NONE, math_words_product, 0, ANY, y_vpmuldq),
    P("vpmuludq ymm", "avx2", U64, U64, U64, NONE, math_words_product, 0, ANY, y_vpmuludq),
    P("vpmuldq, vpaddq, vpsllq, vpsrlq ymm", "avx2", U64, S64, S64, NONE, math_words_fixed, 0, ANY,
      y_fixed),
    P("vpaddd ymm", "avx2", S32, S32, S32, NONE, math_add, 0, ANY, y_vpaddd),
    P("vpsubq ymm", "avx2", S64, S64, S64, NONE, math_sub, 0, ANY, y_vpsubq),
    P("vpsllvd ymm", "avx2", S32, S32, U32, NONE, math_left_past, 0, SHIFT, y_vpsllvd),
    P("vpsllvd ymm, any shift", "avx2", S32, S32, U32, NONE, math_left_past, 0, ANY, y_vpsllvd),
    P("vpsravd ymm", "avx2", S32, S32, U32, NONE, math_right_past, 0, SHIFT, y_vpsravd),
    P("vpsravd ymm, any shift", "avx2", S32, S32, U32, NONE, math_right_past, 0, ANY, y_vpsravd),
    P("vpsrlq ymm", "avx2", U64, U64, NONE, NONE, math_right_by, 31, ANY, y_vpsrlq),
    P("vpmovsxbw ymm", "avx2", S16, S8, NONE, NONE, math_same, 0, ANY, y_vpmovsxbw),
    P("vpmovzxbw ymm", "avx2", U16, U8, NONE, NONE, math_same, 0, ANY, y_vpmovzxbw),
    P("vphaddd ymm", "avx2", S32, U64, NONE, NONE, math_words_sum, 0, ANY, y_vphaddd),
    P("vpmaxub ymm", "avx2", U8, U8, U8, NONE, math_max, 0, ANY, y_vpmaxub),
    P("vpminub ymm", "avx2", U8, U8, U8, NONE, math_min, 0, ANY, y_vpminub),
    P("vpmaxsb ymm", "avx2", S8, S8, S8, NONE, math_max, 0, ANY, y_vpmaxsb),
    P("vpminsb ymm", "avx2", S8, S8, S8, NONE, math_min, 0, ANY, y_vpminsb),
    P("vpermd ymm", "avx2", U32, U32, NONE, NONE, math_entry, 8, ANY, y_vpermd),
    P("vpmulld zmm", "avx512vnni", S32, S32, S32, NONE, math_mul, 0, ANY, z_vpmulld),
    P("vpmuldq zmm", "avx512vnni", S64, S64, S64, NONE, math_words_product, 0, ANY, z_vpmuldq),
    P("vpmuludq zmm", "avx512vnni", U64, U64, U64, NONE, math_words_product, 0, ANY, z_vpmuludq),
    P("vpmuldq, vpaddq, vpsllq, vpsrlq zmm", "avx512vnni", U64, S64, S64, NONE, math_words_fixed, 0,
      ANY, z_fixed),
    P("vpaddd zmm", "avx512vnni", S32, S32, S32, NONE, math_add, 0, ANY, z_vpaddd),
    P("vpsubq zmm", "avx512vnni", S64, S64, S64, NONE, math_sub, 0, ANY, z_vpsubq),
    P("vpsllvd zmm", "avx512vnni", S32, S32, U32, NONE, math_left_past, 0, SHIFT, z_vpsllvd),
    P("vpsllvd zmm, any shift", "avx512vnni", S32, S32, U32, NONE, math_left_past, 0, ANY,
      z_vpsllvd),
    P("vpsravd zmm", "avx512vnni", S32, S32, U32, NONE, math_right_past, 0, SHIFT, z_vpsravd),
    P("vpsravd zmm, any shift", "avx512vnni", S32, S32, U32, NONE, math_right_past, 0, ANY,
      z_vpsravd),
    P("vpsrlq zmm", "avx512vnni", U64, U64, NONE, NONE, math_right_by, 31, ANY, z_vpsrlq),
    P("vpmaxub zmm", "avx512vnni", U8, U8, U8, NONE, math_max, 0, ANY, z_vpmaxub),
    P("vpminub zmm", "avx512vnni", U8, U8, U8, NONE, math_min, 0, ANY, z_vpminub),
    P("vpmaxsb zmm", "avx512vnni", S8, S8, S8, NONE, math_max, 0, ANY, z_vpmaxsb),
    P("vpminsb zmm", "avx512vnni", S8, S8, S8, NONE, math_min, 0, ANY, z_vpminsb),
    P("vpmovb2m, vpblendmb zmm", "avx512vnni", S8, S8, S8, S8, math_if_negative, 0, ANY,
      z_vpblendmb),
    P("vpermd zmm", "avx512vnni", U32, U32, NONE, NONE, math_entry, 16, ANY, z_vpermd),
    P("vpermi2q zmm", "avx512vnni", U64, U64, NONE, NONE, math_entry, 16, ANY, z_vpermi2q),
    P("vpermi2b zmm", "avx512vbmi", U8, U8, NONE, NONE, math_entry, 128, ANY, z_vpermi2b),
    END,
};

/* ---- saturation ------------------------------------------------------------------------------ */

XMM(x_paddsw, SSE2, _mm_adds_epi16(X(a, i), X(b, i)))
XMM(x_packssdw, SSE2, _mm_packs_epi32(X(a, 2 * i), X(a, 2 * i + 16)))
XMM(x_packsswb, SSE2, _mm_packs_epi16(X(a, 2 * i), X(a, 2 * i + 16)))
XMM(x_packuswb, SSE2, _mm_packus_epi16(X(a, 2 * i), X(a, 2 * i + 16)))
YMM(y_vpaddsw, AVX2, _mm256_adds_epi16(Y(a, i), Y(b, i)))
YMM(y_vpackssdw, AVX2, Y_ORDERED(_mm256_packs_epi32(Y(a, 2 * i), Y(a, 2 * i + 32))))
YMM(y_vpackusdw, AVX2, Y_ORDERED(_mm256_packus_epi32(Y(a, 2 * i), Y(a, 2 * i + 32))))
YMM(y_vpacksswb, AVX2, Y_ORDERED(_mm256_packs_epi16(Y(a, 2 * i), Y(a, 2 * i + 32))))
YMM(y_vpackuswb, AVX2, Y_ORDERED(_mm256_packus_epi16(Y(a, 2 * i), Y(a, 2 * i + 32))))
ZMM(z_vpaddsw, AVX512, _mm512_adds_epi16(Z(a, i), Z(b, i)))
ZMM(z_vpackssdw, AVX512, Z_ORDERED(_mm512_packs_epi32(Z(a, 2 * i), Z(a, 2 * i + 64))))
ZMM(z_vpackusdw, AVX512, Z_ORDERED(_mm512_packus_epi32(Z(a, 2 * i), Z(a, 2 * i + 64))))
ZMM(z_vpacksswb, AVX512, Z_ORDERED(_mm512_packs_epi16(Z(a, 2 * i), Z(a, 2 * i + 64))))
ZMM(z_vpackuswb, AVX512, Z_ORDERED(_mm512_packus_epi16(Z(a, 2 * i), Z(a, 2 * i + 64))))
XMM(z_vpmovsdb, AVX512, _mm512_cvtsepi32_epi8(Z(a, 4 * i)))
XMM(z_vpmovusdb, AVX512, _mm512_cvtusepi32_epi8(Z(a, 4 * i)))
YMM(z_vpmovsdw, AVX512, _mm512_cvtsepi32_epi16(Z(a, 2 * i)))
YMM(z_vpmovswb, AVX512, _mm512_cvtsepi16_epi8(Z(a, 2 * i)))
YMM(z_vpmovuswb, AVX512, _mm512_cvtusepi16_epi8(Z(a, 2 * i)))
YMM(z_vpmovsqd, AVX512, _mm512_cvtsepi64_epi32(Z(a, 2 * i)))

#define SAT(text, needs, r, a, run) P(text, needs, r, a, NONE, NONE, math_sat, 0, ANY, run)

const struct instruction x86_saturating[] = {
    P("paddsw xmm", NULL, S16, S16, S16, NONE, math_add_sat, 0, ANY, x_paddsw),
    SAT("packssdw xmm", NULL, S16, S32, x_packssdw),
    SAT("packsswb xmm", NULL, S8, S16, x_packsswb),
    SAT("packuswb xmm", NULL, U8, S16, x_packuswb),
    P("vpaddsw ymm", "avx2", S16, S16, S16, NONE, math_add_sat, 0, ANY, y_vpaddsw),
    SAT("vpackssdw ymm", "avx2", S16, S32, y_vpackssdw),
    SAT("vpackusdw ymm", "avx2", U16, S32, y_vpackusdw),
    SAT("vpacksswb ymm", "avx2", S8, S16, y_vpacksswb),
    SAT("vpackuswb ymm", "avx2", U8, S16, y_vpackuswb),
    P("vpaddsw zmm", "avx512vnni", S16, S16, S16, NONE, math_add_sat, 0, ANY, z_vpaddsw),
    SAT("vpackssdw zmm", "avx512vnni", S16, S32, z_vpackssdw),
    SAT("vpackusdw zmm", "avx512vnni", U16, S32, z_vpackusdw),
    SAT("vpacksswb zmm", "avx512vnni", S8, S16, z_vpacksswb),
    SAT("vpackuswb zmm", "avx512vnni", U8, S16, z_vpackuswb),
    SAT("vpmovsdb zmm", "avx512vnni", S8, S32, z_vpmovsdb),
    SAT("vpmovusdb zmm", "avx512vnni", U8, U32, z_vpmovusdb),
    SAT("vpmovsdw zmm", "avx512vnni", S16, S32, z_vpmovsdw),
    SAT("vpmovswb zmm", "avx512vnni", S8, S16, z_vpmovswb),
    SAT("vpmovuswb zmm", "avx512vnni", U8, U16, z_vpmovuswb),
    SAT("vpmovsqd zmm", "avx512vnni", S32, S64, z_vpmovsqd),
    END,
};

/* ---- floats ---------------------------------------------------------------------------------- */

XMM_PS(x_cvtdq2ps, SSE2, _mm_cvtepi32_ps(X(a, i)))
XMM(x_cvtps2dq, SSE2, _mm_cvtps_epi32(XF(a, i)))
XMM_PS(x_divps, SSE2, _mm_div_ps(XF(a, i), XF(b, i)))
YMM_PS(y_vcvtdq2ps, AVX2, _mm256_cvtepi32_ps(Y(a, i)))
YMM(y_vcvtps2dq, AVX2, _mm256_cvtps_epi32(YF(a, i)))
YMM(y_vcvttps2dq, AVX2, _mm256_cvttps_epi32(YF(a, i)))
YMM_PS(y_vaddps, AVX2, _mm256_add_ps(YF(a, i), YF(b, i)))
YMM_PS(y_vmulps, AVX2, _mm256_mul_ps(YF(a, i), YF(b, i)))
YMM_PS(y_unfused, AVX2, _mm256_add_ps(_mm256_mul_ps(YF(a, i), YF(b, i)), YF(c, i)))
YMM_PS(y_vdivps, AVX2, _mm256_div_ps(YF(a, i), YF(b, i)))
YMM_PS(y_vminps, AVX2, _mm256_min_ps(YF(a, i), YF(b, i)))
YMM_PS(y_vmaxps, AVX2, _mm256_max_ps(YF(a, i), YF(b, i)))
ZMM_PS(z_vcvtdq2ps, AVX512, _mm512_cvtepi32_ps(Z(a, i)))
ZMM(z_vcvtps2dq, AVX512, _mm512_cvtps_epi32(ZF(a, i)))
ZMM(z_vcvttps2dq, AVX512, _mm512_cvttps_epi32(ZF(a, i)))
ZMM_PS(z_vaddps, AVX512, _mm512_add_ps(ZF(a, i), ZF(b, i)))
ZMM_PS(z_vmulps, AVX512, _mm512_mul_ps(ZF(a, i), ZF(b, i)))
ZMM_PS(z_unfused, AVX512, _mm512_add_ps(_mm512_mul_ps(ZF(a, i), ZF(b, i)), ZF(c, i)))
ZMM_PS(z_vdivps, AVX512, _mm512_div_ps(ZF(a, i), ZF(b, i)))
ZMM_PS(z_vminps, AVX512, _mm512_min_ps(ZF(a, i), ZF(b, i)))
ZMM_PS(z_vmaxps, AVX512, _mm512_max_ps(ZF(a, i), ZF(b, i)))

#define F1(text, needs, r, a, how, detail, domain, run) \
    P(text, needs, r, a, NONE, NONE, how, detail, domain, run)
#define F2(text, needs, how, run) P(text, needs, F32, F32, F32, NONE, how, 0, ANY, run)

const struct instruction x86_floats[] = {
    F1("cvtdq2ps xmm", NULL, F32, S32, math_float, TO_NEAREST, ANY, x_cvtdq2ps),
    F1("cvtps2dq xmm", NULL, S32, F32, math_to_int_or_least, TO_NEAREST, NEAR, x_cvtps2dq),
    F2("divps xmm", NULL, math_fdiv, x_divps),
    F1("vcvtdq2ps ymm", "avx2", F32, S32, math_float, TO_NEAREST, ANY, y_vcvtdq2ps),
    F1("vcvtps2dq ymm", "avx2", S32, F32, math_to_int_or_least, TO_NEAREST, NEAR, y_vcvtps2dq),
    F1("vcvttps2dq ymm", "avx2", S32, F32, math_to_int_or_least, TO_ZERO, NEAR, y_vcvttps2dq),
    F2("vaddps ymm", "avx2", math_fadd, y_vaddps),
    F2("vmulps ymm", "avx2", math_fmul, y_vmulps),
    P("vmulps, vaddps ymm", "avx2", F32, F32, F32, F32, math_fmul_fadd, 0, ANY, y_unfused),
    F2("vdivps ymm", "avx2", math_fdiv, y_vdivps),
    F2("vminps ymm", "avx2", math_fmin_or_second, y_vminps),
    F2("vmaxps ymm", "avx2", math_fmax_or_second, y_vmaxps),
    F1("vcvtdq2ps zmm", "avx512vnni", F32, S32, math_float, TO_NEAREST, ANY, z_vcvtdq2ps),
    F1("vcvtps2dq zmm", "avx512vnni", S32, F32, math_to_int_or_least, TO_NEAREST, NEAR,
       z_vcvtps2dq),
    F1("vcvttps2dq zmm", "avx512vnni", S32, F32, math_to_int_or_least, TO_ZERO, NEAR, z_vcvttps2dq),
    F2("vaddps zmm", "avx512vnni", math_fadd, z_vaddps),
    F2("vmulps zmm", "avx512vnni", math_fmul, z_vmulps),
    P("vmulps, vaddps zmm", "avx512vnni", F32, F32, F32, F32, math_fmul_fadd, 0, ANY, z_unfused),
    F2("vdivps zmm", "avx512vnni", math_fdiv, z_vdivps),
    F2("vminps zmm", "avx512vnni", math_fmin_or_second, z_vminps),
    F2("vmaxps zmm", "avx512vnni", math_fmax_or_second, z_vmaxps),
    END,
};

/* ---- memory ---------------------------------------------------------------------------------- */

#define MOVE(name, isa, statement)                                                                \
    __attribute__((target(isa))) static void name(const uint8_t *from, uint8_t *to, size_t count) \
    {                                                                                             \
        (void)count;                                                                              \
        statement;                                                                                \
    }
#define FIRST(type) ((type)((UINT64_C(2) << (count - 1)) - 1)) /* a mask; all 64 wrap around */

MOVE(x_movdqu, SSE2, _mm_storeu_si128((void *)to, X(from, 0)))
MOVE(y_vmovdqu, AVX2, _mm256_storeu_si256((void *)to, Y(from, 0)))
MOVE(z_vmovdqu64, AVX512, _mm512_storeu_si512(to, Z(from, 0)))
MOVE(x_vmovdqu8, AVX512,
     _mm_mask_storeu_epi8(to, FIRST(__mmask16), _mm_maskz_loadu_epi8(FIRST(__mmask16), from)))
MOVE(y_vmovdqu8, AVX512,
     _mm256_mask_storeu_epi8(to, FIRST(__mmask32), _mm256_maskz_loadu_epi8(FIRST(__mmask32), from)))
MOVE(z_vmovdqu8, AVX512,
     _mm512_mask_storeu_epi8(to, FIRST(__mmask64), _mm512_maskz_loadu_epi8(FIRST(__mmask64), from)))
MOVE(x_vmovdqu32, AVX512,
     _mm_mask_storeu_epi32(to, FIRST(__mmask8), _mm_maskz_loadu_epi32(FIRST(__mmask8), from)))
MOVE(y_vmovdqu32, AVX512,
     _mm256_mask_storeu_epi32(to, FIRST(__mmask8), _mm256_maskz_loadu_epi32(FIRST(__mmask8), from)))
MOVE(z_vmovdqu32, AVX512,
     _mm512_mask_storeu_epi32(to, FIRST(__mmask16),
                              _mm512_maskz_loadu_epi32(FIRST(__mmask16), from)))

const struct move x86_moves[] = {
    {"movdqu xmm", NULL, 16, 1, 1, x_movdqu},
    {"vmovdqu ymm", "avx2", 32, 1, 1, y_vmovdqu},
    {"vmovdqu64 zmm", "avx512vnni", 64, 1, 1, z_vmovdqu64},
    {"vmovdqu8 xmm{k}", "avx512vnni", 1, 1, 16, x_vmovdqu8},
    {"vmovdqu8 ymm{k}", "avx512vnni", 1, 1, 32, y_vmovdqu8},
    {"vmovdqu8 zmm{k}", "avx512vnni", 1, 1, 64, z_vmovdqu8},
    {"vmovdqu32 xmm{k}", "avx512vnni", 4, 1, 4, x_vmovdqu32},
    {"vmovdqu32 ymm{k}", "avx512vnni", 4, 1, 8, y_vmovdqu32},
    {"vmovdqu32 zmm{k}", "avx512vnni", 4, 1, 16, z_vmovdqu32},
    {.text = NULL},
};

#else
const struct instruction x86_dots[] = {{{.text = NULL}, NULL}};
const struct instruction x86_integers[] = {{{.text = NULL}, NULL}};
const struct instruction x86_saturating[] = {{{.text = NULL}, NULL}};
const struct instruction x86_floats[] = {{{.text = NULL}, NULL}};
const struct move x86_moves[] = {{.text = NULL}};
#endif
