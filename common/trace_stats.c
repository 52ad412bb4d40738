#include "common/trace_stats.h"

#include <string.h>

#include "common/instant.h"

enum {
    FACET_VALUES_MAX = 50,
    BUCKETS_DEFAULT = 120,
    BUCKETS_MAX = 800,
    EXACT_MAX = 5000,
    SLOT_SECONDS = 6 * 3600, /* trace_slot() */
    ROLL_DEADLINE_MS = 2000,
};

#define SLOT "interval '6 hours'"

static const struct db_statement roll = {"trace_roll_up", "SELECT trace_roll_up('200 ms')", 0};

/* The cells of a year fit. */
static const struct db_statement room = {"trace_room",
                                         "SELECT set_config('work_mem', '64MB', true)", 0};

static const char *run(struct db *db, struct arena *a, const struct db_identity *who,
                       struct trace_sql *s, int deadline_ms, struct err *e)
{
    struct db_call calls[2] = {{&room, {{0}}}};
    struct db_rows *rows[2];

    trace_sql_end(s);
    calls[1] = s->call;
    if (!db_run(db, a, who, calls, 2, rows, DB_RETRY, deadline_ms, e))
        return NULL;
    return db_value(rows[1], 0, 0);
}

/* ---- what is summed up already ---- */

/* The columns that are counted by, and that the roll-ups have. */
static const struct {
    const char *name, *column;
    enum trace_by by;
} facets[] = {
    {"status", "status", TRACE_BY_STATUS},
    {"provider", "provider_used", TRACE_BY_PROVIDER},
    {"model", "model", TRACE_BY_MODEL},
    {"error_class", "error_class", TRACE_BY_ERROR_CLASS},
};

enum { FACETS = sizeof facets / sizeof *facets };

/* Whether the roll-ups have the columns that are filtered by. */
static bool rolled_up(const struct trace_filter *f)
{
    unsigned known = TRACE_BIT(TRACE_BY_FROM) | TRACE_BIT(TRACE_BY_TO);

    for (int i = 0; i < FACETS; i++)
        known |= TRACE_BIT(facets[i].by);
    for (int by = 0; by < TRACE_FILTER_COUNT; by++)
        if (f->values[by] != NULL && !(known & TRACE_BIT(by)))
            return false;
    return true;
}

/* Whoever comes first after six hours are over sums them up. Without it the answer is as true. */
static void roll_up(struct db *db, struct arena *a, const struct db_identity *who, int deadline_ms)
{
    struct db_call call = {&roll, {{0}}};
    struct db_rows *rows;
    struct err e;

    db_run(db, a, who, &call, 1, &rows, DB_ONCE, deadline_ms, &e);
}

/* What a search finds is read by several parts. */
static void begin(struct trace_sql *s, struct arena *a, const struct trace_filter *f)
{
    trace_sql_begin(s, a);
    if (f->indexed)
        trace_filter_find(s, f);
}

/*
 * slots: the six hours from first to last that count from the roll-ups, each on one side of middle;
 * none if the roll-ups do not know a filter. gaps: what is between them.
 */
static void add_slots(struct trace_sql *s, const char *first, const char *middle, const char *last,
                      bool known)
{
    int from = trace_sql_time(s, first), at = trace_sql_time(s, middle);
    int to = trace_sql_time(s, last);

    buf_printf(s->text,
               "%s slots AS MATERIALIZED ("
               "SELECT at FROM trace_rolled r WHERE %s AND at >= $%d"
               "   AND at + " SLOT " <= $%d"
               "   AND (at >= $%d OR at + " SLOT " <= $%d)"
               "   AND NOT EXISTS (SELECT FROM trace_touched t WHERE t.at = r.at)),"
               " gaps AS (SELECT lo, hi FROM ("
               "SELECT lag(at + " SLOT ", 1, $%d) OVER (ORDER BY at) AS lo, at AS hi"
               "  FROM (SELECT at FROM slots UNION ALL SELECT $%d) x) y WHERE lo < hi),",
               s->found ? "," : "WITH", known ? "true" : "false", from, to, at, at, from, to);
}

