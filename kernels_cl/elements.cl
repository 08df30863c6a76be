/*
 * Quantize and its kin. A work-item has 4 neighbouring elements, so that work-items side by side load
 * and store what lies side by side.
 *
 * The device's division is not exact, and it may have no subnormals: quotients are estimated in float
 * and decided by integers. |x| is mantissa * 2^(exponent - 150), the mantissa with its top bit at 23.
 */
#pragma OPENCL FP_CONTRACT OFF

enum { U8 = 1, S8 = 2, S32 = 3, F32 = 4, S16 = 5, U16 = 6, S4 = 7, U4 = 8 }; /* enum qdot_type */
enum { RECIPROCAL = 1, GRADIENT = 2 };                                       /* flags */
#define MOST (1u << 17) /* beyond what any type's range leaves, zero points included */
#define INFINITE 0x7f800000u
#define LARGEST 0x7f7fffffu

void split(uint x, uint *mantissa, int *exponent)
{
    *mantissa = x & 0x7fffff;
    *exponent = x >> 23 & 255;
    if (*exponent > 0) {
        *mantissa |= 0x800000;
    } else {
        const int shift = (int) clz(*mantissa) - 8;
        *mantissa <<= shift;
        *exponent = 1 - shift;
    }
}

/*
 * x / scale of positive numbers to binary32, then to the nearest integer, ties to even; MOST for all
 * from there on. n is the quotient's whole part or next to it, and d how far n + 1/2 is from it, in
 * quarters of the scale's last place; 32 bits of all that are enough for it. Where d is less than half
 * the last place of n + 1/2 the quotient rounds to just that, which is a tie. It is never in between:
 * a quotient of 25 bits times the scale would have more than x has. Below 1/2 places are half as large.
 */
uint divide(uint x, uint scale)
{
    uint m, s;
    int m_exponent, s_exponent;
    if (x == 0 || x >= INFINITE)
        return x == 0 ? 0 : MOST;
    split(x, &m, &m_exponent);
    split(scale, &s, &s_exponent);
    const int e = m_exponent - s_exponent; /* the quotient is in (2^(e - 1), 2^(e + 1)) */
    if (e < -1 || e > 17)
        return e < -1 ? 0 : MOST;
    const float ratio = (float) m / (float) s;
    const uint n = (uint) as_float(as_uint(ratio) + ((uint) e << 23));
    const int d = as_int((m << (e + 2)) - (4 * n + 2) * s);
    const uint half_place = s >> (n ? clz(n) - 9 : 23);
    const bool tie = d >= 0 ? (uint) d <= half_place : n > 0 && (uint) -d <= half_place;
    return min(n + (tie ? n & 1 : d > 0), MOST);
}

/* 1 / scale in binary32, below 2^-126 too: the quotient of 2^47 or less and the mantissa is
 * estimated, then corrected by what is left, which is small. */
void invert(uint scale, uint *mantissa, int *exponent)
{
    uint s;
    int s_exponent;
    split(scale, &s, &s_exponent);
    *exponent = 253 - s_exponent;
    const int fewer = max(1 - *exponent, 0);
    uint q = (uint) (as_float((127u + 47u - fewer) << 23) / (float) s);
    int left = as_int(0 - q * s);
    for (; left < 0; left += s)
        q--;
    for (; left >= (int) s; left -= s)
        q++;
    q += 2 * left > (int) s;
    const int shift = (int) clz(q) - 8; /* -1: it is 2^24 */
    *mantissa = shift < 0 ? q >> 1 : q << shift;
    *exponent += fewer - shift;
}

/* x * (1 / scale), as divide. */
uint multiply_inverse(uint x, uint scale)
{
    uint m, r;
    int m_exponent, r_exponent;
    if (x == 0 || x >= INFINITE)
        return x == 0 ? 0 : MOST;
    split(x, &m, &m_exponent);
    invert(scale, &r, &r_exponent);
    ulong product = (ulong) m * r; /* times 2^(exponents - 300) */
    int right = 276 - m_exponent - r_exponent;
    if (product < (ulong) 1 << 47) {
        product <<= 1;
        right++;
    }
    uint high = (uint) (product >> 24);
    const uint low = (uint) product & 0xffffff;
    high += low > 0x800000 || (low == 0x800000 && (high & 1)); /* binary32 */
    if (right < 7 || right > 25)
        return right < 7 ? MOST : 0;
    return (high + (1u << (right - 1)) - 1 + (high >> right & 1)) >> right;
}

/* The integer before it is clamped; of a NaN one that is below every range. */
int quantised(uint x, uint scale, int zero, uint flags)
{
    const uint magnitude = x & 0x7fffffff;
    if (magnitude > INFINITE)
        return -2 * (int) MOST;
    const uint n =
        flags & RECIPROCAL ? multiply_inverse(magnitude, scale) : divide(magnitude, scale);
    return (x >> 31 ? -(int) n : (int) n) + zero;
}

/* ---- which parameter is whose ---------------------------------------------------------------- */

/* struct qdot_elements of host/internal.h */
#define LINES_PARAMETERS ulong span, ulong line, ulong repeat, ulong span_step, ulong step, uint each
#define LINES {span, line, repeat, span_step, step, each}

