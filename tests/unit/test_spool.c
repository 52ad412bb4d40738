#include "fcgi/lessons/generator/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "tests/unit/suites.h"

enum {
    MIB = 1 << 20,
    ROOMY = 1000, /* MiB */
    PATIENCE_MS = 20000,
    FILE_MAX = 65536, /* of those that are damaged */
    TEXTS_MAX = 64,
    MARK_SIZE = 16,
    FILE_HEADER_SIZE = 28,
    FRAME_HEADER_SIZE = 28,
};

static char dir[32];
static struct arena *a;

/* ---- a disk that fails when told ---- */

/*
 * The linker leads these calls of the program here (--wrap). So a disk is full, or broken, for any
 * user, and without one; what the kernel itself does then is not tested.
 */
static struct {
    int write_error; /* of a pwrite() that reaches write_end */
    off_t write_end;
    int sync_error, truncate_error;
    unsigned long free_bytes; /* 0: as it is */
    int writes, syncs;        /* since the last sync; in all */
} disk;

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);
int __real_fstatvfs(int fd, struct statvfs *fs);
int __wrap_fstatvfs(int fd, struct statvfs *fs);

static int result(int error)
{
    errno = error;
    return error ? -1 : 0;
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    disk.writes++;
    if (disk.write_error == 0 || at + (off_t)len <= disk.write_end)
        return __real_pwrite(fd, data, len, at);
    if (at < disk.write_end)
        return __real_pwrite(fd, data, (size_t)(disk.write_end - at), at);
    return result(disk.write_error);
}

/* Not done: no test cuts the power, and thousands of them take minutes. */
int __wrap_fdatasync(int fd)
{
    (void)fd;
    disk.writes = 0;
    disk.syncs++;
    return result(disk.sync_error);
}

int __wrap_fsync(int fd)
{
    (void)fd;
    disk.syncs++;
    return 0;
}

int __wrap_ftruncate(int fd, off_t len)
{
    return disk.truncate_error ? result(disk.truncate_error) : __real_ftruncate(fd, len);
}

int __wrap_fstatvfs(int fd, struct statvfs *fs)
{
    int rc = __real_fstatvfs(fd, fs);

    if (disk.free_bytes > 0) {
        fs->f_frsize = 1;
        fs->f_bavail = disk.free_bytes;
    }
    return rc;
}

/* ---- what is logged, counted instead ---- */

static bool capturing;
static int damages, tears;

void __real_log_write(enum log_level level, const char *id, const char *event,
                      const struct log_field fields[]);
void __wrap_log_write(enum log_level level, const char *id, const char *event,
                      const struct log_field fields[]);

void __wrap_log_write(enum log_level level, const char *id, const char *event,
                      const struct log_field fields[])
{
    if (!capturing) {
        __real_log_write(level, id, event, fields);
        return;
    }
    damages += strcmp(event, "spool damaged") == 0;
    tears += strcmp(event, "spool torn") == 0;
}

/* ---- files ---- */

static const char *path_of(const char *file)
{
    static char path[sizeof dir + NAME_MAX + 2];

    snprintf(path, sizeof path, "%s/%s", dir, file);
    return path;
}

/* So many begin with this; the last of them. */
static int files(const char *begin, char last[NAME_MAX + 1])
{
    DIR *d = opendir(dir);
    int count = 0;

    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, begin, strlen(begin)) == 0) {
            count++;
            if (last != NULL)
                snprintf(last, NAME_MAX + 1, "%s", entry->d_name);
        }
    closedir(d);
    return count;
}

static void remove_files(void)
{
    char name[NAME_MAX + 1];

    while (files("", name) > 0)
        ck_assert_int_eq(unlink(path_of(name)), 0);
}

static void move(const char *from, const char *to)
{
    char old[sizeof dir + NAME_MAX + 2];

    snprintf(old, sizeof old, "%s", path_of(from));
    ck_assert_int_eq(rename(old, path_of(to)), 0);
}

static size_t load(const char *file, char data[FILE_MAX])
{
    int fd = open(path_of(file), O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, data, FILE_MAX);

    ck_assert_int_gt(len, 0);
    ck_assert_int_lt(len, FILE_MAX);
    close(fd);
    return (size_t)len;
}

