// The core of kernels that compute a square tile of outputs a work-group: SIDE rows of SIDE columns,
// an invocation EDGE (4 or 8) of EDGE of them, in blocks of 4 x 4 that lie apart so that neighbours
// read neighbouring words. Shared memory holds DEPTH groups of k; those that come next are loaded into
// registers meanwhile, which is left to the kernel: fetch(g) sets next_a and next_b.
//
// Without INT_DOT products are those of floats, as in gemm_float.comp. EDGE is no specialisation
// constant, because drivers were seen to lay out arrays of arrays of such sizes wrongly (Mesa 22.3).
layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 4) const uint SIDE = 64;
layout(constant_id = 5) const uint DEPTH = 16;

#define QUADS (SIDE / 4) // of a group of k in a panel
#define ACROSS (SIDE / EDGE) // invocations along a side; ACROSS * ACROSS is the work-group
#define BLOCKS (EDGE / 4)
#define WORDS (DEPTH * QUADS)
#define LOADS (WORDS / gl_WorkGroupSize.x)
#define BLOCK 256 // groups of k

shared uvec4 tile_a[WORDS], tile_b[WORDS];
uvec4 next_a[LOADS], next_b[LOADS];

// Blocks of 4 columns, rows.
uvec4 acc[BLOCKS][EDGE];
#ifndef INT_DOT
vec4 acc_f[BLOCKS][EDGE];
#endif

#define FOR(i, count) [[unroll]] for (uint i = 0; i < (count); i++)

void fetch(uint g);

void fill()
{
    barrier(); // the tile before is used up
    FOR(i, LOADS) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        tile_a[word] = next_a[i];
        tile_b[word] = next_b[i];
    }
    barrier();
}

vec4 bytes(uvec4 w, uint i)
{
    return vec4(bitfieldExtract(ivec4(w), int(8 * i), 8));
}

// One group of k, whose first words are at these places.
void multiply_group(uint at_b, uint at_a)
{
    uvec4 a[BLOCKS], b[BLOCKS];
    FOR(i, BLOCKS) {
        a[i] = tile_a[at_a + i * ACROSS];
        b[i] = tile_b[at_b + i * ACROSS];
    }
#ifdef INT_DOT
    FOR(j, BLOCKS) {
        FOR(i, EDGE)
            acc[j][i] += multiply4(a[i / 4][i % 4], b[j]);
    }
#else
    FOR(byte, 4) {
        FOR(j, BLOCKS) {
            const vec4 v = bytes(b[j], byte);
            FOR(i, EDGE)
                acc_f[j][i] += bytes(a[i / 4], byte)[i % 4] * v;
        }
    }
#endif
}

// Sums of floats to integers, before they are too large to be exact.
void fold()
{
#ifndef INT_DOT
    FOR(j, BLOCKS) {
        FOR(i, EDGE) {
            acc[j][i] += uvec4(ivec4(acc_f[j][i]));
            acc_f[j][i] = vec4(0);
        }
    }
#endif
}

// The sums over groups [begin, end) of the invocation that is x-th of its line and y-th of its column.
void sum_up(uint begin, uint end, uint x, uint y)
{
    FOR(j, BLOCKS) {
        FOR(i, EDGE) {
            acc[j][i] = uvec4(0);
#ifndef INT_DOT
            acc_f[j][i] = vec4(0);
#endif
        }
    }
    fetch(begin);
    for (uint g = begin; g < end; g += DEPTH) {
        fill();
        fetch(g + DEPTH);
        for (uint d = 0; d < DEPTH; d += 2) {
            multiply_group(d * QUADS + x, d * QUADS + y);
            multiply_group((d + 1) * QUADS + x, (d + 1) * QUADS + y);
        }
        if ((g / DEPTH + 1) % (BLOCK / DEPTH) == 0)
            fold();
    }
    fold();
}