/* Whose roll-ups: they are of everybody, too. */
static void add_rolled_owner(struct trace_sql *s, const struct trace_filter *f)
{
    if (f->owner != NULL)
        buf_printf(s->text, "owner = $%d", trace_sql_text(s, f->owner));
    else
        buf_puts(s->text, "owner IS NULL");
}

/* What the roll-ups know of a filter, as a condition. */
static void add_rolled_conditions(struct trace_sql *s, const struct trace_filter *f)
{
    add_rolled_owner(s, f);
    for (int i = 0; i < FACETS; i++) {
        buf_puts(s->text, " AND ");
        trace_filter_add_one(s, f, facets[i].by);
    }
}

/*
 * The traces that no roll-up has. OFFSET 0 keeps the planner from joining first: it takes what is
 * between the slots for far more than it is, and would read the whole index.
 */
static void add_traces(struct trace_sql *s, bool known)
{
    if (known)
        buf_puts(s->text, " FROM gaps CROSS JOIN LATERAL (SELECT * FROM lesson_traces"
                          " WHERE created_at >= lo AND created_at < hi OFFSET 0) t");
    else
        buf_puts(s->text, " FROM lesson_traces");
}

/* ---- facets ---- */

/* The conditions of the other facets, on the cells. */
static void add_others(struct trace_sql *s, const struct trace_filter *f, int but)
{
    for (int i = 0; i < FACETS; i++) {
        if (i == but || f->values[facets[i].by] == NULL)
            continue;
        buf_puts(s->text, " AND ");
        trace_filter_add_one(s, f, facets[i].by);
    }
}

static void add_facet(struct trace_sql *s, const struct trace_filter *f, int i)
{
    buf_printf(s->text,
               "%s'%s', (SELECT coalesce(json_agg(v ORDER BY v.count DESC, v.value), '[]')"
               " FROM (SELECT %s AS value, sum(n) AS count FROM cells WHERE true",
               i > 0 ? ", " : "", facets[i].name, facets[i].column);
    add_others(s, f, i);
    buf_printf(s->text, " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %d) v)", FACET_VALUES_MAX);
}

/* Of each combination, whether or not it is filtered by: a facet counts what the others let in. */
static void add_combinations(struct trace_sql *s, const struct trace_filter *f, bool known)
{
    const char *from = f->values[TRACE_BY_FROM], *to = f->values[TRACE_BY_TO];
    const char *first = from != NULL ? from : "-infinity";
    unsigned without = known ? TRACE_BIT(TRACE_BY_FROM) | TRACE_BIT(TRACE_BY_TO) : 0;

    for (int i = 0; i < FACETS; i++)
        without |= TRACE_BIT(facets[i].by);
    add_slots(s, first, first, to != NULL ? to : "infinity", known);
    buf_puts(s->text, " cells AS MATERIALIZED ("
                      "SELECT status, provider_used, model, error_class, sum(n) AS n FROM ("
                      "SELECT status, provider_used, model, error_class, n"
                      "  FROM trace_rollups r JOIN slots USING (at) WHERE ");
    add_rolled_owner(s, f);
    buf_puts(s->text, " UNION ALL "
                      "SELECT status, provider_used, model, error_class, count(*)");
    add_traces(s, known);
    trace_filter_add(s, f, without);
    buf_puts(s->text, " GROUP BY 1, 2, 3, 4) c GROUP BY 1, 2, 3, 4)");
}

const char *trace_facets(struct db *db, struct arena *a, const struct db_identity *who,
                         struct trace_filter *f, int deadline_ms, struct err *e)
{
    struct trace_sql s;
    bool known;

