/*
 * Matrix units: a product of a fragment of A (A_ROWS rows), one of B (B_COLUMNS columns) and STEP groups
 * of KR k is one instruction of a sub-group of SUB lanes. Here is for each unit what a lane holds of the
 * fragments, how it comes from local memory, and the instruction. There a row, or column, has KR / 4 words
 * of 4 k, and the next group is GROUP words on.
 *
 * -D UNIT=1 NVIDIA's mma.sync, 2 AMD's WMMA, 3 AMD's MFMA, 4 and 5 Intel's DPAS with 8 and 16 lanes. C is
 * exact mod 2^32 with all. For the build that emulates, HELD_A and HELD_B say what an instruction takes a
 * lane's words to be: X(word, its row or column, its place in k).
 */
#define GROUP (MR * KR / 4)
#define SUB_GROUPS (LANES / SUB)
#define KERNEL_ATTRIBUTE

#if UNIT == 1
#define SUB 32
#define SUB_ROWS 64
#define SUB_COLUMNS 32
#define A_ROWS 16
#define B_COLUMNS 8
#define STEP 2
#define C_WORDS ROWS_4
#define C_ROW(v) (id / 4 + v / 2 * 8)
#define C_COLUMN(v) (id % 4 * 2 + v % 2)
#define HELD_A(X)                                                                                  \
    X(a.x, id / 4, id % 4)                                                                         \
    X(a.y, id / 4 + 8, id % 4) X(a.z, id / 4, id % 4 + 4) X(a.w, id / 4 + 8, id % 4 + 4)
#define HELD_B(X) X(b.x, id / 4, id % 4) X(b.y, id / 4, id % 4 + 4)
typedef uint held_t;
typedef uint4 a_part;
typedef uint2 b_part;
typedef uint4 c_part;

/* The word of lane l of 8 rows by 16 k is word l: 32 lanes read 32 banks, and ldmatrix, which needs
 * addresses in a form that compilers of OpenCL C disagree on, has nothing to add. */
a_part load_a(local const uint *from, uint id)
{
    from += id;
    return (a_part) (from[0], from[32], from[GROUP], from[GROUP + 32]);
}

b_part load_b(local const uint *from, uint id)
{
    return (b_part) (from[id], from[id + GROUP]);
}

#ifndef EMULATE
#define TYPE(form) TYPE_##form
#define TYPE_1 "u8"
#define TYPE_2 "s8"
#define TYPE_OF(form) TYPE(form)
c_part multiply_unit(c_part acc, a_part a, b_part b)
{
    uint c0 = acc.x, c1 = acc.y, c2 = acc.z, c3 = acc.w;
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." TYPE_OF(A_FORM) "." TYPE_OF(B_FORM) ".s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c0), "+r"(c1), "+r"(c2), "+r"(c3)
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
    return (c_part) (c0, c1, c2, c3);
}
#endif

#elif UNIT == 2 /* k may be in any order that is the same for A and B */
#define SUB 32
#define SUB_ROWS 64
#define SUB_COLUMNS 32
#define A_ROWS 16
#define B_COLUMNS 16
#define STEP 1
#define C_WORDS ROWS_8
#define C_COLUMN(v) (id % 16)
typedef uint held_t;
typedef uint8 c_part;
#if defined(__gfx1200__) || defined(__gfx1201__)
#define C_ROW(v) (id / 16 * 8 + v)
typedef uint2 a_part;
typedef uint2 b_part;
#define WMMA(...) __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32_gfx12(__VA_ARGS__)
#define AS_INTS(a) as_int2(a)

