/* The tables. A geometry that occurs several times is one layer, with its count. */
#include "suites.h"

/* A square convolution: input size, channels, output channels, kernel, stride, groups, count. EVEN
 * pads all four sides by half the kernel (PyTorch), SAME as much as makes the output size / stride,
 * the odd pixel below and right (TensorFlow). */
#define SAME_PAD(size, kernel, step)                                          \
    (((size) + (step)-1) / (step) * (step) - (step) + (kernel) > (size)       \
         ? ((size) + (step)-1) / (step) * (step) - (step) + (kernel) - (size) \
         : 0)
#define SQUARE(label, size, in, out, kernel, step, parts, before, after, times) \
    {                                                                           \
        .name = label, .count = times, .shape = {                               \
            .kind = QDOT_CONV,                                                  \
            .conv = {.height = size,                                            \
                     .width = size,                                             \
                     .channels = in,                                            \
                     .out_channels = out,                                       \
                     .kernel_h = kernel,                                        \
                     .kernel_w = kernel,                                        \
                     .stride_h = step,                                          \
                     .stride_w = step,                                          \
                     .pad_top = before,                                         \
                     .pad_left = before,                                        \
                     .pad_bottom = after,                                       \
                     .pad_right = after,                                        \
                     .groups = parts}                                           \
        }                                                                       \
    }
#define EVEN(label, size, in, out, kernel, step, parts, times) \
    SQUARE(label, size, in, out, kernel, step, parts, (kernel) / 2, (kernel) / 2, times)
#define SAME(label, size, in, out, kernel, step, parts, times)                          \
    SQUARE(label, size, in, out, kernel, step, parts, SAME_PAD(size, kernel, step) / 2, \
           SAME_PAD(size, kernel, step) - SAME_PAD(size, kernel, step) / 2, times)
#define GEMM(label, rows, columns, depth, times)  \
    {                                             \
        .name = label, .count = times, .shape = { \
            .kind = QDOT_GEMM,                    \
            .m = rows,                            \
            .n = columns,                         \
            .k = depth                            \
        }                                         \
    }

/* He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, table 1, 50 layers;
 * v1.5: the stride of a stage is in its first 3x3 instead of the 1x1 before it (torchvision,
 * MLPerf). 224x224, batch 1. 53 convolutions and fc: 4.089 G multiply-adds (published: 4.09 G) and
 * 25,502,912 weights: with normalisation and fc's bias torchvision's 25,557,032 parameters. */
static const struct bench_layer resnet50[] = {
    EVEN("conv1_7x7s2", 224, 3, 64, 7, 2, 1, 1),
    EVEN("conv2_1x1_64_64", 56, 64, 64, 1, 1, 1, 1),
    EVEN("conv2_3x3", 56, 64, 64, 3, 1, 1, 3),
    EVEN("conv2_1x1_64_256", 56, 64, 256, 1, 1, 1, 4),
    EVEN("conv2_1x1_256_64", 56, 256, 64, 1, 1, 1, 2),
    EVEN("conv3_1x1_256_128", 56, 256, 128, 1, 1, 1, 1),
    EVEN("conv3_3x3s2", 56, 128, 128, 3, 2, 1, 1),
    EVEN("conv3_1x1_128_512", 28, 128, 512, 1, 1, 1, 4),
    EVEN("conv3_shortcut", 56, 256, 512, 1, 2, 1, 1),
    EVEN("conv3_1x1_512_128", 28, 512, 128, 1, 1, 1, 3),
    EVEN("conv3_3x3", 28, 128, 128, 3, 1, 1, 3),
    EVEN("conv4_1x1_512_256", 28, 512, 256, 1, 1, 1, 1),
    EVEN("conv4_3x3s2", 28, 256, 256, 3, 2, 1, 1),
    EVEN("conv4_1x1_256_1024", 14, 256, 1024, 1, 1, 1, 6),
    EVEN("conv4_shortcut", 28, 512, 1024, 1, 2, 1, 1),
    EVEN("conv4_1x1_1024_256", 14, 1024, 256, 1, 1, 1, 5),
    EVEN("conv4_3x3", 14, 256, 256, 3, 1, 1, 5),
    EVEN("conv5_1x1_1024_512", 14, 1024, 512, 1, 1, 1, 1),
    EVEN("conv5_3x3s2", 14, 512, 512, 3, 2, 1, 1),
    EVEN("conv5_1x1_512_2048", 7, 512, 2048, 1, 1, 1, 3),
    EVEN("conv5_shortcut", 14, 1024, 2048, 1, 2, 1, 1),
    EVEN("conv5_1x1_2048_512", 7, 2048, 512, 1, 1, 1, 2),
    EVEN("conv5_3x3", 7, 512, 512, 3, 1, 1, 2),
    GEMM("fc", 1, 1000, 2048, 1),
};

