// What the kernels of GEMMs share: their arguments, and the way of their sums to the output.
layout(push_constant) uniform Arguments
{
    OUTPUT_ARGUMENTS;
    uint m, n, k, groups;
    uint first_tile; // row tile of work-group y = 0
    uint ldo;        // elements
    uint store_n;    // columns that may be written: n, or more where the rest is padding
    uint slice;      // groups of k that work-group z sums, to rows of its own
};
#include "output.glsl"

// The sums of a row in 4 columns from 'column' on, whose terms are 'columns'.
void store_row(uvec4 acc, uint row, uint column, columns4 columns)
{
    const uint a_zero = (with & WITH_A_ZERO) != 0 ? load_row(ROW_A_ZERO, row) : 0;
    const uint sum = (with & WITH_ROW_SUM) != 0 ? load_row(ROW_SUM, row) : 0;
    const uint scale = (with & WITH_ROW_SCALE) != 0 ? load_row(ROW_SCALE, row) : 0;
    store4(out_offset + (gl_WorkGroupID.z * m + row) * ldo + column, min(store_n - column, 4),
           finish4(acc, columns, sum - k * a_zero, a_zero, scale));
}
