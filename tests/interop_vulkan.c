/*
 * A host runtime on Vulkan: its instance, device, queue, buffers, command buffers and semaphores
 * around qdot's runs. Under the validation layers (tests/steps.sh) a barrier or a lock that is
 * missing is reported, and what qdot leaves behind in the device.
 */
#include "interop.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <vulkan/vulkan.h>
#include "qdot_vulkan.h"

extern const unsigned char interop_produce_spv[], interop_consume_spv[];
extern const size_t interop_produce_spv_size, interop_consume_spv_size;

enum { GUARD = 8, PRODUCE = 0, CONSUME = 1 }; /* bytes before and behind what qdot sees */
enum { BYTES = INTEROP_OUT + 2 * GUARD };
enum { A, OUT, CONSUMED, BUFFERS };

struct host {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    uint32_t family;
    VkQueue queue;
    pthread_mutex_t lock; /* of the queue */
    size_t locked;        /* how often, by qdot */
    VkBuffer buffers[BUFFERS];
    VkDeviceMemory memory[BUFFERS];
    void *mapped[BUFFERS];
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipelines[2];
    VkDescriptorPool descriptors;
    VkDescriptorSet sets[2];
    VkCommandPool pool;
    VkSemaphore line; /* timeline */
    struct qdot_vulkan_needs needs;
    struct qdot_vulkan_desc desc;
};

static void check(VkResult code, const char *call)
{
    if (code != VK_SUCCESS)
        fail_msg("%s: %d", call, (int)code);
}
#define CHECK(call) check(call, #call)

/* ---- the host -------------------------------------------------------------------------------- */

static void lock_queue(void *ctx)
{
    struct host *h = ctx;
    pthread_mutex_lock(&h->lock);
    h->locked++;
}

static void unlock_queue(void *ctx)
{
    pthread_mutex_unlock(&((struct host *)ctx)->lock);
}

static void open_instance(struct host *h, uint32_t version)
{
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .apiVersion = version};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &app};
    uint32_t count = 1;
    CHECK(vkCreateInstance(&info, NULL, &h->instance));
    const VkResult listed = vkEnumeratePhysicalDevices(h->instance, &count, &h->physical);
    assert_true((listed == VK_SUCCESS || listed == VK_INCOMPLETE) && count == 1);
    VkQueueFamilyProperties families[16];
    uint32_t family_count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(h->physical, &family_count, families);
    while (h->family < family_count && !(families[h->family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        h->family++;
    h->desc = (struct qdot_vulkan_desc){.size = sizeof(h->desc),
                                        .get_instance_proc_addr = vkGetInstanceProcAddr,
                                        .instance = h->instance,
                                        .api_version = version,
                                        .physical = h->physical,
                                        .queue_family = h->family};
}

/* With what qdot asks for, and what the host itself does. */
static void open_device(struct host *h, bool with_needs)
{
    struct qdot_error err = {0};
    const float priority = 1;
    h->needs.size = sizeof(h->needs);
    interop_must(qdot_vulkan_needs(&h->desc, &h->needs, &err), &err, "qdot_vulkan_needs");
    assert_int_equal(h->needs.required_count, 0);
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = with_needs ? &h->needs.features : NULL,
        .timelineSemaphore = VK_TRUE};
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = h->family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
        .pNext = h->desc.api_version >= VK_API_VERSION_1_2 ? (void *)&timeline : timeline.pNext,
        .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue,
        .enabledExtensionCount = with_needs ? h->needs.optional_count : 0,
        .ppEnabledExtensionNames = h->needs.optional};
    CHECK(vkCreateDevice(h->physical, &info, NULL, &h->device));
    vkGetDeviceQueue(h->device, h->family, 0, &h->queue);
    assert_int_equal(pthread_mutex_init(&h->lock, NULL), 0);
    h->desc.device = h->device;
    h->desc.queue = h->queue;
    h->desc.lock_ctx = h;
    h->desc.lock_queue = lock_queue;
    h->desc.unlock_queue = unlock_queue;
    h->desc.extension_count = info.enabledExtensionCount;
    h->desc.extensions = h->needs.optional;
    h->desc.features = with_needs ? &h->needs.features : NULL;
}

