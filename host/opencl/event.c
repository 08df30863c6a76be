/* Events of runs: a marker behind the run in the queue. */
#include <time.h>
#include "opencl.h"

/* OpenCL waits for events without a limit, so that with one they are looked at, ever less often. */
#define FIRST_NAP_NS 10000u
#define LONGEST_NAP_NS 1000000u

int ocl_mark(const struct ocl_device *ocl, cl_event *event, struct qdot_error *err)
{
    cl_event made;
    const int status = ocl_check(ocl->cl.clEnqueueMarkerWithWaitList(ocl->queue, 0, NULL, &made),
                                 "clEnqueueMarkerWithWaitList", err);
    if (status == QDOT_OK)
        *event = made;
    return status;
}

int ocl_event_set(struct qdot_event *event, struct qdot_error *err)
{
    cl_event made;
    ocl_event_release(event);
    const int status = ocl_mark(event->device->impl, &made, err);
    if (status == QDOT_OK)
        event->impl = made;
    return status;
}

void ocl_event_release(struct qdot_event *event)
{
    const struct ocl_device *ocl = event->device->impl;
    if (event->impl)
        ocl->cl.clReleaseEvent(event->impl);
    event->impl = NULL;
}

static int wait_for_ever(const struct ocl_device *ocl, cl_event event, struct qdot_error *err)
{
    return ocl_check(ocl->cl.clWaitForEvents(1, &event), "clWaitForEvents", err);
}

/* CL_COMPLETE is 0, what is on its way positive, a failure negative. */
static int look(const struct ocl_device *ocl, cl_event event, bool *done, struct qdot_error *err)
{
    cl_int state = CL_QUEUED;
    const int status = ocl_check(ocl->cl.clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                                        sizeof(state), &state, NULL),
                                 "clGetEventInfo", err);
    *done = state <= CL_COMPLETE;
    return status == QDOT_OK && state < 0 ? ocl_check(state, "a run", err) : status;
}

int ocl_event_wait(const struct qdot_event *event, uint64_t timeout_ns, struct qdot_error *err)
{
    const struct ocl_device *ocl = event->device->impl;
    const uint64_t begin = qdot_now_ns();
    if (!event->impl)
        return QDOT_OK;
    if (timeout_ns == UINT64_MAX)
        return wait_for_ever(ocl, event->impl, err);
    for (uint64_t nap = FIRST_NAP_NS;; nap = nap < LONGEST_NAP_NS / 2 ? nap * 2 : LONGEST_NAP_NS) {
        bool done;
        const int status = look(ocl, event->impl, &done, err);
        const uint64_t spent = qdot_now_ns() - begin;
        if (status != QDOT_OK || done)
            return status;
        if (spent >= timeout_ns)
            return qdot_fail(err, QDOT_TIMEOUT, "not done in %llu ns",
                             (unsigned long long)timeout_ns);
        const uint64_t left = timeout_ns - spent, sleep = nap < left ? nap : left;
        nanosleep(&(const struct timespec){0, (long)sleep}, NULL);
    }
}
