/* Tuning: what decides for a row, and the files. */
#include "api.h"
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { M = 5, N = 19, K = 23, ROWS = 64, SIDE = 13, CHANNELS = 16 };
#define PROBLEM "gemm 5x19x23 u8s8 s32"

static const uint8_t b_bytes[K * N];

struct fixture {
    char directory[64], file[96];
    struct qdot_device *device;
    struct qdot_device_info info;
    struct qdot_row_info rows[ROWS]; /* of products, admitted */
    size_t count;
    int has_files; /* built with jansson */
};

static struct qdot_op_desc op_desc(const char *kernel)
{
    return (struct qdot_op_desc){.size = sizeof(struct qdot_op_desc),
                                 .m = M,
                                 .n = N,
                                 .k = K,
                                 .b = b_bytes,
                                 .kernel = kernel};
}

static int open_with(const struct fixture *f, const char *file, uint64_t budget_us,
                     struct qdot_device **device, struct qdot_error *err)
{
    struct qdot_device_desc desc = {.size = sizeof(desc),
                                    .device = api_device(),
                                    .cache_dir = f->directory,
                                    .thread_count = 1,
                                    .budget_us = budget_us,
                                    .tuning_file = file};
    return qdot_open(&desc, device, err);
}

/* The rows that this op can have by name: asked once, since that compiles them all. */
static int setup_group(void **state)
{
    static struct fixture rows;
    struct qdot_error err = {0};
    struct qdot_device *device;
    size_t bytes;
    if (open_with(&rows, NULL, 1, &device, &err))
        fail_msg("%s", err.text);
    assert_int_equal(qdot_device_info(device, &rows.info, &err), QDOT_OK);
    for (size_t i = 0;; i++) {
        struct qdot_op *op;
        assert_true(rows.count < ROWS);
        if (qdot_device_row(device, i, &rows.rows[rows.count], &err) == QDOT_END)
            break;
        struct qdot_op_desc desc = op_desc(rows.rows[rows.count].name);
        if (!rows.rows[rows.count].admitted || qdot_op_create(device, &desc, &op, &err))
            continue;
        qdot_op_destroy(op);
        rows.count++;
    }
    assert_true(rows.count > 0);
    rows.has_files = qdot_tuning_text(device, NULL, 0, &bytes, &err) == QDOT_OK;
    qdot_close(device);
    *state = &rows;
    return 0;
}

static int setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    struct qdot_error err = {0};
    assert_non_null(f);
    *f = *(const struct fixture *)*state;
    strcpy(f->directory, "/tmp/qdot_tuning_XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->file, sizeof(f->file), "%s/given.json", f->directory);
    if (open_with(f, NULL, 1, &f->device, &err))
        fail_msg("%s", err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];
    qdot_close(f->device);
    snprintf(command, sizeof(command), "rm -r %s", f->directory);
    const int left = system(command);
    free(f);
    return left;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) < 0 || fclose(file), 0);
}

static void expect_row(struct qdot_device *device, const char *kernel, const char *row)
{
    struct qdot_op_desc desc = op_desc(kernel);
    struct qdot_error err = {0};
    struct qdot_op *op;
    if (qdot_op_create(device, &desc, &op, &err))
        fail_msg("%s", err.text);
    assert_string_equal(qdot_op_row(op), row);
    qdot_op_destroy(op);
}

static struct qdot_candidate explained(struct qdot_device *device, const char *row)
{
    struct qdot_candidate list[ROWS];
    struct qdot_op_desc desc = op_desc(NULL);
    struct qdot_error err = {0};
    size_t count, i = 0;
    if (qdot_explain(device, &desc, list, ROWS, &count, &err))
        fail_msg("%s", err.text);
    while (i < count && (row ? strcmp(list[i].row, row) != 0 : !list[i].chosen))
        i++;
    assert_true(i < count);
    return list[i];
}

