/*
 * call: one provider call, from the request's bytes to a translated answer, and
 * its truthful record for the trace.
 *
 * Deadlines, size, TLS and header rules are the same for every provider and are
 * here. Whoever makes a call traces it: call_element() is what the trace shows,
 * before the call (its intent) and after it.
 */
#ifndef GENERATOR_CALL_H
#define GENERATOR_CALL_H

#include "fcgi/lessons/generator/llm/llm.h"
#include "fcgi/lessons/generator/loop.h"

enum { CALL_ANSWER_MAX = 4 << 20, CALL_HEADER_MAX = 64 << 10 };

struct call_timing { /* milliseconds; LLM_UNKNOWN: did not come to that */
    int64_t queue, dns, connect, tls, ttfb;
};

struct call {
    struct arena *arena; /* the call's own: it may be gone before the job is */
    const struct llm_endpoint *endpoint;
    const char *model;
    struct llm_prompt prompt;
    int attempt; /* in this trace, from 1 */
    bool probe;  /* the breaker's */

    struct llm_request request;
    struct llm_answer answer;
    long status; /* HTTP; 0: none came */
    int64_t duration_ms, retry_after_ms;
    struct call_timing timing;
    const char *provider_request_id;
    double cost_usd; /* NaN: unknown */
    const char *price_as_of;
    bool ended;

    /* Private. */
    char span_id[17], timestamp[32];
    int64_t created_at, started_at, last_byte_at;
    const char *too_large; /* what is */
    bool idle, sent, address_refused;
    size_t header_bytes;
    struct buf body;
    const char *content; /* the answer's text as it is stored; NULL: not made yet */
    const char *told;    /* so the request */
    size_t content_len, replaced;
    const struct llm_prices *prices;
    const char *lesson_id;
    CURL *easy;
    struct curl_slist *headers;
    struct loop_transfer transfer;
    struct loop_timer idle_timer;
    void (*done)(struct call *c);
    void *arg;
};

/* The endpoint and the prompt outlive the call. model: NULL is the endpoint's. */
struct call *call_create(const struct llm_endpoint *endpoint, const char *model,
                         const struct llm_prompt *prompt, int attempt);
void call_destroy(struct call *c); /* stops it if need be; NULL is fine */

/*
 * Send it. done() runs once, with everything filled in, and may destroy the call. What runs for the
 * call, here and in done(), but not what curl does, runs in the name of the lesson (word.h), whose
 * id outlives the call.
 */
void call_start(struct call *c, int64_t timeout_ms, const struct llm_prices *prices,
                const char *lesson_id, void (*done)(struct call *c), void *arg);

/* Stop a call under way, for the reason given; done() will not run. */
void call_stop(struct call *c, enum llm_failure failure, const char *error);

/* PostgreSQL does not take the answer's text: the call failed, and shows none of it. */
void call_refuse(struct call *c);

/* The element of llm_calls, without secrets, storable as text; in the arena given. */
const char *call_element(struct arena *a, struct call *c);

/* Why it failed, as it is stored: not in the provider's words where no content is. Logs have
 * answer.own_error. */
const char *call_error(const struct call *c);

/* The answer's text as it is stored: redacted, well-formed; *replaced counts what was not. It lives
 * as long as the call. */
const char *call_content(struct call *c, size_t *len, size_t *replaced);

#endif