/* Sandler et al., MobileNetV2, arXiv:1801.04381, table 2, width 1, 224x224, batch 1; padding as in
 * torchvision. 52 convolutions, 17 of them depthwise, and fc: 300.8 M multiply-adds (published: 300
 * M) and 3,469,760 weights: with normalisation and bias torchvision's 3,504,872 parameters. */
static const struct bench_layer mobilenet_v2[] = {
    EVEN("conv_3x3s2", 224, 3, 32, 3, 2, 1, 1),
    EVEN("dw3x3_32_112", 112, 32, 32, 3, 1, 32, 1),
    EVEN("project_32_16", 112, 32, 16, 1, 1, 1, 1),
    EVEN("expand_16_96", 112, 16, 96, 1, 1, 1, 1),
    EVEN("dw3x3s2_96_56", 112, 96, 96, 3, 2, 96, 1),
    EVEN("project_96_24", 56, 96, 24, 1, 1, 1, 1),
    EVEN("expand_24_144", 56, 24, 144, 1, 1, 1, 2),
    EVEN("dw3x3_144_56", 56, 144, 144, 3, 1, 144, 1),
    EVEN("project_144_24", 56, 144, 24, 1, 1, 1, 1),
    EVEN("dw3x3s2_144_28", 56, 144, 144, 3, 2, 144, 1),
    EVEN("project_144_32", 28, 144, 32, 1, 1, 1, 1),
    EVEN("expand_32_192", 28, 32, 192, 1, 1, 1, 3),
    EVEN("dw3x3_192_28", 28, 192, 192, 3, 1, 192, 2),
    EVEN("project_192_32", 28, 192, 32, 1, 1, 1, 2),
    EVEN("dw3x3s2_192_14", 28, 192, 192, 3, 2, 192, 1),
    EVEN("project_192_64", 14, 192, 64, 1, 1, 1, 1),
    EVEN("expand_64_384", 14, 64, 384, 1, 1, 1, 4),
    EVEN("dw3x3_384_14", 14, 384, 384, 3, 1, 384, 4),
    EVEN("project_384_64", 14, 384, 64, 1, 1, 1, 3),
    EVEN("project_384_96", 14, 384, 96, 1, 1, 1, 1),
    EVEN("expand_96_576", 14, 96, 576, 1, 1, 1, 3),
    EVEN("dw3x3_576_14", 14, 576, 576, 3, 1, 576, 2),
    EVEN("project_576_96", 14, 576, 96, 1, 1, 1, 2),
    EVEN("dw3x3s2_576_7", 14, 576, 576, 3, 2, 576, 1),
    EVEN("project_576_160", 7, 576, 160, 1, 1, 1, 1),
    EVEN("expand_160_960", 7, 160, 960, 1, 1, 1, 3),
    EVEN("dw3x3_960_7", 7, 960, 960, 3, 1, 960, 3),
    EVEN("project_960_160", 7, 960, 160, 1, 1, 1, 2),
    EVEN("project_960_320", 7, 960, 320, 1, 1, 1, 1),
    EVEN("conv_1x1_320_1280", 7, 320, 1280, 1, 1, 1, 1),
    GEMM("fc", 1, 1000, 1280, 1),
};

/* Howard et al., MobileNets, arXiv:1704.04861, table 1, width 1, 224x224, batch 1, but for the
 * last depthwise layer, whose stride of 2 there is a misprint (7x7 in, 7x7 out). Padding as in
 * TensorFlow. 27 convolutions and fc: 568.7 M multiply-adds (published: 569 M). */
