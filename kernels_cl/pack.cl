/*
 * Rows of A, or columns of B, to panels: TILE rows a panel, k in groups of 4, the rows of one group
 * side by side, k padded with zeros. Also their sums, and the bias that folds them.
 */
#define SEGMENT 16 /* groups of 4 k a work-item */
#define WIDE (KR > 4 ? KR / 4 : 1) /* of them side by side in a row */

/* Up to 4 bytes, k_stride apart, in the operand form; zeros past 'depth'. */
int4 load_group(global const uchar *from, ulong k_stride, uint depth, uint flip, int sign)
{
    int4 v = 0;
    if (depth >= 4 && k_stride == 1)
        return convert_int4(vload4(0, from) ^ (uchar4) ((uchar) flip)) - sign;
    v.x = (int) (from[0] ^ flip) - sign;
    if (depth > 1)
        v.y = (int) (from[k_stride] ^ flip) - sign;
    if (depth > 2)
        v.z = (int) (from[2 * k_stride] ^ flip) - sign;
    if (depth > 3)
        v.w = (int) (from[3 * k_stride] ^ flip) - sign;
    return v;
}

/*
 * One work-item packs SEGMENT groups of row begin + get_global_id(0), which is below rows_pad.
 * Element (i, j) is source[offset + i * row_stride + j * k_stride]. A byte's value in the operand
 * form is (byte ^ flip) - sign, sign = 128 for s8 (flip holds 128 once more then), 0 for u8.
 */
#define PACK(name, TILE, group_t, MAKE)                                                            \
    kernel void name(global const uchar *source, ulong offset, ulong row_stride, ulong k_stride,   \
                     uint begin, uint rows, uint rows_pad, uint k, uint flip, int sign,            \
                     global group_t *panels, global uint *sums, ulong sums_offset, uint with_sums) \
    {                                                                                              \
        const uint i = get_global_id(0), row = begin + i;                                          \
        const uint groups = (k + 4 * WIDE - 1) / (4 * WIDE) * WIDE;                                \
        const uint first = get_global_id(1) * SEGMENT;                                             \
        if (row >= rows_pad || first >= groups)                                                    \
            return;                                                                                \
        const uint last = min(first + SEGMENT, groups);                                            \
        global const uchar *from = source + offset + row * row_stride + first * 4 * k_stride;      \
        global group_t *to = panels + (ulong) (i / TILE) * groups * TILE + i % TILE * WIDE;        \
        int4 sum = 0;                                                                              \
        for (uint g = first; g < last; g++, from += 4 * k_stride) {                                \
            int4 v = 0;                                                                            \
            if (row < rows && g * 4 < k)                                                           \
                v = load_group(from, k_stride, k - g * 4, flip, sign);                             \
            sum += v;                                                                              \
            to[(ulong) (g / WIDE) * WIDE * TILE + g % WIDE] = MAKE(v);                             \
        }                                                                                          \
        if (with_sums && row < rows)                                                               \
            atomic_add(sums + sums_offset + row, (uint) (sum.x + sum.y + sum.z + sum.w));          \
    }

PACK(pack_a, MR, a_group, MAKE_A)
PACK(pack_b, NR, b_group, MAKE_B)

/* The bias of a run that brought its own B. */
kernel void fold_bias(global int *terms, ulong terms_ld, uint n, uint k, int a_zero)
{
    const uint j = get_global_id(0);
    if (j >= n)
        return;
    global const uint *term = (global const uint *) terms + j;
    terms[TERM_BIAS * terms_ld + j] =
        term[TERM_BIAS_GIVEN * terms_ld] - (uint) a_zero * term[TERM_COL_SUM * terms_ld] -
        k * (uint) a_zero * term[TERM_B_NEG * terms_ld];
}
