/*
 * generate: one generation, from a claimed job to a finished lesson.
 *
 * Which provider next, what is an answer, when to stop. Each call's intent is
 * stored before its first byte; each result as it ends; the last one together
 * with lesson and trace. There is no tracing here beyond saying why: the client
 * layer (call.c) records what a call did.
 */
#ifndef GENERATOR_GENERATE_H
#define GENERATOR_GENERATE_H

#include "common/job.h"
#include "fcgi/lessons/generator/llm/llm.h"

/* What all generations share; set up once, before the first. */
struct generate_context {
    struct llm_endpoint *endpoints;
    size_t endpoint_count;
    size_t *chain;
    size_t chain_length;
    struct llm_prices *prices;
    const struct job_holder *me;
    /* The breaker of an endpoint opened (hold_ms 0: by its own rule), or closed again. */
    void (*breaker_opened)(size_t endpoint, int64_t hold_ms, enum llm_failure why);
    void (*breaker_closed)(size_t endpoint);
};
void generate_init(const struct generate_context *context);
void generate_finish(void);

/* Copies what it needs of the job. */
void generate_start(const struct job_claimed *job);

int generate_in_flight(void);
/* Those, besides, whose end PostgreSQL refuses for ever: kept until the process ends. */
int generate_stuck(void);

/* The lesson was deleted: stop, store nothing. */
void generate_cancel(const char *lesson_id);

/* The process ends: stop what is under way, say so in the traces, give the jobs back. */
void generate_release_all(void);

/* The lesson ids in flight, as an array literal of PostgreSQL. */
const char *generate_held(struct arena *a);

/* What all generators know of an endpoint's breaker. */
void generate_apply_breaker(const char *provider, bool closed, int64_t ms);
void generate_probe_breaker(const char *provider);

#endif
