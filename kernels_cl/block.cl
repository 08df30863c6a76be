/*
 * C = A * B from packed panels, for GPUs: a work-group of 16 x 16 computes MR x NR outputs, a
 * work-item 4 x 4 of them. PASS groups of both panels at a time are in local memory, twice: while one
 * pass is multiplied, the next is on its way. A pass of a panel is contiguous, 16 bytes a work-item.
 */
#define PASS 16
#define WORDS (PASS * 64 / 4) /* of 16 bytes, in one pass of a panel: one a work-item */
#if MR != 64 || NR != 64
#error "work-items load and hold 64 x 64"
#endif

#define STEP(i) acc##i = dot4(WIDEN(a.s##i), b, acc##i);
#define SHARE(i) parts[(get_local_id(1) * 4 + i) * (NR / 4) + get_local_id(0)] = acc##i;

kernel __attribute__((reqd_work_group_size(16, 16, 1))) void
block(global const uint4 *packed_a, global const uint4 *packed_b, uint begin, STAGE_PARAMETERS)
{
    local uint4 parts[4 * WORDS]; /* two passes of A and B; in the end the outputs */
    const uint lane = get_local_id(1) * 16 + get_local_id(0), groups = (k + 3) / 4;
    const uint at = lane / 16; /* the group of its word in a pass */
    global const uint4 *a_from = packed_a + get_group_id(1) * groups * (MR / 4) + lane;
    global const uint4 *b_from = packed_b + get_group_id(0) * groups * (NR / 4) + lane;
    uint4 acc0 = 0, acc1 = 0, acc2 = 0, acc3 = 0, a_next = 0, b_next = 0;
    if (at < groups) {
        a_next = *a_from;
        b_next = *b_from;
    }
    for (uint pass = 0, turn = 0; pass < groups; pass += PASS, turn ^= 2 * WORDS) {
        local uint4 *words = parts + turn;
        words[lane] = a_next;
        words[WORDS + lane] = b_next;
        barrier(CLK_LOCAL_MEM_FENCE);
        a_next = b_next = 0;
        if (pass + PASS + at < groups) {
            a_next = a_from[(pass + PASS) * (MR / 4)];
            b_next = b_from[(pass + PASS) * (NR / 4)];
        }
#pragma unroll 4
        for (uint g = 0; g < PASS; g++) {
            const uint4 a = words[g * 16 + get_local_id(1)];
            const uint4 b = words[WORDS + g * 16 + get_local_id(0)];
            ROWS_4(STEP)
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    ROWS_4(SHARE)
    barrier(CLK_LOCAL_MEM_FENCE);
    const uint row = begin + get_group_id(1) * MR + lane / 4;
    const uint column = get_group_id(0) * NR + lane % 4 * 16;
    if (row >= m || column >= n)
        return;
    const struct stage stage = STAGE;
    store16(&stage, vload16(0, (local const uint *) (parts + lane * 4)), row, column);
}
