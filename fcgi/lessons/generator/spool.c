#include "fcgi/lessons/generator/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"

enum {
    MARK_SIZE = 16,
    BATCH_MAX = 256 << 20,
    READ_MAX = 64,        /* calls one spool_read() gives */
    READ_BYTES = 4 << 20, /* of which it begins no further frame: it runs on the loop's thread */
    SCAN_CHUNK = 65536,
    NULL_LENGTH = -1,
    NAME_SIZE = 65,
    FILE_NAME_SIZE = 128,
};

/*
 * A file is a header and frames without gaps; it is written by one process and only ever added to,
 * so what is torn is at its end. Integers are in this host's order: a spool does not travel.
 *
 * The mark is drawn at random when a file is begun, and stands before each of its frames, as the
 * boundary does in MIME. What a client or a provider sent lies inside of frames, and may look like
 * one in everything but the mark: nobody outside can know it, nor could when it was drawn. So the
 * search for the next frame behind a damaged one cannot take bytes of a text for a frame, and
 * neither are frames taken that an earlier use of the same disk blocks left there.
 *
 * The mark is read from the file's header or, if that is damaged, from the first frame's, which
 * stands at a fixed place that no text can reach. With both damaged nothing in the file can be
 * told from a forgery: nothing is replayed, and the file is kept for a person. A header cut short
 * is of a file in which nothing was acknowledged.
 *
 * A frame's header has a sum of its own, so that a body can be damaged without doubt about the
 * length: exactly that frame is skipped. Only where the header is damaged is there a search.
 */
struct file_header {
    char magic[8];
    char mark[MARK_SIZE];
    uint32_t crc; /* of what stands before it */
};

struct frame_header {
    char mark[MARK_SIZE];
    uint32_t length, body_crc; /* of the body, which follows */
    uint32_t crc;              /* of what stands before it */
};

static const char magic[8] = {'L', 'T', 'S', 'P', 'O', 'O', 'L', '1'};

static struct {
    int dir;
    char name[NAME_SIZE];
    off_t max, reserve;
    /* Files first … last: the first is read, the last written. */
    long first, last;
    int read_fd; /* -1: the first is the last */
    int write_fd;
    off_t older; /* bytes in the files before the last */
    off_t size;  /* of the last, durable */
    off_t read;  /* of the first, replayed */
    char read_mark[MARK_SIZE], write_mark[MARK_SIZE];
    bool damaged; /* the first */
    off_t ends[READ_MAX];
    int ends_count;
    long dead; /* the number of the last dead letter */
    struct buf batch;
    void (*done)(bool stored);
    int event;
} spool = {.dir = -1, .read_fd = -1, .write_fd = -1, .event = -1};

/* The thread: it writes what is here and says how it went. */
static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool busy, quit;
    int fd;
    off_t at;
    const char *data;
    size_t len;
    int error; /* 0 or errno */
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* ---- frames ---- */

static uint32_t crc_tables[8][256]; /* [n]: of a byte with n bytes of 0 behind it */

static void make_crc_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0x82F63B78U : c >> 1;
        crc_tables[0][i] = c;
    }
    for (int n = 1; n < 8; n++)
        for (int i = 0; i < 256; i++) {
            uint32_t c = crc_tables[n - 1][i];

            crc_tables[n][i] = c >> 8 ^ crc_tables[0][c & 0xFF];
        }
}

/* CRC-32C (Castagnoli), eight bytes at a time: a replay reads all it stores through this. */
static uint32_t crc32c(const char *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;
    uint32_t crc = 0xFFFFFFFFU;

    if (crc_tables[0][1] == 0)
        make_crc_tables();
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t c =
            crc ^ (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

        crc = crc_tables[7][c & 0xFF] ^ crc_tables[6][c >> 8 & 0xFF] ^
              crc_tables[5][c >> 16 & 0xFF] ^ crc_tables[4][c >> 24] ^ crc_tables[3][p[4]] ^
              crc_tables[2][p[5]] ^ crc_tables[1][p[6]] ^ crc_tables[0][p[7]];
    }
    for (; len > 0; p++, len--)
        crc = crc >> 8 ^ crc_tables[0][(crc ^ *p) & 0xFF];
    return ~crc;
}

