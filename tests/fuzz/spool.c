/*
 * The spool: what is read back of a file that was damaged, or that somebody else made.
 *
 * Input: "=" and the bytes of a file; or else lines that make one and damage it: "+TEXT" adds a
 * frame, then "~N" flips a bit of byte N, "^N TEXT" overwrites what is there, "-N" cuts the end,
 * "w" has the thread add the frames once more behind it, "2" puts a second file behind it.
 * Asserted: what is read is what was written; exactly the damaged frames are lost, and their file
 * is kept; nothing is left over.
 *
 * Covers: fcgi/lessons/generator/spool.c
 */
#include <unistd.h>

/* Not done: no test cuts the power. */
static int leave_unsynced(int fd)
{
    return fd < 0 ? -1 : 0;
}

#define fdatasync leave_unsynced
#define fsync leave_unsynced
#include "fcgi/lessons/generator/spool.c"

#include <poll.h>

#include "tests/fuzz/lib/fuzz.h"
#include "tests/fuzz/lib/log.c"

#define NAME "fuzz"
#define FIRST "spool-" NAME "-1"

enum { INPUT_MAX = 16384, FRAMES_MAX = 16, WAIT_MS = 19000, /* a busy disk */ ROOM_MB = 1000 };

static const struct db_statement statements[] = {
    {"write_one", "", 1},
    {"write_three", "", 3},
};

static char dir[512];
static int dir_fd;
static bool stored;

static struct made { /* what is in the file, before it is damaged */
    struct db_call calls[FRAMES_MAX];
    size_t ends[FRAMES_MAX + 1]; /* of the header, of the first frame … */
    int count;
    bool again, second;
} made;

static const struct db_statement *find(const char *name)
{
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (strcmp(statements[i].name, name) == 0)
            return &statements[i];
    return NULL;
}

static void remove_files(void)
{
    DIR *d = opendir(dir);

    must(d != NULL);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (*entry->d_name != '.')
            unlinkat(dir_fd, entry->d_name, 0);
    closedir(d);
}

static void remove_directory(void)
{
    remove_files();
    rmdir(dir);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *where = getenv("TMPDIR");

    (void)argc;
    (void)argv;
    snprintf(dir, sizeof dir, "%.400s/spool-XXXXXX", where ? where : "/tmp");
    must(mkdtemp(dir) != NULL);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(dir_fd >= 0);
    atexit(remove_directory);
    return 0;
}

static void write_file(const char *name, const char *bytes, size_t len)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
}

/* ---- making ---- */

static void add(struct buf *out, const char mark[MARK_SIZE], const char *text, size_t len)
{
    struct db_call *call = &made.calls[made.count];

    *call = (struct db_call){.statement = &statements[len % 2]};
    call->args[0] = db_arg_bytes(text, len);
    if (len % 2 == 1)
        call->args[2] = db_arg_bytes(text, len / 2);
    add_frame(out, mark, call);
    must(out->len - made.ends[made.count] == spool_frame_size(call));
    made.ends[++made.count] = out->len;
}

/* Behind the header: another one, as whole as the first, is no damage but a forgery. */
static void overwrite(char *file, size_t len, const char *text, size_t n)
{
    char *end;
    size_t at = strtoul(text, &end, 10) % len, skip = (size_t)(end - text) + (*end == ' ');

    if (skip < n && at >= made.ends[0])
        memcpy(file + at, text + skip, n - skip < len - at ? n - skip : len - at);
}

static void damage(char *file, size_t *len, const char *line, size_t n)
{
    size_t at = strtoul(line + 1, NULL, 10);

    if (*len == 0)
        return;
    if (*line == '~')
        file[at % *len] = (char)(file[at % *len] ^ 1 << at % 8);
    else if (*line == '-')
        *len -= at % (*len + 1);
    else if (*line == '^')
        overwrite(file, *len, line + 1, n - 1);
    else if (*line == 'w')
        made.again = true;
    else if (*line == '2')
        made.second = true;
}

/* The file as it was written, and in `after` as it is found. */
static struct buf *make(struct arena *a, struct fuzz_part rest, char **after, size_t *after_len)
{
    struct fuzz_part lines = rest, line;
    struct buf *out = buf_create(a, 1 << 20);
    char mark[MARK_SIZE];

    made.count = 0;
    made.again = made.second = false;
    add_file_header(out, mark);
    made.ends[0] = out->len;
    while (made.count < FRAMES_MAX && fuzz_line(&lines, &line))
        if (line.len > 0 && *line.data == '+')
            add(out, mark, line.data + 1, line.len - 1);
    *after = arena_memdup(a, out->data, out->len);
    *after_len = out->len;
    while (fuzz_line(&rest, &line))
        if (line.len > 0 && *line.data != '+')
            damage(*after, after_len, arena_memdup(a, line.data, line.len), line.len);
    return out;
}

/* ---- reading ---- */

