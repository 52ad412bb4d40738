#include "fcgi/lessons/generator/breaker.h"

#include <string.h>

#include "tests/unit/suites.h"

enum { START = 1000000, STEP = 10000 };

static struct breaker b;
static int64_t now;

static void set_up(void)
{
    memset(&b, 0, sizeof b);
    now = START;
}

/*
 * A history: s is a call that went well, f one that failed, neither of which may open the breaker;
 * F is one that failed and must open it; . are ten seconds.
 */
static void play(const char *history)
{
    for (const char *p = history; *p; p++) {
        bool opens;

        if (*p == '.') {
            now += STEP;
            continue;
        }
        ck_assert(breaker_allows(&b));
        ck_assert(!breaker_take(&b));
        opens = breaker_note(&b, now, *p != 's', false);
        ck_assert_msg(opens == (*p == 'F'), "%s: %s at %zu", history, opens ? "opens" : "stays",
                      (size_t)(p - history));
    }
}

static const char *const histories[] = {
    "ffF",         /* three in a row */
    "sffF",        /* whatever was before */
    "ssssssssffF", /* few as they are */
    "ff......F",   /* long ago as they are */
    "f......f......F",
    "fsf",           /* one that went well in between */
    "ffsf",          /* begins anew */
    "sssssffsffsss", /* two in a row, and again, are less than half */
    "fsfsF",         /* half of five */
    "sfsfF",
    "ffsfF",
    "sfsfsF", /* half of six, exactly */
    "ffsssF",
    "fsffsF",     /* one that went well opens nothing, however many failed */
    "sssff",      /* two of five are not half */
    "ssssfsfsff", /* nor four of ten */
    "fs",         /* fewer than five say nothing */
    "fsff",
    "fsfs.....F", /* what is fifty seconds old counts */
    "ssssss.....sfsfsf",
    "f.s.f.s.F",
    "fsfs......f", /* what is sixty seconds old does not */
    "ssssss......sfsfF",
    "f.s.f.s...f",
    "fsfs............................................................fsfs",
};

START_TEST(opens_at_three_in_a_row_or_half_of_five_within_a_minute)
{
    play(histories[_i]);
}
END_TEST

START_TEST(is_closed_at_first)
{
    ck_assert(breaker_allows(&b));
    ck_assert(!breaker_take(&b));
}
END_TEST

START_TEST(opening_is_said_but_done_by_the_hold)
{
    play("ffF");
    ck_assert(breaker_allows(&b)); /* the caller decides for how long */
    breaker_hold(&b, now + BREAKER_OPEN_MS);
    ck_assert(!breaker_allows(&b));
}
END_TEST

START_TEST(stays_open_however_much_time_passes_until_it_is_told)
{
    breaker_hold(&b, now + BREAKER_OPEN_MS);
    ck_assert(!breaker_allows(&b));
    ck_assert(!breaker_take(&b));
    breaker_apply(&b, now + BREAKER_OPEN_MS, false, 0); /* over, but nobody has probed */
    ck_assert(!breaker_allows(&b));
    breaker_apply(&b, now + BREAKER_OPEN_MS, true, 0);
    ck_assert(breaker_allows(&b));
}
END_TEST

START_TEST(calls_under_way_when_it_opened_change_nothing)
{
    struct breaker before;

    play("ffF");
    breaker_hold(&b, now + BREAKER_OPEN_MS);
    before = b;
    for (int i = 0; i < 20; i++) {
        ck_assert(!breaker_note(&b, now + i * STEP, true, false));
        ck_assert(!breaker_note(&b, now + i * STEP, false, false));
    }
    ck_assert_int_eq(memcmp(&b, &before, sizeof b), 0);
}
END_TEST

START_TEST(a_hold_never_shortens)
{
    breaker_hold(&b, now + 5000);
    breaker_hold(&b, now + 1000);
    ck_assert_int_eq(b.open_until, now + 5000);
    breaker_hold(&b, now + 5001);
    ck_assert_int_eq(b.open_until, now + 5001);
    breaker_hold(&b, 0);
    ck_assert_int_eq(b.open_until, now + 5001);
}
END_TEST

START_TEST(allows_one_probe)
{
    breaker_hold(&b, now + BREAKER_OPEN_MS);
    breaker_probe(&b);
    ck_assert(breaker_allows(&b));
    ck_assert(breaker_take(&b));
    ck_assert(!breaker_allows(&b));
    ck_assert(!breaker_take(&b));
}
END_TEST

