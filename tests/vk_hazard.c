/*
 * Two hazards planted on purpose, for the validation layer to report: a dispatch reads what a fill
 * wrote, then a dispatch reads what a dispatch wrote, and no barrier stands between. With the
 * argument "fixed" the barriers are there. If the layer is silent about the first or speaks about
 * the second, its silence about the library means nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

extern const unsigned char vk_hazard_spv[];
extern const size_t vk_hazard_spv_size;

enum { WORDS = 256, BUFFERS = 3, DISPATCHES = 2 };

static void check(VkResult result, const char *call)
{
    if (result == VK_SUCCESS)
        return;
    fprintf(stderr, "vk_hazard: %s: error %d\n", call, (int)result);
    exit(2);
}
#define CHECK(call) check(call, #call)

struct gpu {
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    uint32_t family;
    VkBuffer buffers[BUFFERS];
    VkDeviceMemory memory[BUFFERS];
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
    VkPipeline pipeline;
    VkDescriptorPool pool;
    VkDescriptorSet sets[DISPATCHES];
    VkCommandPool commands;
};

static void open_device(struct gpu *g)
{
    VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                             .apiVersion = VK_API_VERSION_1_1};
    VkInstanceCreateInfo instance = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                     .pApplicationInfo = &app};
    CHECK(vkCreateInstance(&instance, NULL, &g->instance));
    uint32_t count = 1;
    VkResult listed = vkEnumeratePhysicalDevices(g->instance, &count, &g->physical);
    if ((listed != VK_SUCCESS && listed != VK_INCOMPLETE) || count == 0)
        check(VK_ERROR_INITIALIZATION_FAILED, "vkEnumeratePhysicalDevices");
    VkQueueFamilyProperties families[16];
    uint32_t family_count = 16;
    vkGetPhysicalDeviceQueueFamilyProperties(g->physical, &family_count, families);
    while (g->family < family_count && !(families[g->family].queueFlags & VK_QUEUE_COMPUTE_BIT))
        g->family++;
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = g->family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkDeviceCreateInfo device = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                 .queueCreateInfoCount = 1,
                                 .pQueueCreateInfos = &queue};
    CHECK(vkCreateDevice(g->physical, &device, NULL, &g->device));
    vkGetDeviceQueue(g->device, g->family, 0, &g->queue);
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .queueFamilyIndex = g->family};
    CHECK(vkCreateCommandPool(g->device, &pool, NULL, &g->commands));
}

static void make_buffers(struct gpu *g)
{
    for (int i = 0; i < BUFFERS; i++) {
        VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                   .size = WORDS * 4,
                                   .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                            VK_BUFFER_USAGE_TRANSFER_DST_BIT};
        CHECK(vkCreateBuffer(g->device, &info, NULL, &g->buffers[i]));
        VkMemoryRequirements needs;
        vkGetBufferMemoryRequirements(g->device, g->buffers[i], &needs);
        uint32_t type = 0;
        while (!(needs.memoryTypeBits >> type & 1))
            type++;
        VkMemoryAllocateInfo memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = needs.size,
                                       .memoryTypeIndex = type};
        CHECK(vkAllocateMemory(g->device, &memory, NULL, &g->memory[i]));
        CHECK(vkBindBufferMemory(g->device, g->buffers[i], g->memory[i], 0));
    }
}

static void make_pipeline(struct gpu *g)
{
    VkDescriptorSetLayoutBinding bindings[2] = {
        {0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL},
        {1, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, NULL}};
    VkDescriptorSetLayoutCreateInfo set_layout = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = 2,
        .pBindings = bindings};
    CHECK(vkCreateDescriptorSetLayout(g->device, &set_layout, NULL, &g->set_layout));
    VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                         .setLayoutCount = 1,
                                         .pSetLayouts = &g->set_layout};
    CHECK(vkCreatePipelineLayout(g->device, &layout, NULL, &g->layout));
    uint32_t *code = malloc(vk_hazard_spv_size);
    if (!code)
        check(VK_ERROR_OUT_OF_HOST_MEMORY, "malloc");
    memcpy(code, vk_hazard_spv, vk_hazard_spv_size);
    VkShaderModuleCreateInfo module_info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                            .codeSize = vk_hazard_spv_size,
                                            .pCode = code};
    VkShaderModule module;
    CHECK(vkCreateShaderModule(g->device, &module_info, NULL, &module));
    VkComputePipelineCreateInfo pipeline = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main"},
        .layout = g->layout};
    CHECK(vkCreateComputePipelines(g->device, VK_NULL_HANDLE, 1, &pipeline, NULL, &g->pipeline));
    vkDestroyShaderModule(g->device, module, NULL);
    free(code);
}

/* Dispatch i reads buffer i and writes buffer i + 1. */
static void make_sets(struct gpu *g)
{
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 2 * DISPATCHES};
    VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                       .maxSets = DISPATCHES,
                                       .poolSizeCount = 1,
                                       .pPoolSizes = &size};
    CHECK(vkCreateDescriptorPool(g->device, &pool, NULL, &g->pool));
    for (int i = 0; i < DISPATCHES; i++) {
        VkDescriptorSetAllocateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                           .descriptorPool = g->pool,
                                           .descriptorSetCount = 1,
                                           .pSetLayouts = &g->set_layout};
        CHECK(vkAllocateDescriptorSets(g->device, &set, &g->sets[i]));
        for (uint32_t j = 0; j < 2; j++) {
            VkDescriptorBufferInfo buffer = {g->buffers[(uint32_t)i + j], 0, VK_WHOLE_SIZE};
            VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                          .dstSet = g->sets[i],
                                          .dstBinding = j,
                                          .descriptorCount = 1,
                                          .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                          .pBufferInfo = &buffer};
            vkUpdateDescriptorSets(g->device, 1, &write, 0, NULL);
        }
    }
}