    if (!trace_filter_check(a, f, e))
        return NULL;
    known = rolled_up(f);
    if (known)
        roll_up(db, a, who, ROLL_DEADLINE_MS);
    begin(&s, a, f);
    add_combinations(&s, f, known);
    buf_puts(s.text, " SELECT json_build_object('facets', json_build_object(");
    for (int i = 0; i < FACETS; i++)
        add_facet(&s, f, i);
    buf_puts(s.text, "), 'total', (SELECT coalesce(sum(n), 0) FROM cells WHERE true");
    add_others(&s, f, -1);
    buf_puts(s.text, "))");
    return run(db, a, who, &s, deadline_ms, e);
}

/* ---- the time that statistics are of ---- */

#define TRACE_BUCKET(name, seconds) {name, seconds},
static const struct bucket {
    const char *name;
    int64_t seconds;
} buckets[] = {TRACE_BUCKETS(TRACE_BUCKET)};

enum { BUCKETS = sizeof buckets / sizeof *buckets };

struct period {
    int64_t from, to;
    const struct bucket *bucket;
};

static const struct bucket *default_bucket(int64_t length)
{
    const struct bucket *b = buckets;

    while (b < buckets + BUCKETS - 1 && length > b->seconds * INSTANT_SECOND * BUCKETS_DEFAULT)
        b++;
    return b;
}

static bool read_bucket(const char *name, struct period *p, struct err *e)
{
    int64_t length = p->to - p->from;

    p->bucket = default_bucket(length);
    for (int i = 0; name != NULL && i < BUCKETS; i++)
        if (strcmp(buckets[i].name, name) == 0) {
            p->bucket = &buckets[i];
            name = NULL;
        }
    if (name != NULL)
        return err_set(e, ERR_INPUT,
                       "bucket: minute, 5min, 15min, hour, 6h, day, week or month expected");
    return length / (p->bucket->seconds * INSTANT_SECOND) <= BUCKETS_MAX ||
           err_set(e, ERR_INPUT, "bucket: more than %d of %s from from to to", BUCKETS_MAX,
                   p->bucket->name);
}

/* The filters from and to are those of the period from now on. */
static bool read_period(struct arena *a, struct trace_filter *f, const char *bucket,
                        struct period *p, struct err *e)
{
    *p = (struct period){.to = instant_now(), .bucket = buckets};
    if (f->values[TRACE_BY_TO] != NULL)
        instant_parse(f->values[TRACE_BY_TO], &p->to);
    p->from = p->to - INSTANT_FIRST < INSTANT_DAY ? INSTANT_FIRST : p->to - INSTANT_DAY;
    if (f->values[TRACE_BY_FROM] != NULL)
        instant_parse(f->values[TRACE_BY_FROM], &p->from);
    if (p->from >= p->to)
        return err_set(e, ERR_INPUT, "from: a time before to expected");
    f->values[TRACE_BY_TO] = instant_text(a, p->to);
    f->values[TRACE_BY_FROM] = instant_text(a, p->from);
    return read_bucket(bucket, p, e);
}

/* The filter from is that of the period before. */
static bool add_previous(struct arena *a, struct trace_filter *f, const struct period *p,
                         struct err *e)
{
    if (p->from - (p->to - p->from) < INSTANT_FIRST)
        return err_set(e, ERR_INPUT, "from: the period before it would begin before the year 1");
    f->values[TRACE_BY_FROM] = instant_text(a, p->from - (p->to - p->from));
    return true;
}

/* Where the bucket of a time begins: in UTC, weeks on Mondays. */
static void add_bucket(struct trace_sql *s, const struct period *p, const char *time)
{
    if (strcmp(p->bucket->name, "month") == 0)
        buf_printf(s->text, "date_trunc('month', %s, 'UTC')", time);
    else
        buf_printf(s->text, "date_bin('%lld s', %s, '2001-01-01T00:00:00Z')",
                   (long long)p->bucket->seconds, time);
}

