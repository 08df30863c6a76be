/* A case as a text. The table of words is printer, parser and list of what can be simplified. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform_problem.h"

enum kind {
    FLAG,   /* bool */
    CHOICE, /* an enum; its first name is the usual one and has no word */
    BYTE,   /* of a constant fill; what is in the case before is the fill itself */
    SIZES,  /* size_t each, from 'usual' on where that is 1 */
    INTS    /* int32_t each, together usual when all are 0 */
};

enum { MEMBERS = 4, CHOICES = 7, SIZE_MOST = 1 << 24 };

/* The kinds of ops that have a word. */
enum {
    CONVS = 1 << QDOT_CONV,
    PRODUCTS = 1 << QDOT_GEMM | CONVS,
    ELEMENTS = 1 << QDOT_QUANTIZE,
    MAPS = 1 << QDOT_MAP,
    AVERAGES = 1 << QDOT_AVERAGE_POOL,
    POOLS = 1 << QDOT_MAX_POOL | AVERAGES,
    ALL = PRODUCTS | ELEMENTS | MAPS | POOLS
};

struct word {
    const char *key;
    enum kind kind;
    enum problem_part part;
    unsigned kinds;
    size_t usual, count;
    size_t at[MEMBERS]; /* offsets */
    const char *names[CHOICES];
};

#define AT(member) offsetof(struct conform_case, member)

