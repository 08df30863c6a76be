/* A backend that was not built: no device, and one line that says why. */
#include <stdio.h>
#include "internal.h"

#define STUB(symbol, backend_name, why)                                       \
    static int symbol##_describe(size_t index, struct qdot_device_info *info, \
                                 struct qdot_error *err)                      \
    {                                                                         \
        (void)err;                                                            \
        if (index > 0)                                                        \
            return QDOT_END;                                                  \
        snprintf(info->reason, sizeof(info->reason), "%s", why);              \
        return QDOT_OK;                                                       \
    }                                                                         \
    const struct qdot_backend symbol = {.name = backend_name, .describe = symbol##_describe};

#ifndef QDOT_HAVE_OPENCL
STUB(qdot_opencl_backend, "opencl", "not built: install ocl-icd-opencl-dev and build again")
#endif
#ifndef QDOT_HAVE_VULKAN
STUB(qdot_vulkan_backend, "vulkan", "not built: install libvulkan-dev and glslc and build again")
#endif
