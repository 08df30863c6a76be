/* libvulkan at run time, and the names of result codes. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "vk.h"

bool vk_find_loader(struct vk_api *api, char *reason, size_t reason_bytes)
{
    void *library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    void *symbol = library ? dlsym(library, "vkGetInstanceProcAddr") : NULL;
    memset(api, 0, sizeof(*api));
    if (!symbol) {
        snprintf(reason, reason_bytes, "no libvulkan.so.1: install libvulkan1");
        return false;
    }
    memcpy(&api->vkGetInstanceProcAddr, &symbol, sizeof(symbol)); /* C has no such conversion */
    return true;
}

bool vk_load_instance(struct vk_api *api, VkInstance instance, const char **missing)
{
    *missing = NULL;
#define X(name)                                                          \
    api->name = (PFN_##name)api->vkGetInstanceProcAddr(instance, #name); \
    *missing = api->name || *missing ? *missing : #name;
    VK_INSTANCE_FUNCTIONS(X)
#undef X
    return !*missing;
}

bool vk_load(struct vk_api *api, VkInstance *instance, char *reason, size_t reason_bytes)
{
    *instance = VK_NULL_HANDLE;
    if (!vk_find_loader(api, reason, reason_bytes))
        return false;
    PFN_vkCreateInstance create =
        (PFN_vkCreateInstance)api->vkGetInstanceProcAddr(NULL, "vkCreateInstance");
    if (!create) {
        snprintf(reason, reason_bytes, "libvulkan.so.1 has no vkCreateInstance");
        return false;
    }
    /* Newer devices name their driver; those of 1.1 are served all the same. */
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .pApplicationName = "qdot",
                                           .pEngineName = "qdot",
                                           .apiVersion = VK_INSTANCE_VERSION};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &application};
    struct qdot_error err;
    VkInstance made;
    const char *missing;
    if (vk_check(create(&info, NULL, &made), "vkCreateInstance", &err) != QDOT_OK) {
        snprintf(reason, reason_bytes,
                 "no Vulkan driver of version 1.1 (%.60s): install mesa-vulkan-drivers", err.text);
        return false;
    }
    if (!vk_load_instance(api, made, &missing)) {
        snprintf(reason, reason_bytes, "libvulkan.so.1 has no %s", missing);
        if (api->vkDestroyInstance)
            api->vkDestroyInstance(made, NULL);
        return false;
    }
    *instance = made;
    return true;
}

bool vk_load_device(struct vk_api *api, VkDevice device, const char **missing)
{
    *missing = NULL;
#define X(name)                                                      \
    api->name = (PFN_##name)api->vkGetDeviceProcAddr(device, #name); \
    *missing = api->name || *missing ? *missing : #name;
    VK_DEVICE_FUNCTIONS(X)
#undef X
    return !*missing;
}

#define CODES(X)                      \
    X(VK_NOT_READY)                   \
    X(VK_TIMEOUT)                     \
    X(VK_INCOMPLETE)                  \
    X(VK_ERROR_OUT_OF_HOST_MEMORY)    \
    X(VK_ERROR_OUT_OF_DEVICE_MEMORY)  \
    X(VK_ERROR_OUT_OF_POOL_MEMORY)    \
    X(VK_ERROR_INITIALIZATION_FAILED) \
    X(VK_ERROR_DEVICE_LOST)           \
    X(VK_ERROR_MEMORY_MAP_FAILED)     \
    X(VK_ERROR_LAYER_NOT_PRESENT)     \
    X(VK_ERROR_EXTENSION_NOT_PRESENT) \
    X(VK_ERROR_FEATURE_NOT_PRESENT)   \
    X(VK_ERROR_INCOMPATIBLE_DRIVER)   \
    X(VK_ERROR_TOO_MANY_OBJECTS)      \
    X(VK_ERROR_FRAGMENTED_POOL)       \
    X(VK_ERROR_UNKNOWN)

static const char *code_name(VkResult code)
{
    switch ((int)code) {
#define X(name) \
    case name:  \
        return #name;
        CODES(X)
#undef X
    }
    return "an unlisted code";
}

int vk_check(VkResult code, const char *call, struct qdot_error *err)
{
    if (code == VK_SUCCESS)
        return QDOT_OK;
    const bool memory = code == VK_ERROR_OUT_OF_HOST_MEMORY ||
                        code == VK_ERROR_OUT_OF_DEVICE_MEMORY ||
                        code == VK_ERROR_OUT_OF_POOL_MEMORY;
    return qdot_fail(err, memory ? QDOT_NO_MEMORY : QDOT_DEVICE_FAILED, "%s: %s (%d)", call,
                     code_name(code), (int)code);
}
