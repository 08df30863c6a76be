/* Packed B: what is damaged, cut, or of another shape is refused, byte by byte. */
#include "api.h"
#include "guard.h"

enum { N = 70, K = 33, M = 4 };

struct fixture {
    struct qdot_device *device;
    uint8_t b[K * N], a[M * K];
    struct guarded packed; /* ends at an unmapped page: a blob that claims more faults */
};

static struct qdot_op_desc op_desc(const struct fixture *f)
{
    return (struct qdot_op_desc){
        .size = sizeof(struct qdot_op_desc), .m = M, .n = N, .k = K, .b = f->b};
}

static struct qdot_op_desc packed_desc(const struct fixture *f)
{
    struct qdot_op_desc desc = op_desc(f);
    desc.b = NULL;
    desc.packed = f->packed.memory;
    desc.packed_bytes = f->packed.bytes;
    return desc;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct qdot_error err = {0};
    struct qdot_op *op;
    size_t bytes = 0;
    if (!f)
        return -1;
    *state = f;
    f->device = api_open();
    for (size_t i = 0; i < sizeof(f->b); i++)
        f->b[i] = (uint8_t)(i * 37 + i / 5);
    struct qdot_op_desc desc = op_desc(f);
    if (qdot_op_create(f->device, &desc, &op, &err) || qdot_op_packed_bytes(op, &bytes, &err))
        fail_msg("%s", err.text);
    assert_true(guarded_alloc(&f->packed, bytes, true));
    if (qdot_op_save_packed(op, f->packed.memory, bytes, &err))
        fail_msg("%s", err.text);
    api_expect("save of fewer bytes", qdot_op_save_packed(op, f->packed.memory, bytes - 1, &err),
               QDOT_INVALID, &err, "bytes");
    api_expect("save to NULL", qdot_op_save_packed(op, NULL, bytes, &err), QDOT_INVALID, &err,
               "memory");
    qdot_op_destroy(op);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    qdot_close(f->device);
    guarded_free(&f->packed);
    free(f);
    return 0;
}

static void expect_bad(const struct fixture *f, const struct qdot_op_desc *desc, const char *what)
{
    struct qdot_error err = {0};
    struct qdot_op *op;
    int status = qdot_op_create(f->device, desc, &op, &err);
    api_expect(what, status, QDOT_BAD_PACKED, &err, "packed");
    assert_null(op);
}

static void test_whole(void **state)
{
    struct fixture *f = *state;
    struct qdot_op_desc desc = packed_desc(f);
    struct qdot_error err = {0};
    struct qdot_op *op;
    if (qdot_op_create(f->device, &desc, &op, &err))
        fail_msg("%s", err.text);
    qdot_op_destroy(op);
}

/* The first bytes up against the unmapped page, so that no length is believed before it is checked
 */
static void test_truncated(void **state)
{
    struct fixture *f = *state;
    for (size_t bytes = 0; bytes < f->packed.bytes;
         bytes += bytes < 256 || bytes + 256 > f->packed.bytes ? 1 : 61) {
        struct guarded cut;
        assert_true(guarded_alloc(&cut, bytes, true));
        if (bytes > 0)
            memcpy(cut.memory, f->packed.memory, bytes);
        struct qdot_op_desc desc = packed_desc(f);
        desc.packed = cut.memory;
        desc.packed_bytes = bytes;
        expect_bad(f, &desc, "truncated");
        guarded_free(&cut);
    }
    struct guarded longer;
    assert_true(guarded_alloc(&longer, f->packed.bytes + 1, true));
    memcpy(longer.memory, f->packed.memory, f->packed.bytes);
    struct qdot_op_desc desc = packed_desc(f);
    desc.packed = longer.memory;
    desc.packed_bytes = longer.bytes;
    expect_bad(f, &desc, "one byte too many");
    guarded_free(&longer);
}

static void test_altered(void **state)
{
    struct fixture *f = *state;
    struct qdot_op_desc desc = packed_desc(f);
    for (size_t i = 0; i < f->packed.bytes; i++) {
        uint8_t flip = (uint8_t)(1 << i % 8);
        f->packed.memory[i] ^= flip;
        expect_bad(f, &desc, "altered");
        f->packed.memory[i] ^= flip;
        if (i >= 128)
            continue;
        uint8_t byte = f->packed.memory[i]; /* in the header, lengths as large as they get */
        f->packed.memory[i] = byte == 0xff ? 0 : 0xff;
        expect_bad(f, &desc, "altered");
        f->packed.memory[i] = byte;
    }
}

