/* Where the operands of a case lie, and whether they are what they should be: conform_places.h. */
#include <stdlib.h>
#include <string.h>
#include "conform_places.h"

static bool in_buffers(const struct conform_case *c)
{
    return c->place == PLACE_BUFFERS || c->place == PLACE_SHARED;
}

static bool wrapped(const struct conform_case *c)
{
    return c->place == PLACE_WRAPPED_END || c->place == PLACE_WRAPPED_START;
}

bool places_at_end(const struct conform_case *c)
{
    return c->place == PLACE_HOST_END || c->place == PLACE_WRAPPED_END;
}

/* ---- layout ---------------------------------------------------------------------------------- */

bool places_add(struct places *p, struct random *r, size_t run, size_t part, size_t bytes,
                size_t alignment)
{
    struct place_of *place = &p->of[run][part];
    if (bytes == 0)
        return true;
    place->bytes = bytes;
    place->expected = malloc(bytes);
    if (!place->expected || !guarded_alloc(&place->g, bytes, places_at_end(p->c)))
        return false;
    const size_t at = p->whole_bytes + random_below(r, 16);
    place->offset = (at + alignment - 1) / alignment * alignment;
    p->whole_bytes = place->offset + bytes;
    return true;
}

bool places_complete(struct places *p, struct random *r)
{
    p->whole_bytes += random_below(r, 16);
    return !in_buffers(p->c) || guarded_alloc(&p->whole, p->whole_bytes, true);
}

/* ---- the run --------------------------------------------------------------------------------- */

enum verdict places_open(struct places *p, const struct target *target, struct qdot_device **device)
{
    const enum verdict verdict = conform_open_own(target, p->c, &p->own, p->outcome);
    *device = p->own ? p->own : target->device;
    return verdict;
}

enum verdict places_make_buffers(struct places *p, struct qdot_device *device)
{
    struct qdot_error err = {0};
    for (size_t i = 0; i < p->c->runs; i++)
        for (size_t part = 0; part < p->parts; part++) {
            struct place_of *place = &p->of[i][part];
            if (place->bytes && in_buffers(p->c))
                memcpy(p->whole.memory + place->offset, place->g.memory, place->bytes);
            if (place->bytes && wrapped(p->c) &&
                qdot_buffer_create(device, place->bytes, place->g.memory, &place->buffer, &err))
                return conform_refused(p->outcome, "qdot_buffer_create", &err);
        }
    if (in_buffers(p->c) &&
        (qdot_buffer_create(device, p->whole_bytes, NULL, &p->buffer, &err) ||
         qdot_buffer_write(p->buffer, 0, p->whole.memory, p->whole_bytes, &err)))
        return conform_refused(p->outcome, "buffer", &err);
    return VERDICT_PASS;
}

struct qdot_output places_output(const struct places *p, size_t run, size_t part)
{
    const struct place_of *place = &p->of[run][part];
    if (place->bytes == 0)
        return (struct qdot_output){0};
    if (in_buffers(p->c))
        return (struct qdot_output){.buffer = p->buffer, .offset_bytes = place->offset};
    if (wrapped(p->c))
        return (struct qdot_output){.buffer = place->buffer};
    return (struct qdot_output){.host = place->g.memory};
}

struct qdot_input places_input(const struct places *p, size_t run, size_t part)
{
    const struct qdot_output o = places_output(p, run, part);
    return (struct qdot_input){o.host, o.buffer, o.offset_bytes};
}

enum verdict places_fetch(struct places *p, struct qdot_device *device)
{
    struct qdot_error err = {0};
    if ((in_buffers(p->c) || wrapped(p->c)) && qdot_sync(device, &err))
        return conform_fail(p->outcome, "qdot_sync", err.text);
    if (in_buffers(p->c) && qdot_buffer_read(p->buffer, 0, p->whole.memory, p->whole_bytes, &err))
        return conform_fail(p->outcome, "qdot_buffer_read", err.text);
    for (size_t i = 0; i < p->c->runs && wrapped(p->c); i++)
        for (size_t part = 0; part < p->parts; part++) {
            struct place_of *place = &p->of[i][part];
            if (place->buffer &&
                qdot_buffer_read(place->buffer, 0, place->g.memory, place->bytes, &err))
                return conform_fail(p->outcome, "qdot_buffer_read", err.text);
        }
    return VERDICT_PASS;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static uint8_t *got_of(struct places *p, const struct place_of *place)
{
    return in_buffers(p->c) ? p->whole.memory + place->offset : place->g.memory;
}

void places_plant(struct places *p, enum fault fault)
{
    const struct place_of *out = &p->of[0][p->out];
    conform_plant(fault, &out->g, places_at_end(p->c), got_of(p, out));
}

static bool poisoned(const struct guarded *g, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (g->pages[i] != GUARD_POISON)
            return false;
    return true;
}

enum verdict places_compare(struct places *p, void *ctx,
                            void (*say)(void *ctx, size_t run, size_t part, const uint8_t *got,
                                        size_t at))
{
    for (size_t i = 0; i < p->c->runs; i++)
        for (size_t part = 0; part < p->parts; part++) {
            const struct place_of *place = &p->of[i][part];
            uint8_t *got = got_of(p, place);
            if (place->bytes == 0)
                continue;
            if (memcmp(got, place->expected, place->bytes) != 0) {
                size_t at = 0;
                while (got[at] == place->expected[at])
                    at++;
                say(ctx, i, part, got, at);
                return VERDICT_FAIL;
            }
            memset(got, GUARD_POISON, place->bytes);
            const size_t before = (size_t)(place->g.memory - place->g.pages);
            if (!poisoned(&place->g, 0, before) ||
                !poisoned(&place->g, before + place->bytes, place->g.page_bytes))
                return conform_fail(p->outcome, "memory next to an operand was changed",
                                    p->names[part]);
        }
    if (in_buffers(p->c) && !poisoned(&p->whole, 0, p->whole.page_bytes))
        return conform_fail(p->outcome, "a byte outside every operand", "was changed");
    return VERDICT_PASS;
}

void places_free(struct places *p)
{
    qdot_buffer_destroy(p->buffer);
    for (size_t i = 0; i < RUNS_MAX; i++)
        for (size_t part = 0; part < p->parts; part++) {
            struct place_of *place = &p->of[i][part];
            qdot_buffer_destroy(place->buffer);
            guarded_free(&place->g);
            free(place->expected);
        }
    guarded_free(&p->whole);
    qdot_close(p->own);
}
