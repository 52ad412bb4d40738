#include "common/page.h"

#include <libpq-fe.h>
#include <stdio.h>
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

static const struct row {
    const char *created_at, *id;
} newest_first[] = {
    {"2026-11-23T18:15:43.123456+00:00", "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"},
    {"2026-11-23T18:15:43.12+00:00", "00000000-0000-4000-8000-000000000000"},
    {"2026-11-23T18:15:43+00:00", "ffffffff-ffff-4fff-bfff-ffffffffffff"},
    {"1970-01-01T00:00:00+00:00", "f81d4fae-7dec-41d0-a765-00a0c91e6bf7"},
    {"2028-02-29T23:59:59.999999+00:00", "f81d4fae-7dec-41d0-a765-00a0c91e6bf8"},
};

enum { ROWS = sizeof newest_first / sizeof *newest_first };

static void clear(void *result)
{
    PQclear(result);
}

/* What the list statement would give: (doc, value, id). */
static struct db_rows *rows_of(const struct row *from, int count)
{
    PGresAttDesc columns[3] = {{.name = "doc"}, {.name = "created_at"}, {.name = "id"}};
    PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);

    arena_defer(a, clear, r);
    PQsetResultAttrs(r, 3, columns);
    for (int i = 0; i < count; i++) {
        const char *values[3] = {"{}", from[i].created_at, from[i].id};

        for (int col = 0; col < 3; col++)
            PQsetvalue(r, i, col, arena_strdup(a, values[col]), (int)strlen(values[col]));
    }
    return (struct db_rows *)r;
}

/* The cursor behind the row. */
static const char *cursor_of(const struct row *row, const char *scope)
{
    const struct row both[2] = {*row, *row};
    struct page_request r = {.limit = 1, .scope = scope};
    struct page page;

    page_end(a, &r, rows_of(both, 2), &page);
    return page.next_cursor;
}

static bool begins(const char *cursor, const char *scope, struct page_position *at, struct err *e)
{
    struct page_request r = {.limit = 1, .cursor = cursor, .scope = scope};

    return page_begin(a, &r, at, e);
}

static void assert_refused(const char *cursor, const char *scope)
{
    struct page_position at;
    struct err e = {0};

    ck_assert_msg(!begins(cursor, scope, &at, &e), "taken: %s", cursor);
    ck_assert_int_eq(e.kind, ERR_INPUT);
    ck_assert_int_eq(strncmp(e.text, "cursor: ", 8), 0);
    ck_assert_ptr_null(at.value);
    ck_assert_ptr_null(at.id);
}

/* What base64url stands for. */
static const char *plain_of(const char *cursor)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *out = arena_alloc(a, strlen(cursor) + 1);
    unsigned bits = 0;
    int held = 0, n = 0;

    for (; *cursor; cursor++) {
        bits = bits << 6 | (unsigned)(strchr(digits, *cursor) - digits);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (char)(bits >> held & 255);
        }
    }
    return out;
}

/* base64url of any text, as a forger would make it. */
static const char *encode(const char *s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t len = strlen(s), bits = len * 8;
    char *out = arena_alloc(a, bits / 6 + 2), *p = out;

    for (size_t bit = 0; bit < bits; bit += 6) {
        unsigned value = 0;

        for (size_t i = bit; i < bit + 6; i++)
            value = value << 1 | (i < bits && ((unsigned char)s[i / 8] >> (7 - i % 8)) % 2 == 1);
        *p++ = digits[value];
    }
    return out;
}

START_TEST(begins_at_the_first_row_without_a_cursor)
{
    struct page_position at = {"x", "x"};
    struct err e;

    ck_assert(begins(NULL, "traces", &at, &e));
    ck_assert_ptr_null(at.value);
    ck_assert_ptr_null(at.id);
}
END_TEST

START_TEST(a_cursor_leads_back_to_its_row)
{
    const struct row *row = &newest_first[_i];
    struct page_position at;
    struct err e;

    ck_assert(begins(cursor_of(row, "traces&status=failed"), "traces&status=failed", &at, &e));
    ck_assert_str_eq(at.value, row->created_at);
    ck_assert_str_eq(at.id, row->id);
}
END_TEST

static const struct {
    const char *value; /* as PostgreSQL spells it; NULL: unknown */
    bool number;
} values[] = {{"0", true},   {"12.5", true}, {"-3", true},   {"0.000012", true},
              {NULL, true},  {"x", false},   {"1e5", false}, {"1.", false},
              {".5", false}, {"", false},    {"NaN", false}};

