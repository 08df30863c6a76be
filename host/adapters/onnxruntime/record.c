#include "record.h"
#include <stdlib.h>
#include <string.h>
#include "product.h"

/* Numbers as this machine has them, each piece padded to 8 bytes. */
struct head {
    char magic[8];
    char version[16]; /* of qdot: what an attribute or a slot means may change */
    uint64_t bytes;   /* of this and what follows up to the packed weights */
    uint64_t packed_at, packed_bytes;
    uint64_t checksum; /* of what follows; packed weights have their own */
};

static const char magic[8] = "qdotort1";

static uint64_t checksum_of(const uint8_t *bytes, size_t count)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < count; i++)
        h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

static size_t padded(size_t bytes, size_t to)
{
    return (bytes + to - 1) / to * to;
}

/* ---- writing ----------------------------------------------------------------------------------- */

struct writer {
    const OrtApi *ort;
    uint8_t *bytes;
    size_t used, room;
};

static OrtStatus *reserve(struct writer *w, size_t bytes)
{
    if (w->room - w->used >= bytes)
        return NULL;
    const size_t room = padded(2 * w->room + bytes, RECORD_ALIGNMENT);
    uint8_t *more = aligned_alloc(RECORD_ALIGNMENT, room);
    if (!more)
        return fail(w->ort, "no memory for a context of %zu bytes", room);
    memset(more, 0, room);
    if (w->used)
        memcpy(more, w->bytes, w->used);
    free(w->bytes);
    w->bytes = more;
    w->room = room;
    return NULL;
}

static OrtStatus *put(struct writer *w, const void *data, size_t bytes)
{
    TRY(reserve(w, padded(bytes, 8)));
    if (bytes)
        memcpy(w->bytes + w->used, data, bytes);
    w->used += padded(bytes, 8);
    return NULL;
}

static OrtStatus *put_number(struct writer *w, uint64_t number)
{
    return put(w, &number, sizeof(number));
}

static OrtStatus *put_name(struct writer *w, const char *name)
{
    char text[MAX_NAME] = {0};
    if (strlen(name) >= MAX_NAME)
        return fail(w->ort, "'%s': expected a name of less than %d letters", name, MAX_NAME);
    strcpy(text, name);
    return put(w, text, sizeof(text));
}

static OrtStatus *put_shape(struct writer *w, ONNXTensorElementDataType type, size_t rank,
                            const int64_t *dims)
{
    TRY(put_number(w, type));
    TRY(put_number(w, rank));
    return put(w, dims, MAX_RANK * sizeof(*dims));
}

static OrtStatus *put_attribute(struct writer *w, const char *name, OrtOpAttrType type,
                                const void *data, size_t bytes)
{
    TRY(put_name(w, name));
    TRY(put_number(w, type));
    TRY(put_number(w, bytes));
    return put(w, data, bytes);
}

/* Those that a kind can ask for. */
static OrtStatus *put_core_attribute(struct writer *w, const OrtOpAttr *attr, uint64_t *count)
{
    OrtOpAttrType type;
    const char *name;
    int64_t data[64];
    size_t bytes = 0;
    TRY(w->ort->OpAttr_GetName(attr, &name));
    TRY(w->ort->OpAttr_GetType(attr, &type));
    if (type != ORT_OP_ATTR_INT && type != ORT_OP_ATTR_INTS && type != ORT_OP_ATTR_FLOAT &&
        type != ORT_OP_ATTR_STRING)
        return NULL;
    TRY(w->ort->ReadOpAttr(attr, type, data, sizeof(data), &bytes));
    ++*count;
    return put_attribute(w, name, type, data, bytes);
}