/* clang-format off */ /* it would give each offset a line */
static const struct word words[] = {
    {"s", SIZES, PART_CONV, CONVS | POOLS, 1, 2, {AT(conv.stride_h), AT(conv.stride_w)}, {0}},
    {"p", SIZES, PART_CONV, CONVS | POOLS, 0, 4, {AT(conv.pad_top), AT(conv.pad_left), AT(conv.pad_bottom), AT(conv.pad_right)}, {0}},
    {"d", SIZES, PART_CONV, CONVS | POOLS, 1, 2, {AT(conv.dilation_h), AT(conv.dilation_w)}, {0}},
    {"g", SIZES, PART_CONV, CONVS, 1, 1, {AT(conv.groups)}, {0}},
    {"o", SIZES, PART_CONV, CONVS, 0, 2, {AT(conv.output_pad_h), AT(conv.output_pad_w)}, {0}},
    {"", CHOICE, PART_CONV, CONVS, 0, 2, {AT(conv.transposed)}, {"", "transposed"}},
    {"", CHOICE, PART_CONV, CONVS | POOLS, 0, 2, {AT(conv.layout)}, {"nhwc", "nchw"}},

    {"group", SIZES, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.group)}, {0}},
    {"axis", FLAG, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.each)}, {0}},
    {"reciprocal", FLAG, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.reciprocal)}, {0}},
    {"range", FLAG, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.narrow)}, {0}},
    {"zero", FLAG, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.zero)}, {0}},
    {"zero-at-run", FLAG, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.zero_at_run)}, {0}},
    {"scale", FLAG, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.scale)}, {0}},
    {"scale-at-run", FLAG, PART_ELEMENTS, ELEMENTS, 0, 1, {AT(elements.scale_at_run)}, {0}},
    {"scale=", CHOICE, PART_ELEMENTS, ELEMENTS, 0, 3, {AT(elements.steps)}, {"any", "powers", "extreme"}},
    {"x=", CHOICE, PART_ELEMENTS, ELEMENTS, 0, 5, {AT(elements.values)}, {"mixed", "near-ties", "bits", "one", "small"}},

    {"round=", CHOICE, PART_OUTPUT, PRODUCTS | AVERAGES, 0, 6, {AT(rounding)}, {"rne", "rne-zero-first", "q31-double-away", "q31-double-up", "q31-single-up", "mant24-up"}},
    {"scale=", CHOICE, PART_OUTPUT, PRODUCTS | AVERAGES, 0, 5, {AT(scale)}, {"none", "one", "each", "half", "extreme"}},
    {"row-scale=", CHOICE, PART_OUTPUT, PRODUCTS, 0, 3, {AT(row_scale)}, {"none", "any", "extreme"}},
    {"bias-f=", CHOICE, PART_OUTPUT, PRODUCTS, 0, 3, {AT(bias_f)}, {"none", "any", "extreme"}},
    {"zero=", INTS, PART_OUTPUT, PRODUCTS | AVERAGES, 0, 1, {AT(out_zero)}, {0}},
    {"count-padding", FLAG, PART_OUTPUT, AVERAGES, 0, 1, {AT(count_padding)}, {0}},
    {"clamp=", INTS, PART_OUTPUT, PRODUCTS | AVERAGES, 0, 2, {AT(clamp_lo), AT(clamp_hi)}, {0}},

    {"a-zero=", CHOICE, PART_VALUES, PRODUCTS | AVERAGES, 0, 5, {AT(a_zero)}, {"none", "one", "low", "high", "each"}},
    {"b-zero=", CHOICE, PART_VALUES, PRODUCTS, 0, 5, {AT(b_zero)}, {"none", "one", "low", "high", "each"}},
    {"bias", FLAG, PART_VALUES, PRODUCTS, 0, 1, {AT(bias)}, {0}},
    {"wide-bias", FLAG, PART_VALUES, PRODUCTS, 0, 1, {AT(wide_bias)}, {0}},
    {"a=", CHOICE, PART_FILLS, PRODUCTS | MAPS | POOLS, 0, 5, {AT(a_fill)}, {"mixed", "extreme", "any", "small", "counted"}},
    {"b=", CHOICE, PART_FILLS, PRODUCTS | MAPS, 0, 5, {AT(b_fill)}, {"mixed", "extreme", "any", "small", "counted"}},
    {"a=x", BYTE, PART_FILLS, PRODUCTS | MAPS | POOLS, 0, 2, {AT(a_fill), AT(a_byte)}, {0}},
    {"b=x", BYTE, PART_FILLS, PRODUCTS | MAPS, 0, 2, {AT(b_fill), AT(b_byte)}, {0}},

    {"place=", CHOICE, PART_RUNS, ALL, 0, 6, {AT(place)}, {"host-end", "host-start", "buffers", "shared", "wrapped-end", "wrapped-start"}},
    {"runs=", SIZES, PART_RUNS, ALL, 1, 1, {AT(runs)}, {0}},
    {"threads=", SIZES, PART_RUNS, ALL, 0, 1, {AT(threads)}, {0}},
    {"b-transposed", FLAG, PART_WAY, PRODUCTS, 0, 1, {AT(b_transposed)}, {0}},
    {"b-at-run", FLAG, PART_WAY, PRODUCTS, 0, 1, {AT(b_at_run)}, {0}},
    {"gaps=", SIZES, PART_WAY, PRODUCTS, 0, 3, {AT(a_gap), AT(b_gap), AT(out_gap)}, {0}},
    {"gaps=", SIZES, PART_WAY, POOLS, 0, 2, {AT(a_gap), AT(out_gap)}, {0}},
    {"table", FLAG, PART_WAY, MAPS | 1 << QDOT_MAX_POOL, 0, 1, {AT(table)}, {0}},
    {"repeats=", SIZES, PART_WAY, PRODUCTS, 0, 1, {AT(repeats)}, {0}},
    {"packed", FLAG, PART_WAY, PRODUCTS, 0, 1, {AT(packed)}, {0}},
    {"chain", FLAG, PART_WAY, PRODUCTS, 0, 1, {AT(chain)}, {0}},
    {"caches=", SIZES, PART_WAY, PRODUCTS, 0, 1, {AT(cache_percent)}, {0}},
};
/* clang-format on */
enum { WORDS = sizeof(words) / sizeof(words[0]) };

static const char *const type_names[] = {"", "u8", "s8", "s32", "f32", "s16", "u16", "s4", "u4"};

static const char *const element_kinds[] = {"quantize", "dequantize", "dynamic_quantize",
                                            "fake_quantize", "fake_quantize_gradient"};
enum { ELEMENT_KINDS = sizeof(element_kinds) / sizeof(element_kinds[0]) };

/* ---- members --------------------------------------------------------------------------------- */

