/* Weights and workspace as a runtime has them: packed without an op, read where they lie, shared through
 * a cache, and memory that comes with each run. */
#include <stdio.h>
#include <sys/mman.h>
#include "api.h"
#include "guard.h"

enum { M = 9, N_MAX = 160, K_MAX = 4 * 3 * 3 * 16, PIXELS = 6 * 5, SMALL_PARTS = 19 };

static uint8_t a[PIXELS * 64 + M * K_MAX];
static uint8_t b[N_MAX * K_MAX], other_b[N_MAX * K_MAX];

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = (uint8_t)(i * 29 + i / 7);
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] = (uint8_t)(i * 37 + i / 5);
        other_b[i] = b[i];
    }
    other_b[11] ^= 1;
    return 0;
}

/* An op of this row whose last panel is narrow; products with B [k,n] and [n,k]. */
static struct qdot_op_desc desc_for(const struct qdot_row_info *row, size_t variant)
{
    struct qdot_op_desc desc = {
        .size = sizeof(desc), .kind = row->kind, .b = b, .a_zero = 7, .kernel = row->name};
    if (row->kind == QDOT_GEMM) {
        desc.m = M;
        desc.n = row->nr + 1 < N_MAX ? row->nr + 1 : N_MAX;
        desc.k = 67;
        desc.b_transposed = variant % 2;
        return desc;
    }
    desc.conv = (struct qdot_conv){.height = 6,
                                   .width = 5,
                                   .channels = row->depthwise ? 35 : 8,
                                   .out_channels = row->depthwise ? 35 : 38,
                                   .kernel_h = 3,
                                   .kernel_w = 3,
                                   .pad_top = 1,
                                   .pad_left = 1,
                                   .groups = row->depthwise ? 35
                                             : variant % 2  ? 2
                                                            : 1,
                                   .layout = variant % 2 ? QDOT_NCHW : QDOT_NHWC};
    if (variant == 2 && !row->depthwise) { /* panels of many small parts: all end near the end */
        desc.conv.channels = desc.conv.out_channels = 38;
        desc.conv.groups = SMALL_PARTS;
        desc.conv.kernel_h = desc.conv.kernel_w = 1;
    }
    return desc;
}

static struct qdot_op *create(struct qdot_device *device, const struct qdot_op_desc *desc)
{
    struct qdot_error err = {0};
    struct qdot_op *op;
    if (qdot_op_create(device, desc, &op, &err))
        fail_msg("%s: %s", desc->kernel ? desc->kernel : "dispatcher's", err.text);
    return op;
}

static void run_op(struct qdot_op *op, const struct qdot_run *more, int32_t *out)
{
    struct qdot_error err = {0};
    struct qdot_run run = more ? *more : (struct qdot_run){.size = sizeof(run)};
    run.a.host = a;
    run.out.host = out;
    if (qdot_op_run(op, &run, &err))
        fail_msg("%s: %s", qdot_op_row(op), err.text);
}

static int32_t want[M * N_MAX + PIXELS * 64], got[M * N_MAX + PIXELS * 64];

static void check(struct qdot_op *op, const struct qdot_run *more)
{
    memset(got, 0x55, sizeof(got));
    run_op(op, more, got);
    if (memcmp(got, want, sizeof(want)) != 0)
        fail_msg("%s: another result", qdot_op_row(op));
}

/* Calls test for every admitted row, with three ops of each. */
static void each_row(void (*test)(struct qdot_device *, const struct qdot_op_desc *))
{
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    for (size_t i = 0;; i++) {
        struct qdot_row_info row = {.size = sizeof(row)};
        if (qdot_device_row(device, i, &row, &err))
            break;
        const bool packs = row.admitted && row.kind <= QDOT_CONV;
        for (size_t variant = 0; packs && variant < 3; variant++) {
            const struct qdot_op_desc desc = desc_for(&row, variant);
            struct qdot_op *op = create(device, &desc);
            memset(want, 0x55, sizeof(want));
            run_op(op, NULL, want);
            qdot_op_destroy(op);
            test(device, &desc);
        }
    }
    qdot_close(device);
}

/* ---- packed without an op, and where it lies ------------------------------------------------- */

