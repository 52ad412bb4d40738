#include "common/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/suites.h"

static struct arena *a;
static struct err e;

static void setup(void)
{
    a = arena_create();
    e = (struct err){0};
}

static void teardown(void)
{
    arena_destroy(a);
}

static struct json_object *client(const char *text, size_t len)
{
    e = (struct err){0};
    return json_parse_client(a, text, len, &e);
}

static struct json_object *tree(const char *text)
{
    return json_parse(a, text, strlen(text), &e);
}

/* ---- reading ---- */

#define TEXT(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

struct text {
    const char *bytes;
    size_t len;
};

START_TEST(takes_what_rfc_8259_allows)
{
    static const struct text rows[] = {
        TEXT("{}"),
        TEXT("[]"),
        TEXT("\"text\""),
        TEXT(" \t\r\n{ \"a\" : [ 1 , 2 ] } \t\r\n"),
        TEXT("{\"a\":0}"),
        TEXT("{\"a\":-0}"),
        TEXT("{\"a\":-0.0}"),
        TEXT("{\"a\":10.01}"),
        TEXT("{\"a\":1E5}"),
        TEXT("{\"a\":1e+05}"),
        TEXT("{\"a\":0.5e-3}"),
        TEXT("{\"a\":123456789012345678901234567890}"),
        TEXT("{\"a\":1e400}"),
        TEXT("[1,-2]"),
        TEXT("{\"a\":true,\"b\":false,\"c\":null}"),
        TEXT("{\"\":1}"),
        TEXT("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e6\\uD83E\\uDDF2\"}"),
        TEXT("{\"a\":\"{}[]:,'//\"}"),
        TEXT("{\"a\":\"\\\\u0000\"}"), /* an escaped backslash, then digits */
        TEXT("{\"a\":\"\x7f\xC3\xA6\"}"),
        TEXT("{\"a\":{\"b\":1},\"b\":{\"b\":{\"b\":1}}}"),
        TEXT("{\"a\":\":\",\"b\":\"\\\":\"}"),
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(client(rows[i].bytes, rows[i].len) != NULL, "%s: %s", rows[i].bytes, e.text);
}
END_TEST

START_TEST(refuses_what_rfc_8259_does_not)
{
    static const struct text rows[] = {
        TEXT(""),
        TEXT(" \n"),
        TEXT("{"),
        TEXT("{\"a\""),
        TEXT("{\"a\":"),
        TEXT("{\"a\":1"),
        TEXT("{\"a\":\"x"),
        TEXT("{\"a\":\"x\\"),
        /* trailing garbage */
        TEXT("{}x"),
        TEXT("{}{}"),
        TEXT("{} []"),
        TEXT("{}]"),
        TEXT("{},"),
        TEXT("{}\0"),
        TEXT("{}\v"),
        TEXT("{}\xC2\xA0"),
        /* structure */
        TEXT("[1,]"),
        TEXT("[,1]"),
        TEXT("[1 2]"),
        TEXT("{\"a\":1,}"),
        TEXT("{,}"),
        TEXT("{\"a\" 1}"),
        TEXT("{\"a\":1 \"b\":2}"),
        TEXT("{\"a\"::1}"),
        TEXT("{a:1}"),
        TEXT("{'a':1}"),
        TEXT("{\"a\":1/*x*/}"),
        TEXT("{\"a\":1}//x"),
        TEXT("\xEF\xBB\xBF{}"),
        /* numbers */
        TEXT("{\"a\":01}"),
        TEXT("{\"a\":00}"),
        TEXT("{\"a\":-01}"),
        TEXT("{\"a\":+1}"),
        TEXT("{\"a\":-}"),
        TEXT("{\"a\":--1}"),
        TEXT("{\"a\":1.}"),
        TEXT("{\"a\":.5}"),
        TEXT("{\"a\":-.5}"),
        TEXT("{\"a\":1.e5}"),
        TEXT("{\"a\":1e}"),
        TEXT("{\"a\":1e+}"),
        TEXT("{\"a\":1e1.5}"),
        TEXT("{\"a\":1.2.3}"),
        TEXT("{\"a\":1-2}"),
        TEXT("{\"a\":0x1}"),
        TEXT("{\"a\":1_000}"),
        TEXT("{\"a\":NaN}"),
        TEXT("{\"a\":nan}"),
        TEXT("{\"a\":-nan}"),
        TEXT("{\"a\":Infinity}"),
        TEXT("{\"a\":-Infinity}"),
        /* words */
        TEXT("{\"a\":TRUE}"),
        TEXT("{\"a\":True}"),
        TEXT("{\"a\":tru}"),
        TEXT("{\"a\":nullnull}"),
        TEXT("{\"a\":undefined}"),
        /* strings */
        TEXT("{\"a\":\"\n\"}"),
        TEXT("{\"a\":\"\t\"}"),
        TEXT("{\"a\":\"\x1F\"}"),
        TEXT("{\"a\n\":1}"),
        TEXT("{\"a\":\"\\x41\"}"),
        TEXT("{\"a\":\"\\u12\"}"),
        TEXT("{\"a\":\"\\'\"}"),
        /* what is text in JSON, but not for us */
        TEXT("{\"a\":\"\\u0000\"}"),
        TEXT("{\"a\\u0000b\":1}"),
        TEXT("{\"a\":\"x\0y\"}"),
        TEXT("{\"a\0\":1}"),
        TEXT("\0{}"),
        TEXT("{\"a\":\"\xFF\"}"),
        TEXT("{\"a\":\"\xC0\xAF\"}"),     /* overlong */
        TEXT("{\"a\":\"\xED\xA0\x80\"}"), /* a surrogate */
        TEXT("{\"a\":\"\xC3\"}"),
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(client(rows[i].bytes, rows[i].len) == NULL, "%s", rows[i].bytes);
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_msg(strncmp(e.text, "json: ", 6) == 0, "%s", e.text);
    }
}
END_TEST

START_TEST(names_the_member_that_is_given_twice)
{
    static const struct {
        const char *text, *name;
    } rows[] = {
        {"{\"a\":1,\"a\":2}", "a"},
        {"{\"password\":1,\"password\":2}", "password"},
        {"{\"b\":2,\"a\":1,\"b\":{\"a\":1}}", "b"},
        {"{\"a\":{\"b\":1,\"b\":[{}]},\"b\":\"\\\"a\\\\\",\"\\u0062\" : 2}", "b"},
        {"{\"a\":\"b\",\"b\":\"a\",\"c\":[\"a\",{\"a\":\"{\"}],\"\":1,\"\":2}", "\"\""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(client(rows[i].text, strlen(rows[i].text)) == NULL, "%s", rows[i].text);
        ck_assert_str_eq(e.text, arena_printf(a, "%s: given twice", rows[i].name));
    }
}
END_TEST

START_TEST(bounds_the_members)
{
    struct buf *b = buf_create(a, 4096);

    buf_puts(b, "{\"0\":[{}]");
    for (int i = 1; i < 100; i++)
        buf_printf(b, ",\"%d\":{\"a\":1}", i);
    ck_assert_ptr_nonnull(client(arena_printf(a, "%s}", buf_text(b)), b->len + 1));
    ck_assert_ptr_null(client(arena_printf(a, "%s,\"100\":1}", buf_text(b)), b->len + 9));
    ck_assert_str_eq(e.text, "json: at most 100 members expected");
}
END_TEST

/* Reads to len and not further: what is behind would make it whole. */
START_TEST(reads_no_byte_more_than_given)
{
    static const char text[] = "{\"a\":12.5e3,\"b\":[true,null],\"c\":\"\\u00e6\"}";

    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *exact = malloc(len + 1); /* the sanitizers see what is read behind it */

        memcpy(exact, text, len);
        ck_assert_ptr_null(client(exact, len));
        free(exact);
    }
    ck_assert_ptr_nonnull(client(text, sizeof text - 1));
}
END_TEST

static const char *nested(int depth, const char *open, char close)
{
    struct buf *b = buf_create(a, 100000);

    for (int i = 0; i < depth; i++)
        buf_puts(b, open);
    for (int i = 0; i < depth; i++)
        buf_add(b, &close, 1);
    return buf_text(b);
}

START_TEST(bounds_the_depth)
{
    const char *s = nested(32, "[", ']');

    ck_assert_ptr_nonnull(client(s, strlen(s)));
    s = nested(33, "[", ']');
    ck_assert_ptr_null(client(s, strlen(s)));
    s = nested(10000, "{\"a\":", '}');
    ck_assert_ptr_null(client(s, strlen(s)));
    ck_assert_ptr_nonnull(tree(nested(64, "[", ']')));
    ck_assert_ptr_null(tree(nested(65, "[", ']')));
}
END_TEST

START_TEST(takes_from_providers_what_clients_may_not_send)
{
    size_t len;

    ck_assert_ptr_nonnull(tree("{\"a\":1,\"a\":2}\r\n"));
    ck_assert_mem_eq(json_bytes(json_at(tree("[\"a\\u0000b\"]"), "0", NULL), &len), "a\0b", 3);
    ck_assert_uint_eq(len, 3);
    ck_assert_ptr_nonnull(tree("[\"\xFF\"]"));
    ck_assert_ptr_null(tree(""));
    ck_assert_ptr_null(tree("{} {}"));
    ck_assert_ptr_null(tree("<html>"));
    ck_assert_ptr_null(json_parse(a, "{}\0", 3, &e));
}
END_TEST

/* What a provider escapes, and the bytes that come through. */
static const struct {
    const char *json, *bytes;
} escaped[] = {
    {"\\ud83d", "\xFF"},
    {"\\uDE00", "\xFF"},
    {"x\\ud83dy", "x\xFFy"},
    {"\\ud83d\\ude00", "\xF0\x9F\x98\x80"},
    {"\\ude00\\ud83d", "\xFF\xFF"},
    {"\\ud83d\\ud83d\\ude00", "\xFF\xF0\x9F\x98\x80"},
    {"\\ud83d\\ude00\\ude00", "\xF0\x9F\x98\x80\xFF"},
    {"\\ud83d\\u0041", "\xFF"
                       "A"},
    {"\\ud83d\\n\\\"", "\xFF\n\""},
    {"\\ud83d\\\\", "\xFF\\"},
    {"\\\\ud83d", "\\ud83d"},
    {"\\\\\\ud83d", "\\\xFF"},
    {"\\ud7ff\\ue000", "\xED\x9F\xBF\xEE\x80\x80"},
    {"\xEF\xBF\xBD\\ufffd", "\xEF\xBF\xBD\xEF\xBF\xBD"},
};

/* json-c would make each half U+FFFD, and it could not be told from one that was sent. */
START_TEST(half_a_surrogate_pair_is_no_text)
{
    const char *text = arena_printf(a, "{\"\\udc00\":1,\"a\":\"%s\"}", escaped[_i].json), *got;
    char *exact = malloc(strlen(text)); /* the sanitizers see what is read behind it */
    size_t len;

    memcpy(exact, text, strlen(text));
    got = json_bytes(json_at(json_parse(a, exact, strlen(text), &e), "a", NULL), &len);
    ck_assert_pstr_eq(got, escaped[_i].bytes);
    ck_assert_uint_eq(len, strlen(escaped[_i].bytes));
    for (size_t end = 0; end < strlen(text); end++)
        ck_assert_ptr_null(json_parse(a, exact, end, &e));
    free(exact);
}
END_TEST

START_TEST(follows_keys_and_indexes)
{
    struct json_object *t = tree("{\"a\":[10,{\"b\":null,\"0\":\"zero\"}],\"n\":null}");
    int64_t n;

    ck_assert(json_int(json_at(t, "a", "0", NULL), &n) && n == 10);
    ck_assert_str_eq(json_text(json_at(t, "a", "1", "0", NULL)), "zero");
    ck_assert_ptr_eq(json_at(t, NULL), t);
    ck_assert_ptr_null(json_at(t, "a", "2", NULL));
    ck_assert_ptr_null(json_at(t, "a", "-1", NULL));
    ck_assert_ptr_null(json_at(t, "a", "b", NULL)); /* a name is no index */
    ck_assert_ptr_null(json_at(t, "a", "99999999999999999999", NULL));
    ck_assert_ptr_null(json_at(t, "a", "1", "b", "c", NULL));
    ck_assert_ptr_null(json_at(t, "a", "0", "x", NULL));
    ck_assert_ptr_null(json_at(t, "n", NULL));
    ck_assert_ptr_null(json_at(NULL, "a", NULL));
}
END_TEST

START_TEST(gets_only_what_is_of_the_type)
{
    struct json_object *t = tree("[\"s\",7,7.0,1.5,true,null,{},[1,2],1e999,99999999999999999999]");
    static const bool is_int[] = {0, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    static const bool is_number[] = {0, 1, 1, 1, 0, 0, 0, 0, 0, 1};

    for (size_t i = 0; i < json_length(t); i++) {
        struct json_object *node = json_item(t, i);
        int64_t n;
        double d;
        bool b;

        ck_assert_int_eq(json_text(node) != NULL, i == 0);
        ck_assert_int_eq(json_int(node, &n), is_int[i]);
        ck_assert_int_eq(json_number(node, &d), is_number[i]);
        ck_assert_int_eq(json_flag(node, &b), i == 4);
        ck_assert_int_eq(json_is_null(node), i == 5);
        ck_assert_int_eq(json_is_object(node), i == 6);
        ck_assert_int_eq(json_is_array(node), i == 7);
        ck_assert_uint_eq(json_length(node), i == 7 ? 2 : 0);
    }
    ck_assert_ptr_null(json_item(t, 10));
    ck_assert_ptr_null(json_item(NULL, 0));
}
END_TEST

START_TEST(finds_members_nobody_asked_for)
{
    static const char *const names[] = {"a", "b", NULL};

    ck_assert_ptr_null(json_unknown_member(tree("{}"), names));
    ck_assert_ptr_null(json_unknown_member(tree("{\"b\":1,\"a\":null}"), names));
    ck_assert_str_eq(json_unknown_member(tree("{\"b\":1,\"ab\":1,\"c\":1}"), names), "ab");
    ck_assert_str_eq(json_unknown_member(tree("{\"A\":1}"), names), "A");
}
END_TEST

START_TEST(names_the_file_that_cannot_be_read)
{
    char path[] = "/tmp/test_json.XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");

    ck_assert_ptr_null(json_parse_file(a, "/nonexistent/x.json", &e));
    ck_assert(strncmp(e.text, "/nonexistent/x.json: ", 21) == 0);
    ck_assert_ptr_null(json_parse_file(a, "/tmp", &e));
    fputs("{\"a\":", f);
    fflush(f);
    ck_assert_ptr_null(json_parse_file(a, path, &e));
    ck_assert(strncmp(e.text, path, strlen(path)) == 0);
    ck_assert_ptr_nonnull(strstr(e.text, "ends too early"));
    fputs("1}\n", f);
    fclose(f);
    ck_assert_ptr_nonnull(json_at(json_parse_file(a, path, &e), "a", NULL));
    unlink(path);
}
END_TEST

/* ---- writing ---- */

START_TEST(writes_every_kind_of_value)
{
    struct json_out o = {buf_create(a, 10000), false};

    json_begin(&o, NULL, '{');
    json_put_text(&o, "text", "a\"b");
    json_put_text(&o, "none", NULL);
    json_put_int(&o, "least", INT64_MIN);
    json_put_number(&o, "number", 0.1);
    json_put_number(&o, "nan", NAN);
    json_put_number(&o, "infinite", INFINITY);
    json_put_bool(&o, "flag", false);
    json_put_null(&o, "null");
    json_put_raw(&o, "raw", "{\"x\":1}");
    json_put_raw(&o, "no raw", NULL);
    json_begin(&o, "empty", '{');
    json_end(&o, '}');
    json_begin(&o, "array", '[');
    json_put_int(&o, NULL, 1);
    json_begin(&o, NULL, '[');
    json_end(&o, ']');
    json_put_bytes(&o, NULL, "a\0b", 3);
    json_end(&o, ']');
    json_put_bool(&o, "k\"ey", true);
    json_end(&o, '}');
    ck_assert_str_eq(buf_text(o.buf),
                     "{\"text\":\"a\\\"b\",\"none\":null,\"least\":-9223372036854775808,"
                     "\"number\":0.1,\"nan\":null,\"infinite\":null,\"flag\":false,\"null\":null,"
                     "\"raw\":{\"x\":1},\"no raw\":null,\"empty\":{},"
                     "\"array\":[1,[],\"a\\u0000b\"],\"k\\\"ey\":true}");
    ck_assert_ptr_nonnull(tree(buf_text(o.buf)));
}
END_TEST

/* Each byte that is text comes back as it was. */
START_TEST(writes_strings_that_read_the_same)
{
    char all[128 + 8];
    struct buf *b = buf_create(a, 10000);
    size_t len;

    for (int i = 0; i < 128; i++)
        all[i] = (char)i;
    memcpy(all + 128, "\xC3\xA6\xF0\x9F\xA7\xB2\xC2\x85", 8);
    json_write_string(b, all, sizeof all);
    ck_assert_mem_eq(json_bytes(tree(buf_text(b)), &len), all, sizeof all);
    ck_assert_uint_eq(len, sizeof all);
    for (size_t i = 0; i < b->len; i++)
        ck_assert((unsigned char)b->data[i] >= ' ' && b->data[i] != 0x7f);
}
END_TEST

START_TEST(prints_trees_without_blanks)
{
    ck_assert_str_eq(json_print(tree("{ \"a\" : [ 1, \"x/y\", null ], \"b\": 0.1 }")),
                     "{\"a\":[1,\"x/y\",null],\"b\":0.1}");
    ck_assert_str_eq(json_print(NULL), "null");
}
END_TEST

Suite *suite_json(void)
{
    Suite *s = suite_create("json");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, takes_what_rfc_8259_allows);
    tcase_add_test(t, refuses_what_rfc_8259_does_not);
    tcase_add_test(t, names_the_member_that_is_given_twice);
    tcase_add_test(t, bounds_the_members);
    tcase_add_test(t, reads_no_byte_more_than_given);
    tcase_add_test(t, bounds_the_depth);
    tcase_add_test(t, takes_from_providers_what_clients_may_not_send);
    tcase_add_loop_test(t, half_a_surrogate_pair_is_no_text, 0, sizeof escaped / sizeof *escaped);
    tcase_add_test(t, follows_keys_and_indexes);
    tcase_add_test(t, gets_only_what_is_of_the_type);
    tcase_add_test(t, finds_members_nobody_asked_for);
    tcase_add_test(t, names_the_file_that_cannot_be_read);
    tcase_add_test(t, writes_every_kind_of_value);
    tcase_add_test(t, writes_strings_that_read_the_same);
    tcase_add_test(t, prints_trees_without_blanks);
    suite_add_tcase(s, t);
    return s;
}
