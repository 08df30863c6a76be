// Output pixels of a convolution and where their windows lie in the copy. Pixels are counted over
// images, lines and columns, so that a tile of them crosses the ends of lines.
layout(push_constant) uniform Arguments
{
    OUTPUT_ARGUMENTS;
    uint pixels, plane, width; // all output pixels, those of an image, those of a line
    uint image_step, line_step, column_step; // words of the copy between neighbouring windows
    uint kernel_h, kernel_w, tap_h, tap_w;   // words of the copy between neighbouring taps
    uint part_words;                         // of a part in the copy
    uint parts, part_quads, part_pad;        // of columns: quads are 4 columns
    uint store_n;                            // columns of a part that may be written
    uint out_pixel;                          // elements of the output between pixels: NHWC
    uint out_image, out_column;              // between images, between columns; 1 for NHWC
    uint first_tile;                         // of work-group y = 0
};

// The word of the copy under the first tap.
uint window_at(uint pixel)
{
    const uint rest = pixel % plane;
    return pixel / plane * image_step + rest / width * line_step + rest % width * column_step;
}