/* All buckets of the period, as b (at). */
static void add_buckets(struct trace_sql *s, const struct period *p, int from, int to)
{
    buf_puts(s->text, "generate_series(");
    add_bucket(s, p, arena_printf(s->arena, "$%d", from));
    buf_printf(s->text, ", $%d - interval '1 microsecond', interval '", to);
    if (strcmp(p->bucket->name, "month") == 0)
        buf_puts(s->text, "1 month'");
    else
        buf_printf(s->text, "%lld s'", (long long)p->bucket->seconds);
    buf_puts(s->text, ") b (at)");
}

static void add_their_conditions(struct trace_sql *s, const struct trace_filter *f, bool known)
{
    trace_filter_add(s, f, known ? TRACE_BIT(TRACE_BY_FROM) | TRACE_BIT(TRACE_BY_TO) : 0);
}

/* ---- the histogram ---- */

/* Counts alone are a small part of what statistics take. */
static void add_counts(struct trace_sql *s, const struct trace_filter *f, const struct period *p,
                       bool known)
{
    buf_puts(s->text, " counts AS (SELECT at, status, sum(n) AS n FROM (SELECT ");
    add_bucket(s, p, "r.at");
    buf_puts(s->text, " AS at, status, n FROM trace_rollups r JOIN slots USING (at) WHERE ");
    add_rolled_conditions(s, f);
    buf_puts(s->text, " UNION ALL SELECT ");
    add_bucket(s, p, "created_at");
    buf_puts(s->text, ", status, count(*)");
    add_traces(s, known);
    add_their_conditions(s, f, known);
    buf_puts(s->text, " GROUP BY 1, 2) c GROUP BY 1, 2)");
}

const char *trace_histogram(struct db *db, struct arena *a, const struct db_identity *who,
                            struct trace_filter *f, const char *bucket, int deadline_ms,
                            struct err *e)
{
    struct trace_sql s;
    struct period p;
    bool known;
    int from, to;

    if (!trace_filter_check(a, f, e) || !read_period(a, f, bucket, &p, e))
        return NULL;
    known = rolled_up(f) && p.bucket->seconds >= SLOT_SECONDS;
    if (known)
        roll_up(db, a, who, ROLL_DEADLINE_MS);
    begin(&s, a, f);
    add_slots(&s, f->values[TRACE_BY_FROM], f->values[TRACE_BY_FROM], f->values[TRACE_BY_TO],
              known);
    add_counts(&s, f, &p, known);
    from = trace_sql_time(&s, f->values[TRACE_BY_FROM]);
    to = trace_sql_time(&s, f->values[TRACE_BY_TO]);
    buf_printf(s.text,
               " SELECT json_build_object('histogram', json_build_object('from', $%d, 'to', $%d,"
               " 'bucket', '%s', 'series', (SELECT json_agg(row_to_json(r)) FROM ("
               "SELECT b.at, coalesce(sum(n) FILTER (WHERE status = 'completed'), 0) AS completed,"
               "       coalesce(sum(n) FILTER (WHERE status = 'failed'), 0) AS failed,"
               "       coalesce(sum(n) FILTER (WHERE status = 'started'), 0) AS started FROM ",
               from, to, p.bucket->name);
    add_buckets(&s, &p, from, to);
    buf_puts(s.text, " LEFT JOIN counts USING (at) GROUP BY 1 ORDER BY 1) r)))");
    return run(db, a, who, &s, deadline_ms, e);
}

/* ---- statistics ---- */

/*
 * cells: what has time, provider, model, error class, status and about the same duration in
 * common, read once; all else is summed from them. A bin of durations is 2 % wide, or one
 * millisecond where there are few rows. Its least and greatest are kept: so what is alone in its
 * bin is exact in any case.
 */
