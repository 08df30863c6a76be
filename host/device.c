/* Devices and buffers: the list of backends, open and close, enumeration. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "internal.h"

static const struct qdot_backend *const backends[] = {
    &qdot_cpu_backend,
    &qdot_opencl_backend,
    &qdot_vulkan_backend,
};
#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

int qdot_fail(struct qdot_error *err, int status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        vsnprintf(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return status;
}

const char *qdot_status_text(int status)
{
    switch (status) {
    case QDOT_OK:
        return "ok";
    case QDOT_INVALID:
        return "invalid argument";
    case QDOT_UNSUPPORTED:
        return "unsupported here";
    case QDOT_NO_DEVICE:
        return "no such device";
    case QDOT_NO_MEMORY:
        return "out of memory";
    case QDOT_DEVICE_FAILED:
        return "device failed";
    case QDOT_BAD_PACKED:
        return "bad packed B";
    case QDOT_END:
        return "end of list";
    case QDOT_TIMEOUT:
        return "not done in time";
    }
    return "unknown status";
}

#define TEXT(x) #x
#define DOTTED(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *qdot_version(void)
{
    return DOTTED(QDOT_VERSION_MAJOR, QDOT_VERSION_MINOR, QDOT_VERSION_PATCH);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Large memory in huge pages where the system gives them: the first touch of as much memory in
 * pages of 4 KiB takes several times as long as packing does, and B read in passing misses fewer
 * translations. */
#define HUGE_PAGE ((size_t)2 << 20)

