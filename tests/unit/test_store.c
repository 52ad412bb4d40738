#include "fcgi/lessons/generator/store.h"

#include "tests/unit/suites.h"

/* What needs no PostgreSQL: that writes wait for it, in order, and whom to tell is forgotten. */

static struct db *away;
static int told;
/* For ever, since the store drops nothing; here, so that no leak is seen. */
static struct arena *volatile waiting[3];

static void set_up(void)
{
    away = db_create("host=/nonexistent", "unit");
    store_init(away);
    told = 0;
}

static void tear_down(void)
{
    db_destroy(away);
}

static void tell(void *arg, bool held, const struct err *failed)
{
    (void)arg;
    (void)held;
    (void)failed;
    told++;
}

static const struct db_statement statement = {"unit", "SELECT 1", 0};

static struct store_write *add(void *arg)
{
    struct store_write *w = store_write_create();

    w->call.statement = &statement;
    w->done = tell;
    w->arg = arg;
    store_add(w);
    return w;
}

START_TEST(a_write_is_empty_and_its_own)
{
    struct store_write *w = store_write_create(), *other = store_write_create();

    ck_assert_ptr_nonnull(w->arena);
    ck_assert_ptr_ne(w->arena, other->arena);
    ck_assert_ptr_null(w->call.statement);
    ck_assert_ptr_null(w->done);
    ck_assert_ptr_null(w->next);
    arena_destroy(w->arena);
    arena_destroy(other->arena);
}
END_TEST

START_TEST(writes_wait_in_order_while_postgresql_is_away)
{
    int first, second;
    struct store_write *one, *two, *three;

    ck_assert(store_idle());
    store_send(); /* nothing */
    one = add(&first);
    ck_assert(!store_idle());
    two = add(&second);
    three = add(&first);
    waiting[0] = one->arena;
    waiting[1] = two->arena;
    waiting[2] = three->arena;
    ck_assert_ptr_eq(one->next, two);
    ck_assert_ptr_eq(two->next, three);
    ck_assert_ptr_null(three->next);
    for (int i = 0; i < 3; i++)
        store_send();
    ck_assert(!store_idle());
    ck_assert_int_eq(told, 0);

    store_forget(&first); /* the writes stay, nobody is told of them */
    ck_assert_ptr_null(one->done);
    ck_assert_ptr_nonnull(two->done);
    ck_assert_ptr_null(three->done);
    ck_assert(!store_idle());
    store_forget(&first);
    store_forget(&second);
    store_send();
    ck_assert(!store_idle());
    ck_assert_int_eq(told, 0);
}
END_TEST

Suite *suite_store(void)
{
    Suite *s = suite_create("store");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_write_is_empty_and_its_own);
    tcase_add_test(t, writes_wait_in_order_while_postgresql_is_away);
    suite_add_tcase(s, t);
    return s;
}
