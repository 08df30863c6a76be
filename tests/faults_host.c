/* The host of tests/faults_host.h. What it calls by the names of OpenCL is the layer's. */
#include "faults_host.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define CL_TARGET_OPENCL_VERSION 120
#include "qdot_opencl.h"
#include <vulkan/vulkan.h>
#include "qdot_vulkan.h"

enum { HOST_BYTES = 1 << 16 };

static struct {
    bool vulkan;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    cl_mem memory[2];
    VkInstance instance;
    VkPhysicalDevice physical;
    struct qdot_vulkan_needs needs;
    VkDevice device;
    VkQueue vk_queue;
    VkBuffer buffers[2];
    VkCommandBuffer commands;
    VkSemaphore line;
    uint64_t at; /* of the line */
} host;

static void *find(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = handle ? dlsym(handle, name) : NULL;
    if (!symbol) {
        fprintf(stderr, "faults: no %s in %s\n", name, library);
        exit(3);
    }
    return symbol;
}

/* The function behind the layer's, into a variable of its name with an underscore. */
#define CL(name)               \
    __typeof__(name) *name##_; \
    memcpy(&name##_, &(void *){find("libOpenCL.so.1", #name)}, sizeof(name##_))
#define VK(name)        \
    PFN_##name name##_; \
    memcpy(&name##_, &(void *){find(FAULT_LIBVULKAN, #name)}, sizeof(name##_))

static bool open_opencl(void)
{
    cl_platform_id platform;
    cl_int code;
    CL(clGetPlatformIDs);
    CL(clGetDeviceIDs);
    CL(clCreateContext);
    CL(clCreateCommandQueue);
    CL(clCreateBuffer);
    if (clGetPlatformIDs_(1, &platform, NULL) ||
        clGetDeviceIDs_(platform, CL_DEVICE_TYPE_ALL, 1, &host.id, NULL))
        return false;
    host.context = clCreateContext_(NULL, 1, &host.id, NULL, NULL, &code);
    host.queue = clCreateCommandQueue_(host.context, host.id, 0, &code);
    for (size_t i = 0; i < 2; i++)
        host.memory[i] = clCreateBuffer_(host.context, CL_MEM_READ_WRITE, HOST_BYTES, NULL, &code);
    return host.memory[0] && host.memory[1];
}

static struct qdot_vulkan_desc vulkan_desc(PFN_vkGetInstanceProcAddr get)
{
    return (struct qdot_vulkan_desc){.get_instance_proc_addr = get,
                                     .instance = host.instance,
                                     .api_version = VK_API_VERSION_1_2,
                                     .physical = host.physical,
                                     .device = host.device,
                                     .extensions = host.needs.optional,
                                     .extension_count = host.needs.optional_count,
                                     .features = &host.needs.features,
                                     .queue = host.vk_queue};
}

static bool open_instance(void)
{
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .apiVersion = VK_API_VERSION_1_2};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &app};
    uint32_t count = 1;
    VK(vkCreateInstance);
    VK(vkEnumeratePhysicalDevices);
    return vkCreateInstance_(&info, NULL, &host.instance) == VK_SUCCESS &&
           vkEnumeratePhysicalDevices_(host.instance, &count, &host.physical) >= VK_SUCCESS;
}

static bool open_device(void)
{
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = &host.needs.features,
        .timelineSemaphore = VK_TRUE};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &timeline,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue};
    VK(vkGetInstanceProcAddr);
    VK(vkCreateDevice);
    VK(vkGetDeviceQueue);
    if (!open_instance())
        return false;
    const struct qdot_vulkan_desc desc = vulkan_desc(vkGetInstanceProcAddr_);
    if (qdot_vulkan_needs(&desc, &host.needs, NULL))
        return false;
    info.enabledExtensionCount = host.needs.optional_count;
    info.ppEnabledExtensionNames = host.needs.optional;
    if (vkCreateDevice_(host.physical, &info, NULL, &host.device) != VK_SUCCESS)
        return false;
    vkGetDeviceQueue_(host.device, 0, 0, &host.vk_queue);
    return true;
}

static bool make_buffer(VkBuffer *buffer)
{
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = HOST_BYTES,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT};
    VkMemoryRequirements needs;
    VkDeviceMemory memory;
    VkMemoryAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
    VK(vkCreateBuffer);
    VK(vkGetBufferMemoryRequirements);
    VK(vkAllocateMemory);
    VK(vkBindBufferMemory);
    if (vkCreateBuffer_(host.device, &info, NULL, buffer) != VK_SUCCESS)
        return false;
    vkGetBufferMemoryRequirements_(host.device, *buffer, &needs);
    allocate.allocationSize = needs.size;
    while (!(needs.memoryTypeBits >> allocate.memoryTypeIndex & 1))
        allocate.memoryTypeIndex++;
    return vkAllocateMemory_(host.device, &allocate, NULL, &memory) == VK_SUCCESS &&
           vkBindBufferMemory_(host.device, *buffer, memory, 0) == VK_SUCCESS;
}

