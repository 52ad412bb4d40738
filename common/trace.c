#include "common/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/utf8.h"
#include "common/uuid.h"

enum { SQL_MAX = 4096, SCOPE_MAX = 4096, NAME_SIZE = 32, TEXT_MAX_CHARACTERS = 200 };

#define TRACE_SQL(name, parameter, value, sql) {value, sql},
static const struct {
    enum trace_value value;
    const char *sql; /* with a %d for the parameter's number */
} filters[TRACE_FILTER_COUNT] = {TRACE_FILTERS(TRACE_SQL)};

const char *const trace_filter_names[TRACE_FILTER_COUNT] = {TRACE_FILTER_NAMES};

static const struct db_statement get = {
    "trace_get",
    "SELECT row_to_json(v) FROM lesson_trace_full v WHERE id = $1::uuid",
    1,
};

static const struct db_statement delete_one = {
    "trace_delete",
    "DELETE FROM lesson_traces WHERE id = $1::uuid RETURNING id",
    1,
};

static const struct db_statement delete_some = {
    "trace_delete_some",
    "WITH picked AS (SELECT id FROM lesson_traces "
    "                 WHERE created_at <= $1::timestamptz ORDER BY created_at, id LIMIT 1000),"
    " gone AS (DELETE FROM lesson_traces t USING picked WHERE t.id = picked.id RETURNING 1)"
    "SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM picked)",
    1,
};

static const struct db_statement now = {"trace_now", "SELECT clock_timestamp()", 0};

static bool is_status(const char *s)
{
    return strcmp(s, "started") == 0 || strcmp(s, "completed") == 0 || strcmp(s, "failed") == 0;
}

static bool check_filter(enum trace_filter f, const char *value, struct err *e)
{
    const char *name = trace_filter_names[f];

    switch (filters[f].value) {
    case TRACE_UUID:
        return uuid_valid(value) || err_set(e, ERR_INPUT, "%s: UUID expected", name);
    case TRACE_STATUS:
        return is_status(value) ||
               err_set(e, ERR_INPUT, "%s: started, completed or failed expected", name);
    case TRACE_TEXT:
        return (*value && utf8_count(value, strlen(value)) <= TEXT_MAX_CHARACTERS) ||
               err_set(e, ERR_INPUT, "%s: 1 to %d characters expected", name, TEXT_MAX_CHARACTERS);
    }
    return false;
}

/* The statements joined so far: one for each set of filters, kept for ever. */
static struct joined {
    struct db_statement statement;
    struct joined *next;
} * joined_first;

static const struct db_statement *find_joined(const char *name)
{
    for (struct joined *j = joined_first; j != NULL; j = j->next)
        if (strcmp(j->statement.name, name) == 0)
            return &j->statement;
    return NULL;
}

static const struct db_statement *keep_joined(const char *name, const char *sql, int args)
{
    struct joined *j = malloc(sizeof *j);

    if (j == NULL)
        abort();
    *j = (struct joined){{strdup(name), strdup(sql), args}, joined_first};
    if (j->statement.name == NULL || j->statement.sql == NULL)
        abort();
    joined_first = j;
    return &j->statement;
}

/* The conditions of the filters in use, and of the cursor, as constants with numbered places. */
static int add_conditions(struct buf *sql, const struct trace_query *q, bool after)
{
    const char *word = " WHERE ";
    int n = 0;

    for (int f = 0; f < TRACE_FILTER_COUNT; f++) {
        if (q->filters[f] == NULL)
            continue;
        buf_puts(sql, word);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(sql, filters[f].sql, ++n);
#pragma GCC diagnostic pop
        word = " AND ";
    }
    if (after) {
        buf_printf(sql, "%s(created_at, id) < ($%d::timestamptz, $%d::uuid)", word, n + 1, n + 2);
        n += 2;
    }
    return n;
}

static unsigned filter_mask(const struct trace_query *q)
{
    unsigned mask = 0;

    for (int f = 0; f < TRACE_FILTER_COUNT; f++)
        mask |= (unsigned)(q->filters[f] != NULL) << f;
    return mask;
}

/*
 * The page is found by its index before any document is built, so that skipped rows cost little
 * and none of their payload is read.
 */
static const struct db_statement *list_statement(struct arena *a, const struct trace_query *q,
                                                 bool after)
{
    const struct db_statement *s;
    char name[NAME_SIZE];
    struct buf *sql;
    int n;

    snprintf(name, sizeof name, "trace_list_%x_%d%d", filter_mask(q), after, q->full);
    if ((s = find_joined(name)) != NULL)
        return s;
    sql = buf_create(a, SQL_MAX);
    buf_printf(sql,
               "SELECT row_to_json(r), to_json(r.created_at)#>>'{}', r.id FROM (SELECT * FROM %s",
               q->full ? "lesson_trace_full" : "lesson_trace_summary");
    n = add_conditions(sql, q, after);
    buf_printf(sql, " ORDER BY created_at DESC, id DESC LIMIT $%d::int OFFSET $%d::int) r", n + 1,
               n + 2);
    return keep_joined(name, buf_text(sql), n + 2);
}

