/* Packed weights as they may come from a file: those of an op, altered, cut short, or any bytes. */
#include "fuzz.h"
#include <stdbool.h>
#include "qdot.h"

enum { M = 5, N = 37, K = 29 };

static struct qdot_device *device;
static uint8_t a[M * K], b[N * K];
static uint8_t *good;
static size_t good_bytes;
static int32_t want[M * N];

static struct qdot_op_desc desc_of(const void *packed, size_t bytes)
{
    return (struct qdot_op_desc){
        .m = M, .n = N, .k = K, .a_zero = 3, .packed = packed, .packed_bytes = bytes};
}

static void run(struct qdot_op *op, int32_t out[M * N])
{
    const struct qdot_run r = {.a = {.host = a}, .out = {.host = out}};
    EXPECT(qdot_op_run(op, &r, NULL) == QDOT_OK);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct qdot_device_desc open = {.device = "cpu", .cache_dir = "", .thread_count = 1};
    struct qdot_op_desc desc = desc_of(NULL, 0);
    struct qdot_op *op;
    (void)argc;
    (void)argv;
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = (uint8_t)(i * 37);
    for (size_t i = 0; i < sizeof(b); i++)
        b[i] = (uint8_t)(i * 91);
    desc.b = b;
    EXPECT(qdot_open(&open, &device, NULL) == QDOT_OK);
    EXPECT(qdot_op_create(device, &desc, &op, NULL) == QDOT_OK);
    EXPECT(qdot_op_packed_bytes(op, &good_bytes, NULL) == QDOT_OK);
    good = malloc(good_bytes);
    EXPECT(good && qdot_op_save_packed(op, good, good_bytes, NULL) == QDOT_OK);
    run(op, want);
    qdot_op_destroy(op);
    return 0;
}

/* The first byte says how the rest is used: as it is, or as places and bytes to write there. */
static uint8_t *altered(struct bytes *from, size_t *bytes)
{
    const uint32_t how = take(from, 1);
    *bytes = how == 0 ? from->left : how % 4 == 1 ? below(from, good_bytes + 40) : good_bytes;
    uint8_t *packed = malloc(*bytes ? *bytes : 1);
    EXPECT(packed);
    if (how == 0) {
        memcpy(packed, from->at, *bytes);
        return packed;
    }
    memset(packed, 0, *bytes);
    memcpy(packed, good, *bytes < good_bytes ? *bytes : good_bytes);
    while (from->left > 0 && *bytes > 0) {
        const size_t at = take(from, 1) % 2 ? below(from, 96) : take(from, 2);
        packed[at % *bytes] ^= (uint8_t)take(from, 1);
    }
    return packed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes from = {data, size};
    struct qdot_error err = {0};
    struct qdot_op *op;
    size_t bytes;
    uint8_t *packed = altered(&from, &bytes);
    struct qdot_op_desc desc = desc_of(packed, bytes);
    desc.packed_keep = size % 2; /* read where it lies: the sanitizer knows its ends */
    const int status = qdot_op_create(device, &desc, &op, &err);
    const bool same = bytes == good_bytes && memcmp(packed, good, bytes) == 0;
    EXPECT(status == (same ? QDOT_OK : bytes ? QDOT_BAD_PACKED : status));
    if (status == QDOT_OK) {
        int32_t out[M * N];
        run(op, out);
        EXPECT(memcmp(out, want, sizeof(want)) == 0);
    } else {
        EXPECT(!op && err.status == status && err.text[0] && !strchr(err.text, '\n'));
    }
    qdot_op_destroy(op);
    free(packed);
    return 0;
}
