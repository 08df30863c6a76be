/*
 * The output stage of sums that other kernels left: [slice][row][terms_ld], slices of k to be added up;
 * mod 2^32, so that their order does not matter.
 */
kernel void output(global const uint *acc, uint slices, uint begin, STAGE_PARAMETERS)
{
    const uint column = get_global_id(0) * 16, row = begin + get_global_id(1);
    if (column >= n || row >= m)
        return;
    const struct stage stage = STAGE;
    uint16 sum = 0;
    acc += get_global_id(1) * terms_ld + column;
    for (uint i = 0; i < slices; i++, acc += (m - begin) * terms_ld)
        sum += vload16(0, acc);
    store16(&stage, sum, row, column);
}
