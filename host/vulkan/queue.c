/*
 * Submission. Command buffers are gathered into batches, each one call of vkQueueSubmit with one
 * fence: a small run costs the host more there than it costs the device. A batch goes out when it is
 * full or has enough work, and when someone waits, asks for an event, or reads.
 *
 * Batches are numbered. Each has a slot with its fence, which the batch VK_BATCHES later takes over
 * once nobody waits for it any more: of a number that its slot no longer has, the batch is done, or is
 * among the failures. Those are remembered, as whoever has runs in a batch may ask long after another
 * thread has dropped it.
 */
#include <string.h>
#include "vk.h"

/* Multiply-adds: a few microseconds of a large GPU, milliseconds of a CPU. */
#define ENOUGH_WORK 0x1p28

static struct vk_batch *slot_of(struct vk_queue *q, uint64_t batch)
{
    return &q->batches[batch % VK_BATCHES];
}

/* ---- the queue, with its lock held ----------------------------------------------------------- */

static void lock_host(const struct vk_queue *q)
{
    if (q->lock_queue)
        q->lock_queue(q->lock_ctx);
}

static void unlock_host(const struct vk_queue *q)
{
    if (q->unlock_queue)
        q->unlock_queue(q->lock_ctx);
}

static void remember(struct vk_queue *q, uint64_t batch, VkResult code, const char *call)
{
    q->failures[q->failure_count++ % VK_FAILURES] = (struct vk_failure){batch, call, code};
}

/* What became of a batch that is not pending. Of one that is older than all failures that are still
 * known, none of it is known: where there were more of them it counts as failed. */
static int outcome(const struct vk_queue *q, uint64_t batch, struct qdot_error *err)
{
    const struct vk_failure *oldest = &q->failures[q->failure_count % VK_FAILURES];
    for (size_t i = 0; i < VK_FAILURES; i++)
        if (q->failures[i].batch == batch)
            return vk_check(q->failures[i].code, q->failures[i].call, err);
    return batch < oldest->batch ? vk_check(oldest->code, oldest->call, err) : QDOT_OK;
}

static const char waiting[] = "vkWaitForFences";

/* What the fence says, or that nobody need wait. Lets the lock go meanwhile. */
static VkResult await(struct qdot_device *device, uint64_t batch, uint64_t timeout_ns)
{
    struct vk_device *vkd = device->impl;
    struct vk_queue *q = &vkd->queue;
    struct vk_batch *b = slot_of(q, batch);
    if (!b->pending || b->number != batch)
        return VK_SUCCESS;
    b->waiters++;
    pthread_mutex_unlock(&q->lock);
    const VkResult code = vkd->vk.vkWaitForFences(vkd->device, 1, &b->fence, VK_TRUE, timeout_ns);
    pthread_mutex_lock(&q->lock);
    if (--b->waiters == 0)
        pthread_cond_broadcast(&q->left);
    if (code == VK_TIMEOUT)
        return code;
    /* What the caller frees on a failure must not be in use; a lost device uses nothing. */
    if (code != VK_SUCCESS) {
        lock_host(q);
        vkd->vk.vkQueueWaitIdle(q->handle);
        unlock_host(q);
    }
    if (code != VK_SUCCESS && b->pending)
        remember(q, batch, code, waiting);
    b->pending = false;
    return code;
}

/* The slot of the open batch is free. Lets the lock go: the batch may be another one afterwards. */
static VkResult claim(struct qdot_device *device)
{
    struct vk_queue *q = &((struct vk_device *)device->impl)->queue;
    for (struct vk_batch *b = slot_of(q, q->open); b->pending || b->waiters;
         b = slot_of(q, q->open)) {
        VkResult code = VK_SUCCESS;
        if (b->pending)
            code = await(device, b->number, UINT64_MAX);
        else
            pthread_cond_wait(&q->left, &q->lock);
        if (code != VK_SUCCESS)
            return code;
    }
    return VK_SUCCESS;
}

