/* qdot_vulkan.h: a host's device, queue and buffers; runs in its command buffers, or between its
 * semaphores. */
#include <stdio.h>
#include <string.h>
#include "vk.h"
#include "qdot_vulkan.h"

/* ---- what a device is to be made with -------------------------------------------------------- */

static int check_desc(const struct qdot_vulkan_desc *host, struct qdot_error *err)
{
    if (!host)
        return qdot_fail(err, QDOT_INVALID, "host: expected handles, got NULL");
    if (host->size != 0 && host->size != sizeof(*host))
        return qdot_fail(err, QDOT_INVALID, "size: expected %zu, got %zu", sizeof(*host),
                         host->size);
    if (!host->instance || !host->physical)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a handle, got NULL",
                         host->instance ? "physical" : "instance");
    if (host->api_version < VK_API_VERSION_1_1)
        return qdot_fail(err, QDOT_INVALID, "api_version: expected at least 1.1, got %u.%u",
                         VK_VERSION_MAJOR(host->api_version), VK_VERSION_MINOR(host->api_version));
    return QDOT_OK;
}

/* The functions of the host's instance, and its physical device's version. */
static int take_instance(const struct qdot_vulkan_desc *host, struct vk_device *vkd,
                         struct qdot_error *err)
{
    char reason[128];
    const char *missing;
    VkPhysicalDeviceProperties properties;
    vkd->adopted = true;
    vkd->vk.vkGetInstanceProcAddr = host->get_instance_proc_addr;
    if (!vkd->vk.vkGetInstanceProcAddr && !vk_find_loader(&vkd->vk, reason, sizeof(reason)))
        return qdot_fail(err, QDOT_NO_DEVICE, "get_instance_proc_addr: NULL, and %s", reason);
    if (!vk_load_instance(&vkd->vk, host->instance, &missing))
        return qdot_fail(err, QDOT_INVALID, "instance: it has no %s", missing);
    vkd->instance = host->instance;
    vkd->physical = host->physical;
    vkd->vk.vkGetPhysicalDeviceProperties(host->physical, &properties);
    vkd->version =
        properties.apiVersion < host->api_version ? properties.apiVersion : host->api_version;
    if (properties.apiVersion < VK_API_VERSION_1_1)
        return qdot_fail(err, QDOT_UNSUPPORTED, "physical: a device of version 1.0, expected 1.1");
    return QDOT_OK;
}

int qdot_vulkan_needs(const struct qdot_vulkan_desc *host, struct qdot_vulkan_needs *needs,
                      struct qdot_error *err)
{
    _Static_assert(sizeof(struct vk_wanted) <= sizeof(needs->memory), "the chain has room");
    struct vk_device vkd = {0};
    struct qdot_device device = {.allocator = qdot_default_allocator, .impl = &vkd};
    if (!needs)
        return qdot_fail(err, QDOT_INVALID, "needs: expected a pointer, got NULL");
    if (needs->size != 0 && needs->size != sizeof(*needs))
        return qdot_fail(err, QDOT_INVALID, "size: expected %zu, got %zu", sizeof(*needs),
                         needs->size);
    struct vk_wanted *wanted = (struct vk_wanted *)(void *)needs->memory;
    int status = check_desc(host, err);
    if (status == QDOT_OK)
        status = take_instance(host, &vkd, err);
    *needs = (struct qdot_vulkan_needs){.size = sizeof(*needs), .api_version = VK_API_VERSION_1_1};
    if (status == QDOT_OK)
        status = vk_want(&device, wanted, err);
    if (status != QDOT_OK)
        return status;
    needs->optional_count = wanted->name_count;
    memcpy(needs->optional, wanted->names, wanted->name_count * sizeof(wanted->names[0]));
    needs->features = (VkPhysicalDeviceFeatures2){
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = wanted->features};
    return QDOT_OK;
}

/* ---- devices --------------------------------------------------------------------------------- */

