#include "fcgi/lessons/generator/llm/chat.h"

/*
 * The codes of those who speak the protocol: OpenAI, Groq, Hugging Face's router and what is behind
 * it, Alibaba (in its own words, too), and servers people run themselves (vLLM, llama.cpp, TGI).
 */
static const struct llm_rule rules[] = {
    /* Alibaba tells its tokens per minute in OpenAI's words for an account without money. */
    {"throttling*", NULL, LLM_RATE_LIMITED},
    {"insufficient_quota", "#token-limit", LLM_RATE_LIMITED},
    {"insufficient_quota", NULL, LLM_QUOTA},
    {"credit_balance_exhausted", NULL, LLM_QUOTA},
    {"*_spend_limit_exceeded", NULL, LLM_QUOTA},
    {"*_usage_limit_exceeded", NULL, LLM_QUOTA},
    {"billing_*", NULL, LLM_QUOTA},
    {"arrearage", NULL, LLM_QUOTA},
    {"allocationquota*", NULL, LLM_QUOTA},
    /* More than a minute's tokens in one request: waiting does not help, a shorter one does. */
    {"rate_limit_exceeded", "request too large", LLM_CONTEXT_LENGTH},
    {"context_length_exceeded", NULL, LLM_CONTEXT_LENGTH},
    {"exceed_context_size_error", NULL, LLM_CONTEXT_LENGTH},
    {NULL, "maximum context length", LLM_CONTEXT_LENGTH},
    {NULL, "range of input length", LLM_CONTEXT_LENGTH},
    {NULL, "prompt is too long", LLM_CONTEXT_LENGTH},
    {NULL, "`inputs` tokens + `max_new_tokens` must be", LLM_CONTEXT_LENGTH},
    {"model_not_found", NULL, LLM_MODEL_NOT_FOUND},
    {"model_decommissioned", NULL, LLM_MODEL_NOT_FOUND},
    {"model_not_supported", NULL, LLM_MODEL_NOT_FOUND},
    {"modelnotfound", NULL, LLM_MODEL_NOT_FOUND},
    {NULL, "is not supported by any provider", LLM_MODEL_NOT_FOUND},
    {"invalid_api_key", NULL, LLM_AUTH},
    {"invalidapikey", NULL, LLM_AUTH},
    {"authentication_error", NULL, LLM_AUTH},
    {"account_deactivated", NULL, LLM_AUTH},
    {"content_filter", NULL, LLM_CONTENT_FILTERED},
    {"content_policy_violation", NULL, LLM_CONTENT_FILTERED},
    {"invalid_prompt", NULL, LLM_CONTENT_FILTERED},
    {"data_inspection_failed", NULL, LLM_CONTENT_FILTERED},
    {"datainspectionfailed", NULL, LLM_CONTENT_FILTERED},
    {"rate_limit*", NULL, LLM_RATE_LIMITED},
    {"limit_*", NULL, LLM_RATE_LIMITED},
    {"capacity_exceeded", NULL, LLM_RATE_LIMITED},
    {"requests", NULL, LLM_RATE_LIMITED},
    {"tokens", NULL, LLM_RATE_LIMITED},
    {"server_error", NULL, LLM_SERVER_ERROR},
    {"internal*error*", NULL, LLM_SERVER_ERROR},
    {"*overloaded*", NULL, LLM_SERVER_ERROR},
    {NULL, NULL, LLM_NONE},
};

/* The last three are those of TGI and of backends behind routers. */
static const struct llm_stop stops[] = {
    {"stop", LLM_NONE}, {"length", LLM_TRUNCATED}, {"content_filter", LLM_CONTENT_FILTERED},
    {"eos", LLM_NONE},  {"eos_token", LLM_NONE},   {"stop_sequence", LLM_NONE},
    {NULL, LLM_NONE},
};

void chat_build(struct arena *a, const struct llm_endpoint *endpoint,
                const struct llm_prompt *prompt, struct llm_request *request)
{
    struct json_out body = llm_json_create(a, endpoint, prompt);
    struct json_out parameters = llm_json_create(a, endpoint, prompt);

    llm_put_limits(&parameters, endpoint);
    llm_put_members(&parameters, endpoint->options);
    llm_put_members(&parameters, endpoint->extra);

    json_begin(&body, NULL, '{');
    json_put_text(&body, "model", endpoint->model);
    json_begin(&body, "messages", '[');
    llm_put_message(&body, "system", prompt->system);
    llm_put_message(&body, "user", prompt->user);
    json_end(&body, ']');
    llm_request_finish(a, request, arena_printf(a, "%s/chat/completions", endpoint->base_url),
                       &body, &parameters);
    request->headers[LLM_OWN_HEADERS] = llm_bearer(a, endpoint);
}

static void read_usage(struct json_object *usage, struct llm_answer *answer)
{
    answer->prompt_tokens = llm_count(json_at(usage, "prompt_tokens", NULL));
    answer->completion_tokens = llm_count(json_at(usage, "completion_tokens", NULL));
    answer->total_tokens = llm_count(json_at(usage, "total_tokens", NULL));
    answer->cached_tokens =
        llm_count(json_at(usage, "prompt_tokens_details", "cached_tokens", NULL));
    answer->cache_write_tokens =
        llm_count(json_at(usage, "prompt_tokens_details", "cache_write_tokens", NULL));
    answer->reasoning_tokens =
        llm_count(json_at(usage, "completion_tokens_details", "reasoning_tokens", NULL));
    llm_count_total(answer);
}

static void read_choice(struct arena *a, struct json_object *choice, struct llm_answer *answer)
{
    struct json_object *message = json_at(choice, "message", NULL);
    const char *refusal = json_text(json_at(message, "refusal", NULL));

    answer->content = json_bytes(json_at(message, "content", NULL), &answer->content_len);
    answer->finish_reason = json_text(json_at(choice, "finish_reason", NULL));
    if (!json_is_object(message))
        llm_fail(answer, LLM_INVALID_RESPONSE, "choices[0].message: object expected");
    else if (answer->content == NULL && !json_is_null(json_at(message, "content", NULL)))
        llm_fail(answer, LLM_INVALID_RESPONSE, "choices[0].message.content: text expected");
    else if (refusal != NULL && *refusal)
        llm_fail_text(a, answer, LLM_CONTENT_FILTERED, "refused", refusal);
    else
        llm_finish(a, answer, stops, answer->finish_reason);
}

void chat_parse(struct arena *a, const struct llm_response *response, const struct llm_hints *hints,
                struct llm_answer *answer)
{
    llm_answer_init(answer);
    if (llm_is_error(response)) {
        llm_fail_response(a, response, rules, hints, answer);
        return;
    }
    answer->model = json_text(json_at(response->tree, "model", NULL));
    answer->id = json_text(json_at(response->tree, "id", NULL));
    read_usage(json_at(response->tree, "usage", NULL), answer);
    read_choice(a, json_at(response->tree, "choices", "0", NULL), answer);
}
