#include "common/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit/suites.h"

static char order[8];
static size_t released;

static void note(void *handle)
{
    order[released++] = *(char *)handle;
}

START_TEST(releases_newest_first)
{
    static char names[] = "abc";
    struct arena *a = arena_create();

    memset(order, 0, sizeof order);
    released = 0;
    arena_defer(a, note, &names[0]);
    arena_defer(a, note, &names[1]);
    arena_alloc(a, 100000);
    arena_defer(a, note, &names[2]);
    ck_assert_uint_eq(released, 0);
    arena_destroy(a);
    ck_assert_str_eq(order, "cba");
}
END_TEST

START_TEST(destroys_nothing)
{
    arena_destroy(NULL);
    arena_destroy(arena_create());
}
END_TEST

START_TEST(gives_zeroed_aligned_memory_that_stays)
{
    static const size_t sizes[] = {0, 1, 7, 8, 16, 17, 4095, 4096, 4097, 100000, 1, 3};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    struct arena *a = arena_create();
    unsigned char *p[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        p[i] = arena_alloc(a, sizes[i]);
        ck_assert_uint_eq((uintptr_t)p[i] % alignof(max_align_t), 0);
        for (size_t n = 0; n < sizes[i]; n++)
            ck_assert_uint_eq(p[i][n], 0);
        memset(p[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t n = 0; n < sizes[i]; n++)
            ck_assert_uint_eq(p[i][n], i + 1);
    arena_destroy(a);
}
END_TEST

START_TEST(copies_texts_and_bytes)
{
    struct arena *a = arena_create();
    char text[] = "text";
    const char *copy = arena_strdup(a, text);

    text[0] = 'x';
    ck_assert_str_eq(copy, "text");
    ck_assert_str_eq(arena_strdup(a, ""), "");
    ck_assert_mem_eq(arena_memdup(a, "a\0b", 3), "a\0b", 4);
    ck_assert_str_eq(arena_memdup(a, "abc", 0), "");
    arena_destroy(a);
}
END_TEST

START_TEST(prints_texts_of_any_length)
{
    struct arena *a = arena_create();
    const char *s = arena_printf(a, "%s-%d%c", "x", 7, '!');

    ck_assert_str_eq(s, "x-7!");
    ck_assert_str_eq(arena_printf(a, "%s", ""), "");
    s = arena_printf(a, "%20000d.", 1);
    ck_assert_uint_eq(strlen(s), 20001);
    ck_assert_str_eq(s + 19999, "1.");
    arena_destroy(a);
}
END_TEST

Suite *suite_arena(void)
{
    Suite *s = suite_create("arena");
    TCase *t = tcase_create("all");

    tcase_add_test(t, releases_newest_first);
    tcase_add_test(t, destroys_nothing);
    tcase_add_test(t, gives_zeroed_aligned_memory_that_stays);
    tcase_add_test(t, copies_texts_and_bytes);
    tcase_add_test(t, prints_texts_of_any_length);
    suite_add_tcase(s, t);
    return s;
}
