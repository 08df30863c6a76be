/*
 * The Vulkan backend. (Not called vulkan.h: host/ is on the include path, before the real one.)
 *
 *   loader.c    libvulkan, opened at run time; names of result codes
 *   device.c    enumeration, open and close, buffers; the backend's table of hooks
 *   features.c  extensions and features that rows use
 *   queue.c     submission: command buffers, batches, waits
 *   memory.c    buffers and their memory; copies between host and device
 *   pipeline.c  shader modules to pipelines, their cache
 *   plan.c      rows; sizes of one op, limits of a device
 *   op.c        prepare and run: buffers of an op, operands, dispatches
 *   gemm.c      what a run of a GEMM records
 *   conv.c      what a run of a convolution records
 *   elements.c  quantize and its kin
 *   bytes.c     maps and max pools
 *   interop.c   qdot_vulkan.h: a host's device, queue, buffers, command buffers and semaphores
 */
#ifndef QDOT_VULKAN_INTERNAL_H
#define QDOT_VULKAN_INTERNAL_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>
#include "internal.h"

/* Debian 12's headers are older than the extension. */
#ifndef VK_KHR_cooperative_matrix
#define VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME "VK_KHR_cooperative_matrix"
#define VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR \
    ((VkStructureType)1000506000)
#define VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR ((VkStructureType)1000506001)
enum { VK_COMPONENT_TYPE_SINT8_KHR = 3, VK_COMPONENT_TYPE_SINT32_KHR = 5 };
enum { VK_SCOPE_SUBGROUP_KHR = 3 };

typedef struct {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
} VkPhysicalDeviceCooperativeMatrixFeaturesKHR;

typedef struct {
    VkStructureType sType;
    void *pNext;
    uint32_t MSize, NSize, KSize;
    int AType, BType, CType, ResultType;
    VkBool32 saturatingAccumulation;
    int scope;
} VkCooperativeMatrixPropertiesKHR;

typedef VkResult(VKAPI_PTR *PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR)(
    VkPhysicalDevice, uint32_t *, VkCooperativeMatrixPropertiesKHR *);
#endif

/* ---- loader.c -------------------------------------------------------------------------------- */

#define VK_INSTANCE_FUNCTIONS(X)                \
    X(vkDestroyInstance)                        \
    X(vkEnumeratePhysicalDevices)               \
    X(vkGetPhysicalDeviceProperties)            \
    X(vkGetPhysicalDeviceProperties2)           \
    X(vkGetPhysicalDeviceFeatures2)             \
    X(vkGetPhysicalDeviceMemoryProperties)      \
    X(vkGetPhysicalDeviceQueueFamilyProperties) \
    X(vkEnumerateDeviceExtensionProperties)     \
    X(vkCreateDevice)                           \
    X(vkGetDeviceProcAddr)

#define VK_DEVICE_FUNCTIONS(X)        \
    X(vkDestroyDevice)                \
    X(vkGetDeviceQueue)               \
    X(vkQueueSubmit)                  \
    X(vkQueueWaitIdle)                \
    X(vkCreateBuffer)                 \
    X(vkDestroyBuffer)                \
    X(vkGetBufferMemoryRequirements)  \
    X(vkAllocateMemory)               \
    X(vkFreeMemory)                   \
    X(vkBindBufferMemory)             \
    X(vkMapMemory)                    \
    X(vkFlushMappedMemoryRanges)      \
    X(vkInvalidateMappedMemoryRanges) \
    X(vkCreateFence)                  \
    X(vkDestroyFence)                 \
    X(vkResetFences)                  \
    X(vkGetFenceStatus)               \
    X(vkWaitForFences)                \
    X(vkCreateCommandPool)            \
    X(vkDestroyCommandPool)           \
    X(vkAllocateCommandBuffers)       \
    X(vkBeginCommandBuffer)           \
    X(vkEndCommandBuffer)             \
    X(vkCmdBindPipeline)              \
    X(vkCmdBindDescriptorSets)        \
    X(vkCmdPushConstants)             \
    X(vkCmdDispatch)                  \
    X(vkCmdCopyBuffer)                \
    X(vkCmdPipelineBarrier)           \
    X(vkCreateShaderModule)           \
    X(vkDestroyShaderModule)          \
    X(vkCreatePipelineCache)          \
    X(vkDestroyPipelineCache)         \
    X(vkGetPipelineCacheData)         \
    X(vkCreatePipelineLayout)         \
    X(vkDestroyPipelineLayout)        \
    X(vkCreateComputePipelines)       \
    X(vkDestroyPipeline)              \
    X(vkCreateDescriptorSetLayout)    \
    X(vkDestroyDescriptorSetLayout)   \
    X(vkCreateDescriptorPool)         \
    X(vkDestroyDescriptorPool)        \
    X(vkAllocateDescriptorSets)       \
    X(vkUpdateDescriptorSets)

