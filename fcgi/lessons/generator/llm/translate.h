/*
 * translate: what the translators have in common.
 *
 * Requests: the members that every body has. Responses: an error out of whatever came instead of
 * an answer, and what the reason for stopping means. A translator brings tables, whose first row
 * that fits decides. Nothing here knows a provider by name.
 */
#ifndef GENERATOR_LLM_TRANSLATE_H
#define GENERATOR_LLM_TRANSLATE_H

#include "fcgi/lessons/generator/llm/llm.h"

enum {
    LLM_ERROR_MAX_BYTES = 500, /* of llm_answer.error */
    LLM_OWN_HEADERS = 2,       /* an index into llm_request.headers */
};

/* An error as the provider words it, and what it is. A table ends with LLM_NONE. */
struct llm_rule {
    const char *code;  /* one of its codes, types, reasons: an fnmatch pattern, case ignored */
    const char *words; /* part of its message, case ignored; either may be NULL: any */
    enum llm_failure failure;
};

/* A reason for stopping, and what it is; one not listed is LLM_INVALID_RESPONSE. NULL ends. */
struct llm_stop {
    const char *reason;
    enum llm_failure failure;
};

/* How error texts end, so that an operator knows what to do. */
struct llm_hints {
    const char *model, *base_url; /* names of settings */
    const char *auth;             /* a whole hint; NULL: none */
};

/* A writer whose buffer holds any body made of the prompt and the endpoint's data. */
struct json_out llm_json_create(struct arena *a, const struct llm_endpoint *endpoint,
                                const struct llm_prompt *prompt);
/* The token limit and, if one is configured, the temperature. */
void llm_put_limits(struct json_out *o, const struct llm_endpoint *endpoint);
/* Members given as text; "" and NULL are none. */
void llm_put_members(struct json_out *o, const char *members);
void llm_put_message(struct json_out *o, const char *role, const char *content);
/*
 * Everything of the request but the headers that are the provider's own, which go from
 * LLM_OWN_HEADERS on: the body, whose open object the parameters complete, and those alone.
 */
void llm_request_finish(struct arena *a, struct llm_request *request, const char *url,
                        struct json_out *body, const struct json_out *parameters);
/* "Authorization: Bearer KEY"; NULL without a key. */
const char *llm_bearer(struct arena *a, const struct llm_endpoint *endpoint);

/* Whether this can be no answer: a status that is not 2xx, no JSON object, or one with an error. */
bool llm_is_error(const struct llm_response *response);
/* Set failure, error and retry_after_ms from such a response: its body first, then its status. */
void llm_fail_response(struct arena *a, const struct llm_response *response,
                       const struct llm_rule rules[], const struct llm_hints *hints,
                       struct llm_answer *answer);
/* Fail with a text of ours and, unless it is NULL, one from outside: one clean, short line. */
void llm_fail_text(struct arena *a, struct llm_answer *answer, enum llm_failure failure,
                   const char *ours, const char *theirs);

/* Add a node's text, if it is one, to an answer that comes in parts. */
void llm_add_text(struct buf *text, struct json_object *node);
/* Decide by the reason for stopping (NULL: the answer was cut off) and the content. */
void llm_finish(struct arena *a, struct llm_answer *answer, const struct llm_stop table[],
                const char *reason);

/* A count of tokens; LLM_UNKNOWN unless the node is a whole number that can be one. */
int64_t llm_count(struct json_object *node);
/* The sum of what is known; LLM_UNKNOWN if the first is not. */
int64_t llm_sum(int64_t first, int64_t second);
/* A total that was not told, if both its parts were. */
void llm_count_total(struct llm_answer *answer);

/* The milliseconds of "34.07s", "1m30s" or "250ms"; LLM_UNKNOWN if the text begins with none. */
int64_t llm_duration_ms(const char *s);

#endif
