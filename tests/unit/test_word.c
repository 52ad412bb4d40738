#include "fcgi/lessons/generator/word.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/suites.h"

#define LESSON "6f9619ff-8b86-4011-b42d-00c04fc964ff"
#define OTHER "0f9619ff-8b86-4011-b42d-00c04fc964f0"

enum { WORD_SIZE = 64, CRASHED_AT = 40 };

static char path[32];

static void set_up(void)
{
    int fd;

    snprintf(path, sizeof path, "/tmp/test_word.XXXXXX");
    fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void tear_down(void)
{
    word_close();
    unlink(path);
}

static const char *open_word(void)
{
    const char *last;
    struct err e;

    ck_assert_msg(word_open(path, &last, &e), "%s", e.text);
    return last;
}

/* Whom a new process finds named. */
static const char *found(void)
{
    static char name[WORD_SIZE];

    snprintf(name, sizeof name, "%s", open_word());
    word_close();
    return name;
}

/* No core, and no report of a sanitizer: this crash is meant. */
static void crash_quietly(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
    const struct rlimit none = {0, 0};

    setrlimit(RLIMIT_CORE, &none);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        signal(crashes[i], SIG_DFL);
}

/* A process that lives so, with the word open, and then dies of the signal. */
static void die(void (*life)(void), int how)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        crash_quietly();
        open_word();
        life();
        if (how == SIGABRT)
            abort();
        raise(how);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), how);
}

static void wait_for_work(void)
{
    word_clear();
}

static void run_lesson(void)
{
    word_clear();
    word_enter(LESSON);
}

static void leave_lesson(void)
{
    run_lesson();
    word_leave(NULL);
}

static void run_one_after_the_other(void)
{
    leave_lesson();
    word_enter(OTHER);
}

static void run_nested(void)
{
    run_lesson();
    word_enter(OTHER);
}

static void return_from_nested(void)
{
    run_lesson();
    word_leave(word_enter(OTHER));
}

static void return_from_both(void)
{
    const char *before;

    word_clear();
    before = word_enter(LESSON);
    word_leave(word_enter(OTHER));
    word_leave(before);
}

static void enter_before_clear(void)
{
    word_enter(LESSON);
}

static void end_well(void)
{
    run_lesson();
    word_close();
}

static const struct {
    void (*life)(void);
    int how;
    const char *named;
} deaths[] = {
    {run_lesson, SIGABRT, LESSON},   {run_lesson, SIGSEGV, LESSON},
    {run_lesson, SIGBUS, LESSON},    {run_lesson, SIGILL, LESSON},
    {run_lesson, SIGFPE, LESSON},    {run_lesson, SIGKILL, ""}, /* from outside */
    {wait_for_work, SIGSEGV, ""},    {leave_lesson, SIGABRT, ""},
    {leave_lesson, SIGSEGV, ""},     {run_one_after_the_other, SIGSEGV, OTHER},
    {run_nested, SIGSEGV, OTHER},    {return_from_nested, SIGSEGV, LESSON},
    {return_from_both, SIGSEGV, ""}, {enter_before_clear, SIGSEGV, ""},
    {end_well, SIGKILL, ""},         {end_well, SIGSEGV, ""},
};

START_TEST(names_whose_code_crashed)
{
    die(deaths[_i].life, deaths[_i].how);
    ck_assert_str_eq(found(), deaths[_i].named);
}
END_TEST

START_TEST(names_nobody_at_first)
{
    ck_assert_str_eq(found(), "");
    unlink(path);
    ck_assert_str_eq(found(), "");
}
END_TEST

static void do_nothing(void)
{
}

START_TEST(tells_it_until_it_was_charged)
{
    die(run_lesson, SIGSEGV);
    ck_assert_str_eq(found(), LESSON);
    ck_assert_str_eq(found(), LESSON);
    die(do_nothing, SIGKILL); /* before it could charge */
    die(enter_before_clear, SIGSEGV);
    ck_assert_str_eq(open_word(), LESSON);
    word_clear();
    word_close();
    ck_assert_str_eq(found(), "");
}
END_TEST

START_TEST(a_crash_before_work_began_charges_nobody)
{
    die(run_lesson, SIGKILL);
    die(do_nothing, SIGSEGV);
    ck_assert_str_eq(found(), "");
}
END_TEST

static const struct {
    const char *name;
    char crashed;
    size_t len;
} damaged[] = {
    {"", '!', WORD_SIZE},
    {"not a lesson", '!', WORD_SIZE},
    {"6f9619ff-8b86-4011-b42d-00c04fc964f", '!', WORD_SIZE},
    {"6f9619ff-8b86-4011-b42d-00c04fc964fg", '!', WORD_SIZE},
    {"6f9619ff\n8b86-4011-b42d-00c04fc964ff", '!', WORD_SIZE},
    {LESSON, '?', WORD_SIZE},
    {LESSON, '\0', WORD_SIZE},
    {LESSON, '!', 0},
    {LESSON, '!', 1},
    {LESSON, '!', sizeof LESSON - 1},
    {LESSON, '!', CRASHED_AT},
};

START_TEST(a_damaged_file_names_nobody)
{
    char data[WORD_SIZE] = {0};
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    memcpy(data, damaged[_i].name, strlen(damaged[_i].name));
    data[CRASHED_AT] = damaged[_i].crashed;
    ck_assert_int_eq(write(fd, data, damaged[_i].len), (ssize_t)damaged[_i].len);
    close(fd);
    ck_assert_str_eq(found(), "");
    die(run_lesson, SIGSEGV); /* and can be used */
    ck_assert_str_eq(found(), LESSON);
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_an_error)
{
    const char *last;
    struct err e;

    ck_assert(!word_open("/nonexistent/word", &last, &e));
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert(!word_open("/dev/null", &last, &e)); /* nothing to share */
    ck_assert_int_eq(e.kind, ERR_INPUT);
}
END_TEST

START_TEST(tells_what_to_leave_to)
{
    ck_assert_ptr_null(word_enter(LESSON)); /* also while it is closed */
    ck_assert_str_eq(word_enter(OTHER), LESSON);
    word_leave(LESSON);
    ck_assert_str_eq(word_enter(OTHER), LESSON);
    word_leave(NULL);
    ck_assert_ptr_null(word_enter(LESSON));
    word_leave(NULL);
}
END_TEST

START_TEST(closing_leaves_signals_as_they_were)
{
    struct sigaction before, after;

    sigaction(SIGSEGV, NULL, &before);
    open_word();
    word_close();
    word_close(); /* twice does no harm */
    sigaction(SIGSEGV, NULL, &after);
    ck_assert(before.sa_handler == after.sa_handler);
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_word(void)
{
    Suite *s = suite_create("word");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, names_whose_code_crashed, deaths);
    tcase_add_test(t, names_nobody_at_first);
    tcase_add_test(t, tells_it_until_it_was_charged);
    tcase_add_test(t, a_crash_before_work_began_charges_nobody);
    EACH(t, a_damaged_file_names_nobody, damaged);
    tcase_add_test(t, a_file_that_cannot_be_opened_is_an_error);
    tcase_add_test(t, tells_what_to_leave_to);
    tcase_add_test(t, closing_leaves_signals_as_they_were);
    suite_add_tcase(s, t);
    return s;
}
