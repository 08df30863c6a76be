/*
 * NumPy .npy files. The header is a Python dictionary literal; nothing but the three keys NumPy
 * writes, in any order, is accepted. Every number in it is checked against the file's real size
 * before memory is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "npy.h"

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

/* A header of four short items takes less than 128 bytes; 2.0 allows 4 GiB. */
enum { HEADER_MOST = 65536 };

static const struct {
    enum qdot_type type;
    size_t bytes;
    const char *descr, *name;
} types[] = {
    {QDOT_S8, 1, "|i1", "int8"},    {QDOT_U8, 1, "|u1", "uint8"},  {QDOT_S16, 2, "<i2", "int16"},
    {QDOT_U16, 2, "<u2", "uint16"}, {QDOT_S32, 4, "<i4", "int32"}, {QDOT_F32, 4, "<f4", "float32"},
};
enum { TYPES = sizeof(types) / sizeof(types[0]) };

size_t npy_item_bytes(enum qdot_type type)
{
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].type == type)
            return types[i].bytes;
    return 0;
}

const char *npy_type_name(enum qdot_type type)
{
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].type == type)
            return types[i].name;
    return "unknown";
}

static bool fail(char reason[NPY_TEXT], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(char reason[NPY_TEXT], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reason, NPY_TEXT, format, args);
    va_end(args);
    return false;
}

/* ---- the header ------------------------------------------------------------------------------ */

struct header {
    const char *at; /* NUL-terminated */
    bool fortran;
    char *reason;
};

static void skip_spaces(struct header *h)
{
    h->at += strspn(h->at, " \t\n");
}

static bool take(struct header *h, char c)
{
    skip_spaces(h);
    if (*h->at != c)
        return false;
    h->at++;
    skip_spaces(h);
    return true;
}

/* 'text' or "text", without escapes. */
static bool take_string(struct header *h, char *text, size_t capacity)
{
    skip_spaces(h);
    const char quote = *h->at;
    if (quote != '\'' && quote != '"')
        return false;
    const char *end = strchr(h->at + 1, quote);
    if (!end || (size_t)(end - h->at - 1) >= capacity || memchr(h->at, '\\', (size_t)(end - h->at)))
        return false;
    memcpy(text, h->at + 1, (size_t)(end - h->at - 1));
    text[end - h->at - 1] = '\0';
    h->at = end + 1;
    return true;
}

static bool parse_descr(struct header *h, struct npy *array)
{
    char descr[32];
    if (!take_string(h, descr, sizeof(descr)))
        return fail(h->reason, "a header whose 'descr' is no short string (a structured dtype?): "
                               "expected |i1, |u1, <i2, <u2, <i4 or <f4");
    /* One byte has no order: '<i1' and '>i1' are as good as '|i1'. */
    for (size_t i = 0; i < TYPES; i++)
        if (strcmp(descr, types[i].descr) == 0 || (types[i].bytes == 1 && strchr("<>", descr[0]) &&
                                                   strcmp(descr + 1, types[i].descr + 1) == 0))
            array->type = types[i].type;
    if (array->type == QDOT_TYPE_DEFAULT)
        return fail(h->reason, "dtype '%s': expected |i1, |u1, <i2, <u2, <i4 or <f4", descr);
    return true;
}

static bool parse_order(struct header *h)
{
    skip_spaces(h);
    h->fortran = strncmp(h->at, "True", 4) == 0;
    if (!h->fortran && strncmp(h->at, "False", 5) != 0)
        return fail(h->reason, "a header whose 'fortran_order' is not True or False");
    h->at += h->fortran ? 4 : 5;
    return true;
}

static bool parse_shape(struct header *h, struct npy *array)
{
    bool more = true; /* a comma came before */
    if (!take(h, '('))
        return fail(h->reason, "a header whose 'shape' is no tuple");
    while (!take(h, ')')) {
        if (!more || *h->at < '0' || *h->at > '9')
            return fail(h->reason, "a header whose 'shape' is no tuple of numbers");
        char *end;
        errno = 0;
        unsigned long long size = strtoull(h->at, &end, 10);
        if (errno || size > SIZE_MAX)
            return fail(h->reason, "a shape whose dimension %zu overflows", array->dims);
        if (array->dims == NPY_DIMS)
            return fail(h->reason, "a shape of more than %d dimensions: expected at most %d",
                        NPY_DIMS, NPY_DIMS);
        array->shape[array->dims++] = (size_t)size;
        h->at = end;
        more = take(h, ',');
    }
    array->count = 1;
    for (size_t i = 0; i < array->dims; i++)
        if (__builtin_mul_overflow(array->count, array->shape[i], &array->count))
            return fail(h->reason, "a shape whose number of elements overflows");
    return true;
}