a_part load_a(local const uint *from, uint id)
{
    return ((local const uint2 *) from)[id % 16 * 2 + id / 16];
}
#else /* GFX11: each half of the wave has all of A and B */
#define C_ROW(v) (v * 2 + id / 16)
#define HELD_A(X) X(a.x, id % 16, 0) X(a.y, id % 16, 1) X(a.z, id % 16, 2) X(a.w, id % 16, 3)
#define HELD_B(X) X(b.x, id % 16, 0) X(b.y, id % 16, 1) X(b.z, id % 16, 2) X(b.w, id % 16, 3)
typedef uint4 a_part;
typedef uint4 b_part;
#define WMMA(...) __builtin_amdgcn_wmma_i32_16x16x16_iu8_w32(__VA_ARGS__)
#define AS_INTS(a) as_int4(a)
#if !defined(EMULATE) && !__has_builtin(__builtin_amdgcn_wmma_i32_16x16x16_iu8_w32)
#error "the device has no WMMA for waves of 32"
#endif

a_part load_a(local const uint *from, uint id)
{
    return ((local const uint4 *) from)[id % 16];
}
#endif
#define load_b load_a

#ifndef EMULATE
c_part multiply_unit(c_part acc, a_part a, b_part b)
{
    return as_uint8(
        WMMA(A_FORM == 2, AS_INTS(a), B_FORM == 2, AS_INTS(b), as_int8(acc), 0));
}
#endif

#elif UNIT == 3 /* signed; k may be in any order that is the same for A and B */
#define SUB 64
#define SUB_ROWS 64
#define SUB_COLUMNS 64
#define A_ROWS 16
#define B_COLUMNS 16
#define C_WORDS ROWS_4
#define C_ROW(v) (id / 16 * 4 + v)
#define C_COLUMN(v) (id % 16)
#define WORD(id) (id % 16 * 4 + id / 16)
typedef uint held_t;
typedef uint4 c_part;
#if defined(__gfx940__) || defined(__gfx941__) || defined(__gfx942__) || defined(__gfx950__)
#define STEP 2
typedef uint2 a_part;
typedef uint2 b_part;
#define MFMA(a, b, acc) __builtin_amdgcn_mfma_i32_16x16x32_i8(as_long(a), as_long(b), acc, 0, 0, 0)

a_part load_a(local const uint *from, uint id)
{
    return (a_part) (from[WORD(id)], from[WORD(id) + GROUP]);
}
#else
#define STEP 1
#define HELD_A(X) X(a, id % 16, id / 16)
#define HELD_B(X) X(b, id % 16, id / 16)
typedef uint a_part;
typedef uint b_part;
#define MFMA(a, b, acc) __builtin_amdgcn_mfma_i32_16x16x16i8(as_int(a), as_int(b), acc, 0, 0, 0)
#if !defined(EMULATE) && !__has_builtin(__builtin_amdgcn_mfma_i32_16x16x16i8)
#error "the device has no MFMA"
#endif

a_part load_a(local const uint *from, uint id)
{
    return from[WORD(id)];
}
#endif
#define load_b load_a

#ifndef EMULATE
c_part multiply_unit(c_part acc, a_part a, b_part b)
{
    return as_uint4(MFMA(a, b, as_int4(acc)));
}
#endif

#else /* A's rows, of 32 bytes, are spread over the lanes; B's columns are one a lane */
#define SUB_ROWS 32
#define A_ROWS 8
#define STEP 1
#define C_WORDS ROWS_8
#define C_ROW(v) (v)
#define C_COLUMN(v) id
#define HELD_A(X)                                                                                  \
    X(a.s0, 0, id)                                                                                 \
    X(a.s1, 1, id)                                                                                 \
    X(a.s2, 2, id) X(a.s3, 3, id) X(a.s4, 4, id) X(a.s5, 5, id) X(a.s6, 6, id) X(a.s7, 7, id)
#define HELD_B(X)                                                                                  \
    X(b.s0, id, 0)                                                                                 \
    X(b.s1, id, 1)                                                                                 \
    X(b.s2, id, 2) X(b.s3, id, 3) X(b.s4, id, 4) X(b.s5, id, 5) X(b.s6, id, 6) X(b.s7, id, 7)
