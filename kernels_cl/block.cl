/*
 * A tile of outputs for GPUs (tiled.cl) by dot products of 4 k: a work-group of 16 x 16, of which a
 * work-item computes 4 x 4.
 */
#if MR != 64 || NR != 64 || KR != 4
#error "work-items hold 4 x 4 of 64 x 64"
#endif
#define STEP(i) acc##i = dot4(WIDEN(a.s##i), b, acc##i);
#define SHARE(i) parts[(get_local_id(1) * 4 + i) * (NR / 4) + get_local_id(0)] = acc##i;

kernel __attribute__((reqd_work_group_size(16, 16, 1))) void
block(TILE_PARAMETERS, STAGE_PARAMETERS)
{
    local uint4 parts[2 * PASS_WORDS]; /* two passes; in the end the outputs */
    const uint lane = get_local_id(1) * 16 + get_local_id(0);
    uint4 acc0 = 0, acc1 = 0, acc2 = 0, acc3 = 0;
    PASSES
#pragma unroll 4
        for (uint g = 0; g < PASS; g++) {
            const uint4 a = held[g * A_WORDS + get_local_id(1)];
            const uint4 b = held[(PASS + g) * B_WORDS + get_local_id(0)];
            ROWS_4(STEP)
        }
    END_PASSES
    barrier(CLK_LOCAL_MEM_FENCE);
    ROWS_4(SHARE)
    barrier(CLK_LOCAL_MEM_FENCE);
    const struct stage stage = STAGE;
    const uint at = STORED_COLUMN(lane);
    STORE(STORED_ROW(lane), at, vload16(0, (local const uint *) parts + STORED_ROW(lane) * NR + at))
}