struct vk_api {
    PFN_vkGetInstanceProcAddr vkGetInstanceProcAddr;
#define X(name) PFN_##name name;
    VK_INSTANCE_FUNCTIONS(X)
    VK_DEVICE_FUNCTIONS(X)
#undef X
};

/* An instance and the functions of it; false and a reason when there is none. The library stays
 * loaded: drivers leave threads and thread-local data behind. */
bool vk_load(struct vk_api *api, VkInstance *instance, char *reason, size_t reason_bytes);
#define VK_INSTANCE_VERSION VK_API_VERSION_1_2 /* of our own */
/* Its parts: the loader's first function; the functions of an instance, false and the name of one
 * that is missing. */
bool vk_find_loader(struct vk_api *api, char *reason, size_t reason_bytes);
bool vk_load_instance(struct vk_api *api, VkInstance instance, const char **missing);
/* The functions of a device, likewise. */
bool vk_load_device(struct vk_api *api, VkDevice device, const char **missing);
/* QDOT_OK for VK_SUCCESS; else err names the call and its code. */
int vk_check(VkResult code, const char *call, struct qdot_error *err);

struct vk_device;

/* ---- queue.c --------------------------------------------------------------------------------- */

enum {
    VK_BATCHES = 8, /* submitted at a time */
    VK_GATHER = 32, /* command buffers of a batch */
    VK_SLOTS = 4,   /* command buffers of an owner, used in turn: it waits for the fourth before */
    VK_POINTS = 16, /* semaphores to wait for, or to signal */
    VK_FAILURES = 32, /* that are remembered */
};

/* Command buffers of one owner, and the batch that each was submitted with last; 0: none. */
struct vk_commands {
    VkCommandPool pool;
    VkCommandBuffer buffers[VK_SLOTS];
    uint64_t batches[VK_SLOTS];
    uint32_t at; /* the one that is recorded */
};

struct vk_batch {
    VkFence fence;
    uint64_t number;
    uint32_t waiters;
    bool pending; /* submitted and not waited for */
};

/* A batch that was dropped, or of which nothing is known but that its device was lost. */
struct vk_failure {
    uint64_t batch; /* 0: none */
    const char *call;
    VkResult code;
};

struct vk_queue {
    VkQueue handle;
    void *lock_ctx; /* of the host that the queue is from; NULL functions: none */
    void (*lock_queue)(void *ctx), (*unlock_queue)(void *ctx);
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t left;  /* the last waiter of some batch did */
    struct vk_batch batches[VK_BATCHES];
    uint64_t open; /* the number of the batch that is gathered */
    VkCommandBuffer gathered[VK_GATHER];
    uint32_t count;
    double work;                             /* multiply-adds */
    struct vk_failure failures[VK_FAILURES]; /* the latest, in turns */
    uint64_t failure_count;
    struct vk_failure untold; /* of a batch with runs whose callers do not know of it */
};

/* Semaphores of a submission. */
struct vk_points {
    VkSemaphore waits[VK_POINTS], signals[VK_POINTS];
    uint64_t wait_values[VK_POINTS], signal_values[VK_POINTS];
    VkPipelineStageFlags wait_stages[VK_POINTS];
    uint32_t wait_count, signal_count;
};

