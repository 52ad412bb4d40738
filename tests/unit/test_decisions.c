#include "fcgi/lessons/generator/decisions.h"

#include <string.h>

#include "common/json.h"
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

static struct json_object *parsed(const struct decisions *d)
{
    const char *text = decisions_json(d, a);
    struct json_object *list;
    struct err e;

    list = json_parse_client(a, text, strlen(text), &e); /* strict: PostgreSQL is, too */
    ck_assert_msg(json_is_array(list), "%s: %.80s ... %s", e.text, text,
                  text + (strlen(text) > 80 ? strlen(text) - 80 : 0));
    return list;
}

static const char *const members[] = {"at", "action", "provider", "reason", "wait_ms", NULL};

static void assert_members(struct json_object *decision)
{
    ck_assert_ptr_null(json_unknown_member(decision, members));
    for (int left_out = 0; members[left_out] != NULL; left_out++) {
        const char *others[sizeof members / sizeof *members] = {NULL};

        for (int i = 0, n = 0; members[i] != NULL; i++)
            if (i != left_out)
                others[n++] = members[i];
        ck_assert_pstr_eq(json_unknown_member(decision, others), members[left_out]);
    }
}

static const char *member(struct json_object *decision, const char *name)
{
    return json_text(json_at(decision, name, NULL));
}

static const struct {
    const char *action, *provider, *reason;
    int64_t wait_ms;
} added[] = {
    {"try", "openai", NULL, -1},
    {"wait", "openai", "rate_limited", 1500},
    {"wait", "openai", "rate_limited", 0},
    {"retry", "openai", "rate_limited", -1},
    {"skip", "groq", "breaker open", -1},
    {"fallback", "anthropic", "rate_limited", -1},
    {"give_up", NULL, "every provider failed", -1},
    {"give_up", NULL, "a \"quoted\" reason\n\\ 光", -1},
};

enum { ADDED = sizeof added / sizeof *added };

static void add(struct decisions *d, int i)
{
    decisions_add(d, added[i].action, added[i].provider, added[i].reason, added[i].wait_ms);
}

START_TEST(a_decision_has_exactly_its_members_and_null_for_none)
{
    struct decisions *d = decisions_create(a, "[]");
    struct json_object *one;
    const char *at;
    int64_t wait;

    add(d, _i);
    one = json_item(parsed(d), 0);
    ck_assert_uint_eq(json_length(parsed(d)), 1);
    assert_members(one);
    ck_assert_pstr_eq(member(one, "action"), added[_i].action);
    ck_assert_pstr_eq(member(one, "provider"), added[_i].provider);
    ck_assert_pstr_eq(member(one, "reason"), added[_i].reason);
    ck_assert_int_eq(json_int(json_at(one, "wait_ms", NULL), &wait), added[_i].wait_ms >= 0);
    if (added[_i].wait_ms >= 0)
        ck_assert_int_eq(wait, added[_i].wait_ms);
    at = member(one, "at");
    ck_assert_uint_eq(strlen(at), strlen("2026-11-23T18:15:43.123Z"));
    ck_assert_uint_eq(strspn(at, "0123456789-T:.Z"), strlen(at));
}
END_TEST

START_TEST(without_decisions_it_is_an_empty_list)
{
    ck_assert_str_eq(decisions_json(decisions_create(a, "[]"), a), "[]");
}
END_TEST

START_TEST(decisions_stay_in_order)
{
    struct decisions *d = decisions_create(a, "[]");
    struct json_object *list;

    for (int i = 0; i < ADDED; i++) {
        add(d, i);
        ck_assert_uint_eq(json_length(parsed(d)), (size_t)i + 1); /* at any time */
    }
    list = parsed(d);
    for (int i = 0; i < ADDED; i++)
        ck_assert_pstr_eq(member(json_item(list, (size_t)i), "action"), added[i].action);
}
END_TEST

START_TEST(goes_on_from_what_the_trace_has)
{
    struct decisions *d = decisions_create(a, "[]"), *next;

    add(d, 0);
    add(d, 1);
    next = decisions_create(a, decisions_json(d, a));
    ck_assert_str_eq(decisions_json(next, a), decisions_json(d, a));
    add(next, 4);
    ck_assert_uint_eq(json_length(parsed(next)), 3);
    ck_assert_pstr_eq(member(json_item(parsed(next), 0), "action"), "try");
    ck_assert_pstr_eq(member(json_item(parsed(next), 2), "action"), "skip");
    /* as PostgreSQL prints it */
    next = decisions_create(a, "[{\"at\": \"x\", \"wait_ms\": null}, {\"at\": \"y\"}]");
    add(next, 0);
    ck_assert_uint_eq(json_length(parsed(next)), 3);
}
END_TEST

static const char *const nothing[] = {"", "[", "[]"};

START_TEST(begins_anew_where_there_is_nothing_to_go_on_from)
{
    struct decisions *d = decisions_create(a, nothing[_i]);

    ck_assert_uint_eq(json_length(parsed(d)), 0);
    add(d, 0);
    ck_assert_uint_eq(json_length(parsed(d)), 1);
}
END_TEST

START_TEST(a_copy_does_not_change_any_more)
{
    struct decisions *d = decisions_create(a, "[]");
    struct arena *other = arena_create();
    const char *before;

    add(d, 0);
    before = decisions_json(d, other);
    for (int i = 0; i < 100; i++)
        add(d, i % ADDED);
    ck_assert_uint_lt(strlen(before), 200);
    arena_destroy(other);
}
END_TEST

/* A job taken over again and again, of a trace that is told of it. */
START_TEST(is_a_whole_list_however_many_decisions_there_are)
{
    const char *so_far = "[]";

    for (int takeover = 0; takeover < 20; takeover++) {
        struct decisions *d = decisions_create(a, so_far);

        for (int i = 0; i < 1 + takeover * 37; i++)
            add(d, i % ADDED);
        ck_assert_uint_ge(json_length(parsed(d)), 1);
        so_far = decisions_json(d, a);
    }
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_decisions(void)
{
    Suite *s = suite_create("decisions");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, a_decision_has_exactly_its_members_and_null_for_none, added);
    tcase_add_test(t, without_decisions_it_is_an_empty_list);
    tcase_add_test(t, decisions_stay_in_order);
    tcase_add_test(t, goes_on_from_what_the_trace_has);
    EACH(t, begins_anew_where_there_is_nothing_to_go_on_from, nothing);
    tcase_add_test(t, a_copy_does_not_change_any_more);
    tcase_add_test(t, is_a_whole_list_however_many_decisions_there_are);
    suite_add_tcase(s, t);
    return s;
}