static void *member(struct conform_case *c, const struct word *w, size_t i)
{
    return (char *)c + w->at[i];
}

static size_t get(const struct conform_case *c, const struct word *w, size_t i)
{
    const char *at = (const char *)c + w->at[i];
    int number;
    int32_t integer;
    size_t size;
    if (w->kind == FLAG)
        return *(const bool *)at;
    if (w->kind == BYTE && i == 1)
        return *(const uint8_t *)at;
    if (w->kind == CHOICE || w->kind == BYTE)
        return memcpy(&number, at, sizeof(number)), (size_t)number;
    if (w->kind == INTS)
        return memcpy(&integer, at, sizeof(integer)), (size_t)integer;
    return memcpy(&size, at, sizeof(size)), size;
}

static void set(struct conform_case *c, const struct word *w, size_t i, size_t value)
{
    const int number = (int)value;
    const int32_t integer = (int32_t)value;
    if (w->kind == FLAG)
        *(bool *)member(c, w, i) = value != 0;
    else if (w->kind == BYTE && i == 1)
        *(uint8_t *)member(c, w, i) = (uint8_t)value;
    else if (w->kind == CHOICE || w->kind == BYTE)
        memcpy(member(c, w, i), &number, sizeof(number));
    else if (w->kind == INTS)
        memcpy(member(c, w, i), &integer, sizeof(integer));
    else
        memcpy(member(c, w, i), &value, sizeof(value));
}

_Static_assert(sizeof(enum fill) == sizeof(int) && sizeof(enum place) == sizeof(int) &&
                   sizeof(enum zero) == sizeof(int) && sizeof(enum qdot_rounding) == sizeof(int),
               "a choice is an int");

static size_t members(const struct word *w)
{
    return w->kind == CHOICE ? 1 : w->count;
}

static bool is_usual(const struct conform_case *c, const struct word *w)
{
    if (w->kind == BYTE)
        return get(c, w, 0) != FILL_CONSTANT;
    if (w->kind == CHOICE && get(c, w, 0) >= w->count)
        return true; /* FILL_CONSTANT: the next word's */
    for (size_t i = 0; i < members(w); i++)
        if (get(c, w, i) != w->usual)
            return false;
    return true;
}

static bool has_word(const struct conform_case *c, const struct word *w)
{
    return (w->kinds >> c->kind & 1) != 0;
}

size_t problem_words(void)
{
    return WORDS;
}

enum problem_part problem_part(size_t word)
{
    return words[word].part;
}

void problem_usual(struct conform_case *c, size_t word)
{
    const struct word *w = &words[word];
    if (has_word(c, w) && !is_usual(c, w))
        for (size_t i = 0; i < members(w); i++)
            set(c, w, i, w->usual);
}

/* ---- out ------------------------------------------------------------------------------------- */

static char separator(const struct word *w)
{
    return w->key[strlen(w->key) - 1] == '=' ? ',' : 'x';
}

static void print_word(FILE *file, const struct conform_case *c, const struct word *w)
{
    fprintf(file, " %s", w->key);
    if (w->kind == CHOICE)
        fputs(w->names[get(c, w, 0)], file);
    else if (w->kind == BYTE)
        fprintf(file, "%02zx", get(c, w, 1));
    else if (w->kind != FLAG)
        for (size_t i = 0; i < w->count; i++) {
            if (i > 0)
                fputc(separator(w), file);
            if (w->kind == INTS)
                fprintf(file, "%d", (int)(int32_t)get(c, w, i));
            else
                fprintf(file, "%zu", get(c, w, i));
        }
}

static void print_sizes(FILE *file, const char *before, const size_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fprintf(file, "%s%zu", i ? "x" : before, sizes[i]);
}

/* Dimensions and strides as a tuning file has them. */
static void print_map(FILE *file, const struct qdot_map *m)
{
    print_sizes(file, "map ", m->dims, m->rank);
    print_sizes(file, " a", m->a_stride, m->rank);
    if (m->operands == 2)
        print_sizes(file, " b", m->b_stride, m->rank);
    print_sizes(file, " o", m->out_stride, m->rank);
}

