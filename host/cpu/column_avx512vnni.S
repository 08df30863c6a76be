/*
 * AVX-512 VNNI micro-kernel for a column of 6 x 64 tiles: the loop of tile_avx512vnni.c, and
 * between tiles the output stage of one under the first products of the next.
 *
 * Between two tiles nothing is left to multiply: 24 vectors are converted, scaled and packed, some
 * 110 instructions that fill the schedulers and keep the next tile's products out: 45 clocks in
 * which a tile with K of 64 would have done a quarter of its work. (Measured on Zen 5.) Most of those
 * instructions need other ports than vpdpbusd, so here each row is finished and begun anew at once:
 * its accumulators are free, and COLUMN_AHEAD groups of its next tile follow in the stream.
 *
 * Assembly, because compilers given this in C keep the accumulators in memory.
 *
 *   zmm0-23   accumulators, row by row      rbp      struct column
 *   zmm24-27  a group of B, or temporaries  r8-r13   the tile's rows of A
 *   zmm28     a group of A                  r15      the list they come from
 *   zmm29-30  zero point, order of lanes    rax, rdx A at and end of the run, but for the row
 *   zmm31     what A is XORed with
 *                                           rbx      B
 *                                           rcx, r14 the run, and how many there are to come
 *                                           rsi, rdi what is prefetched: B into L2, A into L1
 */
#if defined(__x86_64__) && defined(__ELF__)
#include "column_avx512vnni.h"

    .section .rodata
    .balign 64
order: /* packs work within 128-bit lanes: the lanes' four-column pieces in order */
    .long 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15

    .text

.macro ROWS list
    movq 0(\list), %r8
    movq 8(\list), %r9
    movq 16(\list), %r10
    movq 24(\list), %r11
    movq 32(\list), %r12
    movq 40(\list), %r13
.endm

/* One row's accumulators as they begin; %r14 goes on to the next row's. */
.macro BEGIN c0, c1, c2, c3
    vmovdqu64 (%r14), %zmm\c0
    vmovdqu64 64(%r14), %zmm\c1
    vmovdqu64 128(%r14), %zmm\c2
    vmovdqu64 192(%r14), %zmm\c3
    addq COLUMN_FROM_STEP(%rbp), %r14
.endm

/* A group of one row. The XOR costs nothing beside the products but a port that they leave free. */
.macro LOAD_A flip, from:vararg
.if \flip
    vpxord \from{1to16}, %zmm31, %zmm28
.else
    vpbroadcastd \from, %zmm28
.endif
.endm

.macro PRODUCTS flip, a, c0, c1, c2, c3
    LOAD_A \flip, (\a,%rax)
    vpdpbusd %zmm24, %zmm28, %zmm\c0
    vpdpbusd %zmm25, %zmm28, %zmm\c1
    vpdpbusd %zmm26, %zmm28, %zmm\c2
    vpdpbusd %zmm27, %zmm28, %zmm\c3
.endm

/* A group of the next tile's row, which begins at %rbx and \a + %rax. */
.macro AHEAD flip, group, a, c0, c1, c2, c3
    LOAD_A \flip, 4*\group(\a,%rax)
    vpdpbusd 256*\group(%rbx), %zmm28, %zmm\c0
    vpdpbusd 256*\group+64(%rbx), %zmm28, %zmm\c1
    vpdpbusd 256*\group+128(%rbx), %zmm28, %zmm\c2
    vpdpbusd 256*\group+192(%rbx), %zmm28, %zmm\c3
.endm

/* Row \row into the output: %rdx the list of rows, %rdi the scales. tile_avx512vnni.c says why the
 * packs are right. */
.macro FINISH type, row, c0, c1, c2, c3
    movq 8*\row(%rdx), %rcx
    addq COLUMN_OUT(%rbp), %rcx
.ifc \type, s32
    vmovdqu64 %zmm\c0, (%rcx)
    vmovdqu64 %zmm\c1, 64(%rcx)
    vmovdqu64 %zmm\c2, 128(%rcx)
    vmovdqu64 %zmm\c3, 192(%rcx)
.else
    vcvtdq2ps %zmm\c0, %zmm24
    vcvtdq2ps %zmm\c1, %zmm25
    vcvtdq2ps %zmm\c2, %zmm26
    vcvtdq2ps %zmm\c3, %zmm27
    vmulps (%rdi), %zmm24, %zmm24
    vmulps 64(%rdi), %zmm25, %zmm25
    vmulps 128(%rdi), %zmm26, %zmm26
    vmulps 192(%rdi), %zmm27, %zmm27
    vcvtps2dq %zmm24, %zmm24
    vcvtps2dq %zmm25, %zmm25
    vcvtps2dq %zmm26, %zmm26
    vcvtps2dq %zmm27, %zmm27
    vpackssdw %zmm25, %zmm24, %zmm24
    vpackssdw %zmm27, %zmm26, %zmm26
    vpaddsw %zmm29, %zmm24, %zmm24
    vpaddsw %zmm29, %zmm26, %zmm26
.ifc \type, u8
    vpackuswb %zmm26, %zmm24, %zmm24
.else
    vpacksswb %zmm26, %zmm24, %zmm24
.endif
    vpermd %zmm24, %zmm30, %zmm24
    vmovdqu64 %zmm24, (%rcx)
.endif
.endm

.if COLUMN_AHEAD != 3
    .error "as many groups as COLUMN_AHEAD says"
.endif
.macro FINISH_AND_BEGIN type, flip, row, a, c0, c1, c2, c3
    FINISH \type, \row, \c0, \c1, \c2, \c3
    BEGIN \c0, \c1, \c2, \c3
    AHEAD \flip, 0, \a, \c0, \c1, \c2, \c3
    AHEAD \flip, 1, \a, \c0, \c1, \c2, \c3
    AHEAD \flip, 2, \a, \c0, \c1, \c2, \c3
