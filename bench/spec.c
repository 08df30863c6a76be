#include <stdio.h>
#include <string.h>
#include "options.h"
#include "shape.h"
#include "spec.h"

static const char *const types[] = {
    [QDOT_U8] = "u8",   [QDOT_S8] = "s8", [QDOT_S32] = "s32", [QDOT_S16] = "s16",
    [QDOT_U16] = "u16", [QDOT_S4] = "s4", [QDOT_U4] = "u4"};
static const char *const kinds[] = {[QDOT_QUANTIZE] = "quantize",
                                    [QDOT_DEQUANTIZE] = "dequantize",
                                    [QDOT_DYNAMIC_QUANTIZE] = "dynamic_quantize",
                                    [QDOT_FAKE_QUANTIZE] = "fake_quantize",
                                    [QDOT_FAKE_QUANTIZE_GRADIENT] = "fake_quantize_gradient",
                                    [QDOT_MAP] = "map",
                                    [QDOT_MAX_POOL] = "max_pool",
                                    [QDOT_AVERAGE_POOL] = "average_pool"};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Where 'word' is one of the names; false: it is none. */
static bool named(const char *const *names, size_t count, const char *word, size_t *index)
{
    for (*index = 0; *index < count && word; ++*index)
        if (names[*index] && strcmp(names[*index], word) == 0)
            return true;
    return false;
}

static bool parse_type(const char *word, enum qdot_type *type)
{
    size_t index;
    const bool good = named(types, COUNT(types), word, &index);
    *type = (enum qdot_type)index;
    return good;
}

/* ---- on elements ----------------------------------------------------------------------------- */

static bool parse_elements(char **rest, struct qdot_op_desc *d)
{
    struct qdot_quantize *q = &d->quantize;
    const char *shape = strtok_r(NULL, " ", rest);
    size_t sizes[3];
    if (!shape || !opt_shape(shape, sizes) || !parse_type(strtok_r(NULL, " ", rest), &q->type))
        return false;
    q->outer = sizes[0];
    q->axis = sizes[1];
    q->inner = sizes[2];
    for (const char *word; (word = strtok_r(NULL, " ", rest)) != NULL;) {
        int64_t group;
        if (strcmp(word, "reciprocal") == 0 && !q->reciprocal)
            q->reciprocal = 1;
        else if ((strcmp(word, "axis") == 0 || strcmp(word, "each") == 0) && !q->scale_count)
            q->scale_count = q->axis;
        else if (strncmp(word, "group", 5) == 0 && !q->scale_count &&
                 opt_integer(word + 5, 1, INT32_MAX, &group))
            q->group = (size_t)group;
        else
            return false;
        if (q->group && !q->scale_count)
            q->scale_count = q->outer * ((q->axis - 1) / q->group + 1) * q->inner;
    }
    return true;
}

/* ---- on bytes -------------------------------------------------------------------------------- */

static bool parse_map(char **rest, struct qdot_op_desc *d, bool *by_table)
{
    struct qdot_map *m = &d->map;
    const char *word = strtok_r(NULL, " ", rest);
    struct {
        char letter;
        size_t *strides;
        bool optional;
    } tensors[] = {
        {'a', m->a_stride, false}, {'b', m->b_stride, true}, {'o', m->out_stride, false}};
    m->rank = word ? shape_numbers(word, m->dims, QDOT_MAP_RANK) : 0;
    m->operands = 1;
    word = strtok_r(NULL, " ", rest);
    for (size_t t = 0; t < COUNT(tensors); t++) {
        if (tensors[t].optional && word && *word != tensors[t].letter)
            continue;
        if (!word || *word != tensors[t].letter ||
            shape_numbers(word + 1, tensors[t].strides, QDOT_MAP_RANK) != m->rank)
            return false;
        m->operands += tensors[t].optional;
        word = strtok_r(NULL, " ", rest);
    }
    *by_table = m->operands == 2 || word;
    return m->rank && (!word || (strcmp(word, "table") == 0 && !strtok_r(NULL, " ", rest)));
}

static bool parse_pool(char **rest, struct qdot_op_desc *d, bool *by_table)
{
    struct qdot_conv *c = &d->conv;
    size_t input[4], window[2];
    const char *word = strtok_r(NULL, " ", rest), *kernel = strtok_r(NULL, " ", rest);
    if (!kernel || shape_numbers(word, input, 4) != 4 || shape_numbers(kernel, window, 2) != 2 ||
        input[0] == 0 || !parse_type(strtok_r(NULL, " ", rest), &d->a_type))
        return false;
    c->batch = input[0];
    c->height = input[1];
    c->width = input[2];
    c->channels = input[3];
    c->kernel_h = window[0];
    c->kernel_w = window[1];
    while ((word = strtok_r(NULL, " ", rest)) != NULL)
        if (strcmp(word, "nchw") == 0)
            c->layout = QDOT_NCHW;
        else if (strcmp(word, "table") == 0 && d->kind == QDOT_MAX_POOL)
            *by_table = true;
        else if (strcmp(word, "scaled") == 0 && d->kind == QDOT_AVERAGE_POOL)
            d->average = (struct qdot_average){.a_scale = 1, .out_scale = 1};
        else if (*word == 'g' || !shape_parse_letter(&word, c) || *word)
            return false;
    return true;
}

bool spec_parse(const char *text, struct qdot_op_desc *d, bool *by_table)
{
    char copy[512], *rest = NULL;
    size_t kind;
    *d = (struct qdot_op_desc){.size = 0};
    *by_table = false;
    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy) ||
        !named(kinds, COUNT(kinds), strtok_r(copy, " ", &rest), &kind))
        return false;
    d->kind = (enum qdot_op_kind)kind;
    return d->kind == QDOT_MAP ? parse_map(&rest, d, by_table)
           : d->kind == QDOT_MAX_POOL || d->kind == QDOT_AVERAGE_POOL
               ? parse_pool(&rest, d, by_table)
               : parse_elements(&rest, d);
}
