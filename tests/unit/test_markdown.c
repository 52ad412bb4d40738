#include "fcgi/lessons/generator/markdown.h"

#include <string.h>

#include "common/utf8.h"
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

/* NULL: there is none. */
static const struct {
    const char *text, *title;
} titles[] = {
    {"# Volcanoes", "Volcanoes"},
    {"# Volcanoes\n", "Volcanoes"},
    {"# Volcanoes\r\n\r\nText\r\n", "Volcanoes"},
    {"Sure! Here it is:\n\n# Volcanoes\n# Lava", "Volcanoes"},
    {"\n\n   # Volcanoes   \n", "Volcanoes"},
    {"#\tVolcanoes", "Volcanoes"},
    {"#    The   big bang", "The   big bang"},
    {"# Volcanoes #", "Volcanoes"},
    {"# Volcanoes ####  ", "Volcanoes"},
    {"# C#", "C#"},
    {"# Learn C# #", "Learn C#"},
    {"# F# and C##", "F# and C##"},
    {"# 1 # 2", "1 # 2"},
    {"# Über Wasser 光合作用 😀", "Über Wasser 光合作用 😀"},
    {"## Part\n# Volcanoes", "Volcanoes"},
    {"#\n# Volcanoes", "Volcanoes"},
    {"# #\n# Volcanoes", "Volcanoes"},
    {"###\n#  \n# Volcanoes", "Volcanoes"},
    {"", NULL},
    {"\n\n\n", NULL},
    {"Volcanoes", NULL},
    {"#Volcanoes", NULL},
    {"## Volcanoes", NULL},
    {"####### Volcanoes", NULL},
    {"\\# Volcanoes", NULL},
    {"#", NULL},
    {"# ", NULL},
    {"# ##", NULL},
    {"- # Volcanoes", NULL},
    {"> # Volcanoes", NULL},
    {"#\xC2\xA0Volcanoes", NULL}, /* a no-break space is none */
    /* code is no text */
    {"```\n# comment\n```\n# Volcanoes", "Volcanoes"},
    {"```python\n# comment\n```\n# Volcanoes", "Volcanoes"},
    {"~~~\n# comment\n~~~\n# Volcanoes", "Volcanoes"},
    {"  ```\r\n# comment\r\n  ```\r\n# Volcanoes\r\n", "Volcanoes"},
    {"```\n# comment", NULL},
    {"```\n# comment\n~~~\n# comment", NULL},
    {"~~~\n```\n# comment\n```\n# comment\n~~~\n# Volcanoes", "Volcanoes"},
    {"````\n```\n# comment\n```\n# comment\n````\n# Volcanoes", "Volcanoes"},
    {"```\n# comment\n````\n# Volcanoes", "Volcanoes"},
    {"```\n# comment\n``` no end\n# comment\n```\n# Volcanoes", "Volcanoes"},
    {"```inline``` code\n# Volcanoes", "Volcanoes"},
    {"``\n# Volcanoes", "Volcanoes"},
    {"    # comment\n# Volcanoes", "Volcanoes"},
    {"\t# comment\n# Volcanoes", "Volcanoes"},
};

START_TEST(title_is_the_first_level_1_heading_outside_code)
{
    const char *title = markdown_title(a, titles[_i].text);

    if (titles[_i].title == NULL)
        ck_assert_msg(title == NULL, "%s: %s", titles[_i].text, title);
    else
        ck_assert_pstr_eq(title, titles[_i].title);
}
END_TEST

START_TEST(a_long_title_is_cut_between_characters)
{
    struct buf *text = buf_create(a, 1 << 16);
    const char *title;

    buf_puts(text, "# ");
    for (int i = 0; i < 300; i++)
        buf_puts(text, i % 3 ? "光" : "x");
    title = markdown_title(a, buf_text(text));
    ck_assert(utf8_valid(title, strlen(title)));
    ck_assert_uint_eq(utf8_count(title, strlen(title)), 200);
    ck_assert_int_eq(strncmp(title, buf_text(text) + 2, strlen(title)), 0);
}
END_TEST

static const struct {
    const char *text;
    int sections;
} counted[] = {
    {"", 1},
    {"Text", 1},
    {"# Title", 1},
    {"# Title\n## One", 1},
    {"# Title\n## One\n## Two\n## Three", 3},
    {"# Title\r\n\r\n## One\r\n\r\n## Two\r\n", 2},
    {"## One\n### One a\n### One b\n## Two\n#### Two a", 2},
    {"# Title\n### One\n### Two\n#### Two a", 2},
    {"#### One\n#### Two", 1},
    {"##One\n##Two", 1},
    {"##\n## Two", 1},
    {"## One\n```\n## comment\n```\n## Two", 2},
    {"## One\n```\n## comment\n## comment", 1},
    {"## One\n~~~\n```\n## comment\n~~~\n## Two", 2},
    {"## C# ##\n## F#\n", 2},
    {"## One\n    ## comment\n## Two", 2},
    {"## One\n   ## Two", 2},
};

START_TEST(counts_level_2_headings_or_else_level_3)
{
    ck_assert_int_eq(markdown_sections(counted[_i].text), counted[_i].sections);
}
END_TEST