static void test_altered_for_a_named_row(void **state)
{
    struct fixture *f = *state;
    struct qdot_op_desc desc = packed_desc(f);
    struct qdot_error err = {0};
    struct qdot_op *op;
    char row[64];
    if (qdot_op_create(f->device, &desc, &op, &err))
        fail_msg("%s", err.text);
    strcpy(row, qdot_op_row(op));
    qdot_op_destroy(op);
    desc.kernel = row;
    for (size_t i = 0; i < 128; i++) {
        f->packed.memory[i] ^= 0x10;
        expect_bad(f, &desc, "altered, row by name");
        f->packed.memory[i] ^= 0x10;
    }
    desc.packed_bytes = 7;
    expect_bad(f, &desc, "cut, row by name");
}

static void test_another_shape(void **state)
{
    struct fixture *f = *state;
    struct qdot_op_desc desc = packed_desc(f);
    desc.n = N - 1; /* the same padded size */
    expect_bad(f, &desc, "another n");
    desc = packed_desc(f);
    desc.k = K + 1;
    expect_bad(f, &desc, "another k");
    desc = packed_desc(f);
    desc.b_type = QDOT_U8;
    expect_bad(f, &desc, "another type");
    desc = packed_desc(f);
    desc.m = 9; /* m and A are free */
    desc.a_type = QDOT_S8;
    desc.a_zero = -5;
    struct qdot_error err = {0};
    struct qdot_op *op;
    if (qdot_op_create(f->device, &desc, &op, &err))
        fail_msg("%s", err.text);
    qdot_op_destroy(op);
}

/* "Good for any device whose row has the same layout": across rows it runs equal or is refused. */
static void test_another_row(void **state)
{
    struct fixture *f = *state;
    struct qdot_error err = {0};
    int32_t want[M * N], got[M * N];
    size_t refused = 0, equal = 0;
    for (size_t i = 0;; i++) {
        struct qdot_row_info row = {.size = sizeof(row)};
        struct qdot_op *direct, *loaded;
        if (qdot_device_row(f->device, i, &row, &err))
            break;
        if (!row.admitted || row.kind != QDOT_GEMM)
            continue;
        struct qdot_op_desc desc = op_desc(f);
        desc.kernel = row.name;
        struct qdot_run run = {.size = sizeof(run), .a.host = f->a, .out.host = want};
        if (qdot_op_create(f->device, &desc, &direct, &err) || qdot_op_run(direct, &run, &err))
            fail_msg("%s", err.text);
        qdot_op_destroy(direct);
        desc = packed_desc(f);
        desc.kernel = row.name;
        int status = qdot_op_create(f->device, &desc, &loaded, &err);
        if (status) {
            api_expect(row.name, status, QDOT_BAD_PACKED, &err, "packed");
            refused++;
            continue;
        }
        run.out.host = got;
        if (qdot_op_run(loaded, &run, &err))
            fail_msg("%s", err.text);
        assert_memory_equal(got, want, sizeof(want));
        qdot_op_destroy(loaded);
        equal++;
    }
    assert_true(equal > 0);
    if (api_on_cpu())
        assert_true(refused > 0); /* its rows have more than one layout */
}

static size_t packed_bytes(struct qdot_device *device, const struct qdot_op_desc *desc)
{
    struct qdot_error err = {0};
    struct qdot_op *op;
    size_t bytes = 0;
    if (qdot_op_create(device, desc, &op, &err) || qdot_op_packed_bytes(op, &bytes, &err))
        fail_msg("%s", err.text);
    qdot_op_destroy(op);
    return bytes;
}

/* The promise of the CPU's rows: packed B takes at most 3 % more than B where N and K are 64 or more
 * and K is whole groups, and half more where they are 16. */
static void test_size(void **state)
{
    enum { N_MAX = 200, K_MAX = 768 };
    static const uint8_t b[N_MAX * K_MAX];
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    (void)state;
    for (size_t i = 0; api_on_cpu(); i++) {
        struct qdot_row_info row = {.size = sizeof(row)};
        if (qdot_device_row(device, i, &row, &err))
            break;
        if (!row.admitted || row.depthwise || row.kind > QDOT_CONV)
            continue;
        struct qdot_op_desc desc = {.size = sizeof(desc), .kind = row.kind, .b = b};
        desc.kernel = row.name;
        if (row.kind == QDOT_CONV) { /* groups of 24 columns each */
            desc.conv = (struct qdot_conv){.height = 3,
                                           .width = 3,
                                           .channels = 32 * 4,
                                           .out_channels = 24 * 4,
                                           .kernel_h = 3,
                                           .kernel_w = 3,
                                           .groups = 4};
            assert_true(packed_bytes(device, &desc) <= 64 + 24 * 4 * 32 * 9);
            continue;
        }
        desc.m = 1;
        for (desc.n = 64; desc.n <= N_MAX; desc.n++)
            for (desc.k = 64; desc.k <= K_MAX; desc.k += 704)
                if (packed_bytes(device, &desc) * 100 > desc.n * desc.k * 103)
                    fail_msg("%s: %zu bytes for %zu x %zu", row.name, packed_bytes(device, &desc),
                             desc.k, desc.n);
        desc.n = desc.k = 16;
        if (row.kr <= 16)
            assert_true(packed_bytes(device, &desc) * 2 <= 16 * 16 * 3);
    }
    qdot_close(device);
}

