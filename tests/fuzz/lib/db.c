/*
 * db: stands in for PostgreSQL. It asserts what PostgreSQL asks of a statement and its values, and
 * answers with a few rows of a shape that fits.
 */
#include "common/db.h"

#include <ctype.h>
#include <string.h>

#include "tests/fuzz/lib/fuzz.h"

enum { CALLS_MAX = 8 }; /* of a request: one that goes on until nothing is left ends */

struct fuzz_db fuzz_db;

struct db_rows {
    int count;
    bool by_number; /* what a list is sorted by */
    bool made;      /* what an INSERT returns: word, id, document */
};

struct db_arg db_arg(const char *s)
{
    return (struct db_arg){s, s ? strlen(s) : 0, DB_TEXT};
}

struct db_arg db_arg_time(const char *s)
{
    return (struct db_arg){s, s ? strlen(s) : 0, DB_TIMESTAMPTZ};
}

struct db_arg db_arg_uuids(const char *s)
{
    return (struct db_arg){s, s ? strlen(s) : 0, DB_UUIDS};
}

struct db_arg db_arg_bytes(const char *s, size_t len)
{
    return (struct db_arg){s, len, DB_TEXT};
}

struct db_arg db_arg_int(struct arena *a, long long value)
{
    return db_arg(arena_printf(a, "%lld", value));
}

/* Nothing of a client's is in the text, as far as one can tell: it is constant, and is well-formed.
 */
static void check_text(const struct db_statement *s)
{
    bool quoted = false, seen[DB_ARGS_MAX + 1] = {false};

    must(s->args >= 0 && s->args <= DB_ARGS_MAX);
    for (const char *p = s->sql; *p; p++) {
        must(isprint((unsigned char)*p) || *p == '\n');
        if (*p == '\'')
            quoted = !quoted;
        if (*p == '$' && isdigit((unsigned char)p[1])) {
            long n = strtol(p + 1, NULL, 10);

            must(n >= 1 && n <= s->args);
            seen[n] = true;
        }
    }
    must(!quoted);
    for (int i = 1; i <= s->args; i++)
        must(seen[i]);
}

static void check_call(const struct db_call *call)
{
    check_text(call->statement);
    for (int i = 0; i < call->statement->args; i++)
        if (call->args[i].data != NULL)
            must(fuzz_storable(call->args[i].data, call->args[i].len));
}

static void check_identity(const struct db_identity *who)
{
    if (who == NULL)
        return;
    must(fuzz_db.user == NULL || *who->user == '\0' || strcmp(who->user, fuzz_db.user) == 0);
    must(fuzz_storable(who->user, strlen(who->user)));
    must(who->filter == NULL || fuzz_storable(who->filter, strlen(who->filter)));
}

struct db *db_create(const char *conninfo, const char *program)
{
    (void)conninfo;
    (void)program;
    return (struct db *)&fuzz_db;
}

void db_destroy(struct db *db)
{
    (void)db;
}

bool db_run(struct db *db, struct arena *a, const struct db_identity *identity,
            const struct db_call *calls, int count, struct db_rows *rows[], enum db_retry retry,
            int deadline_ms, struct err *e)
{
    must(db == (struct db *)&fuzz_db && count >= 1 && count <= DB_CALLS_MAX && deadline_ms > 0);
    (void)retry;
    check_identity(identity);
    for (int i = 0; i < count; i++) {
        check_call(&calls[i]);
        rows[i] = arena_alloc(a, sizeof *rows[i]);
        rows[i]->count = fuzz_db.rows;
        rows[i]->by_number = strstr(calls[i].statement->sql, "::text, r.id") != NULL;
        rows[i]->made = strstr(calls[i].statement->sql, "INSERT") != NULL;
    }
    if (++fuzz_db.calls > CALLS_MAX || fuzz_db.fails)
        return err_set(e, ERR_UNAVAILABLE, "database: away");
    return true;
}

int db_count(const struct db_rows *rows)
{
    return rows->count;
}

/* A document or a number, what a list is sorted by, an id. */
const char *db_value(const struct db_rows *rows, int row, int col)
{
    must(row >= 0 && col >= 0);
    if (col == (rows->made ? 2 : 0))
        return "{\"n\":1}";
    if (col == 1)
        return rows->by_number ? "12.5" : "2026-11-25T10:00:00.123456+00:00";
    return col == 2 ? "3f2504e0-4f89-41d3-9a0c-0305e82c3301" : "t";
}

size_t db_length(const struct db_rows *rows, int row, int col)
{
    return strlen(db_value(rows, row, col));
}

long long db_int(const struct db_rows *rows, int row, int col)
{
    if (col == 0)
        return fuzz_db.many ? 1000000 : 1;
    return strtoll(db_value(rows, row, col), NULL, 10);
}