static void make_buffers(struct host *h)
{
    VkPhysicalDeviceMemoryProperties types;
    vkGetPhysicalDeviceMemoryProperties(h->physical, &types);
    const VkMemoryPropertyFlags wanted =
        VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    for (int i = 0; i < BUFFERS; i++) {
        const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                         .size = BYTES,
                                         .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                                  VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                                  VK_BUFFER_USAGE_TRANSFER_DST_BIT};
        VkMemoryRequirements needs;
        uint32_t type = 0;
        CHECK(vkCreateBuffer(h->device, &info, NULL, &h->buffers[i]));
        vkGetBufferMemoryRequirements(h->device, h->buffers[i], &needs);
        while (!(needs.memoryTypeBits >> type & 1) ||
               (types.memoryTypes[type].propertyFlags & wanted) != wanted)
            type++;
        const VkMemoryAllocateInfo memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                             .allocationSize = needs.size,
                                             .memoryTypeIndex = type};
        CHECK(vkAllocateMemory(h->device, &memory, NULL, &h->memory[i]));
        CHECK(vkBindBufferMemory(h->device, h->buffers[i], h->memory[i], 0));
        CHECK(vkMapMemory(h->device, h->memory[i], 0, VK_WHOLE_SIZE, 0, &h->mapped[i]));
    }
}

static void make_pipeline(struct host *h, int which, const unsigned char *code, size_t bytes)
{
    uint32_t *words = malloc(bytes);
    assert_non_null(words);
    memcpy(words, code, bytes);
    const VkShaderModuleCreateInfo module_info = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = bytes, .pCode = words};
    VkShaderModule module;
    CHECK(vkCreateShaderModule(h->device, &module_info, NULL, &module));
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"},
        .layout = h->layout};
    CHECK(
        vkCreateComputePipelines(h->device, VK_NULL_HANDLE, 1, &info, NULL, &h->pipelines[which]));
    vkDestroyShaderModule(h->device, module, NULL);
    free(words);
}

static void make_pipelines(struct host *h)
{
    const VkDescriptorSetLayoutBinding bindings[2] = {
        {0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL},
        {1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL}};
    const VkDescriptorSetLayoutCreateInfo set_info = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 2,
        .pBindings = bindings};
    CHECK(vkCreateDescriptorSetLayout(h->device, &set_info, NULL, &h->set_layout));
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 8};
    const VkPipelineLayoutCreateInfo layout = {.sType =
                                                   VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &h->set_layout,
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &push};
    CHECK(vkCreatePipelineLayout(h->device, &layout, NULL, &h->layout));
    make_pipeline(h, PRODUCE, interop_produce_spv, interop_produce_spv_size);
    make_pipeline(h, CONSUME, interop_consume_spv, interop_consume_spv_size);
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 4};
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = 2,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    CHECK(vkCreateDescriptorPool(h->device, &pool, NULL, &h->descriptors));
    const VkDescriptorSetLayout layouts[2] = {h->set_layout, h->set_layout};
    const VkDescriptorSetAllocateInfo sets = {.sType =
                                                  VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = h->descriptors,
                                              .descriptorSetCount = 2,
                                              .pSetLayouts = layouts};
    CHECK(vkAllocateDescriptorSets(h->device, &sets, h->sets));
    const VkDescriptorBufferInfo views[2][2] = {
        {{h->buffers[CONSUMED], 0, VK_WHOLE_SIZE}, {h->buffers[A], 0, VK_WHOLE_SIZE}},
        {{h->buffers[OUT], 0, VK_WHOLE_SIZE}, {h->buffers[CONSUMED], 0, VK_WHOLE_SIZE}}};
    for (int i = 0; i < 2; i++) {
        const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                            .dstSet = h->sets[i],
                                            .descriptorCount = 2,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                            .pBufferInfo = views[i]};
        vkUpdateDescriptorSets(h->device, 1, &write, 0, NULL);
    }
}

static void host_open(struct host *h)
{
    memset(h, 0, sizeof(*h));
    open_instance(h, VK_API_VERSION_1_2);
    open_device(h, true);
    make_buffers(h);
    make_pipelines(h);
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = h->family};
    CHECK(vkCreateCommandPool(h->device, &pool, NULL, &h->pool));
    const VkSemaphoreTypeCreateInfo timeline = {.sType =
                                                    VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                                .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                        .pNext = &timeline};
    CHECK(vkCreateSemaphore(h->device, &info, NULL, &h->line));
}