typedef uint8 b_part;
typedef uint8 c_part;
#if UNIT == 4
#define SUB 8
#define SUB_COLUMNS 16
#define B_COLUMNS 8
typedef uint held_t;
typedef uint8 a_part;
#define READ_ROWS(from) intel_sub_group_block_read8(from)
#else
#define SUB 16
#define SUB_COLUMNS 32
#define B_COLUMNS 16
typedef ushort held_t;
typedef ushort8 a_part;
#define READ_ROWS(from) intel_sub_group_block_read_us8((local const ushort *) (from))
#endif

a_part load_a(local const uint *from, uint id)
{
#ifdef cl_intel_subgroup_local_block_io
    return READ_ROWS(from);
#else
    local const held_t *row = (local const held_t *) from + id;
    return (a_part) (row[0], row[SUB], row[2 * SUB], row[3 * SUB], row[4 * SUB], row[5 * SUB],
                     row[6 * SUB], row[7 * SUB]);
#endif
}

b_part load_b(local const uint *from, uint id)
{
    local const uint4 *column = (local const uint4 *) from + id * 2;
    return (b_part) (column[0], column[1]);
}

#ifndef EMULATE
#undef KERNEL_ATTRIBUTE
#define KERNEL_ATTRIBUTE __attribute__((intel_reqd_sub_group_size(SUB)))
#if UNIT == 4
#define AS_ROWS(a) as_int8(a)
#else
#define AS_ROWS(a) as_short8(a)
#endif
c_part multiply_unit(c_part acc, a_part a, b_part b)
{
    return as_uint8(intel_sub_group_i8_i8_matrix_mad_k32(AS_ROWS(a), as_int8(b), as_int8(acc)));
}
#endif
#endif

#ifdef EMULATE
#define WORDS_K (STEP * KR / 4) /* of 4 k, in a product */
#define SCRATCH local uint scratch[SUB_GROUPS * (A_ROWS + B_COLUMNS) * WORDS_K];
#define MULTIPLY(acc, a, b) emulated_unit(acc, a, b, get_local_id(0) % SUB, scratch)
#define SUB_GROUP (get_local_id(0) / SUB)
#define SUB_LANE (get_local_id(0) % SUB)

c_part emulated_unit(c_part acc, a_part a, b_part b, uint id, local uint *scratch)
{
    local uint *rows = scratch + SUB_GROUP * (A_ROWS + B_COLUMNS) * WORDS_K;
    local uint *columns = rows + A_ROWS * WORDS_K;
#define KEEP_A(word, row, place)                                                                   \
    ((local held_t *) rows)[(row) * (WORDS_K * 4 / sizeof(held_t)) + (place)] = word;
#define KEEP_B(word, column, place) columns[(column) * WORDS_K + (place)] = word;
    HELD_A(KEEP_A)
    HELD_B(KEEP_B)
    barrier(CLK_LOCAL_MEM_FENCE);
    union {
        c_part all;
        uint each[sizeof(c_part) / 4];
    } sums = {acc};
    for (uint v = 0; v < sizeof(c_part) / 4; v++)
        for (uint w = 0; w < WORDS_K; w++)
            sums.each[v] = as_uint(emulated(rows[C_ROW(v) * WORDS_K + w],
                                            columns[C_COLUMN(v) * WORDS_K + w], A_FORM == 2,
                                            B_FORM == 2, as_int(sums.each[v])));
    barrier(CLK_LOCAL_MEM_FENCE);
    return sums.all;
}
#else
#define SCRATCH
#define MULTIPLY(acc, a, b) multiply_unit(acc, a, b)
#if UNIT == 1
uint lane_of_warp(void)
{
    uint lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}
#define SUB_GROUP (get_local_id(0) / SUB)
#define SUB_LANE lane_of_warp()
#elif UNIT <= 3
#define SUB_GROUP (get_local_id(0) / SUB)
#define SUB_LANE (get_local_id(0) % SUB)
#else
#define SUB_GROUP get_sub_group_id()
#define SUB_LANE get_sub_group_local_id()
#endif
#endif