bool vk_queue_locks(struct vk_queue *q);
void vk_queue_unlocks(struct vk_queue *q);
int vk_queue_open(struct qdot_device *device, VkQueue handle, struct qdot_error *err);
void vk_queue_close(struct qdot_device *device); /* but for the locks */

int vk_commands_create(struct qdot_device *device, struct vk_commands *commands,
                       struct qdot_error *err);
void vk_commands_destroy(struct qdot_device *device, struct vk_commands *commands);
/* Takes the next command buffer, begins recording after everything that the queue has. */
int vk_commands_begin(struct qdot_device *device, struct vk_commands *commands,
                      struct qdot_error *err);
/* Into the open batch, which goes out 'now' or later; with 'points' into one of its own, at once. */
int vk_commands_submit(struct qdot_device *device, struct vk_commands *commands, double work,
                       bool now, const struct vk_points *points, struct qdot_error *err);
/* In place of submit. */
void vk_commands_cancel(struct qdot_device *device, struct vk_commands *commands);
static inline VkCommandBuffer vk_buffer_of(const struct vk_commands *commands)
{
    return commands->buffers[commands->at];
}
static inline uint64_t vk_batch_of(const struct vk_commands *commands)
{
    return commands->batches[commands->at];
}
/* Everything written before is seen by everything after, the host included if 'host'. */
void vk_barrier(const struct vk_device *vkd, VkCommandBuffer buffer, bool host);

/* A batch is done, or QDOT_TIMEOUT, or what became of it; that of number 0 is done. */
int vk_wait(struct qdot_device *device, uint64_t batch, uint64_t timeout_ns,
            struct qdot_error *err);
/* The device does not use what the batch uses: it is done, or was dropped. */
int vk_settle(struct qdot_device *device, uint64_t batch, struct qdot_error *err);
int vk_flush(struct qdot_device *device, struct qdot_error *err);
int vk_finish(struct qdot_device *device, struct qdot_error *err); /* all batches */
/* What the caller does not know yet of runs that were dropped. */
int vk_take_failure(struct qdot_device *device, struct qdot_error *err);

/* ---- device.c -------------------------------------------------------------------------------- */

enum {
    VK_INT_DOT = 1,
    VK_CPU = 2, /* the driver computes on the CPU, */
    VK_GPU = 4, /* or it does not */
    /* The device says that its dot product of packed bytes is worth using. */
    VK_SIGNED_DOT = 8,
    VK_UNSIGNED_DOT = 16,
    VK_MIXED_DOT = 32,
    /* Floats are rounded to nearest, infinities and zeros' signs kept. */
    VK_FLOAT_CONTROLS = 128,
    VK_COOP = 64 /* matrix units multiply s8 by s8, in a shape that rows are made for */
};

struct vk_memory {
    VkDeviceMemory handle;
    void *mapped; /* NULL: not visible to the host */
    bool coherent;
};

struct vk_staging {
    struct vk_commands commands;
    struct vk_memory memory;
    VkBuffer buffer;
};

/* Products of the matrix units: m by k times k by n, of a subgroup of so many invocations, which
 * pipelines ask for where the device has more than one size; then a work-group has at most so many. */
struct vk_coop {
    uint32_t m, n, k, subgroup;
    bool asks;
    uint32_t most_subgroups;
};

struct vk_pipeline;

struct vk_device {
    struct vk_api vk;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    bool adopted;     /* instance and device are a host's */
    uint32_t version; /* that instance and device both have */
    uint32_t family;
    struct vk_queue queue;
    VkPhysicalDeviceLimits limits;
    VkPhysicalDeviceMemoryProperties memories;
    uint64_t max_alloc;
    struct vk_coop coop; /* zeros without VK_COOP */
    struct vk_staging staging;
    pthread_mutex_t staging_lock;
    pthread_mutex_t pipeline_lock; /* pipelines, and the cache while they are built */
    struct vk_pipeline *pipelines;
    VkPipelineCache cache;
    uint64_t cache_hash; /* of what was read */
    VkDescriptorSetLayout set_layout;
    VkPipelineLayout layout;
};