static VkResult call_submit(struct vk_device *vkd, const struct vk_batch *b,
                            const struct vk_points *points, const char **call)
{
    struct vk_queue *q = &vkd->queue;
    static const struct vk_points none = {0};
    const struct vk_points *p = points ? points : &none;
    const VkTimelineSemaphoreSubmitInfo values = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = p->wait_count,
        .pWaitSemaphoreValues = p->wait_values,
        .signalSemaphoreValueCount = p->signal_count,
        .pSignalSemaphoreValues = p->signal_values};
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .pNext = points ? &values : NULL,
                               .waitSemaphoreCount = p->wait_count,
                               .pWaitSemaphores = p->waits,
                               .pWaitDstStageMask = p->wait_stages,
                               .commandBufferCount = q->count,
                               .pCommandBuffers = q->gathered,
                               .signalSemaphoreCount = p->signal_count,
                               .pSignalSemaphores = p->signals};
    *call = "vkResetFences";
    VkResult code = vkd->vk.vkResetFences(vkd->device, 1, &b->fence);
    if (code != VK_SUCCESS)
        return code;
    *call = "vkQueueSubmit";
    lock_host(q);
    code = vkd->vk.vkQueueSubmit(q->handle, 1, &info, b->fence);
    unlock_host(q);
    return code;
}

/* The open batch is given up. The caller answers for the last 'mine' of it; who ran the others hears
 * of the failure when they wait, for that batch or for all: vk_take_failure. */
static void drop(struct qdot_device *device, uint32_t mine, VkResult code, const char *call)
{
    struct vk_queue *q = &((struct vk_device *)device->impl)->queue;
    remember(q, q->open, code, call);
    if (q->count > mine)
        q->untold = (struct vk_failure){q->open, call, code};
    q->open++;
    q->count = 0;
    q->work = 0;
}

/* The open batch, whose slot is free, goes out, or is dropped. */
static int submit(struct qdot_device *device, const struct vk_points *points, uint32_t mine,
                  struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_queue *q = &vkd->queue;
    struct vk_batch *b = slot_of(q, q->open);
    const char *call;
    const VkResult code = call_submit(vkd, b, points, &call);
    if (code != VK_SUCCESS) {
        drop(device, mine, code, call);
        return vk_check(code, call, err);
    }
    b->number = q->open++;
    b->pending = true;
    q->count = 0;
    q->work = 0;
    return QDOT_OK;
}

static int flush(struct qdot_device *device, uint32_t mine, struct qdot_error *err)
{
    const struct vk_queue *q = &((struct vk_device *)device->impl)->queue;
    if (q->count == 0)
        return QDOT_OK;
    const VkResult code = claim(device);
    if (q->count == 0) /* another thread was quicker */
        return QDOT_OK;
    if (code == VK_SUCCESS)
        return submit(device, NULL, mine, err);
    drop(device, mine, code, waiting);
    return vk_check(code, waiting, err);
}

/* ---- waiting --------------------------------------------------------------------------------- */

static int wait_for(struct qdot_device *device, uint64_t batch, bool became, uint64_t timeout_ns,
                    struct qdot_error *err)
{
    struct vk_queue *q = &((struct vk_device *)device->impl)->queue;
    int status = QDOT_OK;
    if (batch == 0)
        return QDOT_OK;
    pthread_mutex_lock(&q->lock);
    if (batch == q->open)
        status = flush(device, 0, err);
    const VkResult code = status == QDOT_OK ? await(device, batch, timeout_ns) : VK_SUCCESS;
    if (code == VK_TIMEOUT)
        status =
            qdot_fail(err, QDOT_TIMEOUT, "not done in %llu ns", (unsigned long long)timeout_ns);
    else if (code != VK_SUCCESS)
        status = vk_check(code, waiting, err);
    else if (status == QDOT_OK && became)
        status = outcome(q, batch, err);
    pthread_mutex_unlock(&q->lock);
    return status;
}

int vk_wait(struct qdot_device *device, uint64_t batch, uint64_t timeout_ns, struct qdot_error *err)
{
    return wait_for(device, batch, true, timeout_ns, err);
}

