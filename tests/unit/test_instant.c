#include "common/instant.h"

#include "tests/unit/suites.h"

static const struct {
    const char *text, *same; /* NULL: none */
} times[] = {
    {"2026-11-25T10:00:00Z", "2026-11-25T10:00:00.000000+00:00"},
    {"2026-11-25t10:00:00z", "2026-11-25T10:00:00.000000+00:00"},
    {"2026-11-25T10:00:00.5Z", "2026-11-25T10:00:00.500000+00:00"},
    {"2026-11-25T10:00:00.123456789Z", "2026-11-25T10:00:00.123456+00:00"},
    {"2026-11-25T10:00:00+05:30", "2026-11-25T04:30:00.000000+00:00"},
    {"2026-01-01T00:00:00.25+01:00", "2025-12-31T23:00:00.250000+00:00"},
    {"2028-02-29T23:59:59-00:00", "2028-02-29T23:59:59.000000+00:00"},
    {"1969-12-31T23:59:59.75Z", "1969-12-31T23:59:59.750000+00:00"},
    {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000+00:00"},
    {"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"},
    {"0001-01-01T00:00:00+01:00", NULL},
    {"9999-12-31T23:59:59-01:00", NULL},
    {"0000-01-01T00:00:00Z", NULL},
    {"2027-02-29T00:00:00Z", NULL},
    {"2026-13-01T00:00:00Z", NULL},
    {"2026-00-01T00:00:00Z", NULL},
    {"2026-04-31T00:00:00Z", NULL},
    {"2026-04-01T24:00:00Z", NULL},
    {"2026-04-01T00:60:00Z", NULL},
    {"2026-04-01T00:00:60Z", NULL},
    {"2026-04-01T00:00:00", NULL},
    {"2026-04-01T00:00:00.Z", NULL},
    {"2026-04-01T00:00:00+24:00", NULL},
    {"2026-04-01T00:00:00+00:60", NULL},
    {"2026-04-01T00:00:00+0000", NULL},
    {"2026-04-01T00:00:00Z ", NULL},
    {" 2026-04-01T00:00:00Z", NULL},
    {"2026-04-01 00:00:00Z", NULL},
    {"2026-04-01", NULL},
    {"now", NULL},
    {"", NULL},
};

START_TEST(a_time_is_read_and_spelt_in_utc_and_what_is_none_is_refused)
{
    struct arena *a = arena_create();
    int64_t at;

    ck_assert_int_eq(instant_parse(times[_i].text, &at), times[_i].same != NULL);
    if (times[_i].same != NULL)
        ck_assert_str_eq(instant_text(a, at), times[_i].same);
    arena_destroy(a);
}
END_TEST

START_TEST(every_prefix_of_a_time_is_refused)
{
    static const char text[] = "2026-11-25T10:00:00.123+01:00";
    int64_t at;

    for (size_t n = 0; n < sizeof text - 1; n++) {
        struct arena *a = arena_create();

        ck_assert(!instant_parse(arena_memdup(a, text, n), &at));
        arena_destroy(a);
    }
}
END_TEST

Suite *suite_instant(void)
{
    Suite *s = suite_create("instant");
    TCase *t = tcase_create("instant");

    tcase_add_loop_test(t, a_time_is_read_and_spelt_in_utc_and_what_is_none_is_refused, 0,
                        sizeof times / sizeof *times);
    tcase_add_test(t, every_prefix_of_a_time_is_refused);
    suite_add_tcase(s, t);
    return s;
}
