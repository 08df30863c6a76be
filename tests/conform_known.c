/* Failures of drivers that are known, one a line:
 *
 *   DEVICE AND DRIVER | ROW | CASE | WHY
 *
 * The first three are patterns; CASE is of what the result says. '#' begins a comment. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conform.h"

static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n", text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* The four fields of a line; false where there are not as many. */
static bool parse(char *line, struct known *k)
{
    char *fields[4] = {line, NULL, NULL, NULL};
    for (size_t i = 1; i < 4; i++) {
        /* a bar inside an expression stands alone in no case's name: " | " separates */
        char *bar = fields[i - 1] ? strstr(fields[i - 1], " | ") : NULL;
        if (!bar)
            return false;
        *bar = '\0';
        fields[i] = bar + 3;
    }
    snprintf(k->driver, sizeof(k->driver), "%s", trimmed(fields[0]));
    snprintf(k->kernel, sizeof(k->kernel), "%s", trimmed(fields[1]));
    snprintf(k->what, sizeof(k->what), "%s", trimmed(fields[2]));
    snprintf(k->why, sizeof(k->why), "%s", trimmed(fields[3]));
    return k->driver[0] && k->kernel[0] && k->what[0] && k->why[0];
}

static int add(struct known_list *list, const struct known *k)
{
    struct known *grown = realloc(list->all, (list->count + 1) * sizeof(*grown));
    if (!grown)
        return -1;
    list->all = grown;
    list->all[list->count++] = *k;
    return 0;
}

int known_read(const char *path, struct known_list *list)
{
    char line[1024];
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "qdot conform: --known %s: %s\n", path, strerror(errno));
        return 2;
    }
    int status = 0;
    for (size_t number = 1; status == 0 && fgets(line, sizeof(line), file); number++) {
        struct known k;
        char *text = trimmed(line);
        if (text[0] == '\0' || text[0] == '#')
            continue;
        if (!parse(text, &k)) {
            fprintf(stderr,
                    "qdot conform: --known %s: line %zu: expected DRIVER | ROW | CASE | WHY\n",
                    path, number);
            status = 2;
        } else if (add(list, &k)) {
            fprintf(stderr, "qdot conform: out of memory\n");
            status = 1;
        }
    }
    fclose(file);
    return status;
}

const char *known_why(const struct known_list *list, const char *driver, const struct result *r)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct known *k = &list->all[i];
        if (fnmatch(k->driver, driver, 0) == 0 && fnmatch(k->kernel, r->kernel, 0) == 0 &&
            fnmatch(k->what, r->reason, 0) == 0)
            return k->why;
    }
    return NULL;
}
