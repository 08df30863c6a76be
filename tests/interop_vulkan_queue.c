/*
 * Submissions that fail while several threads have runs in them, on a device of which the host stands
 * before vkQueueSubmit and vkWaitForFences: each run and each event must say what became of it.
 */
#include "api.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <vulkan/vulkan.h>
#include "qdot_vulkan.h"

enum { M = 4, N = 64, K = 64, AHEAD = 8 }; /* batches that qdot has submitted at a time */

/* What stands before the driver. The hooks have no other way to it than a global. */
static struct {
    PFN_vkGetDeviceProcAddr device_proc;
    PFN_vkWaitForFences wait;
    PFN_vkQueueSubmit submit;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold, lost, refuse;
    int held;
} driver = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static VKAPI_ATTR VkResult VKAPI_CALL wait_for_fences(VkDevice device, uint32_t count,
                                                      const VkFence *fences, VkBool32 all,
                                                      uint64_t timeout)
{
    pthread_mutex_lock(&driver.lock);
    driver.held++;
    pthread_cond_broadcast(&driver.changed);
    while (driver.hold)
        pthread_cond_wait(&driver.changed, &driver.lock);
    driver.held--;
    const bool lost = driver.lost;
    pthread_mutex_unlock(&driver.lock);
    return lost ? VK_ERROR_DEVICE_LOST : driver.wait(device, count, fences, all, timeout);
}

static VKAPI_ATTR VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count,
                                                   const VkSubmitInfo *infos, VkFence fence)
{
    pthread_mutex_lock(&driver.lock);
    const bool refuse = driver.refuse;
    pthread_mutex_unlock(&driver.lock);
    return refuse ? VK_ERROR_OUT_OF_DEVICE_MEMORY : driver.submit(queue, count, infos, fence);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name)
{
    const PFN_vkVoidFunction found = driver.device_proc(device, name);
    if (strcmp(name, "vkWaitForFences") == 0) {
        driver.wait = (PFN_vkWaitForFences)found;
        return (PFN_vkVoidFunction)wait_for_fences;
    }
    if (strcmp(name, "vkQueueSubmit") == 0) {
        driver.submit = (PFN_vkQueueSubmit)found;
        return (PFN_vkVoidFunction)queue_submit;
    }
    return found;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name)
{
    const PFN_vkVoidFunction found = vkGetInstanceProcAddr(instance, name);
    if (strcmp(name, "vkGetDeviceProcAddr") != 0)
        return found;
    driver.device_proc = (PFN_vkGetDeviceProcAddr)found;
    return (PFN_vkVoidFunction)device_proc;
}

/* ---- the host -------------------------------------------------------------------------------- */

struct host {
    VkInstance instance;
    VkDevice vulkan;
    struct qdot_device *device;
    struct qdot_buffer *a, *out;
    struct qdot_op *ahead[2], *mine, *other;
    struct qdot_event *event;
};

static void must(int status, const struct qdot_error *err)
{
    if (status != QDOT_OK)
        fail_msg("%s", err->text);
}

static struct qdot_op *create(struct host *h)
{
    static int8_t b[K * N];
    const struct qdot_op_desc desc = {.size = sizeof(desc), .m = M, .n = N, .k = K, .b = b};
    struct qdot_error err = {0};
    struct qdot_op *op;
    memset(b, 1, sizeof(b));
    must(qdot_op_create(h->device, &desc, &op, &err), &err);
    return op;
}

static int setup(void **state)
{
    struct host *h = *state = calloc(1, sizeof(*h));
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .apiVersion = VK_API_VERSION_1_1};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pApplicationInfo = &app};
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkDeviceCreateInfo device = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                       .queueCreateInfoCount = 1,
                                       .pQueueCreateInfos = &queue};
    const struct qdot_device_desc qdot = {.size = sizeof(qdot), .cache_dir = "", .budget_us = 1};
    struct qdot_vulkan_desc desc = {.size = sizeof(desc),
                                    .get_instance_proc_addr = instance_proc,
                                    .api_version = VK_API_VERSION_1_1};
    struct qdot_error err = {0};
    uint8_t ones[M * K];
    uint32_t count = 1;
    assert_int_equal(vkCreateInstance(&info, NULL, &h->instance), VK_SUCCESS);
    assert_true(vkEnumeratePhysicalDevices(h->instance, &count, &desc.physical) >= 0 && count == 1);
    assert_int_equal(vkCreateDevice(desc.physical, &device, NULL, &h->vulkan), VK_SUCCESS);
    desc.instance = h->instance;
    desc.device = h->vulkan;
    vkGetDeviceQueue(h->vulkan, 0, 0, &desc.queue);
    must(qdot_vulkan_adopt(&desc, &qdot, &h->device, &err), &err);
    must(qdot_buffer_create(h->device, sizeof(ones), NULL, &h->a, &err), &err);
    must(qdot_buffer_create(h->device, M * N * 4, NULL, &h->out, &err), &err);
    memset(ones, 1, sizeof(ones));
    must(qdot_buffer_write(h->a, 0, ones, sizeof(ones), &err), &err);
    must(qdot_event_create(h->device, &h->event, &err), &err);
    h->ahead[0] = create(h);
    h->ahead[1] = create(h);
    h->mine = create(h);
    h->other = create(h);
    return 0;
}

