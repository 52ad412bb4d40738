#include "common/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

enum {
    NAME_SIZE = 32,
    NEAR_ROWS = 150, /* for each row of a page: where a search looks first, row by row */
};

static const struct db_statement get = {
    "trace_get",
    "SELECT row_to_json(v) FROM lesson_trace_full v WHERE id = $1::uuid",
    1,
};

static const struct db_statement get_some = {
    "trace_get_some",
    "SELECT row_to_json(v) FROM unnest($1) WITH ORDINALITY AS i (id, n)"
    "  JOIN lesson_trace_full v USING (id) ORDER BY i.n",
    1,
};

static const struct db_statement delete_one = {
    "trace_delete",
    "DELETE FROM lesson_traces WHERE id = $1::uuid RETURNING id",
    1,
};

static const struct db_statement delete_some = {
    "trace_delete_some",
    "WITH picked AS (SELECT created_at, id FROM lesson_traces"
    "                 WHERE (created_at, id) > ($1, $2::uuid) AND created_at <= $3"
    "                 ORDER BY created_at, id LIMIT 1000),"
    " gone AS (DELETE FROM lesson_traces t USING picked WHERE t.id = picked.id RETURNING 1)"
    "SELECT (SELECT count(*) FROM gone), created_at, id FROM picked"
    " ORDER BY created_at DESC, id DESC LIMIT 1",
    3,
};

static const struct db_statement now = {"trace_now", "SELECT clock_timestamp()", 0};

/* Every time is later than -infinity, whatever the id. */
#define NIL "00000000-0000-0000-0000-000000000000"

/* ---- sorting ---- */

#define TRACE_SORT(name, type) {name, type},
static const struct sort {
    const char *column, *type;
} sorts[] = {TRACE_SORTS(TRACE_SORT)};

struct order {
    const struct sort *by; /* sorts[0] is the time, which is never unknown */
    bool descending;
};

static bool read_order(const char *text, struct order *order, struct err *e)
{
    *order = (struct order){&sorts[0], true};
    if (text == NULL)
        return true;
    order->descending = *text == '-';
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) {
        order->by = &sorts[i];
        if (strcmp(text + order->descending, sorts[i].column) == 0)
            return true;
    }
    return err_set(e, ERR_INPUT,
                   "sort: created_at, total_duration_ms, total_tokens or cost_usd expected, "
                   "with - in front for the greatest first");
}

static bool may_be_unknown(const struct order *order)
{
    return order->by != &sorts[0];
}

static const char *direction(const struct order *order)
{
    return order->descending ? "DESC" : "ASC";
}

/* The time is never unknown: spelt as in its index, it needs no sort. */
static void add_order(struct trace_sql *s, const struct order *order)
{
    buf_printf(s->text, " ORDER BY %s %s%s, id %s", order->by->column, direction(order),
               may_be_unknown(order) ? " NULLS LAST" : "", direction(order));
}

/* The order in which an index gives rows that all have a value, or none of which has one. */
static void add_index_order(struct trace_sql *s, const struct order *order)
{
    buf_printf(s->text, " ORDER BY %s %s, id %s", order->by->column, direction(order),
               direction(order));
}

/* ---- the list ---- */

#define CSV_CELL(name, text) " || ',' || trace_cell(" text ")"
#define CSV_NAME(name, text) "," name
#define CSV_COLUMNS(X)                                                                             \
    X("lesson_id", "r.lesson_id::text")                                                            \
    X("provider_used", "r.provider_used")                                                          \
    X("fallback_providers", "array_to_string(r.fallback_providers, ' ')")                          \
    X("total_duration_ms", "r.total_duration_ms::text")                                            \
    X("error_message", "r.error_message")                                                          \
    X("status", "r.status")                                                                        \
    X("created_at", "to_json(r.created_at)#>>'{}'")                                                \
    X("completed_at", "to_json(r.completed_at)#>>'{}'")                                            \
    X("owner", "r.owner")                                                                          \
    X("request_id", "r.request_id")                                                                \
    X("model", "r.model")                                                                          \
    X("prompt_tokens", "r.prompt_tokens::text")                                                    \
    X("completion_tokens", "r.completion_tokens::text")                                            \
    X("total_tokens", "r.total_tokens::text")                                                      \
    X("cost_usd", "r.cost_usd::text")                                                              \
    X("llm_call_count", "r.llm_call_count::text")                                                  \
    X("error_class", "r.error_class")                                                              \
    X("last_error", "r.last_error")                                                                \
    X("outline_preview", "r.outline_preview")                                                      \
    X("content_kept", "r.content_kept::text")

