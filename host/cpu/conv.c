#include "cpu.h"
int cpu_conv_prepare(struct qdot_op *op, struct qdot_error *err)
{
    (void)op;
    return qdot_fail(err, QDOT_UNSUPPORTED, "x");
}
void cpu_conv_unprepare(struct qdot_op *op)
{
    (void)op;
}
void cpu_conv_run(struct qdot_op *op, const struct qdot_run *args)
{
    (void)op, (void)args;
}