#define BIN_EXACT "total_duration_ms"
#define BIN "trace_bin(total_duration_ms) / 2"
#define CELLS                                                                                      \
    " END AS bin, count(*)::int AS n, min(total_duration_ms) AS low, max(total_duration_ms) AS "   \
    "high,"                                                                                        \
    "       count(*) FILTER (WHERE cardinality(fallback_providers) > 0) AS fallbacks,"             \
    "       sum(llm_call_count) AS calls, sum(prompt_tokens)::bigint AS prompt,"                   \
    "       sum(completion_tokens)::bigint AS completion, sum(total_tokens)::bigint AS tokens,"    \
    "       sum(cost_usd) AS cost, count(cost_usd) AS known"

#define SUMMED                                                                                     \
    "at, provider_used, model, error_class, status, n, fallbacks, calls, prompt, completion,"      \
    " tokens, cost, known"

/* kind: which of the columns the group is not by; the bits of grouping(). */
#define SUMS                                                                                       \
    "dims AS MATERIALIZED ("                                                                       \
    "SELECT at IS NOT NULL AS current, at, provider_used, model, error_class, status,"             \
    "       sum(n) AS n, sum(fallbacks) AS fallbacks, sum(calls) AS calls, sum(prompt) AS prompt," \
    "       sum(completion) AS completion, sum(tokens) AS tokens, sum(cost) AS cost,"              \
    "       sum(known) AS known"                                                                   \
    "  FROM (SELECT " SUMMED " FROM cells UNION ALL SELECT " SUMMED " FROM rolled) c"              \
    " GROUP BY 1, 2, 3, 4, 5, 6),"                                                                 \
    "sums AS ("                                                                                    \
    "SELECT grouping(provider_used, model, at) AS kind, current, provider_used, model, at,"        \
    "       sum(n) AS requests,"                                                                   \
    "       coalesce(sum(n) FILTER (WHERE status = 'completed'), 0) AS completed,"                 \
    "       coalesce(sum(n) FILTER (WHERE status = 'failed'), 0) AS failed,"                       \
    "       coalesce(sum(n) FILTER (WHERE status = 'started'), 0) AS started,"                     \
    "       sum(fallbacks) AS fallbacks, sum(calls) AS llm_call_count, sum(prompt) AS "            \
    "prompt_tokens,"                                                                               \
    "       sum(completion) AS completion_tokens, sum(tokens) AS total_tokens, sum(cost) AS "      \
    "cost_usd,"                                                                                    \
    "       sum(known) AS cost_known"                                                              \
    "  FROM dims GROUP BY GROUPING SETS ((current), (current, provider_used),"                     \
    "                                    (current, provider_used, model), (current, at))),"