static const struct {
    const char *view, *doc;
} forms[] = {
    [TRACE_FULL] = {"lesson_trace_full", "row_to_json(r)"},
    [TRACE_SUMMARY] = {"lesson_trace_summary", "row_to_json(r)"},
    [TRACE_CSV] = {"lesson_trace_summary", "r.id::text" CSV_COLUMNS(CSV_CELL)},
    [TRACE_SIZE] = {"lesson_trace_full",
                    "(pg_column_size(r.request_data) + coalesce(pg_column_size(r.response_data), 0)"
                    " + pg_column_size(r.llm_calls) + pg_column_size(r.decisions))::text"},
};

const char *trace_csv_header(void)
{
    return "id" CSV_COLUMNS(CSV_NAME);
}

/* How a search is done: row by row in what comes first, or by its index, all over. */
enum search { SEARCH_NONE, SEARCH_NEAR, SEARCH_FAR };

struct list {
    const struct trace_query *q;
    struct order order;
    struct page_position after;
    enum search search;
};

/* Behind the conditions of the filters: the row comes after the cursor's. */
static void add_after(struct trace_sql *s, const struct list *l, const char *word)
{
    const char *sign = l->order.descending ? "<" : ">";
    const char *value = l->after.value;
    int n = trace_sql_text(s, l->after.id);

    if (value == NULL)
        buf_printf(s->text, "%sid %s $%d::uuid", word, sign, n);
    else
        buf_printf(s->text, "%s(%s, id) %s ($%d::%s, $%d::uuid)", word, l->order.by->column, sign,
                   may_be_unknown(&l->order) ? trace_sql_text(s, value) : trace_sql_time(s, value),
                   l->order.by->type, n);
}

static const char *joint(const struct trace_sql *s, size_t before)
{
    return s->text->len > before ? " AND " : " WHERE ";
}

/* The conditions of one part: rows with a value, or rows without one (unknown). */
static void add_conditions(struct trace_sql *s, const struct list *l, bool unknown)
{
    size_t before = s->text->len;

    trace_filter_add(s, &l->q->filter, l->search == SEARCH_NEAR ? TRACE_BIT(TRACE_BY_Q) : 0);
    if (may_be_unknown(&l->order))
        buf_printf(s->text, "%s%s IS %s", joint(s, before), l->order.by->column,
                   unknown ? "NULL" : "NOT NULL");
    if (l->after.id != NULL && (l->after.value == NULL) == unknown)
        add_after(s, l, joint(s, before));
}

/*
 * What filters look at stands in the index by time: with the ids found first, rows that do not
 * match are not read. A search looks at the rows themselves; near, at the text alone.
 */
static void add_part(struct trace_sql *s, const struct list *l, const char *depth, bool unknown)
{
    const char *view = forms[l->q->form].view;
    bool near = l->search == SEARCH_NEAR;

    if (trace_filter_empty(&l->q->filter))
        buf_printf(s->text, "(SELECT * FROM %s", view);
    else
        buf_puts(s->text, "(SELECT v.* FROM (SELECT id AS found FROM ");
    if (near)
        buf_printf(s->text, "(SELECT id, %s, search_text FROM ", l->order.by->column);
    if (!trace_filter_empty(&l->q->filter))
        buf_puts(s->text, "lesson_traces");
    add_conditions(s, l, unknown);
    add_index_order(s, &l->order);
    if (near) {
        buf_printf(s->text, " LIMIT %ld) n WHERE ", NEAR_ROWS * l->q->page.limit);
        trace_filter_add_text(s, &l->q->filter);
        add_index_order(s, &l->order);
    }
    buf_printf(s->text, " LIMIT %s)", depth);
    if (!trace_filter_empty(&l->q->filter))
        buf_printf(s->text, " f JOIN %s v ON v.id = f.found)", view);
}