/* The text of a file with one time and one override. */
static const char *file_text(const struct fixture *f, const char *time_row, const char *problem,
                             const char *row, const char *device)
{
    static char text[2048];
    snprintf(text, sizeof(text),
             "{\"qdot_tuning\": 1, \"unknown\": [{\"a\": 1}], \"overrides\": [\n"
             "  {\"problem\": \"%s\", \"row\": \"%s\"%s%s%s}],\n"
             " \"times\": [\n"
             "  {\"device\": \"%s\", \"driver\": \"%s\", \"problem\": \"" PROBLEM "\",\n"
             "   \"row\": \"%s\", \"threads\": %d, \"ns\": 1000, \"more\": {}}]}\n",
             problem, row, device ? ", \"device\": \"" : "", device ? device : "",
             device ? "\"" : "", f->info.description, f->info.driver, time_row, api_on_cpu());
    return text;
}

static void test_times_decide(void **state)
{
    struct fixture *f = *state;
    const struct qdot_op_desc desc = op_desc(NULL);
    struct qdot_error err = {0};
    const char *last = f->rows[f->count - 1].name, *first = f->rows[0].name;
    char before[64];
    snprintf(before, sizeof(before), "%s", explained(f->device, NULL).row);
    assert_int_equal(qdot_tuning_add(f->device, &desc, last, 5000, &err), QDOT_OK);
    expect_row(f->device, NULL, last);
    assert_int_equal(explained(f->device, last).basis, QDOT_BY_TIME);
    assert_int_equal(explained(f->device, last).time_ns, 5000);
    expect_row(f->device, first, first); /* by name is by name */
    assert_int_equal(qdot_tuning_add(f->device, &desc, strchr(first, '/') + 1, 4999, &err),
                     QDOT_OK);
    expect_row(f->device, NULL, first);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(qdot_tuning_add(f->device, &desc, i ? last : first, 0, &err), QDOT_OK);
    expect_row(f->device, NULL, before);
    api_expect("no such row", qdot_tuning_add(f->device, &desc, "cpu/none", 1, &err), QDOT_INVALID,
               &err, "row");
    api_expect("a long time", qdot_tuning_add(f->device, &desc, first, UINT64_MAX, &err),
               QDOT_INVALID, &err, "time_ns");
    api_expect("no row", qdot_tuning_add(f->device, &desc, NULL, 1, &err), QDOT_INVALID, &err,
               "row");
}

static void test_override_decides(void **state)
{
    struct fixture *f = *state;
    struct qdot_error err = {0};
    const char *last = f->rows[f->count - 1].name, *first = f->rows[0].name;
    struct qdot_device *device;
    if (!f->has_files)
        skip();
    static const char *const patterns[] = {PROBLEM, "gemm *", "*x19x* s32", "*"};
    for (size_t i = 0; i < 4; i++) {
        write_file(f->file, file_text(f, first, patterns[i], last, i == 1 ? "*" : NULL));
        if (open_with(f, f->file, 1, &device, &err))
            fail_msg("%s", err.text);
        expect_row(device, NULL, last);
        assert_int_equal(explained(device, NULL).basis, QDOT_BY_OVERRIDE);
        expect_row(device, first, first);
        qdot_close(device);
    }
    static const struct {
        const char *problem, *row, *device;
    } others[] = {{"gemm 5x19x24*", NULL, NULL}, {"conv *", NULL, NULL},
                  {PROBLEM, "cpu/none", NULL},   {PROBLEM, NULL, "no such device"},
                  {PROBLEM "?", NULL, NULL},     {"gemm 5x19x23", NULL, NULL}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        const char *row = others[i].row ? others[i].row : last;
        write_file(f->file, file_text(f, first, others[i].problem, row, others[i].device));
        if (open_with(f, f->file, 1, &device, &err))
            fail_msg("%s", err.text);
        expect_row(device, NULL, first); /* by its time */
        const struct qdot_candidate chosen = explained(device, NULL);
        assert_int_equal(chosen.basis, QDOT_BY_TIME);
        assert_int_equal(strstr(chosen.reason, "cpu/none") != NULL, others[i].row != NULL);
        qdot_close(device);
    }
}

/* A row that the device does not have, since its features are taken away: explain tells, and the
 * times decide. */
