/* Whole files or none. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cjson/cJSON.h>
#include "options.h"
#include "save.h"

static bool write_all(int fd, const void *memory, size_t bytes)
{
    const char *at = memory;
    while (bytes) {
        ssize_t wrote = write(fd, at, bytes);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return false;
        at += wrote;
        bytes -= (size_t)wrote;
    }
    return true;
}

static bool write_file(const struct save *save, const char *path, int flags)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0666);
    if (fd < 0)
        return false;
    bool good = write_all(fd, save->parts[0], save->bytes[0]) &&
                write_all(fd, save->parts[1], save->bytes[1]);
    int failure = errno;
    if (close(fd) != 0 && good)
        return false;
    errno = failure;
    return good;
}

static bool refuse(struct save *save, const char *verb, const char *option, const char *path)
{
    opt_error(verb, "%s '%s': cannot be written: %s", option, path, strerror(errno));
    save_discard(save);
    return false;
}

static bool begin(struct save *save, const char *verb, const char *option, const char *path)
{
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) {
        errno = EISDIR;
        return refuse(save, verb, option, path);
    }
    /* Not ours to replace: a pipe or a device, which has no other name, and what /dev/stdout leads
     * to, even a regular file. */
    const bool in_place = exists && (!S_ISREG(status.st_mode) || strncmp(path, "/dev/", 5) == 0);
    save->path = exists && !in_place ? realpath(path, NULL) : strdup(path);
    if (!save->path)
        return refuse(save, verb, option, path);
    if (in_place)
        return true;
    if (exists && access(path, W_OK) != 0)
        return refuse(save, verb, option, path);
    size_t bytes = strlen(save->path) + 32;
    save->aside = malloc(bytes);
    if (!save->aside)
        return refuse(save, verb, option, path);
    snprintf(save->aside, bytes, "%s.%ld.tmp", save->path, (long)getpid());
    unlink(save->aside); /* of a process of this number that was killed */
    return write_file(save, save->aside, O_CREAT | O_EXCL) || refuse(save, verb, option, path);
}

bool save_bytes(struct save *save, const char *verb, const char *option, const char *path,
                const void *head, size_t head_bytes, const void *body, size_t body_bytes)
{
    *save = (struct save){.parts = {head, body}, .bytes = {head_bytes, body_bytes}};
    return begin(save, verb, option, path);
}

bool save_json(struct save *save, const char *verb, const char *option, const char *path,
               struct cJSON *root)
{
    *save = (struct save){.text = root ? cJSON_Print(root) : NULL};
    cJSON_Delete(root);
    if (!save->text) {
        errno = ENOMEM;
        return refuse(save, verb, option, path);
    }
    save->parts[0] = save->text;
    save->bytes[0] = strlen(save->text);
    save->parts[1] = "\n";
    save->bytes[1] = 1;
    return begin(save, verb, option, path);
}

bool save_commit(struct save *save, const char *verb, const char *option)
{
    fflush(stdout); /* before what may go to the same place */
    bool good =
        save->aside ? rename(save->aside, save->path) == 0 : write_file(save, save->path, O_APPEND);
    if (!good)
        return refuse(save, verb, option, save->path);
    if (!save->aside)
        lseek(STDOUT_FILENO, 0, SEEK_END); /* a shared file: what is printed next goes behind */
    free(save->aside);
    save->aside = NULL;
    return true;
}

void save_discard(struct save *save)
{
    if (save->aside)
        unlink(save->aside);
    free(save->aside);
    free(save->path);
    cJSON_free(save->text);
    *save = (struct save){0};
}
