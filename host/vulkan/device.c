/* Vulkan devices: enumeration, open and close, buffers, the backend's hooks. */
#include <stdio.h>
#include <string.h>
#include "vk.h"

#define MAX_DEVICES 32
#define MAX_FAMILIES 32

/* ---- enumeration ----------------------------------------------------------------------------- */

/* The first family that computes; it need not draw. UINT32_MAX: none. */
static uint32_t find_family(const struct vk_api *vk, VkPhysicalDevice physical)
{
    VkQueueFamilyProperties families[MAX_FAMILIES];
    uint32_t count = MAX_FAMILIES;
    vk->vkGetPhysicalDeviceQueueFamilyProperties(physical, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && families[i].queueCount > 0)
            return i;
    return UINT32_MAX;
}

/* The index-th device of version 1.1 with a compute queue, in the loader's order. QDOT_END past the
 * last, *total is then how many there are. */
static int find(const struct vk_api *vk, VkInstance instance, size_t index,
                VkPhysicalDevice *physical, uint32_t *family, size_t *total, struct qdot_error *err)
{
    VkPhysicalDevice devices[MAX_DEVICES];
    uint32_t count = MAX_DEVICES;
    *total = 0;
    const VkResult code = vk->vkEnumeratePhysicalDevices(instance, &count, devices);
    if (code != VK_SUCCESS && code != VK_INCOMPLETE)
        return vk_check(code, "vkEnumeratePhysicalDevices", err);
    for (uint32_t i = 0; i < count; i++) {
        VkPhysicalDeviceProperties properties;
        vk->vkGetPhysicalDeviceProperties(devices[i], &properties);
        *physical = devices[i];
        *family = find_family(vk, devices[i]);
        if (properties.apiVersion < VK_API_VERSION_1_1 || *family == UINT32_MAX)
            continue;
        if ((*total)++ == index)
            return QDOT_OK;
    }
    return QDOT_END;
}

/* 'version': of the instance. */
static void describe_physical(const struct vk_api *vk, VkPhysicalDevice physical, uint32_t version,
                              struct qdot_device_info *info)
{
    VkPhysicalDeviceProperties p;
    VkPhysicalDeviceMemoryProperties memory;
    vk->vkGetPhysicalDeviceProperties(physical, &p);
    vk->vkGetPhysicalDeviceMemoryProperties(physical, &memory);
    const uint32_t v = p.apiVersion, d = p.driverVersion;
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                       .pNext = &driver};
    snprintf(info->description, sizeof(info->description), "%.120s", p.deviceName);
    if (v >= VK_API_VERSION_1_2 && version >= VK_API_VERSION_1_2) {
        vk->vkGetPhysicalDeviceProperties2(physical, &all);
        snprintf(info->driver, sizeof(info->driver), "%.40s %.50s, Vulkan %u.%u.%u",
                 driver.driverName, driver.driverInfo, VK_VERSION_MAJOR(v), VK_VERSION_MINOR(v),
                 VK_VERSION_PATCH(v));
    } else {
        snprintf(info->driver, sizeof(info->driver), "driver %u.%u.%u, Vulkan %u.%u.%u",
                 VK_VERSION_MAJOR(d), VK_VERSION_MINOR(d), VK_VERSION_PATCH(d), VK_VERSION_MAJOR(v),
                 VK_VERSION_MINOR(v), VK_VERSION_PATCH(v));
    }
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++)
        if ((memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            memory.memoryHeaps[i].size > info->memory_bytes)
            info->memory_bytes = memory.memoryHeaps[i].size;
    info->available = 1;
}

static int describe(size_t index, struct qdot_device_info *info, struct qdot_error *err)
{
    struct vk_api vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    uint32_t family;
    size_t total;
    struct qdot_error failure;
    (void)err;
    if (!vk_load(&vk, &instance, info->reason, sizeof(info->reason)))
        return index == 0 ? QDOT_OK : QDOT_END;
    const int status = find(&vk, instance, index, &physical, &family, &total, &failure);
    if (status == QDOT_OK)
        describe_physical(&vk, physical, VK_INSTANCE_VERSION, info);
    else if (status == QDOT_END)
        snprintf(info->reason, sizeof(info->reason),
                 "no Vulkan 1.1 device: install a driver (mesa-vulkan-drivers runs on the CPU)");
    else
        snprintf(info->reason, sizeof(info->reason), "%.120s", failure.text);
    vk.vkDestroyInstance(instance, NULL);
    return status == QDOT_OK || (index == 0 && total == 0) ? QDOT_OK : QDOT_END;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int create_device(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_wanted wanted;
    int status = vk_want(device, &wanted, err);
    if (status != QDOT_OK)
        return status;
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = vkd->family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = wanted.features,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = wanted.name_count,
                                     .ppEnabledExtensionNames = wanted.names};
    VkDevice made;
    const char *missing;
    status =
        vk_check(vkd->vk.vkCreateDevice(vkd->physical, &info, NULL, &made), "vkCreateDevice", err);
    if (status != QDOT_OK)
        return status;
    const bool complete = vk_load_device(&vkd->vk, made, &missing);
    if (vkd->vk.vkDestroyDevice)
        vkd->device = made;
    if (!complete)
        return qdot_fail(err, QDOT_NO_DEVICE, "the device has no %s", missing);
    VkQueue handle;
    vkd->vk.vkGetDeviceQueue(made, vkd->family, 0, &handle);
    return vk_queue_open(device, handle, err);
}

