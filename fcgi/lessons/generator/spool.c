#include "fcgi/lessons/generator/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"

enum {
    HEADER_SIZE = 12,
    FRAME_MAX = 256 << 20,
    READ_MAX = 64, /* calls one spool_read() gives */
    SCAN_CHUNK = 65536,
    NULL_LENGTH = -1,
};

static const char magic[4] = {'L', 'T', 'S', '1'};

static struct {
    char prefix[4096]; /* dir/spool-name- */
    char dir[4096];
    off_t max, reserve;
    /* Files first … last; replayed up to `read` in the first; the last is written to. */
    long first, last;
    int read_fd, write_fd;
    off_t read, size; /* size: of the last, durable */
    off_t ends[READ_MAX];
    int ends_count;
    struct buf batch;
    void (*done)(bool stored);
    int event;
} spool = {.read_fd = -1, .write_fd = -1, .event = -1};

/* The thread: it writes what `job` holds and says how it went. */
static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    enum { IDLE, BUSY, WRITTEN, QUIT } state;
    int fd;
    off_t at;
    const char *data;
    size_t len;
    int error; /* 0 or errno */
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* ---- frames ---- */

/* CRC-32C (Castagnoli), a bit at a time through a table. */
static uint32_t crc32c(const char *data, size_t len)
{
    static uint32_t table[256];
    uint32_t crc = 0xFFFFFFFFU;

    if (table[1] == 0)
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;

            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? c >> 1 ^ 0x82F63B78U : c >> 1;
            table[i] = c;
        }
    for (size_t i = 0; i < len; i++)
        crc = crc >> 8 ^ table[(crc ^ (uint8_t)data[i]) & 0xFF];
    return ~crc;
}

static void add_number(struct buf *b, int32_t n)
{
    buf_add(b, &n, sizeof n); /* of this host: a spool does not travel */
}

static void add_frame(struct buf *out, const struct db_call *call)
{
    struct buf body;
    uint32_t crc;

    buf_init(&body, FRAME_MAX);
    add_number(&body, (int32_t)strlen(call->statement->name));
    buf_puts(&body, call->statement->name);
    add_number(&body, call->statement->args);
    for (int i = 0; i < call->statement->args; i++) {
        const struct db_arg *arg = &call->args[i];

        add_number(&body, arg->data ? (int32_t)arg->len : NULL_LENGTH);
        if (arg->data != NULL)
            buf_add(&body, arg->data, arg->len);
    }
    crc = crc32c(buf_text(&body), body.len);
    buf_add(out, magic, sizeof magic);
    add_number(out, (int32_t)body.len);
    buf_add(out, &crc, sizeof crc);
    buf_add(out, buf_text(&body), body.len);
    buf_finish(&body);
}

static bool take_number(const char **p, const char *end, int32_t *n)
{
    if (end - *p < (ptrdiff_t)sizeof *n)
        return false;
    memcpy(n, *p, sizeof *n);
    *p += sizeof *n;
    return true;
}

static bool take_bytes(const char **p, const char *end, int32_t len, const char **bytes)
{
    if (len < 0 || end - *p < len)
        return false;
    *bytes = *p;
    *p += len;
    return true;
}

static bool decode_frame(struct arena *a, const char *body, size_t len,
                         const struct db_statement *(*find)(const char *name), struct db_call *call)
{
    const char *p = body, *end = body + len, *bytes;
    int32_t n, count;

    *call = (struct db_call){0};
    if (!take_number(&p, end, &n) || !take_bytes(&p, end, n, &bytes) ||
        (call->statement = find(arena_memdup(a, bytes, (size_t)n))) == NULL ||
        !take_number(&p, end, &count) || count != call->statement->args)
        return false;
    for (int i = 0; i < count; i++) {
        if (!take_number(&p, end, &n))
            return false;
        if (n == NULL_LENGTH)
            continue;
        if (!take_bytes(&p, end, n, &bytes))
            return false;
        call->args[i] = db_arg_bytes(bytes, (size_t)n);
    }
    return p == end;
}

/* ---- files ---- */

static void file_name(char *out, size_t size, long number)
{
    snprintf(out, size, "%s%ld", spool.prefix, number);
}

static int open_file(long number, int flags)
{
    char path[4200];

    file_name(path, sizeof path, number);
    return open(path, flags | O_CLOEXEC, 0600);
}