static const struct db_statement *count_statement(struct arena *a, const struct trace_query *q)
{
    const struct db_statement *s;
    char name[NAME_SIZE];
    struct buf *sql;
    int n;

    snprintf(name, sizeof name, "trace_count_%x", filter_mask(q));
    if ((s = find_joined(name)) != NULL)
        return s;
    sql = buf_create(a, SQL_MAX);
    buf_puts(sql, "SELECT count(*) FROM lesson_traces");
    n = add_conditions(sql, q, false);
    return keep_joined(name, buf_text(sql), n);
}

static int add_filter_args(struct db_call *call, const struct trace_query *q)
{
    int n = 0;

    for (int f = 0; f < TRACE_FILTER_COUNT; f++)
        if (q->filters[f] != NULL)
            call->args[n++] = db_arg(q->filters[f]);
    return n;
}

static bool check_query(struct arena *a, struct trace_query *q, struct err *e)
{
    struct buf *scope = buf_create(a, SCOPE_MAX);

    buf_puts(scope, "traces");
    for (int f = 0; f < TRACE_FILTER_COUNT; f++) {
        if (q->filters[f] == NULL)
            continue;
        if (!check_filter((enum trace_filter)f, q->filters[f], e))
            return false;
        buf_printf(scope, "&%s=%s", trace_filter_names[f], q->filters[f]);
    }
    q->page.scope = buf_text(scope);
    return true;
}

bool trace_list(struct db *db, struct arena *a, const struct db_identity *who,
                struct trace_query *q, int deadline_ms, struct page *page, struct err *e)
{
    struct db_call calls[2] = {0};
    struct db_rows *rows[2];
    struct page_position at;
    int n;

    if (!check_query(a, q, e) || !page_begin(a, &q->page, &at, e))
        return false;
    calls[0].statement = list_statement(a, q, at.id != NULL);
    n = add_filter_args(&calls[0], q);
    if (at.id != NULL) {
        calls[0].args[n++] = db_arg(at.created_at);
        calls[0].args[n++] = db_arg(at.id);
    }
    calls[0].args[n++] = db_arg_int(a, q->page.limit + 1);
    calls[0].args[n++] = db_arg_int(a, q->page.offset);
    if (q->count) {
        calls[1].statement = count_statement(a, q);
        add_filter_args(&calls[1], q);
    }
    if (!db_run(db, a, who, calls, q->count ? 2 : 1, rows, DB_RETRY, deadline_ms, e))
        return false;
    page_end(a, &q->page, rows[0], page);
    if (q->count)
        page->total = db_int(rows[1], 0, 0);
    return true;
}

const char *trace_get(struct db *db, struct arena *a, const struct db_identity *who, const char *id,
                      int deadline_ms, struct err *e)
{
    struct db_call call = {&get, {db_arg(id)}};
    struct db_rows *rows;

    if (!db_run(db, a, who, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return NULL;
    if (db_count(rows) == 0)
        err_set(e, ERR_NOT_FOUND, "id: no trace %s", id);
    return db_count(rows) ? db_value(rows, 0, 0) : NULL;
}

bool trace_delete(struct db *db, struct arena *a, const struct db_identity *who, const char *id,
                  int deadline_ms, struct err *e)
{
    struct db_call call = {&delete_one, {db_arg(id)}};
    struct db_rows *rows;

    if (!db_run(db, a, who, &call, 1, &rows, DB_ONCE, deadline_ms, e))
        return false;
    return db_count(rows) > 0 || err_set(e, ERR_NOT_FOUND, "id: no trace %s", id);
}

bool trace_delete_all(struct db *db, struct arena *a, const struct db_identity *who,
                      int deadline_ms, int batch_deadline_ms, long long *deleted, struct err *e)
{
    struct db_call call = {&now, {{0}}};
    struct db_rows *rows;
    long long picked;

    *deleted = 0;
    if (!db_run(db, a, who, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    call = (struct db_call){&delete_some, {db_arg(db_value(rows, 0, 0))}};
    do {
        if (!db_run(db, a, who, &call, 1, &rows, DB_ONCE, batch_deadline_ms, e))
            return false;
        *deleted += db_int(rows, 0, 0);
        picked = db_int(rows, 0, 1); /* another may have deleted them before us */
    } while (picked > 0);
    return true;
}
