/*
 * llm: what a provider has to be.
 *
 * Providers only translate: a prompt to an HTTP request, an HTTP response to an
 * answer. They do no I/O, read no settings and keep no state, so each is tested
 * with recorded responses. Sending, deadlines, retry, fallback, breaker and
 * tracing happen once, outside (call.c, generate.c).
 *
 * Everything built or parsed belongs to the arena passed in.
 */
#ifndef GENERATOR_LLM_H
#define GENERATOR_LLM_H

#include <stdint.h>

#include "common/json.h"

enum { LLM_UNKNOWN = -1 }; /* a count the provider did not tell */

/* Why a call failed; the names are those of error_class in the trace. */
#define LLM_FAILURES(X)                                                                            \
    X(NONE, "none")                                                                                \
    X(CONNECTION, "connection")             /* no DNS, no TCP, no TLS, or reset */                 \
    X(TIMEOUT, "timeout")                   /* one of our deadlines passed */                      \
    X(RATE_LIMITED, "rate_limited")         /* too fast: later */                                  \
    X(QUOTA, "quota")                       /* money, plan or daily limit: hours */                \
    X(AUTH, "auth")                         /* the key: until somebody changes it */               \
    X(MODEL_NOT_FOUND, "model_not_found")   /* retired or misspelt */                              \
    X(INVALID_REQUEST, "invalid_request")   /* this provider refuses what we send */               \
    X(CONTEXT_LENGTH, "context_length")     /* the prompt does not fit the model */                \
    X(CONTENT_FILTERED, "content_filtered") /* refused or blocked */                               \
    X(TRUNCATED, "truncated")               /* stopped at the token limit, or cut off */           \
    X(EMPTY, "empty")                       /* an answer without text */                           \
    X(INVALID_RESPONSE, "invalid_response") /* not what the protocol says */                       \
    X(TOO_LARGE, "too_large")               /* over the maximum we read */                         \
    X(SERVER_ERROR, "server_error")         /* 5xx, 408, 409 */                                    \
    X(CANCELLED, "cancelled")               /* we stopped it: the lesson was deleted */            \
    X(WORKER_LOST, "worker_lost")           /* the process making the call died */

#define LLM_ENUM(name, text) LLM_##name,
enum llm_failure { LLM_FAILURES(LLM_ENUM) LLM_FAILURE_COUNT };
#undef LLM_ENUM

const char *llm_failure_name(enum llm_failure f);

/* A provider as configured: providers.json, overridden from the environment (providers.c). */
struct llm_endpoint {
    const struct llm_provider *provider;
    const char *name; /* as stored in traces */
    const char *base_url, *model;
    const char *key;             /* NULL: none is sent */
    const char *max_tokens_name; /* what the provider calls the limit, from providers.json */
    const char *extra;           /* further JSON members of the body, "" or "\"a\":1,…"; data */
    const char *options; /* those of the object that holds the limit, where there is one; data */
    int64_t max_tokens;
    double temperature; /* NaN: none is sent */
    long attempt_timeout_ms;
    bool configured;
    bool private_allowed; /* its host is named by a setting: it may be in our own network */
};

struct llm_prompt {
    const char *system, *user;
};

struct llm_request {
    const char *url;
    const char *headers[6]; /* whole lines, NULL-terminated; never logged, never stored */
    const char *body;       /* JSON */
    const char *parameters; /* JSON object: what was sent beside model and messages */
};

/* What came back. The body is bytes; tree is NULL if it is not JSON. */
struct llm_response {
    long status;              /* HTTP */
    const char *content_type; /* "" if none */
    const char *body;
    size_t body_len;
    struct json_object *tree;
};

/*
 * A translated response. failure == LLM_NONE: content is the whole text of a finished answer.
 * Otherwise error says why, in the provider's words where it gave some, which may be those of the
 * prompt; own_error in none but ours. content, model, usage are filled as far as known all the same
 * (a truncated answer keeps its text and its tokens). Each of the errors is one line of at most 500
 * bytes, valid UTF-8, without secrets.
 * Tokens: prompt includes cached, completion includes reasoning, for every provider.
 */
struct llm_answer {
    enum llm_failure failure;
    const char *error, *own_error;
    const char *content; /* may hold NULs and ill-formed UTF-8; NULL: none */
    size_t content_len;
    const char *model, *id, *finish_reason; /* NULL: not told */
    int64_t prompt_tokens, completion_tokens, total_tokens, cached_tokens, cache_write_tokens,
        reasoning_tokens;   /* LLM_UNKNOWN: not told */
    int64_t retry_after_ms; /* from the body; LLM_UNKNOWN: not told */
};

struct llm_provider {
    const char *name;              /* never changes: it is stored */
    const char *key_settings[3];   /* settings that hold the key, first one set wins; NULL ends */
    const char *request_id_header; /* lower case; NULL: it sends none */
    void (*build)(struct arena *a, const struct llm_endpoint *endpoint,
                  const struct llm_prompt *prompt, struct llm_request *request);
    /* Any status, any body. Never fails: what it cannot read is LLM_INVALID_RESPONSE. */
    void (*parse)(struct arena *a, const struct llm_response *response, struct llm_answer *answer);
};

/* Ends with NULL, in the order of the default chain; sample is last. providers.c. */
extern const struct llm_provider *const llm_providers[];

/*
 * The endpoints of all providers, in the order of llm_providers, from PROVIDERS_FILE and the
 * settings; NULL and ERR_INPUT naming the file or setting. They live in the arena.
 */
struct llm_endpoint *llm_endpoints_load(struct arena *a, size_t *count, struct err *e);

/*
 * The chain of LLM_PROVIDERS or the default one, DEFAULT_LLM_PROVIDER first: indexes into the
 * endpoints. Names given by the operator are in it even if not configured (they are skipped with
 * that reason); an unknown name is ERR_INPUT.
 */
bool llm_chain_load(const struct llm_endpoint *endpoints, size_t count, size_t chain[],
                    size_t *length, struct err *e);

/* For the providers: an answer with everything unknown, and common ways to fail; error is in words
 * of ours. llm.c. */
void llm_answer_init(struct llm_answer *answer);
void llm_fail(struct llm_answer *answer, enum llm_failure failure, const char *error);
/* The class an HTTP status has when the body says nothing better; LLM_NONE if it is 2xx. */
enum llm_failure llm_status_failure(long status);

/* Prices, from PRICES_FILE. prices.c. */
struct llm_prices;
struct llm_prices *llm_prices_load(struct arena *a, struct err *e);
/*
 * What the answer cost in USD: true and *usd (0 for local models), *as_of (a date, lives as long
 * as the prices). False if the model has no price or its tokens are unknown.
 */
bool llm_cost(const struct llm_prices *prices, const char *provider, const char *model,
              const struct llm_answer *answer, double *usd, const char **as_of);

#endif
