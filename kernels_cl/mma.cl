/*
 * A tile of 128 x 128 outputs (tiled.cl) by matrix units (units.cl): a sub-group computes SUB_ROWS x
 * SUB_COLUMNS of them as products of fragments, 64 outputs a lane.
 */
#if MR != 128 || NR != 128
#error "sub-groups share 128 x 128 outputs"
#endif
#define ACROSS (NR / SUB_COLUMNS) /* sub-groups */
#define DOWN_PARTS (SUB_ROWS / A_ROWS)
#define ACROSS_PARTS (SUB_COLUMNS / B_COLUMNS)

kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) KERNEL_ATTRIBUTE void
mma(TILE_PARAMETERS, STAGE_PARAMETERS)
{
    local uint4 parts[2 * PASS_WORDS]; /* two passes; in the end half the outputs */
    SCRATCH
    const uint lane = get_local_id(0), sub = SUB_GROUP, id = SUB_LANE;
    const uint sub_row = sub / ACROSS * SUB_ROWS, sub_column = sub % ACROSS * SUB_COLUMNS;
    c_part acc[DOWN_PARTS][ACROSS_PARTS];
    FOR(i, DOWN_PARTS)
        FOR(j, ACROSS_PARTS)
            acc[i][j] = 0;
    PASSES
        local const uint *a = (local const uint *) held + sub_row * (KR / 4);
        local const uint *b = (local const uint *) (held + PASS * A_WORDS) + sub_column * (KR / 4);
        FOR(step, PASS / STEP) {
            b_part columns[ACROSS_PARTS];
            FOR(j, ACROSS_PARTS)
                columns[j] = load_b(b + step * STEP * GROUP + j * B_COLUMNS * (KR / 4), id);
            FOR(i, DOWN_PARTS) {
                const a_part rows = load_a(a + step * STEP * GROUP + i * A_ROWS * (KR / 4), id);
                FOR(j, ACROSS_PARTS)
                    acc[i][j] = MULTIPLY(acc[i][j], rows, columns[j]);
            }
        }
    END_PASSES
    const struct stage stage = STAGE;
    local uint *shared = (local uint *) parts;
    for (uint upper = 0; upper < MR; upper += SHARED_ROWS) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (sub_row / SHARED_ROWS * SHARED_ROWS == upper) {
            FOR(i, DOWN_PARTS) {
                FOR(j, ACROSS_PARTS) {
                    local uint *to = shared + (sub_row - upper + i * A_ROWS) * NR + sub_column +
                                     j * B_COLUMNS;
#define SHARE(v) to[C_ROW(v) * NR + C_COLUMN(v)] = acc[i][j].s##v;
                    C_WORDS(SHARE)
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
