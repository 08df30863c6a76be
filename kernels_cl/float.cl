/*
 * After CLBlast's sgemm: c holds the sums of one chunk of k in binary32, integers of at most 2^24
 * and so exact. c and acc are [rows][terms_ld]; a work-item has 16 columns of one row.
 */
kernel void accumulate(global const float *c, global uint *acc, uint rows, ulong terms_ld,
                       uint first)
{
    const uint column = get_global_id(0) * 16, row = get_global_id(1);
    if (column >= terms_ld || row >= rows)
        return;
    const ulong i = row * terms_ld + column;
    uint16 sum = as_uint16(convert_int16(vload16(0, c + i)));
    if (!first)
        sum += vload16(0, acc + i);
    vstore16(sum, 0, acc + i);
}
