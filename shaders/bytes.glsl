// What map.comp and pool.comp share: a table, loads and stores of bytes. Outputs are words, of which an
// invocation may have some bytes only: those it stores by atomic operations, as others belong to other
// invocations or to the caller.
layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 2) const uint TABLE = 0; // entries: 0, 256 or 65,536

layout(std430, set = 0, binding = 0) readonly buffer A
{
    uint a_words[];
};
layout(std430, set = 0, binding = 2) readonly buffer Table
{
    uint table[];
};
layout(std430, set = 0, binding = 3) buffer Output
{
    uint words[];
};

shared uint staged[64]; // a table of 256

void stage()
{
    if (TABLE == 256)
        for (uint i = gl_LocalInvocationID.x; i < 64; i += gl_WorkGroupSize.x)
            staged[i] = table[i];
    barrier();
}

uint byte_of(uint word, uint at)
{
    return bitfieldExtract(word, int(at % 4) * 8, 8);
}

uint entry(uint a, uint b)
{
    if (TABLE == 65536)
        return byte_of(table[a << 6 | b >> 2], b);
    return TABLE == 256 ? byte_of(staged[a >> 2], a) : a;
}

// Four bytes from two words that have them.
uint four_of(uint low, uint high, uint at)
{
    const uint shift = at % 4 * 8;
    return shift == 0 ? low : low >> shift | high << (32 - shift);
}

// Exactly the bytes of 'mask'.
void store(uint word, uint mask, uint bits)
{
    if (mask == 0xffffffffu) {
        words[word] = bits;
    } else if (mask != 0) {
        atomicAnd(words[word], ~mask);
        atomicOr(words[word], bits & mask);
    }
}

// Bytes on their way: those of one word together.
uint put_word = 0, put_mask = 0, put_bits = 0;

void put_end()
{
    store(put_word, put_mask, put_bits);
    put_mask = put_bits = 0;
}

void put(uint at, uint value)
{
    if (at / 4 != put_word)
        put_end();
    put_word = at / 4;
    put_mask |= 255u << (at % 4 * 8);
    put_bits |= value << (at % 4 * 8);
}
