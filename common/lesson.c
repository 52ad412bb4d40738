#include "common/lesson.h"

#include <string.h>
#include <time.h>

#include "common/config.h"
#include "common/instant.h"
#include "common/uuid.h"

enum { RACES_MAX = 5, DAY_S = 24 * 60 * 60 };

static const struct db_statement create = {
    "lesson_create",
    "WITH queue AS ("
    "  SELECT count(*) >= $9::int AS busy, user_tokens_spent($2, $10::bigint) AS spent"
    "    FROM (SELECT FROM generation_jobs WHERE owner = $2 LIMIT $9::int) j),"
    " lesson AS ("
    "  INSERT INTO lessons (id, owner, title, outline, options, idempotency_key)"
    "  SELECT $1::uuid, $2, $3, $4, $5::jsonb, $6 FROM queue"
    "   WHERE NOT busy AND spent IS NOT TRUE"
    "  ON CONFLICT DO NOTHING RETURNING *),"
    " trace AS ("
    "  INSERT INTO lesson_traces (id, lesson_id, owner, request_id, request_data)"
    "  SELECT $7::uuid, id, owner, $8,"
    "         CASE WHEN $11::bool THEN jsonb_build_object('outline', outline)"
    "              ELSE jsonb_build_object('content_kept', false) END || options"
    "    FROM lesson),"
    " job AS ("
    "  INSERT INTO generation_jobs (lesson_id, trace_id, owner, provider, model)"
    "  SELECT id, $7::uuid, owner, options->>'provider', options->>'model' FROM lesson)"
    "SELECT 'created', id, row_to_json(r)"
    "  FROM (SELECT id, title, outline, options, content, status, error_message, owner, created_at,"
    "               updated_at, ARRAY[$7::uuid] AS trace_ids FROM lesson) r",
    11,
};

/*
 * Why nothing was created. Its lesson was made before: under the same key, or under the same id,
 * when the commit's acknowledgement was lost and the segment was sent again. Each of the two is a
 * look into a unique index: with OR between them all lessons of the owner may be read. Or there are
 * too many, which says less. Or, with no row, what was in the way is not there any more.
 */
static const struct db_statement explain = {
    "lesson_explain",
    "WITH made AS MATERIALIZED ("
    "  SELECT id FROM lessons WHERE id = $1::uuid "
    "  UNION ALL "
    "  SELECT id FROM lessons WHERE owner = $2 AND idempotency_key = $5)"
    "SELECT CASE WHEN id = $1::uuid THEN 'created'"
    "            WHEN outline = $3 AND options = $4::jsonb THEN 'same' ELSE 'other' END,"
    "       id, (SELECT row_to_json(v) FROM lesson_full v WHERE v.id = l.id)"
    "  FROM lessons l WHERE id IN (SELECT id FROM made) "
    "UNION ALL "
    "SELECT CASE WHEN spent THEN 'spent' ELSE 'full' END, NULL, NULL"
    "  FROM (SELECT count(*) >= $6::int AS busy, user_tokens_spent($2, $7::bigint) AS spent"
    "          FROM (SELECT FROM generation_jobs WHERE owner = $2 LIMIT $6::int) j) queue"
    " WHERE (busy OR spent) AND NOT EXISTS (SELECT FROM made)",
    7,
};

static const struct db_statement regenerate = {
    "lesson_regenerate",
    "WITH queue AS ("
    "  SELECT count(*) >= $6::int AS busy, user_tokens_spent($7, $8::bigint) AS spent"
    "    FROM (SELECT FROM generation_jobs WHERE owner = $7 LIMIT $6::int) j),"
    " lesson AS ("
    "  UPDATE lessons SET status = 'generating', error_message = NULL, updated_at = now()"
    "    FROM queue WHERE id = $1::uuid AND status <> 'generating' AND NOT busy"
    "     AND spent IS NOT TRUE RETURNING lessons.*),"
    " request AS ("
    "  SELECT id, owner, outline,"
    "         CASE WHEN $3::text IS NULL AND $4::text IS NULL THEN options"
    "              ELSE (options - 'provider' - 'model')"
    "                   || jsonb_strip_nulls(jsonb_build_object('provider', $3, 'model', $4))"
    "         END AS options"
    "    FROM lesson),"
    " trace AS ("
    "  INSERT INTO lesson_traces (id, lesson_id, owner, request_id, request_data)"
    "  SELECT $2::uuid, id, owner, $5,"
    "         CASE WHEN $9::bool THEN jsonb_build_object('outline', outline)"
    "              ELSE jsonb_build_object('content_kept', false) END || options"
    "    FROM request),"
    " job AS ("
    "  INSERT INTO generation_jobs (lesson_id, trace_id, owner, provider, model)"
    "  SELECT id, $2::uuid, owner, options->>'provider', options->>'model' FROM request)"
    "SELECT (SELECT count(*) FROM lesson), (SELECT count(*) FROM lessons WHERE id = $1::uuid),"
    "       (SELECT busy FROM queue), (SELECT spent FROM queue)",
    9,
};

