/*
 * AVX-512 VNNI micro-kernels for tiles in a column or in a line, of 4 to 6 rows and 64 columns or of 7
 * or 8 rows and 48: the loop of tile_avx512vnni.c, and between tiles the output stage of one under
 * the first products of the next. Tiles in a column have the same panel of B, tiles in a line the
 * same rows of A.
 *
 * Between two tiles nothing is left to multiply: 24 vectors are converted, scaled and packed, some
 * 110 instructions that fill the schedulers and keep the next tile's products out: 45 clocks in
 * which a tile with K of 64 would have done a quarter of its work. (Measured on Zen 5.) Most of those
 * instructions need other ports than vpdpbusd, so here each row is finished and begun anew at once:
 * its accumulators are free, and COLUMN_AHEAD groups of its next tile follow in the stream.
 *
 * B is prefetched as far ahead as is told. In a column, behind a panel's end comes its beginning again,
 * but for the last tile: so the last groups of a tile, its tail, prefetch the first ones.
 *
 * Assembly, because compilers given this in C keep the accumulators in memory.
 *
 *   zmm0-23   accumulators, row by row      rbp      struct column
 *   zmm24-27  a group of B, or temporaries  r8-r15   the tile's rows of A
 *   zmm28     a group of A                  rax, rdx A at and end of the run, but for the row
 *   zmm29-30  zero point, order of lanes    rbx, rcx B, and how far from there it is prefetched
 *   zmm31     what A is XORed with          rsi, rdi what else is prefetched: B into L2, A into L1
 *   k1        the columns, as bytes
 */
#if defined(__x86_64__) && defined(__ELF__)
#include "column_avx512vnni.h"

    .section .rodata
    .balign 64
order: /* packs work within 128-bit lanes: the lanes' four-column pieces in order */
    .long 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15

    .text

/* A macro for each row: its number, its register, its accumulators. */
.macro EACH_ROW rows, do, args:vararg
.if \rows <= 6
    \do \args, 0, %r8, 0, 1, 2, 3
    \do \args, 1, %r9, 4, 5, 6, 7
    \do \args, 2, %r10, 8, 9, 10, 11
    \do \args, 3, %r11, 12, 13, 14, 15
.if \rows > 4
    \do \args, 4, %r12, 16, 17, 18, 19
.endif
.if \rows > 5
    \do \args, 5, %r13, 20, 21, 22, 23
.endif
.else
    \do \args, 0, %r8, 0, 1, 2
    \do \args, 1, %r9, 3, 4, 5
    \do \args, 2, %r10, 6, 7, 8
    \do \args, 3, %r11, 9, 10, 11
    \do \args, 4, %r12, 12, 13, 14
    \do \args, 5, %r13, 15, 16, 17
    \do \args, 6, %r14, 18, 19, 20
.if \rows > 7
    \do \args, 7, %r15, 21, 22, 23
.endif
.endif
.endm

.macro LOAD_ROW list, row, a, c:vararg
    movq 8*\row(\list), \a
.endm

/* A row's accumulators as they begin; %rsi goes on to the next row's. */
.macro BEGIN adds, row, a, c0, c1, c2, c3
.if \adds
    movq COLUMN_ADD(%rbp), %rcx
    vpbroadcastd 4*\row(%rcx), %zmm28
    vpaddd (%rsi), %zmm28, %zmm\c0
    vpaddd 64(%rsi), %zmm28, %zmm\c1
    vpaddd 128(%rsi), %zmm28, %zmm\c2
.ifnb \c3
    vpaddd 192(%rsi), %zmm28, %zmm\c3
.endif
.else
    vmovdqu64 (%rsi), %zmm\c0
    vmovdqu64 64(%rsi), %zmm\c1
    vmovdqu64 128(%rsi), %zmm\c2
.ifnb \c3
    vmovdqu64 192(%rsi), %zmm\c3
.endif
.endif
    addq COLUMN_FROM_STEP(%rbp), %rsi
.endm

/* Behind the last row's: the first run begins. */
.macro BEGUN
    movq %rsi, COLUMN_FROM(%rbp)
    movq COLUMN_RUNS(%rbp), %rdx
    movq %rdx, COLUMN_RUN(%rbp)
    movq COLUMN_RUN_COUNT(%rbp), %rdx
    movq %rdx, COLUMN_LEFT(%rbp)
    movq COLUMN_RUN_BYTES(%rbp), %rdx
    addq %rax, %rdx
.endm

/* A group of one row. The XOR costs nothing beside the products but a port that they leave free. */
.macro LOAD_A flip, from:vararg
.if \flip
    vpxord \from{1to16}, %zmm31, %zmm28
.else
    vpbroadcastd \from, %zmm28
.endif
.endm

.macro PRODUCTS flip, row, a, c0, c1, c2, c3
    LOAD_A \flip, (\a,%rax)
    vpdpbusd %zmm24, %zmm28, %zmm\c0
    vpdpbusd %zmm25, %zmm28, %zmm\c1
    vpdpbusd %zmm26, %zmm28, %zmm\c2
