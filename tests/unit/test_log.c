#include "common/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/json.h"
#include "common/redact.h"
#include "common/utf8.h"
#include "tests/unit/suites.h"

#define SECRET "s3cret-of-the-log-suite"

/* In parts: whoever scans this file for keys shall find none. */
#define KEY_SHAPED                                                                                 \
    "sk-"                                                                                          \
    "ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5"

static struct arena *a;
static int captured, real_stderr;

static void set_up(void)
{
    a = arena_create();
    unsetenv("LOG_LEVEL");
    unsetenv("LOG_FORMAT");
    log_init("unit");
    redact_secret(SECRET);
    captured = memfd_create("log", MFD_CLOEXEC);
    real_stderr = dup(STDERR_FILENO);
    dup2(captured, STDERR_FILENO);
}

static void tear_down(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(captured);
    unsetenv("LOG_LEVEL");
    unsetenv("LOG_FORMAT");
    log_init("unit");
    arena_destroy(a);
}

static void use(const char *format, const char *level)
{
    setenv("LOG_FORMAT", format, 1);
    setenv("LOG_LEVEL", level, 1);
    log_init("unit");
}

/* What was logged since the last time. */
static const char *logged(void)
{
    size_t len = (size_t)lseek(captured, 0, SEEK_CUR);
    char *text = arena_alloc(a, len + 1);

    ck_assert_int_eq(pread(captured, text, len, 0), (ssize_t)len);
    ck_assert_uint_eq(strlen(text), len); /* no NULs */
    lseek(captured, 0, SEEK_SET);
    return text;
}

/* The one line that was logged, without its end. */
static const char *line(void)
{
    char *text = arena_strdup(a, logged());
    size_t len = strlen(text);

    ck_assert_uint_gt(len, 0);
    ck_assert_msg(strchr(text, '\n') == text + len - 1, "not one line: %s", text);
    ck_assert(utf8_valid(text, len));
    text[len - 1] = '\0';
    return text;
}

static struct json_object *json_line(void)
{
    const char *text = line();
    struct json_object *tree;
    struct err e;

    tree = json_parse_client(a, text, strlen(text), &e);
    ck_assert_msg(json_is_object(tree), "%s: %s", text, e.text);
    return tree;
}

START_TEST(a_line_says_when_what_who_and_in_which_request)
{
    const char *text, *rest;

    log_warn("4f3a", "call failed", LOG_TEXT("provider", "openai"), LOG_INT("status", 429));
    text = line();
    ck_assert_int_eq(strncmp(text, "ts=20", 5), 0);
    rest = strchr(text, ' ');
    ck_assert_int_eq(rest - text, (long)strlen("ts=2026-11-23T18:15:43.123Z"));
    ck_assert_str_eq(rest,
                     arena_printf(a,
                                  " level=warn id=4f3a program=unit pid=%ld event=\"call failed\""
                                  " provider=openai status=429",
                                  (long)getpid()));
}
END_TEST