/* A first page, or one behind a cursor, no longer than a client's: one plan is good for all. */
static bool is_shallow(const struct list *l)
{
    return l->q->page.offset == 0 && l->q->page.limit <= PAGE_LIMIT_MAX &&
           !may_be_unknown(&l->order) && trace_filter_empty(&l->q->filter);
}

/*
 * Of how many rows the page is the end. With a number in the statement PostgreSQL sees that a plan
 * for all pages costs no more than a plan for this one; planning took a fifth of a page's time.
 */
static const char *depth_of(struct trace_sql *s, const struct list *l)
{
    const struct page_request *page = &l->q->page;

    if (is_shallow(l))
        return arena_printf(s->arena, "%d", PAGE_LIMIT_MAX + 1);
    return arena_printf(s->arena, "$%d::int", trace_sql_int(s, page->limit + 1 + page->offset));
}

/*
 * The page is found by its index before any document is built, so that skipped rows cost little
 * and none of their payload is read. Rows with a value are one part, those without another: each
 * has its index order. A search that looks near has not seen all of the first, so it ends there.
 */
static void add_list(struct trace_sql *s, const struct list *l)
{
    const struct page_request *page = &l->q->page;
    const char *depth = depth_of(s, l);
    const char *column = l->order.by->column;
    bool known = l->after.id == NULL || l->after.value != NULL;
    bool unknown = may_be_unknown(&l->order) && (!known || l->search != SEARCH_NEAR);

    if (l->search == SEARCH_FAR)
        trace_filter_find(s, &l->q->filter);
    buf_printf(s->text, "SELECT %s, %s, r.id FROM (SELECT * FROM (", forms[l->q->form].doc,
               may_be_unknown(&l->order) ? arena_printf(s->arena, "r.%s::text", column)
                                         : "to_json(r.created_at)#>>'{}'");
    if (known)
        add_part(s, l, depth, false);
    if (known && unknown)
        buf_puts(s->text, " UNION ALL ");
    if (unknown)
        add_part(s, l, depth, true);
    buf_puts(s->text, ") w");
    add_order(s, &l->order);
    buf_printf(s->text, " LIMIT $%d::int OFFSET $%d::int) r", trace_sql_int(s, page->limit + 1),
               trace_sql_int(s, page->offset));
}

/* The statements that are prepared: those of unfiltered lists, kept for ever. */
static struct joined {
    struct db_statement statement;
    struct joined *next;
} * joined_first;

static const struct db_statement *keep(const char *name, const char *sql, int args)
{
    struct joined *j = joined_first;

    while (j != NULL && strcmp(j->statement.name, name) != 0)
        j = j->next;
    if (j != NULL)
        return &j->statement;
    j = malloc(sizeof *j);
    if (j == NULL)
        abort();
    *j = (struct joined){{strdup(name), strdup(sql), args}, joined_first};
    if (j->statement.name == NULL || j->statement.sql == NULL)
        abort();
    joined_first = j;
    return &j->statement;
}

/* Without filters every plan is as good as the first; with them each is made for its values. */
static void prepare(struct trace_sql *s, const struct list *l)
{
    char name[NAME_SIZE];

    if (!trace_filter_empty(&l->q->filter))
        return;
    snprintf(name, sizeof name, "trace_list_%d%d%d%d%d%d%d", (int)(l->order.by - sorts),
             l->order.descending, l->after.id != NULL, l->after.value != NULL,
             l->q->filter.owner != NULL, is_shallow(l), (int)l->q->form);
    s->call.statement = keep(name, s->call.statement->sql, s->args);
}

static void add_count(struct trace_sql *s, const struct trace_filter *f)
{
    buf_puts(s->text, "SELECT count(*) FROM lesson_traces");
    trace_filter_add(s, f, 0);
    trace_sql_end(s);
}