static void save(const char *file, const char *data, size_t len)
{
    int fd = open(path_of(file), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
    close(fd);
}

/* ---- frames ---- */

static const struct db_statement one = {"one", "SELECT $1", 1}, five = {"five", "SELECT $5", 5};
static bool forgotten_statement;

static const struct db_statement *find(const char *name)
{
    if (forgotten_statement)
        return NULL;
    return strcmp(name, one.name) == 0 ? &one : strcmp(name, five.name) == 0 ? &five : NULL;
}

static struct db_call call_of(const char *text, size_t len)
{
    return (struct db_call){&one, {db_arg_bytes(text, len)}};
}

static size_t frame_size(const char *text)
{
    struct db_call call = call_of(text, strlen(text));

    return spool_frame_size(&call);
}

static void add(const char *text)
{
    struct db_call call = call_of(text, strlen(text));

    spool_add(&call);
}

static int told;
static bool told_stored;

static void tell(bool stored)
{
    told++;
    told_stored = stored;
}

static bool write_added(void)
{
    struct pollfd p = {.fd = spool_fd(), .events = POLLIN};

    told = 0;
    spool_write(tell);
    ck_assert(spool_writing());
    ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
    spool_advance();
    ck_assert(!spool_writing());
    ck_assert_int_eq(told, 1);
    return told_stored;
}

static bool put(const char *text)
{
    add(text);
    return write_added();
}

static void open_with(long max_mb, long reserve_mb)
{
    struct err e;

    ck_assert_msg(spool_open(dir, "unit", max_mb, reserve_mb, &e), "%s", e.text);
}

static void open_spool(void)
{
    open_with(ROOMY, 0);
}

static void reopen(void)
{
    spool_close();
    open_spool();
}

static int replayed;

/* All that is left, joined: "one,two,". */
static const char *replay(void)
{
    struct db_call calls[TEXTS_MAX];
    const char *all = "";
    int n;

    replayed = 0;
    while ((n = spool_read(a, find, calls, TEXTS_MAX)) > 0) {
        for (int i = 0; i < n; i++)
            all = arena_printf(a, "%s%.*s,", all, (int)calls[i].args[0].len, calls[i].args[0].data);
        spool_forget(n);
        replayed += n;
    }
    ck_assert(spool_empty());
    return all;
}

static void set_up(void)
{
    memset(&disk, 0, sizeof disk);
    damages = tears = 0;
    capturing = true;
    forgotten_statement = false;
    a = arena_create();
    snprintf(dir, sizeof dir, "/tmp/test_spool.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    open_spool();
}

static void tear_down(void)
{
    spool_close();
    remove_files();
    ck_assert_int_eq(rmdir(dir), 0);
    arena_destroy(a);
    capturing = false;
}

/* ---- writing and reading ---- */

START_TEST(a_new_spool_is_empty)
{
    struct db_call call;

    ck_assert(spool_empty());
    ck_assert(!spool_writing());
    ck_assert(spool_has_room());
    ck_assert_int_eq(spool_read(a, find, &call, 1), 0);
    spool_forget(1);
    ck_assert(spool_empty());
    spool_advance(); /* without need */
}
END_TEST

START_TEST(arguments_come_back_as_they_were)
{
    enum { LARGE = 4 * MIB };
    char *large = arena_alloc(a, LARGE);
    struct db_call call = {&five,
                           {db_arg(NULL), db_arg(""), db_arg("text"), db_arg_bytes("a\0b\xFF", 4),
                            db_arg_bytes(large, LARGE)}};
    struct db_call back[2];

    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i * 31 >> 3);
    spool_add(&call);
    spool_add(&call);
    ck_assert(write_added());
    for (int i = 0; i < 2; i++) { /* one at a time: they are large */
        ck_assert_int_eq(spool_read(a, find, back, 2), 1);
        ck_assert_ptr_eq(back[0].statement, &five);
        ck_assert_ptr_null(back[0].args[0].data);
        for (int k = 1; k < five.args; k++) {
            ck_assert_ptr_nonnull(back[0].args[k].data);
            ck_assert_uint_eq(back[0].args[k].len, call.args[k].len);
            ck_assert(memcmp(back[0].args[k].data, call.args[k].data, call.args[k].len) == 0);
        }
        spool_forget(1);
    }
    ck_assert(spool_empty());
}
END_TEST

START_TEST(is_on_disk_before_anyone_is_told)
{
    int before = disk.syncs;

    ck_assert(put("one"));
    ck_assert_int_eq(disk.writes, 0);
    ck_assert_int_eq(disk.syncs, before + 1);
}
END_TEST

START_TEST(reads_what_was_not_forgotten_again)
{
    struct db_call calls[TEXTS_MAX];

    add("one");
    add("two");
    ck_assert(put("three"));
    ck_assert_int_eq(spool_read(a, find, calls, 1), 1);
    ck_assert_int_eq(spool_read(a, find, calls, TEXTS_MAX), 3);
    spool_forget(2);
    spool_forget(1); /* of nothing that was read since */
    ck_assert(!spool_empty());
    ck_assert_int_eq(spool_read(a, find, calls, TEXTS_MAX), 1);
    spool_forget(2); /* more than that */
    ck_assert_str_eq(replay(), "three,");
}
END_TEST

START_TEST(begins_anew_from_an_empty_file_when_all_is_forgotten)
{
    char before[FILE_MAX], after[FILE_MAX];
    size_t len;

    ck_assert(put("one"));
    len = load("spool-unit-1", before);
    ck_assert_str_eq(replay(), "one,");
    ck_assert(put("two"));
    ck_assert_uint_eq(load("spool-unit-1", after), len);
    ck_assert(memcmp(before, after, len) != 0); /* nor would the old frame be taken for a new */
    ck_assert_str_eq(replay(), "two,");
    ck_assert_int_eq(files("", NULL), 1);
}
END_TEST

START_TEST(what_is_written_while_replaying_comes_last)
{
    struct db_call calls[TEXTS_MAX];
    struct pollfd p = {.fd = spool_fd(), .events = POLLIN};

    ck_assert(put("one"));
    ck_assert_int_eq(spool_read(a, find, calls, TEXTS_MAX), 1);
    add("two");
    spool_write(tell);
    spool_forget(1); /* all that is there; the file is still written to */
    ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
    spool_advance();
    ck_assert_str_eq(replay(), "two,");
}
END_TEST

START_TEST(survives_close_and_open)
{
    ck_assert(put("one"));
    reopen();
    ck_assert(!spool_empty());
    ck_assert(put("two"));
    reopen();
    ck_assert(put("three"));
    ck_assert_int_eq(files("spool-unit-", NULL), 3);
    ck_assert_str_eq(replay(), "one,two,three,");
    ck_assert_int_eq(files("", NULL), 1);
}
END_TEST

START_TEST(survives_a_killed_process)
{
    int status;
    pid_t child;

    spool_close();
    child = fork();
    if (child == 0) {
        open_spool();
        if (put("one") && put("two"))
            add("three"); /* and is killed before it is written */
        raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    open_spool();
    ck_assert_str_eq(replay(), "one,two,");
}
END_TEST

START_TEST(a_batch_that_is_being_written_is_written_before_closing)
{
    add("one");
    spool_write(tell);
    reopen();
    ck_assert(!spool_writing());
    ck_assert_str_eq(replay(), "one,");
}
END_TEST

START_TEST(knows_its_files_from_those_of_other_slots)
{
    static const char *const others[] = {"spool-unit-a-1", "spool-unit-2-7", "spool-unit-007",
                                         "spool-unit-", "spool-uni-5"};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        save(others[i], "other", 5);
    ck_assert(put("one"));
    reopen();
    ck_assert_str_eq(replay(), "one,");
    ck_assert_int_eq(files("", NULL), 1 + (int)(sizeof others / sizeof *others));
}
END_TEST

START_TEST(a_missing_file_between_others_is_passed)
{
    for (int i = 0; i < 4; i++) {
        ck_assert(put((const char *const[]){"one", "two", "three", "four"}[i]));
        reopen();
    }
    unlink(path_of("spool-unit-2"));
    ck_assert_str_eq(replay(), "one,three,four,");
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_an_error)
{
    struct err e;

    spool_close();
    ck_assert(!spool_open("/nonexistent", "unit", ROOMY, 0, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_ptr_nonnull(strstr(e.text, "STATE_DIR"));
}
END_TEST

/* ---- damage ---- */

static const char *const texts[] = {"one", "two", "three"};
enum { TEXT_COUNT = sizeof texts / sizeof *texts };

/* A file of three frames; where each ends. */
static size_t small_spool(char data[FILE_MAX], size_t ends[TEXT_COUNT])
{
    size_t len, at;

    for (int i = 0; i < TEXT_COUNT; i++)
        add(texts[i]);
    ck_assert(write_added());
    at = len = load("spool-unit-1", data);
    for (int i = TEXT_COUNT - 1; i >= 0; at -= frame_size(texts[i--]))
        ends[i] = at;
    return len;
}

/* What another process replays of this file. */
static const char *replay_of(const char *data, size_t len)
{
    spool_close();
    remove_files();
    save("spool-unit-1", data, len);
    damages = tears = 0;
    open_spool();
    return replay();
}

START_TEST(a_file_cut_anywhere_gives_the_frames_before)
{
    char data[FILE_MAX];
    size_t ends[TEXT_COUNT], len = small_spool(data, ends);

    for (size_t cut = 0; cut <= len; cut++) {
        const char *all = replay_of(data, cut);
        const char *expected = cut < ends[0]   ? ""
                               : cut < ends[1] ? "one,"
                               : cut < ends[2] ? "one,two,"
                                               : "one,two,three,";

        ck_assert_msg(strcmp(all, expected) == 0, "cut at %zu: %s", cut, all);
        ck_assert_int_eq(damages, 0); /* nobody was told that it is stored */
        ck_assert_int_eq(files("damaged-", NULL), 0);
        ck_assert(put("more"));
        ck_assert_str_eq(replay(), "more,");
    }
}
END_TEST

START_TEST(frames_behind_a_torn_one_are_read)
{
    char data[FILE_MAX];
    size_t ends[TEXT_COUNT], len = small_spool(data, ends);

    spool_close();
    /* As long as what is missing: its length would lead exactly to the frame behind. */
    save("spool-unit-1", data, len - frame_size("two"));
    open_spool();
    ck_assert(put("two"));
    ck_assert_str_eq(replay(), "one,two,two,");
    ck_assert_int_eq(tears, 1);
}
END_TEST

static const char *all_but(int lost)
{
    const char *all = "";

    for (int i = 0; i < TEXT_COUNT; i++)
        if (i != lost)
            all = arena_printf(a, "%s%s,", all, texts[i]);
    return all;
}

/* As it is defined, a bit at a time: RFC 3720, B.4. */
static uint32_t crc32c_of(const char *data, size_t len)
{
    uint32_t crc = 0xFFFFFFFFU;

    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82F63B78U : crc >> 1;
    }
    return ~crc;
}

static void sum_is(const char *stored, const char *data, size_t len)
{
    uint32_t sum;

    memcpy(&sum, stored, sizeof sum);
    ck_assert_uint_eq(sum, crc32c_of(data, len));
}

/* What another build wrote is read by this one: bodies of all lengths up to 64 and a long one. */
START_TEST(sums_are_crc_32c)
{
    static char text[20000], data[FILE_MAX];
    size_t len = _i < 64 ? (size_t)_i : sizeof text - 1 - (size_t)_i;
    const char *frame = data + FILE_HEADER_SIZE;
    uint32_t body;

    ck_assert_uint_eq(crc32c_of("123456789", 9), 0xE3069283U);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i * 7 % 26);
    text[len] = '\0';
    ck_assert(put(text));
    load("spool-unit-1", data);
    sum_is(data + FILE_HEADER_SIZE - 4, data, FILE_HEADER_SIZE - 4);
    sum_is(frame + FRAME_HEADER_SIZE - 4, frame, FRAME_HEADER_SIZE - 4);
    memcpy(&body, frame + MARK_SIZE, sizeof body);
    sum_is(frame + MARK_SIZE + 4, frame + FRAME_HEADER_SIZE, body);
}
END_TEST

START_TEST(a_flipped_bit_costs_only_its_frame)
{
    char data[FILE_MAX];
    size_t ends[TEXT_COUNT], len = small_spool(data, ends);

    for (size_t at = 0; at < len; at++) {
        int lost = at < FILE_HEADER_SIZE ? -1 : at < ends[0] ? 0 : at < ends[1] ? 1 : 2;
        char bit = (char)(1 << (at + (size_t)_i) % 8);
        const char *all;

        data[at] ^= bit;
        all = replay_of(data, len);
        data[at] ^= bit;
        ck_assert_msg(strcmp(all, all_but(lost)) == 0, "at %zu: %s", at, all);
        ck_assert_int_eq(damages, lost < 0 ? 0 : 1);
        ck_assert_int_eq(files("damaged-", NULL), lost < 0 ? 0 : 1);
    }
}
END_TEST

/* A length that would lead to another frame, if it were believed. */
START_TEST(a_wrong_length_costs_only_its_frame)
{
    char data[FILE_MAX];
    size_t ends[TEXT_COUNT], len = small_spool(data, ends);
    size_t begin = ends[0] - frame_size(texts[0]);
    uint32_t n;

    memcpy(&n, data + begin + MARK_SIZE, sizeof n);
    ck_assert_uint_eq(n, frame_size(texts[0]) - FRAME_HEADER_SIZE);
    n += (uint32_t)frame_size(texts[1]);
    memcpy(data + begin + MARK_SIZE, &n, sizeof n);
    ck_assert_str_eq(replay_of(data, len), "two,three,");
}
END_TEST

/* A whole file is in a text: a client that knew the format would send this. */
START_TEST(a_forged_frame_in_a_text_is_never_taken)
{
    char forged[FILE_MAX], data[FILE_MAX];
    size_t forged_len, begin, len;
    struct db_call call;

    ck_assert(put("forged"));
    forged_len = load("spool-unit-1", forged);
    begin = forged_len - frame_size("forged");
    ck_assert_str_eq(replay(), "forged,");

    call = call_of(forged, forged_len);
    spool_add(&call);
    call = call_of(forged + begin, forged_len - begin);
    spool_add(&call);
    ck_assert(put("last"));
    len = load("spool-unit-1", data);
    for (size_t at = 0; at < len - frame_size("last"); at++) {
        const char *all;

        data[at] ^= 1;
        all = replay_of(data, len);
        data[at] ^= 1;
        ck_assert_msg(strstr(all, "forged") == NULL, "executed, with damage at %zu", at);
        ck_assert_int_eq(replayed, at < FILE_HEADER_SIZE ? 3 : 2);
    }
}
END_TEST

START_TEST(a_file_without_any_mark_is_kept)
{
    char data[FILE_MAX], kept[FILE_MAX], name[NAME_MAX + 1];
    size_t ends[TEXT_COUNT], len = small_spool(data, ends);

    memset(data, 0, ends[0]);
    ck_assert_str_eq(replay_of(data, len), "");
    ck_assert_int_eq(damages, 1);
    ck_assert_int_eq(files("damaged-", name), 1);
    ck_assert_str_eq(name, "damaged-unit-1");
    ck_assert_uint_eq(load(name, kept), len);
    ck_assert(memcmp(data, kept, len) == 0);
    ck_assert(put("more"));
    ck_assert_str_eq(replay(), "more,");
}
END_TEST

START_TEST(damage_in_the_file_that_is_written_moves_on_to_a_new_one)
{
    int fd;

    ck_assert(put("one"));
    fd = open(path_of("spool-unit-1"), O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(__real_pwrite(fd, "?", 1, (off_t)frame_size("one")), 1);
    close(fd);
    ck_assert_str_eq(replay(), "");
    ck_assert_int_eq(damages, 1);
    ck_assert_int_eq(files("damaged-unit-1", NULL), 1);
    ck_assert(put("two"));
    ck_assert_int_eq(files("spool-unit-2", NULL), 1);
    ck_assert_str_eq(replay(), "two,");
}
END_TEST

START_TEST(a_frame_of_an_unknown_statement_is_kept)
{
    ck_assert(put("one"));
    forgotten_statement = true;
    ck_assert_str_eq(replay(), "");
    forgotten_statement = false;
    spool_close();
    move("damaged-unit-1", "spool-unit-1");
    open_spool();
    ck_assert_str_eq(replay(), "one,");
}
END_TEST

/* ---- limits and errors ---- */

START_TEST(has_room_up_to_its_maximum)
{
    char *text = arena_alloc(a, MIB);
    size_t room;

    spool_close();
    open_with(1, 0);
    memset(text, 'x', MIB - 1);
    room = spool_room();
    ck_assert_uint_lt(room, MIB);
    add("one");
    ck_assert_uint_eq(spool_room(), room - frame_size("one")); /* what was added counts */
    ck_assert(write_added());
    ck_assert_uint_eq(spool_room(), room - frame_size("one"));

    text[spool_room() - frame_size("")] = '\0';
    ck_assert_uint_eq(frame_size(text), spool_room());
    ck_assert(put(text));
    ck_assert_uint_eq(spool_room(), 0);
    ck_assert(!spool_has_room());
    reopen();
    spool_close();
    open_with(1, 0);
    ck_assert(!spool_has_room()); /* a new file is no new room */
    replay();
    ck_assert_uint_eq(spool_room(), room);
}
END_TEST

START_TEST(leaves_its_reserve_free)
{
    disk.free_bytes = 10 * MIB;
    ck_assert_uint_eq(spool_room(), 10 * MIB - FILE_HEADER_SIZE);
    spool_close();
    open_with(ROOMY, 9);
    ck_assert_uint_eq(spool_room(), MIB - FILE_HEADER_SIZE);
    disk.free_bytes = 9 * MIB;
    ck_assert_uint_eq(spool_room(), 0);
    ck_assert(!spool_has_room());
    disk.free_bytes = 1;
    ck_assert(!spool_has_room());
    disk.free_bytes = 10 * MIB;
    ck_assert(spool_has_room());
}
END_TEST

static const int full_errors[] = {ENOSPC, EDQUOT};

START_TEST(a_full_disk_leaves_the_file_as_it_was)
{
    char before[FILE_MAX], after[FILE_MAX];
    size_t len;

    ck_assert(put("one"));
    len = load("spool-unit-1", before);
    for (size_t taken = 0; taken < frame_size("two"); taken++) { /* of what it was given */
        disk.write_error = full_errors[_i];
        disk.write_end = (off_t)(len + taken);
        ck_assert(!put("two"));
        ck_assert_uint_eq(load("spool-unit-1", after), len);
        ck_assert(memcmp(before, after, len) == 0);
    }
    ck_assert_int_eq(files("", NULL), 1);
    disk.write_error = 0;
    ck_assert(put("three"));
    ck_assert_str_eq(replay(), "one,three,");
}
END_TEST

START_TEST(a_full_disk_leaves_an_empty_file_empty)
{
    disk.write_error = ENOSPC;
    disk.write_end = 5;
    ck_assert(!put("one"));
    ck_assert(spool_empty());
    disk.write_error = 0;
    ck_assert(put("two"));
    ck_assert_str_eq(replay(), "two,");
}
END_TEST

START_TEST(an_error_in_an_empty_file_needs_no_other)
{
    for (int i = 0; i < 3; i++) {
        disk.sync_error = EIO;
        ck_assert(!put("one"));
    }
    disk.sync_error = 0;
    ck_assert(put("two"));
    ck_assert_int_eq(files("", NULL), 1);
    reopen();
    ck_assert_str_eq(replay(), "two,");
}
END_TEST

static const struct {
    int write, sync, truncate;
} errors[] = {{EIO, 0, 0}, {EFBIG, 0, 0}, {0, EIO, 0}, {0, ENOSPC, EIO}, {ENOSPC, 0, EIO}};

START_TEST(another_error_moves_on_to_a_new_file)
{
    ck_assert(put("one"));
    disk.write_error = errors[_i].write;
    disk.sync_error = errors[_i].sync;
    disk.truncate_error = errors[_i].truncate;
    ck_assert(!put("lost"));
    disk.write_error = disk.sync_error = disk.truncate_error = 0;
    ck_assert(put("two"));
    ck_assert_int_eq(files("spool-unit-2", NULL), 1);
    ck_assert(put("three"));
    /* What was not acknowledged may have been written all the same. */
    ck_assert_str_eq(replay(), errors[_i].sync ? "one,lost,two,three," : "one,two,three,");
    ck_assert_int_eq(files("", NULL), 1);
}
END_TEST

START_TEST(order_is_kept_over_many_files)
{
    const char *expected = "";

    for (int i = 0; i < 12; i++) {
        const char *text = arena_printf(a, "%d", i);

        ck_assert(put(text));
        expected = arena_printf(a, "%s%s,", expected, text);
        disk.sync_error = disk.truncate_error = EIO;
        disk.write_error = EIO;
        disk.write_end = 0;
        ck_assert(!put("never"));
        memset(&disk, 0, sizeof disk);
    }
    ck_assert_int_eq(files("spool-unit-", NULL), 13);
    reopen();
    ck_assert_str_eq(replay(), expected);
    ck_assert_int_eq(files("", NULL), 1);
}
END_TEST

/* ---- dead letters ---- */

START_TEST(a_dead_letter_is_a_spool_that_can_be_replayed)
{
    struct db_call call = call_of("dead", 4), other = call_of("also dead", 9);
    int before = disk.syncs;

    ck_assert(spool_bury(&call));
    ck_assert(spool_bury(&other));
    ck_assert_int_eq(disk.writes, 0);
    ck_assert_int_eq(disk.syncs, before + 4); /* the file, and its name */
    ck_assert(spool_empty());
    reopen();
    spool_bury(&call); /* beside those that are there */
    ck_assert_int_eq(files("dead-unit-", NULL), 3);

    spool_close();
    move("dead-unit-2", "spool-unit-2");
    open_spool();
    ck_assert_str_eq(replay(), "also dead,");
}
END_TEST

START_TEST(a_dead_letter_that_finds_no_room_leaves_nothing)
{
    struct db_call call = call_of("dead", 4);

    disk.write_error = ENOSPC;
    disk.write_end = 10;
    ck_assert(!spool_bury(&call));
    ck_assert_int_eq(files("dead-", NULL), 0);
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_spool(void)
{
    Suite *s = suite_create("spool");
    TCase *t = tcase_create("all");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_new_spool_is_empty);
    tcase_add_test(t, arguments_come_back_as_they_were);
    tcase_add_test(t, is_on_disk_before_anyone_is_told);
    tcase_add_test(t, reads_what_was_not_forgotten_again);
    tcase_add_test(t, begins_anew_from_an_empty_file_when_all_is_forgotten);
    tcase_add_test(t, what_is_written_while_replaying_comes_last);
    tcase_add_test(t, survives_close_and_open);
    tcase_add_test(t, survives_a_killed_process);
    tcase_add_test(t, a_batch_that_is_being_written_is_written_before_closing);
    tcase_add_test(t, knows_its_files_from_those_of_other_slots);
    tcase_add_test(t, a_missing_file_between_others_is_passed);
    tcase_add_test(t, a_directory_that_is_not_there_is_an_error);
    tcase_add_test(t, a_file_cut_anywhere_gives_the_frames_before);
    tcase_add_test(t, frames_behind_a_torn_one_are_read);
    tcase_add_loop_test(t, sums_are_crc_32c, 0, 72);
    tcase_add_loop_test(t, a_flipped_bit_costs_only_its_frame, 0, 8);
    tcase_add_test(t, a_wrong_length_costs_only_its_frame);
    tcase_add_test(t, a_forged_frame_in_a_text_is_never_taken);
    tcase_add_test(t, a_file_without_any_mark_is_kept);
    tcase_add_test(t, damage_in_the_file_that_is_written_moves_on_to_a_new_one);
    tcase_add_test(t, a_frame_of_an_unknown_statement_is_kept);
    tcase_add_test(t, has_room_up_to_its_maximum);
    tcase_add_test(t, leaves_its_reserve_free);
    EACH(t, a_full_disk_leaves_the_file_as_it_was, full_errors);
    tcase_add_test(t, a_full_disk_leaves_an_empty_file_empty);
    tcase_add_test(t, an_error_in_an_empty_file_needs_no_other);
    EACH(t, another_error_moves_on_to_a_new_file, errors);
    tcase_add_test(t, order_is_kept_over_many_files);
    tcase_add_test(t, a_dead_letter_is_a_spool_that_can_be_replayed);
    tcase_add_test(t, a_dead_letter_that_finds_no_room_leaves_nothing);
    suite_add_tcase(s, t);
    return s;
}
