/* The dispatcher: the order of rows, forcing, explaining, enumerating. */
#include "api.h"
#include <stdio.h>

enum { M = 5, N = 19, K = 23, ROWS = 64 };
enum shape { GEMM, CONV, DEPTHWISE, SHAPES };

static const uint8_t b_bytes[K * N];

static struct qdot_op_desc op_desc(enum shape shape, const char *kernel)
{
    const struct qdot_conv conv = {.height = 4,
                                   .width = 5,
                                   .channels = shape == CONV ? 2 : N,
                                   .out_channels = N,
                                   .kernel_h = 3,
                                   .kernel_w = 3,
                                   .groups = shape == CONV ? 1 : N};
    if (shape == GEMM)
        return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                     .m = M,
                                     .n = N,
                                     .k = K,
                                     .b = b_bytes,
                                     .kernel = kernel};
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .kind = QDOT_CONV,
                                 .conv = conv,
                                 .b = b_bytes,
                                 .kernel = kernel};
}

static struct qdot_device *open_without(const char *disable)
{
    struct qdot_device_desc desc = {.size = sizeof(desc),
                                    .device = api_device(),
                                    .cache_dir = "",
                                    .budget_us = 1, /* of one device: none is measured */
                                    .thread_count = 1,
                                    .disable = disable};
    struct qdot_device *device;
    struct qdot_error err = {0};
    if (qdot_open(&desc, &device, &err))
        fail_msg("%s", err.text);
    return device;
}

/* The rows for this kind of op. */
static size_t rows_of(struct qdot_device *device, enum shape shape, struct qdot_row_info *rows)
{
    struct qdot_error err = {0};
    size_t count = 0;
    for (size_t i = 0; count < ROWS; i++) {
        rows[count].size = sizeof(rows[count]);
        if (qdot_device_row(device, i, &rows[count], &err) == QDOT_END)
            return count;
        count += rows[count].kind == (shape == GEMM ? QDOT_GEMM : QDOT_CONV);
    }
    fail_msg("more than %d rows", ROWS);
    return 0;
}

