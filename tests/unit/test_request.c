#include "fcgi/lessons/request.h"

#include <string.h>

#include "common/utf8.h"
#include "tests/unit/suites.h"

/* In parts: whoever scans this file for keys shall find none. */
#define KEY_SHAPED                                                                                 \
    "sk-"                                                                                          \
    "ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5"

static struct arena *a;

static void set_up(void)
{
    a = arena_create();
}

static void tear_down(void)
{
    arena_destroy(a);
}

static struct json_object *body_of(const char *json)
{
    struct json_object *body;
    struct err e;

    body = json_parse_client(a, json, strlen(json), &e);
    ck_assert_msg(json_is_object(body), "%s: %s", json, e.text);
    return body;
}

#define DEFAULTS                                                                                   \
    "{\"gradeLevel\":\"2\",\"sections\":4,\"learningStyle\":\"reading\","                          \
    "\"includeExamples\":true,\"includeExercises\":true"

/* Members beside the outline, and the options they make. */
#define PROVIDER_ERROR                                                                             \
    "provider: one of these expected: openai, anthropic, groq, gemini, huggingface, ollama, "      \
    "qwen, "                                                                                       \
    "sample"

static const struct {
    const char *members, *options;
} taken[] = {
    {"", DEFAULTS "}"},
    {",\"gradeLevel\":null,\"sections\":null,\"learningStyle\":null,\"includeExamples\":null,"
     "\"includeExercises\":null,\"provider\":null,\"model\":null",
     DEFAULTS "}"},
    {",\"gradeLevel\":\"2\",\"sections\":4,\"learningStyle\":\"reading\",\"includeExamples\":true,"
     "\"includeExercises\":true",
     DEFAULTS "}"},
    {",\"gradeLevel\":\"8\",\"sections\":8,\"learningStyle\":\"reading and visual\","
     "\"includeExamples\":false,\"includeExercises\":false,\"provider\":\"openai\",\"model\":\"m\"",
     "{\"gradeLevel\":\"8\",\"sections\":8,\"learningStyle\":\"reading and visual\","
     "\"includeExamples\":false,\"includeExercises\":false,\"provider\":\"openai\",\"model\":"
     "\"m\"}"},
    {",\"provider\":\"openai\"", DEFAULTS ",\"provider\":\"openai\"}"},
    {",\"provider\":\"anthropic\"", DEFAULTS ",\"provider\":\"anthropic\"}"},
    {",\"provider\":\"groq\"", DEFAULTS ",\"provider\":\"groq\"}"},
    {",\"provider\":\"gemini\"", DEFAULTS ",\"provider\":\"gemini\"}"},
    {",\"provider\":\"huggingface\"", DEFAULTS ",\"provider\":\"huggingface\"}"},
    {",\"provider\":\"ollama\"", DEFAULTS ",\"provider\":\"ollama\"}"},
    {",\"provider\":\"qwen\"", DEFAULTS ",\"provider\":\"qwen\"}"},
    {",\"provider\":\"sample\"", DEFAULTS ",\"provider\":\"sample\"}"},
    {",\"model\":\"a \\\"b\\\"\\n光\"", DEFAULTS ",\"model\":\"a \\\"b\\\"\\n光\"}"},
};

START_TEST(options_are_what_was_given_or_the_defaults)
{
    struct lesson_request r = {0};
    struct err e;

    ck_assert(request_read(
        a, body_of(arena_printf(a, "{\"outline\":\"Volcanoes\"%s}", taken[_i].members)), &r, &e));
    ck_assert_str_eq(r.options, taken[_i].options);
    ck_assert_str_eq(r.outline, "Volcanoes");
    ck_assert_str_eq(r.title, "Volcanoes");
}
END_TEST

