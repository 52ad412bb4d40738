#include "common/config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/redact.h"
#include "tests/unit/suites.h"

static const char *const used[] = {"DB_PREPARED",    "LEASE_SECONDS", "LOG_FORMAT",
                                   "OPENAI_API_KEY", "OPENAI_MODEL",  "TRACE_RETENTION_DAYS"};

static void unset_all(void)
{
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        unsetenv(used[i]);
}

/* config_init() with one setting, "" being unset. */
static bool init_with(enum config_program program, const char *name, const char *value,
                      struct err *e)
{
    static char *argv[] = {"test", NULL};
    static char variable[256];

    unset_all();
    snprintf(variable, sizeof variable, "%s=%s", name ? name : "", value ? value : "");
    if (name != NULL)
        putenv(variable);
    *e = (struct err){0};
    return config_init(program, "test", 1, argv, e);
}

START_TEST(gives_defaults_for_unset_and_empty)
{
    struct err e;

    ck_assert_msg(init_with(CONFIG_GENERATOR, NULL, NULL, &e), "%s", e.text);
    ck_assert_int_eq(config_int("LEASE_SECONDS"), 30);
    ck_assert_str_eq(config_text("LOG_FORMAT"), "logfmt");
    ck_assert(config_bool("DB_PREPARED"));
    ck_assert_ptr_null(config_text("OPENAI_MODEL"));
    ck_assert_int_eq(config_int("TRACE_RETENTION_DAYS"), 0);
    ck_assert(init_with(CONFIG_GENERATOR, "LEASE_SECONDS", "", &e));
    ck_assert_int_eq(config_int("LEASE_SECONDS"), 30);
    ck_assert(init_with(CONFIG_GENERATOR, "OPENAI_MODEL", "", &e));
    ck_assert_ptr_null(config_text("OPENAI_MODEL"));
}
END_TEST

START_TEST(checks_values)
{
    static const struct {
        const char *name, *value;
        bool good;
    } rows[] = {
        {"LEASE_SECONDS", "2", true},
        {"LEASE_SECONDS", "3600", true},
        {"LEASE_SECONDS", "1", false},
        {"LEASE_SECONDS", "3601", false},
        {"LEASE_SECONDS", "-30", false},
        {"LEASE_SECONDS", "30s", false},
        {"LEASE_SECONDS", "3.5", false},
        {"LEASE_SECONDS", "0x10", false},
        {"LEASE_SECONDS", "thirty", false},
        {"LEASE_SECONDS", "99999999999999999999", false},
        {"LEASE_SECONDS", " ", false},
        {"LOG_FORMAT", "logfmt", true},
        {"LOG_FORMAT", "json", true},
        {"LOG_FORMAT", "JSON", false},
        {"LOG_FORMAT", "jso", false},
        {"LOG_FORMAT", "jsonl", false},
        {"LOG_FORMAT", "logfmt json", false},
        {"LOG_FORMAT", ")", false},
        {"LOG_FORMAT", " ", false},
        {"DB_PREPARED", "on", true},
        {"DB_PREPARED", "false", true},
        {"DB_PREPARED", "1", true},
        {"DB_PREPARED", "yes", false},
        {"DB_PREPARED", "ON", false},
        {"OPENAI_API_KEY", "any text: \xC3\xA6", true},
        {"OPENAI_API_KEY", "key\n", false},
        {"OPENAI_API_KEY", "key\r\nX-Other: 1", false},
        {"OPENAI_API_KEY", "key\t", false},
    };
    struct err e;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(init_with(CONFIG_GENERATOR, rows[i].name, rows[i].value, &e) == rows[i].good,
                      "%s=%s", rows[i].name, rows[i].value);
        if (rows[i].good)
            continue;
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_msg(strncmp(e.text, rows[i].name, strlen(rows[i].name)) == 0, "%s", e.text);
        ck_assert_msg(strstr(e.text, "key") == NULL, "%s", e.text);
    }
}
END_TEST