static void test_override_that_does_not_apply(void **state)
{
    struct fixture *f = *state;
    struct qdot_error err = {0};
    struct qdot_device *device;
    const char *last = f->rows[f->count - 1].name;
    size_t refused = 0;
    while (refused < f->count && !*f->rows[refused].features)
        refused++;
    if (!f->has_files || refused == f->count)
        skip(); /* no row needs a feature */
    write_file(f->file, file_text(f, last, "gemm*", f->rows[refused].name, NULL));
    struct qdot_device_desc desc = {.size = sizeof(desc),
                                    .device = api_device(),
                                    .disable = f->info.features,
                                    .cache_dir = "",
                                    .thread_count = 1,
                                    .budget_us = 1,
                                    .tuning_file = f->file};
    if (qdot_open(&desc, &device, &err))
        fail_msg("%s", err.text);
    expect_row(device, NULL, last);
    const struct qdot_candidate candidate = explained(device, f->rows[refused].name);
    assert_non_null(strstr(candidate.reason, "override does not apply"));
    assert_int_equal(candidate.basis, QDOT_BY_TABLE);
    qdot_close(device);
}

static void expect_wrong(struct fixture *f, const char *text, const char *line)
{
    struct qdot_error err = {0};
    struct qdot_device *device;
    char expected[128];
    write_file(f->file, text);
    assert_int_equal(open_with(f, f->file, 1, &device, &err), QDOT_INVALID);
    assert_null(device);
    snprintf(expected, sizeof(expected), "tuning_file: %s: line %s: ", f->file, line);
    if (!strstr(err.text, expected))
        fail_msg("%s: expected '%s' in '%s'", text, expected, err.text);
    assert_int_equal(qdot_tuning_read(f->device, f->file, &err), QDOT_INVALID);
}

static void test_wrong_files(void **state)
{
#define HEAD "{\"qdot_tuning\": 1, \"times\": [\n"
#define TIME(more) HEAD "{\"device\": \"d\", \"row\": \"r\", \"problem\": \"p\", " more "}]}"
    static const struct {
        const char *text, *line;
    } wrong[] = {
        {"", "1"},
        {"[]", "1"},
        {"{}", "1"},
        {"{\"qdot_tuning\": 2}", "1"},
        {"{\"qdot_tuning\": \"1\"}", "1"},
        {"{\"qdot_tuning\": 1,\n\n\"qdot_tuning\": 1}", "3"},
        {HEAD "\n5]}", "3"},
        {HEAD "{}]}", "2"},
        {HEAD "],\n\"times\": []}", "3"},
        {"{\"qdot_tuning\": 1, \"times\":\n {}}", "2"},
        {"{\"qdot_tuning\": 1, \"overrides\": [\n{\"problem\": \"*\"}]}", "2"},
        {TIME("\"ns\": 0"), "2"},
        {TIME("\"ns\": -1"), "2"},
        {TIME("\"ns\": 1.5"), "2"},
        {TIME("\"ns\": \"1\""), "2"},
        {TIME("\"ns\": 1000000000000001"), "2"},
        {TIME("\"ns\": 99999999999999999999"), "2"},
        {TIME("\"ns\": 1e999"), "2"},
        {TIME("\"ns\": 1, \"threads\": 1025"), "2"},
        {TIME("\"ns\": 1, \"kind\": \"x\""), "2"},
        {TIME("\"ns\": 1, \"kind\": 5"), "2"},
        {TIME("\"ns\": 1, \"kind\": null"), "2"},
        {TIME("\"ns\": 1, \"row\": \"r\""), "2"},
        {TIME("\"ns\": 1, \"driver\": null"), "2"},
        {TIME("\"ns\": 1}, {\"x\": \"],[{\\\"\"},\n {\"ns\": 1"), "2"},
        {TIME("\"ns\": 1},\n {\"x\": [\",\"], \"device\": 1"), "3"},
    };
    struct fixture *f = *state;
    struct qdot_error err = {0};
    struct qdot_device *device;
    if (!f->has_files)
        skip();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect_wrong(f, wrong[i].text, wrong[i].line);
    /* Cut off anywhere. */
    char *good = strdup(file_text(f, "r", "*", "r", "d"));
    for (size_t length = strlen(good) - 2; length > 0; length--) {
        good[length] = '\0';
        write_file(f->file, good);
        assert_int_equal(qdot_tuning_read(f->device, f->file, &err), QDOT_INVALID);
    }
    free(good);
    /* A text that is too long, deep nesting, a file that is too large, none, a directory. */
    char *deep = malloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    expect_wrong(f, deep, "1");
    free(deep);
    assert_int_equal(truncate(f->file, (off_t)100 << 20), 0);
    api_expect("100 MB", open_with(f, f->file, 1, &device, &err), QDOT_INVALID, &err, "bytes");
    unlink(f->file);
    api_expect("none", open_with(f, f->file, 1, &device, &err), QDOT_INVALID, &err, f->file);
    api_expect("a directory", open_with(f, f->directory, 1, &device, &err), QDOT_INVALID, &err,
               f->directory);
    expect_row(f->device, NULL, explained(f->device, NULL).row); /* nothing of it was taken */
    assert_int_equal(explained(f->device, NULL).basis, QDOT_BY_TABLE);
}