/* So that a new file's name is on disk, too. */
static void sync_dir(void)
{
    int fd = open(spool.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static bool open_for_writing(long number)
{
    struct stat st;
    int fd = open_file(number, O_WRONLY | O_CREAT);

    if (fd < 0 || fstat(fd, &st) < 0) {
        log_error("-", "spool not writable", LOG_TEXT("error", strerror(errno)));
        if (fd >= 0)
            close(fd);
        return false;
    }
    if (spool.write_fd >= 0)
        close(spool.write_fd);
    spool.write_fd = fd;
    spool.last = number;
    spool.size = st.st_size;
    sync_dir();
    return true;
}

static bool open_for_reading(long number)
{
    if (spool.read_fd >= 0)
        close(spool.read_fd);
    spool.read_fd = open_file(number, O_RDONLY);
    spool.first = number;
    spool.read = 0;
    return spool.read_fd >= 0;
}

static void find_files(long *first, long *last)
{
    char pattern[4200];
    glob_t found;

    *first = *last = 0;
    snprintf(pattern, sizeof pattern, "%s*", spool.prefix);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        long n = strtol(found.gl_pathv[i] + strlen(spool.prefix), NULL, 10);

        if (n > 0 && (*first == 0 || n < *first))
            *first = n;
        if (n > *last)
            *last = n;
    }
    globfree(&found);
}

/* ---- the thread ---- */

static int write_all(int fd, off_t at, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        data += n;
        at += n;
        len -= (size_t)n;
    }
    return fdatasync(fd) < 0 ? errno : 0;
}

static void *write_batches(void *arg)
{
    static const uint64_t one = 1;
    int error;

    (void)arg;
    pthread_mutex_lock(&writer.lock);
    for (;;) {
        while (writer.state != BUSY && writer.state != QUIT)
            pthread_cond_wait(&writer.wake, &writer.lock);
        if (writer.state == QUIT)
            break;
        pthread_mutex_unlock(&writer.lock);
        error = write_all(writer.fd, writer.at, writer.data, writer.len);
        pthread_mutex_lock(&writer.lock);
        writer.error = error;
        writer.state = WRITTEN;
        if (write(spool.event, &one, sizeof one) < 0)
            abort(); /* an eventfd takes one */
    }
    pthread_mutex_unlock(&writer.lock);
    return NULL;
}

static bool start_thread(struct err *e)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    rc = pthread_create(&writer.thread, NULL, write_batches, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 || err_set(e, ERR_INPUT, "spool: no thread: %s", strerror(rc));
}

/* ---- opening ---- */

bool spool_open(const char *dir, const char *name, long max_mb, long reserve_mb, struct err *e)
{
    long first, last;

    snprintf(spool.dir, sizeof spool.dir, "%s", dir);
    if (snprintf(spool.prefix, sizeof spool.prefix, "%s/spool-%s-", dir, name) >=
        (int)sizeof spool.prefix)
        return err_set(e, ERR_INPUT, "STATE_DIR: too long");
    spool.max = (off_t)max_mb << 20;
    spool.reserve = (off_t)reserve_mb << 20;
    buf_init(&spool.batch, FRAME_MAX);
    spool.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    find_files(&first, &last);
    if (spool.event < 0 || !open_for_writing(last ? last : 1) ||
        !open_for_reading(first ? first : 1))
        return err_set(e, ERR_INPUT, "STATE_DIR: %.150s: %s", dir, strerror(errno));
    if (!spool_empty())
        log_warn("-", "spool found", LOG_INT("bytes", spool.size),
                 LOG_INT("files", spool.last - spool.first + 1));
    return start_thread(e);
}

void spool_close(void)
{
    if (spool.event < 0)
        return;
    pthread_mutex_lock(&writer.lock);
    while (writer.state == BUSY) {
        pthread_mutex_unlock(&writer.lock);
        usleep(1000);
        pthread_mutex_lock(&writer.lock);
    }
    writer.state = QUIT;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
    pthread_join(writer.thread, NULL);
    close(spool.event);
    close(spool.read_fd);
    close(spool.write_fd);
    buf_finish(&spool.batch);
    spool.event = spool.read_fd = spool.write_fd = -1;
    writer.state = IDLE;
}

bool spool_has_room(void)
{
    struct statvfs fs;

    if (spool.size >= spool.max || fstatvfs(spool.write_fd, &fs) < 0)
        return false;
    return (off_t)(fs.f_bavail * fs.f_frsize) > spool.reserve;
}

/* ---- writing ---- */

bool spool_writing(void)
{
    return spool.done != NULL;
}

void spool_add(const struct db_call *call)
{
    add_frame(&spool.batch, call);
}

int spool_fd(void)
{
    return spool.event;
}

void spool_write(void (*done)(bool stored))
{
    spool.done = done;
    pthread_mutex_lock(&writer.lock);
    writer.fd = spool.write_fd;
    writer.at = spool.size;
    writer.data = buf_text(&spool.batch);
    writer.len = spool.batch.len;
    writer.state = BUSY;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
}

/* A full disk may have room again; any other error, and nobody knows what is in the file. */
static void write_failed(int error)
{
    log_error("-", "spool not written", LOG_TEXT("error", strerror(error)));
    if (error != ENOSPC && error != EDQUOT)
        open_for_writing(spool.last + 1);
    else if (ftruncate(spool.write_fd, spool.size) < 0)
        open_for_writing(spool.last + 1);
}

