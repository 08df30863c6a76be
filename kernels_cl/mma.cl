/*
 * C = A * B by NVIDIA's matrix units, compute capability 8.0 on: a work-group of 8 warps computes
 * 128 x 128 outputs, a warp 64 x 32 of them as 4 x 4 products of 16 x 8 outputs and 32 k.
 *
 * Panels are in groups of 16 k, which lie in local memory as they come. There the word of lane l of
 * 8 rows by 16 k is word l, just as the instruction wants it: 32 lanes read 32 banks, and ldmatrix,
 * which needs addresses in a form that compilers of OpenCL C disagree on, has nothing to add.
 */
#if MR != 128 || NR != 128 || KR != 16
#error "warps share 128 x 128 outputs in groups of 16 k"
#endif
#define GROUP (128 * 4) /* words of 4 bytes in a group */
#define TYPE(form) TYPE_##form
#define TYPE_1 "u8"
#define TYPE_2 "s8"
#define TYPE_OF(form) TYPE(form)

#ifdef EMULATE
#define UNROLL
#define LANE (get_local_id(0) % 32)
#define SCRATCH local uint scratch[256 * 6];
#define MULTIPLY(acc, a, b) emulated_mma(acc, a, b, scratch)

/* Lane l has of A rows l / 4 and l / 4 + 8, of B column l / 4; k are l % 4 * 4 on, and 16 more. */
uint4 emulated_mma(uint4 acc, uint4 a, uint2 b, local uint *scratch)
{
    const uint lane = get_local_id(0), first = lane / 32 * 32, row = LANE / 4, pair = LANE % 4 * 2;
    vstore4(a, 0, scratch + lane * 6);
    vstore2(b, 0, scratch + lane * 6 + 4);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0; i < 4; i++) {
        local const uint *x = scratch + (first + row * 4) * 6, *y = scratch + (first + pair * 4) * 6;
        const uint2 p = vload2(0, x + i * 6 + 0), q = vload2(0, x + i * 6 + 2);
        const uint2 v = vload2(0, y + i * 6 + 4), w = vload2(0, y + (4 + i) * 6 + 4);
#define SUM(a0, a1, b01, c)                                                                        \
    c = as_uint(emulated(a0, b01.x, A_FORM == 2, B_FORM == 2, as_int(c)));                         \
    c = as_uint(emulated(a1, b01.y, A_FORM == 2, B_FORM == 2, as_int(c)));
        SUM(p.x, q.x, v, acc.x)
        SUM(p.x, q.x, w, acc.y)
        SUM(p.y, q.y, v, acc.z)
        SUM(p.y, q.y, w, acc.w)
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return acc;
}
#else
#define UNROLL _Pragma("unroll")
#define LANE lane_of_warp()
#define SCRATCH
#define MULTIPLY(acc, a, b) ptx_mma(acc, a, b)

uint lane_of_warp(void)
{
    uint lane;
    asm("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

uint4 ptx_mma(uint4 acc, uint4 a, uint2 b)
{
    uint c0 = acc.x, c1 = acc.y, c2 = acc.z, c3 = acc.w;
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." TYPE_OF(A_FORM) "." TYPE_OF(B_FORM) ".s32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+r"(c0), "+r"(c1), "+r"(c2), "+r"(c3)
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
    return (uint4) (c0, c1, c2, c3);
}
#endif

kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void
mma(TILE_PARAMETERS, STAGE_PARAMETERS)
{
    local uint4 parts[2 * PASS_WORDS]; /* two passes; in the end half the outputs */
    SCRATCH
    const uint lane = get_local_id(0), warp = lane / 32, id = LANE;
    const uint warp_row = warp / 4 * 64, warp_column = warp % 4 * 32;
    uint4 acc[4][4];
    UNROLL
    for (uint i = 0; i < 4; i++)
        acc[i][0] = acc[i][1] = acc[i][2] = acc[i][3] = 0;
    PASSES
        local const uint *a = (local const uint *) held + warp_row * 4 + id;
        local const uint *b = (local const uint *) (held + PASS * A_WORDS) + warp_column * 4 + id;
        UNROLL
        for (uint step = 0; step < PASS / 2; step++, a += 2 * GROUP, b += 2 * GROUP) {
            uint2 column[4];
            UNROLL
            for (uint j = 0; j < 4; j++)
                column[j] = (uint2) (b[j * 32], b[j * 32 + GROUP]);
            UNROLL
            for (uint i = 0; i < 4; i++) {
                local const uint *from = a + i * 64;
                const uint4 rows =
                    (uint4) (from[0], from[32], from[GROUP], from[GROUP + 32]);
                UNROLL
                for (uint j = 0; j < 4; j++)
                    acc[i][j] = MULTIPLY(acc[i][j], rows, column[j]);
            }
        }
    END_PASSES
    const struct stage stage = STAGE;
    local uint *shared = (local uint *) parts;
    for (uint upper = 0; upper < MR; upper += SHARED_ROWS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (warp_row == upper) {
            UNROLL
            for (uint i = 0; i < 4; i++) {
                UNROLL
                for (uint j = 0; j < 4; j++) {
                    local uint *to = shared + (i * 16 + id / 4) * NR + warp_column + j * 8 + id % 4 * 2;
                    vstore2(acc[i][j].lo, 0, to);
                    vstore2(acc[i][j].hi, 0, to + 8 * NR);
                }
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint i = lane; i < SHARED_ROWS * NR / 16; i += LANES) {
            const uint line = STORED_ROW(i), at = STORED_COLUMN(i);
            STORE(upper + line, at, vload16(0, shared + line * NR + at))
        }
    }
}