/* ms: the value at a rank; within a bin of several, between its least and its greatest. */
#define PERCENTILES                                                                                \
    "bins AS MATERIALIZED ("                                                                       \
    "SELECT grouping(at) = 0 AS timed, current, provider_used, model, at, bin,"                    \
    "       sum(n)::int AS n, min(low) AS low, max(high) AS high"                                  \
    "  FROM (SELECT at IS NOT NULL AS current, provider_used, model, at, bin, n, low, high"        \
    "          FROM cells WHERE bin IS NOT NULL"                                                   \
    "         UNION ALL "                                                                          \
    "        SELECT at IS NOT NULL, provider_used, model, at, trace_bin(ms) / 2, n, ms, ms"        \
    "          FROM (SELECT at, provider_used, model, unnest(durations) AS ms,"                    \
    "                       unnest(counts) AS n"                                                   \
    "                  FROM rolled) r) d"                                                          \
    " GROUP BY GROUPING SETS ((current, provider_used, model, bin), (current, at, bin))),"         \
    "hist AS ("                                                                                    \
    "SELECT grouping(provider_used, model) * 2 + 1 AS kind, current, provider_used, model,"        \
    "       NULL::timestamptz AS at, bin, sum(n)::int AS n, min(low) AS low, max(high) AS high"    \
    "  FROM bins WHERE NOT timed"                                                                  \
    " GROUP BY GROUPING SETS ((current, bin), (current, provider_used, bin),"                      \
    "                         (current, provider_used, model, bin))"                               \
    " UNION ALL "                                                                                  \
    "SELECT 6, current, NULL, NULL, at, bin, n, low, high FROM bins WHERE timed),"                 \
    "ranked AS ("                                                                                  \
    "SELECT *, sum(n) OVER (g ORDER BY bin) AS upto, sum(n) OVER g AS total"                       \
    "  FROM hist WINDOW g AS (PARTITION BY kind, current, provider_used, model, at)),"             \
    "percentiles AS ("                                                                             \
    "SELECT row(kind, current, provider_used, model, at) AS key, max(total) AS n,"                 \
    "       max(ms) FILTER (WHERE percent = 50) AS p50,"                                           \
    "       max(ms) FILTER (WHERE percent = 95) AS p95,"                                           \
    "       max(ms) FILTER (WHERE percent = 99) AS p99"                                            \
    "  FROM (SELECT r.*, percent,"                                                                 \
    "               low + round((high - low) * (rank - (upto - n) - 1.0)"                          \
    "                           / greatest(n - 1, 1))::int AS ms"                                  \
    "          FROM ranked r, (VALUES (50), (95), (99)) p (percent),"                              \
    "               LATERAL (SELECT (total * percent + 99) / 100 AS rank) x"                       \
    "         WHERE upto - n < rank AND rank <= upto) v"                                           \
    " GROUP BY kind, current, provider_used, model, at),"

/* A group of each kind as it is answered; sums of nothing are null, counts 0. */
#define DURATION                                                                                   \
    "json_build_object('p50', p50, 'p95', p95, 'p99', p99, 'n', coalesce(t.n, 0)) AS duration_ms"
#define RATE "round(failed / nullif(completed + failed, 0), 6)::float8 AS error_rate"
/* Rows are equal also where both have null. */
#define GROUPS                                                                                     \
    "groups AS MATERIALIZED ("                                                                     \
    "SELECT s.*, p50, p95, p99, t.n"                                                               \
    "  FROM (SELECT row(kind, current, provider_used, model, at) AS key, * FROM sums) s"           \
    "  LEFT JOIN percentiles t USING (key)) "
#define TOTALS                                                                                     \
    "coalesce(requests, 0) AS requests, coalesce(completed, 0) AS completed,"                      \
    " coalesce(failed, 0) AS failed, coalesce(started, 0) AS started, " RATE ","                   \
    " coalesce(fallbacks, 0) AS fallbacks, " DURATION ","                                          \
    " coalesce(llm_call_count, 0) AS llm_call_count, prompt_tokens, completion_tokens,"            \
    " total_tokens, cost_usd, coalesce(cost_known, 0) AS cost_known"
#define TOTALS_OF(which)                                                                           \
    "(SELECT row_to_json(r) FROM (SELECT " TOTALS ", failed_calls, failed_cost_usd"                \
    " FROM (SELECT coalesce(sum(n), 0) AS failed_calls, sum(cost) AS failed_cost_usd"              \
    "         FROM failures WHERE " which ") f"                                                    \
    " LEFT JOIN groups t ON kind = 7 AND " which ") r)"