static void barrier(VkCommandBuffer commands, VkPipelineStageFlags stage, VkAccessFlags access)
{
    VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                              .srcAccessMask = access,
                              .dstAccessMask = VK_ACCESS_SHADER_READ_BIT};
    vkCmdPipelineBarrier(commands, stage, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1, &memory, 0,
                         NULL, 0, NULL);
}

static void run(struct gpu *g, int fixed)
{
    VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                        .commandPool = g->commands,
                                        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                        .commandBufferCount = 1};
    VkCommandBuffer commands;
    CHECK(vkAllocateCommandBuffers(g->device, &info, &commands));
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    CHECK(vkBeginCommandBuffer(commands, &begin));
    vkCmdFillBuffer(commands, g->buffers[0], 0, VK_WHOLE_SIZE, 7);
    vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, g->pipeline);
    for (int i = 0; i < DISPATCHES; i++) {
        if (fixed)
            barrier(commands,
                    i == 0 ? VK_PIPELINE_STAGE_TRANSFER_BIT : VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                    i == 0 ? VK_ACCESS_TRANSFER_WRITE_BIT : VK_ACCESS_SHADER_WRITE_BIT);
        vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, g->layout, 0, 1,
                                &g->sets[i], 0, NULL);
        vkCmdDispatch(commands, WORDS / 64, 1, 1);
    }
    CHECK(vkEndCommandBuffer(commands));
    VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                           .commandBufferCount = 1,
                           .pCommandBuffers = &commands};
    CHECK(vkQueueSubmit(g->queue, 1, &submit, VK_NULL_HANDLE));
    CHECK(vkQueueWaitIdle(g->queue));
}

static void close_device(struct gpu *g)
{
    vkDestroyCommandPool(g->device, g->commands, NULL);
    vkDestroyDescriptorPool(g->device, g->pool, NULL);
    vkDestroyPipeline(g->device, g->pipeline, NULL);
    vkDestroyPipelineLayout(g->device, g->layout, NULL);
    vkDestroyDescriptorSetLayout(g->device, g->set_layout, NULL);
    for (int i = 0; i < BUFFERS; i++) {
        vkDestroyBuffer(g->device, g->buffers[i], NULL);
        vkFreeMemory(g->device, g->memory[i], NULL);
    }
    vkDestroyDevice(g->device, NULL);
    vkDestroyInstance(g->instance, NULL);
}

int main(int argc, char **argv)
{
    struct gpu g = {0};
    open_device(&g);
    make_buffers(&g);
    make_pipeline(&g);
    make_sets(&g);
    run(&g, argc > 1 && strcmp(argv[1], "fixed") == 0);
    close_device(&g);
    return 0;
}