static bool open_vulkan(void)
{
    const VkCommandPoolCreateInfo pool_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                               .flags =
                                                   VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT};
    const VkSemaphoreTypeCreateInfo timeline = {.sType =
                                                    VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                                .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo line = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                        .pNext = &timeline};
    VkCommandPool pool;
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandBufferCount = 1};
    VK(vkCreateCommandPool);
    VK(vkAllocateCommandBuffers);
    VK(vkCreateSemaphore);
    if (!open_device() || !make_buffer(&host.buffers[0]) || !make_buffer(&host.buffers[1]) ||
        vkCreateCommandPool_(host.device, &pool_info, NULL, &pool) != VK_SUCCESS ||
        vkCreateSemaphore_(host.device, &line, NULL, &host.line) != VK_SUCCESS)
        return false;
    commands.commandPool = pool;
    return vkAllocateCommandBuffers_(host.device, &commands, &host.commands) == VK_SUCCESS;
}

bool host_open(const char *device)
{
    host.vulkan = strncmp(device, "vulkan", 6) == 0;
    return host.vulkan ? host.commands || open_vulkan() : host.memory[1] || open_opencl();
}

int host_adopt(const struct qdot_device_desc *desc, struct qdot_device **device,
               struct qdot_error *err)
{
    const struct qdot_opencl_desc opencl = {
        .context = host.context, .device = host.id, .queue = host.queue};
    const struct qdot_vulkan_desc vulkan = vulkan_desc(vkGetInstanceProcAddr);
    return host.vulkan ? qdot_vulkan_adopt(&vulkan, desc, device, err)
                       : qdot_opencl_adopt(&opencl, desc, device, err);
}

int host_wrap(struct qdot_device *device, size_t which, size_t bytes, struct qdot_buffer **buffer,
              struct qdot_error *err)
{
    return host.vulkan ? qdot_vulkan_buffer(device, host.buffers[which], 16, bytes, buffer, err)
                       : qdot_opencl_buffer(device, host.memory[which], 16, bytes, buffer, err);
}

static int run_opencl(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    cl_event before, done;
    CL(clEnqueueMarkerWithWaitList);
    CL(clWaitForEvents);
    CL(clReleaseEvent);
    if (clEnqueueMarkerWithWaitList_(host.queue, 0, NULL, &before))
        return qdot_sync(NULL, err);
    const int status = qdot_opencl_run(op, run, &before, 1, &done, err);
    clReleaseEvent_(before);
    if (status == QDOT_OK) {
        clWaitForEvents_(1, &done);
        clReleaseEvent(done); /* the layer knows of it */
    }
    return status;
}

static int run_recorded(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    const VkSubmitInfo submit = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                 .commandBufferCount = 1,
                                 .pCommandBuffers = &host.commands};
    struct qdot_vulkan_recording *recording;
    VK(vkBeginCommandBuffer);
    VK(vkEndCommandBuffer);
    VK(vkQueueSubmit);
    VK(vkQueueWaitIdle);
    vkBeginCommandBuffer_(host.commands, &begin);
    const int status = qdot_vulkan_record(op, run, host.commands, &recording, err);
    vkEndCommandBuffer_(host.commands);
    if (status == QDOT_OK) {
        vkQueueSubmit_(host.vk_queue, 1, &submit, VK_NULL_HANDLE);
        vkQueueWaitIdle_(host.vk_queue);
        qdot_vulkan_recording_destroy(recording);
    }
    return status;
}

static int run_vulkan(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    const struct qdot_vulkan_point wait = {host.line, host.at}, signal = {host.line, host.at + 1};
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &host.line,
                                      .pValues = &signal.value};
    int status = qdot_vulkan_run(op, run, &wait, 1, &signal, 1, err);
    VK(vkWaitSemaphores);
    if (status == QDOT_OK) {
        host.at++;
        vkWaitSemaphores_(host.device, &info, UINT64_MAX);
    }
    return status;
}

int host_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err)
{
    if (!host.vulkan)
        return run_opencl(op, run, err);
    const bool on_host = run->a_zero.host || run->row_scale.host || run->b.host;
    const int status = on_host ? QDOT_OK : run_recorded(op, run, err);
    return status == QDOT_OK ? run_vulkan(op, run, err) : status;
}
