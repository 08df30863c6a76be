/*
 * Maps: bytes by a table of one or of two operands, and copies. A work-item has 16 neighbours of tensors
 * without gaps, else 4 elements that follow one another in the output. Positions have 32 bits, beside
 * offsets of 64. A table of 256 is in local memory.
 */
enum { TABLE = 1, PAIRS = 2, WORDS = 4 }; /* flags; WORDS: the output has no gaps */

#define OPERANDS                                                                      \
    global const uchar *a, ulong a_offset, global const uchar *b, ulong b_offset,     \
        global uchar *out, ulong out_offset, global const uchar *table, uint count,   \
        uint flags

/* Every work-item of a group comes by. */
void stage(global const uchar *table, uint flags, local uint *staged)
{
    if (flags & TABLE && !(flags & PAIRS))
        for (uint i = get_local_id(0); i < 64; i += get_local_size(0))
            staged[i] = ((global const uint *) table)[i];
    barrier(CLK_LOCAL_MEM_FENCE);
}

uint entry(uint a, uint b, uint flags, local const uchar *staged, global const uchar *table)
{
    return flags & PAIRS ? table[a << 8 | b] : flags & TABLE ? staged[a] : a;
}

/* Of the four bytes of a word. */
uint entries(uint a, uint b, uint flags, local const uchar *staged, global const uchar *table)
{
    if (!(flags & (TABLE | PAIRS)))
        return a;
    uint word = 0;
    for (uint j = 0; j < 32; j += 8)
        word |= entry(a >> j & 255, b >> j & 255, flags, staged, table) << j;
    return word;
}

kernel void map_line(OPERANDS)
{
    local uint staged[64];
    stage(table, flags, staged);
    local const uchar *bytes = (local const uchar *) staged;
    const uint i = (uint) get_global_id(0) * 16;
    if (i >= count)
        return;
    a += a_offset + i;
    out += out_offset + i;
    b = flags & PAIRS ? b + b_offset + i : a;
    if (count - i >= 16 && (((ulong) a | (ulong) b | (ulong) out) & 3) == 0) {
        const uint4 x = vload4(0, (global const uint *) a);
        const uint4 y = flags & PAIRS ? vload4(0, (global const uint *) b) : x;
        vstore4((uint4)(entries(x.s0, y.s0, flags, bytes, table),
                        entries(x.s1, y.s1, flags, bytes, table),
                        entries(x.s2, y.s2, flags, bytes, table),
                        entries(x.s3, y.s3, flags, bytes, table)),
                0, (global uint *) out);
        return;
    }
    for (uint j = 0; j < min(count - i, 16u); j++)
        out[j] = (uchar) entry(a[j], b[j], flags, bytes, table);
}

/* Where an element is, and how many of its line come from it on. */
struct place {
    uint a, b, out, left;
};

/* Dimensions are the last ones of each vector. */
struct place find(uint i, uint rank, uint8 dims, uint8 a_stride, uint8 b_stride, uint8 out_stride)
{
    uint rest = i;
    struct place p = {0, 0, 0, 0};
#define DIMENSION(s)                                                   \
    {                                                                  \
        const uint above = rest / dims.s, at = rest - above * dims.s;  \
        p.a += at * a_stride.s;                                        \
        p.b += at * b_stride.s;                                        \
        p.out += at * out_stride.s;                                    \
        rest = above;                                                  \
    }
    DIMENSION(s7)
    p.left = dims.s7 - (i - rest * dims.s7);
    if (rank > 1)
        DIMENSION(s6)
    if (rank > 2)
        DIMENSION(s5)
    if (rank > 3)
        DIMENSION(s4)
    if (rank > 4)
        DIMENSION(s3)
    if (rank > 5)
        DIMENSION(s2)
    return p;
}

kernel void map(OPERANDS, uint rank, uint8 dims, uint8 a_stride, uint8 b_stride, uint8 out_stride)
{
    local uint staged[64];
    stage(table, flags, staged);
    const uint i = (uint) get_global_id(0) * 4;
    if (i >= count)
        return;
    a += a_offset;
    b = flags & PAIRS ? b + b_offset : a;
    out += out_offset;
    const uint n = min(count - i, 4u);
    const bool whole = flags & WORDS && n == 4 && ((ulong) (out + i) & 3) == 0;
    struct place p = find(i, rank, dims, a_stride, b_stride, out_stride);
    uint word = 0;
    for (uint j = 0; j < n; j++) {
        const uint value = entry(a[p.a], flags & PAIRS ? b[p.b] : 0, flags,
                                 (local const uchar *) staged, table);
        if (whole)
            word |= value << 8 * j;
        else
            out[p.out] = (uchar) value;
        p.a += a_stride.s7;
        p.b += b_stride.s7;
        p.out += out_stride.s7;
        if (--p.left == 0 && j + 1 < n)
            p = find(i + j + 1, rank, dims, a_stride, b_stride, out_stride);
    }
    if (whole)
        *(global uint *) (out + i) = word;
}
