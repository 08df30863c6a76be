// rne-zero-first by oneDNN: a product of u8 by s8 to u8 with a scale a column. On stdin int32 m, n, k,
// zero; A; B; n scales. On stdout the output.
#include <cstdint>
#include <cstdio>
#include <unordered_map>
#include <vector>
#include <oneapi/dnnl/dnnl.hpp>

template <typename T> static bool read(std::vector<T> &to)
{
    return std::fread(to.data(), sizeof(T), to.size(), stdin) == to.size();
}

int main()
{
    using namespace dnnl;
    using tag = memory::format_tag;
    using type = memory::data_type;
    std::int32_t head[4];
    if (std::fread(head, sizeof(head), 1, stdin) != 1)
        return 1;
    const memory::dim m = head[0], n = head[1], k = head[2];
    std::vector<std::uint8_t> a(m * k), out(m * n);
    std::vector<std::int8_t> b(k * n);
    std::vector<float> scales(n);
    if (!read(a) || !read(b) || !read(scales))
        return 1;
    engine cpu(engine::kind::cpu, 0);
    stream queue(cpu);
    const memory::desc a_desc({m, k}, type::u8, tag::ab), b_desc({k, n}, type::s8, tag::ab);
    const memory::desc out_desc({m, n}, type::u8, tag::ab);
    std::unordered_map<int, memory> args = {{DNNL_ARG_SRC, memory(a_desc, cpu, a.data())},
                                            {DNNL_ARG_WEIGHTS, memory(b_desc, cpu, b.data())},
                                            {DNNL_ARG_DST, memory(out_desc, cpu, out.data())}};
    primitive_attr attr;
#if DNNL_VERSION_MAJOR >= 3
    attr.set_scales_mask(DNNL_ARG_WEIGHTS, 1 << 1);
    attr.set_zero_points_mask(DNNL_ARG_DST, 0);
    args[DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS] =
        memory({{n}, type::f32, tag::a}, cpu, scales.data());
    args[DNNL_ARG_ATTR_ZERO_POINTS | DNNL_ARG_DST] =
        memory({{1}, type::s32, tag::a}, cpu, &head[3]);
    const matmul::primitive_desc desc(cpu, a_desc, b_desc, out_desc, attr);
#else
    attr.set_output_scales(1 << 1, scales);
    attr.set_zero_points(DNNL_ARG_DST, 0, {head[3]});
    const matmul::primitive_desc desc(matmul::desc(a_desc, b_desc, out_desc), attr, cpu);
#endif
    matmul(desc).execute(queue, args);
    queue.wait();
    return std::fwrite(out.data(), 1, out.size(), stdout) != out.size();
}