static void pack_and_keep(struct qdot_device *device, const struct qdot_op_desc *desc)
{
    struct qdot_error err = {0};
    size_t bytes = 0, of_op = 0;
    if (qdot_packed_bytes(device, desc, &bytes, &err))
        fail_msg("%s: %s", desc->kernel, err.text);
    struct qdot_op *op = create(device, desc);
    assert_int_equal(qdot_op_packed_bytes(op, &of_op, &err), QDOT_OK);
    assert_int_equal(bytes, of_op);
    uint8_t *saved = malloc(bytes);
    assert_non_null(saved);
    assert_int_equal(qdot_op_save_packed(op, saved, bytes, &err), QDOT_OK);
    qdot_op_destroy(op);
    for (size_t at = 0; at < 3; at++) { /* up against the end, one byte before it, the beginning */
        struct guarded packed;
        assert_true(guarded_alloc(&packed, bytes + (at == 1), at < 2));
        uint8_t *memory = packed.memory;
        if (qdot_pack(device, desc, memory, bytes, &err))
            fail_msg("%s: %s", desc->kernel, err.text);
        assert_memory_equal(memory, saved, bytes);
        assert_int_equal(mprotect(packed.pages, packed.page_bytes, PROT_READ), 0);
        struct qdot_op_desc kept = *desc;
        kept.b = NULL;
        kept.packed = memory;
        kept.packed_bytes = bytes;
        kept.packed_keep = 1;
        op = create(device, &kept);
        check(op, NULL);
        memset(saved, 0, bytes);
        assert_int_equal(qdot_op_save_packed(op, saved, bytes, &err), QDOT_OK);
        assert_memory_equal(memory, saved, bytes);
        qdot_op_destroy(op);
        guarded_free(&packed);
    }
    free(saved);
}

static void test_pack_and_keep(void **state)
{
    (void)state;
    each_row(pack_and_keep);
}

static void test_pack_errors(void **state)
{
    struct qdot_device *device = api_open();
    struct qdot_error err = {0};
    struct qdot_op_desc desc = {.size = sizeof(desc), .m = 1, .n = 40, .k = 30, .b = b};
    size_t bytes = 1;
    uint8_t memory[4096];
    (void)state;
    api_expect("no bytes", qdot_packed_bytes(device, &desc, NULL, &err), QDOT_INVALID, &err,
               "bytes");
    api_expect("no device", qdot_packed_bytes(NULL, &desc, &bytes, &err), QDOT_INVALID, &err,
               "device");
    assert_int_equal(bytes, 0);
    assert_int_equal(qdot_packed_bytes(device, &desc, &bytes, &err), QDOT_OK);
    assert_in_range(bytes, 1, sizeof(memory));
    api_expect("one byte less", qdot_pack(device, &desc, memory, bytes - 1, &err), QDOT_INVALID,
               &err, "bytes");
    api_expect("one byte more", qdot_pack(device, &desc, memory, bytes + 1, &err), QDOT_INVALID,
               &err, "bytes");
    api_expect("to NULL", qdot_pack(device, &desc, NULL, bytes, &err), QDOT_INVALID, &err,
               "memory");
    desc.packed_keep = 1;
    api_expect("keep without packed", qdot_pack(device, &desc, memory, bytes, &err), QDOT_INVALID,
               &err, "packed_keep");
    desc.packed_keep = 0;
    desc.b = NULL;
    api_expect("no B", qdot_pack(device, &desc, memory, bytes, &err), QDOT_INVALID, &err, "b:");
    qdot_close(device);
}

/* What the CPU keeps in place it does not copy. */
static void *measured_alloc(void *ctx, size_t bytes, size_t alignment)
{
    *(size_t *)ctx += bytes;
    return aligned_alloc(alignment, bytes);
}