/* A text and how it stands in a line of logfmt. */
static const struct {
    const char *text, *shown;
} shown[] = {
    {"plain", "plain"},
    {"/api/traces?limit", "/api/traces?limit"},
    {"光合作用", "光合作用"},
    {"", "\"\""},
    {"two words", "\"two words\""},
    {"a=b", "\"a=b\""},
    {"\"quoted\"", "\"\\\"quoted\\\"\""},
    {"back\\slash", "\"back\\\\slash\""},
    {"two\nlines", "\"two\\nlines\""},
    {"two\r\nlines", "\"two\\r\\nlines\""},
    {"x\nlevel=error event=forged", "\"x\\nlevel=error event=forged\""},
    {"\tx", "\"\\tx\""},
    {"\x1b[31mred", "\"\\u001b[31mred\""},
    {"\x01\x02\x1f", "\"\\u0001\\u0002\\u001f\""},
    {"\x7f", "\"\\u007f\""},
    {"\xC2\x9B"
     "31mred", /* the same as ESC [ to some terminals */
     "\xEF\xBF\xBD"
     "31mred"},
    {"\xC2\x80\xC2\x9F\xC2\xA0", "\xEF\xBF\xBD\xEF\xBF\xBD\xC2\xA0"},
    {"\xFF\xC3", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {SECRET, "[REDACTED]"},
    {"key=" SECRET "!", "\"key=[REDACTED]!\""},
    {KEY_SHAPED, "[REDACTED:anthropic]"},
};

START_TEST(control_characters_quotes_and_secrets_do_no_harm)
{
    const char *text;

    log_info("-", "event", LOG_TEXT("field", shown[_i].text), LOG_INT("end", 1));
    text = strstr(line(), " field=");
    ck_assert_ptr_nonnull(text);
    ck_assert_str_eq(text, arena_printf(a, " field=%s end=1", shown[_i].shown));
}
END_TEST

START_TEST(ids_are_cleaned_too)
{
    const char *text;

    log_info(shown[_i].text, "event");
    text = line();
    if (*shown[_i].text == '\0')
        ck_assert_ptr_nonnull(strstr(text, " id=- "));
    else
        ck_assert_ptr_nonnull(strstr(text, arena_printf(a, " id=%s ", shown[_i].shown)));
}
END_TEST

START_TEST(without_an_id_there_is_a_dash)
{
    log_info(NULL, "event");
    ck_assert_ptr_nonnull(strstr(line(), " id=- "));
}
END_TEST

START_TEST(a_line_of_json_parses_and_holds_the_text)
{
    struct json_object *tree;
    const char *field;

    use("json", "info");
    log_info("4f3a", "event", LOG_TEXT("field", shown[_i].text), LOG_INT("end", -1));
    tree = json_line();
    field = json_text(json_at(tree, "field", NULL));
    ck_assert_pstr_eq(json_text(json_at(tree, "id", NULL)), "4f3a");
    if (*shown[_i].shown != '"') /* else the same text, escaped otherwise */
        ck_assert_pstr_eq(field, shown[_i].shown);
    else if (strstr(shown[_i].text, SECRET) == NULL)
        ck_assert_pstr_eq(field, shown[_i].text);
    ck_assert_ptr_null(strstr(field, SECRET));
}
END_TEST

START_TEST(a_line_of_json_has_the_members_of_a_line)
{
    static const char *const names[] = {"ts",    "level",    "id",     "program", "pid",
                                        "event", "provider", "status", NULL};
    struct json_object *tree;
    int64_t number;

    use("json", "info");
    log_error("4f3a", "call failed", LOG_TEXT("provider", "openai"), LOG_INT("status", 429));
    tree = json_line();
    ck_assert_ptr_null(json_unknown_member(tree, names));
    ck_assert_pstr_eq(json_text(json_at(tree, "level", NULL)), "error");
    ck_assert_pstr_eq(json_text(json_at(tree, "event", NULL)), "call failed");
    ck_assert_pstr_eq(json_text(json_at(tree, "program", NULL)), "unit");
    ck_assert_pstr_eq(json_text(json_at(tree, "provider", NULL)), "openai");
    ck_assert(json_int(json_at(tree, "status", NULL), &number)); /* numbers are numbers */
    ck_assert_int_eq(number, 429);
    ck_assert(json_int(json_at(tree, "pid", NULL), &number));
    ck_assert_int_eq(number, getpid());
}
END_TEST

static const char *const formats[] = {"logfmt", "json"};

START_TEST(long_texts_are_cut_and_the_line_keeps_its_end)
{
    char text[20000];

    use(formats[_i], "info");
    memset(text, '\x01', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_info(text, "event", LOG_TEXT("a", text), LOG_TEXT("b", text), LOG_TEXT("c", text),
             LOG_TEXT("d", text), LOG_TEXT("e", text), LOG_TEXT("f", text), LOG_TEXT("g", text),
             LOG_TEXT("h", text), LOG_INT("end", 1));
    ck_assert_ptr_nonnull(strstr(line(), "end"));
}
END_TEST

START_TEST(texts_are_cut_to_a_kibibyte_between_characters)
{
    struct buf *text = buf_create(a, 1 << 16);
    const char *field;

    for (int i = 0; i < 1000; i++)
        buf_puts(text, "光");
    log_info("-", "event", LOG_TEXT("field", buf_text(text)));
    field = strstr(line(), " field=") + strlen(" field=");
    ck_assert_uint_le(strlen(field), 1024 + 2);
    ck_assert_uint_ge(strlen(field), 1020);
    ck_assert_int_eq(strncmp(field, buf_text(text), 1020), 0);
}
END_TEST

START_TEST(a_secret_at_the_cut_is_not_shown_in_part)
{
    for (int before = 990; before < 1030; before++) {
        struct buf *text = buf_create(a, 1 << 16);

        for (int i = 0; i < before; i++)
            buf_puts(text, "x");
        buf_puts(text, SECRET);
        log_info("-", "event", LOG_TEXT("field", buf_text(text)));
        ck_assert_ptr_null(strstr(line(), "s3cret"));
    }
}
END_TEST

static const struct {
    const char *level;
    int lines; /* of one of each level */
} levels[] = {{"debug", 4}, {"info", 3}, {"warn", 2}, {"error", 1}};

START_TEST(says_what_is_at_least_of_the_level)
{
    int lines = 0;

    use("logfmt", levels[_i].level);
    log_debug("-", "event");
    log_info("-", "event");
    log_warn("-", "event");
    log_error("-", "event");
    for (const char *p = logged(); (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    ck_assert_int_eq(lines, levels[_i].lines);
}
END_TEST

static const struct {
    long long number;
    const char *text;
} numbers[] = {{0, " n=0"}, {-1, " n=-1"}, {9223372036854775807, " n=9223372036854775807"}};

START_TEST(numbers_are_whole)
{
    log_info("-", "event", LOG_INT("n", numbers[_i].number));
    ck_assert_pstr_eq(strstr(line(), " n="), numbers[_i].text);
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_log(void)
{
    Suite *s = suite_create("log");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_line_says_when_what_who_and_in_which_request);
    EACH(t, control_characters_quotes_and_secrets_do_no_harm, shown);
    EACH(t, ids_are_cleaned_too, shown);
    tcase_add_test(t, without_an_id_there_is_a_dash);
    EACH(t, a_line_of_json_parses_and_holds_the_text, shown);
    tcase_add_test(t, a_line_of_json_has_the_members_of_a_line);
    EACH(t, long_texts_are_cut_and_the_line_keeps_its_end, formats);
    tcase_add_test(t, texts_are_cut_to_a_kibibyte_between_characters);
    tcase_add_test(t, a_secret_at_the_cut_is_not_shown_in_part);
    EACH(t, says_what_is_at_least_of_the_level, levels);
    EACH(t, numbers_are_whole, numbers);
    suite_add_tcase(s, t);
    return s;
}
