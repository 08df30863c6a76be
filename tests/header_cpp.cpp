/* qdot.h alone, as C++: compiled and linked, so that extern "C" is there. */
#include "qdot.h"

int main()
{
    struct qdot_op *op = nullptr;
    struct qdot_op_desc desc = {};
    return qdot_op_create(nullptr, &desc, &op, nullptr) == QDOT_INVALID ? 0 : 1;
}
