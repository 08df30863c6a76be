/* The tables. A convolution is the product [OH*OW, kh*kw*I] x [kh*kw*I, O]. */
#include "suites.h"

/* He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, table 1, 50 layers;
 * v1.5: the stride of a stage is in its first 3x3 instead of the 1x1 before it (torchvision,
 * MLPerf). 224x224, batch 1. 53 convolutions and fc: 4.09 G multiply-adds. */
static const struct bench_layer resnet50[] = {
    {"conv1_7x7s2", 112 * 112, 64, 7 * 7 * 3, 1},
    {"conv2_1x1_64_64", 56 * 56, 64, 64, 1},
    {"conv2_3x3", 56 * 56, 64, 9 * 64, 3},
    {"conv2_1x1_64_256", 56 * 56, 256, 64, 4}, /* one of them the shortcut */
    {"conv2_1x1_256_64", 56 * 56, 64, 256, 2},
    {"conv3_1x1_256_128", 56 * 56, 128, 256, 1},
    {"conv3_3x3", 28 * 28, 128, 9 * 128, 4},
    {"conv3_1x1_128_512", 28 * 28, 512, 128, 4},
    {"conv3_1x1_512_128", 28 * 28, 128, 512, 3},
    {"conv3_shortcut", 28 * 28, 512, 256, 1},
    {"conv4_1x1_512_256", 28 * 28, 256, 512, 1},
    {"conv4_3x3", 14 * 14, 256, 9 * 256, 6},
    {"conv4_1x1_256_1024", 14 * 14, 1024, 256, 6},
    {"conv4_1x1_1024_256", 14 * 14, 256, 1024, 5},
    {"conv4_shortcut", 14 * 14, 1024, 512, 1},
    {"conv5_1x1_1024_512", 14 * 14, 512, 1024, 1},
    {"conv5_3x3", 7 * 7, 512, 9 * 512, 3},
    {"conv5_1x1_512_2048", 7 * 7, 2048, 512, 3},
    {"conv5_1x1_2048_512", 7 * 7, 512, 2048, 2},
    {"conv5_shortcut", 7 * 7, 2048, 1024, 1},
    {"fc", 1, 1000, 2048, 1},
};

/* Sandler et al., MobileNetV2, arXiv:1801.04381, table 2, width 1, 224x224, batch 1. The depthwise
 * convolutions are no matrix products and are left out. */
static const struct bench_layer mobilenet_v2[] = {
    {"conv_3x3s2", 112 * 112, 32, 9 * 3, 1},
    {"project_32_16", 112 * 112, 16, 32, 1},
    {"expand_16_96", 112 * 112, 96, 16, 1},
    {"project_96_24", 56 * 56, 24, 96, 1},
    {"expand_24_144", 56 * 56, 144, 24, 2},
    {"project_144_24", 56 * 56, 24, 144, 1},
    {"project_144_32", 28 * 28, 32, 144, 1},
    {"expand_32_192", 28 * 28, 192, 32, 3},
    {"project_192_32", 28 * 28, 32, 192, 2},
    {"project_192_64", 14 * 14, 64, 192, 1},
    {"expand_64_384", 14 * 14, 384, 64, 4},
    {"project_384_64", 14 * 14, 64, 384, 3},
    {"project_384_96", 14 * 14, 96, 384, 1},
    {"expand_96_576", 14 * 14, 576, 96, 3},
    {"project_576_96", 14 * 14, 96, 576, 2},
    {"project_576_160", 7 * 7, 160, 576, 1},
    {"expand_160_960", 7 * 7, 960, 160, 3},
    {"project_960_160", 7 * 7, 160, 960, 2},
    {"project_960_320", 7 * 7, 320, 960, 1},
    {"conv_1x1_320_1280", 7 * 7, 1280, 320, 1},
    {"fc", 1, 1000, 1280, 1},
};

/* Devlin et al., BERT, arXiv:1810.04805: base has 12 layers, width 768, feed-forward 3072. The
 * products of attention (a B that changes on every call) and the embeddings are left out. */
static const struct bench_layer bert_base[] = {
    {"qkv_out", 128, 768, 768, 4 * 12},
    {"ffn_up", 128, 3072, 768, 12},
    {"ffn_down", 128, 768, 3072, 12},
};

/* Touvron et al., Llama 2, arXiv:2307.09288, and its published configuration: 7B has 32 layers,
 * width 4096, feed-forward 11008 with a gate. Attention's own products and the output head are
 * left out. */
static const struct bench_layer llama2_prefill[] = {
    {"qkv_out", 128, 4096, 4096, 4 * 32},
    {"gate_up", 128, 11008, 4096, 2 * 32},
    {"down", 128, 4096, 11008, 32},
};
static const struct bench_layer llama2_decode[] = {
    {"qkv_out", 1, 4096, 4096, 4 * 32},
    {"gate_up", 1, 11008, 4096, 2 * 32},
    {"down", 1, 4096, 11008, 32},
};

/* Baidu DeepBench, code/kernels/gemm_problems.h: the set of inference on a device and four of the
 * server's. Its first dimension is that of the weights. */
static const struct bench_layer deepbench[] = {
    {"device_1", 5124, 700, 2048, 1},    {"device_2", 35, 700, 2048, 1},
    {"device_3", 3072, 1, 1024, 1},      {"device_4", 64, 1, 1216, 1},
    {"device_5", 3072, 1500, 1024, 1},   {"device_6", 128, 1500, 1280, 1},
    {"device_7", 3072, 1500, 128, 1},    {"device_8", 128, 1, 1024, 1},
    {"device_9", 3072, 1, 128, 1},       {"device_10", 176, 1500, 1408, 1},
    {"device_11", 4224, 1500, 176, 1},   {"device_12", 128, 1, 1408, 1},
    {"device_13", 4224, 1, 128, 1},      {"server_7680", 7680, 1, 2560, 1},
    {"server_7680x4", 7680, 4, 2560, 1}, {"server_3072", 3072, 3000, 1024, 1},
    {"server_512", 512, 6000, 2816, 1},
};

/* Made up: an even tile, edges in every dimension, one row, one column. */
static const struct bench_layer smoke[] = {
    {"even", 64, 64, 64, 1},
    {"edges", 33, 49, 131, 1},
    {"row", 1, 256, 256, 1},
    {"column", 96, 1, 200, 1},
};

#define LAYERS(table) table, sizeof(table) / sizeof((table)[0])

const struct bench_net bench_nets[] = {
    {"resnet50", "resnet50", "ResNet-50 v1.5, 224x224, batch 1: 53 convolutions as products, fc",
     LAYERS(resnet50), 1},
    {"mobilenet_v2", "mobilenet_v2", "MobileNetV2 1.0, 224x224, batch 1, without depthwise",
     LAYERS(mobilenet_v2), 1},
    {"bert_base", "bert_base", "BERT base, sequence of 128, without attention's own products",
     LAYERS(bert_base), 1},
    {"llama2_7b", "llama2_7b_prefill", "Llama 2 7B, prompt of 128, without attention and head",
     LAYERS(llama2_prefill), 1},
    {"llama2_7b", "llama2_7b_decode", "Llama 2 7B, one token, without attention and head",
     LAYERS(llama2_decode), 1},
    {"deepbench", "deepbench", "DeepBench, inference, int8", LAYERS(deepbench), 0},
    {"smoke", "smoke", "four tiny products, for a quick look", LAYERS(smoke), 0},
};
const size_t bench_net_count = sizeof(bench_nets) / sizeof(bench_nets[0]);