static bool parse_header(struct header *h, struct npy *array)
{
    bool descr = false, order = false, shape = false, more = true;
    if (!take(h, '{'))
        return fail(h->reason, "a header that does not begin with '{'");
    while (!take(h, '}')) {
        char key[32];
        bool *seen = NULL, good;
        if (!more || !take_string(h, key, sizeof(key)) || !take(h, ':'))
            return fail(h->reason, "a header that is no dictionary of descr, fortran_order, shape");
        if (strcmp(key, "descr") == 0) {
            good = parse_descr(h, array);
            seen = &descr;
        } else if (strcmp(key, "fortran_order") == 0) {
            good = parse_order(h);
            seen = &order;
        } else if (strcmp(key, "shape") == 0) {
            good = !shape && parse_shape(h, array);
            seen = &shape;
        } else {
            return fail(h->reason,
                        "a header with the key '%s': expected descr, fortran_order, "
                        "shape",
                        key);
        }
        if (*seen)
            return fail(h->reason, "a header with '%s' twice", key);
        if (!good)
            return false;
        *seen = true;
        more = take(h, ',');
    }
    if (!descr || !order || !shape)
        return fail(h->reason, "a header without '%s'",
                    !descr   ? "descr"
                    : !order ? "fortran_order"
                             : "shape");
    if (*h->at)
        return fail(h->reason, "a header with something after '}'");
    return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* 0: all read; 1: the file ends before; -1: errno. */
static int read_exactly(int fd, void *memory, size_t bytes)
{
    char *at = memory;
    while (bytes) {
        ssize_t got = read(fd, at, bytes < (1u << 30) ? bytes : (1u << 30));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -1 : 1;
        at += got;
        bytes -= (size_t)got;
    }
    return 0;
}

static bool take_bytes(int fd, void *memory, size_t bytes, char reason[NPY_TEXT])
{
    int got = read_exactly(fd, memory, bytes);
    if (got < 0)
        return fail(reason, "cannot be read: %s", strerror(errno));
    return got == 0 || fail(reason, "truncated: the file ends inside its header");
}

static bool read_header(int fd, struct header *h, struct npy *array, size_t *bytes)
{
    unsigned char start[8], length[4] = {0};
    int got = read_exactly(fd, start, sizeof(start));
    if (got < 0)
        return fail(h->reason, "cannot be read: %s", strerror(errno));
    if (got > 0 || memcmp(start, magic, sizeof(magic)) != 0)
        return fail(h->reason, "not a .npy file: expected it to begin with \\x93NUMPY");
    const unsigned major = start[6], minor = start[7];
    if ((major != 1 && major != 2) || minor != 0)
        return fail(h->reason, "format version %u.%u: expected 1.0 or 2.0", major, minor);
    const size_t length_bytes = major == 1 ? 2 : 4;
    if (!take_bytes(fd, length, length_bytes, h->reason))
        return false;
    const size_t size =
        length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 | (size_t)length[3] << 24;
    if (size > HEADER_MOST)
        return fail(h->reason, "a header of %zu bytes: expected at most %d", size, HEADER_MOST);
    char *text = malloc(size + 1);
    if (!text)
        return fail(h->reason, "out of memory");
    bool good = take_bytes(fd, text, size, h->reason);
    if (good && memchr(text, '\0', size))
        good = fail(h->reason, "a header with a zero byte in it");
    if (good) {
        text[size] = '\0';
        h->at = text;
        good = parse_header(h, array);
    }
    free(text);
    *bytes = sizeof(start) + length_bytes + size;
    return good;
}

static void to_c_order(const struct npy *array, const char *from, char *to)
{
    const size_t item = npy_item_bytes(array->type);
    size_t index[NPY_DIMS] = {0}, step[NPY_DIMS];
    for (size_t i = 0; i < array->dims; i++)
        step[i] = i == 0 ? item : step[i - 1] * array->shape[i - 1];
    for (size_t n = 0; n < array->count; n++) {
        memcpy(to + n * item, from, item);
        for (size_t i = array->dims; i-- > 0;) {
            from += step[i];
            if (++index[i] < array->shape[i])
                break;
            from -= step[i] * array->shape[i];
            index[i] = 0;
        }
    }
}

static bool read_data(int fd, struct npy *array, bool fortran, size_t header_bytes, size_t file,
                      char reason[NPY_TEXT])
{
    size_t bytes;
    if (__builtin_mul_overflow(array->count, npy_item_bytes(array->type), &bytes))
        return fail(reason, "a shape of %zu elements, which overflows", array->count);
    if (bytes > file - header_bytes)
        return fail(reason, "truncated: its header says %zu bytes of data, it has %zu", bytes,
                    file - header_bytes);
    if (bytes < file - header_bytes)
        return fail(reason, "%zu bytes after the data that its header describes",
                    file - header_bytes - bytes);
    array->data = malloc(bytes ? bytes : 1);
    if (!array->data)
        return fail(reason, "out of memory for %zu bytes", bytes);
    int got = read_exactly(fd, array->data, bytes);
    if (got != 0)
        return fail(reason, "cannot be read: %s", got < 0 ? strerror(errno) : "it became shorter");
    if (!fortran || array->dims < 2)
        return true;
    char *ordered = malloc(bytes ? bytes : 1);
    if (!ordered)
        return fail(reason, "out of memory for %zu bytes", bytes);
    to_c_order(array, array->data, ordered);
    free(array->data);
    array->data = ordered;
    return true;
}

bool npy_read(const char *path, struct npy *array, char reason[NPY_TEXT])
{
    struct header h = {.reason = reason};
    struct stat status;
    size_t header_bytes = 0;
    *array = (struct npy){0};
    /* Non-blocking: a FIFO would hang in open. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(reason, "cannot be opened: %s", strerror(errno));
    bool good = fstat(fd, &status) == 0 || fail(reason, "cannot be read: %s", strerror(errno));
    if (good && !S_ISREG(status.st_mode))
        good = fail(reason, "not a regular file");
    good = good && read_header(fd, &h, array, &header_bytes) &&
           read_data(fd, array, h.fortran, header_bytes, (size_t)status.st_size, reason);
    close(fd);
    if (!good)
        npy_free(array);
    return good;
}

void npy_free(struct npy *array)
{
    free(array->data);
    *array = (struct npy){0};
}

/* The dimensions with a mark of at most 2 characters between them. A size has at most 20 digits, so
 * that NPY_DIMS of them fit. */
static void put_shape(char text[NPY_SHAPE - 2], size_t dims, const size_t *shape, const char *mark)
{
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; i < dims; i++)
        length += (size_t)snprintf(text + length, NPY_SHAPE - 2 - length, "%s%zu", i ? mark : "",
                                   shape[i]);
}

void npy_header(enum qdot_type type, size_t dims, const size_t *shape, char header[NPY_HEADER])
{
    const char *descr = "";
    char text[NPY_HEADER - 10], sizes[NPY_SHAPE - 2];
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].type == type)
            descr = types[i].descr;
    memset(header, ' ', NPY_HEADER);
    memcpy(header, magic, sizeof(magic));
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)(unsigned char)(NPY_HEADER - 10);
    header[9] = 0;
    put_shape(sizes, dims, shape, ", ");
    int length =
        snprintf(text, sizeof(text), "{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }",
                 descr, sizes, dims == 1 ? "," : "");
    memcpy(header + 10, text, (size_t)length);
    header[NPY_HEADER - 1] = '\n';
}

void npy_shape_text(const struct npy *array, char text[NPY_SHAPE])
{
    char sizes[NPY_SHAPE - 2];
    put_shape(sizes, array->dims, array->shape, ",");
    snprintf(text, NPY_SHAPE, "[%s]", sizes);
}
