/*
 * trace: lesson_traces, as the traces API reads and deletes them.
 *
 * All SQL that names the table is here, in trace_filter.c and in trace_stats.c,
 * but for the statements with which a generation is queued (lesson.c) and
 * recorded (job.c): those touch lesson, trace and job together, as they must.
 */
#ifndef COMMON_TRACE_H
#define COMMON_TRACE_H

#include "common/page.h"
#include "common/trace_filter.h"

/* What the list can be sorted by, and its type; unknown values come last. A new one is a line here,
 * and an index. */
#define TRACE_SORTS(X)                                                                             \
    X("created_at", "timestamptz")                                                                 \
    X("total_duration_ms", "int")                                                                  \
    X("total_tokens", "bigint")                                                                    \
    X("cost_usd", "numeric")

/* What a row is made of: the whole trace, the trace without its payloads, that as a line of CSV, or
 * how many bytes the whole trace takes in store. */
enum trace_form { TRACE_FULL, TRACE_SUMMARY, TRACE_CSV, TRACE_SIZE };

struct trace_query {
    struct trace_filter filter;
    const char *sort; /* "-created_at"; NULL: that */
    enum trace_form form;
    struct page_request page; /* its scope is made here */
    bool count;
};

/* False and ERR_INPUT (naming the member) or ERR_UNAVAILABLE. */
bool trace_list(struct db *db, struct arena *a, const struct db_identity *who,
                struct trace_query *q, int deadline_ms, struct page *page, struct err *e);

/* Those of the ids (a PostgreSQL array) that there still are, whole, one a row, in its order. */
bool trace_get_some(struct db *db, struct arena *a, const struct db_identity *who, const char *ids,
                    int deadline_ms, struct db_rows **rows, struct err *e);

/* The first line of a file of CSV rows, without its end. */
const char *trace_csv_header(void);

/* How many there are that the filter matches. */
bool trace_count(struct db *db, struct arena *a, const struct db_identity *who,
                 const struct trace_filter *f, int deadline_ms, long long *count, struct err *e);

/* The trace as JSON; NULL and ERR_NOT_FOUND if there is none that the caller may see. */
const char *trace_get(struct db *db, struct arena *a, const struct db_identity *who, const char *id,
                      int deadline_ms, struct err *e);

/* False and ERR_NOT_FOUND if there is none that the caller may delete. */
bool trace_delete(struct db *db, struct arena *a, const struct db_identity *who, const char *id,
                  int deadline_ms, struct err *e);

/*
 * All that the caller may delete, in transactions of 1,000, so that no lock is held long. What
 * comes after it began stays. deadline_ms: to find PostgreSQL there at all.
 */
bool trace_delete_all(struct db *db, struct arena *a, const struct db_identity *who,
                      int deadline_ms, int batch_deadline_ms, long long *deleted, struct err *e);

/*
 * Those that the filter matches, if they are exactly `confirmed`; else false and ERR_CONFLICT, and
 * *matched says how many they are. They are named at once, then deleted in transactions of 1,000,
 * in the order of their ids: what comes to match later stays. Also false and ERR_CONFLICT if others
 * have deleted or changed some meanwhile. Whenever it is false, *deleted are gone, and *matched are
 * left.
 */
bool trace_delete_matching(struct db *db, struct arena *a, const struct db_identity *who,
                           const struct trace_filter *f, long long confirmed, int batch_deadline_ms,
                           long long *matched, long long *deleted, struct err *e);

#endif