static int teardown(void **state)
{
    struct host *h = *state;
    qdot_op_destroy(h->ahead[0]);
    qdot_op_destroy(h->ahead[1]);
    qdot_op_destroy(h->mine);
    qdot_op_destroy(h->other);
    qdot_event_destroy(h->event);
    qdot_buffer_destroy(h->a);
    qdot_buffer_destroy(h->out);
    qdot_close(h->device);
    vkDestroyDevice(h->vulkan, NULL);
    vkDestroyInstance(h->instance, NULL);
    free(h);
    return 0;
}

static void set(bool *what, bool value)
{
    pthread_mutex_lock(&driver.lock);
    *what = value;
    pthread_cond_broadcast(&driver.changed);
    pthread_mutex_unlock(&driver.lock);
}

static void until_held(int count)
{
    pthread_mutex_lock(&driver.lock);
    while (driver.held < count)
        pthread_cond_wait(&driver.changed, &driver.lock);
    pthread_mutex_unlock(&driver.lock);
}

/* ---- the tests ------------------------------------------------------------------------------- */

struct task {
    struct host *h;
    int status, waited; /* of the run, and of its event */
    int32_t out[M * N];
};

static void *run_with_event(void *arg)
{
    struct task *t = arg;
    const struct qdot_run run = {.size = sizeof(run),
                                 .a = {.buffer = t->h->a},
                                 .out = {.buffer = t->h->out},
                                 .event = t->h->event};
    t->status = qdot_op_run(t->h->mine, &run, NULL);
    return NULL;
}

static void *run_to_host(void *arg)
{
    struct task *t = arg;
    const struct qdot_run run = {
        .size = sizeof(run), .a = {.buffer = t->h->a}, .out = {.host = t->out}};
    t->status = qdot_op_run(t->h->other, &run, NULL);
    return NULL;
}

/* Both threads' runs are in one batch that waits for a place, and the driver refuses it: whichever
 * thread submits, the other one must hear of it too. */
static void test_dropped_by_another(void **state)
{
    struct host *h = *state;
    struct qdot_error err = {0};
    struct qdot_event *each;
    must(qdot_event_create(h->device, &each, &err), &err);
    for (int round = 0; round < 6; round++) {
        struct task with_event = {.h = h}, to_host = {.h = h};
        struct task *const first = round % 2 ? &to_host : &with_event;
        struct task *const second = round % 2 ? &with_event : &to_host;
        void *(*const tasks[2])(void *) = {round % 2 ? run_to_host : run_with_event,
                                           round % 2 ? run_with_event : run_to_host};
        pthread_t threads[2];
        for (int i = 0; i < AHEAD; i++) {
            const struct qdot_run run = {.size = sizeof(run),
                                         .a = {.buffer = h->a},
                                         .out = {.buffer = h->out},
                                         .event = each};
            must(qdot_op_run(h->ahead[i % 2], &run, &err), &err);
        }
        set(&driver.hold, true);
        assert_int_equal(pthread_create(&threads[0], NULL, tasks[0], first), 0);
        until_held(1);
        assert_int_equal(pthread_create(&threads[1], NULL, tasks[1], second), 0);
        until_held(2);
        set(&driver.refuse, true);
        set(&driver.hold, false);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        set(&driver.refuse, false);
        assert_int_equal(to_host.status, QDOT_NO_MEMORY);
        if (with_event.status == QDOT_OK) /* then its event knows, as often as it is asked */
            for (int i = 0; i < 2; i++)
                assert_int_equal(qdot_event_wait(h->event, UINT64_MAX, NULL), QDOT_NO_MEMORY);
        else
            assert_int_equal(with_event.status, QDOT_NO_MEMORY);
        qdot_sync(h->device, NULL);
        must(qdot_sync(h->device, &err), &err); /* told once */
        run_to_host(&to_host);
        assert_int_equal(to_host.status, QDOT_OK);
        for (int i = 0; i < M * N; i++)
            assert_int_equal(to_host.out[i], K);
    }
    qdot_event_destroy(each);
}

static void test_lost(void **state)
{
    struct host *h = *state;
    struct task t = {.h = h};
    run_with_event(&t);
    assert_int_equal(t.status, QDOT_OK);
    set(&driver.lost, true);
    assert_int_equal(qdot_sync(h->device, NULL), QDOT_DEVICE_FAILED);
    for (int i = 0; i < 2; i++)
        assert_int_equal(qdot_event_wait(h->event, UINT64_MAX, NULL), QDOT_DEVICE_FAILED);
    set(&driver.lost, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dropped_by_another),
        cmocka_unit_test(test_lost),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
