/* Events: which of its device's runs an event is of, the backend knows. */
#include "internal.h"

int qdot_event_create(struct qdot_device *device, struct qdot_event **event, struct qdot_error *err)
{
    if (!event)
        return qdot_fail(err, QDOT_INVALID, "event: expected a pointer, got NULL");
    *event = NULL;
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected an open device, got NULL");
    if (!device->backend)
        return qdot_fail(err, QDOT_INVALID,
                         "device: an event belongs to one device, not to auto: use qdot_op_device");
    struct qdot_event *made = qdot_alloc(device, sizeof(*made));
    if (!made)
        return qdot_fail(err, QDOT_NO_MEMORY, "no memory for the event");
    made->device = device;
    *event = made;
    return QDOT_OK;
}

int qdot_event_wait(const struct qdot_event *event, uint64_t timeout_ns, struct qdot_error *err)
{
    if (!event)
        return qdot_fail(err, QDOT_INVALID, "event: expected an event, got NULL");
    const struct qdot_backend *backend = event->device->backend;
    return backend->event_wait ? backend->event_wait(event, timeout_ns, err) : QDOT_OK;
}

void qdot_event_destroy(struct qdot_event *event)
{
    if (!event)
        return;
    const struct qdot_device *device = event->device;
    if (device->backend->event_release)
        device->backend->event_release(event);
    qdot_release(device, event);
}

int qdot_check_events(const struct qdot_device *device, const struct qdot_run *run,
                      struct qdot_error *err)
{
    if (run->event && run->event->device != device)
        return qdot_fail(err, QDOT_INVALID, "event: an event of device %s, expected one of %s",
                         run->event->device->info.name, device->info.name);
    if (run->wait_count && !run->waits)
        return qdot_fail(err, QDOT_INVALID, "waits: expected %zu events, got NULL",
                         run->wait_count);
    for (size_t i = 0; i < run->wait_count; i++) {
        const struct qdot_event *event = run->waits[i];
        if (!event)
            return qdot_fail(err, QDOT_INVALID, "waits[%zu]: expected an event, got NULL", i);
        const int status =
            event->device == device ? QDOT_OK : qdot_event_wait(event, UINT64_MAX, err);
        if (status != QDOT_OK)
            return status;
    }
    return QDOT_OK;
}

int qdot_flush(struct qdot_device *device, struct qdot_error *err)
{
    if (!device)
        return qdot_fail(err, QDOT_INVALID, "device: expected an open device, got NULL");
    int status = QDOT_OK;
    for (size_t i = 0; i < device->child_count; i++) {
        const int flushed = qdot_flush(device->children[i], status == QDOT_OK ? err : NULL);
        status = status == QDOT_OK ? flushed : status;
    }
    return device->backend && device->backend->flush ? device->backend->flush(device, err) : status;
}
