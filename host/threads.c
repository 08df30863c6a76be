/* The threads of a device: the caller's parallel_for, or a pthreadpool of the device's own. */
#include <sched.h>
#include <unistd.h>
#include "internal.h"
#ifdef QDOT_HAVE_PTHREADPOOL
#include <pthreadpool.h>
#endif

size_t qdot_usable_processors(void)
{
    cpu_set_t set; /* of 1024: machines with more refuse it */
    const long count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                                    : sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > 1024 ? 1024 : (size_t)count;
}

static void serial_for(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++)
        task(arg, i);
}

#ifdef QDOT_HAVE_PTHREADPOOL
static void pool_for(void *ctx, void (*task)(void *arg, size_t i), void *arg, size_t count)
{
    /* Rounding and denormals are the task's own business (cpu.c): no flag is passed. */
    pthreadpool_parallelize_1d(ctx, task, arg, count, 0);
}
#endif

int qdot_threads_open(struct qdot_device *device, const struct qdot_device_desc *desc,
                      struct qdot_error *err)
{
    if (desc->threads.parallel_for) {
        device->threads = desc->threads;
        if (device->threads.threads == 0)
            device->threads.threads = 1;
        return QDOT_OK;
    }
    size_t count = desc->thread_count ? desc->thread_count : qdot_usable_processors();
    device->threads = (struct qdot_threads){1, NULL, serial_for};
#ifdef QDOT_HAVE_PTHREADPOOL
    if (count > 1) {
        device->pool = pthreadpool_create(count);
        if (!device->pool)
            return qdot_fail(err, QDOT_NO_MEMORY, "no memory for a pool of %zu threads", count);
        device->threads = (struct qdot_threads){count, device->pool, pool_for};
    }
#else
    (void)err;
    (void)count;
#endif
    return QDOT_OK;
}

void qdot_threads_close(struct qdot_device *device)
{
#ifdef QDOT_HAVE_PTHREADPOOL
    if (device->pool)
        pthreadpool_destroy(device->pool);
#endif
    device->pool = NULL;
}
