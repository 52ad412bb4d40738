/*
 * lesson: lessons, as the lessons API creates, reads and deletes them.
 *
 * Creating and regenerating commit lesson, trace ('started') and job together:
 * what was acknowledged will be generated. lesson_announce() then wakes the
 * generators; it stores nothing, and they look for themselves anyway.
 */
#ifndef COMMON_LESSON_H
#define COMMON_LESSON_H

#include "common/page.h"

struct lesson_limits { /* of one user */
    long queued_max;
    long tokens_per_day; /* of UTC; 0: no limit */
};

/* Checked by the caller: valid text, within its limits. */
struct lesson_request {
    const char *title, *outline;
    const char *options;         /* JSON object: gradeLevel … provider?, model? */
    const char *idempotency_key; /* or NULL */
};

/*
 * The lesson as JSON, its id in id; it is new, or the one that the same request with the same
 * Idempotency-Key made before. NULL and ERR_UNPROCESSABLE if that key came with another request,
 * ERR_RATE if the user has queued_max generations queued or running, or the calls of the user have
 * used tokens_per_day today.
 */
const char *lesson_create(struct db *db, struct arena *a, const struct db_identity *who,
                          const struct lesson_request *r, const struct lesson_limits *limits,
                          int deadline_ms, const char **id, struct err *e);

/*
 * A new trace and job for the same request, with another provider or model if one is given (NULL:
 * none). The lesson as JSON; NULL and ERR_NOT_FOUND, ERR_CONFLICT while it is generating, or
 * ERR_RATE as above.
 */
const char *lesson_regenerate(struct db *db, struct arena *a, const struct db_identity *who,
                              const char *id, const char *provider, const char *model,
                              const struct lesson_limits *limits, int deadline_ms, struct err *e);

/*
 * Whether there is room for one more generation: false and ERR_UNAVAILABLE if max are queued or
 * running, of all users. db sees all: lesson_admin's.
 */
bool lesson_check_queue(struct db *db, long max, int deadline_ms, struct err *e);

void lesson_announce(struct db *db, int deadline_ms);

bool lesson_list(struct db *db, struct arena *a, const struct db_identity *who,
                 struct page_request *r, int deadline_ms, struct page *page, struct err *e);

/* The lesson as JSON; NULL and ERR_NOT_FOUND if there is none that the caller may see. */
const char *lesson_get(struct db *db, struct arena *a, const struct db_identity *who,
                       const char *id, int deadline_ms, struct err *e);

/* With its traces and its job; a running generation is told to stop. ERR_NOT_FOUND as above. */
bool lesson_delete(struct db *db, struct arena *a, const struct db_identity *who, const char *id,
                   int deadline_ms, struct err *e);

#endif