static bool same(const struct db_call *one, const struct db_call *other)
{
    if (one->statement != other->statement)
        return false;
    for (int i = 0; i < one->statement->args; i++) {
        const struct db_arg *x = &one->args[i], *y = &other->args[i];

        if ((x->data == NULL) != (y->data == NULL) || x->len != y->len ||
            (x->len > 0 && memcmp(x->data, y->data, x->len) != 0))
            return false;
    }
    return true;
}

/* All that is there, in order, a few at a time. */
static int read_all(struct arena *a, struct db_call calls[], int room)
{
    int count = 0, n;

    while ((n = spool_read(a, find, &calls[count], room - count < 3 ? room - count : 3)) > 0) {
        for (int i = count; i < count + n; i++)
            must(calls[i].statement != NULL);
        spool_forget(n);
        count += n;
        if (count == room)
            break;
    }
    return count;
}

static bool is_there(const char *file)
{
    return faccessat(dir_fd, file, F_OK, 0) == 0;
}

static bool equal(const struct buf *before, const char *after, size_t len, size_t from, size_t to)
{
    return to <= len && memcmp(before->data + from, after + from, to - from) == 0;
}

/* Which frames have to come back: those that are whole, if the mark can be known. */
static int expect(const struct buf *before, const char *after, size_t len,
                  struct db_call calls[FRAMES_MAX])
{
    size_t header = made.ends[0];
    int count = 0;

    if (!equal(before, after, len, 0, header) &&
        !equal(before, after, len, header, header + sizeof(struct frame_header)))
        return 0;
    for (int i = 0; i < made.count; i++)
        if (equal(before, after, len, made.ends[i], made.ends[i + 1]))
            calls[count++] = made.calls[i];
    return count;
}

/* A frame whose end is there is lost: not what the process was writing when it ended. */
static bool is_damaged(const struct buf *before, const char *after, size_t len)
{
    for (int i = 0; i < made.count; i++)
        if (made.ends[i + 1] <= len && !equal(before, after, len, made.ends[i], made.ends[i + 1]))
            return true;
    return false;
}

/* ---- writing, by the thread ---- */

static void note_stored(bool ok)
{
    stored = ok;
}

static void write_again(struct arena *a)
{
    struct pollfd event = {.fd = spool_fd(), .events = POLLIN};
    struct db_call calls[FRAMES_MAX + 1];
    int n, come;

    if (made.count == 0)
        return;
    must(spool_has_room());
    for (int i = 0; i < made.count; i++)
        spool_add(&made.calls[i]);
    spool_write(note_stored);
    must(spool_writing());
    do
        come = poll(&event, 1, WAIT_MS);
    while (come < 0 && errno == EINTR); /* libFuzzer's clock */
    must(come == 1);
    spool_advance();
    must(stored && !spool_writing() && !spool_empty());
    n = read_all(a, calls, FRAMES_MAX + 1);
    must(n == made.count);
    for (int i = 0; i < n; i++)
        must(same(&calls[i], &made.calls[i]));
    must(spool_empty() && spool_bury(&made.calls[0]) && is_there("dead-" NAME "-1"));
}

/* ---- both ---- */

static void open_spool(void)
{
    struct err e;

    must(spool_open(dir, NAME, ROOM_MB, 0, &e));
}

static void read_foreign(struct arena *a, struct fuzz_part file)
{
    struct db_call calls[FRAMES_MAX];

    write_file(FIRST, file.data, file.len);
    open_spool();
    while (read_all(a, calls, FRAMES_MAX) > 0)
        ;
    must(spool_empty());
    spool_close();
}

static void read_own(struct arena *a, struct fuzz_part lines)
{
    struct db_call wanted[2 * FRAMES_MAX], calls[2 * FRAMES_MAX + 1];
    size_t len;
    char *after;
    struct buf *before = make(a, lines, &after, &len);
    int n = expect(before, after, len, wanted), got;

    write_file(FIRST, after, len);
    if (made.second) {
        write_file("spool-" NAME "-2", before->data, before->len);
        memcpy(&wanted[n], made.calls, (size_t)made.count * sizeof *wanted);
        n += made.count;
    }
    open_spool();
    got = read_all(a, calls, 2 * FRAMES_MAX + 1);
    must(got == n && spool_empty());
    for (int i = 0; i < n; i++)
        must(same(&calls[i], &wanted[i]));
    must(len == 0 || !is_there(FIRST)); /* an empty one is written on */
    if (is_damaged(before, after, len))
        must(is_there("damaged-" NAME "-1"));
    else if (memcmp(before->data, after, len) == 0)
        must(!is_there("damaged-" NAME "-1"));
    if (made.again)
        write_again(a);
    spool_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part rest = {(const char *)data, size};
    struct arena *a;

    if (size == 0 || size > INPUT_MAX)
        return 0;
    a = arena_create();
    if (*data == '=')
        read_foreign(a, (struct fuzz_part){rest.data + 1, size - 1});
    else
        read_own(a, rest);
    remove_files();
    arena_destroy(a);
    return 0;
}
