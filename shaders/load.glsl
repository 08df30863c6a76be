// Bytes of an operand as it was given: at any offset, touching only words that hold one of them.
layout(std430, set = 0, binding = 0) readonly buffer Source
{
    uint source[];
};

uint load_byte(uint at)
{
    return source[at >> 2] >> (at % 4 * 8) & 255;
}

// 'depth' bytes that lie side by side; what comes above them is anything.
uint load_bytes(uint at, uint depth)
{
    const uint shift = at % 4 * 8;
    uint v = source[at >> 2] >> shift;
    if (at % 4 + depth > 4)
        v |= source[(at >> 2) + 1] << (32 - shift);
    return v;
}

// Up to 4 bytes, 'stride' apart.
uint load_apart(uint at, uint stride, uint depth)
{
    uint v = load_byte(at);
    if (depth > 1)
        v |= load_byte(at + stride) << 8;
    if (depth > 2)
        v |= load_byte(at + 2 * stride) << 16;
    if (depth > 3)
        v |= load_byte(at + 3 * stride) << 24;
    return v;
}