void vk_query_limits(struct vk_device *vkd); /* of 'physical' */
VkBuffer vk_handle(const struct qdot_buffer *buffer);

/* ---- features.c ------------------------------------------------------------------------------ */

/* Of VkDeviceCreateInfo: names of extensions, and a chain of features. It points into itself. */
struct vk_wanted {
    const char *names[4];
    uint32_t name_count;
    void *features;
    VkPhysicalDeviceShaderIntegerDotProductFeaturesKHR dot;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceSubgroupSizeControlFeaturesEXT subgroups;
    VkPhysicalDeviceVulkanMemoryModelFeatures memory_model;
    VkPhysicalDeviceShaderFloat16Int8Features int8;
};

/* What the device has of what rows use; sets device->features and vk_device.coop. */
int vk_want(struct qdot_device *device, struct vk_wanted *wanted, struct qdot_error *err);

/* What a host created its device with: extensions and the pNext chain. */
struct vk_enabled {
    const char *const *names;
    uint32_t name_count;
    const void *features;
};
/* After vk_want: less what is not enabled. */
void vk_grant(struct qdot_device *device, const struct vk_enabled *enabled);

/* ---- memory.c -------------------------------------------------------------------------------- */

enum vk_kind { VK_KIND_DEVICE, VK_KIND_HOST };

/* Of at least 'bytes', whole words. */
int vk_buffer_create(struct qdot_device *device, size_t bytes, VkBuffer *buffer,
                     struct qdot_error *err);
/* One allocation under all buffers that are not NULL; offsets are where they lie in it. */
int vk_memory_create(struct qdot_device *device, enum vk_kind kind, const VkBuffer *buffers,
                     size_t count, size_t *offsets, struct vk_memory *memory,
                     struct qdot_error *err);
void vk_memory_destroy(struct qdot_device *device, struct vk_memory *memory);
/* What the host wrote is there for the device, and the other way round. */
int vk_memory_flush(struct qdot_device *device, const struct vk_memory *memory,
                    struct qdot_error *err);
int vk_memory_invalidate(struct qdot_device *device, const struct vk_memory *memory,
                         struct qdot_error *err);
/* Copies after everything that the queue has, and waits. */
int vk_upload(struct qdot_device *device, VkBuffer buffer, size_t offset, const void *memory,
              size_t bytes, struct qdot_error *err);
int vk_download(struct qdot_device *device, VkBuffer buffer, size_t offset, void *memory,
                size_t bytes, struct qdot_error *err);
void vk_staging_destroy(struct qdot_device *device);

/* ---- pipeline.c ------------------------------------------------------------------------------ */

#define VK_BINDINGS 4     /* what any device of Vulkan has a stage; shaders/interface.glsl */
#define VK_PUSH_BYTES 128 /* likewise */

enum vk_shader {
    VK_SHADER_GEMM,
    VK_SHADER_GEMM_INT_DOT,
    VK_SHADER_GEMM_FLOAT,
    VK_SHADER_GEMM_TILED,
    VK_SHADER_GEMM_TILED_DOT_4,
    VK_SHADER_GEMM_TILED_DOT_8,
    VK_SHADER_GEMV,
    VK_SHADER_GEMV_DOT,
    VK_SHADER_PACK,
    VK_SHADER_SUMS,
    VK_SHADER_FOLD,
    VK_SHADER_REDUCE,
    VK_SHADER_CONV,
    VK_SHADER_CONV_INT_DOT,
    VK_SHADER_CONV_TILED,
    VK_SHADER_CONV_TILED_DOT_4,
    VK_SHADER_CONV_TILED_DOT_8,
    VK_SHADER_DEPTHWISE,
    VK_SHADER_GEMM_COOP,
    VK_SHADER_CONV_COOP,
    VK_SHADER_INPUT,
    VK_SHADER_WINDOW_SUMS,
    VK_SHADER_ELEMENTS,
    VK_SHADER_RANGE,
    VK_SHADER_PARAMETERS,
    VK_SHADER_MAP,
    VK_SHADER_POOL
};

