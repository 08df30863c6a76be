/*
 * The runtime takes memory as addresses with which it reckons, and a device gives buffers. So each
 * buffer has a range of addresses of its own that nothing lies behind: who reads there by mistake is
 * stopped by the processor.
 *
 * Buffers that the runtime has freed are kept for its next request of that size, which comes with the
 * next run: then nothing is allocated any more. The device works in the order of the calls, so the new
 * owner's runs come after the former's.
 */
#include "memory.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct block {
    char *address;
    size_t bytes;
    struct qdot_buffer *buffer;
    bool free;
    uint64_t freed; /* when, in frees */
};

struct memory {
    OrtAllocator base; /* first: the runtime's pointer to it is ours */
    const OrtApi *ort;
    OrtMemoryInfo *info;
    struct shared *shared;
    char name[24];
    pthread_mutex_t lock; /* of what follows */
    struct qdot_device *device;
    struct block *blocks; /* by address */
    size_t count, room;
    size_t used, most, kept; /* bytes in use, the most of them ever, bytes of free blocks */
    uint64_t allocations, frees;
    /* Of calls for the device's buffers, which may wait, and of what follows; taken after 'lock'. */
    pthread_mutex_t calls;
    struct copies copies;
    struct qdot_op *copy;      /* within the device; NULL: not made yet */
    struct qdot_buffer *bytes; /* memory_bytes; likewise */
};

/* ---- buffers ----------------------------------------------------------------------------------- */

static struct qdot_buffer *create_buffer(struct memory *m, size_t bytes)
{
    struct qdot_buffer *buffer = NULL;
    pthread_mutex_lock(&m->calls);
    const int status = qdot_buffer_create(m->device, bytes, NULL, &buffer, NULL);
    pthread_mutex_unlock(&m->calls);
    return status ? NULL : buffer;
}

static void destroy_buffer(struct memory *m, struct qdot_buffer *buffer)
{
    pthread_mutex_lock(&m->calls);
    qdot_buffer_destroy(buffer);
    pthread_mutex_unlock(&m->calls);
}

/* ---- blocks, with the lock held ---------------------------------------------------------------- */

/* How many begin at or before this address. */
static size_t count_up_to(const struct memory *m, const char *address)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uintptr_t)m->blocks[middle].address <= (uintptr_t)address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Of sizes close to each other one: 8 of each power of two. */
static size_t rounded(size_t bytes)
{
    size_t step = 256;
    while (step < bytes / 16)
        step *= 2;
    return (bytes + step - 1) / step * step;
}

static void drop(struct memory *m, size_t i)
{
    struct block *b = &m->blocks[i];
    destroy_buffer(m, b->buffer);
    munmap(b->address, b->bytes);
    m->kept -= b->bytes;
    memmove(b, b + 1, (--m->count - i) * sizeof(*b));
}

/* Free blocks, those first that were freed first, until no more than so many bytes are left of them. */
static void drop_until(struct memory *m, size_t bytes)
{
    while (m->kept > bytes) {
        size_t oldest = m->count;
        for (size_t i = 0; i < m->count; i++)
            if (m->blocks[i].free &&
                (oldest == m->count || m->blocks[i].freed < m->blocks[oldest].freed))
                oldest = i;
        drop(m, oldest);
    }
}

static bool make_room(struct memory *m)
{
    if (m->count < m->room)
        return true;
    const size_t room = m->room ? 2 * m->room : 64;
    struct block *more = realloc(m->blocks, room * sizeof(*more));
    if (!more)
        return false;
    m->blocks = more;
    m->room = room;
    return true;
}

static char *add_block(struct memory *m, size_t bytes)
{
    struct block b = {.bytes = bytes};
    if (!make_room(m))
        return NULL;
    b.buffer = create_buffer(m, bytes);
    if (!b.buffer) {
        drop_until(m, 0);
        b.buffer = create_buffer(m, bytes);
    }
    if (!b.buffer)
        return NULL;
    b.address = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b.address == MAP_FAILED) {
        destroy_buffer(m, b.buffer);
        return NULL;
    }
    const size_t at = count_up_to(m, b.address);
    memmove(m->blocks + at + 1, m->blocks + at, (m->count++ - at) * sizeof(b));
    m->blocks[at] = b;
    return b.address;
}

static char *take_block(struct memory *m, size_t bytes)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->blocks[i].free && m->blocks[i].bytes == bytes) {
            m->blocks[i].free = false;
            m->kept -= bytes;
            return m->blocks[i].address;
        }
    return add_block(m, bytes);
}

