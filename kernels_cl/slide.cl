/*
 * Where the pixels of a convolution's output lie: of a slab, whose images the padded copy
 * (conv_input.cl) has from 0 and the output from 'begin'.
 */
#define SLIDE_PARAMETERS                                                                           \
    uint panels, uint pixels, uint begin, uint out_lines, uint out_columns, ulong image_words,     \
        uint y_words, uint x_words, uint kh, uint kw, uint tap_h, uint tap_w, ulong out_image,     \
        ulong channel_step
#define SLIDE {begin, out_lines, out_columns, image_words, y_words, x_words, out_image, ldo}

struct slide {
    uint begin, lines, columns;
    ulong image_words;
    uint y_words, x_words; /* from one output line or pixel to the next, in the copy */
    ulong out_image, ldo;  /* from one image or pixel to the next, in the output */
};

/* Of the first tap of an output pixel, in words of the copy. */
ulong input_at(const struct slide *s, uint pixel)
{
    const uint line = pixel / s->columns;
    return line / s->lines * s->image_words + (ulong) (line % s->lines) * s->y_words +
           (ulong) (pixel % s->columns) * s->x_words;
}

ulong output_at(const struct slide *s, uint pixel)
{
    const uint image_pixels = s->lines * s->columns;
    return (s->begin + pixel / image_pixels) * s->out_image + pixel % image_pixels * s->ldo;
}
