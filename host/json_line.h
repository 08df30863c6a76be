/* Where in a JSON text an item stands, for messages: parsers do not keep it. Used by the command too. */
#ifndef QDOT_JSON_LINE_H
#define QDOT_JSON_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The line on which the index-th item of the list under this key of the root begins. The text is JSON
 * already: strings, brackets and commas are all that there is to look at. */
static inline size_t json_line_of(const char *text, size_t bytes, const char *list, size_t index)
{
    const size_t length = strlen(list);
    size_t line = 1, depth = 0, item = 0;
    bool inside = false; /* the list */
    for (size_t i = 0; i < bytes; i++) {
        const char c = text[i];
        line += c == '\n';
        if (inside && depth == 2 && item == index && !strchr(" \t\r\n", c))
            break;
        if (c == '"') {
            const size_t begin = ++i;
            for (; i < bytes && text[i] != '"'; i++)
                i += text[i] == '\\';
            if (depth == 1)
                inside = i - begin == length && memcmp(text + begin, list, length) == 0;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        }
        item += inside && depth == 2 && c == ',';
    }
    return line;
}

#endif