.ifnb \c3
    vpdpbusd %zmm27, %zmm28, %zmm\c3
.endif
.endm

/* A group of the next tile's row, which begins at %rbx and \a + %rax. */
.macro AHEAD flip, group, a, c0, c1, c2, c3
    LOAD_A \flip, 4*\group(\a,%rax)
.ifnb \c3
    vpdpbusd 256*\group(%rbx), %zmm28, %zmm\c0
    vpdpbusd 256*\group+64(%rbx), %zmm28, %zmm\c1
    vpdpbusd 256*\group+128(%rbx), %zmm28, %zmm\c2
    vpdpbusd 256*\group+192(%rbx), %zmm28, %zmm\c3
.else
    vpdpbusd 192*\group(%rbx), %zmm28, %zmm\c0
    vpdpbusd 192*\group+64(%rbx), %zmm28, %zmm\c1
    vpdpbusd 192*\group+128(%rbx), %zmm28, %zmm\c2
.endif
.endm

/* A row into the output: %rdx the list of rows, %rdi the scales. tile_avx512vnni.c says why the
 * packs are right. Of three vectors the last is packed twice, and stored once. */
.macro FINISH type, row, a, c0, c1, c2, c3
    movq 8*\row(%rdx), %rcx
    addq COLUMN_OUT(%rbp), %rcx
.ifc \type, s32
    vmovdqu64 %zmm\c0, (%rcx)
    vmovdqu64 %zmm\c1, 64(%rcx)
    vmovdqu64 %zmm\c2, 128(%rcx)
.ifnb \c3
    vmovdqu64 %zmm\c3, 192(%rcx)
.endif
.else
    vcvtdq2ps %zmm\c0, %zmm24
    vcvtdq2ps %zmm\c1, %zmm25
    vcvtdq2ps %zmm\c2, %zmm26
    vmulps (%rdi), %zmm24, %zmm24
    vmulps 64(%rdi), %zmm25, %zmm25
    vmulps 128(%rdi), %zmm26, %zmm26
    vcvtps2dq %zmm24, %zmm24
    vcvtps2dq %zmm25, %zmm25
    vcvtps2dq %zmm26, %zmm26
    vpackssdw %zmm25, %zmm24, %zmm24
.ifnb \c3
    vcvtdq2ps %zmm\c3, %zmm27
    vmulps 192(%rdi), %zmm27, %zmm27
    vcvtps2dq %zmm27, %zmm27
    vpackssdw %zmm27, %zmm26, %zmm26
.else
    vpackssdw %zmm26, %zmm26, %zmm26
.endif
    vpaddsw %zmm29, %zmm24, %zmm24
    vpaddsw %zmm29, %zmm26, %zmm26
.ifc \type, u8
    vpackuswb %zmm26, %zmm24, %zmm24
.else
    vpacksswb %zmm26, %zmm24, %zmm24
.endif
    vpermd %zmm24, %zmm30, %zmm24
.ifnb \c3
    vmovdqu64 %zmm24, (%rcx)
.else
    vmovdqu8 %zmm24, (%rcx){%k1}
.endif
.endif
.endm

.if COLUMN_AHEAD != 3
    .error "as many groups as COLUMN_AHEAD says"
.endif
.macro FINISH_AND_BEGIN type, flip, adds, row, a, c:vararg
    FINISH \type, \row, \a, \c
    BEGIN \adds, \row, \a, \c
    AHEAD \flip, 0, \a, \c
    AHEAD \flip, 1, \a, \c
    AHEAD \flip, 2, \a, \c
.endm

.macro COLUMN name, rows, type, flip, adds
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
    movq $0xffffffffffff, %rax
    kmovq %rax, %k1
    movq COLUMN_B(%rbp), %rbx
    movq COLUMN_RUNS(%rbp), %rax
    movq (%rax), %rax
    addq COLUMN_A(%rbp), %rax
    movq COLUMN_A_ROWS(%rbp), %rdi
    EACH_ROW \rows, LOAD_ROW, %rdi
    movq COLUMN_FROM(%rbp), %rsi
    EACH_ROW \rows, BEGIN, \adds
    BEGUN
1:                                      /* a tile */
    movq COLUMN_A_ROWS(%rbp), %rsi
    cmpq $1, COLUMN_COUNT(%rbp)
    je 2f
    addq COLUMN_LIST_STEP(%rbp), %rsi
2:
    movq (%rsi), %rdi
    addq %rax, %rdi
    movq COLUMN_NEXT(%rbp), %rsi
    cmpq COLUMN_NEXT_END(%rbp), %rsi
    jb 3f
    movq $0, COLUMN_NEXT_STEP(%rbp)
3:
    movq COLUMN_FIRST(%rbp), %rcx
    cmpq $1, COLUMN_LEFT(%rbp)
    jne 4f
    subq COLUMN_TAIL(%rbp), %rdx
    .balign 32
