#include "common/utf8.h"

#include <stdint.h>
#include <string.h>

#include "tests/unit/suites.h"

#define FFFD "\xEF\xBF\xBD"

/* Bytes, whether they are well-formed, and what is stored of them. */
static const struct row {
    const char *bytes;
    size_t len;
    const char *stored; /* NULL: the bytes themselves */
    size_t replaced;
} rows[] = {
#define GOOD(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1, NULL, 0                                                                  \
    }
#define BAD(s, stored, n)                                                                          \
    {                                                                                              \
        s, sizeof(s) - 1, stored, n                                                                \
    }
    GOOD(""),
    GOOD("text"),
    GOOD("\x01\x1F\x7F"),
    /* the edges of each row of table 3-7 */
    GOOD("\xC2\x80"),
    GOOD("\xDF\xBF"),
    GOOD("\xE0\xA0\x80"),
    GOOD("\xE0\xBF\xBF"),
    GOOD("\xE1\x80\x80"),
    GOOD("\xEC\xBF\xBF"),
    GOOD("\xED\x80\x80"),
    GOOD("\xED\x9F\xBF"),
    GOOD("\xEE\x80\x80"),
    GOOD("\xEF\xBF\xBF"),
    GOOD("\xF0\x90\x80\x80"),
    GOOD("\xF0\xBF\xBF\xBF"),
    GOOD("\xF1\x80\x80\x80"),
    GOOD("\xF3\xBF\xBF\xBF"),
    GOOD("\xF4\x80\x80\x80"),
    GOOD("\xF4\x8F\xBF\xBF"),
    GOOD("\xEF\xBB\xBF"
         "bom"),
    GOOD("a\xC3\xA6\xE7\xA3\x81\xF0\x9F\xA7\xB2z"),
    /* one beyond each edge: each byte that cannot begin or go on is a part of its own */
    BAD("\x80", FFFD, 1),
    BAD("\xBF", FFFD, 1),
    BAD("\xC0\x80", FFFD FFFD, 2),
    BAD("\xC0\xAF", FFFD FFFD, 2),
    BAD("\xC1\xBF", FFFD FFFD, 2),
    BAD("\xC2\x7F", FFFD "\x7F", 1),
    BAD("\xC2\xC0", FFFD FFFD, 2),
    BAD("\xE0\x9F\xBF", FFFD FFFD FFFD, 3),
    BAD("\xE0\x80\x80", FFFD FFFD FFFD, 3),
    BAD("\xED\xA0\x80", FFFD FFFD FFFD, 3),
    BAD("\xED\xBF\xBF", FFFD FFFD FFFD, 3),
    BAD("\xF0\x8F\xBF\xBF", FFFD FFFD FFFD FFFD, 4),
    BAD("\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD, 4),
    BAD("\xF5\x80\x80\x80", FFFD FFFD FFFD FFFD, 4),
    BAD("\xF8\x88\x80\x80\x80", FFFD FFFD FFFD FFFD FFFD, 5),
    BAD("\xFE\xFF", FFFD FFFD, 2),
    /* what is cut short is one part, as far as it went well */
    BAD("\xC2", FFFD, 1),
    BAD("\xE1\x80", FFFD, 1),
    BAD("\xF1\x80\x80", FFFD, 1),
    BAD("\xF0\x90", FFFD, 1),
    BAD("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", FFFD FFFD FFFD FFFD "A", 4), /* table 3-11 */
    BAD("\x41\xC0\xAF\x41\xF4\x80\x80\x41", "A" FFFD FFFD "A" FFFD "A", 3),
    BAD("a\xFF", "a" FFFD, 1),
};

enum { ROWS = sizeof rows / sizeof *rows };

START_TEST(knows_well_formed_text)
{
    for (size_t i = 0; i < ROWS; i++)
        ck_assert_msg(utf8_valid(rows[i].bytes, rows[i].len) == (rows[i].stored == NULL), "row %zu",
                      i);
    ck_assert(utf8_valid("a\0b", 3));
}
END_TEST

START_TEST(stores_one_mark_for_each_maximal_part)
{
    for (size_t i = 0; i < ROWS; i++) {
        const char *stored = rows[i].stored ? rows[i].stored : rows[i].bytes;
        struct buf b;

        buf_init(&b, 1000);
        ck_assert_msg(utf8_store(&b, rows[i].bytes, rows[i].len) == rows[i].replaced, "row %zu", i);
        ck_assert_msg(strcmp(buf_text(&b), stored) == 0, "row %zu: %s", i, buf_text(&b));
        ck_assert(utf8_valid(buf_text(&b), b.len));
        buf_finish(&b);
    }
}
END_TEST

START_TEST(stores_nuls_as_their_symbol)
{
    struct buf b;

    buf_init(&b, 1000);
    ck_assert_uint_eq(utf8_store(&b, "\0a\0\0\xFF", 5), 4);
    ck_assert_str_eq(buf_text(&b), "\u2400a\u2400\u2400" FFFD);
    buf_finish(&b);
}
END_TEST

/* Each lead byte with each second byte, against the table written another way. */
START_TEST(agrees_with_decoding_each_pair)
{
    for (unsigned lead = 0x80; lead < 0x100; lead++)
        for (unsigned second = 0; second < 0x100; second++) {
            const char s[] = {(char)lead, (char)second, '\x80', '\x80'};
            bool two = lead >= 0xC0 && lead < 0xE0, three = lead >= 0xE0 && lead < 0xF0;
            bool go_on = (second & 0xC0) == 0x80;
            uint32_t c = two     ? (lead & 0x1F) << 6 | (second & 0x3F)
                         : three ? (lead & 0x0F) << 12 | (second & 0x3F) << 6
                                 : (lead & 0x07) << 18 | (second & 0x3F) << 12;
            bool good =
                go_on && (two     ? c >= 0x80
                          : three ? c >= 0x800 && (c < 0xD800 || c > 0xDFFF)
                                  : lead >= 0xF0 && lead < 0xF8 && c >= 0x10000 && c <= 0x10FFFF);

            ck_assert_msg(utf8_valid(s, two ? 2 : three ? 3 : 4) == good, "%x %x", lead, second);
        }
}
END_TEST

START_TEST(counts_and_cuts_characters)
{
    static const char text[] = "a\xC3\xA6\xE7\xA3\x81\xF0\x9F\xA7\xB2z";
    static const size_t prefixes[] = {0, 1, 3, 6, 10, 11, 11};
    size_t len = sizeof text - 1;

    ck_assert_uint_eq(utf8_count(text, len), 5);
    ck_assert_uint_eq(utf8_count("", 0), 0);
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        ck_assert_uint_eq(utf8_prefix(text, len, i), prefixes[i]);
        ck_assert(utf8_valid(text, utf8_prefix(text, len, i)));
    }
    ck_assert_uint_eq(utf8_prefix("", 0, 5), 0);
    ck_assert_uint_eq(utf8_prefix(text, len, SIZE_MAX), len);
}
END_TEST

Suite *suite_utf8(void)
{
    Suite *s = suite_create("utf8");
    TCase *t = tcase_create("all");

    tcase_add_test(t, knows_well_formed_text);
    tcase_add_test(t, stores_one_mark_for_each_maximal_part);
    tcase_add_test(t, stores_nuls_as_their_symbol);
    tcase_add_test(t, agrees_with_decoding_each_pair);
    tcase_add_test(t, counts_and_cuts_characters);
    suite_add_tcase(s, t);
    return s;
}