/* A pipeline: a shader and its specialisation constants. */
enum {
    CONSTANT_LOCAL_X, /* the work-group's invocations */
    CONSTANT_LOCAL_Y,
    CONSTANT_OUT,                    /* the output's type */
    CONSTANT_TILE = CONSTANT_OUT,    /* rows of the panels that are packed or summed */
    CONSTANT_FORM,                   /* the bytes' form: shaders/interface.glsl */
    CONSTANT_SIDE,                   /* of a work-group's tile, and */
    CONSTANT_DEPTH,                  /* groups of k it keeps: shaders/gemm_tiled.comp */
    CONSTANT_GROUP = CONSTANT_DEPTH, /* words of a group of k that are packed or summed */
    CONSTANT_ROUNDING,               /* enum qdot_rounding; set for all rows alike: op.c */
    CONSTANT_WIDE,                   /* of matrix units: shaders/coop.glsl */
    CONSTANT_DOWN,
    CONSTANT_ACROSS,
    CONSTANT_M,
    CONSTANT_N,
    CONSTANT_K,
    VK_CONSTANTS
};
struct vk_step_pipeline {
    enum vk_shader shader;
    uint32_t constants[VK_CONSTANTS];
    bool needed;
};

VkShaderModuleCreateInfo vk_shader_code(enum vk_shader shader);
int vk_pipelines_open(struct qdot_device *device, struct qdot_error *err);
void vk_pipelines_close(struct qdot_device *device);
/* Built once a device. */
int vk_pipeline(struct qdot_device *device, const struct vk_step_pipeline *step,
                VkPipeline *pipeline, struct qdot_error *err);

/* ---- plan.c ---------------------------------------------------------------------------------- */

struct vk_row {
    enum vk_shader shader;
    uint32_t
        columns;    /* that an invocation computes of mr rows; of a work-group if 'local' is set */
    uint32_t local; /* invocations of a work-group; 0: as the problem suits */
    uint32_t depth; /* of tiles: groups of k in shared memory */
    bool matrix;    /* by matrix units: 'local' is where subgroups are not small */
};

/* Buffers of an op, in bytes; 0: not needed. */
enum vk_buffer {
    VK_A, /* packed; of a convolution the copy of its input (shaders/interface.glsl) */
    VK_B, /* packed */
    VK_TERMS,
    VK_PARTS, /* sums of slices of k */
    VK_FIRST_HOST,
    VK_A_IN = VK_FIRST_HOST, /* operands of a run given as host memory */
    VK_B_IN,
    VK_ROWS_IN, /* zero points, then factors of rows; of elements scales, then zeros */
    VK_OUT,
    VK_BUFFERS
};

/* Arrays of VK_TERMS: shaders/interface.glsl. A convolution has one array by row for each part. */
enum { TERM_BIAS, TERM_B_NEG, TERM_COL_SUM, TERM_SCALE, TERM_BIAS_F, TERM_BIAS_GIVEN, TERMS };
#define OUT_PARTIAL 5 /* beside the values of enum qdot_type: shaders/output.glsl */
enum { FORM_SS, FORM_US, FORM_UU };
enum { ROW_SUM, ROW_A_ZERO, ROW_SCALE, ROW_ARRAYS };

/* The copy of a convolution's input. */
struct vk_copy {
    size_t lines, columns;         /* of an image */
    size_t parts, channels, words; /* channels and words of a part */
    size_t multiplier;             /* channels for each one of the input */
    size_t image_words;
    size_t images; /* at a time: a slab */
};

struct vk_plan {
    size_t terms_ld, rows_ld;  /* entries of an array by column, by row */
    size_t a_ld, b_ld, out_ld; /* in VK_A_IN, VK_B_IN, VK_OUT */
    struct vk_copy copy;
    size_t slices, slice; /* of k, where tiles are few: how many, groups of k in each */
    size_t bytes[VK_BUFFERS];
};