START_TEST(takes_every_grade_and_number_of_sections)
{
    struct lesson_request r;
    struct err e;

    for (int n = -1; n <= 10; n++) {
        const char *grade = arena_printf(a, "{\"outline\":\"x\",\"gradeLevel\":\"%d\"}", n);
        const char *sections = arena_printf(a, "{\"outline\":\"x\",\"sections\":%d}", n);

        ck_assert_int_eq(request_read(a, body_of(grade), &r, &e), n >= 2 && n <= 8);
        ck_assert_int_eq(request_read(a, body_of(sections), &r, &e), n >= 4 && n <= 8);
    }
}
END_TEST

#define LONG_MODEL                                                                                 \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"  \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"  \
    "012345678901234567"

/* Whole bodies, and what is said of them. */
static const struct {
    const char *body, *error;
} refused[] = {
    {"{}", "outline: required"},
    {"{\"outline\":null}", "outline: required"},
    {"{\"outline\":1}", "outline: text expected"},
    {"{\"outline\":true}", "outline: text expected"},
    {"{\"outline\":[\"x\"]}", "outline: text expected"},
    {"{\"outline\":{}}", "outline: text expected"},
    {"{\"outline\":\"\"}", "outline: must not be blank"},
    {"{\"outline\":\" \\t\\r\\n\\u000b\\f\"}", "outline: must not be blank"},
    {"{\"outline\":\"\\u00a0\\u3000\\u2003\\ufeff\\u2028\"}", "outline: must not be blank"},
    {"{\"outline\":\"x\",\"model\":\"\\u3000\"}", "model: text of 1 to 200 bytes expected"},
    {"{\"outline\":\"x\",\"Outline\":\"x\"}", "Outline: unknown member"},
    {"{\"outline\":\"x\",\"\":1}", ": unknown member"},
    {"{\"outline\":\"x\",\"grade_level\":\"2\"}", "grade_level: unknown member"},
    {"{\"outline\":\"x\",\"gradeLevel\":\"1\"}",
     "gradeLevel: one of these expected: 2, 3, 4, 5, 6, 7, 8"},
    {"{\"outline\":\"x\",\"gradeLevel\":\"9\"}",
     "gradeLevel: one of these expected: 2, 3, 4, 5, 6, 7, 8"},
    {"{\"outline\":\"x\",\"gradeLevel\":\"\"}",
     "gradeLevel: one of these expected: 2, 3, 4, 5, 6, 7, 8"},
    {"{\"outline\":\"x\",\"gradeLevel\":\" 2\"}",
     "gradeLevel: one of these expected: 2, 3, 4, 5, 6, 7, 8"},
    {"{\"outline\":\"x\",\"gradeLevel\":2}",
     "gradeLevel: one of these expected: 2, 3, 4, 5, 6, 7, 8"},
    {"{\"outline\":\"x\",\"sections\":3}", "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"sections\":9}", "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"sections\":-4}", "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"sections\":4.5}", "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"sections\":\"4\"}", "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"sections\":true}", "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"sections\":99999999999999999999}",
     "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"sections\":18446744073709551620}",
     "sections: whole number from 4 to 8 expected"},
    {"{\"outline\":\"x\",\"learningStyle\":\"visual\"}",
     "learningStyle: one of these expected: reading, reading and visual"},
    {"{\"outline\":\"x\",\"learningStyle\":\"Reading\"}",
     "learningStyle: one of these expected: reading, reading and visual"},
    {"{\"outline\":\"x\",\"learningStyle\":[]}",
     "learningStyle: one of these expected: reading, reading and visual"},
    {"{\"outline\":\"x\",\"includeExamples\":\"true\"}", "includeExamples: true or false expected"},
    {"{\"outline\":\"x\",\"includeExamples\":1}", "includeExamples: true or false expected"},
    {"{\"outline\":\"x\",\"includeExercises\":0}", "includeExercises: true or false expected"},
    {"{\"outline\":\"x\",\"includeExercises\":\"\"}", "includeExercises: true or false expected"},
    {"{\"outline\":\"x\",\"provider\":\"OpenAI\"}", PROVIDER_ERROR},
    {"{\"outline\":\"x\",\"provider\":\"\"}", PROVIDER_ERROR},
    {"{\"outline\":\"x\",\"provider\":\"openai,groq\"}", PROVIDER_ERROR},
    {"{\"outline\":\"x\",\"provider\":7}", PROVIDER_ERROR},
    {"{\"outline\":\"x\",\"model\":\"\"}", "model: text of 1 to 200 bytes expected"},
    {"{\"outline\":\"x\",\"model\":\" \\t\"}", "model: text of 1 to 200 bytes expected"},
    {"{\"outline\":\"x\",\"model\":7}", "model: text of 1 to 200 bytes expected"},
    {"{\"outline\":\"x\",\"model\":\"" LONG_MODEL "0\"}", "model: text of 1 to 200 bytes expected"},
};