static void measured_release(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static void test_no_copy(void **state)
{
    enum { N = 1000, K = 1024 };
    static uint8_t large[N * K];
    size_t used = 0, bytes = 0;
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = api_device(),
                                    .cache_dir = "",
                                    .budget_us = 1,
                                    .thread_count = 1,
                                    .allocator = {&used, measured_alloc, measured_release}};
    struct qdot_op_desc desc = {.size = sizeof(desc), .m = 1, .n = N, .k = K, .b = large};
    struct qdot_error err = {0};
    struct qdot_device *device;
    (void)state;
    assert_int_equal(qdot_open(&open, &device, &err), QDOT_OK);
    assert_int_equal(qdot_packed_bytes(device, &desc, &bytes, &err), QDOT_OK);
    void *packed = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(packed);
    assert_int_equal(qdot_pack(device, &desc, packed, bytes, &err), QDOT_OK);
    desc.b = NULL;
    desc.packed = packed;
    desc.packed_bytes = bytes;
    for (int keep = 0; keep < 2; keep++) {
        desc.packed_keep = keep;
        used = 0;
        qdot_op_destroy(create(device, &desc));
        if (api_on_cpu() && (keep ? used > bytes / 4 : used < bytes))
            fail_msg("keep %d: %zu bytes for %zu of packed B", keep, used, bytes);
    }
    free(packed);
    qdot_close(device);
}

/* ---- the cache ------------------------------------------------------------------------------- */

enum { ENTRIES = 128 };

struct cache {
    struct entry {
        char key[QDOT_KEY_BYTES];
        void *packed;
        size_t bytes, uses;
    } entry[ENTRIES];
    size_t hits, misses, inserts;
    bool full, wrong; /* inserts nothing; gives other bytes than those inserted */
};

static const void *use(struct entry *e)
{
    e->uses++;
    return e->packed;
}

static const void *look_up(void *ctx, const char *key, size_t bytes)
{
    struct cache *c = ctx;
    for (size_t i = 0; i < ENTRIES; i++)
        if (c->entry[i].packed && strcmp(c->entry[i].key, key) == 0) {
            assert_int_equal(c->entry[i].bytes, bytes);
            c->hits++;
            return use(&c->entry[i]);
        }
    c->misses++;
    return NULL;
}

static const void *insert(void *ctx, const char *key, const void *packed, size_t bytes)
{
    struct cache *c = ctx;
    size_t i = 0;
    assert_in_range(strlen(key), 1, QDOT_KEY_BYTES - 1);
    assert_int_equal(strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(key));
    c->inserts++;
    if (c->full)
        return NULL;
    while (c->entry[i].packed && strcmp(c->entry[i].key, key) != 0)
        assert_true(++i < ENTRIES);
    struct entry *e = &c->entry[i];
    if (!e->packed) {
        strcpy(e->key, key);
        e->bytes = bytes;
        e->packed = malloc(bytes);
        assert_non_null(e->packed);
        memcpy(e->packed, packed, bytes);
        ((uint8_t *)e->packed)[bytes - 1] ^= c->wrong;
    }
    return use(e);
}

static void release(void *ctx, const void *packed)
{
    struct cache *c = ctx;
    for (size_t i = 0; i < ENTRIES; i++)
        if (c->entry[i].packed == packed) {
            assert_true(c->entry[i].uses > 0);
            c->entry[i].uses--;
            return;
        }
    fail_msg("released what it never got");
}

static struct qdot_device *open_cached(struct cache *c)
{
    struct qdot_device_desc open = {.size = sizeof(open),
                                    .device = api_device(),
                                    .cache_dir = "",
                                    .budget_us = 1,
                                    .thread_count = 1,
                                    .packed_cache = {c, look_up, insert, release}};
    struct qdot_device *device;
    struct qdot_error err = {0};
    if (qdot_open(&open, &device, &err))
        fail_msg("%s", err.text);
    return device;
}

static void forget(struct cache *c)
{
    for (size_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(c->entry[i].uses, 0);
        free(c->entry[i].packed);
    }
    memset(c, 0, sizeof(*c));
}

static void expect_counts(const struct cache *c, size_t hits, size_t misses, size_t inserts)
{
    assert_int_equal(c->hits, hits);
    assert_int_equal(c->misses, misses);
    assert_int_equal(c->inserts, inserts);
}