static void print_shape(FILE *file, const struct conform_case *c)
{
    const struct qdot_conv *v = &c->conv;
    const struct elements_case *e = &c->elements;
    const size_t input[] = {v->batch, v->height, v->width, v->channels};
    switch (c->kind) {
    case QDOT_GEMM:
        fprintf(file, "gemm %zux%zux%zu", c->m, c->n, c->k);
        break;
    case QDOT_CONV:
        print_sizes(file, "conv ", input, 4);
        fprintf(file, " %zux%zux%zu", v->out_channels, v->kernel_h, v->kernel_w);
        break;
    case QDOT_MAP:
        print_map(file, &c->map);
        break;
    case QDOT_MAX_POOL:
        print_sizes(file, "max_pool ", input, 4);
        fprintf(file, " %zux%zu %s", v->kernel_h, v->kernel_w, type_names[c->a_type]);
        break;
    case QDOT_AVERAGE_POOL:
        print_sizes(file, "average_pool ", input, 4);
        fprintf(file, " %zux%zu %s %s", v->kernel_h, v->kernel_w, type_names[c->a_type],
                type_names[c->out_type]);
        break;
    default:
        fprintf(file, "%s %zux%zux%zu %s", element_kinds[e->kind - QDOT_QUANTIZE], e->outer,
                e->axis, e->inner, type_names[e->type]);
    }
    if (case_is_product(c))
        fprintf(file, " %s%s %s", type_names[c->a_type], type_names[c->b_type],
                type_names[c->out_type]);
}

void problem_print(const struct conform_case *c, char *text, size_t bytes)
{
    text[0] = '\0';
    FILE *file = fmemopen(text, bytes, "w");
    if (!file)
        return;
    print_shape(file, c);
    for (size_t i = 0; i < WORDS; i++)
        if (has_word(c, &words[i]) && !is_usual(c, &words[i]))
            print_word(file, c, &words[i]);
    fclose(file);
}

/* ---- in -------------------------------------------------------------------------------------- */

static bool parse_sizes(const char *text, char between, size_t least, size_t count, size_t *sizes)
{
    for (size_t i = 0; i < count; i++) {
        char *end;
        if (*text < '0' || *text > '9')
            return false;
        unsigned long long value = strtoull(text, &end, 10);
        if (value < least || value > SIZE_MOST || *end != (i + 1 < count ? between : '\0'))
            return false;
        sizes[i] = (size_t)value;
        text = end + 1;
    }
    return true;
}

static bool parse_ints(const char *text, size_t count, size_t *values)
{
    for (size_t i = 0; i < count; i++) {
        char *end;
        const bool negative = *text == '-';
        text += negative;
        if (*text < '0' || *text > '9')
            return false;
        unsigned long value = strtoul(text, &end, 10);
        if (value > 255 || *end != (i + 1 < count ? ',' : '\0'))
            return false;
        values[i] = negative ? (size_t)0 - value : value;
        text = end + 1;
    }
    return true;
}

static bool parse_byte(const char *text, size_t *byte)
{
    char *end;
    if (strlen(text) != 2 || strspn(text, "0123456789abcdef") != 2)
        return false;
    *byte = strtoul(text, &end, 16);
    return true;
}

/* Is this text the word, and what it says into the case? */
static bool parse_word(const char *text, const struct word *w, struct conform_case *c)
{
    size_t length = strlen(w->key), values[MEMBERS] = {0};
    if (strncmp(text, w->key, length) != 0)
        return false;
    const char *rest = text + length;
    bool good = false;
    switch (w->kind) {
    case FLAG:
        values[0] = 1;
        good = *rest == '\0';
        break;
    case CHOICE:
        for (size_t i = 1; i < w->count; i++)
            if (strcmp(rest, w->names[i]) == 0) {
                values[0] = i;
                good = true;
            }
        break;
    case BYTE:
        values[0] = FILL_CONSTANT;
        good = parse_byte(rest, &values[1]);
        break;
    case SIZES:
        good = parse_sizes(rest, separator(w), w->usual, w->count, values);
        break;
    case INTS:
        good = parse_ints(rest, w->count, values);
    }
    for (size_t i = 0; good && i < members(w); i++)
        set(c, w, i, values[i]);
    return good;
}