static const struct db_statement queue_full = {
    "lesson_queue_full",
    "SELECT count(*) >= $1::int FROM (SELECT FROM generation_jobs LIMIT $1::int) j",
    1,
};

/* A transaction of its own: to draw its number NOTIFY would be flushed to the disk like any other.
 */
static const struct db_statement announce = {
    "lesson_announce",
    "SELECT set_config('synchronous_commit', 'off', true), pg_notify('generation_queued', '')",
    0,
};

#define LESSON_LIST(condition, limit, offset)                                                      \
    "SELECT row_to_json(r), to_json(r.created_at)#>>'{}', r.id"                                    \
    "  FROM (SELECT * FROM lesson_summary" condition                                               \
    "         ORDER BY created_at DESC, id DESC LIMIT " limit "::int OFFSET " offset "::int) r"

static const struct db_statement list = {
    "lesson_list",
    LESSON_LIST("", "$1", "$2"),
    2,
};

static const struct db_statement list_after = {
    "lesson_list_after",
    LESSON_LIST(" WHERE (created_at, id) < ($1::timestamptz, $2::uuid)", "$3", "$4"),
    4,
};

static const struct db_statement get = {
    "lesson_get",
    "SELECT row_to_json(v) FROM lesson_full v WHERE id = $1::uuid",
    1,
};

static const struct db_statement delete_one = {
    "lesson_delete",
    "WITH gone AS (DELETE FROM lessons WHERE id = $1::uuid RETURNING id, status)"
    "SELECT id, CASE status WHEN 'generating'"
    "           THEN pg_notify('generation_cancelled', id::text) END FROM gone",
    1,
};

/* Whether the trace keeps the outline; if not, it says so. */
static struct db_arg trace_content(void)
{
    return db_arg(config_bool("TRACE_CONTENT") ? "true" : "false");
}

static struct db_arg tokens_max(struct arena *a, const struct lesson_limits *limits)
{
    return limits->tokens_per_day > 0 ? db_arg_int(a, limits->tokens_per_day) : db_arg(NULL);
}

static bool refuse_full(const struct lesson_limits *limits, struct err *e)
{
    return err_set(e, ERR_RATE, "user: %ld generations are queued or running, no more at a time",
                   limits->queued_max);
}

static bool refuse_spent(const struct lesson_limits *limits, struct err *e)
{
    err_set(e, ERR_RATE, "user: the %ld tokens of this day are used, the next day of UTC has more",
            limits->tokens_per_day);
    e->wait_s = DAY_S - time(NULL) % DAY_S;
    return false;
}

static bool is(const char *word, const struct db_rows *rows)
{
    return strcmp(db_value(rows, 0, 0), word) == 0;
}

static bool is_true(const struct db_rows *rows, int col)
{
    const char *v = db_value(rows, 0, col);

    return v != NULL && strcmp(v, "t") == 0;
}

/* One row, or none: what was in the way is not there any more. */
static bool create_once(struct db *db, struct arena *a, const struct db_identity *who,
                        const struct db_call *made, const struct db_call *why, int deadline_ms,
                        struct db_rows **rows, struct err *e)
{
    int64_t begin = instant_now(), took_ms;

    if (!db_run(db, a, who, made, 1, rows, DB_RETRY, deadline_ms, e))
        return false;
    took_ms = (instant_now() - begin) / 1000;
    if (took_ms > 0 && took_ms < deadline_ms)
        deadline_ms -= (int)took_ms;
    return db_count(*rows) > 0 || db_run(db, a, who, why, 1, rows, DB_RETRY, deadline_ms, e);
}

static bool refuse_race(const struct lesson_request *r, struct err *e)
{
    if (r->idempotency_key == NULL)
        return err_set(e, ERR_UNAVAILABLE, "queue: it is full and is not, again and again");
    return err_set(e, ERR_CONFLICT,
                   "idempotency-key: its lesson is being made or deleted right now");
}

const char *lesson_create(struct db *db, struct arena *a, const struct db_identity *who,
                          const struct lesson_request *r, const struct lesson_limits *limits,
                          int deadline_ms, const char **id, struct err *e)
{
    char lesson_id[UUID_SIZE], trace_id[UUID_SIZE];
    struct db_arg queued_max = db_arg_int(a, limits->queued_max), tokens = tokens_max(a, limits);
    struct db_rows *rows = NULL;
    struct db_call made, why;

    uuid_create(lesson_id);
    uuid_create(trace_id);
    made = (struct db_call){&create,
                            {db_arg(lesson_id), db_arg(who->user), db_arg(r->title),
                             db_arg(r->outline), db_arg(r->options), db_arg(r->idempotency_key),
                             db_arg(trace_id), db_arg(who->request_id), queued_max, tokens,
                             trace_content()}};
    why = (struct db_call){&explain,
                           {db_arg(lesson_id), db_arg(who->user), db_arg(r->outline),
                            db_arg(r->options), db_arg(r->idempotency_key), queued_max, tokens}};
    for (int i = 0; i < RACES_MAX && (rows == NULL || db_count(rows) == 0); i++)
        if (!create_once(db, a, who, &made, &why, deadline_ms, &rows, e))
            return NULL;
    if (db_count(rows) == 0) {
        refuse_race(r, e);
        return NULL;
    }
    if (is("full", rows) || is("spent", rows)) {
        (void)(is("full", rows) ? refuse_full(limits, e) : refuse_spent(limits, e));
        return NULL;
    }
    if (is("other", rows)) {
        err_set(e, ERR_UNPROCESSABLE, "idempotency-key: was used with another request");
        return NULL;
    }
    *id = db_value(rows, 0, 1);
    return db_value(rows, 0, 2);
}