static void host_close(struct host *h)
{
    CHECK(vkQueueWaitIdle(h->queue)); /* it is still there */
    vkDestroySemaphore(h->device, h->line, NULL);
    vkDestroyCommandPool(h->device, h->pool, NULL);
    vkDestroyDescriptorPool(h->device, h->descriptors, NULL);
    for (int i = 0; i < 2; i++)
        vkDestroyPipeline(h->device, h->pipelines[i], NULL);
    vkDestroyPipelineLayout(h->device, h->layout, NULL);
    vkDestroyDescriptorSetLayout(h->device, h->set_layout, NULL);
    for (int i = 0; i < BUFFERS; i++) {
        vkDestroyBuffer(h->device, h->buffers[i], NULL);
        vkFreeMemory(h->device, h->memory[i], NULL);
    }
    vkDestroyDevice(h->device, NULL);
    vkDestroyInstance(h->instance, NULL);
    pthread_mutex_destroy(&h->lock);
}

static struct qdot_device *adopt(const struct host *h)
{
    const struct qdot_device_desc desc = {.size = sizeof(desc), .cache_dir = "", .budget_us = 1};
    struct qdot_device *device;
    struct qdot_error err = {0};
    interop_must(qdot_vulkan_adopt(&h->desc, &desc, &device, &err), &err, "qdot_vulkan_adopt");
    return device;
}

/* ---- commands -------------------------------------------------------------------------------- */

static VkCommandBuffer begin_commands(struct host *h)
{
    const VkCommandBufferAllocateInfo info = {.sType =
                                                  VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = h->pool,
                                              .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                              .commandBufferCount = 1};
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT};
    VkCommandBuffer commands;
    CHECK(vkAllocateCommandBuffers(h->device, &info, &commands));
    CHECK(vkBeginCommandBuffer(commands, &begin));
    return commands;
}

static void barrier(VkCommandBuffer commands, VkPipelineStageFlags to, VkAccessFlags access)
{
    const VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                    .dstAccessMask = access};
    vkCmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, to, 0, 1, &memory, 0, NULL,
                         0, NULL);
}

static void dispatch(struct host *h, VkCommandBuffer commands, int which)
{
    const uint32_t words = (which == PRODUCE ? INTEROP_A : INTEROP_OUT) / 4;
    const uint32_t arguments[2] = {GUARD / 4, words};
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, h->pipelines[which]);
    vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, h->layout, 0, 1,
                            &h->sets[which], 0, NULL);
    vkCmdPushConstants(commands, h->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(arguments),
                       arguments);
    vkCmdDispatch(commands, (words + 63) / 64, 1, 1);
}

/* Behind what came before in the queue, as the host owes it; to be read by the host. */
static void record_consumer(struct host *h, VkCommandBuffer commands)
{
    barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    dispatch(h, commands, CONSUME);
    barrier(commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

static VkCommandBuffer commands_of(struct host *h, int which)
{
    VkCommandBuffer commands = begin_commands(h);
    barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
    if (which == PRODUCE)
        dispatch(h, commands, PRODUCE);
    else
        record_consumer(h, commands);
    CHECK(vkEndCommandBuffer(commands));
    return commands;
}

/* 'wait' and 'signal' are values of the timeline; 0: none. */
static void submit(struct host *h, VkCommandBuffer commands, uint64_t wait, uint64_t signal)
{
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_ALL_COMMANDS_BIT;
    const VkTimelineSemaphoreSubmitInfo values = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .waitSemaphoreValueCount = wait != 0,
        .pWaitSemaphoreValues = &wait,
        .signalSemaphoreValueCount = signal != 0,
        .pSignalSemaphoreValues = &signal};
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .pNext = &values,
                               .waitSemaphoreCount = wait != 0,
                               .pWaitSemaphores = &h->line,
                               .pWaitDstStageMask = &stage,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands,
                               .signalSemaphoreCount = signal != 0,
                               .pSignalSemaphores = &h->line};
    pthread_mutex_lock(&h->lock);
    const VkResult code = vkQueueSubmit(h->queue, 1, &info, VK_NULL_HANDLE);
    pthread_mutex_unlock(&h->lock);
    check(code, "vkQueueSubmit");
}

static void wait_idle(struct host *h)
{
    pthread_mutex_lock(&h->lock);
    const VkResult code = vkQueueWaitIdle(h->queue);
    pthread_mutex_unlock(&h->lock);
    check(code, "vkQueueWaitIdle");
}

static void wait_line(struct host *h, uint64_t value)
{
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &h->line,
                                      .pValues = &value};
    check(vkWaitSemaphores(h->device, &info, 20000000000u), "vkWaitSemaphores");
}