static OrtStatus *open_device(struct memory *m, const char *cache_dir)
{
    struct qdot_error err = {0};
    const struct qdot_device_desc desc = {
        .size = sizeof(desc),
        .device = m->name,
        .cache_dir = cache_dir,
        .threads = {1, NULL, call_parallel_for},
        .packed_cache = shared_cache(m->shared),
    };
    if (m->device || qdot_open(&desc, &m->device, &err) == QDOT_OK)
        return NULL;
    return fail_qdot(m->ort, &err);
}

/* ---- the allocator ----------------------------------------------------------------------------- */

static void *ORT_API_CALL allocate(OrtAllocator *base, size_t bytes)
{
    struct memory *m = (struct memory *)base;
    char *address = NULL;
    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return NULL;
    bytes = rounded(bytes);
    pthread_mutex_lock(&m->lock);
    OrtStatus *const status = open_device(m, NULL);
    if (status)
        m->ort->ReleaseStatus(status);
    else
        address = take_block(m, bytes);
    if (address) {
        m->allocations++;
        m->used += bytes;
        m->most = m->used > m->most ? m->used : m->most;
    }
    pthread_mutex_unlock(&m->lock);
    return address;
}

/* As much may be free as was ever in use at once. */
static void ORT_API_CALL give_back(OrtAllocator *base, void *address)
{
    struct memory *m = (struct memory *)base;
    if (!address)
        return;
    pthread_mutex_lock(&m->lock);
    const size_t i = count_up_to(m, address);
    struct block *b = i ? &m->blocks[i - 1] : NULL;
    if (b && b->address == address && !b->free) {
        b->free = true;
        b->freed = ++m->frees;
        m->used -= b->bytes;
        m->kept += b->bytes;
        drop_until(m, m->most);
    }
    pthread_mutex_unlock(&m->lock);
}

static const OrtMemoryInfo *ORT_API_CALL get_info(const OrtAllocator *base)
{
    return ((const struct memory *)base)->info;
}

static OrtStatus *ORT_API_CALL get_stats(const OrtAllocator *base,
                                         OrtKeyValuePairs **out) NO_EXCEPTION
{
    struct memory *m = (struct memory *)(uintptr_t)base;
    const struct copies copies = memory_copies(m);
    pthread_mutex_lock(&m->lock);
    const struct {
        const char *name;
        uint64_t value;
    } stats[] = {
        {"InUse", m->used},
        {"MaxInUse", m->most},
        {"TotalAllocated", m->used + m->kept},
        {"NumAllocs", m->allocations},
        {"CopiesToDevice", copies.in},
        {"CopiesFromDevice", copies.out},
        {"BytesToDevice", copies.bytes_in},
        {"BytesFromDevice", copies.bytes_out},
    };
    pthread_mutex_unlock(&m->lock);
    m->ort->CreateKeyValuePairs(out);
    for (size_t i = 0; i < sizeof(stats) / sizeof(*stats); i++) {
        char text[24];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)stats[i].value);
        m->ort->AddKeyValuePair(*out, stats[i].name, text);
    }
    return NULL;
}

OrtAllocator *memory_allocator(struct memory *m)
{
    return &m->base;
}

/* ---- what lies there --------------------------------------------------------------------------- */

