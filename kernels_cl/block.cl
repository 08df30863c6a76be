/*
 * A tile of outputs for GPUs (tiled.cl) by dot products of 4 k: a work-group of 16 x 16, of which a
 * work-item computes blocks of 4 x 4, 64 rows and columns apart, so that neighbours read neighbouring
 * words. With more blocks fewer words are read for a product: local memory is what tiles of 64 wait for.
 */
#define BLOCKS (MR / SHARED_ROWS)
#if MR != NR || MR % SHARED_ROWS != 0 || KR != 4
#error "work-items hold squares of blocks of 4 x 4"
#endif
#define UNROLLED (4 / BLOCKS)
#define STEP(r) acc[4 * i + r][j] = dot4(WIDEN(a[i].s##r), b[j], acc[4 * i + r][j]);
#define SHARE(r) parts[(y * 4 + r) * (NR / 4) + j * 16 + x] = acc[4 * i + r][j];

kernel __attribute__((reqd_work_group_size(16, 16, 1))) SUB_GROUPS void
block(TILE_PARAMETERS, STAGE_PARAMETERS)
{
    local uint4 parts[2 * PASS_WORDS]; /* two passes; in the end 64 rows of outputs */
    const uint x = get_local_id(0), y = get_local_id(1), lane = y * 16 + x;
    uint4 acc[4 * BLOCKS][BLOCKS];
    FOR(i, 4 * BLOCKS)
        FOR(j, BLOCKS)
            acc[i][j] = 0;
    PASSES
#pragma unroll UNROLLED
        for (uint g = 0; g < PASS; g++) {
            uint4 a[BLOCKS], b[BLOCKS];
            FOR(i, BLOCKS) {
                a[i] = held[g * A_WORDS + i * 16 + y];
                b[i] = held[(PASS + g) * B_WORDS + i * 16 + x];
            }
            FOR(i, BLOCKS)
                FOR(j, BLOCKS) {
                    ROWS_4(STEP)
                }
        }
    END_PASSES
    const struct stage stage = STAGE;
    FOR(i, BLOCKS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        FOR(j, BLOCKS) {
            ROWS_4(SHARE)
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        FOR(w, BLOCKS) {
            const uint word = w * LANES + lane, line = STORED_ROW(word), at = STORED_COLUMN(word);
            STORE(i * SHARED_ROWS + line, at, vload16(0, (local const uint *) parts + line * NR + at))
        }
    }
}