/* The items that follow "concept". */
static const struct {
    const char *text, *items;
} lists[] = {
    {"", "[]"},
    {"## Key Concepts", "[]"},
    {"## Key Concepts\n", "[]"},
    {"## Key Concepts\nnone", "[]"},
    {"## Key Concepts\n- Lava\n- Ash", "[\"Lava\",\"Ash\"]"},
    {"## Key Concepts\n\n- Lava\n- Ash\n\nText\n- more", "[\"Lava\",\"Ash\"]"},
    {"## KEY CONCEPTS\r\n\r\n- Lava\r\n- Ash\r\n", "[\"Lava\",\"Ash\"]"},
    {"**Key concepts**\n* Lava\n* Ash", "[\"Lava\",\"Ash\"]"},
    {"Key concepts:\n+ Lava\n+ Ash", "[\"Lava\",\"Ash\"]"},
    {"## Key Concepts\nThese matter:\n1. Lava\n2. Ash\n10. Rock", "[\"Lava\",\"Ash\",\"Rock\"]"},
    {"## Key Concepts\n1) Lava\n2) Ash", "[\"Lava\",\"Ash\"]"},
    {"## Key Concepts\n*   **Lava:** hot\n*   Ash", "[\"**Lava:** hot\",\"Ash\"]"},
    {"## Key Concepts\n-\tLava\n1.\tAsh", "[\"Lava\",\"Ash\"]"},
    {"## Key Concepts\n- Lava\n\n- Ash\n\n\n- Rock", "[\"Lava\",\"Ash\",\"Rock\"]"},
    {"## Key Concepts\n- Lava\n  - hot\n- Ash", "[\"Lava\",\"hot\",\"Ash\"]"},
    {"## Key Concepts\n- say \"lava\"\n- a\\b", "[\"say \\\"lava\\\"\",\"a\\\\b\"]"},
    {"## Key Concepts\n- Lava\n## Next\n- Ash", "[\"Lava\"]"},
    /* no items */
    {"## Key Concepts\n-Lava\n*Ash*\n**Rock** is hard\n1.5 litres\n---\n-\n1.", "[]"},
    {"## Key Concepts\n```\n- Lava\n```\n- Ash", "[\"Ash\"]"},
    {"```\n## Key Concepts\n- Lava\n```\n", "[]"},
    {"## Key Concepts\n```\n- Lava", "[]"},
    {"- a concept\n- another\n", "[]"},
    /* the word may come up before */
    {"We meet the concept of heat.\n## Goals\n- learn\n## Key Concepts\n- Lava", "[\"Lava\"]"},
    {"We meet the concept of heat. You will:\n- learn\n## Key Concepts\n- Lava", "[\"Lava\"]"},
    {"# Concepts of Geology\n## Goals\n- learn\n## Key Concepts\n- Lava", "[\"Lava\"]"},
    {"- a concept\n## Goals\n- learn\n## Key Concepts\n- Lava", "[\"Lava\"]"},
    {"## Key Concepts\n## Goals\n- learn", "[]"},
    {"## Key Concepts\n### Heat\n- Lava", "[]"},
    {"## Goals\nThe concept:\n- Lava\n", "[\"Lava\"]"},
};

static const char *list_of(const char *text, const char *word)
{
    struct json_out o = {buf_create(a, 1 << 16), false};

    markdown_put_list(&o, NULL, text, word);
    return buf_text(o.buf);
}

START_TEST(finds_the_list_behind_the_word)
{
    ck_assert_str_eq(list_of(lists[_i].text, "concept"), lists[_i].items);
}
END_TEST

START_TEST(takes_twenty_items_at_most)
{
    struct buf *text = buf_create(a, 1 << 16);
    struct json_object *list;
    struct err e;

    buf_puts(text, "## Concepts\n");
    for (int i = 1; i <= 30; i++)
        buf_printf(text, "%d. item %d\n", i, i);
    list = json_parse(a, list_of(buf_text(text), "concept"),
                      strlen(list_of(buf_text(text), "concept")), &e);
    ck_assert_uint_eq(json_length(list), 20);
    ck_assert_str_eq(json_text(json_item(list, 19)), "item 20");
}
END_TEST

START_TEST(writes_a_member_among_others)
{
    struct json_out o = {buf_create(a, 1 << 16), false};

    json_begin(&o, NULL, '{');
    json_put_int(&o, "before", 1);
    markdown_put_list(&o, "keyConcepts", "Concepts\n- Lava", "concept");
    markdown_put_list(&o, "prerequisites", "Concepts\n- Lava", "prerequisite");
    json_put_int(&o, "after", 2);
    json_end(&o, '}');
    ck_assert_str_eq(buf_text(o.buf),
                     "{\"before\":1,\"keyConcepts\":[\"Lava\"],\"prerequisites\":[],\"after\":2}");
}
END_TEST

/* Each beginning of a text that has everything, so that no end is run past. */
START_TEST(reads_any_cut_text)
{
    static const char text[] =
        "# Title #\r\n## Key Concepts ##\n\n- Lava\n1. Ash\n~~~\n```x`\n~~~~ "
        "\n\t* 光 \n## C#\n###\n-\n\\# \xC2\xA0\n";

    for (size_t n = 0; n < sizeof text; n++) {
        char *cut = arena_memdup(a, text, n);

        markdown_title(a, cut);
        ck_assert_int_ge(markdown_sections(cut), 1);
        list_of(cut, "concept");
        list_of(cut, "");
    }
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_markdown(void)
{
    Suite *s = suite_create("markdown");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, title_is_the_first_level_1_heading_outside_code, titles);
    tcase_add_test(t, a_long_title_is_cut_between_characters);
    EACH(t, counts_level_2_headings_or_else_level_3, counted);
    EACH(t, finds_the_list_behind_the_word, lists);
    tcase_add_test(t, takes_twenty_items_at_most);
    tcase_add_test(t, writes_a_member_among_others);
    tcase_add_test(t, reads_any_cut_text);
    suite_add_tcase(s, t);
    return s;
}