static enum qdot_type parse_type(const char *text, enum qdot_type least, enum qdot_type most)
{
    for (enum qdot_type t = least; t <= most; t++)
        if (strcmp(text, type_names[t]) == 0)
            return t;
    return QDOT_TYPE_DEFAULT;
}

/* The next one of those with spaces between, NULL: none is left. */
static const char *next_token(char **rest)
{
    char *token = *rest + strspn(*rest, " "), *end = token + strcspn(token, " ");
    *rest = end + (*end != '\0');
    *end = '\0';
    return *token ? token : NULL;
}

static bool parse_types(char **rest, struct conform_case *c)
{
    const char *operands = next_token(rest), *out = next_token(rest);
    char a[3] = "";
    if (!operands || !out || strlen(operands) != 4)
        return false;
    memcpy(a, operands, 2);
    c->a_type = parse_type(a, QDOT_U8, QDOT_S8);
    c->b_type = parse_type(operands + 2, QDOT_U8, QDOT_S8);
    c->out_type = parse_type(out, QDOT_U8, QDOT_F32);
    return c->a_type && c->b_type && c->out_type;
}

static bool parse_one_type(char **rest, enum qdot_type most, enum qdot_type *type)
{
    const char *text = next_token(rest);
    *type = text ? parse_type(text, QDOT_U8, most) : QDOT_TYPE_DEFAULT;
    return *type != QDOT_TYPE_DEFAULT;
}

static bool parse_elements(const char *kind, const char *shape, struct conform_case *c)
{
    size_t s[3];
    for (size_t i = 0; i < ELEMENT_KINDS; i++)
        if (strcmp(kind, element_kinds[i]) == 0 && parse_sizes(shape, 'x', 1, 3, s)) {
            c->kind = QDOT_QUANTIZE;
            c->elements.kind = (enum qdot_op_kind)(QDOT_QUANTIZE + (int)i);
            c->elements.outer = s[0];
            c->elements.axis = s[1];
            c->elements.inner = s[2];
            return true;
        }
    return false;
}

static bool parse_strides(const char *text, char tensor, const struct qdot_map *m, size_t *strides)
{
    return text && *text == tensor && parse_sizes(text + 1, 'x', 0, m->rank, strides);
}

/* Of two operands there is one text more. */
static bool parse_map(const char *dims, char **rest, struct conform_case *c)
{
    struct qdot_map *m = &c->map;
    const char *a = next_token(rest), *b = next_token(rest);
    c->kind = QDOT_MAP;
    m->operands = b && *b == 'b' ? 2 : 1;
    m->rank = 1;
    for (const char *x = dims; (x = strchr(x, 'x')) != NULL; x++)
        m->rank++;
    return m->rank <= QDOT_MAP_RANK && parse_sizes(dims, 'x', 1, m->rank, m->dims) &&
           parse_strides(a, 'a', m, m->a_stride) &&
           (m->operands < 2 || parse_strides(b, 'b', m, m->b_stride)) &&
           parse_strides(m->operands < 2 ? b : next_token(rest), 'o', m, m->out_stride);
}

static bool parse_gemm(const char *shape, struct conform_case *c)
{
    size_t s[3];
    if (!parse_sizes(shape, 'x', 1, 3, s))
        return false;
    c->kind = QDOT_GEMM;
    c->m = s[0];
    c->n = s[1];
    c->k = s[2];
    return true;
}

/* A kernel's output channels come first; of a pool it has none. */
static bool parse_windows(enum qdot_op_kind kind, const char *input, const char *kernel,
                          struct conform_case *c)
{
    const size_t first = kind == QDOT_CONV ? 0 : 1;
    size_t s[4], k[3] = {0};
    if (!kernel || !parse_sizes(input, 'x', 1, 4, s) ||
        !parse_sizes(kernel, 'x', 1, 3 - first, k + first))
        return false;
    c->kind = kind;
    c->conv = (struct qdot_conv){.batch = s[0],
                                 .height = s[1],
                                 .width = s[2],
                                 .channels = s[3],
                                 .out_channels = k[0],
                                 .kernel_h = k[1],
                                 .kernel_w = k[2]};
    return true;
}