START_TEST(a_cursor_of_a_sort_by_number_holds_a_number_or_none)
{
    const char *value = values[_i].value;
    struct page_request r = {.limit = 1, .by_number = true, .scope = "traces"};
    struct page_position at;
    struct err e;
    unsigned hash;
    const struct row row = {"2026-11-23T18:15:43+00:00", newest_first[0].id};

    ck_assert(sscanf(plain_of(cursor_of(&row, "traces")), "1 %8x", &hash) == 1);
    r.cursor = encode(arena_printf(a, "1 %08x %s %s", hash, value ? value : "null", row.id));
    ck_assert_int_eq(page_begin(a, &r, &at, &e), values[_i].number);
    if (!values[_i].number)
        return;
    ck_assert_pstr_eq(at.value, value);
    ck_assert_str_eq(at.id, row.id);
    r.by_number = false;
    ck_assert(!page_begin(a, &r, &at, &e));
}
END_TEST

static const struct {
    const char *id;
    bool number;
} numbers[] = {{"1", true},
               {"123456789012345678", true},
               {"1234567890123456789", false},
               {"-1", false},
               {"1x", false},
               {"f81d4fae-7dec-41d0-a765-00a0c91e6bf6", false}};

START_TEST(a_cursor_of_a_numbered_list_holds_a_number)
{
    const struct row row = {newest_first[0].created_at, numbers[_i].id};
    struct page_request r = {.limit = 1, .numbered = true, .scope = "audit"};
    struct page_position at;
    struct err e;

    r.cursor = cursor_of(&row, "audit");
    ck_assert_int_eq(page_begin(a, &r, &at, &e), numbers[_i].number);
    if (numbers[_i].number)
        ck_assert_str_eq(at.id, row.id);
    r.numbered = false;
    ck_assert_int_eq(page_begin(a, &r, &at, &e), strlen(row.id) == 36);
}
END_TEST