static int has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += length)
        if ((at == words || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
            return 1;
    return 0;
}

/* Does the dispatcher take this row on its own? Not where explain says that it has a niche, and is
 * taken elsewhere by name. */
static int takes(struct qdot_device *device, enum shape shape, const struct qdot_row_info *row,
                 size_t index)
{
    struct qdot_op_desc desc = op_desc(shape, NULL);
    struct qdot_candidate list[ROWS];
    struct qdot_error err = {0};
    size_t count;
    if (qdot_explain(device, &desc, list, ROWS, &count, &err))
        fail_msg("%s", err.text);
    assert_true(index < count);
    assert_string_equal(list[index].row, row->name);
    return row->admitted && !strstr(list[index].reason, "by name") &&
           (shape != CONV || !row->depthwise);
}

/* Features in info.features stand newest first. Taking them away one by one, the op goes to the
 * first row of the table whose features are left and whose niche, if any, it is in, so never back up;
 * with none left, to the last row, or one for depthwise convolution alone. */
static void walk_down(enum shape shape)
{
    struct qdot_error err = {0};
    struct qdot_device *device = open_without(NULL);
    struct qdot_device_info info = {.size = sizeof(info)};
    assert_int_equal(qdot_device_info(device, &info, &err), QDOT_OK);
    qdot_close(device);

    char features[512], disable[512] = "";
    strcpy(features, info.features);
    size_t before = 0, steps = 0;
    char *save = NULL, *feature = strtok_r(features, " ", &save);
    for (;; feature = strtok_r(NULL, " ", &save)) {
        struct qdot_row_info rows[ROWS];
        struct qdot_op *op;
        struct qdot_op_desc desc = op_desc(shape, NULL);
        device = open_without(disable);
        size_t count = rows_of(device, shape, rows), first = 0, chosen;
        assert_true(count > 0);
        assert_int_equal(qdot_device_info(device, &info, &err), QDOT_OK);
        assert_string_equal(rows[count - 1].features, ""); /* the last row needs nothing */
        for (size_t i = 0; i < count; i++) {
            char needs[128], *inner = NULL;
            strcpy(needs, rows[i].features);
            for (char *word = strtok_r(needs, " ", &inner); word;
                 word = strtok_r(NULL, " ", &inner))
                if (!has_word(info.features, word))
                    assert_false(rows[i].admitted);
            assert_int_equal(rows[i].admitted, rows[i].reason[0] == '\0');
        }
        while (first < count && !takes(device, shape, &rows[first], first))
            first++;
        assert_true(first < count);
        if (qdot_op_create(device, &desc, &op, &err))
            fail_msg("%s", err.text);
        for (chosen = 0; strcmp(rows[chosen].name, qdot_op_row(op)) != 0; chosen++)
            assert_true(chosen + 1 < count);
        assert_int_equal(chosen, first);
        assert_true(chosen >= before);
        before = chosen;
        qdot_op_destroy(op);
        qdot_close(device);
        if (!feature) {
            assert_string_equal(rows[chosen].features, "");
            assert_true(chosen == count - 1 || shape == DEPTHWISE);
            break;
        }
        size_t used = strlen(disable);
        snprintf(disable + used, sizeof(disable) - used, "%s%s", used ? "," : "", feature);
        steps++;
    }
    print_message("%zu features taken away\n", steps);
}

static void test_walks_down(void **state)
{
    (void)state;
    for (enum shape shape = GEMM; shape < SHAPES; shape++)
        walk_down(shape);
}

static void force(enum shape shape)
{
    struct qdot_error err = {0};
    struct qdot_row_info rows[ROWS];
    struct qdot_device *device = open_without(NULL);
    struct qdot_op *op;
    size_t count = rows_of(device, shape, rows), taken = 0;
    for (size_t i = 0; i < count; i++) {
        struct qdot_op_desc desc = op_desc(shape, rows[i].name);
        int status = qdot_op_create(device, &desc, &op, &err);
        if (!rows[i].admitted) {
            api_expect(rows[i].name, status, QDOT_UNSUPPORTED, &err, "kernel");
            assert_null(op);
            continue;
        }
        if (status == QDOT_UNSUPPORTED) { /* not for this shape */
            api_expect(rows[i].name, status, QDOT_UNSUPPORTED, &err, "kernel");
            continue;
        }
        taken++;
        assert_int_equal(status, QDOT_OK);
        assert_string_equal(qdot_op_row(op), rows[i].name);
        qdot_op_destroy(op);
        desc.kernel = strchr(rows[i].name, '/') + 1; /* without its backend */
        assert_int_equal(qdot_op_create(device, &desc, &op, &err), QDOT_OK);
        assert_string_equal(qdot_op_row(op), rows[i].name);
        qdot_op_destroy(op);
    }
    assert_true(taken > 0);
    qdot_close(device);
}

static void test_forced(void **state)
{
    (void)state;
    for (enum shape shape = GEMM; shape < SHAPES; shape++)
        force(shape);
}

/* Rows are for one kind of op, whatever their name is asked for. */
static void test_forced_for_another_kind(void **state)
{
    (void)state;
    struct qdot_error err = {0};
    struct qdot_row_info rows[ROWS];
    struct qdot_device *device = open_without(NULL);
    struct qdot_op *op;
    for (enum shape shape = GEMM; shape < SHAPES; shape++) {
        size_t count = rows_of(device, shape == GEMM ? CONV : GEMM, rows);
        for (size_t i = 0; i < count; i++) {
            struct qdot_op_desc desc = op_desc(shape, rows[i].name);
            api_expect(rows[i].name, qdot_op_create(device, &desc, &op, &err), QDOT_UNSUPPORTED,
                       &err, "kernel");
            assert_null(op);
        }
    }
    qdot_close(device);
}

/* A row whose feature is hidden cannot be had by name, and nothing else is given instead. */
static void test_forced_impossible(void **state)
{
    (void)state;
    struct qdot_error err = {0};
    struct qdot_row_info rows[ROWS];
    struct qdot_device_info info = {.size = sizeof(info)};
    struct qdot_device *device = open_without(NULL);
    assert_int_equal(qdot_device_info(device, &info, &err), QDOT_OK);
    qdot_close(device);
    for (char *c = info.features; *c; c++)
        if (*c == ' ')
            *c = ',';
    device = open_without(info.features);
    size_t refused = 0;
    for (enum shape shape = GEMM; shape <= CONV; shape++) {
        size_t count = rows_of(device, shape, rows);
        for (size_t i = 0; i < count; i++) {
            if (!rows[i].features[0])
                continue;
            struct qdot_op_desc desc = op_desc(shape, rows[i].name);
            struct qdot_op *op;
            api_expect(rows[i].name, qdot_op_create(device, &desc, &op, &err), QDOT_UNSUPPORTED,
                       &err, "kernel");
            assert_null(op);
            assert_false(rows[i].admitted);
            refused++;
        }
    }
    print_message("%zu rows refused by name\n", refused);
    qdot_close(device);
}

/* A device that may round floats otherwise gives sums and rounds by integers; it says why nothing else. */
static void test_unpinned_floats(void **state)
{
    (void)state;
    static const enum qdot_type outs[] = {QDOT_S32, QDOT_F32, QDOT_U8, QDOT_S8};
    struct qdot_error err = {0};
    struct qdot_device_info info = {.size = sizeof(info)};
    struct qdot_device *device = open_without(NULL);
    assert_int_equal(qdot_device_info(device, &info, &err), QDOT_OK);
    qdot_close(device);
    if (!has_word(info.features, "float_controls"))
        skip();
    device = open_without("float_controls");
    for (enum shape shape = GEMM; shape < SHAPES; shape++) {
        struct qdot_op *op;
        for (size_t i = 0; i < sizeof(outs) / sizeof(outs[0]); i++) {
            struct qdot_op_desc desc = op_desc(shape, NULL);
            const float scale = 1;
            desc.out_type = outs[i];
            desc.scale = outs[i] == QDOT_S32 ? NULL : &scale;
            desc.scale_count = outs[i] != QDOT_S32;
            const int status = qdot_op_create(device, &desc, &op, &err);
            if (outs[i] == QDOT_S32 && status != QDOT_OK)
                fail_msg("%s", err.text);
            if (outs[i] != QDOT_S32)
                api_expect("out_type", status, QDOT_UNSUPPORTED, &err, "float_controls");
            qdot_op_destroy(op);
        }
        static const int32_t multiplier = 1 << 30, shift = 0;
        struct qdot_op_desc desc = op_desc(shape, NULL);
        desc.out_type = QDOT_U8;
        desc.rounding = QDOT_ROUND_Q31_SINGLE_UP;
        desc.multiplier = &multiplier;
        desc.shift = &shift;
        desc.multiplier_count = 1;
        if (qdot_op_create(device, &desc, &op, &err))
            fail_msg("%s", err.text);
        qdot_op_destroy(op);
    }
    qdot_close(device);
}

static void check_explained(struct qdot_device *device, enum shape shape,
                            const struct qdot_op_desc *desc)
{
    struct qdot_candidate list[ROWS], one[1];
    struct qdot_row_info rows[ROWS];
    struct qdot_error err = {0};
    struct qdot_op *op;
    size_t count, again, chosen = ROWS, total = rows_of(device, shape, rows);
    if (qdot_explain(device, desc, list, ROWS, &count, &err))
        fail_msg("%s", err.text);
    assert_int_equal(count, total);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(list[i].row, rows[i].name);
        assert_true(list[i].reason[0] != '\0');
        assert_true(list[i].device[0] != '\0');
        if (list[i].chosen) {
            assert_int_equal(chosen, ROWS); /* exactly one */
            chosen = i;
        }
    }
    assert_true(chosen < count);
    assert_int_equal(qdot_explain(device, desc, one, 1, &again, &err), QDOT_OK);
    assert_int_equal(again, count);
    assert_int_equal(qdot_explain(device, desc, NULL, 0, &again, &err), QDOT_OK);
    assert_int_equal(again, count);
    assert_int_equal(qdot_op_create(device, desc, &op, &err), QDOT_OK);
    struct qdot_device_info info = {.size = sizeof(info)};
    assert_int_equal(qdot_device_info(device, &info, &err), QDOT_OK);
    if (strcmp(info.name, "auto") != 0) /* there times decide, and they vary */
        assert_string_equal(qdot_op_row(op), list[chosen].row);
    qdot_op_destroy(op);
}