static bool parse_shape(char **rest, struct conform_case *c)
{
    const char *kind = next_token(rest), *shape = next_token(rest);
    if (!kind || !shape)
        return false;
    if (strcmp(kind, "gemm") == 0)
        return parse_gemm(shape, c);
    if (strcmp(kind, "conv") == 0)
        return parse_windows(QDOT_CONV, shape, next_token(rest), c);
    if (strcmp(kind, "max_pool") == 0)
        return parse_windows(QDOT_MAX_POOL, shape, next_token(rest), c);
    if (strcmp(kind, "average_pool") == 0)
        return parse_windows(QDOT_AVERAGE_POOL, shape, next_token(rest), c);
    if (strcmp(kind, "map") == 0)
        return parse_map(shape, rest, c);
    return parse_elements(kind, shape, c);
}

#define SHAPES                                                                                 \
    "'gemm MxNxK', 'conv BxHxWxC OxKHxKW', 'max_pool BxHxWxC KHxKW' (average_pool), 'map DxD " \
    "aSxS oSxS' or "                                                                           \
    "'quantize OUTERxAXISxINNER' (dequantize ...), sizes from 1 to 16777216"

static bool refuse(char *wrong, size_t bytes, const char *what)
{
    snprintf(wrong, bytes, "%s", what);
    return false;
}

bool problem_parse(const char *text, struct conform_case *c, char *wrong, size_t wrong_bytes)
{
    char copy[PROBLEM_TEXT], *rest = copy;
    *c = (struct conform_case){0};
    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
        return refuse(wrong, wrong_bytes, "a text of at most 511 bytes");
    if (!parse_shape(&rest, c))
        return refuse(wrong, wrong_bytes, SHAPES);
    if (case_is_product(c) && !parse_types(&rest, c))
        return refuse(wrong, wrong_bytes, "then types such as u8s8, and s32, f32, s8 or u8");
    if ((c->kind == QDOT_QUANTIZE && !parse_one_type(&rest, QDOT_U4, &c->elements.type)) ||
        (c->kind == QDOT_MAX_POOL && !parse_one_type(&rest, QDOT_S8, &c->a_type)))
        return refuse(wrong, wrong_bytes, "then a type such as u8");
    if (c->kind == QDOT_AVERAGE_POOL && (!parse_one_type(&rest, QDOT_S8, &c->a_type) ||
                                         !parse_one_type(&rest, QDOT_S8, &c->out_type)))
        return refuse(wrong, wrong_bytes, "then types of input and output, u8 or s8");
    for (size_t i = 0; i < WORDS; i++)
        if (words[i].usual == 1 && has_word(c, &words[i]))
            for (size_t j = 0; j < words[i].count; j++)
                set(c, &words[i], j, 1);
    for (const char *token; (token = next_token(&rest)) != NULL;) {
        bool known = false;
        for (size_t i = 0; i < WORDS && !known; i++)
            known =
                has_word(c, &words[i]) && is_usual(c, &words[i]) && parse_word(token, &words[i], c);
        if (!known) {
            snprintf(wrong, wrong_bytes, "no '%.60s' there (docs/report.md has the words)", token);
            return false;
        }
    }
    return problem_settle(c, wrong, wrong_bytes);
}

/* ---- what goes together ---------------------------------------------------------------------- */

static bool too_large(size_t a, size_t b, size_t c)
{
    const size_t most = (size_t)1 << 31;
    return a > most || b > most || (b && a > most / b) || (c && a * b > most / c);
}