static OrtStatus *put_attributes(struct writer *w, const struct group *g)
{
    const OrtOpAttr *attrs[MAX_ATTRIBUTES];
    const size_t at = w->used;
    uint64_t written = 0;
    size_t count;
    TRY(put_number(w, 0));
    TRY(g->ort->Node_GetNumAttributes(g->core, &count));
    if (count >= MAX_ATTRIBUTES)
        return fail(g->ort, "%s: expected less than %d attributes, got %zu", g->op->name,
                    MAX_ATTRIBUTES, count);
    TRY(g->ort->Node_GetAttributes(g->core, attrs, count));
    for (size_t i = 0; i < count; i++)
        TRY(put_core_attribute(w, attrs[i], &written));
    if (g->w_from) {
        int64_t axis = 1;
        TRY(node_int(g->ort, g->w_from, "axis", &axis));
        TRY(put_attribute(w, W_AXIS, ORT_OP_ATTR_INT, &axis, sizeof(axis)));
        written++;
    }
    memcpy(w->bytes + at, &written, sizeof(written));
    return NULL;
}

static OrtStatus *put_slot(struct writer *w, const struct source *in, const struct value *v)
{
    const struct tensor *t = &in->tensor;
    TRY(put_number(w, in->given));
    if (!in->given)
        return NULL;
    TRY(put_shape(w, v->type, v->rank, v->dims));
    TRY(put_number(w, in->constant));
    if (!in->constant)
        return put_number(w, in->index);
    TRY(put_number(w, in->given_up));
    return in->given_up ? NULL : put(w, t->data, t->count * type_bytes(t->type));
}

static OrtStatus *put_packed(struct writer *w, const struct step *s, struct head *head)
{
    struct qdot_op *op = product_is(s->op) && s->in[W].given_up ? product_op(s) : NULL;
    struct qdot_error err = {0};
    size_t bytes = 0;
    if (!op)
        return NULL;
    if (qdot_op_packed_bytes(op, &bytes, &err))
        return fail_qdot(w->ort, &err);
    TRY(reserve(w, padded(bytes, 8) + RECORD_ALIGNMENT));
    w->used = padded(w->used, RECORD_ALIGNMENT);
    if (qdot_op_save_packed(op, w->bytes + w->used, bytes, &err))
        return fail_qdot(w->ort, &err);
    head->packed_at = w->used;
    head->packed_bytes = bytes;
    w->used += padded(bytes, 8);
    return NULL;
}

static OrtStatus *write_all(struct writer *w, const struct group *g, const struct step *s)
{
    struct head head = {0};
    memcpy(head.magic, magic, sizeof(magic));
    strncpy(head.version, qdot_version(), sizeof(head.version) - 1);
    TRY(put(w, &head, sizeof(head)));
    TRY(put_name(w, g->op->domain));
    TRY(put_name(w, g->op->name));
    TRY(put_number(w, g->op->floating));
    TRY(put_number(w, (uint64_t)g->op->variant));
    TRY(put_number(w, g->channels_last));
    TRY(put_shape(w, g->out.type, g->out.rank, g->out.dims));
    for (size_t i = 0; i < MAX_OUTPUTS; i++)
        TRY(put_number(w, s->targets[i].output < MAX_OUTPUTS ? s->targets[i].output : MAX_OUTPUTS));
    TRY(put_attributes(w, g));
    TRY(put_number(w, g->slot_count));
    for (size_t i = 0; i < g->slot_count; i++)
        TRY(put_slot(w, &s->in[i], &g->values[i]));
    head.bytes = w->used;
    head.checksum = checksum_of(w->bytes + sizeof(head), w->used - sizeof(head));
    TRY(put_packed(w, s, &head));
    memcpy(w->bytes, &head, sizeof(head));
    return NULL;
}

OrtStatus *record_write(const struct group *g, const struct step *s, void **bytes, size_t *size)
{
    struct writer w = {.ort = g->ort};
    OrtStatus *const status = write_all(&w, g, s);
    if (status)
        free(w.bytes);
    *bytes = status ? NULL : w.bytes;
    *size = status ? 0 : w.used;
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *bytes;
    size_t left;
    bool short_of; /* more was asked for than there is: what was got are zeros */
};

static const void *get(struct reader *r, size_t bytes)
{
    static const uint64_t zeros[16];
    if (bytes > r->left || padded(bytes, 8) > r->left) {
        r->short_of = true;
        r->left = 0;
        return bytes <= sizeof(zeros) ? zeros : NULL;
    }
    const void *const at = r->bytes;
    r->bytes += padded(bytes, 8);
    r->left -= padded(bytes, 8);
    return at;
}

