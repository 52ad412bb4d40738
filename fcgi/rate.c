#include "fcgi/rate.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"

enum {
    WAYS = 8,    /* buckets in which one may be */
    SETS = 4096, /* so that nine who are active at a time hardly ever meet in one */
    SECOND_US = 1000000,
};

/*
 * A bucket is the time at which it will be full again (the generic cell rate algorithm, ITU-T
 * I.371): one word, so a process may die between any two instructions. Who is not there has a full
 * one; so a full one may be another's.
 */
struct bucket {
    _Atomic uint64_t key, full_at_us;
};

static struct bucket (*table)[WAYS];

static bool is_ours(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

/* Its blocks are taken at once: on a full disk a write through a mapping would end the process. */
static void *map_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    void *map = MAP_FAILED;

    if (fd < 0)
        return MAP_FAILED;
    if (!is_ours(fd))
        errno = EPERM;
    else if ((errno = posix_fallocate(fd, 0, SETS * (off_t)sizeof *table)) == 0)
        map = mmap(NULL, SETS * sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return map;
}

void rate_open(const char *path)
{
    void *map = path ? map_file(path) : MAP_FAILED;

    if (path != NULL && map == MAP_FAILED)
        log_warn("-", "each process counts requests for itself", LOG_TEXT("file", path),
                 LOG_TEXT("error", strerror(errno)));
    if (map == MAP_FAILED)
        map = mmap(NULL, SETS * sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    if (map == MAP_FAILED)
        abort();
    if (table != NULL)
        munmap(table, SETS * sizeof *table);
    table = map;
}

/* The directory of the socket, up to its slash, in `address`; NULL: it has none. */
static const char *directory_of(int listen_fd, struct sockaddr_un *address)
{
    socklen_t size = sizeof *address - 1; /* what comes ends with a NUL */
    char *slash;

    getsockname(listen_fd, (struct sockaddr *)address, &size);
    slash = address->sun_family == AF_UNIX ? strrchr(address->sun_path, '/') : NULL;
    if (slash == NULL)
        return NULL;
    *slash = '\0';
    return address->sun_path;
}

void rate_init(int listen_fd)
{
    struct sockaddr_un address = {0};
    const char *dir = config_text("RUNTIME_DIRECTORY");
    char path[PATH_MAX];

    if (dir == NULL)
        dir = directory_of(listen_fd, &address);
    if (dir != NULL)
        snprintf(path, sizeof path, "%s/rates", dir);
    rate_open(dir ? path : NULL);
}

/* FNV-1a, also of the NUL between the two. */
static uint64_t key_of(const char *what, const char *user)
{
    const char *const texts[] = {what, user};
    uint64_t h = 0xCBF29CE484222325ULL;

    for (int i = 0; i < 2; i++) {
        for (const char *s = texts[i]; *s; s++)
            h = (h ^ (uint8_t)*s) * 0x100000001B3ULL;
        h *= 0x100000001B3ULL;
    }
    return h;
}

/* Full, or filled by the clock of an earlier boot. */
static bool is_full(struct bucket *b, uint64_t now_us)
{
    uint64_t full_at_us = atomic_load(&b->full_at_us);

    return full_at_us <= now_us || full_at_us > now_us + 2ULL * RATE_SECONDS_MAX * SECOND_US;
}

/*
 * That of the key, or one that nobody misses; NULL: all are in use. Whose bucket is taken while it
 * draws from it loses, or gives, one token.
 */
static struct bucket *find(uint64_t key, uint64_t now_us)
{
    struct bucket *set = table[(key * 0x9E3779B97F4A7C15ULL >> 32) % SETS]; /* spread */

    for (int i = 0; i < WAYS; i++)
        if (atomic_load(&set[i].key) == key)
            return &set[i];
    for (int i = 0; i < WAYS; i++) {
        uint64_t other = atomic_load(&set[i].key);

        if (is_full(&set[i], now_us) &&
            (atomic_compare_exchange_strong(&set[i].key, &other, key) || other == key))
            return &set[i];
    }
    return NULL;
}

long rate_take_at(const struct rate *r, const char *user, uint64_t now_us)
{
    uint64_t token_us, whole_us, full_at_us, next_us;
    struct bucket *b;

    if (r->count <= 0)
        return 0;
    token_us = (uint64_t)r->seconds * SECOND_US / (uint64_t)r->count;
    whole_us = token_us * (uint64_t)r->burst;
    b = find(key_of(r->what, user), now_us);
    if (b == NULL)
        return 0;
    full_at_us = atomic_load(&b->full_at_us);
    do {
        next_us = token_us +
                  (full_at_us > now_us && full_at_us <= now_us + whole_us ? full_at_us : now_us);
        if (next_us > now_us + whole_us)
            return (long)((next_us - now_us - whole_us + SECOND_US - 1) / SECOND_US);
    } while (!atomic_compare_exchange_weak(&b->full_at_us, &full_at_us, next_us));
    return 0;
}

long rate_take(const struct rate *r, const char *user)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return rate_take_at(r, user, (uint64_t)now.tv_sec * SECOND_US + (uint64_t)now.tv_nsec / 1000);
}