void spool_advance(void)
{
    void (*done)(bool stored) = spool.done;
    uint64_t count;
    int error;

    if (read(spool.event, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&writer.lock);
    error = writer.error;
    writer.state = IDLE;
    pthread_mutex_unlock(&writer.lock);
    if (error == 0)
        spool.size += (off_t)spool.batch.len;
    else
        write_failed(error);
    buf_finish(&spool.batch);
    spool.done = NULL;
    done(error == 0);
}

/* ---- replaying ---- */

static off_t readable(void)
{
    struct stat st;

    if (spool.first == spool.last)
        return spool.size;
    return fstat(spool.read_fd, &st) < 0 ? 0 : st.st_size;
}

bool spool_empty(void)
{
    return spool.first == spool.last && spool.read >= spool.size;
}

/* The frame at `at`: its body in the arena; NULL if what is there is none. */
static const char *read_frame(struct arena *a, off_t at, off_t end, size_t *len)
{
    char header[HEADER_SIZE], *body;
    uint32_t crc;
    int32_t n;

    if (end - at < HEADER_SIZE || pread(spool.read_fd, header, sizeof header, at) != HEADER_SIZE ||
        memcmp(header, magic, sizeof magic) != 0)
        return NULL;
    memcpy(&n, header + 4, sizeof n);
    memcpy(&crc, header + 8, sizeof crc);
    if (n < 0 || n > FRAME_MAX || end - at - HEADER_SIZE < n)
        return NULL;
    body = arena_alloc(a, (size_t)n + 1);
    if (pread(spool.read_fd, body, (size_t)n, at + HEADER_SIZE) != n ||
        crc32c(body, (size_t)n) != crc)
        return NULL;
    *len = (size_t)n;
    return body;
}

/* Where the next magic stands at or behind `at`; end if nowhere. */
static off_t find_magic(off_t at, off_t end)
{
    char chunk[SCAN_CHUNK];

    while (at < end) {
        ssize_t n = pread(spool.read_fd, chunk, sizeof chunk, at);
        char *found = n > 0 ? memmem(chunk, (size_t)n, magic, sizeof magic) : NULL;

        if (found != NULL)
            return at + (found - chunk) < end ? at + (found - chunk) : end;
        if (n < (ssize_t)sizeof magic)
            break;
        at += n - (ssize_t)sizeof magic + 1;
    }
    return end;
}

/* All of the first file was replayed: on to the next, or begin the only one anew. */
static void next_file(void)
{
    char path[4200];

    if (spool.first < spool.last) {
        file_name(path, sizeof path, spool.first);
        if (open_for_reading(spool.first + 1))
            unlink(path);
        else
            log_error("-", "spool not readable", LOG_TEXT("error", strerror(errno)));
    } else if (!spool_writing() && ftruncate(spool.write_fd, 0) == 0) {
        spool.size = spool.read = 0;
    }
}

int spool_read(struct arena *a, const struct db_statement *(*find)(const char *name),
               struct db_call calls[], int max)
{
    off_t at = spool.read, end = readable(), next;
    const char *body;
    size_t len = 0;
    int n = 0;

    while (n < max && n < READ_MAX && at < end) {
        body = read_frame(a, at, end, &len);
        if (body != NULL && decode_frame(a, body, len, find, &calls[n])) {
            at += HEADER_SIZE + (off_t)len;
            spool.ends[n++] = at;
            continue;
        }
        next = find_magic(at + 1, end);
        log_error("-", "spool damaged", LOG_INT("at", at), LOG_INT("bytes", next - at));
        at = next;
        if (n == 0)
            spool.read = at;
    }
    if (n == 0 && at >= end && !spool_empty()) {
        spool.read = at;
        next_file();
    } else if (n == 0 && spool.size > 0 && spool_empty()) {
        next_file();
    }
    spool.ends_count = n;
    return n;
}

void spool_forget(int n)
{
    if (n <= 0 || n > spool.ends_count)
        return;
    spool.read = spool.ends[n - 1];
    spool.ends_count = 0;
    if (spool.read >= readable())
        next_file();
}

void spool_bury(const struct db_call *call)
{
    char path[4200];
    struct buf b;
    int fd;

    snprintf(path, sizeof path, "%s/dead-letters", spool.dir);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    buf_init(&b, FRAME_MAX);
    add_frame(&b, call);
    if (fd < 0 || write(fd, buf_text(&b), b.len) != (ssize_t)b.len)
        log_error("-", "dead letter not kept", LOG_TEXT("error", strerror(errno)));
    else
        log_error("-", "dead letter", LOG_TEXT("file", path),
                  LOG_TEXT("statement", call->statement->name));
    if (fd >= 0)
        close(fd);
    buf_finish(&b);
}