/* An allocator whose memory ends where nothing is mapped. */
struct fences {
    struct guarded piece[512]; /* a GPU's device keeps every pipeline */
};

static void *fenced_alloc(void *ctx, size_t bytes, size_t alignment)
{
    struct fences *f = ctx;
    size_t i = 0;
    while (f->piece[i].memory)
        assert_true(++i < sizeof(f->piece) / sizeof(f->piece[0]));
    assert_true(guarded_alloc(&f->piece[i], (bytes + alignment - 1) / alignment * alignment, true));
    return f->piece[i].memory;
}

static void fenced_release(void *ctx, void *memory)
{
    struct fences *f = ctx;
    size_t i = 0;
    while (f->piece[i].memory != memory)
        i++;
    guarded_free(&f->piece[i]);
}

/* Tiles read whole groups also of a last panel that is narrow, and so beyond its end. */
static void test_narrow_last_panel(void **state)
{
    enum { ROWS = 3, COLUMNS_MAX = 260, DEPTH = 67 };
    static const uint8_t b[DEPTH * COLUMNS_MAX], a[ROWS * DEPTH];
    static int32_t out[ROWS * COLUMNS_MAX];
    struct fences fences = {0};
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = api_device(),
                                    .cache_dir = "",
                                    .budget_us = 1,
                                    .thread_count = 1,
                                    .allocator = {&fences, fenced_alloc, fenced_release}};
    struct qdot_device *device;
    struct qdot_error err = {0};
    (void)state;
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0;; i++) {
        struct qdot_row_info row = {.size = sizeof(row)};
        if (qdot_device_row(device, i, &row, &err))
            break;
        for (int at_run = 0; row.admitted && row.kind == QDOT_GEMM && at_run < 2; at_run++) {
            struct qdot_op_desc desc = {
                .size = sizeof(desc), .m = ROWS, .n = row.nr + 1, .k = DEPTH, .kernel = row.name};
            struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = out};
            struct qdot_op *op;
            assert_true(desc.n <= COLUMNS_MAX);
            if (at_run)
                run.b.host = b;
            else
                desc.b = b;
            if (qdot_op_create(device, &desc, &op, &err) || qdot_op_run(op, &run, &err))
                fail_msg("%s", err.text);
            qdot_op_destroy(op);
        }
    }
    qdot_close(device);
}

/* Columns whose sums are as large as they get, so that no step of adding them up may be too narrow:
 * only a zero point of A shows them. */
static void test_extreme_sums(void **state)
{
    enum { COLUMNS = 37, DEPTH = 2103 };
    static int8_t b[DEPTH * COLUMNS];
    static uint8_t a[DEPTH];
    int32_t got[COLUMNS];
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    (void)state;
    memset(a, 1, sizeof(a));
    for (size_t i = 0;; i++) {
        struct qdot_row_info row = {.size = sizeof(row)};
        if (qdot_device_row(device, i, &row, &err))
            break;
        for (int variant = 0; row.admitted && row.kind == QDOT_GEMM && variant < 4; variant++) {
            const int value = variant < 2 ? 127 : -128;
            struct qdot_op_desc desc = {.size = sizeof(desc), .m = 1, .n = COLUMNS, .k = DEPTH};
            struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = got};
            struct qdot_op *op;
            memset(b, value, sizeof(b));
            desc.b = b;
            desc.b_transposed = variant % 2;
            desc.a_zero = 200;
            desc.kernel = row.name;
            if (qdot_op_create(device, &desc, &op, &err) || qdot_op_run(op, &run, &err))
                fail_msg("%s", err.text);
            for (size_t j = 0; j < COLUMNS; j++)
                assert_int_equal(got[j], DEPTH * (1 - 200) * value);
            qdot_op_destroy(op);
        }
    }
    qdot_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_altered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_altered_for_a_named_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_shape, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_row, setup, teardown),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_narrow_last_panel),
        cmocka_unit_test(test_extreme_sums),
    };
    return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
