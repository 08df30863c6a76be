/* Lines of max pools, by vectors that compilers have for any processor. */
#include <stdint.h>
#include <string.h>
typedef uint8_t vector __attribute__((vector_size(16)));

static inline vector load(const uint8_t *from)
{
    vector v;
    memcpy(&v, from, sizeof(v));
    return v;
}

static inline void store(uint8_t *to, vector v)
{
    memcpy(to, &v, sizeof(v));
}

static inline vector larger(vector a, vector b)
{
    const vector above = (vector)(a > b);
    return (a & above) | (b & ~above);
}

#define TARGET
#define KERNEL cpu_pool
#define LANES 16
#define VECTOR vector
#define LOAD(from) load(from)
#define STORE(to, value) store(to, value)
#define MAX(a, b) larger(a, b)
#define XOR(a, b) ((a) ^ (b))
#define EACH(byte) ((vector){0} + (byte))
#include "pool_lines.h"
