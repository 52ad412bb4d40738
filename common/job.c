#include "common/job.h"

#include <math.h>
#include <string.h>

static const struct db_statement keep = {
    "job_keep",
    "UPDATE generation_workers SET beat = now() WHERE slot = $1 RETURNING 1",
    1,
};

static const struct db_statement enlist = {
    "job_register",
    "INSERT INTO generation_workers AS w (slot) VALUES ($1)"
    "    ON CONFLICT (slot) DO UPDATE"
    "       SET epoch = w.epoch + 1, beat = now(), started_at = now(), left_at = NULL"
    " RETURNING epoch",
    1,
};

/* Of a former process of the slot, whoever has requeued the job since. Not twice for one death. */
static const struct db_statement charge = {
    "job_charge",
    "UPDATE generation_jobs"
    "   SET deaths = deaths + 1,"
    "       charged = concat(coalesce(slot, lost_slot), ':', coalesce(epoch, lost_epoch))"
    " WHERE lesson_id = $1::uuid"
    "   AND coalesce(slot, lost_slot) = $2"
    "   AND coalesce(epoch, lost_epoch) < (SELECT epoch FROM generation_workers WHERE slot = $2)"
    "   AND charged IS DISTINCT FROM"
    "       concat(coalesce(slot, lost_slot), ':', coalesce(epoch, lost_epoch)) RETURNING 1",
    2,
};

static const struct db_statement beat = {
    "job_beat",
    "UPDATE generation_workers SET beat = now(), spool_ok = $3::bool"
    " WHERE slot = $1 AND epoch = $2::bigint RETURNING 1",
    3,
};

static const struct db_statement leave = {
    "job_leave",
    "UPDATE generation_workers SET beat = '-infinity', left_at = now()"
    " WHERE slot = $1 AND epoch = $2::bigint RETURNING 1",
    2,
};

/* The suspects run in the generator that has least to do: it must come to have nothing. */
static const struct db_statement recover = {
    "job_recover",
    "WITH lost AS ("
    "  SELECT j.lesson_id, j.trace_id FROM generation_jobs j"
    "    LEFT JOIN generation_workers w ON w.slot = j.slot"
    "   WHERE j.slot IS NOT NULL AND NOT (j.slot = $1 AND j.epoch >= $2::bigint)"
    "     AND (j.slot = $1 OR ($4::bool AND (w.slot IS NULL OR j.epoch < w.epoch"
    "          OR w.beat < now() - make_interval(secs => $3::int))))"
    "   LIMIT $5::int FOR UPDATE OF j SKIP LOCKED),"
    " told AS ("
    "  UPDATE lesson_traces t"
    "     SET llm_calls = trace_end_calls(t.llm_calls),"
    "         error_class = coalesce("
    "           trace_last_failure(trace_end_calls(t.llm_calls), 'error_class'), t.error_class),"
    "         last_error = coalesce("
    "           trace_last_failure(trace_end_calls(t.llm_calls), 'error'), t.last_error),"
    "         decisions = t.decisions || jsonb_build_array(jsonb_build_object("
    "           'at', to_jsonb(clock_timestamp()), 'action', 'retry', 'provider', NULL,"
    "           'reason', 'worker_lost', 'wait_ms', NULL))"
    "    FROM lost WHERE t.id = lost.trace_id),"
    " freed AS ("
    "  UPDATE generation_jobs j"
    "     SET slot = NULL, epoch = NULL, lost_slot = slot, lost_epoch = epoch,"
    "         interruptions = interruptions + 1"
    "    FROM lost WHERE j.lesson_id = lost.lesson_id RETURNING 1)"
    "SELECT (SELECT count(*) FROM freed),"
    "       EXISTS (SELECT FROM generation_jobs WHERE slot IS NULL AND deaths >= 2)"
    "       AND $1 = (SELECT w.slot FROM generation_workers w"
    "                  WHERE w.beat >= now() - make_interval(secs => $3::int) AND w.spool_ok"
    "                  ORDER BY (SELECT count(*) FROM generation_jobs j WHERE j.slot = w.slot),"
    "                           w.slot LIMIT 1),"
    "       now()",
    5,
};

/* Several claim at once: each takes what no other has locked. A process that lost its slot, none.
 */
