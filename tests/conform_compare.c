/* What changed from one report to another, of two drivers or versions: --compare. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "conform_compare.h"
#include "conform_read.h"

enum { NAMES_MAX = 256 };

/* One device on both sides; either name may be "". */
struct pair {
    char names[2][24];
};

enum sense { WORSE, BETTER, OTHER, SENSES };

struct change {
    size_t pair;
    enum sense sense;
    const char *kernel, *group; /* group "": of the row as a whole */
    const char *from, *to, *reason;
    bool printed;
};

struct comparison {
    const char *paths[2];
    struct seen seen[2];
    struct pair pairs[NAMES_MAX];
    size_t pair_count;
    struct change *changes;
    size_t change_count, change_capacity;
    size_t counts[SENSES];
    bool no_memory;
};

static const char *const sense_names[SENSES] = {"worse", "better", "other"};

/* ---- devices --------------------------------------------------------------------------------- */

static const struct seen_device *device_of(const struct comparison *c, size_t side,
                                           const char *name)
{
    const struct seen *s = &c->seen[side];
    for (size_t i = 0; i < s->device_count; i++)
        if (strcmp(s->devices[i].name, name) == 0)
            return &s->devices[i];
    return NULL;
}

/* The pair of a name; a new one where there is none. */
static void add_name(struct comparison *c, size_t side, const char *name)
{
    for (size_t i = 0; i < c->pair_count; i++) {
        struct pair *p = &c->pairs[i];
        if (strcmp(p->names[side], name) == 0)
            return;
        if (strcmp(p->names[!side], name) == 0) {
            memcpy(p->names[side], p->names[!side], sizeof(p->names[side]));
            return;
        }
    }
    if (c->pair_count < NAMES_MAX)
        snprintf(c->pairs[c->pair_count++].names[side], sizeof(c->pairs[0].names[side]), "%s",
                 name);
}

static bool lone(const struct comparison *c, size_t side, size_t index)
{
    const struct pair *p = &c->pairs[index];
    const size_t length = strcspn(p->names[side], ":");
    size_t count = 0;
    if (!p->names[side][0] || p->names[!side][0])
        return false;
    for (size_t i = 0; i < c->pair_count; i++) {
        const struct pair *other = &c->pairs[i];
        count += other->names[side][0] && !other->names[!side][0] &&
                 strcspn(other->names[side], ":") == length &&
                 strncmp(other->names[side], p->names[side], length) == 0;
    }
    return count == 1;
}

/* Devices of one name are the same; opencl:0 and opencl:1 are, where each report has but one. */
static void pair_devices(struct comparison *c)
{
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < c->seen[side].result_count; i++)
            add_name(c, side, c->seen[side].results[i].device);
    for (size_t i = 0; i < c->pair_count; i++)
        for (size_t j = 0; j < c->pair_count; j++) {
            struct pair *old = &c->pairs[i], *now = &c->pairs[j];
            const size_t length = strcspn(old->names[0], ":");
            if (lone(c, 0, i) && lone(c, 1, j) && strcspn(now->names[1], ":") == length &&
                strncmp(old->names[0], now->names[1], length) == 0) {
                memcpy(old->names[1], now->names[1], sizeof(old->names[1]));
                *now = c->pairs[--c->pair_count];
            }
        }
}

/* ---- rows and groups ------------------------------------------------------------------------- */

static bool idle(enum status status)
{
    return status == STATUS_REFUSED || status == STATUS_NOT_RUN;
}

static bool failing(enum status status)
{
    return status == STATUS_FAIL || status == STATUS_CRASH || status == STATUS_TIMEOUT;
}

static int rank(enum status status)
{
    return failing(status) ? 3 : status == STATUS_NOT_RUN ? 2 : status == STATUS_REFUSED ? 1 : 0;
}

/* The worst result of a row's group, or with NULL the best of the row: did any of it run? */
static const struct seen_result *find(const struct comparison *c, size_t side,
                                      const struct pair *pair, const char *kernel,
                                      const char *group)
{
    const struct seen *s = &c->seen[side];
    const struct seen_result *found = NULL;
    for (size_t i = 0; i < s->result_count; i++) {
        const struct seen_result *r = &s->results[i];
        if (strcmp(r->device, pair->names[side]) != 0 || strcmp(r->kernel, kernel) != 0 ||
            (group && strcmp(r->group, group) != 0))
            continue;
        if (!found || (group ? rank(r->status) > rank(found->status)
                             : idle(found->status) && !idle(r->status)))
            found = r;
    }
    return found;
}

