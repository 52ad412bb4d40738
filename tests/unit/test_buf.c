#include "common/buf.h"

#include <string.h>

#include "tests/unit/suites.h"

START_TEST(is_an_empty_text_at_first)
{
    struct buf b;

    buf_init(&b, 10);
    ck_assert_str_eq(buf_text(&b), "");
    ck_assert_uint_eq(b.len, 0);
    ck_assert(!b.full);
    ck_assert_ptr_null(b.data);
    buf_finish(&b);
}
END_TEST

START_TEST(holds_its_maximum_and_no_byte_more)
{
    struct buf b;

    buf_init(&b, 10);
    ck_assert(buf_add(&b, "0123456789", 10));
    ck_assert(!b.full);
    ck_assert(buf_add(&b, "", 0));
    ck_assert(!b.full);
    ck_assert(!buf_add(&b, "x", 1));
    ck_assert(b.full);
    ck_assert_str_eq(buf_text(&b), "0123456789");
    ck_assert_uint_eq(b.len, 10);
    buf_finish(&b);
}
END_TEST

START_TEST(leaves_what_was_there_when_it_is_full)
{
    struct buf b;

    buf_init(&b, 5);
    ck_assert(buf_puts(&b, "abc"));
    ck_assert(!buf_puts(&b, "def"));
    ck_assert(!buf_printf(&b, "%d", 456));
    ck_assert(b.full);
    ck_assert_str_eq(buf_text(&b), "abc");
    ck_assert(!buf_add(&b, "x", (size_t)-1));
    ck_assert_str_eq(buf_text(&b), "abc");
    buf_finish(&b);
}
END_TEST

START_TEST(holds_nothing_with_a_maximum_of_0)
{
    struct buf b;

    buf_init(&b, 0);
    ck_assert(!buf_puts(&b, "x"));
    ck_assert(b.full);
    ck_assert_str_eq(buf_text(&b), "");
    buf_finish(&b);
}
END_TEST

START_TEST(grows_and_ends_with_a_nul)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < 100000; i++) {
        ck_assert(buf_add(&b, &"abcdefgh"[i % 8], 1));
        ck_assert_int_eq(b.data[b.len], '\0');
    }
    ck_assert_uint_eq(b.len, 100000);
    for (size_t i = 0; i < b.len; i++)
        ck_assert_int_eq(b.data[i], "abcdefgh"[i % 8]);
    buf_finish(&b);
}
END_TEST

START_TEST(takes_any_bytes)
{
    struct buf b;

    buf_init(&b, 100);
    ck_assert(buf_add(&b, "a\0b\xFF", 4));
    ck_assert(buf_puts(&b, "c"));
    ck_assert_uint_eq(b.len, 5);
    ck_assert_mem_eq(b.data,
                     "a\0b\xFF"
                     "c",
                     6);
    buf_finish(&b);
}
END_TEST

START_TEST(prints_across_a_growth)
{
    struct buf b;

    buf_init(&b, 10000);
    ck_assert(buf_printf(&b, "%255s|", "x"));
    ck_assert(buf_printf(&b, "%s%d", "", 7));
    ck_assert(buf_printf(&b, "%5000d", 1));
    ck_assert_uint_eq(b.len, 256 + 1 + 5000);
    ck_assert_int_eq(b.data[b.len - 1], '1');
    buf_finish(&b);
}
END_TEST

START_TEST(is_as_new_when_finished)
{
    struct buf b;

    buf_init(&b, 3);
    buf_puts(&b, "abcd");
    buf_finish(&b);
    ck_assert(!b.full);
    ck_assert_uint_eq(b.max, 3);
    ck_assert_str_eq(buf_text(&b), "");
    ck_assert(buf_puts(&b, "abc"));
    buf_finish(&b);
}
END_TEST

START_TEST(lives_as_long_as_its_arena)
{
    struct arena *a = arena_create();
    struct buf *b = buf_create(a, 100000);

    for (int i = 0; i < 1000; i++)
        ck_assert(buf_puts(b, "text"));
    arena_destroy(a); /* the sanitizers and valgrind see what stays */
}
END_TEST

Suite *suite_buf(void)
{
    Suite *s = suite_create("buf");
    TCase *t = tcase_create("all");

    tcase_add_test(t, is_an_empty_text_at_first);
    tcase_add_test(t, holds_its_maximum_and_no_byte_more);
    tcase_add_test(t, leaves_what_was_there_when_it_is_full);
    tcase_add_test(t, holds_nothing_with_a_maximum_of_0);
    tcase_add_test(t, grows_and_ends_with_a_nul);
    tcase_add_test(t, takes_any_bytes);
    tcase_add_test(t, prints_across_a_growth);
    tcase_add_test(t, is_as_new_when_finished);
    tcase_add_test(t, lives_as_long_as_its_arena);
    suite_add_tcase(s, t);
    return s;
}