/* ---- scenes ---------------------------------------------------------------------------------- */

struct scene {
    struct interop_problem p;
    struct qdot_op *op;
    struct qdot_buffer *a, *out;
    struct qdot_run run;
};

static struct scene *scene_open(struct qdot_device *device, const struct host *h, size_t which)
{
    struct qdot_error err = {0};
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    interop_problem(which, &s->p);
    interop_must(qdot_op_create(device, &s->p.desc, &s->op, &err), &err, "qdot_op_create");
    interop_must(qdot_vulkan_buffer(device, h->buffers[A], GUARD, s->p.a_bytes, &s->a, &err), &err,
                 "a");
    interop_must(qdot_vulkan_buffer(device, h->buffers[OUT], GUARD, s->p.out_bytes, &s->out, &err),
                 &err, "out");
    s->run = (struct qdot_run){.size = sizeof(s->run), .a.buffer = s->a, .out.buffer = s->out};
    for (int i = 0; i < BUFFERS; i++)
        memset(h->mapped[i], 0x77, BYTES);
    return s;
}

static void scene_close(struct scene *s)
{
    qdot_buffer_destroy(s->a);
    qdot_buffer_destroy(s->out);
    qdot_op_destroy(s->op);
    free(s);
}

/* After the host's wait. */
static void scene_check(const struct scene *s, const struct host *h)
{
    const uint8_t *out = h->mapped[OUT];
    interop_check(&s->p, h->mapped[CONSUMED]);
    for (size_t i = 0; i < BYTES; i++)
        if ((i < GUARD || i >= GUARD + s->p.out_bytes) && out[i] != 0x77)
            fail_msg("byte %zu beside the output was written", i);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* One command buffer: the producer, qdot's run (twice), the consumer; submitted twice. */
static void test_record(void **state)
{
    struct host h;
    struct qdot_error err = {0};
    (void)state;
    host_open(&h);
    struct qdot_device *device = adopt(&h);
    for (size_t i = 0; i < INTEROP_PROBLEMS; i++) {
        struct scene *s = scene_open(device, &h, i);
        struct qdot_vulkan_recording *recordings[2];
        VkCommandBuffer commands = begin_commands(&h);
        barrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
        dispatch(&h, commands, PRODUCE);
        for (size_t r = 0; r < 2; r++)
            interop_must(qdot_vulkan_record(s->op, &s->run, commands, &recordings[r], &err), &err,
                         "qdot_vulkan_record");
        record_consumer(&h, commands);
        CHECK(vkEndCommandBuffer(commands));
        for (int again = 0; again < 2; again++) {
            submit(&h, commands, 0, 0);
            wait_idle(&h);
            scene_check(s, &h);
            memset(h.mapped[CONSUMED], 0x77, BYTES);
        }
        /* A run of qdot's own between the submissions shares the op's workspace. */
        submit(&h, commands, 0, 0);
        interop_must(qdot_op_run(s->op, &s->run, &err), &err, "qdot_op_run");
        interop_must(qdot_flush(device, &err), &err, "qdot_flush");
        VkCommandBuffer consumer = commands_of(&h, CONSUME);
        submit(&h, consumer, 0, 0);
        wait_idle(&h);
        scene_check(s, &h);
        qdot_vulkan_recording_destroy(recordings[0]);
        qdot_vulkan_recording_destroy(recordings[1]);
        qdot_vulkan_recording_destroy(NULL);
        scene_close(s);
    }
    qdot_close(device);
    assert_true(h.locked > 0);
    host_close(&h);
}

/* The producer is submitted and waits for the host; run and consumer behind it wait by semaphores, and
 * no call has waited. */
static void test_semaphores(void **state)
{
    struct host h;
    struct qdot_error err = {0};
    uint64_t at = 0;
    (void)state;
    host_open(&h);
    struct qdot_device *device = adopt(&h);
    VkCommandBuffer producer = commands_of(&h, PRODUCE), consumer = commands_of(&h, CONSUME);
    struct qdot_event *event;
    interop_must(qdot_event_create(device, &event, &err), &err, "qdot_event_create");
    for (size_t i = 0; i < INTEROP_PROBLEMS; i++, at += 4) {
        struct scene *s = scene_open(device, &h, i);
        const struct qdot_vulkan_point wait = {h.line, at + 2}, signal = {h.line, at + 3};
        submit(&h, producer, at + 1, at + 2);
        s->run.event = event;
        interop_must(qdot_vulkan_run(s->op, &s->run, &wait, 1, &signal, 1, &err), &err,
                     "qdot_vulkan_run");
        submit(&h, consumer, at + 3, at + 4);
        assert_int_equal(qdot_event_wait(event, 20000000, &err), QDOT_TIMEOUT);
        const VkSemaphoreSignalInfo go = {
            .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, .semaphore = h.line, .value = at + 1};
        CHECK(vkSignalSemaphore(h.device, &go));
        wait_line(&h, at + 4);
        interop_must(qdot_event_wait(event, 0, &err), &err, "qdot_event_wait");
        scene_check(s, &h);
        scene_close(s);
    }
    /* A run waits for the host's value by itself. */
    struct scene *s = scene_open(device, &h, 0);
    const struct qdot_vulkan_point wait = {h.line, at + 1};
    s->run.event = event;
    interop_must(qdot_vulkan_run(s->op, &s->run, &wait, 1, NULL, 0, &err), &err, "qdot_vulkan_run");
    assert_int_equal(qdot_event_wait(event, 20000000, &err), QDOT_TIMEOUT);
    const VkSemaphoreSignalInfo go = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO, .semaphore = h.line, .value = at + 1};
    CHECK(vkSignalSemaphore(h.device, &go));
    interop_must(qdot_event_wait(event, UINT64_MAX, &err), &err, "qdot_event_wait");
    scene_close(s);
    qdot_event_destroy(event);
    qdot_close(device);
    host_close(&h);
}

