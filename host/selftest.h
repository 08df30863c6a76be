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

/* A row that a device takes for sums only (it does not round floats as it must) is tested on those. */
static inline int checked(struct qdot_device *device, const struct qdot_row *row,
                          struct qdot_op_desc *desc, struct qdot_problem *p, struct qdot_error *err)
{
    char reason[192];
    const int status = qdot_check_desc(desc, p, err);
    if (status != QDOT_OK || device->backend->fits(device, row, p, reason, sizeof(reason)))
        return status;
    desc->out_type = QDOT_S32;
    desc->scale = desc->bias_f = NULL;
    desc->scale_count = 0;
    desc->row_scale = 0;
    desc->out_zero = desc->clamp_lo = desc->clamp_hi = 0;
    return qdot_check_desc(desc, p, err);
}

#endif
