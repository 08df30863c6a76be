// A tile of outputs of a convolution: up to MR pixels of 4 columns, MR at most 8.
#include "output.glsl"

uint output_at(uint pixel)
{
    return out_offset + pixel / plane * out_image + pixel % plane * out_pixel;
}

// Columns lie side by side: NHWC.
void store_pixels(uvec4 acc[MR], uint pixel, uint rows, uint part, uint column)
{
    const uint padded = part * part_pad + column, count = min(store_n - column, 4);
    for (uint i = 0; i < rows; i++) {
        const uint sum = (with & WITH_ROW_SUM) != 0 ? load_row(part, pixel + i) : 0;
        store4(output_at(pixel + i) + part * store_n + column, count,
               finish4(acc[i], padded, sum, 0, 0));
    }
}

// Pixels lie side by side, as far as an image goes: NCHW. Bytes are gathered from neighbouring
// pixels, those of a column in low, then in high.
void store_planes(uvec4 acc[MR], uint pixel, uint rows, uint part, uint column)
{
    const uint padded = part * part_pad + column, count = min(store_n - column, 4);
    const uint columns_at = (part * store_n + column) * out_column;
    uvec4 low = uvec4(0), high = uvec4(0);
    uint gathered = 0;
    for (uint i = 0; i < rows; i++) {
        const uint sum = (with & WITH_ROW_SUM) != 0 ? load_row(part, pixel + i) : 0;
        const uvec4 value = finish4(acc[i], padded, sum, 0, 0);
        if (OUT == S32 || OUT == F32) {
            for (uint j = 0; j < count; j++)
                words[output_at(pixel + i) + columns_at + j * out_column] = value[j];
            continue;
        }
        if (gathered < 4)
            low |= value << gathered * 8;
        else
            high |= value << (gathered - 4) * 8;
        gathered++;
        if (i + 1 == rows || (pixel + i + 1) % plane == 0) {
            const uint at = output_at(pixel + i + 1 - gathered) + columns_at;
            for (uint j = 0; j < count; j++)
                store_run(at + j * out_column, gathered, low[j], high[j]);
            low = high = uvec4(0);
            gathered = 0;
        }
    }
}

void store_tile(uvec4 acc[MR], uint pixel, uint rows, uint part, uint column)
{
    if (out_column == 1)
        store_pixels(acc, pixel, rows, part, column);
    else
        store_planes(acc, pixel, rows, part, column);
}
