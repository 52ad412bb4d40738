/*
 * trace: lesson_traces, as the traces API reads and deletes them.
 *
 * All SQL that names the table is here, but for the statements with which a
 * generation is queued (lesson.c) and recorded (job.c): those touch lesson,
 * trace and job together, as they must.
 */
#ifndef COMMON_TRACE_H
#define COMMON_TRACE_H

#include "common/page.h"

/* What the list can be filtered by. A new one is a line here, and a case in tests/http. */
#define TRACE_FILTERS(X)                                                                           \
    X(LESSON_ID, "lesson_id", TRACE_UUID, "lesson_id = $%d::uuid")                                 \
    X(PROVIDER, "provider", TRACE_TEXT, "provider_used = $%d")                                     \
    X(STATUS, "status", TRACE_STATUS, "status = $%d")

enum trace_value { TRACE_TEXT, TRACE_UUID, TRACE_STATUS };

#define TRACE_ENUM(name, parameter, value, sql) TRACE_BY_##name,
enum trace_filter { TRACE_FILTERS(TRACE_ENUM) TRACE_FILTER_COUNT };
#undef TRACE_ENUM

/* Their names, each followed by a comma. */
#define TRACE_NAME(name, parameter, value, sql) parameter,
#define TRACE_FILTER_NAMES TRACE_FILTERS(TRACE_NAME)

extern const char *const trace_filter_names[TRACE_FILTER_COUNT];

struct trace_query {
    const char *filters[TRACE_FILTER_COUNT]; /* NULL: any */
    struct page_request page;                /* its scope is made here */
    bool full;                               /* payloads too */
    bool count;
};

/* False and ERR_INPUT (naming the member) or ERR_UNAVAILABLE. */
bool trace_list(struct db *db, struct arena *a, const struct db_identity *who,
                struct trace_query *q, int deadline_ms, struct page *page, struct err *e);

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

#endif