static char *text_of(struct qdot_device *device)
{
    struct qdot_error err = {0};
    size_t bytes, again;
    assert_int_equal(qdot_tuning_text(device, NULL, 0, &bytes, &err), QDOT_OK);
    char *text = calloc(1, bytes + 1);
    assert_non_null(text);
    assert_int_equal(qdot_tuning_text(device, text, 1, &again, &err), QDOT_OK);
    assert_int_equal(text[1], '\0');
    assert_int_equal(qdot_tuning_text(device, text, bytes, &again, &err), QDOT_OK);
    assert_int_equal(again, bytes);
    return text;
}

static void test_merge(void **state)
{
    static const char *const files[] = {
        HEAD "{\"device\": \"d\", \"row\": \"r\", \"problem\": \"p\", \"ns\": 30},"
             "{\"device\": \"d\", \"row\": \"r2\", \"problem\": \"p\", \"ns\": 7}],"
             "\"overrides\": [{\"problem\": \"b*\", \"row\": \"r\"}]}",
        HEAD
        "{\"device\": \"d\", \"row\": \"r\", \"problem\": \"p\", \"ns\": 20},"
        "{\"device\": \"d\", \"driver\": \"v\", \"row\": \"r\", \"problem\": \"p\", \"ns\": 9},"
        "{\"device\": \"d\", \"row\": \"r2\", \"problem\": \"p\", \"ns\": 8}],"
        "\"overrides\": [{\"problem\": \"a*\", \"row\": \"r\"},"
        "{\"problem\": \"b*\", \"row\": \"r\"}]}",
    };
    static const char *const lines[] = {
        "{\"problem\":\"b*\",\"row\":\"r\"}", "{\"problem\":\"a*\",\"row\":\"r\"}",
        "\"row\":\"r\",\"ns\":20}", "\"row\":\"r2\",\"ns\":7}",
        "\"driver\":\"v\",\"problem\":\"p\",\"row\":\"r\",\"ns\":9}"};
    struct fixture *f = *state;
    struct qdot_error err = {0};
    if (!f->has_files)
        skip();
    for (size_t i = 0; i < 2; i++) {
        write_file(f->file, files[i]);
        if (qdot_tuning_read(f->device, f->file, &err))
            fail_msg("%s", err.text);
    }
    char *text = text_of(f->device);
    const char *at = text;
    for (size_t i = 0; i < 5; i++) {
        at = strstr(at, lines[i]);
        if (!at)
            fail_msg("no '%s', or not in its place, in\n%s", lines[i], text);
    }
    for (size_t i = 0; i < 5; i++)
        assert_null(strstr(strstr(text, lines[i]) + 1, lines[i])); /* once */
    assert_null(strstr(text, "30"));
    /* What is printed is read as the same. */
    struct qdot_device *device;
    write_file(f->file, text);
    if (open_with(f, f->file, 1, &device, &err))
        fail_msg("%s", err.text);
    char *again = text_of(device);
    assert_string_equal(again, text);
    qdot_close(device);
    free(again);
    free(text);
}

