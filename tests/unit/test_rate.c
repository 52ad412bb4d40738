#include "fcgi/rate.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/suites.h"

#define SECOND 1000000ULL
#define NOON (1000 * SECOND) /* of a machine that is up for 1,000 s */

static char dir[] = "/tmp/rate-XXXXXX", path[sizeof dir + sizeof "/rates"];

static void set_up(void)
{
    memcpy(strstr(dir, "rate-") + 5, "XXXXXX", sizeof "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/rates", dir);
    rate_open(path);
}

static void tear_down(void)
{
    unlink(path);
    rmdir(dir);
}

static const struct rate ten = {"requests", 10, 1, 10};

/* How many of `tries` at one time are given. */
static int given(const struct rate *r, const char *user, uint64_t now_us, int tries)
{
    int n = 0;

    for (int i = 0; i < tries; i++)
        n += rate_take_at(r, user, now_us) == 0;
    return n;
}

START_TEST(gives_a_burst_and_then_at_its_pace)
{
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    ck_assert_int_eq(given(&ten, "ann", NOON + SECOND / 10 - 1, 50), 0);
    ck_assert_int_eq(given(&ten, "ann", NOON + SECOND / 10, 50), 1);
    ck_assert_int_eq(given(&ten, "ann", NOON + SECOND / 2, 50), 4);
    ck_assert_int_eq(given(&ten, "ann", NOON + 1000 * SECOND, 50), 10);
}
END_TEST

START_TEST(what_is_refused_costs_nothing)
{
    ck_assert_int_eq(given(&ten, "ann", NOON, 100000), 10);
    ck_assert_int_eq(given(&ten, "ann", NOON + SECOND, 50), 10);
}
END_TEST

START_TEST(tells_when_there_is_one)
{
    static const struct rate slow = {"posts", 2, 60, 2};

    ck_assert_int_eq(given(&slow, "ann", NOON, 2), 2);
    ck_assert_int_eq(rate_take_at(&slow, "ann", NOON), 30);
    ck_assert_int_eq(rate_take_at(&slow, "ann", NOON + SECOND / 2), 30);
    ck_assert_int_eq(rate_take_at(&slow, "ann", NOON + 29 * SECOND + 1), 1);
    ck_assert_int_eq(rate_take_at(&slow, "ann", NOON + 30 * SECOND), 0);
    ck_assert_int_eq(given(&ten, "ann", NOON, 10), 10);
    ck_assert_int_eq(rate_take_at(&ten, "ann", NOON), 1);
}
END_TEST

START_TEST(one_user_or_thing_takes_nothing_from_another)
{
    static const struct rate posts = {"posts", 10, 60, 10};

    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    ck_assert_int_eq(given(&ten, "bob", NOON, 50), 10);
    ck_assert_int_eq(given(&posts, "ann", NOON, 50), 10);
    ck_assert_int_eq(given(&ten, "", NOON, 50), 10);
}
END_TEST

START_TEST(thousands_have_buckets_of_their_own)
{
    enum { USERS = 4000 };
    char name[16];

    for (int round = 0; round < 11; round++)
        for (int i = 0; i < USERS; i++) {
            snprintf(name, sizeof name, "user%d", i);
            ck_assert_int_eq(rate_take_at(&ten, name, NOON), round == 10);
        }
    /* Of more than there is room for some are not counted; none is refused for another. */
    for (int i = 0; i < 20 * USERS; i++) {
        snprintf(name, sizeof name, "more%d", i);
        ck_assert_int_eq(rate_take_at(&ten, name, NOON), 0);
    }
    /* Who comes later finds room: the buckets of the others are full again. */
    ck_assert_int_eq(given(&ten, "late", NOON + 10 * SECOND, 50), 10);
}
END_TEST

START_TEST(no_limit_is_none)
{
    static const struct rate none = {"requests", 0, 1, 0};

    ck_assert_int_eq(given(&none, "ann", NOON, 1000), 1000);
}
END_TEST

START_TEST(a_clock_that_began_anew_locks_nobody_out)
{
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    ck_assert_int_eq(given(&ten, "ann", 5 * SECOND, 50), 10);
    ck_assert_int_eq(given(&ten, "ann", 5 * SECOND, 50), 0);
}
END_TEST

START_TEST(a_limit_that_was_lowered_locks_nobody_out)
{
    static const struct rate before = {"requests", 1, 1, 60}, now = {"requests", 10, 1, 10};

    ck_assert_int_eq(given(&before, "ann", NOON, 50), 50);
    ck_assert_int_eq(given(&now, "ann", NOON, 50), 10);
}
END_TEST

/* The exit status: how many were given. */
static pid_t taker(const struct rate *r)
{
    pid_t pid = fork();

    if (pid == 0) {
        rate_open(path); /* as a process that nobody forked here */
        _exit(given(r, "ann", NOON, 5000));
    }
    return pid;
}

START_TEST(processes_share_one_bucket)
{
    static const struct rate hundred = {"requests", 100, 60, 100};
    pid_t pids[4];
    int sum = 0, status;

    for (int i = 0; i < 4; i++)
        pids[i] = taker(&hundred);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert(WIFEXITED(status));
        sum += WEXITSTATUS(status);
    }
    ck_assert_int_eq(sum, 100);
    ck_assert_int_eq(given(&hundred, "ann", NOON, 50), 0);
}
END_TEST

START_TEST(the_file_is_beside_the_socket_and_private)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct stat st;

    unlink(path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", dir);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    rate_init(fd);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    close(fd);
    unlink(address.sun_path);
}
END_TEST

/* As for a service of systemd, which may not write beside its socket. */
START_TEST(the_file_is_in_the_runtime_directory_if_there_is_one)
{
    struct stat st;

    unlink(path);
    setenv("RUNTIME_DIRECTORY", dir, 1);
    rate_init(STDIN_FILENO);
    unsetenv("RUNTIME_DIRECTORY");
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    rate_open(path); /* as another process */
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 0);
}
END_TEST

START_TEST(counts_for_itself_where_there_is_no_file)
{
    int err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
    char elsewhere[sizeof path + 16];

    dup2(null, STDERR_FILENO); /* for what it logs */
    snprintf(elsewhere, sizeof elsewhere, "%s/none/rates", dir);
    rate_open(elsewhere);
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    rate_open(dir); /* no file */
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    unlink(path);
    ck_assert_int_eq(symlink("/dev/zero", path), 0);
    rate_open(path);
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    rate_open(NULL);
    ck_assert_int_eq(given(&ten, "ann", NOON, 50), 10);
    dup2(err, STDERR_FILENO);
    close(err);
    close(null);
}
END_TEST

Suite *suite_rate(void)
{
    Suite *s = suite_create("rate");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, gives_a_burst_and_then_at_its_pace);
    tcase_add_test(t, what_is_refused_costs_nothing);
    tcase_add_test(t, tells_when_there_is_one);
    tcase_add_test(t, one_user_or_thing_takes_nothing_from_another);
    tcase_add_test(t, thousands_have_buckets_of_their_own);
    tcase_add_test(t, no_limit_is_none);
    tcase_add_test(t, a_clock_that_began_anew_locks_nobody_out);
    tcase_add_test(t, a_limit_that_was_lowered_locks_nobody_out);
    tcase_add_test(t, processes_share_one_bucket);
    tcase_add_test(t, the_file_is_beside_the_socket_and_private);
    tcase_add_test(t, the_file_is_in_the_runtime_directory_if_there_is_one);
    tcase_add_test(t, counts_for_itself_where_there_is_no_file);
    suite_add_tcase(s, t);
    return s;
}
