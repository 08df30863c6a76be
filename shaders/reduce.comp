// The output of a product whose k was cut into slices: their sums (PARTIAL of output.glsl), one [m][ldo] of
// words after another, added up. Here 'groups' counts slices, and 'k' is all of k.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "interface.glsl"

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;

layout(std430, set = 0, binding = 0) readonly buffer Parts
{
    uvec4 parts[];
};
#include "product.glsl"

void main()
{
    const uint quad = gl_GlobalInvocationID.x, quads = (n + 3) / 4;
    if (quad >= quads)
        return;
    const columns4 columns = load_columns(quad * 4);
    for (uint row = gl_WorkGroupID.y; row < m; row += gl_NumWorkGroups.y) {
        uvec4 acc = uvec4(0);
        for (uint i = 0; i < groups; i++)
            acc += parts[(i * m + row) * quads + quad];
        store_row(acc, row, quad * 4, columns);
    }
}
