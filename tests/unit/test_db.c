#include "common/db.h"

#include <string.h>

#include "common/redact.h"
#include "tests/unit/suites.h"

/* What needs no PostgreSQL: what is known once its address is read. */

static const struct {
    const char *conninfo, *text, *redacted;
} rows[] = {
    {"host=/nonexistent user=x password='p w-\\'0rd'", "say p w-'0rd!", "say [REDACTED]!"},
    {"postgresql://x:s%40t-w0rd@/x?host=/nonexistent", "say s@t-w0rd!", "say [REDACTED]!"},
    {"postgresql://x:s%40t-w1rd@/x?host=/nonexistent", "s%40t-w1rd", "[REDACTED]"},
    {"host=/nonexistent user=x password=correcthorsebattery", "correcthorsebattery", "[REDACTED]"},
    {"host=/nonexistent user=x password=postgres", "postgres is a word", "postgres is a word"},
    {"host=/nonexistent user=x", "nothing", "nothing"},
};

START_TEST(hides_the_password_of_a_connection)
{
    struct arena *a = arena_create();
    struct db *db = db_create(rows[_i].conninfo, "unit");
    size_t len;
    struct err e;

    ck_assert(!db_connect(db, &e));
    ck_assert_str_eq(redact(a, rows[_i].text, strlen(rows[_i].text), &len), rows[_i].redacted);
    db_destroy(db);
    arena_destroy(a);
}
END_TEST

Suite *suite_db(void)
{
    Suite *s = suite_create("db");
    TCase *t = tcase_create("all");

    tcase_add_loop_test(t, hides_the_password_of_a_connection, 0, sizeof rows / sizeof *rows);
    suite_add_tcase(s, t);
    return s;
}