static void through_cache(struct qdot_device *plain, const struct qdot_op_desc *desc)
{
    struct cache c = {0};
    struct qdot_device *device[2] = {open_cached(&c), open_cached(&c)};
    (void)plain;
    expect_counts(&c, 0, 0, 0); /* what tests itself does not ask */
    struct qdot_op *first = create(device[0], desc), *second = create(device[1], desc);
    expect_counts(&c, 1, 1, 1);
    check(first, NULL);
    qdot_op_destroy(first);
    check(second, NULL);
    if (api_on_cpu()) /* small parts are copied */
        assert_int_equal(c.entry[0].uses, desc->conv.groups == SMALL_PARTS ? 0 : 1);
    qdot_op_destroy(second);
    assert_int_equal(c.entry[0].uses, 0);
    /* Damaged: packed anew, and the bytes that insert gives are not taken. */
    ((uint8_t *)c.entry[0].packed)[c.entry[0].bytes - 1] ^= 8;
    first = create(device[0], desc);
    expect_counts(&c, 2, 1, 2);
    assert_int_equal(c.entry[0].uses, 0);
    check(first, NULL);
    qdot_op_destroy(first);
    qdot_close(device[0]);
    qdot_close(device[1]);
    forget(&c);
}

static void test_through_cache(void **state)
{
    (void)state;
    each_row(through_cache);
}

static void test_cache_refuses(void **state)
{
    struct qdot_op_desc desc = {.size = sizeof(desc), .m = M, .n = 70, .k = 33, .b = b};
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct cache c = {.full = !wrong, .wrong = wrong};
        struct qdot_device *device = open_cached(&c), *plain = api_open();
        struct qdot_op *op = create(plain, &desc);
        memset(want, 0x55, sizeof(want));
        run_op(op, NULL, want);
        qdot_op_destroy(op);
        op = create(device, &desc);
        expect_counts(&c, 0, 1, 1);
        check(op, NULL);
        qdot_op_destroy(op);
        qdot_close(device);
        qdot_close(plain);
        forget(&c);
    }
}

/* A key for each packed B, and no more: what is not of B does not count. */
static void test_keys(void **state)
{
    struct qdot_op_desc desc = {.size = sizeof(desc), .m = 4, .n = 32, .k = 32, .b = b};
    struct cache c = {0};
    struct qdot_device *device = open_cached(&c);
    const int32_t zero = 5, bias[32] = {1, 2, 3};
    (void)state;
    struct qdot_row_info row = {.size = sizeof(row)};
    struct qdot_error err = {0};
    for (size_t i = 0; !row.admitted || row.kind != QDOT_GEMM; i++)
        assert_int_equal(qdot_device_row(device, i, &row, &err), QDOT_OK);
    desc.kernel = row.name;
    qdot_op_destroy(create(device, &desc));
    expect_counts(&c, 0, 1, 1);
    struct qdot_op_desc same = desc;
    same.m = 3;
    same.b_zero = &zero;
    same.b_zero_count = 1;
    same.bias = bias;
    same.a_zero = 9;
    same.b = memcpy(malloc(sizeof(b)), b, sizeof(b));
    qdot_op_destroy(create(device, &same));
    expect_counts(&c, 1, 1, 1);
    uint8_t *apart = malloc(32 * 40); /* the same between other bytes */
    assert_non_null(apart);
    memset(apart, 0x77, 32 * 40);
    for (size_t k = 0; k < 32; k++)
        memcpy(apart + k * 40, b + k * 32, 32);
    free((void *)(uintptr_t)same.b);
    same.b = apart;
    same.ldb = 40;
    qdot_op_destroy(create(device, &same));
    expect_counts(&c, 2, 1, 1);
    free(apart);
    same = desc;
    same.b = other_b;
    qdot_op_destroy(create(device, &same));
    same = desc;
    same.b_transposed = 1;
    qdot_op_destroy(create(device, &same));
    same = desc;
    same.n = 16;
    same.k = 64;
    qdot_op_destroy(create(device, &same));
    same = desc;
    same.b_type = QDOT_U8;
    qdot_op_destroy(create(device, &same));
    expect_counts(&c, 2, 5, 5);
    /* Changes of two bits, of which the second would undo what a weak hash made of the first. */
    same = desc;
    same.n = 64;
    same.k = 16;
    qdot_op_destroy(create(device, &same));
    for (size_t bit = 0; bit < 64; bit++) {
        uint8_t changed[32 * 32];
        memcpy(changed, b, sizeof(changed));
        changed[7] ^= 0x80;
        changed[32 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        same = desc;
        same.n = 64; /* both in one row of B */
        same.k = 16;
        same.b = changed;
        qdot_op_destroy(create(device, &same));
    }
    expect_counts(&c, 2, 70, 70);
    qdot_close(device);
    forget(&c);
}

static void test_cache_rules(void **state)
{
    struct qdot_device_desc open = {.size = sizeof(open), .device = "cpu", .cache_dir = ""};
    struct qdot_device *device;
    struct qdot_error err = {0};
    (void)state;
    open.packed_cache.look_up = look_up;
    api_expect("look_up alone", qdot_open(&open, &device, &err), QDOT_INVALID, &err,
               "packed_cache");
    open.packed_cache = (struct qdot_packed_cache){.insert = insert};
    api_expect("insert alone", qdot_open(&open, &device, &err), QDOT_INVALID, &err, "packed_cache");
    open.packed_cache = (struct qdot_packed_cache){.release = release};
    api_expect("release alone", qdot_open(&open, &device, &err), QDOT_INVALID, &err,
               "packed_cache");
}

/* ---- workspace with each run ----------------------------------------------------------------- */

static void run_in(struct qdot_op *op, const struct qdot_input *with_b)
{
    const size_t bytes = qdot_op_workspace_bytes(op);
    struct qdot_error err = {0};
    struct qdot_run run = {.size = sizeof(run), .workspace_bytes = bytes};
    struct guarded memory[4] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        assert_true(guarded_alloc(&memory[i], (bytes + 63) / 64 * 64, i % 2));
        if (i)
            guarded_free(&memory[i - 1]); /* no run needs the workspace of another */
        run.workspace = memory[i].memory;
        if (with_b)
            run.b = *with_b;
        check(op, &run);
        memset(memory[i].memory, 0xff, bytes);
        check(op, &run);
    }
    guarded_free(&memory[3]);
    run.a.host = a;
    run.out.host = got;
    if (with_b)
        run.b = *with_b;
    if (bytes == 0)
        return;
    run.workspace = NULL;
    api_expect("none", qdot_op_run(op, &run, &err), QDOT_INVALID, &err, "workspace");
    uint8_t *plain = aligned_alloc(64, (bytes + 127) / 64 * 64);
    assert_non_null(plain);
    run.workspace = plain + 16;
    api_expect("misaligned", qdot_op_run(op, &run, &err), QDOT_INVALID, &err, "workspace");
    run.workspace = plain;
    run.workspace_bytes--;
    api_expect("too small", qdot_op_run(op, &run, &err), QDOT_INVALID, &err, "workspace");
    free(plain);
}

