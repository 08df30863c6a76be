// What every shader of this directory shares. The four bindings, always uint words:
//
//   0  source      bytes of A or B at any offset (pack, input), or packed A, or the copy
//   1  panels      packed A or B; the copy (input, window_sums)
//   2  terms       arrays by column, terms_ld words each, then arrays by row, rows_ld words each
//   3  the output
//
// Panels: 'tile' rows of A (columns of B) a panel, k in groups of 4 (of 16 for matrix units), one word
// (four) a row and group; so group g of row i is at ((i / tile) * groups + g) * tile + i % tile, counted
// in groups. Bytes are in the form of the row.
//
// The copy is the input of a convolution in the s8 form with its padding written out:
// [image][line][column][part][word], 'words' words of 4 channels in each part (group of channels),
// (whole groups of 4 for matrix units), zero past the last of them. So a tap is at the same distance from every output pixel.

// FORM: how A's and B's bytes are taken, signed (S) or unsigned (U).
#define SS 0
#define US 1
#define UU 2

#define TERM_BIAS 0
#define TERM_B_NEG 1
#define TERM_COL_SUM 2
#define TERM_SCALE 3
#define TERM_BIAS_F 4
#define TERM_BIAS_GIVEN 5
#define TERMS 6

#define ROW_SUM 0
#define ROW_A_ZERO 1
#define ROW_SCALE 2

// Push constants of the output stage; out_offset is in elements, lo and hi are less 'zero'.
#define OUTPUT_ARGUMENTS \
    uint terms_ld, rows_ld, out_offset, with; \
    int lo, hi, zero
#define WITH_ROW_SUM 1
#define WITH_A_ZERO 2
#define WITH_ROW_SCALE 4

// Word w of a panel's i-th row, of 'words' words, in groups of 'group' words.
uint word_at(uint panel, uint words, uint tile, uint i, uint w, uint group)
{
    return panel * words * tile + (w / group * tile + i) * group + w % group;
}

// The sum of the four signed products of bytes.
int dot4_portable(uint a, uint b)
{
    const int x = int(a), y = int(b);
    return bitfieldExtract(x, 0, 8) * bitfieldExtract(y, 0, 8) +
           bitfieldExtract(x, 8, 8) * bitfieldExtract(y, 8, 8) +
           bitfieldExtract(x, 16, 8) * bitfieldExtract(y, 16, 8) + (x >> 24) * (y >> 24);
}