static void add(struct comparison *c, const struct change *change)
{
    if (c->change_count == c->change_capacity) {
        size_t capacity = c->change_capacity ? 2 * c->change_capacity : 64;
        struct change *grown = realloc(c->changes, capacity * sizeof(*grown));
        if (!grown) {
            c->no_memory = true;
            return;
        }
        c->changes = grown;
        c->change_capacity = capacity;
    }
    c->changes[c->change_count++] = *change;
    c->counts[change->sense]++;
}

/* Is this the first result of its row (or its group) on its side, and not on the side before? */
static bool seen_before(const struct comparison *c, size_t side, size_t index,
                        const struct pair *pair, bool groups)
{
    const struct seen_result *r = &c->seen[side].results[index];
    for (size_t i = 0; i < index; i++) {
        const struct seen_result *other = &c->seen[side].results[i];
        if (strcmp(other->device, r->device) == 0 && strcmp(other->kernel, r->kernel) == 0 &&
            (!groups || strcmp(other->group, r->group) == 0))
            return true;
    }
    return side == 1 && find(c, 0, pair, r->kernel, groups ? r->group : NULL) != NULL;
}

static void compare_group(struct comparison *c, size_t pair, const char *kernel, const char *group)
{
    const struct seen_result *a = find(c, 0, &c->pairs[pair], kernel, group);
    const struct seen_result *b = find(c, 1, &c->pairs[pair], kernel, group);
    if (a && b && a->status == b->status)
        return;
    struct change change = {.pair = pair,
                            .sense = OTHER,
                            .kernel = kernel,
                            .group = group,
                            .from = a ? status_name(a->status) : "absent",
                            .to = b ? status_name(b->status) : "absent",
                            .reason = ""};
    const int before = a ? rank(a->status) : 0;
    const int after = b ? rank(b->status) : a && a->status == STATUS_PASS ? 1 : before;
    if (after != before)
        change.sense = after > before ? WORSE : BETTER;
    if (!a && change.sense == BETTER)
        change.sense = OTHER;
    add(c, &change);
}

static const char *row_state(const struct seen_result *r)
{
    return !r ? "absent" : idle(r->status) ? status_name(r->status) : "runs";
}

/* A row that ran and does not any more, or the other way round. */
static void compare_row(struct comparison *c, size_t pair, const char *kernel)
{
    const struct seen_result *a = find(c, 0, &c->pairs[pair], kernel, NULL);
    const struct seen_result *b = find(c, 1, &c->pairs[pair], kernel, NULL);
    const bool ran = a && !idle(a->status), runs = b && !idle(b->status);
    struct change change = {.pair = pair,
                            .sense = OTHER,
                            .kernel = kernel,
                            .group = "",
                            .from = row_state(a),
                            .to = row_state(b),
                            .reason = b && !runs ? b->reason : ""};
    if (strcmp(change.from, change.to) == 0)
        return;
    if (ran || runs)
        change.sense = ran ? WORSE : a ? BETTER : OTHER;
    add(c, &change);
}

static void compare_pair(struct comparison *c, size_t index)
{
    const struct pair *pair = &c->pairs[index];
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < c->seen[side].result_count; i++) {
            const struct seen_result *r = &c->seen[side].results[i];
            if (strcmp(r->device, pair->names[side]) != 0)
                continue;
            if (!seen_before(c, side, i, pair, false))
                compare_row(c, index, r->kernel);
            const struct seen_result *a = find(c, 0, pair, r->kernel, NULL);
            const struct seen_result *b = find(c, 1, pair, r->kernel, NULL);
            const bool both = a && b && !idle(a->status) && !idle(b->status);
            /* of a row that is new, only what fails */
            if (!seen_before(c, side, i, pair, true) &&
                (both || (side == 1 && failing(r->status) && (!a || idle(a->status)))))
                compare_group(c, index, r->kernel, r->group);
        }
}

/* ---- out ------------------------------------------------------------------------------------- */

struct sums {
    size_t rows, cases;
};