#define ANSWER                                                                                     \
    "'totals', " TOTALS_OF("current") ", 'previous', " TOTALS_OF(                                  \
        "NOT current") ","                                                                         \
                       "'by_provider', (SELECT coalesce(json_agg(row_to_json(r)), '[]') FROM ("    \
                       "  SELECT provider_used AS provider, " TOTALS " FROM groups t"              \
                       "   WHERE kind = 3 AND current ORDER BY t.requests DESC, 1) r),"            \
                       "'by_model', (SELECT coalesce(json_agg(row_to_json(r)), '[]') FROM ("       \
                       "  SELECT provider_used AS provider, model, " TOTALS " FROM groups t"       \
                       "   WHERE kind = 1 AND current ORDER BY t.requests DESC, 1, 2) r),"         \
                       "'calls_by_provider', (SELECT coalesce(json_agg(row_to_json(r)), '[]')"     \
                       " FROM (SELECT provider, answered, failed_calls,"                           \
                       "  round(failed_calls / nullif(answered + failed_calls, 0), 6)::float8"     \
                       "  AS error_rate, failed_cost_usd"                                          \
                       "  FROM (SELECT coalesce(g.provider_used, f.failed_provider) AS provider,"  \
                       "   coalesce(g.completed, 0) AS answered,"                                  \
                       "   coalesce(f.n, 0) AS failed_calls, f.cost AS failed_cost_usd"            \
                       "   FROM (SELECT provider_used, completed FROM groups WHERE kind = 3"       \
                       "     AND current AND provider_used IS NOT NULL) g"                         \
                       "   FULL JOIN (SELECT failed_provider, sum(n) AS n, sum(cost) AS cost"      \
                       "     FROM failures WHERE current GROUP BY 1) f"                            \
                       "    ON f.failed_provider = g.provider_used) c"                             \
                       "  WHERE answered + failed_calls > 0"                                       \
                       "  ORDER BY answered + failed_calls DESC, 1) r),"                           \
                       "'failed_calls', (SELECT coalesce(json_agg(row_to_json(r)), '[]')"          \
                       " FROM (SELECT failed_provider AS provider, failed_class AS error_class,"   \
                       "  n AS count, cost AS cost_usd FROM failures WHERE current"                \
                       "  ORDER BY n DESC, 1, 2) r),"                                              \
                       "'by_error_class', (SELECT coalesce(json_agg(row_to_json(r)), '[]') FROM (" \
                       "  SELECT error_class, sum(n) AS count, sum(cost) AS cost_usd FROM dims"    \
                       "   WHERE current AND error_class IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, " \
                       "1) r),"                                                                    \
                       "'series', (SELECT json_agg(row_to_json(r)) FROM ("                         \
                       "  SELECT b.at, coalesce(started, 0) AS started, coalesce(completed, 0) "   \
                       "AS completed,"                                                             \
                       "         coalesce(failed, 0) AS failed, coalesce(requests, 0) AS "         \
                       "requests, " RATE ","                                                       \
                       "         " DURATION ", total_tokens, cost_usd"                             \
                       "    FROM "

static void add_answer(struct trace_sql *s, const struct period *p)
{
    int from = trace_sql_time(s, instant_text(s->arena, p->from));
    int to = trace_sql_time(s, instant_text(s->arena, p->to));

    buf_printf(s->text,
               "SELECT json_build_object('stats', json_build_object('from', $%d,"
               " 'to', $%d, 'bucket', '%s', " ANSWER,
               from, to, p->bucket->name);
    add_buckets(s, p, from, to);
    buf_puts(s->text, " LEFT JOIN groups t ON kind = 6 AND t.current AND t.at = b.at"
                      " ORDER BY b.at) r)))");
}

/* Of the previous period only totals are asked. */
static void add_dimensions(struct trace_sql *s, const struct period *p, const char *time)
{
    static const char *const columns[] = {"provider_used", "model", "error_class"};
    int from = trace_sql_time(s, instant_text(s->arena, p->from));

    buf_printf(s->text, "SELECT CASE WHEN %s >= $%d THEN ", time, from);
    add_bucket(s, p, time);
    buf_puts(s->text, " END AS at");
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        buf_printf(s->text, ", CASE WHEN %s >= $%d THEN %s END AS %s", time, from, columns[i],
                   columns[i]);
    buf_puts(s->text, ", status");
}