START_TEST(reads_booleans)
{
    static const char *const on[] = {"on", "true", "1"}, *const off[] = {"off", "false", "0"};
    struct err e;

    for (size_t i = 0; i < 3; i++) {
        ck_assert(init_with(CONFIG_GENERATOR, "DB_PREPARED", on[i], &e));
        ck_assert(config_bool("DB_PREPARED"));
        ck_assert(init_with(CONFIG_GENERATOR, "DB_PREPARED", off[i], &e));
        ck_assert(!config_bool("DB_PREPARED"));
    }
}
END_TEST

START_TEST(ignores_what_the_program_does_not_read)
{
    struct err e;

    ck_assert(init_with(CONFIG_SAMPLE, "LEASE_SECONDS", "never", &e));
    ck_assert(!init_with(CONFIG_GENERATOR, "LEASE_SECONDS", "never", &e));
}
END_TEST

START_TEST(hands_secrets_to_redact)
{
    struct arena *a = arena_create();
    struct err e;
    size_t len;

    ck_assert(init_with(CONFIG_GENERATOR, "OPENAI_API_KEY", "a secret of many letters", &e));
    ck_assert_str_eq(redact(a, "<a secret of many letters>", 26, &len), "<[REDACTED]>");
    arena_destroy(a);
}
END_TEST

static void write_credential(const char *dir, const char *text, size_t len)
{
    char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/OPENAI_API_KEY", dir);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    fclose(f);
}

START_TEST(reads_secrets_from_files)
{
    static const struct {
        const char *text;
        size_t len;
        bool good;
        const char *value;
    } rows[] = {
        {"a key of a file", 15, true, "a key of a file"},
        {"a key of a line\n", 16, true, "a key of a line"},
        {"a key of DOS\r\n", 14, true, "a key of DOS"},
        {"\n", 1, true, NULL},
        {"", 0, true, NULL},
        {"no key\nof two lines", 19, false, NULL},
        {"NUL\0 byte", 9, false, NULL},
        {"\0", 1, false, NULL},
    };
    char dir[] = "/tmp/test_config.XXXXXX", path[128], big[5000];
    struct arena *a = arena_create();
    struct err e;
    size_t len;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    setenv("CREDENTIALS_DIRECTORY", dir, 1);
    ck_assert(init_with(CONFIG_GENERATOR, NULL, NULL, &e)); /* no file: unset */
    ck_assert_ptr_null(config_text("OPENAI_API_KEY"));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        write_credential(dir, rows[i].text, rows[i].len);
        ck_assert_msg(init_with(CONFIG_GENERATOR, NULL, NULL, &e) == rows[i].good, "%zu", i);
        if (rows[i].good)
            ck_assert_pstr_eq(config_text("OPENAI_API_KEY"), rows[i].value);
        else
            ck_assert(strncmp(e.text, "OPENAI_API_KEY: ", 16) == 0);
    }
    memset(big, 'x', sizeof big);
    write_credential(dir, big, sizeof big);
    ck_assert(!init_with(CONFIG_GENERATOR, NULL, NULL, &e));
    write_credential(dir, "a key of a file", 15);
    ck_assert(init_with(CONFIG_GENERATOR, NULL, NULL, &e));
    ck_assert_str_eq(redact(a, "<a key of a file>", 17, &len), "<[REDACTED]>");
    ck_assert(init_with(CONFIG_GENERATOR, "OPENAI_API_KEY", "of the environment", &e));
    ck_assert_str_eq(config_text("OPENAI_API_KEY"), "of the environment");
    snprintf(path, sizeof path, "%s/OPENAI_MODEL", dir); /* no secret: not asked for there */
    ck_assert_int_eq(symlink("OPENAI_API_KEY", path), 0);
    ck_assert(init_with(CONFIG_GENERATOR, NULL, NULL, &e));
    ck_assert_ptr_null(config_text("OPENAI_MODEL"));
    unlink(path);
    snprintf(path, sizeof path, "%s/OPENAI_API_KEY", dir);
    unlink(path);
    rmdir(dir);
    unsetenv("CREDENTIALS_DIRECTORY");
    ck_assert(init_with(CONFIG_GENERATOR, NULL, NULL, &e));
    arena_destroy(a);
}
END_TEST