static uint32_t file_crc(const struct file_header *h)
{
    return crc32c((const char *)h, offsetof(struct file_header, crc));
}

static uint32_t frame_crc(const struct frame_header *h)
{
    return crc32c((const char *)h, offsetof(struct frame_header, crc));
}

/* What opens a file; draws its mark. */
static void add_file_header(struct buf *out, char mark[MARK_SIZE])
{
    struct file_header h;

    if (getrandom(mark, MARK_SIZE, 0) != MARK_SIZE)
        abort(); /* nothing in the file could be trusted */
    memcpy(h.magic, magic, sizeof h.magic);
    memcpy(h.mark, mark, sizeof h.mark);
    h.crc = file_crc(&h);
    buf_add(out, &h, sizeof h);
}

static void add_number(struct buf *b, int32_t n)
{
    buf_add(b, &n, sizeof n);
}

/* Of what is spooled every argument is text. */
static void add_body(struct buf *out, const struct db_call *call)
{
    add_number(out, (int32_t)strlen(call->statement->name));
    buf_puts(out, call->statement->name);
    add_number(out, call->statement->args);
    for (int i = 0; i < call->statement->args; i++) {
        const struct db_arg *arg = &call->args[i];

        if (arg->kind != DB_TEXT)
            abort();
        add_number(out, arg->data ? (int32_t)arg->len : NULL_LENGTH);
        if (arg->data != NULL)
            buf_add(out, arg->data, arg->len);
    }
}

static void add_frame(struct buf *out, const char mark[MARK_SIZE], const struct db_call *call)
{
    struct frame_header h = {0};
    size_t at = out->len;
    const char *body;

    buf_add(out, &h, sizeof h);
    add_body(out, call);
    if (out->full)
        return;
    body = out->data + at + sizeof h;
    memcpy(h.mark, mark, sizeof h.mark);
    h.length = (uint32_t)(out->len - at - sizeof h);
    h.body_crc = crc32c(body, h.length);
    h.crc = frame_crc(&h);
    memcpy(out->data + at, &h, sizeof h);
}