/* Odd places of a buffer, reads and writes of a part, host memory beside the host's buffers. */
static void test_parts(void **state)
{
    static uint8_t a[INTEROP_A], got[INTEROP_OUT];
    struct host h;
    struct qdot_buffer *odd;
    struct qdot_error err = {0};
    (void)state;
    host_open(&h);
    struct qdot_device *device = adopt(&h);
    struct scene *s = scene_open(device, &h, 0);
    for (uint32_t i = 0; i < INTEROP_A / 4; i++)
        memcpy(a + 4 * i, &(const uint32_t){interop_word(i)}, 4);
    assert_true(qdot_vulkan_handle(s->a) == h.buffers[A]);
    interop_must(qdot_vulkan_buffer(device, h.buffers[A], 1, s->p.a_bytes + 4, &odd, &err), &err,
                 "odd");
    interop_must(qdot_buffer_write(odd, 2, a, s->p.a_bytes, &err), &err, "write");
    s->run.a = (struct qdot_input){.buffer = odd, .offset_bytes = 2};
    interop_must(qdot_op_run(s->op, &s->run, &err), &err, "qdot_op_run");
    interop_must(qdot_buffer_read(s->out, 0, got, s->p.out_bytes, &err), &err, "read");
    assert_memory_equal(got, s->p.want, s->p.out_bytes);
    qdot_buffer_destroy(odd);
    memset(got, 0, sizeof(got));
    s->run.a = (struct qdot_input){.host = a};
    s->run.out = (struct qdot_output){.host = got};
    interop_must(qdot_vulkan_run(s->op, &s->run, NULL, 0, NULL, 0, &err), &err, "host memory");
    assert_memory_equal(got, s->p.want, s->p.out_bytes);
    scene_close(s);
    qdot_close(device);
    host_close(&h);
}

/* ---- what was enabled ------------------------------------------------------------------------ */

static void expect_features(const struct host *h, bool expected, const char *feature)
{
    struct qdot_device *device = adopt(h);
    struct qdot_device_info info;
    struct qdot_error err = {0};
    interop_must(qdot_device_info(device, &info, &err), &err, "qdot_device_info");
    if ((strstr(info.features, feature) != NULL) != expected)
        fail_msg("features '%s': expected %s%s", info.features, expected ? "" : "no ", feature);
    assert_string_equal(info.backend, "vulkan");
    assert_string_equal(info.name, "vulkan:0");
    assert_true(info.description[0] && info.driver[0]);
    struct qdot_op *op;
    struct interop_problem p;
    interop_problem(1, &p); /* to sums, which need no feature */
    interop_must(qdot_op_create(device, &p.desc, &op, &err), &err, "qdot_op_create");
    qdot_op_destroy(op);
    qdot_close(device);
}