static void test_explain(void **state)
{
    (void)state;
    struct qdot_error err = {0};
    struct qdot_device *device = open_without(NULL);
    struct qdot_row_info rows[ROWS];
    struct qdot_candidate list[1];
    for (enum shape shape = GEMM; shape < SHAPES; shape++) {
        struct qdot_op_desc desc = op_desc(shape, NULL);
        check_explained(device, shape, &desc);
        size_t count = rows_of(device, shape, rows);
        desc.kernel = rows[count - 1].name;
        check_explained(device, shape, &desc);
        assert_int_equal(qdot_explain(device, &desc, list, 1, NULL, &err), QDOT_INVALID);
        assert_int_equal(qdot_explain(device, &desc, NULL, 1, &count, &err), QDOT_INVALID);
    }
    qdot_close(device);
}

static void test_auto(void **state)
{
    (void)state;
    struct qdot_error err = {0};
    struct qdot_device_desc open = {.size = sizeof(open), .cache_dir = "", .budget_us = 20000};
    struct qdot_device *device;
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    struct qdot_op_desc desc = op_desc(GEMM, NULL);
    struct qdot_device_info info = {.size = sizeof(info)};
    assert_int_equal(qdot_device_info(device, &info, &err), QDOT_OK);
    assert_string_equal(info.name, "auto");
    assert_non_null(qdot_device_child(device, 0));
    check_explained(device, GEMM, &desc);
    desc = op_desc(CONV, NULL);
    check_explained(device, CONV, &desc);
    desc = op_desc(GEMM, NULL);
    struct qdot_op *op;
    assert_int_equal(qdot_op_create(device, &desc, &op, &err), QDOT_OK);
    assert_ptr_not_equal(qdot_op_device(op), device);
    uint8_t a[M * K] = {0};
    int32_t out[M * N];
    struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = out};
    memset(out, 0xAA, sizeof(out));
    assert_int_equal(qdot_op_run(op, &run, &err), QDOT_OK);
    for (size_t i = 0; i < M * N; i++)
        assert_int_equal(out[i], 0);
    assert_int_equal(qdot_sync(device, &err), QDOT_OK);
    qdot_op_destroy(op);
    qdot_close(device);
}