static uint64_t get_number(struct reader *r)
{
    return *(const uint64_t *)get(r, sizeof(uint64_t));
}

static const char *get_name(struct reader *r)
{
    const char *name = get(r, MAX_NAME);
    if (name[MAX_NAME - 1])
        r->short_of = true;
    return name[MAX_NAME - 1] ? "" : name;
}

static void get_shape(struct reader *r, ONNXTensorElementDataType *type, size_t *rank,
                      int64_t *dims)
{
    *type = (ONNXTensorElementDataType)get_number(r);
    *rank = get_number(r);
    memcpy(dims, get(r, MAX_RANK * sizeof(*dims)), MAX_RANK * sizeof(*dims));
    if (*rank > MAX_RANK) {
        r->short_of = true;
        *rank = 0;
    }
}

static void get_attributes(struct reader *r, struct record *record)
{
    record->attribute_count = get_number(r);
    if (record->attribute_count > MAX_ATTRIBUTES) {
        r->short_of = true;
        record->attribute_count = 0;
    }
    for (size_t i = 0; i < record->attribute_count; i++) {
        struct attribute *a = &record->attributes[i];
        a->name = get_name(r);
        a->type = (OrtOpAttrType)get_number(r);
        a->bytes = get_number(r);
        a->data = get(r, a->bytes);
    }
}

static void get_constant(struct reader *r, struct tensor *t)
{
    const bool given_up = get_number(r) != 0;
    size_t bytes = type_bytes(t->type);
    t->count = 1;
    for (size_t i = 0; i < t->rank; i++) {
        if (t->dims[i] < 0 || __builtin_mul_overflow(bytes, (size_t)t->dims[i], &bytes))
            r->short_of = true;
        else
            t->count *= (size_t)t->dims[i];
    }
    if (!given_up && !r->short_of)
        t->data = get(r, bytes);
}

/* One slot; 'any' is a value that is given, for those of which there is none in the graph any more. */
static void get_slot(struct reader *r, const OrtValueInfo *const *inputs, size_t count,
                     const OrtValueInfo *any, struct value *v, struct tensor *t)
{
    if (!get_number(r))
        return;
    v->info = any;
    get_shape(r, &v->type, &v->rank, v->dims);
    v->constant = get_number(r) != 0;
    if (v->constant) {
        t->type = v->type;
        t->rank = v->rank;
        memcpy(t->dims, v->dims, sizeof(t->dims));
        get_constant(r, t);
        return;
    }
    const size_t index = get_number(r);
    if (index >= count)
        r->short_of = true;
    else
        v->info = inputs[index];
}

static bool has_all_data(const struct record *record, const struct group *g)
{
    for (size_t i = 0; i < g->slot_count; i++)
        if (g->values[i].constant && record->constants[i].count && !record->constants[i].data &&
            !(i == W && record->packed && product_is(g->op)))
            return false;
    return true;
}

static OrtStatus *check_head(const OrtApi *ort, const void *bytes, size_t size, struct head *head)
{
    if (size < sizeof(*head) || memcmp(bytes, magic, sizeof(magic)) != 0)
        return fail(ort, "the context of an EPContext node is none of this provider's");
    memcpy(head, bytes, sizeof(*head));
    if (strncmp(head->version, qdot_version(), sizeof(head->version)) != 0)
        return fail(ort,
                    "a context made by qdot %.15s, expected %s: make it again of the model that it "
                    "was made of",
                    head->version, qdot_version());
    const bool fits = head->bytes >= sizeof(*head) && head->bytes <= size &&
                      head->packed_at % RECORD_ALIGNMENT == 0 && head->packed_at <= size &&
                      head->packed_bytes <= size - head->packed_at;
    if (!fits || head->checksum != checksum_of((const uint8_t *)bytes + sizeof(*head),
                                               head->bytes - sizeof(*head)))
        return fail(ort, "a context is damaged: make it again of the model that it was made of");
    return NULL;
}

