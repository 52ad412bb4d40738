/*
 * retry: what follows from a failed call. Pure, a table and a few sums.
 *
 * The table says for each class whether the same provider is worth another try,
 * whether the failure counts for its breaker, and for how long it is left alone.
 * Any failure but a cancelled call may fall back: another provider's limits differ.
 */
#ifndef GENERATOR_RETRY_H
#define GENERATOR_RETRY_H

#include "fcgi/lessons/generator/llm/llm.h"

enum {
    RETRY_PER_PROVIDER = 2,
    RETRY_AFTER_MAX_MS = 10000,
    RETRY_BASE_MS = 500,
    RETRY_WAIT_MAX_MS = 5000,
    RETRY_PATIENCE_MS = 2000, /* a longer wait is worse than a fallback */
};

struct retry_rule {
    enum llm_failure failure;
    long status;     /* HTTP; 0: any */
    int retries;     /* on the same provider */
    bool counts;     /* for the breaker */
    int64_t hold_ms; /* leave the provider alone for so long; 0: no longer than Retry-After */
};

const struct retry_rule *retry_rule(enum llm_failure failure, long status);

struct retry_state {
    enum llm_failure failure;
    long status;
    int64_t retry_after_ms; /* LLM_UNKNOWN: the provider did not say */
    int tries;              /* on this provider, the failed one included */
    int calls, calls_max;   /* in this generation */
    int64_t left_ms;        /* of the generation's deadline */
    bool other_ready;       /* another provider could be called now */
    double jitter;          /* 0.8 to 1.2 */
};

enum retry_action { RETRY_SAME, RETRY_FALLBACK };

struct retry_decision {
    enum retry_action action;
    int64_t wait_ms; /* before RETRY_SAME */
};

struct retry_decision retry_decide(const struct retry_state *s);

#endif