static bool settle_conv(struct conform_case *c, char *wrong, size_t bytes)
{
    const struct qdot_conv *v = &c->conv;
    struct qdot_error err = {0};
    size_t height, width;
    if (v->channels % v->groups || v->out_channels % v->groups)
        return refuse(wrong, bytes, "groups that divide channels and output channels");
    if (qdot_conv_output(v, &height, &width, &err) || !height || !width)
        return refuse(wrong, bytes, err.text[0] ? err.text : "an output that is not empty");
    c->m = v->batch;
    c->n = v->out_channels;
    c->k = v->kernel_h * v->kernel_w * (v->channels / v->groups);
    c->b_transposed = c->b_at_run = false;
    c->b_gap = 0;
    c->row_scale = FLOATS_NONE;
    if (v->layout == QDOT_NCHW)
        c->a_gap = c->out_gap = 0;
    if (c->a_zero == ZERO_EACH)
        return refuse(wrong, bytes, "a-zero=each only for a gemm");
    if (too_large(v->batch * v->height, v->width, v->channels + c->a_gap) ||
        too_large(v->batch * height, width, c->n + c->out_gap) ||
        too_large(v->kernel_h, v->kernel_w, v->channels) || too_large(c->k, c->n, 4))
        return refuse(wrong, bytes, "operands of at most 2^31 values");
    return true;
}

static bool settle_output(struct conform_case *c, char *wrong, size_t bytes)
{
    const bool narrow = ref_size(c->out_type) == 1;
    const int32_t lo = c->out_type == QDOT_S8 ? -128 : 0;
    if (!narrow && (c->rounding || c->out_zero || c->clamp_lo || c->clamp_hi))
        return refuse(wrong, bytes, "round=, zero= and clamp= only with s8 and u8");
    if (c->out_type == QDOT_S32 && c->scale)
        return refuse(wrong, bytes, "no scale= with s32");
    if (c->out_type != QDOT_F32 && (c->row_scale || c->bias_f))
        return refuse(wrong, bytes, "row-scale= and bias-f= only with f32");
    if (narrow && (c->out_zero < lo || c->out_zero > lo + 255 || c->clamp_lo > c->clamp_hi ||
                   ((c->clamp_lo || c->clamp_hi) && (c->clamp_lo < lo || c->clamp_hi > lo + 255))))
        return refuse(wrong, bytes, "zero= and clamp= in the output's range");
    if (case_has_multipliers(c) && c->scale == SCALE_NONE)
        c->scale = SCALE_ONE;
    return true;
}

static bool settle_elements(struct conform_case *c, char *wrong, size_t bytes)
{
    struct elements_case *e = &c->elements;
    if (too_large(e->outer, e->axis, e->inner) || too_large(e->outer * e->axis, e->inner, 4))
        return refuse(wrong, bytes, "operands of at most 2^31 bytes");
    if (e->type == QDOT_F32 || (e->type == QDOT_S32 && e->kind != QDOT_DEQUANTIZE) ||
        (e->type != QDOT_U8 && e->kind == QDOT_DYNAMIC_QUANTIZE))
        return refuse(wrong, bytes, "u8, s8, u16, s16, u4, s4; dequantize: s32; dynamic: only u8");
    elements_settle(e);
    return true;
}

/* What qdot.h says of the strides of out: no two elements share a byte. */
static bool apart(const struct qdot_map *m)
{
    for (size_t d = 0; d < m->rank; d++) {
        size_t reach = 0; /* of the others that are no further apart */
        for (size_t i = 0; i < m->rank; i++)
            if (i != d && m->out_stride[i] <= m->out_stride[d])
                reach += (m->dims[i] - 1) * m->out_stride[i];
        if (m->dims[d] > 1 && m->out_stride[d] <= reach)
            return false;
    }
    return true;
}

static bool settle_map(struct conform_case *c, char *wrong, size_t bytes)
{
    struct qdot_map *m = &c->map;
    if (!apart(m))
        return refuse(wrong, bytes, "strides of out with which no two elements share a byte");
    if (map_reach(m, m->a_stride, m->dims[0]) > (size_t)1 << 31 ||
        map_reach(m, m->b_stride, m->dims[0]) > (size_t)1 << 31 ||
        map_reach(m, m->out_stride, m->dims[0]) > (size_t)1 << 31)
        return refuse(wrong, bytes, "operands of at most 2^31 bytes");
    if (m->operands < 2) {
        memset(m->b_stride, 0, sizeof(m->b_stride));
        c->b_fill = FILL_MIXED;
    }
    c->table = c->table || m->operands == 2;
    return true;
}