static const struct bench_layer mobilenet_v1[] = {
    SAME("conv_3x3s2", 224, 3, 32, 3, 2, 1, 1),
    SAME("dw3x3_32_112", 112, 32, 32, 3, 1, 32, 1),
    SAME("pointwise_32_64", 112, 32, 64, 1, 1, 1, 1),
    SAME("dw3x3s2_64_56", 112, 64, 64, 3, 2, 64, 1),
    SAME("pointwise_64_128", 56, 64, 128, 1, 1, 1, 1),
    SAME("dw3x3_128_56", 56, 128, 128, 3, 1, 128, 1),
    SAME("pointwise_128_128", 56, 128, 128, 1, 1, 1, 1),
    SAME("dw3x3s2_128_28", 56, 128, 128, 3, 2, 128, 1),
    SAME("pointwise_128_256", 28, 128, 256, 1, 1, 1, 1),
    SAME("dw3x3_256_28", 28, 256, 256, 3, 1, 256, 1),
    SAME("pointwise_256_256", 28, 256, 256, 1, 1, 1, 1),
    SAME("dw3x3s2_256_14", 28, 256, 256, 3, 2, 256, 1),
    SAME("pointwise_256_512", 14, 256, 512, 1, 1, 1, 1),
    SAME("dw3x3_512_14", 14, 512, 512, 3, 1, 512, 5),
    SAME("pointwise_512_512", 14, 512, 512, 1, 1, 1, 5),
    SAME("dw3x3s2_512_7", 14, 512, 512, 3, 2, 512, 1),
    SAME("pointwise_512_1024", 7, 512, 1024, 1, 1, 1, 1),
    SAME("dw3x3_1024_7", 7, 1024, 1024, 3, 1, 1024, 1),
    SAME("pointwise_1024_1024", 7, 1024, 1024, 1, 1, 1, 1),
    GEMM("fc", 1, 1000, 1024, 1),
};

/* EfficientNet-Lite0 (TensorFlow's tpu/models/official/efficientnet/lite): Tan and Le,
 * arXiv:1905.11946, table 1, without squeeze-and-excitation, 224x224, batch 1. 49 convolutions and
 * fc: 385.2 M multiply-adds (published: 407 M) and 4.65 M parameters with normalisation and bias
 * (published: 4.7 M). */
static const struct bench_layer efficientnet_lite0[] = {
    SAME("conv_3x3s2", 224, 3, 32, 3, 2, 1, 1),
    SAME("dw3x3_32_112", 112, 32, 32, 3, 1, 32, 1),
    SAME("project_32_16", 112, 32, 16, 1, 1, 1, 1),
    SAME("expand_16_96", 112, 16, 96, 1, 1, 1, 1),
    SAME("dw3x3s2_96_56", 112, 96, 96, 3, 2, 96, 1),
    SAME("project_96_24", 56, 96, 24, 1, 1, 1, 1),
    SAME("expand_24_144", 56, 24, 144, 1, 1, 1, 2),
    SAME("dw3x3_144_56", 56, 144, 144, 3, 1, 144, 1),
    SAME("project_144_24", 56, 144, 24, 1, 1, 1, 1),
    SAME("dw5x5s2_144_28", 56, 144, 144, 5, 2, 144, 1),
    SAME("project_144_40", 28, 144, 40, 1, 1, 1, 1),
    SAME("expand_40_240", 28, 40, 240, 1, 1, 1, 2),
    SAME("dw5x5_240_28", 28, 240, 240, 5, 1, 240, 1),
    SAME("project_240_40", 28, 240, 40, 1, 1, 1, 1),
    SAME("dw3x3s2_240_14", 28, 240, 240, 3, 2, 240, 1),
    SAME("project_240_80", 14, 240, 80, 1, 1, 1, 1),
    SAME("expand_80_480", 14, 80, 480, 1, 1, 1, 3),
    SAME("dw3x3_480_14", 14, 480, 480, 3, 1, 480, 2),
    SAME("project_480_80", 14, 480, 80, 1, 1, 1, 2),
    SAME("dw5x5_480_14", 14, 480, 480, 5, 1, 480, 1),
    SAME("project_480_112", 14, 480, 112, 1, 1, 1, 1),
    SAME("expand_112_672", 14, 112, 672, 1, 1, 1, 3),
    SAME("dw5x5_672_14", 14, 672, 672, 5, 1, 672, 2),
    SAME("project_672_112", 14, 672, 112, 1, 1, 1, 2),
    SAME("dw5x5s2_672_7", 14, 672, 672, 5, 2, 672, 1),
    SAME("project_672_192", 7, 672, 192, 1, 1, 1, 1),
    SAME("expand_192_1152", 7, 192, 1152, 1, 1, 1, 4),
    SAME("dw5x5_1152_7", 7, 1152, 1152, 5, 1, 1152, 3),
    SAME("project_1152_192", 7, 1152, 192, 1, 1, 1, 3),
    SAME("dw3x3_1152_7", 7, 1152, 1152, 3, 1, 1152, 1),
    SAME("project_1152_320", 7, 1152, 320, 1, 1, 1, 1),
    SAME("conv_1x1_320_1280", 7, 320, 1280, 1, 1, 1, 1),
    GEMM("fc", 1, 1000, 1280, 1),
};