static void *small_alloc(void *ctx, size_t bytes, size_t alignment)
{
    (void)ctx;
    return bytes > (size_t)256 << 20 ? NULL : aligned_alloc(alignment, bytes);
}

static void small_release(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

/* m is an upper bound: measuring does not need memory for so many rows. */
static void test_auto_m_without_bound(void **state)
{
    (void)state;
    struct qdot_error err = {0};
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .cache_dir = "",
                                    .budget_us = 20000, /* the first, however slow */
                                    .allocator = {NULL, small_alloc, small_release}};
    struct qdot_device *device;
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    struct qdot_op_desc desc = op_desc(GEMM, NULL);
    desc.m = (size_t)1 << 40;
    struct qdot_candidate list[ROWS];
    size_t count, measured = 0;
    if (qdot_explain(device, &desc, list, ROWS, &count, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++)
        measured += list[i].time_ns > 0;
    assert_true(measured > 0);
    qdot_close(device);
}

static void test_enumeration(void **state)
{
    (void)state;
    struct qdot_error err = {0};
    struct qdot_device_info infos[64];
    size_t count, again;
    assert_int_equal(qdot_devices(NULL, 0, &count, &err), QDOT_OK);
    assert_in_range(count, 1, 64);
    assert_int_equal(qdot_devices(infos, 64, &again, &err), QDOT_OK);
    assert_int_equal(again, count);
    assert_int_equal(qdot_devices(infos, 1, &again, &err), QDOT_OK);
    assert_int_equal(again, count);
    assert_int_equal(qdot_devices(NULL, 1, &again, &err), QDOT_INVALID);
    for (size_t i = 0; i < count; i++) {
        struct qdot_device_desc open = {
            .size = sizeof(open), .device = infos[i].name, .cache_dir = ""};
        struct qdot_device *device;
        assert_true(infos[i].backend[0] != '\0');
        if (!infos[i].available) { /* there to say why */
            assert_true(infos[i].reason[0] != '\0');
            open.device = infos[i].backend;
            assert_int_equal(qdot_open(&open, &device, &err), QDOT_NO_DEVICE);
            assert_null(device);
            continue;
        }
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(infos[i].name, infos[j].name);
        struct qdot_device_info info = {.size = sizeof(info)};
        if (qdot_open(&open, &device, &err))
            fail_msg("%s: %s", infos[i].name, err.text);
        assert_int_equal(qdot_device_info(device, &info, &err), QDOT_OK);
        assert_string_equal(info.name, infos[i].name);
        assert_string_equal(info.description, infos[i].description);
        assert_ptr_equal(qdot_device_child(device, 0), device);
        assert_null(qdot_device_child(device, 1));
        qdot_close(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enumeration),
        cmocka_unit_test(test_walks_down),
        cmocka_unit_test(test_forced),
        cmocka_unit_test(test_forced_for_another_kind),
        cmocka_unit_test(test_forced_impossible),
        cmocka_unit_test(test_unpinned_floats),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_auto),
        cmocka_unit_test(test_auto_m_without_bound),
    };
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