START_TEST(refuses_a_bad_member_by_name)
{
    struct lesson_request r;
    struct err e = {0};

    ck_assert_msg(!request_read(a, body_of(refused[_i].body), &r, &e), "%s", refused[_i].body);
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_str_eq(e.text, refused[_i].error);
}
END_TEST

START_TEST(a_model_may_have_200_bytes)
{
    struct lesson_request r;
    struct err e;

    ck_assert(request_read(a, body_of("{\"outline\":\"x\",\"model\":\"" LONG_MODEL "\"}"), &r, &e));
    ck_assert_ptr_nonnull(strstr(r.options, LONG_MODEL));
}
END_TEST

START_TEST(names_a_long_unknown_member_in_part)
{
    struct lesson_request r;
    struct buf *json = buf_create(a, 4096);
    struct err e;

    buf_puts(json, "{\"outline\":\"x\",\"");
    for (int i = 0; i < 1000; i++)
        buf_puts(json, "y");
    buf_puts(json, "\":1}");
    ck_assert(!request_read(a, body_of(buf_text(json)), &r, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "yyy: unknown member"));
}
END_TEST

/* NULL: as the outline. */
static const struct {
    const char *given, *outline, *title;
} outlines[] = {
    {"Volcanoes", "Volcanoes", NULL},
    {"  \\t\\nVolcanoes\\r\\n ", "Volcanoes", NULL},
    {"two\\nlines", "two\nlines", NULL},
    {"\\u3000\\u00a0水\\u3000の\\u3000", "水\xE3\x80\x80の", NULL},
    {"\\u200b", "\xE2\x80\x8B", NULL}, /* of no width, but no blank */
    {"12345678901234567890123456789012345678901234567890",
     "12345678901234567890123456789012345678901234567890", NULL},
    {"123456789012345678901234567890123456789012345678901",
     "123456789012345678901234567890123456789012345678901",
     "12345678901234567890123456789012345678901234567890…"},
    {"  12345678901234567890123456789012345678901234567890  ",
     "12345678901234567890123456789012345678901234567890", NULL},
    {"光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光"
     "光光光光",
     "光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光光"
     "光光光光",
     NULL},
    {"\\ud83d\\ude00", "😀", NULL},
    {"\\\"\\\\\\/%s", "\"\\/%s", NULL},
};

/* A key that begins at any place of the first 60 characters. */
START_TEST(a_secret_is_not_in_outline_or_title_in_part)
{
    static const char key[] = KEY_SHAPED;
    struct lesson_request r;
    struct err e;

    for (int before = 0; before < 60; before++) {
        const char *json = arena_printf(a, "{\"outline\":\"%*s%s\"}", before + 1, "x ", key);

        ck_assert(request_read(a, body_of(json), &r, &e));
        ck_assert_ptr_null(strstr(r.outline, "sk-"));
        ck_assert_ptr_null(strstr(r.title, "sk-"));
        ck_assert_ptr_null(strstr(r.title, "api"));
    }
}
END_TEST