static bool run_list(struct db *db, struct arena *a, const struct db_identity *who,
                     const struct list *l, int deadline_ms, struct db_rows *rows[2], struct err *e)
{
    struct trace_sql s[2];
    struct db_call calls[2];

    for (int i = 0; i < 2; i++)
        trace_sql_begin(&s[i], a);
    add_list(&s[0], l);
    trace_sql_end(&s[0]);
    prepare(&s[0], l);
    add_count(&s[1], &l->q->filter);
    for (int i = 0; i < 2; i++)
        calls[i] = s[i].call;
    return db_run(db, a, who, calls, l->q->count ? 2 : 1, rows, DB_RETRY, deadline_ms, e);
}

static bool check_query(struct arena *a, struct trace_query *q, struct list *l, struct err *e)
{
    *l = (struct list){.q = q};
    if (!trace_filter_check(a, &q->filter, e) || !read_order(q->sort, &l->order, e))
        return false;
    q->page.by_number = may_be_unknown(&l->order);
    q->page.scope = arena_printf(
        a, "traces%s%s", q->filter.scope,
        q->sort && strcmp(q->sort, "-created_at") != 0 ? arena_printf(a, "&sort=%s", q->sort) : "");
    return page_begin(a, &q->page, &l->after, e);
}

/*
 * A search for what many traces have ends among the first rows; one for what few have goes by its
 * index, to which few are cheap.
 */
bool trace_list(struct db *db, struct arena *a, const struct db_identity *who,
                struct trace_query *q, int deadline_ms, struct page *page, struct err *e)
{
    struct db_rows *rows[2];
    struct list l;

    if (!check_query(a, q, &l, e))
        return false;
    if (q->filter.indexed)
        l.search = SEARCH_NEAR;
    if (!run_list(db, a, who, &l, deadline_ms, rows, e))
        return false;
    if (l.search == SEARCH_NEAR && db_count(rows[0]) <= q->page.limit) {
        l.search = SEARCH_FAR;
        if (!run_list(db, a, who, &l, deadline_ms, rows, e))
            return false;
    }
    page_end(a, &q->page, rows[0], page);
    if (q->count)
        page->total = db_int(rows[1], 0, 0);
    return true;
}

