#include "fcgi/lessons/generator/prompt.h"

#include <string.h>

#include "tests/unit/suites.h"

static struct arena *a;

static void set_up(void)
{
    a = arena_create();
}

static void tear_down(void)
{
    arena_destroy(a);
}

static struct prompt_options read_options(const char *json)
{
    struct prompt_options o;
    struct err e;

    prompt_read_options(json ? json_parse(a, json, strlen(json), &e) : NULL, &o);
    return o;
}

static const char *user_prompt(const char *outline, const char *options)
{
    struct prompt_options o = read_options(options);
    struct llm_prompt p;

    prompt_build(a, outline, &o, &p);
    return p.user;
}

static int count(const char *text, const char *part)
{
    int n = 0;

    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

static const struct {
    const char *json, *grade, *style;
    int sections;
    bool examples, exercises;
} options[] = {
    {NULL, "2", "reading", 4, true, true},
    {"{}", "2", "reading", 4, true, true},
    {"[]", "2", "reading", 4, true, true},
    {"{\"gradeLevel\":\"8\"}", "8", "reading", 4, true, true},
    {"{\"learningStyle\":\"reading and visual\"}", "2", "reading and visual", 4, true, true},
    {"{\"sections\":8}", "2", "reading", 8, true, true},
    {"{\"includeExamples\":false}", "2", "reading", 4, false, true},
    {"{\"includeExercises\":false}", "2", "reading", 4, true, false},
    {"{\"gradeLevel\":\"5\",\"sections\":6,\"learningStyle\":\"reading\",\"includeExamples\":false,"
     "\"includeExercises\":false,\"provider\":\"openai\",\"model\":\"x\"}",
     "5", "reading", 6, false, false},
    {"{\"gradeLevel\":null,\"sections\":null,\"learningStyle\":null,\"includeExamples\":null}", "2",
     "reading", 4, true, true},
    {"{\"gradeLevel\":3,\"sections\":\"5\",\"includeExamples\":\"no\"}", "2", "reading", 4, true,
     true},
};

START_TEST(absent_options_have_the_defaults_of_the_api)
{
    struct prompt_options o = read_options(options[_i].json);

    ck_assert_str_eq(o.grade_level, options[_i].grade);
    ck_assert_str_eq(o.learning_style, options[_i].style);
    ck_assert_int_eq(o.sections, options[_i].sections);
    ck_assert_int_eq(o.examples, options[_i].examples);
    ck_assert_int_eq(o.exercises, options[_i].exercises);
}
END_TEST

static const struct {
    const char *options, *line;
} lines[] = {
    {"{}", "- Grade level: 2\n"},
    {"{}", "- Sections: at least 4\n"},
    {"{}", "- Learning style: reading\n"},
    {"{}", "- Include examples: yes\n"},
    {"{}", "- Include exercises: yes\n"},
    {"{\"gradeLevel\":\"7\"}", "- Grade level: 7\n"},
    {"{\"sections\":5}", "- Sections: at least 5\n"},
    {"{\"learningStyle\":\"reading and visual\"}", "- Learning style: reading and visual\n"},
    {"{\"includeExamples\":false}", "- Include examples: no\n"},
    {"{\"includeExercises\":false}", "- Include exercises: no\n"},
};

START_TEST(each_option_is_a_line_of_the_prompt)
{
    ck_assert_int_eq(count(user_prompt("Volcanoes", lines[_i].options), lines[_i].line), 1);
}
END_TEST

static const char *const outlines[] = {
    "Volcanoes",  "a \"quoted\" word", "100 % of %s and %n", "two\nlines\r\n\ttabbed",
    "光合作用 😀", "\\ and / and \x7f",
};

START_TEST(the_outline_is_in_it_word_for_word)
{
    const char *quoted = arena_printf(a, "Outline: \"%s\"\n", outlines[_i]);

    ck_assert_int_eq(count(user_prompt(outlines[_i], "{}"), quoted), 1);
}
END_TEST

START_TEST(the_longest_outline_fits)
{
    struct buf *outline = buf_create(a, 1 << 17);
    const char *user;

    for (int i = 0; i < 20000; i++)
        buf_puts(outline, "😀");
    user = user_prompt(buf_text(outline), "{\"learningStyle\":\"reading and visual\"}");
    ck_assert_ptr_nonnull(strstr(user, buf_text(outline)));
    ck_assert_str_eq(user + strlen(user) - strlen("Use Markdown."), "Use Markdown.");
}
END_TEST

START_TEST(only_the_visual_style_asks_for_three_pictures)
{
    const char *visual = user_prompt("Volcanoes", "{\"learningStyle\":\"reading and visual\"}");

    ck_assert_int_eq(count(visual, "\n**Visual aid:** "), 3);
    ck_assert_int_eq(count(visual, "exactly three"), 1);
    ck_assert_int_eq(count(user_prompt("Volcanoes", "{}"), "isual"), 0);
}
END_TEST

START_TEST(asks_for_what_is_read_from_the_answer)
{
    const char *user = user_prompt("Volcanoes", "{}");

    ck_assert_ptr_nonnull(strstr(user, "only level-1 heading"));
    ck_assert_ptr_nonnull(strstr(user, "\"Generated\""));
    ck_assert_ptr_nonnull(strstr(user, "level-2 sections"));
    ck_assert_ptr_nonnull(strstr(user, "\"Key Concepts\" with a list"));
    ck_assert_ptr_nonnull(strstr(user, "\"Prerequisites\" with a list"));
    for (int i = 1; i <= 6; i++)
        ck_assert_int_eq(count(user, arena_printf(a, "\n%d. ", i)), 1);
}
END_TEST

START_TEST(the_same_request_has_the_same_words)
{
    struct prompt_options o = read_options("{}");
    struct llm_prompt first, second;

    prompt_build(a, "Volcanoes", &o, &first);
    prompt_build(a, "Volcanoes", &o, &second);
    ck_assert_str_eq(first.user, second.user);
    ck_assert_str_eq(first.system, second.system);
    ck_assert_uint_gt(strlen(first.system), 100);
    ck_assert_ptr_null(strstr(first.system, "Volcanoes"));
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_prompt(void)
{
    Suite *s = suite_create("prompt");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, absent_options_have_the_defaults_of_the_api, options);
    EACH(t, each_option_is_a_line_of_the_prompt, lines);
    EACH(t, the_outline_is_in_it_word_for_word, outlines);
    tcase_add_test(t, the_longest_outline_fits);
    tcase_add_test(t, only_the_visual_style_asks_for_three_pictures);
    tcase_add_test(t, asks_for_what_is_read_from_the_answer);
    tcase_add_test(t, the_same_request_has_the_same_words);
    suite_add_tcase(s, t);
    return s;
}
