/* What the makers of cases share, and the makers: one a group. */
#ifndef CONFORM_MAKE_H
#define CONFORM_MAKE_H

#include "conform.h"

#define PICK(r, ...)   \
    ((const size_t[]){ \
        __VA_ARGS__})[random_below(r, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t))]

enum { EDGES = 5, OUTPUTS = 12 + 5 * 3 };

size_t make_edge(size_t tile, size_t i); /* i < EDGES: one below, on and above it, and others */
void make_types(struct conform_case *c, size_t mix); /* the 16 of signs and outputs in turn */
void make_output(struct random *r, struct conform_case *c); /* scales and such for its out_type */
enum zero make_zero(struct random *r);
void make_rest(struct random *r, struct conform_case *c); /* any of everything but the shape */

/* Of half of the narrow outputs any rounding; 'few': each with one output type, as on a GPU every pair
 * of both is a program more, and in those the one has nothing to do with the other. */
void make_any_rounding(struct random *r, struct conform_case *c, bool few);

/* kind < OUTPUTS: what decides: ties, saturation, clamps, signs of zero, subnormals, no fused add;
 * then each rounding in turn. Sets the types too. */
bool make_few_products(size_t kind); /* it wants sums of at most 5 */
void make_rounding(struct random *r, struct conform_case *c, size_t signs, size_t kind);

/* Every signs and output mix, on all pairs of extremes and on random data; index < SIGNS. */
enum { SIGNS = 16 * 19 };
void make_signs(struct random *r, struct conform_case *c, size_t index);

/* A device with caches of few bytes, for which everything is cut small, or with large ones. */
void make_caches(struct random *r, struct conform_case *c, size_t index);

/* ---- conform_geometry.c ---------------------------------------------------------------------- */

/* Of a depthwise row every group has one input channel. */
struct qdot_conv geometry_single(enum qdot_layout layout); /* one pixel, one channel, one tap */
void geometry_channels(struct qdot_conv *v, size_t groups, size_t cg, size_t og);
void geometry_square(struct qdot_conv *v, size_t kernel, size_t stride, size_t pad);
/* Not empty, and few enough products for a reference that does one at a time: an input that is too
 * small grows, what is large is halved, pixels first. */
void geometry_fit(const struct geometry *g, struct qdot_conv *v);
void geometry_any(const struct geometry *g, struct random *r, struct qdot_conv *v);
void geometry_few(const struct geometry *g, struct random *r, struct qdot_conv *v); /* 5 products */
/* kind < GEOMETRIES is what is at its limit, i < VARIANTS how. */
enum { GEOMETRIES = 26, VARIANTS = 12, GEOMETRY_WORDS = 19 };
void geometry_limit(const struct geometry *g, struct random *r, size_t kind, size_t i,
                    struct qdot_conv *v);

/* ---- the makers ------------------------------------------------------------------------------ */

#define MAKER(name) \
    bool name(const struct geometry *g, size_t index, struct random *r, struct conform_case *c);
MAKER(gemm_edge)
MAKER(gemm_signs)
MAKER(gemm_zeros)
MAKER(gemm_output)
MAKER(gemm_strides)
MAKER(gemm_one_shot)
MAKER(gemm_large)
MAKER(gemm_runs)
MAKER(gemm_buffers)
MAKER(gemm_chain)
MAKER(gemm_memory)
MAKER(gemm_wrapped)
MAKER(gemm_random)
MAKER(gemm_blocks)
MAKER(gemm_packed)
MAKER(gemm_threads)
MAKER(gemm_caches)
MAKER(gemm_layers)
MAKER(gemm_repeat)
MAKER(gemm_counts)
MAKER(conv_edge)
MAKER(conv_signs)
MAKER(conv_zeros)
MAKER(conv_output)
MAKER(conv_strides)
MAKER(conv_large)
MAKER(conv_runs)
MAKER(conv_buffers)
MAKER(conv_chain)
MAKER(conv_memory)
MAKER(conv_wrapped)
MAKER(conv_random)
MAKER(conv_blocks)
MAKER(conv_packed)
MAKER(conv_threads)
MAKER(conv_caches)
MAKER(conv_layers)
MAKER(elements_values)
MAKER(elements_parameters)
MAKER(elements_tails)
MAKER(elements_dynamic)
MAKER(elements_memory)
MAKER(elements_buffers)
MAKER(elements_wrapped)
MAKER(elements_random)
MAKER(elements_threads)
MAKER(map_tails)
MAKER(map_tables)
MAKER(map_strides)
MAKER(map_broadcast)
MAKER(map_transpose)
MAKER(map_memory)
MAKER(map_buffers)
MAKER(map_wrapped)
MAKER(map_random)
MAKER(map_threads)
MAKER(pool_edge)
MAKER(pool_tails)
MAKER(pool_strides)
MAKER(pool_memory)
MAKER(pool_buffers)
MAKER(pool_wrapped)
MAKER(pool_random)
MAKER(pool_threads)
MAKER(pool_values)
MAKER(pool_large)
MAKER(conv_repeat)
MAKER(conv_counts)
#undef MAKER

#endif