static void *default_alloc(void *ctx, size_t bytes, size_t alignment)
{
    (void)ctx;
    void *memory = aligned_alloc(alignment, bytes);
#ifdef MADV_HUGEPAGE
    if (memory && bytes >= 2 * HUGE_PAGE) {
        const uintptr_t begin = ((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        const uintptr_t end = ((uintptr_t)memory + bytes) / HUGE_PAGE * HUGE_PAGE;
        madvise((void *)begin, end - begin, MADV_HUGEPAGE); /* a wish */
    }
#endif
    return memory;
}

static void default_release(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

const struct qdot_allocator qdot_default_allocator = {NULL, default_alloc, default_release};

static void *alloc_with(const struct qdot_allocator *a, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + QDOT_ALIGNMENT - 1) / QDOT_ALIGNMENT * QDOT_ALIGNMENT;
    return a->alloc(a->ctx, bytes ? bytes : QDOT_ALIGNMENT, QDOT_ALIGNMENT);
}

void *qdot_alloc_raw(const struct qdot_device *device, size_t bytes)
{
    return alloc_with(&device->allocator, bytes);
}

void *qdot_alloc(const struct qdot_device *device, size_t bytes)
{
    void *memory = qdot_alloc_raw(device, bytes);
    if (memory)
        memset(memory, 0, bytes);
    return memory;
}

void qdot_release(const struct qdot_device *device, void *memory)
{
    if (memory)
        device->allocator.release(device->allocator.ctx, memory);
}

/* ---- enumeration ----------------------------------------------------------------------------- */

static int describe(size_t backend, size_t index, struct qdot_device_info *info,
                    struct qdot_error *err)
{
    const struct qdot_backend *b = backends[backend];
    memset(info, 0, sizeof(*info));
    info->size = sizeof(*info);
    snprintf(info->backend, sizeof(info->backend), "%s", b->name);
    int status = b->describe(index, info, err);
    if (status != QDOT_OK)
        return status;
    if (b == &qdot_cpu_backend || !info->available)
        snprintf(info->name, sizeof(info->name), "%s", b->name);
    else
        snprintf(info->name, sizeof(info->name), "%s:%zu", b->name, index);
    return QDOT_OK;
}

int qdot_devices(struct qdot_device_info *infos, size_t capacity, size_t *count,
                 struct qdot_error *err)
{
    if (!count)
        return qdot_fail(err, QDOT_INVALID, "count: expected a pointer, got NULL");
    if (!infos && capacity > 0)
        return qdot_fail(err, QDOT_INVALID,
                         "infos: expected an array of capacity entries, got NULL");
    size_t found = 0;
    for (size_t b = 0; b < BACKENDS; b++) {
        for (size_t i = 0;; i++) {
            struct qdot_device_info info;
            int status = describe(b, i, &info, err);
            if (status == QDOT_END)
                break;
            if (status != QDOT_OK)
                return status;
            if (found < capacity)
                infos[found] = info;
            found++;
        }
    }
    *count = found;
    return QDOT_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Is 'name' one of the names, separated by commas or spaces, in 'list'? */
static bool in_list(const char *list, const char *name)
{
    size_t length = strlen(name);
    while (list && *list) {
        size_t item = strcspn(list, ", ");
        if (item == length && memcmp(list, name, length) == 0)
            return true;
        list += item;
        list += strspn(list, ", ");
    }
    return false;
}

static int check_disable(const char *list, struct qdot_error *err)
{
    while (list && *list) {
        size_t item = strcspn(list, ", ");
        bool known = item == 0;
        for (size_t b = 0; b < BACKENDS; b++) {
            const struct qdot_feature *f = backends[b]->features;
            for (; f && f->name; f++)
                known = known || (strlen(f->name) == item && memcmp(list, f->name, item) == 0);
        }
        if (!known)
            return qdot_fail(err, QDOT_INVALID,
                             "disable: '%.*s' is not a feature of any backend's rows", (int)item,
                             list);
        list += item;
        list += strspn(list, ", ");
    }
    return QDOT_OK;
}

static void drop_features(struct qdot_device *device, const char *disable)
{
    size_t used = 0;
    for (const struct qdot_feature *f = device->backend->features; f && f->name; f++) {
        if (in_list(disable, f->name))
            device->features &= ~f->bit;
        if ((device->features & f->bit) && used < sizeof(device->info.features))
            used +=
                (size_t)snprintf(device->info.features + used, sizeof(device->info.features) - used,
                                 "%s%s", used ? " " : "", f->name);
    }
}

/* The part that a device and "auto" have in common. */
static struct qdot_device *device_new(const struct qdot_device_desc *desc,
                                      const struct qdot_allocator *allocator)
{
    struct qdot_device *device = alloc_with(allocator, sizeof(*device));
    if (!device)
        return NULL;
    memset(device, 0, sizeof(*device));
    device->allocator = *allocator;
    device->packed_cache = desc->packed_cache;
    device->budget_ns = (desc->budget_us ? desc->budget_us : 300000) * 1000;
    device->cache_percent = desc->cache_percent ? desc->cache_percent : 100;
    if (pthread_mutex_init(&device->lock, NULL)) {
        qdot_release(device, device);
        return NULL;
    }
    if (pthread_mutex_init(&device->measuring, NULL)) {
        pthread_mutex_destroy(&device->lock);
        qdot_release(device, device);
        return NULL;
    }
    device->cache_dir = qdot_cache_dir(device, desc->cache_dir);
    return device;
}

/* The index-th of a backend or, where 'host' is not NULL, the one made of its handles. */
static int open_one(const struct qdot_device_desc *desc, const struct qdot_allocator *allocator,
                    const struct qdot_device_info *info, const struct qdot_backend *backend,
                    size_t index, const void *host, struct qdot_device **out,
                    struct qdot_error *err)
{
    struct qdot_device *device = device_new(desc, allocator);
    if (!device)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    device->info = *info;
    device->row_state = qdot_alloc(device, backend->row_count * sizeof(*device->row_state));
    int status = QDOT_OK;
    if (!device->row_state)
        status = qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    if (status == QDOT_OK && backend == &qdot_cpu_backend)
        status = qdot_threads_open(device, desc, err); /* only the CPU computes on threads */
    if (status == QDOT_OK) {
        device->backend = backend; /* from here on close calls the backend's close */
        status = host ? backend->adopt(device, host, err) : backend->open(device, index, err);
    }
    if (status != QDOT_OK) {
        qdot_close(device);
        return status;
    }
    drop_features(device, desc->disable);
    *out = device;
    return QDOT_OK;
}

static int open_named(const struct qdot_device_desc *desc, const struct qdot_allocator *allocator,
                      const char *name, struct qdot_device **out, struct qdot_error *err)
{
    for (size_t b = 0; b < BACKENDS; b++) {
        size_t length = strlen(backends[b]->name);
        if (strncmp(name, backends[b]->name, length) != 0 || (name[length] && name[length] != ':'))
            continue;
        size_t index = 0;
        if (name[length] == ':') {
            const char *digits = name + length + 1;
            size_t count = strspn(digits, "0123456789");
            if (count == 0 || count > 4 || digits[count])
                return qdot_fail(err, QDOT_INVALID, "device: '%s': expected a number after '%s:'",
                                 name, backends[b]->name);
            index = (size_t)strtoul(digits, NULL, 10);
        }
        struct qdot_device_info info;
        int status = describe(b, index, &info, err);
        if (status == QDOT_END)
            return qdot_fail(err, QDOT_NO_DEVICE, "device: there is no '%s' in this machine", name);
        if (status != QDOT_OK)
            return status;
        if (!info.available)
            return qdot_fail(err, QDOT_NO_DEVICE, "device: there is no '%s': %s", name,
                             info.reason);
        return open_one(desc, allocator, &info, backends[b], index, NULL, out, err);
    }
    return qdot_fail(err, QDOT_INVALID, "device: '%s': expected cpu, opencl:N, vulkan:N or auto",
                     name);
}

static int open_auto(const struct qdot_device_desc *desc, const struct qdot_allocator *allocator,
                     struct qdot_device **out, struct qdot_error *err)
{
    size_t count = 0;
    int status = qdot_devices(NULL, 0, &count, err);
    if (status != QDOT_OK)
        return status;
    struct qdot_device *device = device_new(desc, allocator);
    if (!device)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    snprintf(device->info.name, sizeof(device->info.name), "auto");
    device->info.size = sizeof(device->info);
    device->info.available = 1;
    device->children = qdot_alloc(device, (count + 1) * sizeof(struct qdot_device *));
    if (!device->children) {
        qdot_close(device);
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    }
    for (size_t b = 0; b < BACKENDS; b++) {
        struct qdot_device_info info;
        for (size_t i = 0; device->child_count < count && describe(b, i, &info, NULL) == QDOT_OK;
             i++) {
            struct qdot_device *child;
            if (!info.available)
                break;
            /* A device that does not open is one that is not there, but memory is the caller's. */
            status = open_one(desc, allocator, &info, backends[b], i, NULL, &child, err);
            if (status == QDOT_OK) {
                child->parent = device;
                device->children[device->child_count++] = child;
            } else if (status == QDOT_NO_MEMORY) {
                qdot_close(device);
                return status;
            }
        }
    }
    *out = device;
    return QDOT_OK;
}

static int open_adopted(const struct qdot_device_desc *desc, const struct qdot_allocator *allocator,
                        const struct qdot_backend *backend, const void *host,
                        struct qdot_device **out, struct qdot_error *err)
{
    struct qdot_device_info info = {.size = sizeof(info), .available = 1};
    if (desc->device && *desc->device)
        return qdot_fail(err, QDOT_INVALID, "device: '%s': expected none beside a host's device",
                         desc->device);
    snprintf(info.name, sizeof(info.name), "%s", backend->name);
    snprintf(info.backend, sizeof(info.backend), "%s", backend->name);
    return open_one(desc, allocator, &info, backend, 0, host, out, err);
}

int qdot_adopt(const struct qdot_backend *backend, const void *host,
               const struct qdot_device_desc *desc, struct qdot_device **device,
               struct qdot_error *err)
{
    static const struct qdot_device_desc default_desc = {0};
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected a pointer, got NULL");
    *device = NULL;
    if (!desc)
        desc = &default_desc;
    if (desc->size != 0 && desc->size != sizeof(*desc))
        return qdot_fail(err, QDOT_INVALID, "size: expected %zu, got %zu", sizeof(*desc),
                         desc->size);
    const struct qdot_allocator *allocator = &desc->allocator;
    if (!allocator->alloc && !allocator->release)
        allocator = &qdot_default_allocator;
    else if (!allocator->alloc || !allocator->release)
        return qdot_fail(err, QDOT_INVALID, "allocator: expected both alloc and release");
    if (desc->threads.threads > 0 && !desc->threads.parallel_for)
        return qdot_fail(err, QDOT_INVALID, "threads: expected parallel_for with threads > 0");
    const struct qdot_packed_cache *cache = &desc->packed_cache;
    if (!cache->look_up != !cache->insert || (!cache->look_up && cache->release))
        return qdot_fail(err, QDOT_INVALID, "packed_cache: expected both look_up and insert");
    if (desc->thread_count > 1024 || desc->threads.threads > 1024)
        return qdot_fail(err, QDOT_INVALID, "%s: expected at most 1024",
                         desc->thread_count > 1024 ? "thread_count" : "threads");
    if (desc->cache_percent > 1000)
        return qdot_fail(err, QDOT_INVALID, "cache_percent: expected at most 1000, got %zu",
                         desc->cache_percent);
    if (desc->budget_us > UINT64_MAX / 1000)
        return qdot_fail(err, QDOT_INVALID, "budget_us: expected at most 2^64 / 1000");
    int status = check_disable(desc->disable, err);
    if (status != QDOT_OK)
        return status;
    const char *name = desc->device && *desc->device ? desc->device : "auto";
    status = host                        ? open_adopted(desc, allocator, backend, host, device, err)
             : strcmp(name, "auto") == 0 ? open_auto(desc, allocator, device, err)
                                         : open_named(desc, allocator, name, device, err);
    if (status == QDOT_OK)
        status = qdot_tuning_open(*device, desc->tuning_file, err);
    if (status != QDOT_OK) {
        qdot_close(*device);
        *device = NULL;
    }
    return status;
}

int qdot_open(const struct qdot_device_desc *desc, struct qdot_device **device,
              struct qdot_error *err)
{
    return qdot_adopt(NULL, NULL, desc, device, err);
}

void qdot_close(struct qdot_device *device)
{
    if (!device)
        return;
    for (size_t i = 0; i < device->child_count; i++)
        qdot_close(device->children[i]);
    qdot_release(device, device->children);
    if (device->backend)
        device->backend->close(device);
    qdot_threads_close(device);
    qdot_tuning_close(device);
    qdot_release(device, device->row_state);
    qdot_release(device, device->cache_dir);
    pthread_mutex_destroy(&device->lock);
    pthread_mutex_destroy(&device->measuring);
    struct qdot_allocator allocator = device->allocator;
    allocator.release(allocator.ctx, device);
}

int qdot_sync(struct qdot_device *device, struct qdot_error *err)
{
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected an open device, got NULL");
    int status = QDOT_OK;
    for (size_t i = 0; i < device->child_count; i++) { /* also those behind one that failed */
        const int synced = qdot_sync(device->children[i], status == QDOT_OK ? err : NULL);
        status = status == QDOT_OK ? synced : status;
    }
    return device->backend ? device->backend->sync(device, err) : status;
}

struct qdot_device *qdot_device_child(struct qdot_device *device, size_t i)
{
    if (!device)
        return NULL;
    if (device->backend)
        return i == 0 ? device : NULL;
    return i < device->child_count ? device->children[i] : NULL;
}

int qdot_device_info(const struct qdot_device *device, struct qdot_device_info *info,
                     struct qdot_error *err)
{
    if (!device || !info)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a pointer, got NULL",
                         device ? "info" : "device");
    *info = device->info;
    return QDOT_OK;
}

/* ---- buffers --------------------------------------------------------------------------------- */

static int buffer_new(struct qdot_device *device, size_t bytes, struct qdot_buffer **buffer,
                      struct qdot_error *err)
{
    if (!buffer)
        return qdot_fail(err, QDOT_INVALID, "buffer: expected a pointer, got NULL");
    *buffer = NULL;
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected an open device, got NULL");
    if (!device->backend)
        return qdot_fail(err, QDOT_INVALID,
                         "device: a buffer belongs to one device, not to auto: use qdot_op_device");
    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return qdot_fail(err, QDOT_INVALID, "bytes: expected 1 to 2^63, got %zu", bytes);
    *buffer = qdot_alloc(device, sizeof(**buffer));
    if (!*buffer)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the buffer");
    (*buffer)->device = device;
    (*buffer)->bytes = bytes;
    return QDOT_OK;
}

int qdot_buffer_create(struct qdot_device *device, size_t bytes, void *host,
                       struct qdot_buffer **buffer, struct qdot_error *err)
{
    struct qdot_buffer *made;
    int status = buffer_new(device, bytes, buffer, err);
    if (status != QDOT_OK)
        return status;
    made = *buffer;
    *buffer = NULL;
    status = device->backend->buffer_create(made, host, err);
    if (status == QDOT_OK)
        *buffer = made;
    else
        qdot_release(device, made);
    return status;
}

int qdot_buffer_wrap(struct qdot_device *device, const struct qdot_backend *backend,
                     const char *name, void *handle, size_t offset, size_t bytes,
                     struct qdot_buffer **buffer, struct qdot_error *err)
{
    struct qdot_buffer *made;
    int status = buffer_new(device, bytes, buffer, err);
    if (status != QDOT_OK)
        return status;
    made = *buffer;
    *buffer = NULL;
    made->base = offset;
    made->wrapped = true;
    if (device->backend != backend)
        status = qdot_fail(err, QDOT_INVALID, "device: expected one of %s, got %s", backend->name,
                           device->info.name);
    else if (!handle)
        status = qdot_fail(err, QDOT_INVALID, "%s: expected a handle, got NULL", name);
    else if (offset > SIZE_MAX / 2)
        status =
            qdot_fail(err, QDOT_INVALID, "offset_bytes: expected less than 2^63, got %zu", offset);
    else
        status = backend->buffer_wrap(made, handle, err);
    if (status == QDOT_OK)
        *buffer = made;
    else
        qdot_release(device, made);
    return status;
}

static int check_range(const struct qdot_buffer *buffer, size_t offset, const void *memory,
                       size_t bytes, struct qdot_error *err)
{
    if (!buffer)
        return qdot_fail(err, QDOT_INVALID, "buffer: expected a buffer, got NULL");
    if (!memory && bytes > 0)
        return qdot_fail(err, QDOT_INVALID, "memory: expected %zu bytes, got NULL", bytes);
    if (offset > buffer->bytes || bytes > buffer->bytes - offset)
        return qdot_fail(err, QDOT_INVALID,
                         "offset, bytes: %zu + %zu goes past the buffer's %zu bytes", offset, bytes,
                         buffer->bytes);
    return QDOT_OK;
}

int qdot_buffer_write(struct qdot_buffer *buffer, size_t offset, const void *memory, size_t bytes,
                      struct qdot_error *err)
{
    int status = check_range(buffer, offset, memory, bytes, err);
    if (status != QDOT_OK || bytes == 0)
        return status;
    return buffer->device->backend->buffer_write(buffer, offset, memory, bytes, err);
}

int qdot_buffer_read(struct qdot_buffer *buffer, size_t offset, void *memory, size_t bytes,
                     struct qdot_error *err)
{
    int status = check_range(buffer, offset, memory, bytes, err);
    if (status != QDOT_OK || bytes == 0)
        return status;
    return buffer->device->backend->buffer_read(buffer, offset, memory, bytes, err);
}

void qdot_buffer_destroy(struct qdot_buffer *buffer)
{
    if (!buffer)
        return;
    const struct qdot_device *device = buffer->device;
    device->backend->buffer_destroy(buffer);
    qdot_release(device, buffer);
}