enum { VK_ROWS = 31 };
extern const struct qdot_row vk_rows[VK_ROWS];

/* False and a reason when sizes overflow what shaders count in. */
bool vk_plan(const struct qdot_row *row, const struct qdot_problem *p, struct vk_plan *plan,
             char *reason, size_t reason_bytes);
bool vk_fits(struct qdot_device *device, const struct qdot_row *row, const struct qdot_problem *p,
             char *reason, size_t reason_bytes);
/* Invocations of a work-group; 0: as the problem suits. */
uint32_t vk_local(const struct qdot_device *device, const struct qdot_row *row);
/* Those of a kernel for matrix units; of others nothing. */
void vk_coop_constants(const struct qdot_op *op, uint32_t *constants);

/* ---- op.c ------------------------------------------------------------------------------------ */

#define VK_LOCAL 64 /* invocations of every work-group */

/* Pipelines of an op; PACK_A and SUMS_A make the copy of a convolution and the sums over it. */
enum vk_step {
    VK_PACK_A,
    VK_PACK_B,
    VK_SUMS_A,
    VK_SUMS_B,
    VK_FOLD,
    VK_MULTIPLY,
    VK_REDUCE,
    VK_ELEMENTS,
    VK_RANGE,
    VK_PARAMETERS,
    VK_BYTES, /* a map or a max pool */
    VK_STEPS
};
enum vk_set { VK_SET_A, VK_SET_B, VK_SET_MULTIPLY, VK_SET_REDUCE, VK_SETS };

/* What a run is recorded into, and the descriptors that it takes. */
struct vk_target {
    VkCommandBuffer buffer;
    VkDescriptorSet sets[VK_SETS];
};

struct vk_op {
    struct vk_plan plan;
    VkBuffer buffers[VK_BUFFERS];
    size_t offsets[VK_BUFFERS]; /* in their memory */
    struct vk_memory memory[2]; /* under device and host buffers */
    VkPipeline pipelines[VK_STEPS];
    VkDescriptorPool pool;
    VkDescriptorSet sets[VK_SLOTS][VK_SETS];
    struct vk_commands commands;
    uint64_t host_batch;               /* the last one with operands in host buffers */
    struct vk_target target;           /* of the run that is recorded */
    uint32_t group_quads, group_tiles; /* columns in fours and tiles of mr rows that a work-group
                                          of VK_MULTIPLY computes */
};

/* Push constants that begin those of shaders with an output stage: shaders/interface.glsl. */
struct vk_output_arguments {
    uint32_t terms_ld, rows_ld, out_offset, with;
    int32_t lo, hi, zero;
};
enum { WITH_ROW_SUM = 1, WITH_A_ZERO = 2, WITH_ROW_SCALE = 4 };

/* Where a matrix lies on the device: a window that a shader sees, and in it the first byte. */
struct vk_place {
    VkDescriptorBufferInfo window;
    size_t offset; /* bytes */
    size_t ld;     /* elements */
};

struct vk_operands {
    struct vk_place a, b, out;
};

static inline size_t vk_divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

int vk_prepare(struct qdot_op *op, struct qdot_error *err);
void vk_unprepare(struct qdot_op *op);
int vk_run(struct qdot_op *op, const struct qdot_run *run, struct qdot_error *err);
int vk_run_with(struct qdot_op *op, const struct qdot_run *run, const struct vk_points *points,
                struct qdot_error *err);
int vk_read_packed(struct qdot_op *op, void *panels, struct qdot_error *err);

/* Operands of a run: in the caller's buffer, or host memory copied into the op's. */
int vk_find_place(const struct qdot_op *op, const char *name, const struct qdot_buffer *buffer,
                  size_t offset, size_t rows, size_t columns, size_t ld, size_t bytes,
                  struct vk_place *place, struct qdot_error *err);