.endm

.macro COLUMN name, type, flip
    .globl \name
    .hidden \name
    .type \name, @function
    .balign 64
\name:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rdi, %rbp
    vpbroadcastd COLUMN_ZERO(%rbp), %zmm29
    vmovdqa64 order(%rip), %zmm30
    vpbroadcastd COLUMN_FLIPS(%rbp), %zmm31
    movq COLUMN_A_ROWS(%rbp), %r15
    movq COLUMN_NEXT(%rbp), %rsi
    ROWS %r15
    movq COLUMN_FROM(%rbp), %r14
    BEGIN 0, 1, 2, 3
    BEGIN 4, 5, 6, 7
    BEGIN 8, 9, 10, 11
    BEGIN 12, 13, 14, 15
    BEGIN 16, 17, 18, 19
    BEGIN 20, 21, 22, 23
    movq %r14, COLUMN_FROM(%rbp)
    movq COLUMN_B(%rbp), %rbx
    movq COLUMN_RUNS(%rbp), %rcx
    movq COLUMN_RUN_COUNT(%rbp), %r14
    movq (%rcx), %rax
    addq COLUMN_A(%rbp), %rax
    movq COLUMN_RUN_BYTES(%rbp), %rdx
    addq %rax, %rdx
1:                                      /* a tile */
    cmpq $1, COLUMN_COUNT(%rbp)
    movq (%r15), %rdi
    je 2f
    movq 48(%r15), %rdi
2:
    cmpq COLUMN_NEXT_END(%rbp), %rsi
    jb 3f
    movq $0, COLUMN_NEXT_STEP(%rbp)
3:
    addq %rax, %rdi
    .balign 32
4:                                      /* a group */
    vmovdqu64 (%rbx), %zmm24
    vmovdqu64 64(%rbx), %zmm25
    vmovdqu64 128(%rbx), %zmm26
    vmovdqu64 192(%rbx), %zmm27
    prefetcht0 2048(%rbx)
    prefetcht0 2112(%rbx)
    prefetcht0 2176(%rbx)
    prefetcht0 2240(%rbx)
    prefetcht1 (%rsi)
    prefetcht1 64(%rsi)
    prefetcht0 (%rdi)
    addq COLUMN_NEXT_STEP(%rbp), %rsi
    addq $32, %rdi
    addq $256, %rbx
    PRODUCTS \flip, %r8, 0, 1, 2, 3
    PRODUCTS \flip, %r9, 4, 5, 6, 7
    PRODUCTS \flip, %r10, 8, 9, 10, 11
    PRODUCTS \flip, %r11, 12, 13, 14, 15
    PRODUCTS \flip, %r12, 16, 17, 18, 19
    PRODUCTS \flip, %r13, 20, 21, 22, 23
    addq $4, %rax
    cmpq %rdx, %rax
    jne 4b
    addq COLUMN_B_SKIP(%rbp), %rbx
    decq %r14
    je 5f
    movq 8(%rcx), %rax                  /* the next run */
    addq $8, %rcx
    addq COLUMN_A(%rbp), %rax
    movq COLUMN_RUN_BYTES(%rbp), %rdx
    addq %rax, %rdx
    jmp 4b
5:
    movq COLUMN_OUT_ROWS(%rbp), %rdx
    movq COLUMN_SCALE(%rbp), %rdi
    decq COLUMN_COUNT(%rbp)
    je 6f
    addq $48, %r15
    ROWS %r15
    movq COLUMN_B(%rbp), %rbx
    movq COLUMN_FROM(%rbp), %r14
    movq COLUMN_RUNS(%rbp), %rcx
    movq (%rcx), %rax
    addq COLUMN_A(%rbp), %rax
    FINISH_AND_BEGIN \type, \flip, 0, %r8, 0, 1, 2, 3
    FINISH_AND_BEGIN \type, \flip, 1, %r9, 4, 5, 6, 7
    FINISH_AND_BEGIN \type, \flip, 2, %r10, 8, 9, 10, 11
    FINISH_AND_BEGIN \type, \flip, 3, %r11, 12, 13, 14, 15
    FINISH_AND_BEGIN \type, \flip, 4, %r12, 16, 17, 18, 19
    FINISH_AND_BEGIN \type, \flip, 5, %r13, 20, 21, 22, 23
    movq %r14, COLUMN_FROM(%rbp)
    addq $48, %rdx
    movq %rdx, COLUMN_OUT_ROWS(%rbp)
    movq COLUMN_RUNS(%rbp), %rcx
    movq COLUMN_RUN_COUNT(%rbp), %r14
    movq COLUMN_RUN_BYTES(%rbp), %rdx
    addq %rax, %rdx
    addq $4*COLUMN_AHEAD, %rax
    addq $256*COLUMN_AHEAD, %rbx
    jmp 1b
6:
    FINISH \type, 0, 0, 1, 2, 3
    FINISH \type, 1, 4, 5, 6, 7
    FINISH \type, 2, 8, 9, 10, 11
    FINISH \type, 3, 12, 13, 14, 15
    FINISH \type, 4, 16, 17, 18, 19
    FINISH \type, 5, 20, 21, 22, 23
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    vzeroupper
    ret
    .size \name, . - \name
.endm

    COLUMN cpu_column_s32, s32, 0
    COLUMN cpu_column_u8, u8, 0
    COLUMN cpu_column_s8, s8, 0
    COLUMN cpu_column_s32_flip, s32, 1
    COLUMN cpu_column_u8_flip, u8, 1
    COLUMN cpu_column_s8_flip, s8, 1
#endif

#if defined(__ELF__)
    .section .note.GNU-stack, "", @progbits
#endif