int vk_settle(struct qdot_device *device, uint64_t batch, struct qdot_error *err)
{
    return wait_for(device, batch, false, UINT64_MAX, err);
}

int vk_flush(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_queue *q = &((struct vk_device *)device->impl)->queue;
    pthread_mutex_lock(&q->lock);
    const int status = flush(device, VK_GATHER, err);
    pthread_mutex_unlock(&q->lock);
    return status;
}

int vk_finish(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_queue *q = &vkd->queue;
    bool asked = false;
    pthread_mutex_lock(&q->lock);
    int status = flush(device, 0, err);
    const uint64_t end = q->open;
    for (uint64_t i = end > VK_BATCHES ? end - VK_BATCHES : 1; i < end; i++) {
        asked = asked || slot_of(q, i)->pending;
        const VkResult code = await(device, i, UINT64_MAX);
        if (code != VK_SUCCESS && status == QDOT_OK)
            status = vk_check(code, waiting, err);
    }
    /* A device that is lost says so even where there is nothing to wait for. */
    if (!asked && status == QDOT_OK) {
        const VkResult code = vkd->vk.vkGetFenceStatus(vkd->device, q->batches[0].fence);
        if (code != VK_NOT_READY)
            status = vk_check(code, "vkGetFenceStatus", err);
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

int vk_take_failure(struct qdot_device *device, struct qdot_error *err)
{
    struct vk_queue *q = &((struct vk_device *)device->impl)->queue;
    pthread_mutex_lock(&q->lock);
    const struct vk_failure untold = q->untold;
    q->untold = (struct vk_failure){0};
    pthread_mutex_unlock(&q->lock);
    struct qdot_error failure;
    if (untold.batch == 0 || vk_check(untold.code, untold.call, &failure) == QDOT_OK)
        return QDOT_OK;
    return qdot_fail(err, failure.status, "runs before were dropped: %.400s", failure.text);
}

/* ---- command buffers ------------------------------------------------------------------------- */

int vk_commands_create(struct qdot_device *device, struct vk_commands *commands,
                       struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    const VkCommandPoolCreateInfo pool_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                               .flags =
                                                   VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                               .queueFamilyIndex = vkd->family};
    VkCommandPool pool;
    VkCommandBuffer buffers[VK_SLOTS];
    vk_commands_destroy(device, commands); /* what an earlier failure left */
    int status = vk_check(vkd->vk.vkCreateCommandPool(vkd->device, &pool_info, NULL, &pool),
                          "vkCreateCommandPool", err);
    if (status != QDOT_OK)
        return status;
    commands->pool = pool;
    const VkCommandBufferAllocateInfo info = {.sType =
                                                  VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = pool,
                                              .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                              .commandBufferCount = VK_SLOTS};
    status = vk_check(vkd->vk.vkAllocateCommandBuffers(vkd->device, &info, buffers),
                      "vkAllocateCommandBuffers", err);
    if (status == QDOT_OK)
        memcpy(commands->buffers, buffers, sizeof(buffers));
    return status;
}

void vk_commands_destroy(struct qdot_device *device, struct vk_commands *commands)
{
    const struct vk_device *vkd = device->impl;
    for (size_t i = 0; i < VK_SLOTS; i++)
        vk_settle(device, commands->batches[i], NULL);
    if (commands->pool)
        vkd->vk.vkDestroyCommandPool(vkd->device, commands->pool, NULL); /* and its buffers */
    *commands = (struct vk_commands){0};
}

void vk_barrier(const struct vk_device *vkd, VkCommandBuffer buffer, bool host)
{
    const VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT,
        .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT |
                         (host ? VK_ACCESS_HOST_READ_BIT : 0),
    };
    vkd->vk.vkCmdPipelineBarrier(buffer, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                                 VK_PIPELINE_STAGE_ALL_COMMANDS_BIT |
                                     (host ? VK_PIPELINE_STAGE_HOST_BIT : 0),
                                 0, 1, &barrier, 0, NULL, 0, NULL);
}

