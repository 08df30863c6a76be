/* Files under the user's cache directory: verified, written aside and renamed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "internal.h"

__extension__ typedef unsigned __int128 product;

/* Up to 8 bytes into the state h. Of the product both halves: of a changed bit what changes then depends
 * on the state, so that no pair of changes undoes itself whatever the seed. */
static inline uint64_t mix(uint64_t h, const void *memory, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, memory, bytes);
    const product p = (product)(h ^ word) * 0xff51afd7ed558ccdu;
    h = (uint64_t)p ^ (uint64_t)(p >> 64);
    return h << 29 | h >> 35;
}

/* A multiplication for each 8 bytes, in four lanes that need not wait for one another. A guard against
 * damage and accidents, not against an adversary. */
uint64_t qdot_hash(const void *memory, size_t bytes, uint64_t seed)
{
    const uint8_t *p = memory;
    uint64_t h = seed ^ 0x9e3779b97f4a7c15u ^ bytes, lane[4] = {h, ~h, h << 1, ~h << 1};
    for (; bytes >= 32; bytes -= 32, p += 32)
        for (size_t i = 0; i < 4; i++)
            lane[i] = mix(lane[i], p + 8 * i, 8);
    for (size_t i = 0; i < 4; i++)
        h = mix(h, &lane[i], 8);
    for (; bytes >= 8; bytes -= 8, p += 8)
        h = mix(h, p, 8);
    if (bytes > 0)
        h = mix(h, p, bytes);
    h ^= h >> 32;
    h *= 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

char *qdot_cache_dir(const struct qdot_device *device, const char *given)
{
    const char *base = given, *tail = "";
    if (!given) {
        base = getenv("XDG_CACHE_HOME");
        tail = "/qdot";
        if (!base || base[0] != '/') {
            base = getenv("HOME");
            tail = "/.cache/qdot";
        }
    }
    if (!base || !*base)
        return NULL;
    const size_t bytes = strlen(base) + strlen(tail) + 1;
    char *path = qdot_alloc(device, bytes);
    if (!path)
        return NULL;
    snprintf(path, bytes, "%s%s", base, tail);
    return path;
}

/* ---- one file a key -------------------------------------------------------------------------- */

#define MAGIC 0x32656863616371u /* "qcache2" */

struct head {
    uint64_t magic;
    uint64_t key_bytes, data_bytes;
    uint64_t checksum; /* of the key, then the data */
};

static bool file_name(const struct qdot_device *device, const char *key, char *path, size_t bytes)
{
    if (!device->cache_dir)
        return false;
    const int length = snprintf(path, bytes, "%s/%016llx.bin", device->cache_dir,
                                (unsigned long long)qdot_hash(key, strlen(key), 0));
    return length > 0 && (size_t)length < bytes;
}

static uint64_t checksum(const char *key, size_t key_bytes, const void *data, size_t bytes)
{
    return qdot_hash(data, bytes, qdot_hash(key, key_bytes, 1));
}

bool qdot_cache_read(const struct qdot_device *device, const char *key, void **data, size_t *bytes)
{
    char path[4096];
    struct head head;
    const size_t key_bytes = strlen(key);
    if (!file_name(device, key, path, sizeof(path)))
        return false;
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    bool good = fread(&head, sizeof(head), 1, file) == 1 && head.magic == MAGIC &&
                head.key_bytes == key_bytes;
    struct stat status;
    good = good && fstat(fileno(file), &status) == 0 && status.st_size >= 0 &&
           (uint64_t)status.st_size >= sizeof(head) + key_bytes &&
           (uint64_t)status.st_size - sizeof(head) - key_bytes == head.data_bytes;
    char *content = good ? qdot_alloc(device, key_bytes + head.data_bytes) : NULL;
    good = content &&
           fread(content, 1, key_bytes + head.data_bytes, file) == key_bytes + head.data_bytes;
    fclose(file);
    good = good && memcmp(content, key, key_bytes) == 0 &&
           checksum(key, key_bytes, content + key_bytes, head.data_bytes) == head.checksum;
    if (!good) {
        qdot_release(device, content);
        return false;
    }
    memmove(content, content + key_bytes, head.data_bytes);
    *data = content;
    *bytes = head.data_bytes;
    return true;
}

/* The directories that a file is in. */
static void make_directories(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* if it is not there then, opening the file says so */
        *slash = '/';
    }
}