static struct sums sums_of(const struct comparison *c, size_t side, const struct pair *pair)
{
    const struct seen *s = &c->seen[side];
    struct sums sums = {0, 0};
    for (size_t i = 0; i < s->result_count; i++) {
        const struct seen_result *r = &s->results[i];
        if (strcmp(r->device, pair->names[side]) != 0 || idle(r->status))
            continue;
        sums.cases += r->cases;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(s->results[j].device, r->device) == 0 && !idle(s->results[j].status) &&
                   strcmp(s->results[j].kernel, r->kernel) == 0;
        sums.rows += !seen;
    }
    return sums;
}

static bool same_text(const struct change *a, const struct change *b)
{
    return a->pair == b->pair && a->sense == b->sense && !*a->group == !*b->group &&
           strcmp(a->from, b->from) == 0 && strcmp(a->to, b->to) == 0 &&
           strcmp(a->reason, b->reason) == 0;
}

/* Has a row a change that reads as this one, of this group (NULL: any)? How many. */
static size_t count_alike(const struct comparison *c, const struct change *as, const char *kernel,
                          const char *group)
{
    size_t count = 0;
    for (size_t i = 0; i < c->change_count; i++) {
        const struct change *x = &c->changes[i];
        count += same_text(x, as) && strcmp(x->kernel, kernel) == 0 &&
                 (!group || strcmp(x->group, group) == 0);
    }
    return count;
}

/* Are these two of rows whose groups changed alike? */
static bool same_groups(const struct comparison *c, const struct change *a, const struct change *b)
{
    if (count_alike(c, a, a->kernel, NULL) != count_alike(c, a, b->kernel, NULL))
        return false;
    for (size_t i = 0; i < c->change_count; i++) {
        const struct change *x = &c->changes[i];
        if (same_text(x, a) && strcmp(x->kernel, a->kernel) == 0 &&
            count_alike(c, a, b->kernel, x->group) == 0)
            return false;
    }
    return true;
}

/* In one line all changes of rows that read alike: groups of these, then the rows. */
static void print_changes(struct comparison *c, size_t index)
{
    const struct change *first = &c->changes[index];
    const char *separator = " ", *kernel = "";
    printf("  %-7s  %s -> %s:", sense_names[first->sense], first->from, first->to);
    for (size_t i = index; *first->group && i < c->change_count; i++)
        if (same_text(&c->changes[i], first) && strcmp(c->changes[i].kernel, first->kernel) == 0) {
            printf("%s%s", separator, c->changes[i].group);
            separator = ", ";
        }
    separator = *first->group ? " of " : " ";
    for (size_t i = index; i < c->change_count; i++) {
        struct change *change = &c->changes[i];
        if (change->printed || !same_text(change, first) || !same_groups(c, change, first))
            continue;
        if (strcmp(kernel, change->kernel) != 0) {
            printf("%s%s", separator, change->kernel);
            separator = ", ";
        }
        kernel = change->kernel;
        change->printed = true;
    }
    printf("%s%s%s\n", *first->reason ? " (" : "", first->reason, *first->reason ? ")" : "");
}

static void print_identity(const struct comparison *c, const struct pair *p)
{
    const struct seen_device *d[2];
    for (size_t side = 0; side < 2; side++)
        d[side] = p->names[side][0] ? device_of(c, side, p->names[side]) : NULL;
    bool same = d[0] && d[1] && strcmp(d[0]->description, d[1]->description) == 0 &&
                strcmp(d[0]->driver, d[1]->driver) == 0;
    for (size_t side = 0; side < 2; side++)
        if (d[side] && (side == 0 || !same))
            printf("  %-7s  %s: %s, %s\n",
                   same   ? "both"
                   : side ? "new"
                          : "old",
                   d[side]->name, d[side]->description, d[side]->driver);
}

static void print_pair(struct comparison *c, size_t index)
{
    const struct pair *p = &c->pairs[index];
    const struct sums old = sums_of(c, 0, p), now = sums_of(c, 1, p);
    bool any = false;
    printf("%s\n", p->names[0][0] ? p->names[0] : p->names[1]);
    print_identity(c, p);
    printf("  %-7s  %zu -> %zu rows that ran, %zu -> %zu cases\n", "counts", old.rows, now.rows,
           old.cases, now.cases);
    for (enum sense sense = WORSE; sense < SENSES; sense++)
        for (size_t i = 0; i < c->change_count; i++)
            if (c->changes[i].pair == index && c->changes[i].sense == sense) {
                any = true;
                if (!c->changes[i].printed)
                    print_changes(c, i);
            }
    if (!any)
        printf("  no change\n");
}

