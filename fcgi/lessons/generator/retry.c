#include "fcgi/lessons/generator/retry.h"

#define MINUTES(n) ((int64_t)(n)*60 * 1000)
#define HOURS(n) MINUTES((n)*60)

/* First match wins: a row with a status stands before the class's general one. */
static const struct retry_rule rules[] = {
    {LLM_CONNECTION, 0, 2, true, 0},         {LLM_TIMEOUT, 0, 0, true, 0},
    {LLM_RATE_LIMITED, 0, 2, false, 0},      {LLM_QUOTA, 0, 0, false, HOURS(1)},
    {LLM_AUTH, 0, 0, false, HOURS(24)},      {LLM_MODEL_NOT_FOUND, 0, 0, false, MINUTES(10)},
    {LLM_INVALID_REQUEST, 422, 1, false, 0}, {LLM_INVALID_REQUEST, 0, 0, false, 0},
    {LLM_CONTEXT_LENGTH, 0, 0, false, 0},    {LLM_CONTENT_FILTERED, 0, 0, false, 0},
    {LLM_TRUNCATED, 0, 0, false, 0},         {LLM_EMPTY, 0, 0, false, 0},
    {LLM_INVALID_RESPONSE, 0, 1, true, 0},   {LLM_TOO_LARGE, 0, 0, false, 0},
    {LLM_SERVER_ERROR, 0, 2, true, 0},       {LLM_CANCELLED, 0, 0, false, 0},
    {LLM_WORKER_LOST, 0, 2, false, 0},       {LLM_NONE, 0, 0, false, 0},
};

const struct retry_rule *retry_rule(enum llm_failure failure, long status)
{
    const struct retry_rule *r = rules;

    while (r->failure != LLM_NONE &&
           (r->failure != failure || (r->status != 0 && r->status != status)))
        r++;
    return r;
}

static int64_t backoff(int tries, double jitter)
{
    int64_t wait = RETRY_BASE_MS;

    while (--tries > 0 && wait < RETRY_WAIT_MAX_MS)
        wait *= 2;
    if (wait > RETRY_WAIT_MAX_MS)
        wait = RETRY_WAIT_MAX_MS;
    return (int64_t)((double)wait * jitter);
}

struct retry_decision retry_decide(const struct retry_state *s)
{
    const struct retry_rule *rule = retry_rule(s->failure, s->status);
    const struct retry_decision fallback = {RETRY_FALLBACK, 0};
    int64_t asked = s->retry_after_ms, wait;

    if (s->tries > rule->retries || s->tries > RETRY_PER_PROVIDER || s->calls >= s->calls_max)
        return fallback;
    /* A longer wait than we grant is kept only if there is nobody else to ask. */
    if (asked > RETRY_PATIENCE_MS && s->other_ready)
        return fallback;
    wait = asked >= 0 && asked <= RETRY_AFTER_MAX_MS && asked < s->left_ms
               ? asked
               : backoff(s->tries, s->jitter);
    if (wait >= s->left_ms || (wait > RETRY_PATIENCE_MS && s->other_ready))
        return fallback;
    return (struct retry_decision){RETRY_SAME, wait};
}
