/*
 * C = A * B for few rows of A, which B's bytes outweigh: a work-group reads a panel of B from one
 * end to the other, 16 bytes (4 columns of one group of k) a work-item, and A as the caller gave it.
 * Each work-item has a part of k; the parts are added in local memory.
 */
#define LANES 256
#define GROUPS (LANES / 4) /* of k, in one pass of the work-group over a panel */
#define STEPS (DOT ? 4 : 2) /* passes whose loads are under way at once, if registers suffice */

/* The word of a whole group in s8. */
uint load_word(global const uchar *row, bool aligned, uint group, uint flip)
{
    global const uchar *from = row + group * 4;
    const uint word = aligned ? *(global const uint *) from : as_uint(vload4(0, from));
    return word ^ (flip ^ 128) * 0x01010101u;
}

#define ROW_OF(i)                                                                                  \
    global const uchar *a##i = source + min(row + i, m - 1) * lda;                                 \
    const bool aligned##i = ((size_t) a##i & 3) == 0;                                              \
    uint4 acc##i = 0;                                                                              \
    uint sum##i = 0;
#define STEP(i)                                                                                    \
    {                                                                                              \
        const wide_group a = WIDEN(load_word(a##i, aligned##i, g, flip));                          \
        acc##i = dot4(a, w, acc##i);                                                               \
        sum##i = sum4(a, sum##i);                                                                  \
    }
/* Bytes past k are zero: they count in the sum of a row. */
#define LAST(i)                                                                                    \
    {                                                                                              \
        const int4 v = load_group(a##i + whole * 4, 1, k % 4, flip, 128);                          \
        const wide_group a = WIDEN(as_uint(convert_uchar4(v & 255)));                              \
        acc##i = dot4(a, w, acc##i);                                                               \
        sum##i = sum4(a, sum##i);                                                                  \
    }
#define MULTIPLY(ROWS)                                                                             \
    while (g + (STEPS - 1) * GROUPS < whole) {                                                     \
        uint4 words[STEPS];                                                                        \
        for (uint s = 0; s < STEPS; s++)                                                           \
            words[s] = b[g * 4 + s * LANES];                                                       \
        for (uint s = 0; s < STEPS; s++, g += GROUPS) {                                            \
            const uint4 w = words[s];                                                              \
            ROWS(STEP)                                                                             \
        }                                                                                          \
    }                                                                                              \
    for (; g < whole; g += GROUPS) {                                                               \
        const uint4 w = b[g * 4];                                                                  \
        ROWS(STEP)                                                                                 \
    }
#define SHARE(i)                                                                                   \
    parts[i * LANES + lane] = acc##i;                                                              \
    sums[i * LANES + lane] = sum##i;
#define REDUCE(i)                                                                                  \
    parts[i * LANES + lane] += parts[i * LANES + lane + step];                                     \
    sums[i * LANES + lane] += sums[i * LANES + lane + step];

kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) SUB_GROUPS void
gemv(global const uchar *source, ulong offset, ulong lda, uint flip, global const uint4 *packed_b,
     STAGE_PARAMETERS)
{
    local uint4 parts[MR * LANES];
    local uint sums[MR * LANES];
    const uint lane = get_local_id(0), row = get_group_id(1) * MR, panel = get_group_id(0);
    const uint rows = min(m - row, (uint) MR), groups = (k + 3) / 4;
    const uint whole = k / 4;
    global const uint4 *b = packed_b + (ulong) panel * groups * 4 + lane % 4;
    uint g = lane / 4;
    source += offset;
    ROWS_4(ROW_OF)
    if (rows > 2) {
        MULTIPLY(ROWS_4)
    } else if (rows > 1) {
        MULTIPLY(ROWS_2)
    } else {
        MULTIPLY(ROWS_1)
    }
    if (whole < groups && g == whole) { /* the work-items whose turn it is */
        const uint4 w = b[g * 4];
        ROWS_4(LAST)
    }
    ROWS_4(SHARE)
    for (uint step = LANES / 2; step >= 4; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < step) {
            ROWS_4(REDUCE)
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lane >= rows)
        return;
    const struct stage stage = STAGE;
    const uint column = panel * NR;
    const uint16 acc = vload16(0, (local const uint *) (parts + lane * LANES));
    put16(stage.out + (row + lane) * ldo + column, 1,
          output16(&stage, acc, sums[lane * LANES], row + lane, column), n - column);
}
