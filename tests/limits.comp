#version 450
// What is tried at a device's limits, chosen by KIND.
#ifdef SUBGROUP
#extension GL_KHR_shader_subgroup_arithmetic : require
#endif
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint KIND = 0;
layout(constant_id = 2) const uint WORDS = 64; // of shared memory
layout(std430, binding = 0) readonly buffer Source { uint source[]; };
layout(std430, binding = 1) writeonly buffer Result { uint result[]; };
layout(push_constant) uniform Pushed { uint pushed[PUSHED]; };
shared uint words[WORDS];

void main()
{
    uint i = gl_LocalInvocationID.x, all = gl_WorkGroupSize.x;
    if (KIND == 0) { // each invocation hands its number to the next
        words[i] = source[0] + i;
        barrier();
        result[i] = words[(i + 1) % all];
    } else if (KIND == 1) { // all of the shared memory
        for (uint j = i; j < WORDS; j += all)
            words[j] = source[0] + j;
        barrier();
        uint sum = 0;
        for (uint j = i; j < WORDS; j += all)
            sum += words[WORDS - 1 - j];
        result[i] = sum;
    } else if (KIND == 2) {
        for (uint j = i; j < PUSHED; j += all)
            result[j] = pushed[j];
    } else if (KIND == 3) {
        if (i == 0)
            result[gl_WorkGroupID.x] = gl_WorkGroupID.x ^ source[0];
    } else if (KIND == 4) { // floats as the device has them when nothing is asked for
        precise float sum = uintBitsToFloat(source[0]) + uintBitsToFloat(source[1]);
        precise float product = uintBitsToFloat(source[2]) * uintBitsToFloat(source[3]);
        result[0] = floatBitsToUint(sum);
        result[1] = floatBitsToUint(product);
#ifdef SUBGROUP
    } else if (KIND == 5) {
        result[2 * i] = gl_SubgroupSize;
        result[2 * i + 1] = subgroupAdd(1u);
#endif
    } else if (KIND == 6) { // arithmetic whose result depends on all of the input
        uint x = source[gl_GlobalInvocationID.x];
        for (uint k = 0; k < 9; k++)
            x = x * 0x01000193u + uint(bitfieldExtract(int(x), 16, 8)) + (x >> 7);
        result[gl_GlobalInvocationID.x] = x;
    }
}