int vk_take_matrix(const struct qdot_op *op, const char *name, const struct qdot_input *in,
                   enum vk_buffer buffer, size_t rows, size_t columns, size_t ld, size_t own_ld,
                   struct vk_place *place, struct qdot_error *err);

/* Descriptors of so many targets, at most VK_SLOTS. On failure the pool may be there. */
int vk_sets_create(struct qdot_device *device, size_t count, VkDescriptorPool *pool,
                   VkDescriptorSet (*sets)[VK_SETS], struct qdot_error *err);
/* Where operands are; those in host memory are copied to host buffers. */
int vk_find_operands(const struct qdot_op *op, const struct qdot_run *run, struct vk_operands *o,
                     struct qdot_error *err);

/* Recording, into the op's target. Nothing here fails. */
void vk_record(const struct qdot_op *op, const struct qdot_run *run, const struct vk_operands *o);
struct vk_output_arguments vk_output_arguments(const struct qdot_op *op);
uint8_t *vk_mapped(const struct qdot_op *op, enum vk_buffer buffer);
void vk_op_barrier(const struct qdot_op *op);
/* Work-groups beyond the device's limit are left out: shaders or callers go on from there. */
void vk_dispatch(const struct qdot_op *op, enum vk_step step, enum vk_set set,
                 const void *arguments, size_t bytes, size_t x, size_t y, size_t z);
/* The first tile of rows of each dispatch of VK_MULTIPLY is written to *first_tile, which is among
 * the arguments; quads are 4 columns. */
void vk_multiply(const struct qdot_op *op, void *arguments, size_t bytes, uint32_t *first_tile,
                 size_t tiles, size_t quads);

/* ---- gemm.c, conv.c -------------------------------------------------------------------------- */

/* The pipelines that the op needs; group_quads and group_tiles are set. */
void vk_gemm_steps(struct qdot_op *op, struct vk_step_pipeline *steps);
void vk_gemm_record(const struct qdot_op *op, const struct qdot_run *run, const struct vk_place *a,
                    const struct vk_place *b, const struct vk_place *out);
void vk_conv_steps(struct qdot_op *op, struct vk_step_pipeline *steps);
void vk_conv_record(const struct qdot_op *op, const struct qdot_run *run, const struct vk_place *a,
                    const struct vk_place *out);

/* ---- elements.c ------------------------------------------------------------------------------ */

void vk_elements_plan(const struct qdot_problem *p, struct vk_plan *plan);
void vk_elements_steps(struct qdot_op *op, struct vk_step_pipeline *steps);
int vk_elements_upload(struct qdot_op *op, struct qdot_error *err);
int vk_elements_operands(const struct qdot_op *op, const struct qdot_run *run,
                         struct vk_operands *o, struct qdot_error *err);
void vk_elements_record(const struct qdot_op *op, const struct qdot_run *run,
                        const struct vk_operands *o);
/* Does the run end in host memory? Then that is filled from the op's. */
bool vk_elements_to_host(const struct qdot_op *op, const struct qdot_run *run);
void vk_elements_output(const struct qdot_op *op, const struct qdot_run *run);

/* ---- bytes.c --------------------------------------------------------------------------------- */

bool vk_bytes_plan(const struct qdot_problem *p, struct vk_plan *plan, char *reason,
                   size_t reason_bytes);
void vk_bytes_steps(struct qdot_op *op, struct vk_step_pipeline *steps);
int vk_bytes_upload(struct qdot_op *op, struct qdot_error *err);
void vk_bytes_record(const struct qdot_op *op, const struct qdot_run *run,
                     const struct vk_operands *o);
/* A pool's are those of a convolution. */
int vk_map_operands(const struct qdot_op *op, const struct qdot_run *run, struct vk_operands *o,
                    struct qdot_error *err);
void vk_map_output(const struct qdot_op *op, const struct qdot_run *run);

/* ---- interop.c ------------------------------------------------------------------------------- */

/* Of a struct qdot_vulkan_desc; functions, features and queue of the device. */
int vk_take_handles(struct qdot_device *device, const void *given, struct qdot_error *err);

#endif
