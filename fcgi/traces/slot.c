#include "fcgi/traces/slot.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_FD = 0 };

/* unix(7): a path that begins with a NUL is a name without a file, gone with its last descriptor.
 */
static int take(const char *what, unsigned long service, int number)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "lesson-tracer/%s/%lx/%d",
                       what, service, number);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) == 0)
        return fd;
    close(fd);
    return -1;
}

/* FNV-1a: of names that would not fit. */
static uint64_t hash(const char *s)
{
    uint64_t h = 0xCBF29CE484222325ULL;

    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001B3ULL;
    return h;
}

int slot_take_own(const char *what, const char *owner)
{
    char name[64];

    snprintf(name, sizeof name, "%.40s/%016llx", what, (unsigned long long)hash(owner));
    return slot_take(name, 1);
}

int slot_take(const char *what, int count)
{
    struct stat st;
    int fd = -1;

    if (fstat(LISTEN_FD, &st) < 0)
        return -1;
    for (int i = 0; fd < 0 && i < count; i++)
        fd = take(what, (unsigned long)st.st_ino, i);
    return fd;
}