void vk_query_limits(struct vk_device *vkd)
{
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                       .pNext = &maintenance};
    vkd->vk.vkGetPhysicalDeviceProperties2(vkd->physical, &all);
    vkd->vk.vkGetPhysicalDeviceMemoryProperties(vkd->physical, &vkd->memories);
    vkd->limits = all.properties.limits;
    if (!vkd->adopted)
        vkd->version = all.properties.apiVersion < VK_INSTANCE_VERSION ? all.properties.apiVersion
                                                                       : VK_INSTANCE_VERSION;
    vkd->max_alloc = maintenance.maxMemoryAllocationSize;
}

static bool make_locks(struct vk_device *vkd)
{
    if (!vk_queue_locks(&vkd->queue))
        return false;
    if (pthread_mutex_init(&vkd->staging_lock, NULL)) {
        vk_queue_unlocks(&vkd->queue);
        return false;
    }
    if (pthread_mutex_init(&vkd->pipeline_lock, NULL)) {
        pthread_mutex_destroy(&vkd->staging_lock);
        vk_queue_unlocks(&vkd->queue);
        return false;
    }
    return true;
}

static int begin(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_device *vkd = qdot_alloc(device, sizeof(*vkd));
    if (!vkd)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device");
    if (!make_locks(vkd)) {
        qdot_release(device, vkd);
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the device's locks");
    }
    device->impl = vkd;
    return QDOT_OK;
}

static int vk_open(struct qdot_device *device, size_t index, struct qdot_error *err)
{
    char reason[128];
    size_t total;
    int status = begin(device, err);
    if (status != QDOT_OK)
        return status;
    struct vk_device *vkd = device->impl;
    if (!vk_load(&vkd->vk, &vkd->instance, reason, sizeof(reason)))
        return qdot_fail(err, QDOT_NO_DEVICE, "device: there is no 'vulkan': %s", reason);
    status = find(&vkd->vk, vkd->instance, index, &vkd->physical, &vkd->family, &total, err);
    if (status == QDOT_END)
        return qdot_fail(err, QDOT_NO_DEVICE, "device: there is no 'vulkan:%zu'", index);
    if (status != QDOT_OK)
        return status;
    vk_query_limits(vkd);
    status = create_device(device, err);
    if (status == QDOT_OK)
        status = vk_pipelines_open(device, err);
    return status;
}

static int vk_adopt(struct qdot_device *device, const void *host, struct qdot_error *err)
{
    VkPhysicalDevice physical;
    uint32_t family;
    size_t total;
    int status = begin(device, err);
    if (status == QDOT_OK)
        status = vk_take_handles(device, host, err);
    if (status != QDOT_OK)
        return status;
    struct vk_device *vkd = device->impl;
    describe_physical(&vkd->vk, vkd->physical, vkd->version, &device->info);
    for (size_t i = 0;
         find(&vkd->vk, vkd->instance, i, &physical, &family, &total, NULL) == QDOT_OK; i++)
        if (physical == vkd->physical)
            snprintf(device->info.name, sizeof(device->info.name), "vulkan:%zu", i);
    vk_query_limits(vkd);
    return vk_pipelines_open(device, err);
}

static void vk_close(struct qdot_device *device)
{
    struct vk_device *vkd = device->impl;
    if (!vkd)
        return;
    if (vkd->device) {
        if (vkd->queue.handle)
            vk_finish(device, NULL);
        vk_staging_destroy(device);
        vk_pipelines_close(device);
        vk_queue_close(device);
        if (!vkd->adopted)
            vkd->vk.vkDestroyDevice(vkd->device, NULL);
    }
    if (vkd->instance && !vkd->adopted)
        vkd->vk.vkDestroyInstance(vkd->instance, NULL);
    pthread_mutex_destroy(&vkd->pipeline_lock);
    pthread_mutex_destroy(&vkd->staging_lock);
    vk_queue_unlocks(&vkd->queue);
    qdot_release(device, vkd);
    device->impl = NULL;
}

