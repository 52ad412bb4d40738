#include "fcgi/lessons/generator/llm/llm.h"

const char *llm_failure_name(enum llm_failure f)
{
#define LLM_NAME(name, text) [LLM_##name] = (text),
    static const char *const names[LLM_FAILURE_COUNT] = {LLM_FAILURES(LLM_NAME)};
#undef LLM_NAME

    return names[f];
}

void llm_answer_init(struct llm_answer *answer)
{
    *answer = (struct llm_answer){.prompt_tokens = LLM_UNKNOWN,
                                  .completion_tokens = LLM_UNKNOWN,
                                  .total_tokens = LLM_UNKNOWN,
                                  .cached_tokens = LLM_UNKNOWN,
                                  .cache_write_tokens = LLM_UNKNOWN,
                                  .reasoning_tokens = LLM_UNKNOWN,
                                  .retry_after_ms = LLM_UNKNOWN};
}

void llm_fail(struct llm_answer *answer, enum llm_failure failure, const char *error)
{
    answer->failure = failure;
    answer->error = answer->own_error = error;
}

/*
 * 498 is Groq's "no flex capacity", 529 Anthropic's "overloaded", 520 to 524 a CDN that could not
 * reach its origin. 499 means that somebody hung up on the provider; it was not us, since then
 * nobody would read the status.
 */
enum llm_failure llm_status_failure(long status)
{
    switch (status) {
    case 401:
    case 403:
        return LLM_AUTH;
    case 402:
        return LLM_QUOTA;
    case 404:
    case 410:
        return LLM_MODEL_NOT_FOUND;
    case 408:
    case 409:
    case 499:
        return LLM_SERVER_ERROR;
    case 429:
    case 498:
        return LLM_RATE_LIMITED;
    }
    if (status >= 200 && status < 300)
        return LLM_NONE;
    if (status >= 400 && status < 500)
        return LLM_INVALID_REQUEST;
    return status >= 500 && status < 600 ? LLM_SERVER_ERROR : LLM_INVALID_RESPONSE;
}
