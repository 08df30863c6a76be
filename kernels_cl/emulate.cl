/*
 * Instructions that the device at hand has not, in plain C: a build for tests (QDOT_EMULATE) runs the
 * rows of GPUs' instructions with these, which proves all of them but the instruction.
 */
#define EMULATE

int emulated(uint a, uint b, bool a_signed, bool b_signed, int acc)
{
    const int4 u = a_signed ? convert_int4(as_char4(a)) : convert_int4(as_uchar4(a));
    const int4 v = b_signed ? convert_int4(as_char4(b)) : convert_int4(as_uchar4(b));
    const int4 product = u * v;
    return as_int(as_uint(acc) + product.x + product.y + product.z + product.w);
}
#define dot_4x8packed_ss_int(a, b) emulated(a, b, true, true, 0)
#define dot_4x8packed_su_int(a, b) emulated(a, b, true, false, 0)
#define dot_4x8packed_us_int(a, b) emulated(a, b, false, true, 0)
#define dot_4x8packed_uu_uint(a, b) as_uint(emulated(a, b, false, false, 0))
#define arm_dot(a, b) emulated(as_uint(a), as_uint(b), true, true, 0)
#define arm_dot_acc(a, b, acc) emulated(as_uint(a), as_uint(b), true, true, acc)
#define qcom_dot8_acc(a, b, acc) emulated(a, b, true, false, acc)
#define __builtin_amdgcn_sdot4(a, b, acc, clamp) emulated(as_uint(a), as_uint(b), true, true, acc)
