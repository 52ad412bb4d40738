/*
 * watch: what the generator's event loop does, seen from outside. A library that is loaded into the
 * process in front of the others (LD_PRELOAD). It measures the time from each return of
 * epoll_wait() to the next call, in which the loop answers nobody, and writes the longest of it
 * since the last time it was asked, with SIGUSR2:
 *
 *   "PAUSES wall_us cpu_us rounds"   to the file $WATCH_FILE
 *
 * cpu_us is the longest that the thread itself computed in a round; the rest of wall_us is the
 * machine's. And since libcurl takes no other authorities than those of the machine: a file that is
 * opened as its list of them is $WATCH_AUTHORITIES, if that is set.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define AUTHORITIES "/etc/ssl/certs/ca-certificates.crt"

static long long wall_since, cpu_since, wall_most, cpu_most;
static long rounds;
static volatile sig_atomic_t asked;
static int watching; /* this is the generator */

static long long now_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void ask(int signal)
{
    (void)signal;
    asked = 1;
}

__attribute__((constructor)) static void begin(void)
{
    const struct sigaction action = {.sa_handler = ask};

    watching = strcmp(program_invocation_short_name, "lesson-generator") == 0;
    if (watching)
        sigaction(SIGUSR2, &action, NULL);
}

static void tell(void)
{
    const char *path = getenv("WATCH_FILE");
    char line[96];
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    int len = snprintf(line, sizeof line, "PAUSES %lld %lld %ld\n", wall_most, cpu_most, rounds);

    if (fd < 0 || write(fd, line, (size_t)len) != len)
        perror("watch");
    close(fd);
    wall_most = cpu_most = rounds = 0;
}

int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    static int (*real)(int, struct epoll_event *, int, int);
    int n;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
    if (!watching)
        return real(epoll, events, max, timeout_ms);
    if (wall_since != 0) {
        long long wall = now_us(CLOCK_MONOTONIC) - wall_since;
        long long cpu = now_us(CLOCK_THREAD_CPUTIME_ID) - cpu_since;

        wall_most = wall > wall_most ? wall : wall_most;
        cpu_most = cpu > cpu_most ? cpu : cpu_most;
        rounds++;
    }
    n = real(epoll, events, max, timeout_ms);
    if (asked) {
        int saved = errno;

        asked = 0;
        tell();
        errno = saved;
    }
    wall_since = now_us(CLOCK_MONOTONIC);
    cpu_since = now_us(CLOCK_THREAD_CPUTIME_ID);
    return n;
}

static FILE *open_file(const char *name, const char *path, const char *mode)
{
    FILE *(*real)(const char *, const char *);
    const char *other = getenv("WATCH_AUTHORITIES");

    *(void **)&real = dlsym(RTLD_NEXT, name);
    return real(other != NULL && strcmp(path, AUTHORITIES) == 0 ? other : path, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    return open_file("fopen", path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return open_file("fopen64", path, mode);
}