const char *lesson_regenerate(struct db *db, struct arena *a, const struct db_identity *who,
                              const char *id, const char *provider, const char *model,
                              const struct lesson_limits *limits, int deadline_ms, struct err *e)
{
    char trace_id[UUID_SIZE];
    struct db_call calls[2];
    struct db_rows *rows[2];

    uuid_create(trace_id);
    calls[0] = (struct db_call){&regenerate,
                                {db_arg(id), db_arg(trace_id), db_arg(provider), db_arg(model),
                                 db_arg(who->request_id), db_arg_int(a, limits->queued_max),
                                 db_arg(who->user), tokens_max(a, limits), trace_content()}};
    calls[1] = (struct db_call){&get, {db_arg(id)}};
    if (!db_run(db, a, who, calls, 2, rows, DB_ONCE, deadline_ms, e))
        return NULL;
    if (db_int(rows[0], 0, 1) == 0)
        err_set(e, ERR_NOT_FOUND, "id: no lesson %s", id);
    else if (db_int(rows[0], 0, 0) == 0 && is_true(rows[0], 2))
        refuse_full(limits, e);
    else if (db_int(rows[0], 0, 0) == 0 && is_true(rows[0], 3))
        refuse_spent(limits, e);
    else if (db_int(rows[0], 0, 0) == 0)
        err_set(e, ERR_CONFLICT, "id: lesson %s is being generated", id);
    else
        return db_value(rows[1], 0, 0);
    return NULL;
}

bool lesson_check_queue(struct db *db, long max, int deadline_ms, struct err *e)
{
    struct arena *a = arena_create();
    struct db_call call = {&queue_full, {db_arg_int(a, max)}};
    struct db_rows *rows;
    bool ok = db_run(db, a, NULL, &call, 1, &rows, DB_RETRY, deadline_ms, e);

    if (ok && strcmp(db_value(rows, 0, 0), "t") == 0)
        ok = err_set(e, ERR_UNAVAILABLE, "queue: %ld generations, full", max);
    arena_destroy(a);
    return ok;
}

void lesson_announce(struct db *db, int deadline_ms)
{
    struct db_call call = {&announce, {{0}}};
    struct arena *a = arena_create();
    struct db_rows *rows;
    struct err e;

    (void)db_run(db, a, NULL, &call, 1, &rows, DB_ONCE, deadline_ms, &e); /* they poll, too */
    arena_destroy(a);
}

bool lesson_list(struct db *db, struct arena *a, const struct db_identity *who,
                 struct page_request *r, int deadline_ms, struct page *page, struct err *e)
{
    struct db_arg limit = db_arg_int(a, r->limit + 1), offset = db_arg_int(a, r->offset);
    struct page_position at;
    struct db_rows *rows;
    struct db_call call;

    r->scope = "lessons";
    if (!page_begin(a, r, &at, e))
        return false;
    if (at.id == NULL)
        call = (struct db_call){&list, {limit, offset}};
    else
        call = (struct db_call){&list_after, {db_arg(at.value), db_arg(at.id), limit, offset}};
    if (!db_run(db, a, who, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    page_end(a, r, rows, page);
    return true;
}

const char *lesson_get(struct db *db, struct arena *a, const struct db_identity *who,
                       const char *id, int deadline_ms, struct err *e)
{
    struct db_call call = {&get, {db_arg(id)}};
    struct db_rows *rows;

    if (!db_run(db, a, who, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return NULL;
    if (db_count(rows) == 0)
        err_set(e, ERR_NOT_FOUND, "id: no lesson %s", id);
    return db_count(rows) ? db_value(rows, 0, 0) : NULL;
}

bool lesson_delete(struct db *db, struct arena *a, const struct db_identity *who, const char *id,
                   int deadline_ms, struct err *e)
{
    struct db_call call = {&delete_one, {db_arg(id)}};
    struct db_rows *rows;

    if (!db_run(db, a, who, &call, 1, &rows, DB_ONCE, deadline_ms, e))
        return false;
    return db_count(rows) > 0 || err_set(e, ERR_NOT_FOUND, "id: no lesson %s", id);
}