bool trace_count(struct db *db, struct arena *a, const struct db_identity *who,
                 const struct trace_filter *f, int deadline_ms, long long *count, struct err *e)
{
    struct trace_sql s;
    struct db_rows *rows;

    trace_sql_begin(&s, a);
    add_count(&s, f);
    if (!db_run(db, a, who, &s.call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    *count = db_int(rows, 0, 0);
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

bool trace_get_some(struct db *db, struct arena *a, const struct db_identity *who, const char *ids,
                    int deadline_ms, struct db_rows **rows, struct err *e)
{
    struct db_call call = {&get_some, {db_arg_uuids(ids)}};

    return db_run(db, a, who, &call, 1, rows, DB_RETRY, deadline_ms, e);
}

/* ---- deletion ---- */

bool trace_delete(struct db *db, struct arena *a, const struct db_identity *who, const char *id,
                  int deadline_ms, struct err *e)
{
    struct db_call call = {&delete_one, {db_arg(id)}};
    struct db_rows *rows;

    if (!db_run(db, a, who, &call, 1, &rows, DB_ONCE, deadline_ms, e))
        return false;
    return db_count(rows) > 0 || err_set(e, ERR_NOT_FOUND, "id: no trace %s", id);
}

/* Each batch begins behind the last: what is deleted still stands in the index, for as long as any
 * snapshot may see it. */
bool trace_delete_all(struct db *db, struct arena *a, const struct db_identity *who,
                      int deadline_ms, int batch_deadline_ms, long long *deleted, struct err *e)
{
    struct db_call call = {&now, {{0}}};
    struct db_rows *rows;

    *deleted = 0;
    if (!db_run(db, a, who, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    call = (struct db_call){
        &delete_some, {db_arg_time("-infinity"), db_arg(NIL), db_arg_time(db_value(rows, 0, 0))}};
    for (;;) {
        if (!db_run(db, a, who, &call, 1, &rows, DB_ONCE, batch_deadline_ms, e))
            return false;
        if (db_count(rows) == 0)
            return true;
        *deleted += db_int(rows, 0, 0); /* another may have deleted some before us */
        call.args[0] = db_arg_time(db_value(rows, 0, 1));
        call.args[1] = db_arg(db_value(rows, 0, 2));
    }
}

/* One more than confirmed is enough to know that they are others. As arrays of 1,000. */
static bool name_matching(struct db *db, struct arena *a, const struct db_identity *who,
                          const struct trace_filter *f, long long confirmed, int deadline_ms,
                          struct db_rows **batches, struct err *e)
{
    struct trace_sql s;

    trace_sql_begin(&s, a);
    buf_puts(s.text, "SELECT count(*), '{' || string_agg(id::text, ',') || '}'"
                     "  FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / 1000 AS batch"
                     "          FROM (SELECT id FROM lesson_traces");
    trace_filter_add(&s, f, 0);
    buf_printf(s.text, " LIMIT $%d::bigint) m) n GROUP BY batch ORDER BY batch",
               trace_sql_int(&s, confirmed + 1));
    trace_sql_end(&s);
    return db_run(db, a, who, &s.call, 1, batches, DB_RETRY, deadline_ms, e);
}

/* What no longer matches is left alone. */
static bool delete_batch(struct db *db, struct arena *a, const struct db_identity *who,
                         const struct trace_filter *f, const char *ids, int deadline_ms,
                         long long *deleted, struct err *e)
{
    struct trace_sql s;
    struct db_rows *rows;
    size_t before;

    trace_sql_begin(&s, a);
    buf_puts(s.text, "WITH gone AS (DELETE FROM lesson_traces");
    before = s.text->len;
    trace_filter_add(&s, f, TRACE_BIT(TRACE_BY_Q)); /* the words of an ended trace stay */
    buf_printf(s.text,
               "%sid = ANY ($%d) RETURNING 1)"
               " SELECT count(*) FROM gone",
               joint(&s, before), trace_sql_uuids(&s, ids));
    trace_sql_end(&s);
    if (!db_run(db, a, who, &s.call, 1, &rows, DB_ONCE, deadline_ms, e))
        return false;
    *deleted += db_int(rows, 0, 0);
    return true;
}

static bool differs(long long matched, long long confirmed, struct err *e)
{
    return matched == confirmed ||
           err_set(e, ERR_CONFLICT, "confirm: %lld traces match, not %lld", matched, confirmed);
}

/* Not all of them are deleted: count what is left. */
static bool leave_rest(struct db *db, struct arena *a, const struct db_identity *who,
                       const struct trace_filter *f, long long confirmed, int deadline_ms,
                       long long *matched, long long deleted)
{
    struct err e;

    if (!trace_count(db, a, who, f, deadline_ms, matched, &e))
        *matched = confirmed - deleted;
    return false;
}

bool trace_delete_matching(struct db *db, struct arena *a, const struct db_identity *who,
                           const struct trace_filter *f, long long confirmed, int batch_deadline_ms,
                           long long *matched, long long *deleted, struct err *e)
{
    struct db_rows *batches;
    long long named = 0;

    *matched = *deleted = 0;
    if (!trace_count(db, a, who, f, batch_deadline_ms, matched, e) ||
        !differs(*matched, confirmed, e) ||
        !name_matching(db, a, who, f, confirmed, batch_deadline_ms, &batches, e))
        return false;
    for (int i = 0; i < db_count(batches); i++)
        named += db_int(batches, i, 0);
    if (!differs(*matched = named, confirmed, e))
        return false;
    for (int i = 0; i < db_count(batches); i++)
        if (!delete_batch(db, a, who, f, db_value(batches, i, 1), batch_deadline_ms, deleted, e))
            return leave_rest(db, a, who, f, confirmed, batch_deadline_ms, matched, *deleted);
    if (*deleted == confirmed)
        return true;
    err_set(e, ERR_CONFLICT, "confirm: %lld of %lld traces deleted, the others meanwhile by others",
            *deleted, confirmed);
    return leave_rest(db, a, who, f, confirmed, batch_deadline_ms, matched, *deleted);
}