/* 10,000 times: looked up without a search. */
static void test_many_times(void **state)
{
    struct fixture *f = *state;
    struct qdot_error err = {0};
    struct qdot_device *device;
    const char *last = f->rows[f->count - 1].name;
    if (!f->has_files)
        skip();
    FILE *file = fopen(f->file, "w");
    assert_non_null(file);
    fprintf(file, HEAD);
    for (size_t i = 0; i < 10000; i++)
        fprintf(file,
                "{\"device\": \"%s\", \"driver\": \"%s\", \"row\": \"%s\", \"threads\": %d, "
                "\"problem\": \"gemm %zux19x23 u8s8 s32\", \"ns\": %zu}%s\n",
                f->info.description, f->info.driver, last, api_on_cpu(), i + 1, i + 1,
                i < 9999 ? "," : "]}");
    assert_int_equal(fclose(file), 0);
    if (open_with(f, f->file, 1, &device, &err))
        fail_msg("%s", err.text);
    expect_row(device, NULL, last);
    assert_int_equal(explained(device, last).time_ns, M);
    const clock_t begin = clock();
    for (int i = 0; i < 1000; i++)
        explained(device, last);
    assert_true(clock() - begin < 10 * CLOCKS_PER_SEC);
    qdot_close(device);
}

/* The cache's own file: kept times come back; a damaged file is as none. */
static void test_cache(void **state)
{
    struct fixture *f = *state;
    const struct qdot_op_desc desc = op_desc(NULL);
    const char *last = f->rows[f->count - 1].name;
    struct qdot_error err = {0};
    struct qdot_device *device;
    char path[160];
    if (!f->has_files)
        skip();
    snprintf(path, sizeof(path), "%s/tuning-%s.json", f->directory, qdot_version());
    assert_int_equal(qdot_tuning_add(f->device, &desc, last, 123, &err), QDOT_OK);
    if (qdot_tuning_keep(f->device, &err))
        fail_msg("%s", err.text);
    for (int damaged = 0; damaged < 2; damaged++) {
        if (open_with(f, NULL, 1, &device, &err))
            fail_msg("%s", err.text);
        assert_int_equal(explained(device, last).time_ns, damaged ? 0 : 123);
        qdot_close(device);
        struct stat status;
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(truncate(path, status.st_size / 2), 0);
    }
    struct qdot_device_desc none = {.size = sizeof(none), .device = "cpu", .cache_dir = ""};
    assert_int_equal(qdot_open(&none, &device, &err), QDOT_OK);
    api_expect("no cache", qdot_tuning_keep(device, &err), QDOT_UNSUPPORTED, &err, "cache_dir");
    qdot_close(device);
}