4:                                      /* a group */
    vmovdqu64 (%rbx), %zmm24
    vmovdqu64 64(%rbx), %zmm25
    vmovdqu64 128(%rbx), %zmm26
.if \rows <= 6
    vmovdqu64 192(%rbx), %zmm27
.endif
    prefetcht0 (%rbx,%rcx)
    prefetcht0 64(%rbx,%rcx)
    prefetcht0 128(%rbx,%rcx)
.if \rows <= 6
    prefetcht0 192(%rbx,%rcx)
    addq $256, %rbx
.else
    addq $192, %rbx
.endif
    prefetcht1 (%rsi)
    prefetcht1 64(%rsi)
    prefetcht0 (%rdi)
    addq COLUMN_NEXT_STEP(%rbp), %rsi
    addq $32, %rdi
    EACH_ROW \rows, PRODUCTS, \flip
    addq $4, %rax
    cmpq %rdx, %rax
    jne 4b
    decq COLUMN_LEFT(%rbp)
    js 6f
    jz 5f
    movq COLUMN_RUN(%rbp), %rdx         /* the next run */
    movq 8(%rdx), %rax
    addq $8, %rdx
    movq %rdx, COLUMN_RUN(%rbp)
    addq COLUMN_A(%rbp), %rax
    movq COLUMN_RUN_BYTES(%rbp), %rdx
    addq %rax, %rdx
    addq COLUMN_B_SKIP(%rbp), %rbx
    cmpq $1, COLUMN_LEFT(%rbp)
    jne 4b
    subq COLUMN_TAIL(%rbp), %rdx
    jmp 4b
5:                                      /* the tail of the last one */
    addq COLUMN_TAIL(%rbp), %rdx
    cmpq $1, COLUMN_COUNT(%rbp)
    je 4b
    cmpq $0, COLUMN_PANEL_STEP(%rbp)
    jne 4b
    movq COLUMN_B(%rbp), %rcx
    subq %rbx, %rcx
    jmp 4b
6:
    movq %rsi, COLUMN_NEXT(%rbp)
    movq COLUMN_OUT_ROWS(%rbp), %rdx
    movq COLUMN_SCALE(%rbp), %rdi
    decq COLUMN_COUNT(%rbp)
    je 7f
    movq COLUMN_THEN(%rbp), %rax
    movq %rax, COLUMN_FIRST(%rbp)
    movq COLUMN_LIST_STEP(%rbp), %rax
    movq COLUMN_A_ROWS(%rbp), %rsi
    addq %rax, %rsi
    movq %rsi, COLUMN_A_ROWS(%rbp)
    EACH_ROW \rows, LOAD_ROW, %rsi
.if \adds
    shrq $1, %rax
    addq %rax, COLUMN_ADD(%rbp)
.endif
    movq COLUMN_B(%rbp), %rbx
    addq COLUMN_PANEL_STEP(%rbp), %rbx
    movq %rbx, COLUMN_B(%rbp)
    movq COLUMN_FROM(%rbp), %rsi
    addq COLUMN_TERM_STEP(%rbp), %rsi
    movq COLUMN_RUNS(%rbp), %rax
    movq (%rax), %rax
    addq COLUMN_A(%rbp), %rax
    EACH_ROW \rows, FINISH_AND_BEGIN, \type, \flip, \adds
    addq COLUMN_LIST_STEP(%rbp), %rdx
    movq %rdx, COLUMN_OUT_ROWS(%rbp)
    addq COLUMN_TERM_STEP(%rbp), %rdi
    movq %rdi, COLUMN_SCALE(%rbp)
    movq COLUMN_OUT_STEP(%rbp), %rdx
    addq %rdx, COLUMN_OUT(%rbp)
    BEGUN
    addq $4*COLUMN_AHEAD, %rax
.if \rows <= 6
    addq $256*COLUMN_AHEAD, %rbx
.else
    addq $192*COLUMN_AHEAD, %rbx
.endif
    jmp 1b
7:
    EACH_ROW \rows, FINISH, \type
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

/* cpu_column_6_s32, cpu_column_6_s32_flip, cpu_column_6_s32_adds, cpu_column_6_s32_flip_adds ... */
.macro COLUMNS rows, type
    COLUMN cpu_column_\rows\()_\type, \rows, \type, 0, 0
    COLUMN cpu_column_\rows\()_\type\()_flip, \rows, \type, 1, 0
    COLUMN cpu_column_\rows\()_\type\()_adds, \rows, \type, 0, 1
    COLUMN cpu_column_\rows\()_\type\()_flip_adds, \rows, \type, 1, 1
.endm
.irp rows, 4, 5, 6, 7, 8
    COLUMNS \rows, s32
    COLUMNS \rows, u8
    COLUMNS \rows, s8
.endr
#endif

#if defined(__ELF__)
    .section .note.GNU-stack, "", @progbits
#endif