/* With what befell runs that were dropped, by any thread, and of which nobody knows. */
static int with_dropped(struct qdot_device *device, int status, struct qdot_error *err)
{
    const int dropped = vk_take_failure(device, status == QDOT_OK ? err : NULL);
    return status == QDOT_OK ? dropped : status;
}

static int vk_sync(struct qdot_device *device, struct qdot_error *err)
{
    return with_dropped(device, vk_finish(device, err), err);
}

/* ---- buffers --------------------------------------------------------------------------------- */

struct device_buffer {
    struct vk_memory memory;
    VkBuffer handle;
};

static void buffer_destroy(struct qdot_buffer *buffer)
{
    struct qdot_device *device = buffer->device;
    const struct vk_device *vkd = device->impl;
    struct device_buffer *held = buffer->impl;
    if (!held)
        return;
    vk_finish(device, NULL);
    if (held->handle && !buffer->wrapped)
        vkd->vk.vkDestroyBuffer(vkd->device, held->handle, NULL);
    vk_memory_destroy(device, &held->memory);
    qdot_release(device, held);
    buffer->impl = NULL;
}

static int buffer_create(struct qdot_buffer *buffer, void *host, struct qdot_error *err)
{
    struct qdot_device *device = buffer->device;
    const struct vk_device *vkd = device->impl;
    size_t offset;
    if (host)
        return qdot_fail(err, QDOT_UNSUPPORTED,
                         "host: Vulkan devices do not use host memory in place");
    if (buffer->bytes > vkd->max_alloc)
        return qdot_fail(err, QDOT_NO_MEMORY, "bytes: %zu are more than the device's %llu",
                         buffer->bytes, (unsigned long long)vkd->max_alloc);
    struct device_buffer *held = qdot_alloc(device, sizeof(*held));
    if (!held)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the buffer");
    buffer->impl = held;
    int status = vk_buffer_create(device, buffer->bytes, &held->handle, err);
    if (status == QDOT_OK)
        status =
            vk_memory_create(device, VK_KIND_DEVICE, &held->handle, 1, &offset, &held->memory, err);
    if (status != QDOT_OK)
        buffer_destroy(buffer);
    return status;
}

static int buffer_wrap(struct qdot_buffer *buffer, void *handle, struct qdot_error *err)
{
    struct device_buffer *held = qdot_alloc(buffer->device, sizeof(*held));
    if (!held)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the buffer");
    held->handle = *(VkBuffer *)handle;
    buffer->impl = held;
    return QDOT_OK;
}

VkBuffer vk_handle(const struct qdot_buffer *buffer)
{
    return ((const struct device_buffer *)buffer->impl)->handle;
}

static int buffer_write(struct qdot_buffer *buffer, size_t offset, const void *memory, size_t bytes,
                        struct qdot_error *err)
{
    const int status =
        vk_upload(buffer->device, vk_handle(buffer), buffer->base + offset, memory, bytes, err);
    return with_dropped(buffer->device, status, err);
}

static int buffer_read(struct qdot_buffer *buffer, size_t offset, void *memory, size_t bytes,
                       struct qdot_error *err)
{
    const int status =
        vk_download(buffer->device, vk_handle(buffer), buffer->base + offset, memory, bytes, err);
    return with_dropped(buffer->device, status, err);
}

/* ---- events ---------------------------------------------------------------------------------- */

static int event_wait(const struct qdot_event *event, uint64_t timeout_ns, struct qdot_error *err)
{
    return vk_wait(event->device, event->batch, timeout_ns, err);
}

/* ---- the backend ----------------------------------------------------------------------------- */

static const struct qdot_feature features[] = {
    {VK_COOP, "coop"},
    {VK_MIXED_DOT, "mixed_dot"},
    {VK_UNSIGNED_DOT, "unsigned_dot"},
    {VK_SIGNED_DOT, "signed_dot"},
    {VK_GPU, "gpu"},
    {VK_CPU, "cpu"},
    {VK_INT_DOT, "int_dot"},
    {VK_FLOAT_CONTROLS, "float_controls"},
    {0, NULL},
};

const struct qdot_backend qdot_vulkan_backend = {
    .name = "vulkan",
    .rows = vk_rows,
    .row_count = VK_ROWS,
    .features = features,
    .measures = true,
    .describe = describe,
    .open = vk_open,
    .adopt = vk_adopt,
    .close = vk_close,
    .sync = vk_sync,
    .flush = vk_flush,
    .event_wait = event_wait,
    .fits = vk_fits,
    .prepare = vk_prepare,
    .unprepare = vk_unprepare,
    .run = vk_run,
    .read_packed = vk_read_packed,
    .buffer_create = buffer_create,
    .buffer_wrap = buffer_wrap,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .buffer_destroy = buffer_destroy,
};