START_TEST(outline_is_trimmed_and_the_title_its_beginning)
{
    const char *title = outlines[_i].title ? outlines[_i].title : outlines[_i].outline;
    struct lesson_request r;
    struct err e;

    ck_assert(request_read(a, body_of(arena_printf(a, "{\"outline\":\"%s\"}", outlines[_i].given)),
                           &r, &e));
    ck_assert_str_eq(r.outline, outlines[_i].outline);
    ck_assert_str_eq(r.title, title);
}
END_TEST

static const char *const characters[] = {"x", "é", "光", "😀"};

START_TEST(outline_may_have_20000_characters_whatever_their_bytes)
{
    struct buf *json = buf_create(a, 1 << 20);
    struct lesson_request r;
    struct err e;

    buf_puts(json, "{\"outline\":\"");
    for (int i = 0; i < REQUEST_OUTLINE_MAX; i++)
        buf_puts(json, characters[_i]);
    ck_assert(request_read(a, body_of(arena_printf(a, "%s\"}", buf_text(json))), &r, &e));
    ck_assert_uint_eq(utf8_count(r.outline, strlen(r.outline)), REQUEST_OUTLINE_MAX);
    ck_assert_uint_eq(utf8_count(r.title, strlen(r.title)), REQUEST_TITLE_MAX + 1);
    ck_assert(request_read(a, body_of(arena_printf(a, "%s  \"}", buf_text(json))), &r, &e));
    ck_assert(!request_read(a, body_of(arena_printf(a, "%s%s\"}", buf_text(json), characters[_i])),
                            &r, &e));
    ck_assert_str_eq(e.text, "outline: at most 20000 characters");
}
END_TEST

static const struct {
    const char *body, *provider, *model, *error;
} again[] = {
    {"{}", NULL, NULL, NULL},
    {"{\"provider\":null,\"model\":null}", NULL, NULL, NULL},
    {"{\"provider\":\"groq\"}", "groq", NULL, NULL},
    {"{\"model\":\"m\"}", NULL, "m", NULL},
    {"{\"provider\":\"groq\",\"model\":\"m\"}", "groq", "m", NULL},
    {"{\"outline\":\"x\"}", NULL, NULL, "outline: unknown member"},
    {"{\"provider\":\"none\"}", NULL, NULL, PROVIDER_ERROR},
    {"{\"provider\":1}", NULL, NULL, PROVIDER_ERROR},
    {"{\"model\":\"\"}", NULL, NULL, "model: text of 1 to 200 bytes expected"},
    {"{\"model\":[]}", NULL, NULL, "model: text of 1 to 200 bytes expected"},
};

START_TEST(regenerating_takes_provider_and_model_only)
{
    const char *provider = "unset", *model = "unset";
    struct err e = {0};
    bool ok = request_read_regenerate(body_of(again[_i].body), &provider, &model, &e);

    if (again[_i].error != NULL) {
        ck_assert(!ok);
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_str_eq(e.text, again[_i].error);
        return;
    }
    ck_assert(ok);
    ck_assert_pstr_eq(provider, again[_i].provider);
    ck_assert_pstr_eq(model, again[_i].model);
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_request(void)
{
    Suite *s = suite_create("request");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, options_are_what_was_given_or_the_defaults, taken);
    tcase_add_test(t, takes_every_grade_and_number_of_sections);
    EACH(t, refuses_a_bad_member_by_name, refused);
    tcase_add_test(t, a_model_may_have_200_bytes);
    tcase_add_test(t, names_a_long_unknown_member_in_part);
    tcase_add_test(t, a_secret_is_not_in_outline_or_title_in_part);
    EACH(t, outline_is_trimmed_and_the_title_its_beginning, outlines);
    EACH(t, outline_may_have_20000_characters_whatever_their_bytes, characters);
    EACH(t, regenerating_takes_provider_and_model_only, again);
    suite_add_tcase(s, t);
    return s;
}