bool memory_find(struct memory *m, const void *address, struct qdot_buffer **buffer, size_t *offset)
{
    pthread_mutex_lock(&m->lock);
    const size_t i = count_up_to(m, address);
    const struct block *b = i ? &m->blocks[i - 1] : NULL;
    const size_t at = b ? (size_t)((uintptr_t)address - (uintptr_t)b->address) : 0;
    const bool found = b && at < b->bytes;
    if (found) {
        *buffer = b->buffer;
        *offset = at;
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

OrtStatus *memory_write(struct memory *m, struct qdot_buffer *to, size_t offset, const void *from,
                        size_t bytes)
{
    struct qdot_error err = {0};
    pthread_mutex_lock(&m->calls);
    const int status = qdot_buffer_write(to, offset, from, bytes, &err);
    m->copies.in++;
    m->copies.bytes_in += bytes;
    pthread_mutex_unlock(&m->calls);
    return status ? fail_qdot(m->ort, &err) : NULL;
}

OrtStatus *memory_read(struct memory *m, struct qdot_buffer *from, size_t offset, void *to,
                       size_t bytes)
{
    struct qdot_error err = {0};
    pthread_mutex_lock(&m->calls);
    const int status = qdot_buffer_read(from, offset, to, bytes, &err);
    m->copies.out++;
    m->copies.bytes_out += bytes;
    pthread_mutex_unlock(&m->calls);
    return status ? fail_qdot(m->ort, &err) : NULL;
}

/* Bytes of one run. */
#define COPY_BYTES ((size_t)1 << 26)

static int copy_there(struct memory *m, const struct qdot_output *to, const struct qdot_input *from,
                      size_t bytes, struct qdot_error *err)
{
    const struct qdot_op_desc desc = {
        .size = sizeof(desc),
        .kind = QDOT_MAP,
        .map = {.rank = 1, .dims = {COPY_BYTES}, .a_stride = {1}, .out_stride = {1}},
    };
    int status = m->copy ? QDOT_OK : qdot_op_create(m->device, &desc, &m->copy, err);
    for (size_t at = 0; at < bytes && status == QDOT_OK; at += COPY_BYTES) {
        struct qdot_run run = {.size = sizeof(run), .a = *from, .out = *to};
        run.m = bytes - at < COPY_BYTES ? bytes - at : COPY_BYTES;
        run.a.offset_bytes += at;
        run.out.offset_bytes += at;
        status = qdot_op_run(m->copy, &run, err);
    }
    return status;
}

OrtStatus *memory_copy(struct memory *m, struct qdot_buffer *to, size_t to_offset,
                       struct qdot_buffer *from, size_t from_offset, size_t bytes)
{
    const struct qdot_output target = {.buffer = to, .offset_bytes = to_offset};
    const struct qdot_input source = {.buffer = from, .offset_bytes = from_offset};
    struct qdot_error err = {0};
    pthread_mutex_lock(&m->calls);
    const int status = copy_there(m, &target, &source, bytes, &err);
    pthread_mutex_unlock(&m->calls);
    return status ? fail_qdot(m->ort, &err) : NULL;
}

OrtStatus *memory_bytes(struct memory *m, struct qdot_buffer **bytes)
{
    struct qdot_error err = {0};
    struct qdot_buffer *made = NULL;
    uint8_t values[256];
    int status = QDOT_OK;
    for (int i = 0; i < 256; i++)
        values[i] = (uint8_t)i;
    pthread_mutex_lock(&m->calls);
    if (!m->bytes) {
        status = qdot_buffer_create(m->device, sizeof(values), NULL, &made, &err);
        if (status == QDOT_OK)
            status = qdot_buffer_write(made, 0, values, sizeof(values), &err);
        if (status != QDOT_OK)
            qdot_buffer_destroy(made);
        else
            m->bytes = made;
    }
    *bytes = m->bytes;
    pthread_mutex_unlock(&m->calls);
    return status ? fail_qdot(m->ort, &err) : NULL;
}

void memory_count(struct memory *m, size_t bytes)
{
    pthread_mutex_lock(&m->calls);
    m->copies.in++;
    m->copies.bytes_in += bytes;
    pthread_mutex_unlock(&m->calls);
}

struct copies memory_copies(struct memory *m)
{
    pthread_mutex_lock(&m->calls);
    const struct copies copies = m->copies;
    pthread_mutex_unlock(&m->calls);
    return copies;
}

/* ---- the device -------------------------------------------------------------------------------- */

OrtStatus *memory_device(struct memory *m, const char *cache_dir, struct qdot_device **device)
{
    pthread_mutex_lock(&m->lock);
    OrtStatus *const status = open_device(m, cache_dir);
    *device = m->device;
    pthread_mutex_unlock(&m->lock);
    return status;
}

const char *memory_name(const struct memory *m)
{
    return m->name;
}

const OrtMemoryInfo *memory_info(const struct memory *m)
{
    return m->info;
}

OrtStatus *memory_create(const OrtApi *ort, const char *device, int32_t id, struct shared *shared,
                         struct memory **out)
{
    const uint32_t vendor = 0x7164; /* nobody's: the memory is that of no other provider */
    struct memory *m = calloc(1, sizeof(*m));
    *out = NULL;
    if (!m)
        return fail(ort, "no memory for device %s", device);
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->calls, NULL);
    m->base.version = ADAPTER_API;
    m->base.Alloc = allocate;
    m->base.Free = give_back;
    m->base.Info = get_info;
    m->base.Reserve = allocate;
    m->base.GetStats = get_stats;
    m->ort = ort;
    m->shared = shared;
    snprintf(m->name, sizeof(m->name), "%s", device);
    OrtStatus *const status =
        ort->CreateMemoryInfo_V2(m->name, OrtMemoryInfoDeviceType_GPU, vendor, id,
                                 OrtDeviceMemoryType_DEFAULT, 0, OrtDeviceAllocator, &m->info);
    if (status)
        memory_release(m);
    else
        *out = m;
    return status;
}

void memory_release(struct memory *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++) {
        qdot_buffer_destroy(m->blocks[i].buffer);
        munmap(m->blocks[i].address, m->blocks[i].bytes);
    }
    free(m->blocks);
    qdot_op_destroy(m->copy);
    qdot_buffer_destroy(m->bytes);
    qdot_close(m->device);
    if (m->info)
        m->ort->ReleaseMemoryInfo(m->info);
    pthread_mutex_destroy(&m->calls);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