/* Ultralytics YOLOv8n: yolov8.yaml with depth 0.33 and width 0.25, 80 classes, 640x640, batch 1. Its
 * 63 convolutions, of Conv, C2f, SPPF and Detect: 4.371 G multiply-adds, 8.74 GFLOPs (published:
 * 8.7), and 3,146,160 weights: with 5,728 biases and the 16 weights of the box decoder, which is
 * left out (a sum over softmax, 0.5 M multiply-adds), the published 3,151,904 parameters. */
static const struct bench_layer yolov8n[] = {
    EVEN("3x3s2_3_16_at_320", 640, 3, 16, 3, 2, 1, 1),
    EVEN("3x3s2_16_32_at_160", 320, 16, 32, 3, 2, 1, 1),
    EVEN("1x1_32_32_at_160", 160, 32, 32, 1, 1, 1, 1),
    EVEN("3x3_16_16_at_160", 160, 16, 16, 3, 1, 1, 2),
    EVEN("1x1_48_32_at_160", 160, 48, 32, 1, 1, 1, 1),
    EVEN("3x3s2_32_64_at_80", 160, 32, 64, 3, 2, 1, 1),
    EVEN("1x1_64_64_at_80", 80, 64, 64, 1, 1, 1, 2),
    EVEN("3x3_32_32_at_80", 80, 32, 32, 3, 1, 1, 6),
    EVEN("1x1_128_64_at_80", 80, 128, 64, 1, 1, 1, 1),
    EVEN("3x3s2_64_128_at_40", 80, 64, 128, 3, 2, 1, 1),
    EVEN("1x1_128_128_at_40", 40, 128, 128, 1, 1, 1, 1),
    EVEN("3x3_64_64_at_40", 40, 64, 64, 3, 1, 1, 9),
    EVEN("1x1_256_128_at_40", 40, 256, 128, 1, 1, 1, 1),
    EVEN("3x3s2_128_256_at_20", 40, 128, 256, 3, 2, 1, 1),
    EVEN("1x1_256_256_at_20", 20, 256, 256, 1, 1, 1, 1),
    EVEN("3x3_128_128_at_20", 20, 128, 128, 3, 1, 1, 4),
    EVEN("1x1_384_256_at_20", 20, 384, 256, 1, 1, 1, 3),
    EVEN("1x1_256_128_at_20", 20, 256, 128, 1, 1, 1, 1),
    EVEN("1x1_512_256_at_20", 20, 512, 256, 1, 1, 1, 1),
    EVEN("1x1_384_128_at_40", 40, 384, 128, 1, 1, 1, 1),
    EVEN("1x1_192_128_at_40", 40, 192, 128, 1, 1, 1, 3),
    EVEN("1x1_192_64_at_80", 80, 192, 64, 1, 1, 1, 1),
    EVEN("1x1_96_64_at_80", 80, 96, 64, 1, 1, 1, 1),
    EVEN("3x3s2_64_64_at_40", 80, 64, 64, 3, 2, 1, 1),
    EVEN("3x3s2_128_128_at_20", 40, 128, 128, 3, 2, 1, 1),
    EVEN("3x3_64_64_at_80", 80, 64, 64, 3, 1, 1, 2),
    EVEN("3x3_64_80_at_80", 80, 64, 80, 3, 1, 1, 1),
    EVEN("3x3_80_80_at_80", 80, 80, 80, 3, 1, 1, 1),
    EVEN("1x1_80_80_at_80", 80, 80, 80, 1, 1, 1, 1),
    EVEN("3x3_128_64_at_40", 40, 128, 64, 3, 1, 1, 1),
    EVEN("1x1_64_64_at_40", 40, 64, 64, 1, 1, 1, 1),
    EVEN("3x3_128_80_at_40", 40, 128, 80, 3, 1, 1, 1),
    EVEN("3x3_80_80_at_40", 40, 80, 80, 3, 1, 1, 1),
    EVEN("1x1_80_80_at_40", 40, 80, 80, 1, 1, 1, 1),
    EVEN("3x3_256_64_at_20", 20, 256, 64, 3, 1, 1, 1),
    EVEN("3x3_64_64_at_20", 20, 64, 64, 3, 1, 1, 1),
    EVEN("1x1_64_64_at_20", 20, 64, 64, 1, 1, 1, 1),
    EVEN("3x3_256_80_at_20", 20, 256, 80, 3, 1, 1, 1),
    EVEN("3x3_80_80_at_20", 20, 80, 80, 3, 1, 1, 1),
    EVEN("1x1_80_80_at_20", 20, 80, 80, 1, 1, 1, 1),
};