static void bare_close(struct host *h)
{
    vkDestroyDevice(h->device, NULL);
    vkDestroyInstance(h->instance, NULL);
    pthread_mutex_destroy(&h->lock);
}

static bool asks_for(const struct host *h, const char *extension)
{
    for (uint32_t i = 0; i < h->needs.optional_count; i++)
        if (strcmp(h->needs.optional[i], extension) == 0)
            return true;
    return false;
}

/* qdot believes what it is told, not what the physical device could. */
static void test_enabled(void **state)
{
    struct host h;
    (void)state;
    memset(&h, 0, sizeof(h));
    open_instance(&h, VK_API_VERSION_1_3);
    open_device(&h, true);
    const bool dot = asks_for(&h, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
    expect_features(&h, dot, "int_dot");
    /* By the structure of version 1.3, without the extension. */
    VkPhysicalDeviceVulkan13Features all = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES,
        .shaderIntegerDotProduct = VK_TRUE};
    h.desc.features = &all;
    h.desc.extension_count = 0;
    expect_features(&h, dot, "int_dot");
    all.shaderIntegerDotProduct = VK_FALSE;
    expect_features(&h, false, "int_dot");
    h.desc.features = NULL;
    expect_features(&h, false, "int_dot");
    bare_close(&h);

    const uint32_t versions[] = {VK_API_VERSION_1_1, VK_API_VERSION_1_2};
    for (size_t i = 0; i < 2; i++) {
        memset(&h, 0, sizeof(h));
        open_instance(&h, versions[i]);
        open_device(&h, false);
        expect_features(&h, false, "int_dot");
        bare_close(&h);
    }
    memset(&h, 0, sizeof(h));
    open_instance(&h, VK_API_VERSION_1_1);
    open_device(&h, true);
    expect_features(&h, asks_for(&h, VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME),
                    "float_controls");
    bare_close(&h);
}

/* ---- wrong calls ----------------------------------------------------------------------------- */

static void test_wrong_handles(void **state)
{
    struct host h;
    struct qdot_device *device;
    struct qdot_buffer *buffer;
    struct qdot_vulkan_recording *recording;
    struct qdot_vulkan_needs needs = {0};
    const struct qdot_device_desc named = {.device = "vulkan:0"};
    struct qdot_error err = {0};
    (void)state;
    host_open(&h);
    const struct qdot_vulkan_desc good = h.desc;
    struct qdot_vulkan_desc bad;
#define REFUSED(change, field) \
    bad = good;                \
    bad.change;                \
    api_expect("adopt", qdot_vulkan_adopt(&bad, NULL, &device, &err), QDOT_INVALID, &err, field)
    REFUSED(size = 3, "size");
    REFUSED(instance = VK_NULL_HANDLE, "instance");
    REFUSED(physical = VK_NULL_HANDLE, "physical");
    REFUSED(device = VK_NULL_HANDLE, "device");
    REFUSED(queue = VK_NULL_HANDLE, "queue");
    REFUSED(api_version = VK_API_VERSION_1_0, "api_version");
    REFUSED(queue_family = 77, "queue_family");
    REFUSED(lock_queue = NULL, "lock_queue");
    bad = good;
    bad.extensions = NULL;
    bad.extension_count = 2;
    api_expect("adopt", qdot_vulkan_adopt(&bad, NULL, &device, &err), QDOT_INVALID, &err,
               "extensions");
#undef REFUSED
    api_expect("NULL", qdot_vulkan_adopt(NULL, NULL, &device, &err), QDOT_INVALID, &err, "host");
    api_expect("NULL", qdot_vulkan_adopt(&good, NULL, NULL, &err), QDOT_INVALID, &err, "device");
    api_expect("a name", qdot_vulkan_adopt(&good, &named, &device, &err), QDOT_INVALID, &err,
               "device");
    api_expect("needs", qdot_vulkan_needs(&good, NULL, &err), QDOT_INVALID, &err, "needs");
    needs.size = 1;
    api_expect("needs", qdot_vulkan_needs(&good, &needs, &err), QDOT_INVALID, &err, "size");

    device = adopt(&h);
    struct scene *s = scene_open(device, &h, 0);
    api_expect("NULL", qdot_vulkan_buffer(device, VK_NULL_HANDLE, 0, 4, &buffer, &err),
               QDOT_INVALID, &err, "handle");
    api_expect("nothing", qdot_vulkan_buffer(device, h.buffers[A], 0, 0, &buffer, &err),
               QDOT_INVALID, &err, "bytes");
    VkCommandBuffer commands = begin_commands(&h);
    struct qdot_run run = s->run;
    struct qdot_event *event;
    interop_must(qdot_event_create(device, &event, &err), &err, "qdot_event_create");
    run.a = (struct qdot_input){.host = h.mapped[A]};
#define RECORDED(field)                                                               \
    api_expect("record", qdot_vulkan_record(s->op, &run, commands, &recording, &err), \
               QDOT_INVALID, &err, field)
    RECORDED("a:");
    run = s->run;
    run.event = event;
    RECORDED("event");
    run = s->run;
    run.m = 1000;
    RECORDED("m:");
    run = s->run;
#undef RECORDED
    api_expect("record", qdot_vulkan_record(s->op, &run, NULL, &recording, &err), QDOT_INVALID,
               &err, "commands");
    api_expect("record", qdot_vulkan_record(NULL, &run, commands, &recording, &err), QDOT_INVALID,
               &err, "op");
    api_expect("record", qdot_vulkan_record(s->op, &run, commands, NULL, &err), QDOT_INVALID, &err,
               "recording");
    CHECK(vkEndCommandBuffer(commands));
    struct qdot_vulkan_point points[17] = {{VK_NULL_HANDLE, 0}};
    api_expect("run", qdot_vulkan_run(s->op, &run, points, 17, NULL, 0, &err), QDOT_INVALID, &err,
               "waits");
    api_expect("run", qdot_vulkan_run(s->op, &run, NULL, 0, points, 1, &err), QDOT_INVALID, &err,
               "signals[0]");
    api_expect("run", qdot_vulkan_run(s->op, &run, NULL, 1, NULL, 0, &err), QDOT_INVALID, &err,
               "waits");
    qdot_event_destroy(event);
    scene_close(s);
    qdot_close(device);
    host_close(&h);
}

