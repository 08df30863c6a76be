/* Lines of max pools, by vectors that compilers have for any processor. */
#include <stdint.h>
#include <string.h>
#include "bytes.h"
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

static void fewer(const struct cpu_taps *t)
{
    for (size_t j = 0; j < t->count; j++) {
        uint8_t most = 0;
        for (size_t row = 0; row < t->rows; row++) {
            const uint8_t *from = t->from + row * t->row_step + j;
            for (size_t column = 0; column < t->columns; column++, from += t->column_step)
                most = (*from ^ t->flip) > most ? *from ^ t->flip : most;
        }
        t->to[j] = most ^ t->flip_back;
    }
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
#define FEWER(t) fewer(t)
#include "pool_lines.h"