/* Devlin et al., BERT, arXiv:1810.04805: base has 12 layers, width 768, feed-forward 3072. The
 * products of attention (a B that changes on every call) and the embeddings are left out. */
static const struct bench_layer bert_base[] = {
    GEMM("qkv_out", 128, 768, 768, 4 * 12),
    GEMM("ffn_up", 128, 3072, 768, 12),
    GEMM("ffn_down", 128, 768, 3072, 12),
};

/* Touvron et al., Llama 2, arXiv:2307.09288, and its published configuration: 7B has 32 layers,
 * width 4096, feed-forward 11008 with a gate. Attention's own products and the output head are
 * left out. */
static const struct bench_layer llama2_prefill[] = {
    GEMM("qkv_out", 128, 4096, 4096, 4 * 32),
    GEMM("gate_up", 128, 11008, 4096, 2 * 32),
    GEMM("down", 128, 4096, 11008, 32),
};
static const struct bench_layer llama2_decode[] = {
    GEMM("qkv_out", 1, 4096, 4096, 4 * 32),
    GEMM("gate_up", 1, 11008, 4096, 2 * 32),
    GEMM("down", 1, 4096, 11008, 32),
};

/* Baidu DeepBench, code/kernels/gemm_problems.h: the set of inference on a device and four of the
 * server's. Its first dimension is that of the weights. */
static const struct bench_layer deepbench[] = {
    GEMM("device_1", 5124, 700, 2048, 1),    GEMM("device_2", 35, 700, 2048, 1),
    GEMM("device_3", 3072, 1, 1024, 1),      GEMM("device_4", 64, 1, 1216, 1),
    GEMM("device_5", 3072, 1500, 1024, 1),   GEMM("device_6", 128, 1500, 1280, 1),
    GEMM("device_7", 3072, 1500, 128, 1),    GEMM("device_8", 128, 1, 1024, 1),
    GEMM("device_9", 3072, 1, 128, 1),       GEMM("device_10", 176, 1500, 1408, 1),
    GEMM("device_11", 4224, 1500, 176, 1),   GEMM("device_12", 128, 1, 1408, 1),
    GEMM("device_13", 4224, 1, 128, 1),      GEMM("server_7680", 7680, 1, 2560, 1),
    GEMM("server_7680x4", 7680, 4, 2560, 1), GEMM("server_3072", 3072, 3000, 1024, 1),
    GEMM("server_512", 512, 6000, 2816, 1),
};

/* Matrix products by what limits them: from large ones, which the multipliers limit, over few rows,
 * for which B is streamed from memory, to tiny ones, which are mostly call and set-up. Of networks:
 * DeepBench's, a model of width 4096 and 11008 with prompts of several lengths, BERT's projection,
 * ResNet-50's convolutions written out as products. */
#define SIZE(rows, columns, depth) GEMM(#rows "x" #columns "x" #depth, rows, columns, depth, 1)
#define WIDE(rows) SIZE(rows, 4096, 4096), SIZE(rows, 11008, 4096), SIZE(rows, 4096, 11008)
static const struct bench_layer square[] = {SIZE(256, 256, 256), SIZE(512, 512, 512),
                                            SIZE(1024, 1024, 1024)};
static const struct bench_layer square_large[] = {SIZE(2048, 2048, 2048), SIZE(4096, 4096, 4096)};
static const struct bench_layer long_side[] = {SIZE(5124, 700, 2048), SIZE(3072, 3000, 1024),
                                               SIZE(512, 6000, 2816)};
static const struct bench_layer llm_m128_512[] = {WIDE(128), WIDE(512)};
static const struct bench_layer llm_m32[] = {WIDE(32)};
static const struct bench_layer llm_m8[] = {WIDE(8)};
static const struct bench_layer bert_m8_32[] = {SIZE(8, 768, 768), SIZE(32, 768, 768)};
static const struct bench_layer vector[] = {WIDE(1), SIZE(1, 7680, 2560), SIZE(7680, 1, 2560)};
static const struct bench_layer written_out[] = {SIZE(12544, 64, 147)};
static const struct bench_layer short_side[] = {SIZE(35, 700, 2048), SIZE(49, 512, 4608),
                                                SIZE(3136, 64, 576)};