#define CLAIM(which, limit)                                                                        \
    "WITH picked AS ("                                                                             \
    "  SELECT lesson_id FROM generation_jobs WHERE slot IS NULL AND " which                        \
    "   ORDER BY created_at LIMIT " limit " FOR UPDATE SKIP LOCKED),"                              \
    " held AS ("                                                                                   \
    "  UPDATE generation_jobs j"                                                                   \
    "     SET slot = $1, epoch = $2::bigint, claimed_at = now(), lost_slot = NULL,"                \
    "         lost_epoch = NULL"                                                                   \
    "    FROM picked, generation_workers w"                                                        \
    "   WHERE j.lesson_id = picked.lesson_id AND w.slot = $1 AND w.epoch = $2::bigint"             \
    "  RETURNING j.*)"                                                                             \
    "SELECT h.lesson_id, h.trace_id, l.outline, l.options, h.provider, h.model,"                   \
    "       coalesce(t.decisions, '[]'), jsonb_array_length(coalesce(t.llm_calls, '[]')),"         \
    "       (extract(epoch FROM clock_timestamp() - h.created_at) * 1000)::bigint, h.deaths,"      \
    "       coalesce(t.prompt_tokens, -1), coalesce(t.completion_tokens, -1),"                     \
    "       coalesce(t.total_tokens, -1), t.cost_usd, trace_failures(t.llm_calls),"                \
    "       coalesce(trace_spent(t.llm_calls), 0), t.request_id"                                   \
    "  FROM held h JOIN lessons l ON l.id = h.lesson_id"                                           \
    "  LEFT JOIN lesson_traces t ON t.id = h.trace_id"

static const struct db_statement claim = {"job_claim", CLAIM("deaths < 2", "$3::int"), 3};
static const struct db_statement claim_suspect = {"job_claim_suspect", CLAIM("deaths >= 2", "1"),
                                                  2};

/* $1 lesson, $2 slot, $3 epoch, $4 trace, $5 … the progress: the same numbers in all statements. */
enum { PROGRESS_ARGS = 13 };

#define CALLS                                                                                      \
    "CASE WHEN $5 IS NULL THEN t.llm_calls"                                                        \
    "     ELSE trace_put_call(t.llm_calls, $5::jsonb) END"

/* A call that seemed lost may have ended well: then the last failure is another, or none. */
#define FAILURE_KNOWN                                                                              \
    "WHEN t.error_class IS DISTINCT FROM 'worker_lost' OR $8 IS NOT NULL OR $5 IS NULL "           \
    "THEN "
#define PROGRESS_SET                                                                               \
    " decisions = $6::jsonb, model = coalesce($7, t.model),"                                       \
    " error_class = CASE " FAILURE_KNOWN "coalesce($8, t.error_class)"                             \
    "   ELSE trace_last_failure(" CALLS ", 'error_class') END,"                                    \
    " last_error = CASE " FAILURE_KNOWN "coalesce($9, t.last_error)"                               \
    "   ELSE trace_last_failure(" CALLS ", 'error') END,"                                          \
    " prompt_tokens = $10::bigint, completion_tokens = $11::bigint, total_tokens = $12::bigint,"   \
    " cost_usd = $13::numeric"                                                                     \
    "  FROM job WHERE t.id = job.trace_id"

/*
 * This generation of the lesson, held, or lost and not yet begun by another: a late word is as
 * good.
 */
#define FENCE                                                                                      \
    "lesson_id = $1::uuid AND trace_id = $4::uuid"                                                 \
    " AND ((slot = $2 AND epoch = $3::bigint)"                                                     \
    "      OR (slot IS NULL AND lost_slot = $2 AND lost_epoch = $3::bigint))"

/* Too late for the job, but the call was made: its trace says so. */
#define LATE_CALL(asked)                                                                           \
    "CASE WHEN count(*) = 0 THEN trace_put_late($4::uuid, $5::jsonb, " asked ") END"

/* OFFSET 0: the calls are reckoned once. */
#define RECORD(asked)                                                                              \
    "WITH job AS ("                                                                                \
    "  SELECT trace_id FROM generation_jobs WHERE " FENCE " FOR SHARE),"                           \
    " traced AS ("                                                                                 \
    "  UPDATE lesson_traces t"                                                                     \
    "     SET (llm_calls, llm_call_count) ="                                                       \
    "           (SELECT calls, jsonb_array_length(calls)"                                          \
    "              FROM (SELECT " CALLS " AS calls OFFSET 0) AS put)," PROGRESS_SET ")"            \
    "SELECT count(*), " LATE_CALL(asked) " FROM job"

/* An intent that comes too late is none: the call will not be made. */
static const struct db_statement record = {"job_record", RECORD("false"), PROGRESS_ARGS};

/*
 * From the spool, an intent says that the call was made. Its end may stand behind it; if nothing
 * does, it was lost.
 */
static const struct db_statement record_spooled = {"job_record_spooled", RECORD("true"),
                                                   PROGRESS_ARGS};

/*
 * Locks lesson, job, trace, in this order: the order of a DELETE of the lesson. No trace ends with
 * a call that has not. A trace that grows counts its tokens; of one that was deleted, all are
 * counted here.
 */