static bool settle_pool(struct conform_case *c, char *wrong, size_t bytes)
{
    struct qdot_conv *v = &c->conv;
    struct qdot_error err = {0};
    size_t height, width;
    v->out_channels = v->channels;
    v->groups = 1;
    if (qdot_conv_output(v, &height, &width, &err) || !height || !width)
        return refuse(wrong, bytes, err.text[0] ? err.text : "an output that is not empty");
    if (v->layout == QDOT_NCHW)
        c->a_gap = c->out_gap = 0;
    if (too_large(v->batch * v->height, v->width, v->channels + c->a_gap) ||
        too_large(v->batch * height, width, v->channels + c->out_gap))
        return refuse(wrong, bytes, "operands of at most 2^31 bytes");
    if (height * v->kernel_h > SIZE_MOST || width * v->kernel_w > SIZE_MOST)
        return refuse(wrong, bytes, "at most 16777216 taps along an axis");
    if (!ref_pool_valid(v))
        return refuse(wrong, bytes, "windows that each have an element of the input");
    return true;
}

/* Without scales an average has nothing that goes with them. */
static bool settle_average(struct conform_case *c, char *wrong, size_t bytes)
{
    if (c->scale == SCALE_NONE) {
        c->rounding = QDOT_ROUND_RNE;
        c->a_zero = ZERO_NONE;
        c->out_zero = 0;
        c->count_padding = false;
    }
    if (c->rounding > QDOT_ROUND_RNE_ZERO_FIRST || c->a_zero == ZERO_EACH)
        return refuse(wrong, bytes, "round=rne-zero-first and no others, no a-zero=each");
    if (c->conv.kernel_h * c->conv.kernel_w > 65536)
        return refuse(wrong, bytes, "at most 65536 taps");
    return settle_output(c, wrong, bytes);
}

bool problem_settle(struct conform_case *c, char *wrong, size_t bytes)
{
    if (c->runs > RUNS_MAX || c->threads > 1024)
        return refuse(wrong, bytes, "at most runs=4, threads=1024");
    if (c->kind == QDOT_QUANTIZE)
        return settle_elements(c, wrong, bytes);
    if (c->kind == QDOT_MAP)
        return settle_map(c, wrong, bytes);
    if (c->kind == QDOT_AVERAGE_POOL && !settle_average(c, wrong, bytes))
        return false;
    if (c->kind == QDOT_MAX_POOL || c->kind == QDOT_AVERAGE_POOL)
        return settle_pool(c, wrong, bytes);
    if (!settle_output(c, wrong, bytes))
        return false;
    if (c->kind == QDOT_CONV) {
        if (!settle_conv(c, wrong, bytes))
            return false;
    } else if (too_large(c->m, c->k + c->a_gap, 1) || too_large(c->m, c->n + c->out_gap, 4) ||
               too_large(c->k + c->b_gap, c->n + c->b_gap, 1)) {
        return refuse(wrong, bytes, "operands of at most 2^31 values");
    }
    c->wide_bias = c->wide_bias && c->bias;
    if (c->cache_percent > 1000)
        return refuse(wrong, bytes, "at most caches=1000");
    if (c->repeats > 1000 ||
        (c->repeats && (c->place > PLACE_HOST_START || c->a_gap || c->out_gap)))
        return refuse(wrong, bytes, "at most repeats=1000, on host memory, without gaps");
    if (c->cache_percent && !c->threads)
        return refuse(wrong, bytes, "threads= with caches=");
    if (c->packed && c->b_at_run)
        return refuse(wrong, bytes, "packed or b-at-run, not both");
    if (c->chain && (ref_size(c->out_type) != 1 || c->a_gap || c->out_gap ||
                     c->place != PLACE_BUFFERS || c->b_at_run))
        return refuse(wrong, bytes, "chain with place=buffers, s8 or u8, no gaps or b-at-run");
    return true;
}
