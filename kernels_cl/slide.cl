/*
 * Where the pixels of a convolution's output lie: of a slab, whose images the padded copy
 * (conv_input.cl) has from 0 and the output from 'begin'. In the copy, distances are counted in
 * cells: one group of one pixel, of 'words' words.
 */
#define SLIDE_PARAMETERS                                                                           \
    uint panels, uint begin, uint out_lines, uint out_columns, uint words, uint image_cells,       \
        uint y_cells, uint x_cells, uint kh, uint kw, uint tap_h, uint tap_w, ulong out_image,     \
        ulong channel_step
#define SLIDE {begin, out_lines, out_columns, image_cells, y_cells, x_cells, out_image, ldo}

struct slide {
    uint begin, lines, columns;
    uint image_cells, y_cells, x_cells; /* from one image, output line or pixel to the next */
    ulong out_image, ldo;               /* from one image or pixel to the next, in the output */
};

struct point {
    uint image, y, x;
};

struct point point_of(const struct slide *s, uint pixel)
{
    const uint line = pixel / s->columns;
    const struct point p = {line / s->lines, line % s->lines, pixel % s->columns};
    return p;
}

/* By branches: of the same in selects PoCL 6 with LLVM 18 makes what its optimiser gives up on, which
 * ends the process. */
struct point next_point(const struct slide *s, struct point p)
{
    if (++p.x == s->columns) {
        p.x = 0;
        if (++p.y == s->lines) {
            p.y = 0;
            p.image++;
        }
    }
    return p;
}

/* The cell of the first tap of an output pixel, in group 0. */
ulong input_at(const struct slide *s, struct point p)
{
    return (ulong) p.image * s->image_cells + p.y * s->y_cells + p.x * s->x_cells;
}

ulong output_at(const struct slide *s, struct point p)
{
    return (s->begin + p.image) * s->out_image + (p.y * s->columns + p.x) * s->ldo;
}

/* The sum over a window, from those of its cells. */
uint window_sum(global const uint *sums, uint kh, uint kw, uint tap_h, uint tap_w)
{
    uint sum = 0;
    for (uint i = 0; i < kh; i++)
        for (uint j = 0; j < kw; j++)
            sum += sums[i * tap_h + j * tap_w];
    return sum;
}