static void add_rolled(struct trace_sql *s, const struct trace_filter *f, const struct period *p)
{
    buf_puts(s->text, " rolled AS MATERIALIZED (");
    add_dimensions(s, p, "r.at");
    buf_puts(s->text, ", n, fallbacks, calls, prompt, completion, tokens, cost, known,"
                      " durations, counts"
                      " FROM trace_rollups r JOIN slots USING (at) WHERE ");
    add_rolled_conditions(s, f);
    buf_puts(s->text, "),");
}

static void add_cells(struct trace_sql *s, const struct trace_filter *f, const struct period *p,
                      bool known, bool exact)
{
    buf_puts(s->text, " cells AS MATERIALIZED (");
    add_dimensions(s, p, "created_at");
    buf_printf(s->text, ", CASE WHEN status <> 'started' THEN %s" CELLS, exact ? BIN_EXACT : BIN);
    add_traces(s, known);
    add_their_conditions(s, f, known);
    buf_puts(s->text, " GROUP BY 1, 2, 3, 4, 5, 6), ");
}

/* Both periods: whose calls failed, how, and at what cost. */
static void add_failures(struct trace_sql *s, const struct trace_filter *f, const struct period *p,
                         bool known)
{
    int from = trace_sql_time(s, instant_text(s->arena, p->from));

    buf_printf(
        s->text,
        "failures AS MATERIALIZED ("
        "SELECT current, failed_provider, failed_class, sum(n) AS n, sum(cost) AS cost FROM ("
        "SELECT created_at >= $%d AS current, x.failed_provider,"
        "       x.failed_class, 1 AS n, x.cost",
        from);
    add_traces(s, known);
    buf_puts(s->text, ", unnest(failed_providers, failed_classes, failed_costs)"
                      " AS x (failed_provider, failed_class, cost)");
    add_their_conditions(s, f, known);
    buf_printf(s->text,
               " UNION ALL "
               "SELECT r.at >= $%d, failed_provider, failed_class, n, cost"
               "  FROM trace_rollup_failures r JOIN slots USING (at) WHERE ",
               from);
    add_rolled_conditions(s, f);
    buf_puts(s->text, ") y GROUP BY 1, 2, 3),");
}

/* Whether percentiles can be exact. */
static bool look(struct db *db, struct arena *a, const struct db_identity *who,
                 const struct trace_filter *f, int deadline_ms, bool *few, struct err *e)
{
    struct trace_sql s;
    struct db_rows *rows;

    trace_sql_begin(&s, a);
    buf_puts(s.text, "SELECT count(*) FROM (SELECT FROM lesson_traces");
    trace_filter_add(&s, f, 0);
    buf_printf(s.text, " LIMIT %d) x", EXACT_MAX + 1);
    trace_sql_end(&s);
    if (!db_run(db, a, who, &s.call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    *few = db_int(rows, 0, 0) <= EXACT_MAX;
    return true;
}

const char *trace_stats(struct db *db, struct arena *a, const struct db_identity *who,
                        struct trace_filter *f, const char *bucket, int deadline_ms, struct err *e)
{
    struct trace_sql s;
    struct period p;
    bool few, known;

    if (!trace_filter_check(a, f, e) || !read_period(a, f, bucket, &p, e) ||
        !add_previous(a, f, &p, e) || !look(db, a, who, f, deadline_ms, &few, e))
        return NULL;
    known = !few && rolled_up(f) && p.bucket->seconds >= SLOT_SECONDS;
    if (known)
        roll_up(db, a, who, ROLL_DEADLINE_MS);
    begin(&s, a, f);
    add_slots(&s, f->values[TRACE_BY_FROM], instant_text(a, p.from), f->values[TRACE_BY_TO], known);
    add_rolled(&s, f, &p);
    add_cells(&s, f, &p, known, few);
    add_failures(&s, f, &p, known);
    buf_puts(s.text, SUMS PERCENTILES GROUPS);
    add_answer(&s, &p);
    return run(db, a, who, &s, deadline_ms, e);
}