static int check_queue(const struct vk_device *vkd, const struct qdot_vulkan_desc *host,
                       struct qdot_error *err)
{
    VkQueueFamilyProperties families[32];
    uint32_t count = sizeof(families) / sizeof(families[0]);
    vkd->vk.vkGetPhysicalDeviceQueueFamilyProperties(vkd->physical, &count, families);
    if (host->queue_family >= count ||
        !(families[host->queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        return qdot_fail(err, QDOT_INVALID,
                         "queue_family: expected one that computes, of %u, got %u", count,
                         host->queue_family);
    return QDOT_OK;
}

int vk_take_handles(struct qdot_device *device, const void *given, struct qdot_error *err)
{
    const struct qdot_vulkan_desc *host = given;
    struct vk_device *vkd = device->impl;
    struct vk_wanted wanted;
    const char *missing;
    const struct vk_enabled enabled = {host->extensions, host->extension_count, host->features};
    int status = take_instance(host, vkd, err);
    if (status == QDOT_OK)
        status = check_queue(vkd, host, err);
    if (status == QDOT_OK)
        status = vk_want(device, &wanted, err);
    if (status != QDOT_OK)
        return status;
    vk_grant(device, &enabled);
    if (!vk_load_device(&vkd->vk, host->device, &missing))
        return qdot_fail(err, QDOT_NO_DEVICE, "the device has no %s", missing);
    vkd->device = host->device;
    vkd->family = host->queue_family;
    vkd->queue.lock_ctx = host->lock_ctx;
    vkd->queue.lock_queue = host->lock_queue;
    vkd->queue.unlock_queue = host->unlock_queue;
    return vk_queue_open(device, host->queue, err);
}

int qdot_vulkan_adopt(const struct qdot_vulkan_desc *host, const struct qdot_device_desc *desc,
                      struct qdot_device **device, struct qdot_error *err)
{
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected a pointer, got NULL");
    *device = NULL;
    const int status = check_desc(host, err);
    if (status != QDOT_OK)
        return status;
    if (!host->device || !host->queue)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a handle, got NULL",
                         host->device ? "queue" : "device");
    if (!host->extensions && host->extension_count)
        return qdot_fail(err, QDOT_INVALID, "extensions: expected %u names, got NULL",
                         host->extension_count);
    if (!host->lock_queue != !host->unlock_queue)
        return qdot_fail(err, QDOT_INVALID, "lock_queue: expected both lock and unlock");
    return qdot_adopt(&qdot_vulkan_backend, host, desc, device, err);
}

/* ---- buffers --------------------------------------------------------------------------------- */

int qdot_vulkan_buffer(struct qdot_device *device, VkBuffer handle, size_t offset_bytes,
                       size_t bytes, struct qdot_buffer **buffer, struct qdot_error *err)
{
    return qdot_buffer_wrap(device, &qdot_vulkan_backend, "handle", handle ? &handle : NULL,
                            offset_bytes, bytes, buffer, err);
}

VkBuffer qdot_vulkan_handle(const struct qdot_buffer *buffer)
{
    if (!buffer || buffer->device->backend != &qdot_vulkan_backend)
        return VK_NULL_HANDLE;
    return vk_handle(buffer);
}

/* ---- recording ------------------------------------------------------------------------------- */

struct qdot_vulkan_recording {
    struct qdot_device *device;
    VkDescriptorPool pool;
    VkDescriptorSet sets[1][VK_SETS];
};

static int check_op(const struct qdot_op *op, struct qdot_error *err)
{
    if (op && op->device->backend != &qdot_vulkan_backend)
        return qdot_fail(err, QDOT_INVALID, "op: expected one of a Vulkan device, got %s",
                         op->name);
    return QDOT_OK;
}

static int check_recorded(const struct qdot_run *run, struct qdot_error *err)
{
    const char *host = run->a.host           ? "a"
                       : run->out.host       ? "out"
                       : run->b.host         ? "b"
                       : run->a_zero.host    ? "a_zero"
                       : run->row_scale.host ? "row_scale"
                       : run->scale.host     ? "scale"
                       : run->zero.host      ? "zero"
                       : run->scale_out.host ? "scale_out"
                       : run->zero_out.host  ? "zero_out"
                                             : NULL;
    if (host)
        return qdot_fail(err, QDOT_INVALID, "%s: expected a buffer: the run is recorded", host);
    if (run->event || run->wait_count)
        return qdot_fail(err, QDOT_INVALID, "%s: expected none: the run is recorded",
                         run->event ? "event" : "waits");
    return QDOT_OK;
}

int qdot_vulkan_record(struct qdot_op *op, const struct qdot_run *run, VkCommandBuffer commands,
                       struct qdot_vulkan_recording **recording, struct qdot_error *err)
{
    struct qdot_run full;
    struct vk_operands operands;
    if (!recording)
        return qdot_fail(err, QDOT_INVALID, "recording: expected a pointer, got NULL");
    *recording = NULL;
    if (!commands)
        return qdot_fail(err, QDOT_INVALID, "commands: expected a command buffer, got NULL");
    int status = check_op(op, err);
    if (status == QDOT_OK && run)
        status = check_recorded(run, err);
    if (status == QDOT_OK)
        status = qdot_check_run(op, run, &full, err);
    if (status == QDOT_OK)
        status = vk_find_operands(op, &full, &operands, err);
    if (status != QDOT_OK)
        return status;
    struct qdot_vulkan_recording *made = qdot_alloc(op->device, sizeof(*made));
    if (!made)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the recording");
    made->device = op->device;
    status = vk_sets_create(op->device, 1, &made->pool, made->sets, err);
    if (status != QDOT_OK) {
        qdot_vulkan_recording_destroy(made);
        return status;
    }
    struct vk_op *impl = op->impl;
    impl->target.buffer = commands;
    memcpy(impl->target.sets, made->sets[0], sizeof(impl->target.sets));
    vk_op_barrier(op);
    vk_record(op, &full, &operands);
    *recording = made;
    return QDOT_OK;
}

void qdot_vulkan_recording_destroy(struct qdot_vulkan_recording *recording)
{
    if (!recording)
        return;
    const struct vk_device *vkd = recording->device->impl;
    if (recording->pool)
        vkd->vk.vkDestroyDescriptorPool(vkd->device, recording->pool, NULL);
    qdot_release(recording->device, recording);
}

/* ---- submission ------------------------------------------------------------------------------ */

static int take_points(const char *name, const struct qdot_vulkan_point *points, uint32_t count,
                       VkSemaphore *semaphores, uint64_t *values, struct qdot_error *err)
{
    if (count > VK_POINTS || !points != !count)
        return qdot_fail(err, QDOT_INVALID, "%s: expected at most %d, got %u at %s", name,
                         VK_POINTS, count, points ? "a pointer" : "NULL");
    for (uint32_t i = 0; i < count; i++) {
        if (!points[i].semaphore)
            return qdot_fail(err, QDOT_INVALID, "%s[%u]: expected a semaphore, got NULL", name, i);
        semaphores[i] = points[i].semaphore;
        values[i] = points[i].value;
    }
    return QDOT_OK;
}

int qdot_vulkan_run(struct qdot_op *op, const struct qdot_run *run,
                    const struct qdot_vulkan_point *waits, uint32_t wait_count,
                    const struct qdot_vulkan_point *signals, uint32_t signal_count,
                    struct qdot_error *err)
{
    struct qdot_run full;
    struct vk_points points = {.wait_count = wait_count, .signal_count = signal_count};
    int status = check_op(op, err);
    if (status == QDOT_OK)
        status = take_points("waits", waits, wait_count, points.waits, points.wait_values, err);
    if (status == QDOT_OK)
        status = take_points("signals", signals, signal_count, points.signals, points.signal_values,
                             err);
    if (status == QDOT_OK)
        status = qdot_check_run(op, run, &full, err);
    if (status != QDOT_OK)
        return status;
    for (uint32_t i = 0; i < wait_count; i++)
        points.wait_stages[i] = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    return vk_run_with(op, &full, &points, err);
}