int vk_commands_begin(struct qdot_device *device, struct vk_commands *commands,
                      struct qdot_error *err)
{
    const struct vk_device *vkd = device->impl;
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    commands->at = (commands->at + 1) % VK_SLOTS;
    int status = vk_settle(device, commands->batches[commands->at], err);
    if (status != QDOT_OK)
        return status;
    commands->batches[commands->at] = 0;
    const VkCommandBuffer buffer = commands->buffers[commands->at];
    status = vk_check(vkd->vk.vkBeginCommandBuffer(buffer, &info), "vkBeginCommandBuffer", err);
    if (status == QDOT_OK)
        vk_barrier(vkd, buffer, false);
    return status;
}

void vk_commands_cancel(struct qdot_device *device, struct vk_commands *commands)
{
    const struct vk_device *vkd = device->impl;
    vkd->vk.vkEndCommandBuffer(vk_buffer_of(commands)); /* one that records cannot begin */
}

/* With the lock held. The batch becomes full, or has room for one more. */
static void gather(struct vk_queue *q, struct vk_commands *commands, double work)
{
    commands->batches[commands->at] = q->open;
    q->gathered[q->count++] = commands->buffers[commands->at];
    q->work += work;
}

/* A batch of its own: semaphores are a batch's. */
static int submit_alone(struct qdot_device *device, struct vk_commands *commands,
                        const struct vk_points *points, struct qdot_error *err)
{
    struct vk_queue *q = &((struct vk_device *)device->impl)->queue;
    int status;
    do {
        status = flush(device, 0, err);
        if (status == QDOT_OK)
            status = vk_check(claim(device), waiting, err);
    } while (status == QDOT_OK && q->count > 0); /* others came while it waited */
    if (status != QDOT_OK)
        return status;
    gather(q, commands, 0);
    return submit(device, points, 1, err);
}

int vk_commands_submit(struct qdot_device *device, struct vk_commands *commands, double work,
                       bool now, const struct vk_points *points, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_queue *q = &vkd->queue;
    int status = vk_check(vkd->vk.vkEndCommandBuffer(commands->buffers[commands->at]),
                          "vkEndCommandBuffer", err);
    if (status != QDOT_OK)
        return status;
    pthread_mutex_lock(&q->lock);
    if (points) {
        status = submit_alone(device, commands, points, err);
    } else {
        while (status == QDOT_OK && q->count == VK_GATHER) /* whose flush waits for a slot */
            status = flush(device, 0, err);
        if (status == QDOT_OK)
            gather(q, commands, work);
        if (status == QDOT_OK && (now || q->count == VK_GATHER || q->work >= ENOUGH_WORK))
            status = flush(device, 1, err);
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

/* ---- open and close -------------------------------------------------------------------------- */

bool vk_queue_locks(struct vk_queue *q)
{
    if (pthread_mutex_init(&q->lock, NULL))
        return false;
    if (pthread_cond_init(&q->left, NULL)) {
        pthread_mutex_destroy(&q->lock);
        return false;
    }
    return true;
}

void vk_queue_unlocks(struct vk_queue *q)
{
    pthread_cond_destroy(&q->left);
    pthread_mutex_destroy(&q->lock);
}

int vk_queue_open(struct qdot_device *device, VkQueue handle, struct qdot_error *err)
{
    struct vk_device *vkd = device->impl;
    struct vk_queue *q = &vkd->queue;
    const VkFenceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    int status = QDOT_OK;
    q->open = 1;
    for (size_t i = 0; i < VK_BATCHES && status == QDOT_OK; i++) {
        VkFence fence;
        status =
            vk_check(vkd->vk.vkCreateFence(vkd->device, &info, NULL, &fence), "vkCreateFence", err);
        if (status == QDOT_OK)
            q->batches[i].fence = fence;
    }
    if (status == QDOT_OK)
        q->handle = handle; /* from here on there may be something to wait for */
    return status;
}

void vk_queue_close(struct qdot_device *device)
{
    const struct vk_device *vkd = device->impl;
    for (size_t i = 0; i < VK_BATCHES; i++)
        if (vkd->queue.batches[i].fence)
            vkd->vk.vkDestroyFence(vkd->device, vkd->queue.batches[i].fence, NULL);
}