size_t spool_frame_size(const struct db_call *call)
{
    size_t size = sizeof(struct frame_header) + 2 * sizeof(int32_t);

    size += strlen(call->statement->name);
    for (int i = 0; i < call->statement->args; i++)
        size += sizeof(int32_t) + (call->args[i].data ? call->args[i].len : 0);
    return size;
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

/* Of a kind: spool, damaged, dead. */
static void file_name(char out[FILE_NAME_SIZE], const char *kind, long number)
{
    snprintf(out, FILE_NAME_SIZE, "%s-%s-%ld", kind, spool.name, number);
}

/* 0 if it is none of this spool. */
static long number_of(const char *file)
{
    const char *dash = strrchr(file, '-');
    long number = dash ? strtol(dash + 1, NULL, 10) : 0;
    char name[FILE_NAME_SIZE];

    file_name(name, "spool", number);
    return number > 0 && strcmp(file, name) == 0 ? number : 0;
}

static int open_file(const char *kind, long number, int flags)
{
    char name[FILE_NAME_SIZE];

    file_name(name, kind, number);
    return openat(spool.dir, name, flags | O_CLOEXEC, 0600);
}

static off_t file_size(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 ? 0 : st.st_size;
}

static bool open_for_writing(long number)
{
    int fd = open_file("spool", number, O_RDWR | O_CREAT);

    if (fd < 0)
        return false;
    if (spool.first == spool.last)
        spool.read_fd = spool.write_fd; /* there may be more to read */
    else
        close(spool.write_fd);
    spool.older += spool.size;
    spool.write_fd = fd;
    spool.last = number;
    spool.size = file_size(fd);
    fsync(spool.dir); /* so that its name is on disk, too; in the loop only after an error */
    return true;
}

/* What is there: the numbers of the first and the last, 0 if there is none, and all bytes. */
static bool find_files(long *first, long *last, off_t *bytes)
{
    int fd = openat(spool.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct stat st;

    *first = *last = *bytes = 0;
    if (d == NULL)
        return false;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        long n = number_of(entry->d_name);

        if (n == 0)
            continue;
        *first = *first == 0 || n < *first ? n : *first;
        *last = n > *last ? n : *last;
        *bytes += fstatat(spool.dir, entry->d_name, &st, 0) < 0 ? 0 : st.st_size;
    }
    closedir(d);
    return true;
}

/* What another process wrote is read only: its end may be torn. */
static bool open_files(void)
{
    long first, last;
    off_t bytes;

    if (!find_files(&first, &last, &bytes))
        return false;
    spool.first = first ? first : 1;
    spool.last = last ? last : 1;
    spool.write_fd = open_file("spool", spool.last, O_RDWR | O_CREAT);
    if (spool.write_fd < 0)
        return false;
    spool.size = file_size(spool.write_fd);
    spool.older = bytes - spool.size;
    if (spool.first < spool.last)
        spool.read_fd = open_file("spool", spool.first, O_RDONLY);
    fsync(spool.dir);
    if (spool.first < spool.last && spool.read_fd < 0)
        return false;
    return spool.size == 0 || open_for_writing(spool.last + 1);
}

static void close_files(void)
{
    int *fds[] = {&spool.dir, &spool.read_fd, &spool.write_fd, &spool.event};

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
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

/* One that is begun is ended, also when asked to quit. */
static void *write_batches(void *arg)
{
    static const uint64_t one = 1;
    int error;

    (void)arg;
    pthread_mutex_lock(&writer.lock);
    for (;;) {
        while (!writer.busy && !writer.quit)
            pthread_cond_wait(&writer.wake, &writer.lock);
        if (!writer.busy)
            break;
        pthread_mutex_unlock(&writer.lock);
        error = write_all(writer.fd, writer.at, writer.data, writer.len);
        pthread_mutex_lock(&writer.lock);
        writer.error = error;
        writer.busy = false;
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

    writer.busy = writer.quit = false;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    rc = pthread_create(&writer.thread, NULL, write_batches, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 || err_set(e, ERR_INPUT, "spool: no thread: %s", strerror(rc));
}

/* ---- opening ---- */

bool spool_open(const char *dir, const char *name, long max_mb, long reserve_mb, struct err *e)
{
    if (snprintf(spool.name, sizeof spool.name, "%s", name) >= (int)sizeof spool.name)
        return err_set(e, ERR_INPUT, "GENERATOR_SLOT: too long");
    spool.max = (off_t)max_mb << 20;
    spool.reserve = (off_t)reserve_mb << 20;
    spool.read = 0;
    spool.damaged = false;
    spool.ends_count = 0;
    spool.dead = 0;
    buf_init(&spool.batch, BATCH_MAX);
    spool.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    spool.event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (spool.dir < 0 || spool.event < 0 || !open_files()) {
        err_set(e, ERR_INPUT, "STATE_DIR: %.150s: %s", dir, strerror(errno));
        close_files();
        return false;
    }
    if (!start_thread(e)) {
        close_files();
        return false;
    }
    if (!spool_empty())
        log_warn("-", "spool found", LOG_INT("bytes", spool.older));
    return true;
}

void spool_close(void)
{
    if (spool.event < 0)
        return;
    pthread_mutex_lock(&writer.lock);
    writer.quit = true;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
    pthread_join(writer.thread, NULL);
    close_files();
    buf_finish(&spool.batch);
    spool.done = NULL;
}

static off_t smaller(off_t a, off_t b)
{
    return a < b ? a : b;
}

/* What was added and not yet written counts, and so does the header of a file to be begun. */
size_t spool_room(void)
{
    off_t added = (off_t)spool.batch.len, left;
    struct statvfs fs;

    if (fstatvfs(spool.write_fd, &fs) < 0)
        return 0;
    if (added == 0 && spool.size == 0)
        added = sizeof(struct file_header);
    left = smaller(spool.max - spool.older - spool.size,
                   (off_t)(fs.f_bavail * fs.f_frsize) - spool.reserve);
    return left > added ? (size_t)(left - added) : 0;
}

bool spool_has_room(void)
{
    return spool_room() > 0;
}

/* ---- writing ---- */

bool spool_writing(void)
{
    return spool.done != NULL;
}

void spool_add(const struct db_call *call)
{
    if (spool.size == 0 && spool.batch.len == 0)
        add_file_header(&spool.batch, spool.write_mark);
    add_frame(&spool.batch, spool.write_mark, call);
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
    writer.busy = true;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
}

static void begin_next_file(void)
{
    if (!open_for_writing(spool.last + 1))
        log_error("-", "spool not writable", LOG_TEXT("error", strerror(errno)));
}

/*
 * What is full may have room again; any other error, and nobody knows what is in the file. One
 * with nothing in it is as good as the next, or a broken disk would get a file each second.
 */
static void write_failed(int error)
{
    bool full = error == ENOSPC || error == EDQUOT || error == ENOBUFS;

    log_error("-", "spool not written", LOG_TEXT("error", strerror(error)));
    if ((!full && spool.size > 0) || ftruncate(spool.write_fd, spool.size) < 0)
        begin_next_file();
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
    pthread_mutex_unlock(&writer.lock);
    if (error == 0 && spool.batch.full)
        error = ENOBUFS; /* a frame of it is cut */
    if (error == 0)
        spool.size += (off_t)spool.batch.len;
    else
        write_failed(error);
    buf_finish(&spool.batch);
    spool.done = NULL;
    done(error == 0);
}

/* ---- replaying ---- */

static int reading(void)
{
    return spool.first == spool.last ? spool.write_fd : spool.read_fd;
}

static off_t readable(void)
{
    return spool.first == spool.last ? spool.size : file_size(spool.read_fd);
}

bool spool_empty(void)
{
    return spool.first == spool.last && spool.read >= spool.size;
}

static bool read_at(off_t at, void *data, size_t len)
{
    return pread(reading(), data, len, at) == (ssize_t)len;
}

/* Bytes that were acknowledged, perhaps: the file will be kept. */
static bool damaged(off_t at, off_t next)
{
    log_error("-", "spool damaged", LOG_INT("file", spool.first), LOG_INT("at", at),
              LOG_INT("bytes", next - at));
    spool.damaged = true;
    return false;
}

/* The end of what a process was writing when it ended: nobody was told that it is stored. */
static bool torn(off_t at, off_t end)
{
    log_warn("-", "spool torn", LOG_INT("file", spool.first), LOG_INT("at", at),
             LOG_INT("bytes", end - at));
    return false;
}

/* Learn the mark of the file; gives where its frames begin, which is its end if there are none. */
static off_t read_file_header(off_t end)
{
    struct file_header h;
    struct frame_header first;

    if (end < (off_t)sizeof h)
        return end;
    if (read_at(0, &h, sizeof h) && h.crc == file_crc(&h)) {
        memcpy(spool.read_mark, h.mark, MARK_SIZE);
    } else if (read_at(sizeof h, &first, sizeof first) && first.crc == frame_crc(&first)) {
        memcpy(spool.read_mark, first.mark, MARK_SIZE);
    } else {
        damaged(0, end);
        return end;
    }
    return sizeof h;
}

/* Where the next mark stands at or behind `at`; end if nowhere. */
static off_t find_mark(off_t at, off_t end)
{
    char chunk[SCAN_CHUNK];

    while (end - at >= MARK_SIZE) {
        ssize_t n = pread(reading(), chunk, (size_t)smaller(sizeof chunk, end - at), at);
        char *found = n > 0 ? memmem(chunk, (size_t)n, spool.read_mark, MARK_SIZE) : NULL;

        if (found != NULL)
            return at + (found - chunk);
        if (n < MARK_SIZE)
            break;
        at += n - MARK_SIZE + 1;
    }
    return end;
}

static bool read_frame_header(off_t at, struct frame_header *h)
{
    return read_at(at, h, sizeof *h) && memcmp(h->mark, spool.read_mark, MARK_SIZE) == 0 &&
           h->crc == frame_crc(h);
}

static bool read_frame(struct arena *a, off_t at, off_t end,
                       const struct db_statement *(*find)(const char *name), struct db_call *call,
                       off_t *next)
{
    struct frame_header h;
    char *body;

    *next = end;
    if (end - at < (off_t)sizeof h)
        return torn(at, end);
    if (!read_frame_header(at, &h)) {
        *next = find_mark(at + 1, end);
        return damaged(at, *next);
    }
    at += (off_t)sizeof h;
    if (end - at < h.length)
        return torn(at, end);
    *next = at + h.length;
    body = arena_alloc(a, h.length);
    return (read_at(at, body, h.length) && crc32c(body, h.length) == h.body_crc &&
            decode_frame(a, body, h.length, find, call)) ||
           damaged(at, *next);
}

/* Of the first file. What is skipped goes with the frame before it. */
static int read_frames(struct arena *a, const struct db_statement *(*find)(const char *name),
                       struct db_call calls[], int max)
{
    off_t at, begin, next, end = readable();
    int n = 0;

    if (spool.read == 0)
        spool.read = read_file_header(end);
    begin = at = spool.read;
    while (n < max && n < READ_MAX && at < end && at - begin < READ_BYTES) {
        if (read_frame(a, at, end, find, &calls[n], &next))
            n++;
        if (n > 0)
            spool.ends[n - 1] = next;
        else
            spool.read = begin = next;
        at = next;
    }
    return n;
}

/* The first, all of which was replayed: one with damage is kept, for a person to look at. */
static void retire_file(void)
{
    char name[FILE_NAME_SIZE], kept[FILE_NAME_SIZE];

    file_name(name, "spool", spool.first);
    file_name(kept, "damaged", spool.first);
    if (spool.damaged)
        renameat(spool.dir, name, spool.dir, kept);
    else
        unlinkat(spool.dir, name, 0);
    spool.older -= file_size(spool.read_fd);
    close(spool.read_fd);
    spool.read_fd = -1;
    spool.read = 0;
    spool.damaged = false;
}

/* The only file was replayed. */
static void begin_anew(void)
{
    if (spool_writing())
        return;
    if (spool.damaged)
        begin_next_file();
    else if (ftruncate(spool.write_fd, 0) == 0)
        spool.size = spool.read = 0;
}

/* The first was replayed: on to the next. One that cannot be opened is left to another process. */
static void next_file(void)
{
    if (spool.first == spool.last)
        begin_anew();
    if (spool.first == spool.last)
        return;
    retire_file();
    while (++spool.first < spool.last) {
        spool.read_fd = open_file("spool", spool.first, O_RDONLY);
        if (spool.read_fd >= 0)
            break;
        if (errno != ENOENT)
            log_error("-", "spool not readable", LOG_INT("file", spool.first),
                      LOG_TEXT("error", strerror(errno)));
    }
}

int spool_read(struct arena *a, const struct db_statement *(*find)(const char *name),
               struct db_call calls[], int max)
{
    int n;

    while ((n = read_frames(a, find, calls, max)) == 0 && spool.read >= readable()) {
        next_file();
        if (spool_empty())
            break;
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

/* ---- dead letters ---- */

static int create_dead_letter(char name[FILE_NAME_SIZE])
{
    int fd;

    do {
        file_name(name, "dead", ++spool.dead);
        fd = openat(spool.dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

/*
 * It may be the only copy of what was acknowledged, and the caller forgets it as soon as this
 * returns: so it is on disk by then, although this is the loop's thread, which stands still for an
 * fdatasync and an fsync. That is some milliseconds, and only when PostgreSQL refuses a write for
 * ever, which is a mistake of ours and no normal time.
 */
bool spool_bury(const struct db_call *call)
{
    char name[FILE_NAME_SIZE], mark[MARK_SIZE];
    int fd = create_dead_letter(name), error = fd < 0 ? errno : 0;
    struct buf b;

    buf_init(&b, BATCH_MAX);
    add_file_header(&b, mark);
    add_frame(&b, mark, call);
    if (error == 0 && (error = write_all(fd, 0, buf_text(&b), b.len)) != 0)
        unlinkat(spool.dir, name, 0);
    if (error == 0 && fsync(spool.dir) < 0)
        error = errno;
    if (error == 0)
        log_error("-", "dead letter", LOG_TEXT("file", name),
                  LOG_TEXT("statement", call->statement->name));
    else
        log_error("-", "dead letter not kept", LOG_TEXT("error", strerror(error)));
    if (fd >= 0)
        close(fd);
    buf_finish(&b);
    return error == 0;
}