START_TEST(a_cursor_needs_no_escaping_in_a_url)
{
    const char *cursor = cursor_of(&newest_first[_i], "lessons");

    ck_assert_uint_gt(strlen(cursor), 0);
    ck_assert_uint_eq(strspn(cursor, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
                      strlen(cursor));
}
END_TEST

/* How many rows came for how many asked for, and what the page is. */
static const struct {
    int came;
    long limit;
    int count;
    bool more;
} pages[] = {
    {0, 1, 0, false}, {1, 1, 1, false}, {2, 1, 1, true},    {3, 2, 2, true},
    {4, 4, 4, false}, {5, 4, 4, true},  {3, 200, 3, false},
};

START_TEST(a_row_more_than_asked_for_makes_a_next_page)
{
    struct page_request r = {.limit = pages[_i].limit, .scope = "traces"};
    struct page_position at;
    struct page page;
    struct err e;

    page_end(a, &r, rows_of(newest_first, pages[_i].came), &page);
    ck_assert_int_eq(page.count, pages[_i].count);
    ck_assert_int_eq(page.total, -1);
    ck_assert_int_eq(page.next_cursor != NULL, pages[_i].more);
    if (!pages[_i].more)
        return;
    ck_assert(begins(page.next_cursor, "traces", &at, &e)); /* names the last row shown */
    ck_assert_str_eq(at.id, newest_first[page.count - 1].id);
}
END_TEST

static const char *const foreign[] = {
    "", "trace", "traces ", "Traces", "traces&status=failed", "lessons"};

START_TEST(refuses_a_cursor_of_another_list_or_filter)
{
    struct page_position at;
    struct err e;
    const char *cursor = cursor_of(&newest_first[0], "traces");

    assert_refused(cursor, foreign[_i]);
    ck_assert(!begins(cursor, foreign[_i], &at, &e));
    ck_assert_str_eq(e.text, "cursor: belongs to another filter or sort");
}
END_TEST

START_TEST(refuses_a_cursor_cut_at_any_byte)
{
    const char *cursor = cursor_of(&newest_first[_i], "traces");
    size_t len = strlen(cursor);

    for (size_t n = 0; n < len; n++) {
        assert_refused(arena_memdup(a, cursor, n), "traces");
        if (n > 0)
            assert_refused(cursor + n, "traces");
    }
}
END_TEST

START_TEST(refuses_or_survives_a_cursor_with_any_byte_changed)
{
    const char *cursor = cursor_of(&newest_first[0], "traces");
    struct page_position at;
    struct err e;

    for (size_t n = 0; n < strlen(cursor); n++)
        for (int c = 1; c < 256; c++) {
            char *changed = arena_strdup(a, cursor);

            if (changed[n] == (char)c)
                continue;
            changed[n] = (char)c;
            if (begins(changed, "traces", &at, &e)) { /* another row: of the right form at least */
                ck_assert_uint_eq(strlen(at.id), 36);
                ck_assert_uint_eq(strspn(at.value, "0123456789-T:.+"), strlen(at.value));
            } else {
                ck_assert_int_eq(e.kind, ERR_INPUT);
            }
        }
}
END_TEST

static const char *const garbage[] = {
    "A",
    "====",
    "abc=",
    "a b",
    "%00",
    "\xFF\xFE",
    "光合",
    "null",
    "0",
    "MSA",
    "../../etc/passwd",
    "' OR 1=1 --",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AA",
    "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
    "h4"
    "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
    "h4",
};

START_TEST(refuses_garbage)
{
    assert_refused(garbage[_i], "traces");
}
END_TEST

/* What a cursor of the scope "traces" holds, and what only looks like it. */
#define ID "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"
#define AT "2026-11-23T18:15:43.123456+00:00"
#define HASH "50c08ae7"
static const char *const forged[] = {
    "2 " HASH " " AT " " ID,
    "1 " HASH " " AT,
    "1 " HASH " " AT " ",
    "1 " HASH " " AT " " ID "0",
    "1 " HASH " " AT " " ID " and more",
    "1 " HASH " " AT " g81d4fae-7dec-41d0-a765-00a0c91e6bf6",
    "1 " HASH " yesterday " ID,
    "1 " HASH " infinity " ID,
    "1 " HASH " 2026-11-23T18:15:43';-- " ID,
    /* no time, or none as PostgreSQL spells it: it would refuse the statement */
    "1 " HASH " 2026-11-23 " ID,
    "1 " HASH " 2026-11-23T18:15:43 " ID,
    "1 " HASH " 2026-11-23T18:15:43Z " ID,
    "1 " HASH " 2026-11-23T18:15:43+01:00 " ID,
    "1 " HASH " 2026-11-23T18:15:43.+00:00 " ID,
    "1 " HASH " 2026-11-23T18:15:43.1234567+00:00 " ID,
    "1 " HASH " 2026-11-23T18:15:60+00:00 " ID,
    "1 " HASH " 2026-11-23T24:00:00+00:00 " ID,
    "1 " HASH " 2026-02-29T00:00:00+00:00 " ID,
    "1 " HASH " 2026-13-01T00:00:00+00:00 " ID,
    "1 " HASH " 2026-1-1T0:0:0+00:00 " ID,
    "1 " HASH " 0000-01-01T00:00:00+00:00 " ID,
    "1 " HASH " 99999-01-01T00:00:00+00:00 " ID,
    "1 " HASH " -2026-01-01T00:00:00+00:00 " ID,
    "1  " HASH " " AT " " ID,
    "1 0x" HASH " " AT " " ID,
    "1 +" HASH " " AT " " ID,
    " 1 " HASH " " AT " " ID,
    "1 " HASH "\n" AT " " ID,
};

START_TEST(takes_only_the_form_it_gives)
{
    struct page_position at;
    struct err e;

    ck_assert(begins(encode("1 " HASH " " AT " " ID), "traces", &at, &e));
    assert_refused(encode(forged[_i]), "traces");
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_page(void)
{
    Suite *s = suite_create("page");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, a_cursor_of_a_sort_by_number_holds_a_number_or_none, values);
    EACH(t, a_cursor_of_a_numbered_list_holds_a_number, numbers);
    tcase_add_test(t, begins_at_the_first_row_without_a_cursor);
    EACH(t, a_cursor_leads_back_to_its_row, newest_first);
    EACH(t, a_cursor_needs_no_escaping_in_a_url, newest_first);
    EACH(t, a_row_more_than_asked_for_makes_a_next_page, pages);
    EACH(t, refuses_a_cursor_of_another_list_or_filter, foreign);
    EACH(t, refuses_a_cursor_cut_at_any_byte, newest_first);
    tcase_add_test(t, refuses_or_survives_a_cursor_with_any_byte_changed);
    EACH(t, refuses_garbage, garbage);
    EACH(t, takes_only_the_form_it_gives, forged);
    suite_add_tcase(s, t);
    return s;
}