struct lines {
    ulong span, line, repeat, span_step, step;
    uint each;
};

/* The parameter of element i, and how many elements from it on are in its line. */
ulong find(const struct lines *l, ulong i, ulong *left)
{
    ulong outer, in_span, index, at;
    *left = 4;
    if (!l->each && l->step == 0 && l->span_step == 0)
        return 0;
    if (i < 0xffffffff) { /* divisions of 64 bits are long */
        const uint span = (uint) min(l->span, 0xfffffffful), line = (uint) min(l->line, 0xfffffffful);
        const uint rest = (uint) i % span;
        outer = (uint) i / span;
        in_span = rest;
        index = rest / line;
        at = rest % line;
    } else {
        outer = i / l->span;
        in_span = i % l->span;
        index = in_span / l->line;
        at = in_span % l->line;
    }
    *left = min(l->line - at, l->span - in_span);
    const ulong group = l->repeat == 1 ? index : index / l->repeat;
    return outer * l->span_step + group * l->step + (l->each ? at : 0);
}

#define PARAMETERS                                                                              \
    global const uchar *scale_memory, ulong scale_offset, global const uchar *zero_memory,      \
        ulong zero_offset, ulong count, uint type, int lo, int hi, uint flags, LINES_PARAMETERS
#define BEGIN                                                                    \
    const struct lines lines = LINES;                                            \
    const ulong i = (ulong) get_global_id(0) * 4;                                \
    if (i >= count)                                                              \
        return;                                                                  \
    const uint n = (uint) min(count - i, (ulong) 4);                             \
    global const uint *scale = (global const uint *) (scale_memory + scale_offset); \
    global const int *zero = (global const int *) (zero_memory + zero_offset)

/* Scales' bits and zeros of n elements from i on. */
void load_parameters(const struct lines *lines, global const uint *scale, global const int *zero,
                     ulong i, uint n, uint scales[4], int zeros[4])
{
    ulong left, at = find(lines, i, &left);
    for (uint j = 0; j < n; j++) {
        if (left == 0)
            at = find(lines, i + j, &left);
        scales[j] = scale[at];
        zeros[j] = zero[at];
        at += lines->each;
        left--;
    }
}

void load_numbers(global const uint *x, uint n, uint values[4])
{
    if (n == 4) {
        vstore4(vload4(0, x), 0, values);
    } else {
        for (uint j = 0; j < n; j++)
            values[j] = x[j];
    }
}

void store_numbers(global uint *out, uint n, const uint values[4])
{
    if (n == 4) {
        vstore4(vload4(0, values), 0, out);
    } else {
        for (uint j = 0; j < n; j++)
            out[j] = values[j];
    }
}

/* ---- the kernels ----------------------------------------------------------------------------- */

kernel void quantize(global const uchar *x, ulong x_offset, global uchar *out, ulong out_offset,
                     PARAMETERS)
{
    BEGIN;
    uint values[4], scales[4];
    int zeros[4];
    load_numbers((global const uint *) (x + x_offset) + i, n, values);
    load_parameters(&lines, scale, zero, i, n, scales, zeros);
    for (uint j = 0; j < n; j++)
        values[j] = (uint) clamp(quantised(values[j], scales[j], zeros[j], flags), lo, hi);
    out += out_offset;
    if (type == U4 || type == S4) {
        out += i / 2;
        out[0] = (uchar) ((values[0] & 15) | (n > 1 ? values[1] << 4 : 0));
        if (n > 2)
            out[1] = (uchar) ((values[2] & 15) | (n > 3 ? values[3] << 4 : 0));
    } else if (type == U16 || type == S16) {
        global ushort *shorts = (global ushort *) out + i;
        if (n == 4)
            vstore4(convert_ushort4(vload4(0, values) & 0xffff), 0, shorts);
        else
            for (uint j = 0; j < n; j++)
                shorts[j] = (ushort) values[j];
    } else if (n == 4) {
        vstore4(convert_uchar4(vload4(0, values) & 0xff), 0, out + i);
    } else {
        for (uint j = 0; j < n; j++)
            out[i + j] = (uchar) values[j];
    }
}

int load_quantised(global const uchar *q, uint type, ulong i)
{
    const int sign = type == S4 ? 8 : 0;
    switch (type) {
    case U8:
        return q[i];
    case S8:
        return as_char(q[i]);
    case S32:
        return ((global const int *) q)[i];
    case S16:
        return ((global const short *) q)[i];
    case U16:
        return ((global const ushort *) q)[i];
    default:
        return ((q[i / 2] >> (i & 1 ? 4 : 0) & 15) ^ sign) - sign;
    }
}

/* A difference is 0 or at least 1 and the scale no subnormal: no product is one. */
uint dequantised(int difference, uint scale)
{
    return as_uint(convert_float_rte(difference) * as_float(scale));
}

