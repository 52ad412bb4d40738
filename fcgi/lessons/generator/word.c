#include "fcgi/lessons/generator/word.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/uuid.h"

enum { CRASHED_AT = 40, WORD_SIZE = 64 };

/* How a process ends by its own fault. Who is killed from outside is in nobody's code. */
static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
enum { CRASH_COUNT = sizeof crashes / sizeof *crashes, ALTERNATE_STACK = 65536 };
static struct sigaction before_us[CRASH_COUNT];

static struct {
    char *shared; /* NULL: not open */
    char last[UUID_SIZE];
    bool ready;
    const char *current;
} word;

/* By the thread that runs the jobs, and not sent by another process. */
static bool is_own(const siginfo_t *info)
{
    return gettid() == getpid() && (info->si_code > 0 || info->si_pid == getpid());
}

static void on_crash(int signal, siginfo_t *info, void *context)
{
    (void)context;
    /* Before word_clear(), the name is of whom the former process ran. */
    if (word.ready && word.shared[0] != '\0' && is_own(info))
        word.shared[CRASHED_AT] = '!';
    for (int i = 0; i < CRASH_COUNT; i++)
        if (crashes[i] == signal)
            sigaction(signal, &before_us[i], NULL);
    raise(signal);
}

/* On a stack of its own: the crash may be an overflow of the other. */
static void watch_crashes(void)
{
    static char stack[ALTERNATE_STACK];
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction act = {.sa_sigaction = on_crash, .sa_flags = SA_ONSTACK | SA_SIGINFO};

    sigaltstack(&alternate, NULL);
    for (int i = 0; i < CRASH_COUNT; i++)
        sigaction(crashes[i], &act, &before_us[i]);
}

static void watch_no_crashes(void)
{
    for (int i = 0; i < CRASH_COUNT; i++)
        sigaction(crashes[i], &before_us[i], NULL);
}

/* Room is taken now: a page of a file with a hole, on a full disk, is a SIGBUS when written to. */
static char *share(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *shared = MAP_FAILED;

    if (fd < 0)
        return NULL;
    if ((errno = posix_fallocate(fd, 0, WORD_SIZE)) == 0)
        shared = mmap(NULL, WORD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return shared == MAP_FAILED ? NULL : shared;
}

bool word_open(const char *path, const char **last, struct err *e)
{
    word.shared = share(path);
    if (word.shared == NULL)
        return err_set(e, ERR_INPUT, "STATE_DIR: %.150s: %s", path, strerror(errno));
    memcpy(word.last, word.shared, UUID_SIZE - 1);
    word.last[UUID_SIZE - 1] = '\0';
    if (!uuid_valid(word.last) || word.shared[CRASHED_AT] != '!')
        word.last[0] = '\0';
    watch_crashes();
    *last = word.last;
    return true;
}

void word_close(void)
{
    if (word.shared == NULL)
        return;
    if (word.ready) /* else a death was not charged yet */
        memset(word.shared, 0, WORD_SIZE);
    watch_no_crashes();
    word.ready = false;
    munmap(word.shared, WORD_SIZE);
    word.shared = NULL;
}

void word_clear(void)
{
    memset(word.shared, 0, WORD_SIZE);
    word.ready = true;
}

static void set(const char *lesson_id)
{
    word.current = lesson_id;
    if (!word.ready)
        return;
    /* The compiler may not move code of the job across this. */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (lesson_id != NULL)
        memcpy(word.shared, lesson_id, UUID_SIZE - 1);
    else
        word.shared[0] = '\0';
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

const char *word_enter(const char *lesson_id)
{
    const char *before = word.current;

    set(lesson_id);
    return before;
}

void word_leave(const char *before)
{
    set(before);
}
