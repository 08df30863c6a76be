// The core of kernels for matrix units (VK_KHR_cooperative_matrix): a work-group computes TALL rows by
// WIDE columns, DOWN by ACROSS subgroups a part each, as products of the device's own shape: M by K
// times K by N. Operands are in groups of 16 k, a uvec4 a row.
//
// In shared memory a row is DEPTH groups and 16 bytes more, so that rows begin in different banks, and
// both operands are K-contiguous: A row-major, B column-major. The groups that come next are loaded into
// registers meanwhile, which is left to the kernel: fetch(g) sets next_a and next_b. In the end sums go
// through the same memory to the kernel's store_strip, a strip of M rows of every subgroup at a time.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
#pragma use_vulkan_memory_model

layout(local_size_x_id = 0, local_size_y = 1, local_size_z = 1) in;
layout(constant_id = 4) const uint TALL = 64;
layout(constant_id = 5) const uint DEPTH = 4;
layout(constant_id = 7) const uint WIDE = 64;
layout(constant_id = 8) const uint DOWN = 2;
layout(constant_id = 9) const uint ACROSS = 2;
layout(constant_id = 10) const uint M = 16;
layout(constant_id = 11) const uint N = 16;
layout(constant_id = 12) const uint K = 16;

#define LOADS_A (TALL * DEPTH / gl_WorkGroupSize.x)
#define LOADS_B (WIDE * DEPTH / gl_WorkGroupSize.x)
#define ROWS (TALL / DOWN / M) // products of a subgroup, down
#define COLUMNS (WIDE / ACROSS / N) // and across
#define LINE (2 * DEPTH + 2) // uvec2 of a row of operands in shared memory
#define OUT_LINE (WIDE / 2 + 2) // of sums
#define STRIP (DOWN * M) // rows of sums there at a time
#define QUADS (WIDE / 4)
// The smallest shape would be a long program: its steps through shared memory stay a loop.
#define TURNS (K < 16 ? 16 * DEPTH / K : 1)

// uvec2, because the smallest shape has a K of 8.
const uint OPERANDS = (TALL + WIDE) * LINE, SUMS = STRIP * OUT_LINE;
shared uvec2 memory[OPERANDS > SUMS ? OPERANDS : SUMS];
uvec4 next_a[LOADS_A], next_b[LOADS_B];

#define FOR(i, count) [[unroll]] for (uint i = 0; i < (count); i++)

void fetch(uint g);
void store_strip(uint strip);

// The tile's row that is row r of a strip.
uint row_of(uint strip, uint r)
{
    return r / M * (TALL / DOWN) + strip * M + r % M;
}

// Four sums of row r of the strip.
uvec4 sums_of(uint r, uint quad)
{
    const uint at = r * OUT_LINE + quad * 2;
    return uvec4(memory[at], memory[at + 1]);
}

void fill()
{
    barrier(); // the groups before are used up
    FOR(i, LOADS_A) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        const uint at = word % TALL * LINE + word / TALL * 2;
        memory[at] = next_a[i].xy;
        memory[at + 1] = next_a[i].zw;
    }
    FOR(i, LOADS_B) {
        const uint word = i * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
        const uint at = (TALL + word % WIDE) * LINE + word / WIDE * 2;
        memory[at] = next_b[i].xy;
        memory[at + 1] = next_b[i].zw;
    }
    barrier();
}

// The sums over groups [begin, end), and where they go.
void multiply_tile(uint begin, uint end)
{
    const uint down = gl_SubgroupID / ACROSS, across = gl_SubgroupID % ACROSS;
    const uint first_a = down * (TALL / DOWN) * LINE;
    const uint first_b = (TALL + across * (WIDE / ACROSS)) * LINE;
    coopmat<int, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> acc[ROWS * COLUMNS];
    FOR(i, ROWS * COLUMNS)
        acc[i] = coopmat<int, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0);
    fetch(begin);
    for (uint g = begin; g < end; g += DEPTH) {
        fill();
        fetch(g + DEPTH);
        for (uint turn = 0; turn < TURNS; turn++) {
            FOR(step, 16 * DEPTH / K / TURNS) {
                const uint at = (turn + step) * K / 8;
                coopmat<int8_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> a[ROWS];
                coopmat<int8_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> b;
                FOR(i, ROWS)
                    coopMatLoad(a[i], memory, first_a + i * M * LINE + at, LINE,
                                gl_CooperativeMatrixLayoutRowMajor);
                FOR(j, COLUMNS) {
                    coopMatLoad(b, memory, first_b + j * N * LINE + at, LINE,
                                gl_CooperativeMatrixLayoutColumnMajor);
                    FOR(i, ROWS)
                        acc[i * COLUMNS + j] = coopMatMulAdd(a[i], b, acc[i * COLUMNS + j]);
                }
            }
        }
    }
    [[dont_unroll]] for (uint strip = 0; strip < ROWS; strip++) {
        barrier();
        FOR(i, ROWS) {
            if (i != strip)
                continue;
            FOR(j, COLUMNS)
                coopMatStore(acc[i * COLUMNS + j], memory,
                             down * M * OUT_LINE + (across * COLUMNS + j) * N / 2, OUT_LINE,
                             gl_CooperativeMatrixLayoutRowMajor);
        }
        barrier();
        store_strip(strip);
    }
}