/* A depthwise convolution of so many rows, which every backend has more than one row for. */
static size_t explain_depthwise(struct qdot_device *device, size_t height,
                                struct qdot_candidate list[ROWS])
{
    const struct qdot_op_desc desc = {.size = sizeof(desc),
                                      .kind = QDOT_CONV,
                                      .conv = {.height = height,
                                               .width = SIDE,
                                               .channels = CHANNELS,
                                               .out_channels = CHANNELS,
                                               .kernel_h = 3,
                                               .kernel_w = 3,
                                               .pad_top = 1,
                                               .pad_left = 1,
                                               .pad_bottom = 1,
                                               .pad_right = 1,
                                               .groups = CHANNELS},
                                      .b = b_bytes};
    struct qdot_error err = {0};
    size_t count, timed = 0;
    memset(list, 0, ROWS * sizeof(*list));
    if (qdot_explain(device, &desc, list, ROWS, &count, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < count; i++) {
        timed += list[i].time_ns > 0;
        assert_int_equal(list[i].basis, list[i].time_ns ? QDOT_BY_CLASS : QDOT_BY_TABLE);
    }
    return timed;
}

/* Measured once for a class: the second problem has the times of the first to the nanosecond. The
 * CPU's rows keep their order. */
static void test_class(void **state)
{
    struct fixture *f = *state;
    struct qdot_candidate first[ROWS], second[ROWS];
    struct qdot_error err = {0};
    struct qdot_device *device;
    assert_int_equal(explain_depthwise(f->device, SIDE, first), 0); /* with a budget of 1 us */
    if (open_with(f, NULL, 600000000, &device, &err))
        fail_msg("%s", err.text);
    const size_t timed = explain_depthwise(device, SIDE, first);
    assert_int_equal(timed > 1, !api_on_cpu());
    assert_int_equal(explain_depthwise(device, SIDE + 1, second), timed);
    for (size_t i = 0; timed && i < ROWS && *first[i].row; i++) {
        assert_int_equal(second[i].time_ns, first[i].time_ns);
        for (size_t j = 0; first[i].chosen && j < ROWS && *first[j].row; j++)
            assert_true(!first[j].time_ns || first[j].time_ns >= first[i].time_ns);
    }
    assert_int_equal(explain_depthwise(device, 8 * SIDE, second), timed); /* another class */
    if (timed)
        assert_int_not_equal(second[0].time_ns + second[1].time_ns + second[2].time_ns,
                             first[0].time_ns + first[1].time_ns + first[2].time_ns);
    qdot_close(device);
    /* The next process finds them. */
    if (!f->has_files || !timed)
        return;
    if (open_with(f, NULL, 1, &device, &err))
        fail_msg("%s", err.text);
    assert_int_equal(explain_depthwise(device, SIDE, second), timed);
    for (size_t i = 0; i < ROWS && *first[i].row; i++)
        assert_int_equal(second[i].time_ns, first[i].time_ns);
    qdot_close(device);
}

/* Of every sort of op; and a time that was forgotten comes back with a file. */
static void test_elements(void **state)
{
    static const enum qdot_op_kind kinds[] = {QDOT_QUANTIZE, QDOT_DEQUANTIZE, QDOT_DYNAMIC_QUANTIZE,
                                              QDOT_FAKE_QUANTIZE, QDOT_FAKE_QUANTIZE_GRADIENT};
    struct fixture *f = *state;
    struct qdot_error err = {0};
    struct qdot_row_info row = {.size = sizeof(row)};
    for (size_t i = 0; row.kind != QDOT_QUANTIZE; i++)
        assert_int_equal(qdot_device_row(f->device, i, &row, &err), QDOT_OK);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        const struct qdot_op_desc desc = {
            .size = sizeof(desc), .kind = kinds[i], .quantize = {.axis = 1024}};
        if (qdot_tuning_add(f->device, &desc, row.name, 1234, &err))
            fail_msg("%s", err.text);
        if (!f->has_files)
            continue;
        char *text = text_of(f->device);
        write_file(f->file, text);
        free(text);
        assert_int_equal(qdot_tuning_add(f->device, &desc, row.name, 0, &err), QDOT_OK);
        assert_int_equal(qdot_tuning_read(f->device, f->file, &err), QDOT_OK);
        text = text_of(f->device);
        assert_non_null(strstr(text, "1234"));
        free(text);
        assert_int_equal(qdot_tuning_add(f->device, &desc, row.name, 0, &err), QDOT_OK);
    }
}

static void test_problem_text(void **state)
{
    struct qdot_op_desc desc = op_desc(NULL);
    struct qdot_error err = {0};
    char text[192];
    (void)state;
    assert_int_equal(qdot_problem_text(&desc, text, sizeof(text), &err), QDOT_OK);
    assert_string_equal(text, PROBLEM);
    api_expect("short", qdot_problem_text(&desc, text, 5, &err), QDOT_INVALID, &err, "bytes");
    api_expect("no text", qdot_problem_text(&desc, NULL, 5, &err), QDOT_INVALID, &err, "text");
    desc = (struct qdot_op_desc){.kind = QDOT_CONV,
                                 .conv = {.height = 9,
                                          .width = 8,
                                          .channels = 4,
                                          .out_channels = 6,
                                          .kernel_h = 3,
                                          .kernel_w = 2,
                                          .stride_h = 2,
                                          .dilation_w = 3,
                                          .pad_top = 1,
                                          .groups = 2},
                                 .b = b_bytes,
                                 .a_type = QDOT_S8,
                                 .out_type = QDOT_U8};
    assert_int_equal(qdot_problem_text(&desc, text, sizeof(text), &err), QDOT_OK);
    assert_string_equal(text, "conv 1x9x8x4 6x3x2 s2x1 p1x0 o4x5 d1x3 g2 s8s8 u8");
    desc.b = NULL;
    api_expect("no weights", qdot_problem_text(&desc, text, sizeof(text), &err), QDOT_INVALID, &err,
               "b");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_times_decide),
        TEST(test_override_decides),
        TEST(test_override_that_does_not_apply),
        TEST(test_wrong_files),
        TEST(test_merge),
        TEST(test_many_times),
        TEST(test_cache),
        TEST(test_class),
        TEST(test_elements),
        TEST(test_problem_text),
    };
    return cmocka_run_group_tests_name("tuning", tests, setup_group, NULL);
}
