/* What the two self-tests make their operands of. */
#ifndef QDOT_SELFTEST_H
#define QDOT_SELFTEST_H

#include "internal.h"

static inline uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Half the bytes are at the ends of the range, where saturating instructions go wrong. */
static inline uint8_t byte(uint32_t *state)
{
    static const uint8_t ends[4] = {0x00, 0x7f, 0x80, 0xff};
    const uint32_t r = next(state);
    const uint8_t either[2] = {(uint8_t)(r >> 3), ends[r >> 1 & 3]}; /* no branch to mispredict */
    return either[r & 1];
}

static inline int32_t value(uint8_t byte, enum qdot_type type)
{
    return type == QDOT_U8 ? byte : (int8_t)byte;
}

#endif
