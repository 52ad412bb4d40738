/* Ollama's own protocol, not its /v1: that one ignores num_ctx, and cuts long prompts unseen. */
#include "fcgi/lessons/generator/llm/translate.h"

static const struct llm_rule rules[] = {
    {NULL, "try pulling it", LLM_MODEL_NOT_FOUND},
    {NULL, "' not found", LLM_MODEL_NOT_FOUND},
    {NULL, "\" not found", LLM_MODEL_NOT_FOUND},
    {NULL, "usage limit", LLM_QUOTA}, /* of an hour, a session, a week: models in their cloud */
    {NULL, "maximum context length", LLM_CONTEXT_LENGTH},
    {NULL, "exceeds the context length", LLM_CONTEXT_LENGTH},
    {"exceed_context_size_error", NULL, LLM_CONTEXT_LENGTH},
    {NULL, NULL, LLM_NONE},
};

static const struct llm_stop stops[] = {
    {"stop", LLM_NONE},
    {"length", LLM_TRUNCATED},
    {NULL, LLM_NONE},
};

static void build(struct arena *a, const struct llm_endpoint *endpoint,
                  const struct llm_prompt *prompt, struct llm_request *request)
{
    struct json_out body = llm_json_create(a, endpoint, prompt);
    struct json_out parameters = llm_json_create(a, endpoint, prompt);

    json_put_bool(&parameters, "stream", false);
    json_begin(&parameters, "options", '{');
    llm_put_limits(&parameters, endpoint);
    llm_put_members(&parameters, endpoint->options);
    json_end(&parameters, '}');
    llm_put_members(&parameters, endpoint->extra);

    json_begin(&body, NULL, '{');
    json_put_text(&body, "model", endpoint->model);
    json_begin(&body, "messages", '[');
    llm_put_message(&body, "system", prompt->system);
    llm_put_message(&body, "user", prompt->user);
    json_end(&body, ']');
    llm_request_finish(a, request, arena_printf(a, "%s/api/chat", endpoint->base_url), &body,
                       &parameters);
    request->headers[LLM_OWN_HEADERS] = llm_bearer(a, endpoint);
}

/* A count is left out when it is 0, but also for a prompt that was cached: unknown, then. */
static void read_usage(struct json_object *tree, struct llm_answer *answer)
{
    answer->prompt_tokens = llm_count(json_at(tree, "prompt_eval_count", NULL));
    answer->completion_tokens = llm_count(json_at(tree, "eval_count", NULL));
    llm_count_total(answer);
}

static void parse(struct arena *a, const struct llm_response *response, struct llm_answer *answer)
{
    static const struct llm_hints hints = {.model = "OLLAMA_MODEL", .base_url = "OLLAMA_HOST"};
    struct json_object *tree = response->tree;
    bool done = false;

    llm_answer_init(answer);
    if (llm_is_error(response)) {
        llm_fail_response(a, response, rules, &hints, answer);
        return;
    }
    answer->model = json_text(json_at(tree, "model", NULL));
    answer->finish_reason = json_text(json_at(tree, "done_reason", NULL));
    answer->content = json_bytes(json_at(tree, "message", "content", NULL), &answer->content_len);
    read_usage(tree, answer);
    if (!json_is_object(json_at(tree, "message", NULL)))
        llm_fail(answer, LLM_INVALID_RESPONSE, "message: object expected");
    else if (!json_flag(json_at(tree, "done", NULL), &done) || !done)
        llm_fail(answer, LLM_INVALID_RESPONSE, "cut off: not done");
    else /* servers before 0.1.38 are done without a reason */
        llm_finish(a, answer, stops, answer->finish_reason ? answer->finish_reason : "stop");
}

const struct llm_provider llm_ollama = {
    .name = "ollama",
    .build = build,
    .parse = parse,
};