/* ---- threads --------------------------------------------------------------------------------- */

struct worker {
    struct scene *s;
    int status;
    struct qdot_error err;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < 60 && w->status == QDOT_OK; i++) {
        w->status = qdot_op_run(w->s->op, &w->s->run, &w->err);
        if (w->status == QDOT_OK && i % 7 == 6)
            w->status = qdot_flush(qdot_op_device(w->s->op), &w->err);
        if (w->status == QDOT_OK && i % 20 == 19)
            w->status = qdot_sync(qdot_op_device(w->s->op), &w->err);
    }
    return NULL;
}

/* The host submits to the queue while qdot does, from three threads of its own; outputs of these lie
 * in buffers of qdot. */
static void test_threads(void **state)
{
    enum { THREADS = INTEROP_PROBLEMS };
    static uint8_t got[INTEROP_OUT];
    struct worker workers[THREADS] = {{0}};
    struct host h;
    struct qdot_buffer *outs[THREADS];
    struct qdot_error err = {0};
    pthread_t threads[THREADS];
    (void)state;
    host_open(&h);
    struct qdot_device *device = adopt(&h);
    for (size_t i = 0; i < THREADS; i++) {
        struct scene *s = scene_open(device, &h, i);
        interop_must(qdot_buffer_create(device, INTEROP_OUT, NULL, &outs[i], &err), &err, "out");
        s->run.out.buffer = outs[i];
        workers[i].s = s;
    }
    VkCommandBuffer producer = commands_of(&h, PRODUCE), consumer = commands_of(&h, CONSUME);
    submit(&h, producer, 0, 0);
    wait_idle(&h);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 40; i++) {
        submit(&h, consumer, 0, 0);
        if (i % 4 == 3)
            wait_idle(&h);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    wait_idle(&h);
    for (size_t i = 0; i < THREADS; i++) {
        struct scene *s = workers[i].s;
        interop_must(workers[i].status, &workers[i].err, "a thread");
        interop_must(qdot_buffer_read(outs[i], 0, got, s->p.out_bytes, &err), &err, "read");
        assert_memory_equal(got, s->p.want, s->p.out_bytes);
        qdot_buffer_destroy(outs[i]);
        scene_close(s);
    }
    qdot_close(device);
    host_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record),  cmocka_unit_test(test_semaphores),
        cmocka_unit_test(test_parts),   cmocka_unit_test(test_enabled),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_wrong_handles),
    };
    return cmocka_run_group_tests_name("interop_vulkan", tests, NULL, NULL);
}