static cJSON *side_json(const struct comparison *c, size_t side, const struct pair *p)
{
    const struct seen_device *d = device_of(c, side, p->names[side]);
    const struct sums sums = sums_of(c, side, p);
    cJSON *entry = cJSON_CreateObject();
    cJSON_AddStringToObject(entry, "name", p->names[side]);
    cJSON_AddStringToObject(entry, "description", d ? d->description : "");
    cJSON_AddStringToObject(entry, "driver", d ? d->driver : "");
    cJSON_AddNumberToObject(entry, "rows", (double)sums.rows);
    cJSON_AddNumberToObject(entry, "cases", (double)sums.cases);
    return entry;
}

static cJSON *pair_json(const struct comparison *c, size_t index)
{
    cJSON *entry = cJSON_CreateObject();
    for (size_t side = 0; side < 2; side++)
        if (c->pairs[index].names[side][0])
            cJSON_AddItemToObject(entry, side ? "new" : "old",
                                  side_json(c, side, &c->pairs[index]));
    cJSON *list = cJSON_AddArrayToObject(entry, "changes");
    for (size_t i = 0; i < c->change_count; i++) {
        const struct change *change = &c->changes[i];
        if (change->pair != index)
            continue;
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "sense", sense_names[change->sense]);
        cJSON_AddStringToObject(item, "kernel", change->kernel);
        cJSON_AddStringToObject(item, "group", *change->group ? change->group : "all");
        cJSON_AddStringToObject(item, "from", change->from);
        cJSON_AddStringToObject(item, "to", change->to);
        cJSON_AddStringToObject(item, "reason", change->reason);
        cJSON_AddItemToArray(list, item);
    }
    return entry;
}

static int write_json(const struct comparison *c, const char *path)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "schema", CONFORM_SCHEMA);
    for (size_t side = 0; side < 2; side++) {
        cJSON *entry = cJSON_AddObjectToObject(root, side ? "new" : "old");
        cJSON_AddStringToObject(entry, "file", c->paths[side]);
        cJSON_AddStringToObject(entry, "qdot", c->seen[side].qdot);
        cJSON_AddStringToObject(entry, "date", c->seen[side].date);
        cJSON_AddStringToObject(entry, "verdict", c->seen[side].verdict);
    }
    for (enum sense sense = WORSE; sense < SENSES; sense++)
        cJSON_AddNumberToObject(root, sense_names[sense], (double)c->counts[sense]);
    cJSON *devices = cJSON_AddArrayToObject(root, "devices");
    for (size_t i = 0; i < c->pair_count; i++)
        cJSON_AddItemToArray(devices, pair_json(c, i));
    return report_write_json(root, path);
}

/* ---- the verb -------------------------------------------------------------------------------- */

static int compare(struct comparison *c, const char *json)
{
    char wrong[512];
    for (size_t side = 0; side < 2; side++)
        if (!seen_read(c->paths[side], &c->seen[side], wrong, sizeof(wrong))) {
            fprintf(stderr, "qdot conform: --compare: %s\n", wrong);
            return 2;
        }
    pair_devices(c);
    for (size_t i = 0; i < c->pair_count; i++)
        compare_pair(c, i);
    if (c->no_memory) {
        fprintf(stderr, "qdot conform: --compare: out of memory\n");
        return 2;
    }
    for (size_t side = 0; side < 2; side++)
        printf("%s  %s: qdot %s, %s, %s\n", side ? "new" : "old", c->paths[side],
               c->seen[side].qdot, c->seen[side].date, c->seen[side].verdict);
    for (size_t i = 0; i < c->pair_count; i++)
        print_pair(c, i);
    printf("%zu worse, %zu better, %zu other\n", c->counts[WORSE], c->counts[BETTER],
           c->counts[OTHER]);
    if (json && write_json(c, json))
        return 2;
    return c->counts[WORSE] > 0;
}

int compare_main(const char *old, const char *new, const char *json)
{
    struct comparison *c = calloc(1, sizeof(*c));
    if (!c) {
        fprintf(stderr, "qdot conform: --compare: out of memory\n");
        return 2;
    }
    c->paths[0] = old;
    c->paths[1] = new;
    int status = compare(c, json);
    for (size_t side = 0; side < 2; side++)
        seen_free(&c->seen[side]);
    free(c->changes);
    free(c);
    return status;
}