OrtStatus *record_read(const OrtApi *ort, const OrtNode *node, const void *bytes, size_t size,
                       struct record *record, struct group *g)
{
    const OrtValueInfo *inputs[MAX_VALUES] = {NULL}, *outputs[MAX_OUTPUTS] = {NULL};
    struct head head;
    size_t count, output_count;
    bool claimed = false;
    memset(g, 0, sizeof(*g));
    memset(record, 0, sizeof(*record));
    TRY(check_head(ort, bytes, size, &head));
    TRY(node_inputs(ort, node, inputs, MAX_VALUES, &count));
    TRY(node_outputs(ort, node, outputs, MAX_OUTPUTS, &output_count));
    struct reader r = {(const uint8_t *)bytes + sizeof(head), head.bytes - sizeof(head), false};
    const char *domain = get_name(&r), *name = get_name(&r);
    g->ort = ort;
    g->record = record;
    const bool floating = get_number(&r) != 0;
    g->op = op_named(domain, name, floating, (int)get_number(&r));
    g->channels_last = get_number(&r) != 0;
    g->out.info = outputs[0];
    get_shape(&r, &g->out.type, &g->out.rank, g->out.dims);
    for (size_t i = 0; i < MAX_OUTPUTS; i++) {
        const uint64_t index = get_number(&r);
        record->outputs[i] = index < MAX_OUTPUTS ? outputs[index] : NULL;
    }
    get_attributes(&r, record);
    g->slot_count = get_number(&r);
    if (g->slot_count < SLOTS || g->slot_count > MAX_SLOTS)
        r.short_of = true;
    for (size_t i = 0; i < g->slot_count && !r.short_of; i++)
        get_slot(&r, inputs, count < MAX_VALUES ? count : MAX_VALUES, outputs[0], &g->values[i],
                 &record->constants[i]);
    if (head.packed_bytes) {
        record->packed = (const uint8_t *)bytes + head.packed_at;
        record->packed_bytes = head.packed_bytes;
    }
    if (g->op && !r.short_of && has_all_data(record, g))
        TRY(g->op->kind->claims(g, &claimed));
    return claimed ? NULL : fail(ort, "a context is of no op that this provider has");
}

/* ---- attributes of a group --------------------------------------------------------------------- */

static OrtStatus *find(const struct group *g, const char *name, OrtOpAttrType type, void *data,
                       size_t bytes, size_t *got)
{
    const struct record *r = g->record;
    *got = 0;
    for (size_t i = 0; i < r->attribute_count; i++) {
        const struct attribute *a = &r->attributes[i];
        if (strcmp(a->name, name) != 0)
            continue;
        if (a->type != type || a->bytes > bytes || !a->data)
            return fail(g->ort, "attribute %s of a context: expected at most %zu bytes, got %zu",
                        name, bytes, a->bytes);
        memcpy(data, a->data, a->bytes);
        *got = a->bytes;
    }
    return NULL;
}

OrtStatus *group_int(const struct group *g, const char *name, int64_t *value)
{
    size_t got;
    return g->record ? find(g, name, ORT_OP_ATTR_INT, value, sizeof(*value), &got)
                     : node_int(g->ort, g->core, name, value);
}

OrtStatus *group_float(const struct group *g, const char *name, float *value)
{
    size_t got;
    return g->record ? find(g, name, ORT_OP_ATTR_FLOAT, value, sizeof(*value), &got)
                     : node_float(g->ort, g->core, name, value);
}

OrtStatus *group_ints(const struct group *g, const char *name, int64_t *values, size_t *count)
{
    if (!g->record)
        return node_ints(g->ort, g->core, name, values, count);
    TRY(find(g, name, ORT_OP_ATTR_INTS, values, *count * sizeof(*values), count));
    *count /= sizeof(*values);
    return NULL;
}

OrtStatus *group_string(const struct group *g, const char *name, char *text, size_t bytes)
{
    size_t got = 0;
    char read[64] = {0};
    if (!g->record)
        return node_string(g->ort, g->core, name, text, bytes);
    TRY(find(g, name, ORT_OP_ATTR_STRING, read, sizeof(read) - 1, &got));
    if (got)
        memcpy(text, read, strlen(read) < bytes ? strlen(read) + 1 : bytes);
    return NULL;
}