kernel void dequantize(global const uchar *x, ulong x_offset, global uchar *out, ulong out_offset,
                       PARAMETERS)
{
    BEGIN;
    uint values[4], scales[4];
    int zeros[4];
    load_parameters(&lines, scale, zero, i, n, scales, zeros);
    for (uint j = 0; j < n; j++)
        values[j] = dequantised(load_quantised(x + x_offset, type, i + j) - zeros[j], scales[j]);
    store_numbers((global uint *) (out + out_offset) + i, n, values);
}

/* And its gradient, which passes dy where it is inside. */
kernel void fake_quantize(global const uchar *x, ulong x_offset, global const uchar *dy,
                          ulong dy_offset, global uchar *out, ulong out_offset, PARAMETERS)
{
    BEGIN;
    uint values[4], scales[4], passed[4];
    int zeros[4];
    load_numbers((global const uint *) (x + x_offset) + i, n, values);
    if (flags & GRADIENT)
        load_numbers((global const uint *) (dy + dy_offset) + i, n, passed);
    load_parameters(&lines, scale, zero, i, n, scales, zeros);
    for (uint j = 0; j < n; j++) {
        const int q = quantised(values[j], scales[j], zeros[j], flags), inside = clamp(q, lo, hi);
        if (flags & GRADIENT)
            values[j] = q == inside ? passed[j] : 0;
        else
            values[j] = dequantised(inside - zeros[j], scales[j]);
    }
    store_numbers((global uint *) (out + out_offset) + i, n, values);
}

/* ---- dynamic --------------------------------------------------------------------------------- */

/* The largest of x and of -x in each piece of each row, a piece a work-group: positive floats compare
 * as their bits do. NaN has no part in it, infinities count as the largest floats. */
#define GROUP 64
kernel void find_range(global const uchar *memory, ulong offset, ulong row, uint pieces,
                       global uint *ranges)
{
    local uint most[GROUP], least[GROUP];
    const uint lane = get_local_id(0), lanes = get_local_size(0);
    const ulong group = get_group_id(0), each = (row + pieces - 1) / pieces;
    const ulong begin = min(group % pieces * each, row), end = min(begin + each, row);
    global const uint *x = (global const uint *) (memory + offset) + group / pieces * row;
    uint high = 0, low = 0;
    for (ulong i = begin + lane; i < end; i += lanes) {
        const uint magnitude = x[i] & 0x7fffffff, value = min(magnitude, LARGEST);
        if (magnitude > INFINITE)
            continue;
        if (x[i] >> 31)
            low = max(low, value);
        else
            high = max(high, value);
    }
    most[lane] = high;
    least[lane] = low;
    for (uint width = lanes / 2; width > 0; width /= 2) { /* lanes are a power of two */
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < width) {
            most[lane] = max(most[lane], most[lane + width]);
            least[lane] = max(least[lane], least[lane + width]);
        }
    }
    if (lane == 0) {
        ranges[2 * group] = most[0];
        ranges[2 * group + 1] = least[0];
    }
}

/* The sum of two positive finite floats, at most the largest; 0 where it is below 2^-118. The smaller
 * one is moved to three bits behind the last place, the last of them for all that is beyond. */
uint add(uint a, uint b)
{
    const uint larger = max(a, b), smaller = min(a, b);
    uint m, s = 0;
    int e, s_exponent = 0;
    if (larger < (127u - 119u) << 23)
        return 0;
    split(larger, &m, &e);
    if (smaller)
        split(smaller, &s, &s_exponent);
    const uint distance = min(e - s_exponent, 27);
    s <<= 3;
    uint sum = (m << 3) + (s >> distance | ((s & ((1u << distance) - 1)) != 0));
    if (sum >> 27) {
        sum = sum >> 1 | (sum & 1);
        e++;
    }
    const uint rest = sum & 7;
    sum >>= 3;
    sum += rest > 4 || (rest == 4 && (sum & 1));
    const uint bits = min(sum + ((uint) (e - 1) << 23), LARGEST);
    return bits < (127u - 118u) << 23 ? 0 : bits;
}

/* x / 255 in binary32, from 2^-118 on */
uint divide_by_255(uint x)
{
    uint m;
    int e;
    split(x, &m, &e);
    uint q = (m << 8) / 255;
    const uint left = (m << 8) % 255;
    e -= 8;
    if (q >> 24) {
        const uint last = q & 1;
        q >>= 1;
        q += last & ((left != 0) | q);
        e++;
    } else {
        q += 2 * left > 255;
    }
    return q + ((uint) (e - 1) << 23);
}

kernel void find_parameters(global const uint *ranges, uint rows, uint pieces,
                            global uchar *scale_memory, ulong scale_offset,
                            global uchar *zero_memory, ulong zero_offset)
{
    const uint row = get_global_id(0);
    if (row >= rows)
        return;
    uint most = 0, least = 0;
    ranges += (ulong) row * pieces * 2;
    for (uint i = 0; i < pieces; i++) {
        most = max(most, ranges[2 * i]);
        least = max(least, ranges[2 * i + 1]);
    }
    const uint range = add(most, least);
    const uint scale = range ? divide_by_255(range) : as_uint(1.0f);
    ((global uint *) (scale_memory + scale_offset))[row] = scale;
    ((global int *) (zero_memory + zero_offset))[row] =
        range ? (int) min(divide(least, scale), 255u) : 0;
}
