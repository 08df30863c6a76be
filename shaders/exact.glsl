// Positive floats by integers, for quantize and its kin: the device's division is not exact, its rounding
// may not be to nearest, and it may have no subnormals. |x| is mantissa * 2^(exponent - 150), the mantissa
// with its top bit at 23. kernels_cl/elements.cl says why divide is right.

#define MOST (1u << 17) // beyond what any type's range leaves, zero points included
#define INFINITE 0x7f800000u
#define LARGEST 0x7f7fffffu

void split(uint x, out uint mantissa, out int exponent)
{
    mantissa = x & 0x7fffff;
    exponent = int(x >> 23 & 255);
    if (exponent > 0) {
        mantissa |= 0x800000;
    } else {
        const int shift = 23 - findMSB(mantissa);
        mantissa <<= shift;
        exponent = 1 - shift;
    }
}

// x / scale to binary32, then to the nearest integer, ties to even; MOST for all from there on.
uint divide(uint x, uint scale)
{
    uint m, s;
    int m_exponent, s_exponent;
    if (x == 0 || x >= INFINITE)
        return x == 0 ? 0 : MOST;
    split(x, m, m_exponent);
    split(scale, s, s_exponent);
    const int e = m_exponent - s_exponent;
    if (e < -1 || e > 17)
        return e < -1 ? 0 : MOST;
    const float ratio = float(m) / float(s);
    const uint n = uint(uintBitsToFloat(floatBitsToUint(ratio) + (uint(e) << 23)));
    const int d = int((m << (e + 2)) - (4 * n + 2) * s);
    const uint half_place = s >> (n == 0 ? 23 : 22 - findMSB(n));
    const bool tie = d >= 0 ? uint(d) <= half_place : n > 0 && uint(-d) <= half_place;
    return min(n + (tie ? n & 1 : uint(d > 0)), MOST);
}

// 1 / scale in binary32, below 2^-126 too.
void invert(uint scale, out uint mantissa, out int exponent)
{
    uint s;
    int s_exponent;
    split(scale, s, s_exponent);
    exponent = 253 - s_exponent;
    const int fewer = max(1 - exponent, 0);
    uint q = uint(uintBitsToFloat(uint(127 + 47 - fewer) << 23) / float(s));
    int left = int(0 - q * s);
    for (; left < 0; left += int(s))
        q--;
    for (; left >= int(s); left -= int(s))
        q++;
    q += uint(2 * left > int(s));
    const int shift = 23 - findMSB(q); // -1: it is 2^24
    mantissa = shift < 0 ? q >> 1 : q << shift;
    exponent += fewer - shift;
}

// The product of two mantissas, 24 bits of it; to 2^24 where rounding carries. Times 2^(exponent - 150),
// where 'exponent' was the sum of the two.
uint product(uint a, uint b, inout int exponent)
{
    uint top, bottom;
    umulExtended(a, b, top, bottom);
    uint high = top << 8 | bottom >> 24, low = bottom & 0xffffff;
    exponent -= 126;
    if ((high & 0x800000) == 0) {
        high = high << 1 | low >> 23;
        low = low << 1 & 0xffffff;
        exponent--;
    }
    return high + uint(low > 0x800000 || (low == 0x800000 && (high & 1) != 0));
}

// x * (1 / scale), as divide.
uint multiply_inverse(uint x, uint scale)
{
    uint m, r;
    int m_exponent, r_exponent;
    if (x == 0 || x >= INFINITE)
        return x == 0 ? 0 : MOST;
    split(x, m, m_exponent);
    invert(scale, r, r_exponent);
    int exponent = m_exponent + r_exponent;
    const uint high = product(m, r, exponent);
    const int right = 150 - exponent;
    if (right < 7 || right > 25)
        return right < 7 ? MOST : 0;
    return (high + (1u << (right - 1)) - 1 + (high >> right & 1)) >> right;
}

// The sum of two finite floats, at most the largest; 0 where it is below 2^-118. The smaller one is moved
// to three bits behind the last place, the last of them for all that is beyond.
uint add_positive(uint a, uint b)
{
    const uint larger = max(a, b), smaller = min(a, b);
    uint m, s = 0;
    int e, s_exponent = 0;
    if (larger < (127u - 119u) << 23)
        return 0;
    split(larger, m, e);
    if (smaller != 0)
        split(smaller, s, s_exponent);
    const int distance = min(e - s_exponent, 27);
    s <<= 3;
    uint sum = (m << 3) + (s >> distance | uint((s & ((1u << distance) - 1)) != 0));
    if (sum >> 27 != 0) {
        sum = sum >> 1 | sum & 1;
        e++;
    }
    const uint rest = sum & 7;
    sum >>= 3;
    sum += uint(rest > 4 || (rest == 4 && (sum & 1) != 0));
    const uint bits = min(sum + (uint(e - 1) << 23), LARGEST);
    return bits < (127u - 118u) << 23 ? 0 : bits;
}

// x / 255, from 2^-118 on
uint divide_by_255(uint x)
{
    uint m;
    int e;
    split(x, m, e);
    uint q = (m << 8) / 255;
    const uint left = (m << 8) % 255;
    e -= 8;
    if (q >> 24 != 0) {
        const uint last = q & 1;
        q >>= 1;
        q += last & (uint(left != 0) | q);
        e++;
    } else {
        q += uint(2 * left > 255);
    }
    return q + (uint(e - 1) << 23);
}