START_TEST(leaves_no_core_file)
{
    struct rlimit limit;
    struct err e;

    ck_assert(init_with(CONFIG_GENERATOR, NULL, NULL, &e));
    ck_assert_int_eq(getrlimit(RLIMIT_CORE, &limit), 0);
    ck_assert_uint_eq(limit.rlim_cur, 0);
    ck_assert_uint_eq(limit.rlim_max, 0);
}
END_TEST

START_TEST(refuses_other_options)
{
    char *argv[] = {"test", "--verbose", NULL};
    struct err e = {0};

    ck_assert(!config_init(CONFIG_TRACES, "test", 2, argv, &e));
    ck_assert(strncmp(e.text, "--verbose: ", 11) == 0);
}
END_TEST

/* What a child prints for one option, or how it dies of asking for a setting that is not there. */
static char *output_of(enum config_program program, char *option, int *status)
{
    static char text[65536];
    int fds[2];
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        char *argv[] = {"test", option, NULL};
        struct err e;

        dup2(fds[1], STDOUT_FILENO);
        dup2(fds[1], STDERR_FILENO);
        if (option == NULL)
            config_text("NO_SUCH_SETTING");
        config_init(program, "test", 2, argv, &e);
        _exit(99);
    }
    close(fds[1]);
    while ((n = read(fds[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    close(fds[0]);
    waitpid(pid, status, 0);
    text[len] = '\0';
    return text;
}

/* The search by halves needs the order; the README shows it. */
START_TEST(lists_all_settings_alphabetically)
{
    char last[64] = "", name[64];
    int status, count = 0;
    char *text = output_of(CONFIG_TRACES, "--settings-markdown", &status);

    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    for (char *line; (line = strsep(&text, "\n")) != NULL;)
        if (sscanf(line, "| `%63[^`]` |", name) == 1) {
            ck_assert_msg(strcmp(last, name) < 0, "%s before %s", last, name);
            memcpy(last, name, sizeof last);
            config_text(name); /* it is found */
            count++;
        }
    ck_assert_int_gt(count, 50);
}
END_TEST

START_TEST(helps_with_the_settings_of_the_program)
{
    int status;
    const char *text = output_of(CONFIG_TRACES, "--help", &status);

    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert_ptr_nonnull(strstr(text, "  LOG_FORMAT "));
    ck_assert_ptr_null(strstr(text, "OPENAI_API_KEY"));
    putenv("OPENAI_API_KEY=a secret of many letters");
    text = output_of(CONFIG_GENERATOR, "--help", &status);
    ck_assert_ptr_nonnull(strstr(text, "  OPENAI_API_KEY "));
    ck_assert_ptr_null(strstr(text, "many letters"));
    text = output_of(CONFIG_GENERATOR, "--version", &status);
    ck_assert(strncmp(text, "test ", 5) == 0);
}
END_TEST

START_TEST(aborts_for_a_setting_that_is_not_in_the_table)
{
    int status;
    const char *text = output_of(CONFIG_TRACES, NULL, &status);

    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    ck_assert_ptr_nonnull(strstr(text, "NO_SUCH_SETTING"));
}
END_TEST

Suite *suite_config(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("all");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, unset_all, unset_all);
    tcase_add_test(t, gives_defaults_for_unset_and_empty);
    tcase_add_test(t, checks_values);
    tcase_add_test(t, reads_booleans);
    tcase_add_test(t, ignores_what_the_program_does_not_read);
    tcase_add_test(t, hands_secrets_to_redact);
    tcase_add_test(t, reads_secrets_from_files);
    tcase_add_test(t, leaves_no_core_file);
    tcase_add_test(t, refuses_other_options);
    tcase_add_test(t, lists_all_settings_alphabetically);
    tcase_add_test(t, helps_with_the_settings_of_the_program);
    tcase_add_test(t, aborts_for_a_setting_that_is_not_in_the_table);
    suite_add_tcase(s, t);
    return s;
}