static const struct db_statement finish = {
    "job_finish",
    "WITH lesson AS ("
    "  SELECT id FROM lessons WHERE id = $1::uuid FOR NO KEY UPDATE),"
    " job AS ("
    "  DELETE FROM generation_jobs USING lesson"
    "   WHERE lesson_id = lesson.id AND " FENCE " RETURNING lesson_id, trace_id, owner),"
    " learned AS ("
    "  UPDATE lessons l"
    "     SET status = CASE WHEN $14::bool THEN 'generated' ELSE 'error' END,"
    "         title = coalesce($15, l.title), content = coalesce($16, l.content),"
    "         error_message = $18, updated_at = now()"
    "    FROM job WHERE l.id = job.lesson_id),"
    " traced AS ("
    "  UPDATE lesson_traces t"
    "     SET status = CASE WHEN $14::bool THEN 'completed' ELSE 'failed' END,"
    "         response_data = CASE WHEN $17::jsonb -> 'content_kept' = 'false' THEN $17::jsonb"
    "                              ELSE $17::jsonb || jsonb_build_object('content', $16) END,"
    "         error_message = $18, provider_used = $19,"
    "         total_duration_ms = least($20::bigint, 2147483647), completed_at = now(),"
    "         (llm_calls, llm_call_count, fallback_providers) ="
    "           (SELECT calls, jsonb_array_length(calls), trace_fallbacks(calls)"
    "              FROM (SELECT trace_end_calls(" CALLS ") AS calls OFFSET 0) AS put)," PROGRESS_SET
    ")"
    "SELECT count(*), count(CASE WHEN NOT EXISTS (SELECT FROM lesson_traces WHERE id = $4::uuid)"
    "                            THEN user_tokens_add(owner, $12::bigint) END),"
    "       " LATE_CALL("false") " FROM job",
    20,
};

static const struct db_statement release = {
    "job_release",
    "UPDATE generation_jobs SET slot = NULL, epoch = NULL, lost_slot = slot, lost_epoch = epoch"
    " WHERE lesson_id = $1::uuid AND slot = $2 AND epoch = $3::bigint AND trace_id = $4::uuid"
    " RETURNING 1",
    4,
};

/*
 * As of a time: what was claimed later may be known by now, however late this is run. NOT IN is
 * looked up in a hash; NOT EXISTS, planned for few, compared each of thousands with each.
 */
static const struct db_statement reconcile = {
    "job_reconcile",
    "WITH freed AS ("
    "  UPDATE generation_jobs SET slot = NULL, epoch = NULL, lost_slot = slot, lost_epoch = epoch"
    "   WHERE slot = $1 AND epoch = $2::bigint AND claimed_at < $4::timestamptz"
    "     AND lesson_id NOT IN (SELECT unnest($3::uuid[]))"
    "  RETURNING 1)"
    "SELECT count(*) FROM freed",
    4,
};

static const struct db_statement listen_queued = {"job_listen_queued", "LISTEN generation_queued",
                                                  0};
static const struct db_statement listen_cancelled = {"job_listen_cancelled",
                                                     "LISTEN generation_cancelled", 0};

void job_keep(struct db_call *call, const char *slot)
{
    *call = (struct db_call){&keep, {db_arg(slot)}};
}

void job_register(struct db_call *call, const char *slot)
{
    *call = (struct db_call){&enlist, {db_arg(slot)}};
}

void job_beat(struct db_call *call, struct arena *a, const struct job_holder *me, bool spool_ok)
{
    *call = (struct db_call){
        &beat, {db_arg(me->slot), db_arg_int(a, me->epoch), db_arg(spool_ok ? "true" : "false")}};
}

void job_charge(struct db_call *call, const char *slot, const char *lesson_id)
{
    *call = (struct db_call){&charge, {db_arg(lesson_id), db_arg(slot)}};
}

void job_leave(struct db_call *call, struct arena *a, const struct job_holder *me)
{
    *call = (struct db_call){&leave, {db_arg(me->slot), db_arg_int(a, me->epoch)}};
}

void job_recover(struct db_call *call, struct arena *a, const struct job_holder *me,
                 long lease_seconds, bool others, int limit)
{
    *call =
        (struct db_call){&recover,
                         {db_arg(me->slot), db_arg_int(a, me->epoch), db_arg_int(a, lease_seconds),
                          db_arg(others ? "true" : "false"), db_arg_int(a, limit)}};
}

void job_claim(struct db_call *call, struct arena *a, const struct job_holder *me, int limit)
{
    *call = (struct db_call){&claim,
                             {db_arg(me->slot), db_arg_int(a, me->epoch), db_arg_int(a, limit)}};
}

