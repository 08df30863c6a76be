/* C = A * B from packed panels: a work-item computes MR rows of 16 columns. */
#define STEP(i) acc##i = dot16(a[i], w, acc##i);
#define MULTIPLY(ROWS)                                                                             \
    for (uint g = 0; g < groups; g++, a += MR, b += NR) {                                          \
        const uint16 w = vload16(0, b);                                                            \
        ROWS(STEP)                                                                                 \
    }

kernel void gemm(global const a_group *packed_a, global const uint *packed_b, uint begin,
                 STAGE_PARAMETERS)
{
    const uint column = get_global_id(0) * NR, row = begin + get_global_id(1) * MR;
    if (column >= n || row >= m)
        return;
    const uint groups = (k + 3) / 4, rows = min(m - row, (uint) MR);
    global const a_group *a = packed_a + get_global_id(1) * groups * MR;
    global const uint *b = packed_b + get_global_id(0) * groups * NR;
    uint16 acc0 = 0, acc1 = 0, acc2 = 0, acc3 = 0, acc4 = 0, acc5 = 0, acc6 = 0, acc7 = 0;
    if (rows > 4) {
        MULTIPLY(ROWS_8)
    } else if (rows > 1) {
        MULTIPLY(ROWS_4)
    } else {
        MULTIPLY(ROWS_1)
    }
    const uint16 acc[MR] = {acc0, acc1, acc2, acc3, acc4, acc5, acc6, acc7};
    const struct stage stage = STAGE;
    for (uint i = 0; i < rows; i++)
        store16(&stage, acc[i], row + i, column);
}
