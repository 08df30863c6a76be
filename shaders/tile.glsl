// A tile of a convolution: up to MR output pixels, MR at most 8, of 4 columns. Its pixels are walked
// in order, because divisions cost more than a tap does.
#include "output.glsl"

// The windows of 'rows' pixels from 'pixel' on, then the last one again. Differences may be
// negative; they wrap.
void find_windows(uint pixel, uint rows, out uint windows[MR])
{
    uint window = window_at(pixel), in_plane = pixel % plane, in_line = in_plane % width;
    for (uint i = 0; i < MR; i++) {
        windows[i] = window;
        if (i + 1 >= rows)
            continue;
        window += column_step;
        if (++in_line == width) {
            in_line = 0;
            window += line_step - width * column_step;
        }
        if (++in_plane == plane) {
            in_plane = 0;
            window += image_step - plane / width * line_step;
        }
    }
}

uint sum_of(uint part, uint pixel)
{
    return (with & WITH_ROW_SUM) != 0 ? load_row(part, pixel) : 0;
}

// Columns lie side by side: NHWC.
void store_pixels(uvec4 acc[MR], uint pixel, uint rows, uint part, uint column)
{
    const uint count = min(store_n - column, 4);
    const columns4 columns = load_columns(part * part_pad + column);
    uint at = out_offset + pixel * out_pixel + part * store_n + column;
    for (uint i = 0; i < rows; i++, at += out_pixel)
        store4(at, count, finish4(acc[i], columns, sum_of(part, pixel + i), 0, 0));
}

// Pixels lie side by side, as far as an image goes: NCHW. Bytes are gathered from neighbouring
// pixels, those of a column in low, then in high.
void store_planes(uvec4 acc[MR], uint pixel, uint rows, uint part, uint column)
{
    const bool wide = OUT == S32 || OUT == F32;
    const uint count = min(store_n - column, 4);
    const columns4 columns = load_columns(part * part_pad + column);
    uint in_plane = pixel % plane, gathered = 0;
    uint at = out_offset + pixel / plane * out_image + in_plane +
              (part * store_n + column) * out_column; // of the first pixel gathered
    uvec4 low = uvec4(0), high = uvec4(0);
    for (uint i = 0; i < rows; i++) {
        const uvec4 value = finish4(acc[i], columns, sum_of(part, pixel + i), 0, 0);
        if (gathered < 4)
            low |= value << gathered * 8;
        else
            high |= value << (gathered - 4) * 8;
        gathered++;
        const bool ends = ++in_plane == plane;
        if (!wide && !ends && i + 1 < rows)
            continue;
        for (uint j = 0; j < count; j++) {
            if (wide)
                words[at + j * out_column] = value[j];
            else
                store_run(at + j * out_column, gathered, low[j], high[j]);
        }
        low = high = uvec4(0);
        at += gathered;
        gathered = 0;
        if (ends) {
            in_plane = 0;
            at += out_image - plane;
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
