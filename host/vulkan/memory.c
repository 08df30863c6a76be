/* Buffers and their memory; copies through a staging buffer of the device. */
#include <string.h>
#include "vk.h"

#define STAGING_BYTES ((size_t)4 << 20)

int vk_buffer_create(struct qdot_device *device, size_t bytes, VkBuffer *buffer,
                     struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = (bytes + 3) / 4 * 4,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                                     .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    VkBuffer made;
    int status =
        vk_check(vkd->vk.vkCreateBuffer(vkd->device, &info, NULL, &made), "vkCreateBuffer", err);
    if (status == QDOT_OK)
        *buffer = made;
    return status;
}

/* The first type that all buffers allow, by the first wish that some type grants. */
static uint32_t find_type(const struct vk_device *vkd, enum vk_kind kind, uint32_t allowed)
{
    /* Outputs are read by the host: cached comes first. */
    static const VkMemoryPropertyFlags device[] = {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
    static const VkMemoryPropertyFlags host[] = {
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT |
            VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT};
    const VkMemoryPropertyFlags *wishes = kind == VK_KIND_HOST ? host : device;
    const size_t count =
        kind == VK_KIND_HOST ? sizeof(host) / sizeof(*host) : sizeof(device) / sizeof(*device);
    for (size_t w = 0; w < count; w++)
        for (uint32_t i = 0; i < vkd->memories.memoryTypeCount; i++)
            if ((allowed >> i & 1) &&
                (vkd->memories.memoryTypes[i].propertyFlags & wishes[w]) == wishes[w])
                return i;
    return UINT32_MAX;
}

int vk_memory_create(struct qdot_device *device, enum vk_kind kind, const VkBuffer *buffers,
                     size_t count, size_t *offsets, struct vk_memory *memory,
                     struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    uint32_t allowed = UINT32_MAX;
    VkDeviceSize bytes = 0;
    for (size_t i = 0; i < count; i++) {
        VkMemoryRequirements need;
        if (!buffers[i])
            continue;
        vkd->vk.vkGetBufferMemoryRequirements(vkd->device, buffers[i], &need);
        bytes = (bytes + need.alignment - 1) / need.alignment * need.alignment;
        offsets[i] = bytes;
        bytes += need.size;
        allowed &= need.memoryTypeBits;
    }
    if (bytes == 0)
        return QDOT_OK;
    const uint32_t type = find_type(vkd, kind, allowed);
    if (type == UINT32_MAX)
        return qdot_fail(err, QDOT_UNSUPPORTED, "the device has no memory type for %s buffers",
                         kind == VK_KIND_HOST ? "host" : "device");
    if (bytes > vkd->max_alloc)
        return qdot_fail(err, QDOT_NO_MEMORY, "%llu bytes: the device allocates at most %llu",
                         (unsigned long long)bytes, (unsigned long long)vkd->max_alloc);
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = bytes,
                                       .memoryTypeIndex = type};
    VkDeviceMemory made;
    int status = vk_check(vkd->vk.vkAllocateMemory(vkd->device, &info, NULL, &made),
                          "vkAllocateMemory", err);
    if (status != QDOT_OK)
        return status;
    memory->handle = made;
    memory->coherent =
        vkd->memories.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    for (size_t i = 0; i < count && status == QDOT_OK; i++)
        if (buffers[i])
            status = vk_check(
                vkd->vk.vkBindBufferMemory(vkd->device, buffers[i], memory->handle, offsets[i]),
                "vkBindBufferMemory", err);
    void *mapped;
    if (status == QDOT_OK && kind == VK_KIND_HOST) {
        status =
            vk_check(vkd->vk.vkMapMemory(vkd->device, memory->handle, 0, VK_WHOLE_SIZE, 0, &mapped),
                     "vkMapMemory", err);
        if (status == QDOT_OK)
            memory->mapped = mapped;
    }
    return status;
}

void vk_memory_destroy(struct qdot_device *device, struct vk_memory *memory)
{
    const struct vk_device *vkd = device->impl;
    if (memory->handle)
        vkd->vk.vkFreeMemory(vkd->device, memory->handle, NULL); /* unmaps */
    *memory = (struct vk_memory){0};
}

static VkMappedMemoryRange whole(const struct vk_memory *memory)
{
    return (VkMappedMemoryRange){.sType = VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE,
                                 .memory = memory->handle,
                                 .size = VK_WHOLE_SIZE};
}