START_TEST(a_probe_that_fails_opens_it_again)
{
    breaker_hold(&b, now);
    breaker_probe(&b);
    ck_assert(breaker_take(&b));
    ck_assert(breaker_note(&b, now, true, true));
    ck_assert(!breaker_allows(&b));
    breaker_hold(&b, now + 2 * BREAKER_OPEN_MS); /* as the caller does then */
    ck_assert_int_eq(b.open_until, now + 2 * BREAKER_OPEN_MS);
    breaker_probe(&b);
    ck_assert(breaker_take(&b));
}
END_TEST

START_TEST(a_probe_that_goes_well_leaves_closing_to_what_all_share)
{
    play("ffF");
    breaker_hold(&b, now);
    breaker_probe(&b);
    ck_assert(breaker_take(&b));
    ck_assert(!breaker_note(&b, now, false, true));
    ck_assert(!breaker_allows(&b));
    breaker_apply(&b, now, true, 0);
    ck_assert(breaker_allows(&b));
    play("ff"); /* what was before is history */
}
END_TEST

START_TEST(a_call_that_ignored_the_open_breaker_is_no_probe)
{
    breaker_hold(&b, now + BREAKER_OPEN_MS);
    breaker_probe(&b);
    ck_assert(!breaker_note(&b, now, true, false)); /* was taken before */
    ck_assert(breaker_allows(&b));                  /* the probe is still to be made */
    ck_assert(breaker_take(&b));
}
END_TEST

/* Closed or open before; what all generators share; whether calls are allowed, until when not. */
static const struct {
    int64_t held;
    bool closed;
    int64_t ms;
    bool allows;
    int64_t until;
} applied[] = {
    {0, true, 0, true, 0},      {0, false, 30000, false, 30000}, {0, false, 600000, false, 600000},
    {0, false, 0, false, 1}, /* over, but nobody has closed it */
    {0, false, -5, false, 1},   {5000, true, 0, true, 0},        {5000, false, 30000, false, 30000},
    {5000, false, 0, false, 1}, /* theirs is the time that counts: PostgreSQL never shortens it */
};

START_TEST(what_all_share_wins)
{
    if (applied[_i].held)
        breaker_hold(&b, now + applied[_i].held);
    breaker_apply(&b, now, applied[_i].closed, applied[_i].ms);
    ck_assert_int_eq(breaker_allows(&b), applied[_i].allows);
    ck_assert_int_eq(b.open_until, applied[_i].until ? now + applied[_i].until : 0);
}
END_TEST

START_TEST(hearing_that_it_is_closed_forgets_nothing_if_it_was)
{
    play("ff");
    breaker_apply(&b, now, true, 0);
    play("F");
}
END_TEST

START_TEST(a_probe_granted_is_gone_when_another_process_closed_it)
{
    breaker_hold(&b, now);
    breaker_probe(&b);
    breaker_apply(&b, now, true, 0);
    ck_assert(breaker_allows(&b));
    ck_assert(!breaker_take(&b));
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_breaker(void)
{
    Suite *s = suite_create("breaker");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, NULL);
    EACH(t, opens_at_three_in_a_row_or_half_of_five_within_a_minute, histories);
    tcase_add_test(t, is_closed_at_first);
    tcase_add_test(t, opening_is_said_but_done_by_the_hold);
    tcase_add_test(t, stays_open_however_much_time_passes_until_it_is_told);
    tcase_add_test(t, calls_under_way_when_it_opened_change_nothing);
    tcase_add_test(t, a_hold_never_shortens);
    tcase_add_test(t, allows_one_probe);
    tcase_add_test(t, a_probe_that_fails_opens_it_again);
    tcase_add_test(t, a_probe_that_goes_well_leaves_closing_to_what_all_share);
    tcase_add_test(t, a_call_that_ignored_the_open_breaker_is_no_probe);
    EACH(t, what_all_share_wins, applied);
    tcase_add_test(t, hearing_that_it_is_closed_forgets_nothing_if_it_was);
    tcase_add_test(t, a_probe_granted_is_gone_when_another_process_closed_it);
    suite_add_tcase(s, t);
    return s;
}