void job_claim_suspect(struct db_call *call, struct arena *a, const struct job_holder *me)
{
    *call = (struct db_call){&claim_suspect, {db_arg(me->slot), db_arg_int(a, me->epoch)}};
}

void job_claimed(const struct db_rows *rows, int row, struct job_claimed *job)
{
    *job = (struct job_claimed){
        .lesson_id = db_value(rows, row, 0),
        .trace_id = db_value(rows, row, 1),
        .outline = db_value(rows, row, 2),
        .options = db_value(rows, row, 3),
        .provider = db_value(rows, row, 4),
        .model = db_value(rows, row, 5),
        .decisions = db_value(rows, row, 6),
        .calls = (int)db_int(rows, row, 7),
        .age_ms = db_int(rows, row, 8),
        .deaths = (int)db_int(rows, row, 9),
        .prompt_tokens = db_int(rows, row, 10),
        .completion_tokens = db_int(rows, row, 11),
        .total_tokens = db_int(rows, row, 12),
        .cost_usd = db_value(rows, row, 13),
        .failures = db_value(rows, row, 14),
        .spent = (int)db_int(rows, row, 15),
        .request_id = db_value(rows, row, 16),
    };
}

/* The write may outlive the generation that it tells of. */
static struct db_arg copy(struct arena *a, const char *s)
{
    return db_arg(s ? arena_strdup(a, s) : NULL);
}

static struct db_arg known(struct arena *a, int64_t count)
{
    return count < 0 ? db_arg(NULL) : db_arg_int(a, count);
}

static void put_progress(struct db_call *call, struct arena *a, const struct job_holder *me,
                         const struct job_name *job, const struct job_progress *p)
{
    const struct db_arg args[PROGRESS_ARGS] = {
        copy(a, job->lesson_id),
        db_arg(me->slot),
        db_arg_int(a, me->epoch),
        copy(a, job->trace_id),
        db_arg(p->call),
        db_arg(p->decisions),
        copy(a, p->model),
        db_arg(p->error_class),
        copy(a, p->last_error),
        known(a, p->prompt_tokens),
        known(a, p->completion_tokens),
        known(a, p->total_tokens),
        db_arg(isnan(p->cost_usd) ? NULL : arena_printf(a, "%.12g", p->cost_usd)),
    };

    for (int i = 0; i < PROGRESS_ARGS; i++)
        call->args[i] = args[i];
}

void job_record(struct db_call *call, struct arena *a, const struct job_holder *me,
                const struct job_name *job, const struct job_progress *p)
{
    *call = (struct db_call){&record, {{0}}};
    put_progress(call, a, me, job, p);
}

void job_finish(struct db_call *call, struct arena *a, const struct job_holder *me,
                const struct job_name *job, const struct job_progress *p,
                const struct job_result *r)
{
    struct db_arg *rest = call->args + PROGRESS_ARGS;

    *call = (struct db_call){&finish, {{0}}};
    put_progress(call, a, me, job, p);
    rest[0] = db_arg(r->generated ? "true" : "false");
    rest[1] = db_arg(r->title);
    rest[2] = r->generated ? db_arg_bytes(r->content, r->content_len) : db_arg(NULL);
    rest[3] = db_arg(r->response_data);
    rest[4] = db_arg(r->error_message);
    rest[5] = db_arg(r->provider_used);
    rest[6] = db_arg_int(a, r->duration_ms);
}

void job_release(struct db_call *call, struct arena *a, const struct job_holder *me,
                 const struct job_name *job)
{
    *call = (struct db_call){&release,
                             {copy(a, job->lesson_id), db_arg(me->slot), db_arg_int(a, me->epoch),
                              copy(a, job->trace_id)}};
}

void job_reconcile(struct db_call *call, struct arena *a, const struct job_holder *me,
                   const char *held, const char *as_of)
{
    *call = (struct db_call){
        &reconcile, {db_arg(me->slot), db_arg_int(a, me->epoch), db_arg(held), db_arg(as_of)}};
}

const struct db_statement *job_statement(const char *name)
{
    static const struct {
        const struct db_statement *written, *replayed;
    } spooled[] = {{&record, &record_spooled}, {&finish, &finish}, {&release, &release}};

    for (size_t i = 0; i < sizeof spooled / sizeof *spooled; i++)
        if (strcmp(spooled[i].written->name, name) == 0)
            return spooled[i].replayed;
    return NULL;
}

void job_listen(struct db_call calls[2])
{
    calls[0] = (struct db_call){&listen_queued, {{0}}};
    calls[1] = (struct db_call){&listen_cancelled, {{0}}};
}
