/*
 * What 'qdot conform' reads: any bytes as a report, as a problem; and each case that it makes can be
 * written as a problem and read again. The first byte chooses.
 */
#include "fuzz.h"
#include "conform_problem.h"
#include "conform_read.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static void read_report(const uint8_t *data, size_t size)
{
    struct seen seen;
    char wrong[512] = "";
    if (!seen_parse((const char *)data, size, "report", &seen, wrong, sizeof(wrong)))
        EXPECT(strncmp(wrong, "report: ", 8) == 0 && !strchr(wrong, '\n'));
    seen_free(&seen);
}

/* Written and read again it is the same. */
static void read_again(const struct conform_case *c)
{
    struct conform_case again;
    char text[PROBLEM_TEXT], second[PROBLEM_TEXT], wrong[192] = "";
    problem_print(c, text, sizeof(text));
    EXPECT(text[0] && strlen(text) + 1 < sizeof(text));
    if (!problem_parse(text, &again, wrong, sizeof(wrong)))
        fprintf(stderr, "%s: %s\n", text, wrong);
    EXPECT(!wrong[0]);
    problem_print(&again, second, sizeof(second));
    EXPECT(strcmp(text, second) == 0);
    EXPECT(again.kind == c->kind && again.m == c->m && again.n == c->n && again.k == c->k);
    EXPECT(again.runs == c->runs && again.threads == c->threads && again.packed == c->packed);
    EXPECT(again.scale == c->scale && again.a_zero == c->a_zero && again.bias == c->bias);
    EXPECT(again.elements.scale == c->elements.scale && again.elements.group == c->elements.group);
    EXPECT(again.map.rank == c->map.rank && again.map.operands == c->map.operands);
    EXPECT(again.table == c->table && again.a_fill == c->a_fill && again.a_gap == c->a_gap);
    EXPECT(again.conv.channels == c->conv.channels && again.conv.groups == c->conv.groups);
}

static void read_problem(const uint8_t *data, size_t size)
{
    struct conform_case c;
    char wrong[192] = "", *text = malloc(size + 1);
    EXPECT(text);
    memcpy(text, data, size);
    text[size] = '\0';
    if (problem_parse(text, &c, wrong, sizeof(wrong)))
        read_again(&c);
    else
        EXPECT(wrong[0]);
    free(text);
}

static void make_case(const uint8_t *data, size_t size)
{
    struct bytes in = {data, size};
    const struct conform_group *group = &conform_groups[below(&in, conform_group_count)];
    const struct geometry g = {.kind = group->kind,
                               .depthwise = group->kind == QDOT_CONV && take(&in, 1) % 2,
                               .mr = 1 + below(&in, 128),
                               .nr = 1 + below(&in, 128),
                               .kr = 1 + below(&in, 64),
                               .small = take(&in, 1) % 2};
    const uint64_t seed = take(&in, 4);
    struct conform_case c;
    char wrong[192] = "";
    if (!conform_make(group, &g, seed, take(&in, 2), &c))
        return;
    if (!problem_settle(&c, wrong, sizeof(wrong)))
        fprintf(stderr, "%s: %s\n", group->name, wrong);
    EXPECT(!wrong[0]);
    read_again(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    (data[0] % 4 < 2    ? read_report
     : data[0] % 4 == 2 ? read_problem
                        : make_case)(data + 1, size - 1);
    return 0;
}
