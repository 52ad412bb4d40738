/*
 * job: generation_jobs and generation_workers, as the generator works them off.
 *
 * A job is held by a (slot, epoch): one process. Each statement that writes is
 * fenced by it: it stores nothing and reports 0 when the job is another's by now,
 * or gone with its lesson. The statements are filled in here and sent by the
 * generator, so each function gives a call; each may be sent twice, and run late,
 * without harm. Finishing touches lesson, trace and job in one transaction.
 */
#ifndef COMMON_JOB_H
#define COMMON_JOB_H

#include <stdint.h>

#include "common/db.h"

/* This process: the slot it locked, the epoch PostgreSQL gave it. */
struct job_holder {
    const char *slot;
    long long epoch;
};

/* The slot is not given up: a process of it replays what a former one spooled. */
void job_keep(struct db_call *call, const char *slot);
/* Take the slot: one row, one column, the new epoch. */
void job_register(struct db_call *call, const char *slot);
/*
 * One row if the slot is still this process's; none if another has taken it. spool_ok: whether what
 * PostgreSQL does not take could be kept; /readyz tells.
 */
void job_beat(struct db_call *call, struct arena *a, const struct job_holder *me, bool spool_ok);
/* On a clean end: the slot is free, nobody needs to wait for its lease. */
void job_leave(struct db_call *call, struct arena *a, const struct job_holder *me);

/*
 * A former process of this slot died while it ran the job's own code: the job is charged with it,
 * once. One row if it was. Together with job_register(), behind it, so that nobody takes the job in
 * between.
 */
void job_charge(struct db_call *call, const char *slot, const char *lesson_id);

/*
 * Requeue, at most limit, what this slot's former processes held and what slots without a heartbeat
 * for lease_seconds hold; their calls under way are marked worker_lost. One row: how many; whether
 * there are suspects that this generator should run; PostgreSQL's time. others: also those of other
 * slots, which a process leaves alone until it has been connected for a while: after an outage the
 * living must be able to beat first.
 */
void job_recover(struct db_call *call, struct arena *a, const struct job_holder *me,
                 long lease_seconds, bool others, int limit);

/* From so many deaths on a job is a suspect, and runs alone; from the latter on it is failed. */
enum { JOB_DEATHS_SUSPECT = 2, JOB_DEATHS_MAX = 3 };

/* Hold up to limit queued jobs, oldest first; a row each, see job_claimed(). */
void job_claim(struct db_call *call, struct arena *a, const struct job_holder *me, int limit);
/* Hold one suspect. */
void job_claim_suspect(struct db_call *call, struct arena *a, const struct job_holder *me);

struct job_claimed {
    const char *lesson_id, *trace_id;
    const char *outline, *options; /* JSON */
    const char *provider, *model;  /* asked for; NULL: none */
    const char *decisions;         /* JSON array so far */
    int calls;                     /* provider calls in the trace so far */
    int spent;                     /* those of them that count for the limit */
    int deaths;
    int64_t prompt_tokens, completion_tokens, total_tokens; /* so far; -1: unknown */
    const char *cost_usd;                                   /* so far; NULL: unknown */
    const char *failures;                                   /* so far, as text; NULL: none */
    const char *request_id;                                 /* NULL: the trace is gone */
    int64_t age_ms;                                         /* since the request was committed */
};
void job_claimed(const struct db_rows *rows, int row, struct job_claimed *job); /* borrows */

struct job_name {
    const char *lesson_id, *trace_id;
};

/* What the trace shows of a generation so far; LLM counts are -1, cost NaN, while unknown. */
struct job_progress {
    const char
        *call; /* the element of llm_calls, JSON, named by its span_id; NULL: none to store */
    const char *decisions; /* JSON array */
    const char *model, *error_class, *last_error;
    int64_t prompt_tokens, completion_tokens, total_tokens;
    double cost_usd;
};
/*
 * Store a call that is about to begin, or that ended. Count: 0 if the job is not held any more.
 * Then a call that ended is put into the trace all the same, if there is one: no call is untold;
 * one that has not begun must not begin.
 */
void job_record(struct db_call *call, struct arena *a, const struct job_holder *me,
                const struct job_name *job, const struct job_progress *p);

struct job_result {
    bool generated;
    const char *title, *content; /* when generated */
    size_t content_len;
    const char *response_data; /* JSON without the content; NULL when failed */
    const char *error_message; /* when failed */
    const char *provider_used; /* when generated */
    int64_t duration_ms;
};
/* End the generation: lesson, trace and job at once. Count: 0 as above. */
void job_finish(struct db_call *call, struct arena *a, const struct job_holder *me,
                const struct job_name *job, const struct job_progress *p,
                const struct job_result *r);

/* Give the job back to the queue, uncharged. A row if it was held. */
void job_release(struct db_call *call, struct arena *a, const struct job_holder *me,
                 const struct job_name *job);

/*
 * A claim may have been committed without us knowing: over a connection that was lost, or by a
 * backend that was frozen then and went on later. Requeue what this process holds but does not know
 * of. To be sent while no claim is under way. held: the lesson ids it knows, an array literal.
 * as_of: PostgreSQL's time, from before held was made. The count.
 */
void job_reconcile(struct db_call *call, struct arena *a, const struct job_holder *me,
                   const char *held, const char *as_of);

/* What replays a spooled write of that name; NULL if there is none. */
const struct db_statement *job_statement(const char *name);

/* Hear of new jobs ('generation_queued') and of deleted lessons ('generation_cancelled'). */
void job_listen(struct db_call calls[2]);

#endif