static const struct bench_layer small[] = {SIZE(17, 33, 65), SIZE(32, 32, 32), SIZE(64, 64, 64),
                                           SIZE(128, 128, 128)};
static const struct bench_layer tiny[] = {SIZE(1, 16, 16), SIZE(4, 32, 32), SIZE(16, 16, 16)};

/* Made up: products with an even tile, edges in every dimension, one row, one column; convolutions
 * with padding, depthwise with a stride, grouped with a stride. */
static const struct bench_layer smoke[] = {
    GEMM("even", 64, 64, 64, 1),
    GEMM("edges", 33, 49, 131, 1),
    GEMM("row", 1, 256, 256, 1),
    GEMM("column", 96, 1, 200, 1),
    EVEN("conv_3x3", 13, 24, 40, 3, 1, 1, 1),
    SAME("dw3x3s2", 12, 36, 36, 3, 2, 36, 1),
    EVEN("grouped_1x1s2", 11, 48, 24, 1, 2, 4, 1),
};

#define LAYERS(table) table, sizeof(table) / sizeof((table)[0])

const struct bench_net bench_nets[] = {
    {"resnet50", "resnet50", "ResNet-50 v1.5, 224x224, batch 1: 53 convolutions, fc",
     LAYERS(resnet50), SUM_INFERENCE},
    {"mobilenet_v2", "mobilenet_v2", "MobileNetV2 1.0, 224x224, batch 1: 52 convolutions, fc",
     LAYERS(mobilenet_v2), SUM_INFERENCE},
    {"mobilenet_v1", "mobilenet_v1", "MobileNetV1 1.0, 224x224, batch 1: 27 convolutions, fc",
     LAYERS(mobilenet_v1), SUM_INFERENCE},
    {"efficientnet_lite0", "efficientnet_lite0",
     "EfficientNet-Lite0, 224x224, batch 1: 49 convolutions, fc", LAYERS(efficientnet_lite0),
     SUM_INFERENCE},
    {"yolov8n", "yolov8n", "YOLOv8n, 640x640, batch 1: 63 convolutions", LAYERS(yolov8n),
     SUM_INFERENCE},
    {"bert_base", "bert_base", "BERT base, sequence of 128, without attention's own products",
     LAYERS(bert_base), SUM_INFERENCE},
    {"llama2_7b", "llama2_7b_prefill", "Llama 2 7B, prompt of 128, without attention and head",
     LAYERS(llama2_prefill), SUM_INFERENCE},
    {"llama2_7b", "llama2_7b_decode", "Llama 2 7B, one token, without attention and head",
     LAYERS(llama2_decode), SUM_INFERENCE},
    {"deepbench", "deepbench", "DeepBench, inference, int8", LAYERS(deepbench), SUM_NOTHING},
    {"gemm", "square", "256^3, 512^3, 1024^3", LAYERS(square), SUM_CLASS},
    {"gemm", "square_large", "2048^3, 4096^3", LAYERS(square_large), SUM_CLASS},
    {"gemm", "long_side", "three of DeepBench, 5124x700x2048 and such", LAYERS(long_side),
     SUM_CLASS},
    {"gemm", "llm_m128_512", "128 and 512 rows times 4096x4096, 11008x4096, 4096x11008",
     LAYERS(llm_m128_512), SUM_CLASS},
    {"gemm", "llm_m32", "32 rows times these", LAYERS(llm_m32), SUM_CLASS},
    {"gemm", "llm_m8", "8 rows times these", LAYERS(llm_m8), SUM_CLASS},
    {"gemm", "bert_m8_32", "8 and 32 rows times 768x768", LAYERS(bert_m8_32), SUM_CLASS},
    {"gemm", "vector", "one row or one column", LAYERS(vector), SUM_CLASS},
    {"gemm", "written_out", "12544x64x147", LAYERS(written_out), SUM_CLASS},
    {"gemm", "short_side", "35x700x2048, 49x512x4608, 3136x64x576", LAYERS(short_side), SUM_CLASS},
    {"gemm", "small", "17x33x65, 32^3, 64^3, 128^3", LAYERS(small), SUM_CLASS},
    {"gemm", "tiny", "1x16x16, 4x32x32, 16x16x16", LAYERS(tiny), SUM_CLASS},
    {"smoke", "smoke", "tiny products and convolutions, for a quick look", LAYERS(smoke),
     SUM_NOTHING},
};
const size_t bench_net_count = sizeof(bench_nets) / sizeof(bench_nets[0]);
