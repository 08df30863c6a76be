/* qdot.h alone, as C99: compiled with -std=c99 -Wpedantic -Werror, never run. */
#include "qdot.h"

int header_c(void);

int header_c(void)
{
    struct qdot_op_desc desc = {.size = sizeof(desc)};
    return qdot_op_create(0, &desc, 0, 0);
}