static bool write_all(int fd, const void *memory, size_t bytes)
{
    const char *p = memory;
    while (bytes > 0) {
        const ssize_t done = write(fd, p, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        bytes -= (size_t)done;
    }
    return true;
}

/* Aside, then renamed, so that two processes at once each see a whole file. */
static bool write_file(const char *path, const struct iovec *parts, size_t count)
{
    char target[4096], aside[4096 + 8];
    snprintf(target, sizeof(target), "%s", path);
    make_directories(target);
    snprintf(aside, sizeof(aside), "%s.XXXXXX", target);
    const int fd = mkstemp(aside);
    if (fd < 0)
        return false;
    bool good = true;
    for (size_t i = 0; good && i < count; i++)
        good = write_all(fd, parts[i].iov_base, parts[i].iov_len);
    good = close(fd) == 0 && good;
    good = good && rename(aside, target) == 0;
    if (!good)
        unlink(aside);
    return good;
}

bool qdot_cache_write(const struct qdot_device *device, const char *key, const void *data,
                      size_t bytes)
{
    char path[4096];
    const size_t key_bytes = strlen(key);
    struct head head = {MAGIC, key_bytes, bytes, checksum(key, key_bytes, data, bytes)};
    const struct iovec parts[] = {{&head, sizeof(head)},
                                  {(void *)(uintptr_t)key, key_bytes},
                                  {(void *)(uintptr_t)data, bytes}};
    return file_name(device, key, path, sizeof(path)) && write_file(path, parts, 3);
}

/* ---- whole files ----------------------------------------------------------------------------- */

int qdot_file_read(const struct qdot_device *device, const char *path, size_t most, void **data,
                   size_t *bytes, struct qdot_error *err)
{
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file)
        return qdot_fail(err, QDOT_INVALID, "%s: cannot be read: %s", path, strerror(errno));
    size_t room = 65536; /* of what has no size, such as a pipe */
    if (fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode))
        room = status.st_size < (off_t)most ? (size_t)status.st_size + 1 : most + 1;
    char *content = qdot_alloc_raw(device, room);
    size_t used = content ? fread(content, 1, room, file) : 0;
    while (content && used == room && room <= most) {
        char *more = qdot_alloc_raw(device, 2 * room);
        if (more)
            memcpy(more, content, used);
        qdot_release(device, content);
        content = more;
        used += more ? fread(more + used, 1, room, file) : 0;
        room *= 2;
    }
    const bool failed = ferror(file);
    const int reason = errno;
    fclose(file);
    if (content && !failed && used <= most) {
        *data = content;
        *bytes = used;
        return QDOT_OK;
    }
    qdot_release(device, content);
    if (!content)
        return qdot_fail(err, QDOT_NO_MEMORY, "%s: no memory for it", path);
    if (failed)
        return qdot_fail(err, QDOT_INVALID, "%s: cannot be read: %s", path, strerror(reason));
    return qdot_fail(err, QDOT_INVALID, "%s: expected at most %zu bytes", path, most);
}

bool qdot_file_write(const char *path, const void *data, size_t bytes)
{
    const struct iovec part = {(void *)(uintptr_t)data, bytes};
    return strlen(path) < 4096 && write_file(path, &part, 1);
}

int qdot_file_lock(const char *path)
{
    char lock[4096 + 8];
    snprintf(lock, sizeof(lock), "%.4090s.lock", path);
    const int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            break; /* a file system without locks */
    return fd;
}

void qdot_file_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}
