#include "common/uuid.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/suites.h"

static const char *const valid[] = {
    "00000000-0000-0000-0000-000000000000",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
};

static const char *const invalid[] = {
    "",
    "-",
    "f",
    "f81d4fae",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf66",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6 ",
    " f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "g81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "f81d4fae07dec-11d0-a765-00a0c91e6bf6",
    "f81d4fae-7dec011d0-a765-00a0c91e6bf6",
    "f81d4fae-7dec-11d00a765-00a0c91e6bf6",
    "f81d4fae-7dec-11d0-a765000a0c91e6bf6",
    "f81d4fa-e7dec-11d0-a765-00a0c91e6bf6",
    "f81d4fae7dec11d0a76500a0c91e6bf6",
    "{f81d4fae-7dec-11d0-a765-00a0c91e6bf6}",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf\n",
    "\xC3\xA9"
    "1d4fae-7dec-11d0-a765-00a0c91e6bf6",
};

START_TEST(takes_uuids_of_either_case)
{
    ck_assert(uuid_valid(valid[_i]));
}
END_TEST

START_TEST(refuses_what_is_no_uuid)
{
    ck_assert(!uuid_valid(invalid[_i]));
}
END_TEST

START_TEST(refuses_every_beginning_of_a_uuid)
{
    char text[UUID_SIZE];

    for (size_t len = 0; len < UUID_SIZE - 1; len++) {
        char *cut = strndup(valid[1], len); /* so that reading past its end is seen */

        ck_assert(!uuid_valid(cut));
        free(cut);
    }
    uuid_create(text);
    ck_assert(uuid_valid(text));
}
END_TEST

START_TEST(creates_version_4_in_lower_case)
{
    char text[UUID_SIZE];

    for (int i = 0; i < 200; i++) {
        uuid_create(text);
        ck_assert(uuid_valid(text));
        ck_assert_uint_eq(strlen(text), UUID_SIZE - 1);
        ck_assert_uint_eq(strspn(text, "0123456789abcdef-"), UUID_SIZE - 1);
        ck_assert_int_eq(text[14], '4');
        ck_assert_ptr_nonnull(strchr("89ab", text[19]));
    }
}
END_TEST

static int compare(const void *one, const void *other)
{
    return strcmp(one, other);
}

START_TEST(creates_no_uuid_twice)
{
    enum { COUNT = 1000 };
    char made[COUNT][UUID_SIZE];

    for (int i = 0; i < COUNT; i++)
        uuid_create(made[i]);
    qsort(made, COUNT, UUID_SIZE, compare);
    for (int i = 1; i < COUNT; i++)
        ck_assert_str_ne(made[i - 1], made[i]);
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_uuid(void)
{
    Suite *s = suite_create("uuid");
    TCase *t = tcase_create("all");

    EACH(t, takes_uuids_of_either_case, valid);
    EACH(t, refuses_what_is_no_uuid, invalid);
    tcase_add_test(t, refuses_every_beginning_of_a_uuid);
    tcase_add_test(t, creates_version_4_in_lower_case);
    tcase_add_test(t, creates_no_uuid_twice);
    suite_add_tcase(s, t);
    return s;
}
