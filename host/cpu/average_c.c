/* Lines of average pools, by vectors that compilers have for any processor. */
#include <stdint.h>
#include <string.h>
#include "cpu.h"
typedef float vector __attribute__((vector_size(16)));
typedef int32_t integers __attribute__((vector_size(16)));

static inline vector load(const float *from)
{
    vector v;
    memcpy(&v, from, sizeof(v));
    return v;
}

static inline vector load_bytes(const uint8_t *from, uint8_t flip)
{
    return (vector){(float)(from[0] ^ flip), (float)(from[1] ^ flip), (float)(from[2] ^ flip),
                    (float)(from[3] ^ flip)};
}

static inline void store(float *to, vector v)
{
    memcpy(to, &v, sizeof(v));
}

static inline void store_bytes(uint8_t *to, integers v)
{
    for (size_t i = 0; i < 4; i++)
        to[i] = (uint8_t)v[i];
}

static inline vector either(integers first, vector a, vector b)
{
    return (vector)(((integers)a & first) | ((integers)b & ~first));
}

static inline vector each(float value)
{
    return (vector){value, value, value, value};
}

/* |x| is less than 2^22. */
static inline integers to_even(vector x, int32_t more)
{
    return (integers)(x + CPU_ROUND_MAGIC) - CPU_ROUND_BITS + more;
}

#define TARGET
#define KERNEL cpu_average
#define LANES 4
#define VECTOR vector
#define INTEGERS integers
#define LOAD(from) load(from)
#define STORE(to, value) store(to, value)
#define EACH(value) each(value)
#define BYTES(from, flip) load_bytes(from, flip)
#define MIN(a, b) either((a) < (b), a, b)
#define MAX(a, b) either((a) > (b), a, b)
#define AWAY(sum, half) ((sum) + either((sum) > 0, half, -(half)))
#define TRUNCATE(x) __builtin_convertvector(x, integers)
#define TO_EVEN(x, more) to_even(x, more)
#define STORE_BYTES(to, value) store_bytes(to, value)
#include "average_lines.h"