int vk_memory_flush(struct qdot_device *device, const struct vk_memory *memory,
                    struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    const VkMappedMemoryRange range = whole(memory);
    if (!memory->mapped || memory->coherent)
        return QDOT_OK;
    return vk_check(vkd->vk.vkFlushMappedMemoryRanges(vkd->device, 1, &range),
                    "vkFlushMappedMemoryRanges", err);
}

int vk_memory_invalidate(struct qdot_device *device, const struct vk_memory *memory,
                         struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    const VkMappedMemoryRange range = whole(memory);
    if (!memory->mapped || memory->coherent)
        return QDOT_OK;
    return vk_check(vkd->vk.vkInvalidateMappedMemoryRanges(vkd->device, 1, &range),
                    "vkInvalidateMappedMemoryRanges", err);
}

/* ---- copies ---------------------------------------------------------------------------------- */

static int staging_create(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_staging *s = &vkd->staging;
    size_t offset;
    int status = QDOT_OK;
    if (!s->commands.buffers[0])
        status = vk_commands_create(device, &s->commands, err);
    if (status == QDOT_OK && !s->buffer)
        status = vk_buffer_create(device, STAGING_BYTES, &s->buffer, err);
    if (status != QDOT_OK || s->memory.mapped)
        return status;
    status = vk_memory_create(device, VK_KIND_HOST, &s->buffer, 1, &offset, &s->memory, err);
    if (status != QDOT_OK) { /* a buffer is bound once */
        vkd->vk.vkDestroyBuffer(vkd->device, s->buffer, NULL);
        s->buffer = VK_NULL_HANDLE;
        vk_memory_destroy(device, &s->memory);
    }
    return status;
}

void vk_staging_destroy(struct qdot_device *device)
{
    struct vk_device *vkd = device->impl;
    struct vk_staging *s = &vkd->staging;
    vk_commands_destroy(device, &s->commands);
    if (s->buffer)
        vkd->vk.vkDestroyBuffer(vkd->device, s->buffer, NULL);
    vk_memory_destroy(device, &s->memory);
}

static int copy_part(struct qdot_device *device, VkBuffer from, VkBuffer to, VkBufferCopy region,
                     struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    struct vk_commands *commands = &((struct vk_device *)device->impl)->staging.commands;
    int status = vk_commands_begin(device, commands, err);
    if (status != QDOT_OK)
        return status;
    vkd->vk.vkCmdCopyBuffer(vk_buffer_of(commands), from, to, 1, &region);
    vk_barrier(vkd, vk_buffer_of(commands), true);
    status = vk_commands_submit(device, commands, 0, true, NULL, err);
    if (status == QDOT_OK)
        status = vk_wait(device, vk_batch_of(commands), UINT64_MAX, err);
    return status;
}

int vk_upload(struct qdot_device *device, VkBuffer buffer, size_t offset, const void *memory,
              size_t bytes, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_staging *s = &vkd->staging;
    pthread_mutex_lock(&vkd->staging_lock);
    int status = staging_create(device, err);
    for (size_t done = 0, part; done < bytes && status == QDOT_OK; done += part) {
        part = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        memcpy(s->memory.mapped, (const uint8_t *)memory + done, part);
        status = vk_memory_flush(device, &s->memory, err);
        if (status == QDOT_OK)
            status =
                copy_part(device, s->buffer, buffer, (VkBufferCopy){0, offset + done, part}, err);
    }
    pthread_mutex_unlock(&vkd->staging_lock);
    return status;
}

int vk_download(struct qdot_device *device, VkBuffer buffer, size_t offset, void *memory,
                size_t bytes, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_staging *s = &vkd->staging;
    pthread_mutex_lock(&vkd->staging_lock);
    int status = staging_create(device, err);
    for (size_t done = 0, part; done < bytes && status == QDOT_OK; done += part) {
        part = bytes - done < STAGING_BYTES ? bytes - done : STAGING_BYTES;
        status = copy_part(device, buffer, s->buffer, (VkBufferCopy){offset + done, 0, part}, err);
        if (status == QDOT_OK)
            status = vk_memory_invalidate(device, &s->memory, err);
        if (status == QDOT_OK)
            memcpy((uint8_t *)memory + done, s->memory.mapped, part);
    }
    pthread_mutex_unlock(&vkd->staging_lock);
    return status;
}
