// What every shader of this directory shares. The four bindings, always uint words:
//
//   0  source      bytes of A or B at any offset (pack), or packed A (sums, gemm)
//   1  panels      packed A or B
//   2  terms       arrays by column, terms_ld words each, then arrays by row, rows_ld words each
//   3  the output
//
// Panels: 'tile' rows of A (columns of B) a panel, k in groups of 4, one word a row and group; so
// group g of row i is word ((i / tile) * groups + g) * tile + i % tile. Bytes are in the s8 form.

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

// The sum of the four signed products of bytes.
int dot4_portable(uint a, uint b)
{
    const int x = int(a), y = int(b);
    return bitfieldExtract(x, 0, 8) * bitfieldExtract(y, 0, 8) +
           bitfieldExtract(x, 8, 8) * bitfieldExtract(y, 8, 8) +
           bitfieldExtract(x, 16, 8) * bitfieldExtract(y, 16, 8) + (x >> 24) * (y >> 24);
}