static void workspace_at_run(struct qdot_device *device, const struct qdot_op_desc *desc)
{
    struct qdot_op_desc given = *desc;
    given.workspace_at_run = 1;
    struct qdot_op *op = create(device, &given);
    if (!api_on_cpu())
        assert_int_equal(qdot_op_workspace_bytes(op), 0);
    run_in(op, NULL);
    qdot_op_destroy(op);
    if (desc->kind == QDOT_CONV)
        return;
    const struct qdot_input with_b = {.host = b};
    given.b = NULL;
    op = create(device, &given);
    run_in(op, &with_b);
    qdot_op_destroy(op);
}

static void test_workspace_at_run(void **state)
{
    (void)state;
    each_row(workspace_at_run);
}

static void test_workspace_not_asked_for(void **state)
{
    struct qdot_op_desc desc = {.size = sizeof(desc), .m = 1, .n = 8, .k = 8, .b = b};
    struct qdot_device *device = api_open();
    struct qdot_op *op = create(device, &desc);
    struct qdot_error err = {0};
    static _Alignas(64) uint8_t memory[64];
    struct qdot_run run = {.size = sizeof(run), .a.host = a, .out.host = got};
    (void)state;
    run.workspace = memory;
    api_expect("memory", qdot_op_run(op, &run, &err), QDOT_INVALID, &err, "workspace");
    run.workspace = NULL;
    run.workspace_bytes = 64;
    api_expect("its size", qdot_op_run(op, &run, &err), QDOT_INVALID, &err, "workspace");
    qdot_op_destroy(op);
    qdot_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_and_keep),
        cmocka_unit_test(test_pack_errors),
        cmocka_unit_test(test_no_copy),
        cmocka_unit_test(test_through_cache),
        cmocka_unit_test(test_cache_refuses),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_cache_rules),
        cmocka_unit_test(test_workspace_at_run),
        cmocka_unit_test(test_workspace_not_asked_for),
    };
    return cmocka_run_group_tests_name("weights", tests, fill, NULL);
}
