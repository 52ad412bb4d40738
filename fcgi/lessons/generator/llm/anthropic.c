#include <string.h>

#include "fcgi/lessons/generator/llm/translate.h"

static const struct llm_rule rules[] = {
    {"*_spend_limit_reached", NULL, LLM_QUOTA},
    {"linked_organization_billing_unavailable", NULL, LLM_QUOTA},
    {"billing_error", NULL, LLM_QUOTA},
    {"organization_on_hold", NULL, LLM_AUTH},
    /* Money also hides in requests called invalid, and in rates. */
    {NULL, "credit balance is too low", LLM_QUOTA},
    {NULL, "reached your specified api usage limits", LLM_QUOTA},
    {NULL, "spend limit", LLM_QUOTA},
    {NULL, "prompt is too long", LLM_CONTEXT_LENGTH},
    {NULL, "exceed context limit", LLM_CONTEXT_LENGTH},
    {NULL, "content filtering policy", LLM_CONTENT_FILTERED},
    {"authentication_error", NULL, LLM_AUTH},
    {"permission_error", NULL, LLM_AUTH},
    {"not_found_error", NULL, LLM_MODEL_NOT_FOUND},
    {"request_too_large", NULL, LLM_INVALID_REQUEST},
    {"rate_limit_error", NULL, LLM_RATE_LIMITED},
    {"overloaded_error", NULL, LLM_SERVER_ERROR},
    {"timeout_error", NULL, LLM_SERVER_ERROR},
    {"api_error", NULL, LLM_SERVER_ERROR},
    {NULL, NULL, LLM_NONE},
};

static const struct llm_stop stops[] = {
    {"end_turn", LLM_NONE},
    {"stop_sequence", LLM_NONE},
    {"max_tokens", LLM_TRUNCATED},
    {"model_context_window_exceeded", LLM_TRUNCATED},
    {"refusal", LLM_CONTENT_FILTERED},
    {NULL, LLM_NONE},
};

static void build(struct arena *a, const struct llm_endpoint *endpoint,
                  const struct llm_prompt *prompt, struct llm_request *request)
{
    struct json_out body = llm_json_create(a, endpoint, prompt);
    struct json_out parameters = llm_json_create(a, endpoint, prompt);

    llm_put_limits(&parameters, endpoint);
    llm_put_members(&parameters, endpoint->options);
    llm_put_members(&parameters, endpoint->extra);

    json_begin(&body, NULL, '{');
    json_put_text(&body, "model", endpoint->model);
    json_put_text(&body, "system", prompt->system);
    json_begin(&body, "messages", '[');
    llm_put_message(&body, "user", prompt->user);
    json_end(&body, ']');
    llm_request_finish(a, request, arena_printf(a, "%s/v1/messages", endpoint->base_url), &body,
                       &parameters);
    request->headers[LLM_OWN_HEADERS] = "anthropic-version: 2023-06-01";
    if (endpoint->key != NULL)
        request->headers[LLM_OWN_HEADERS + 1] = arena_printf(a, "x-api-key: %s", endpoint->key);
}

/* Their input_tokens are those that no cache had a part in; ours are all. */
static void read_usage(struct json_object *usage, struct llm_answer *answer)
{
    int64_t input = llm_count(json_at(usage, "input_tokens", NULL));

    answer->cached_tokens = llm_count(json_at(usage, "cache_read_input_tokens", NULL));
    answer->cache_write_tokens = llm_count(json_at(usage, "cache_creation_input_tokens", NULL));
    answer->prompt_tokens =
        llm_sum(llm_sum(input, answer->cached_tokens), answer->cache_write_tokens);
    answer->completion_tokens = llm_count(json_at(usage, "output_tokens", NULL));
    answer->reasoning_tokens =
        llm_count(json_at(usage, "output_tokens_details", "thinking_tokens", NULL));
    llm_count_total(answer);
}

/* The blocks of type text; thinking may stand before them. */
static void read_content(struct arena *a, const struct llm_response *response,
                         struct llm_answer *answer)
{
    struct json_object *blocks = json_at(response->tree, "content", NULL);
    struct buf *text = buf_create(a, response->body_len);

    for (size_t i = 0; i < json_length(blocks); i++) {
        const char *type = json_text(json_at(json_item(blocks, i), "type", NULL));

        if (type != NULL && strcmp(type, "text") == 0)
            llm_add_text(text, json_at(json_item(blocks, i), "text", NULL));
    }
    answer->content = text->data;
    answer->content_len = text->len;
}

static void parse(struct arena *a, const struct llm_response *response, struct llm_answer *answer)
{
    static const struct llm_hints hints = {.model = "ANTHROPIC_MODEL",
                                           .base_url = "ANTHROPIC_BASE_URL"};
    struct json_object *tree = response->tree;
    const char *refusal;

    llm_answer_init(answer);
    if (llm_is_error(response)) {
        llm_fail_response(a, response, rules, &hints, answer);
        return;
    }
    answer->model = json_text(json_at(tree, "model", NULL));
    answer->id = json_text(json_at(tree, "id", NULL));
    answer->finish_reason = json_text(json_at(tree, "stop_reason", NULL));
    read_usage(json_at(tree, "usage", NULL), answer);
    read_content(a, response, answer);
    if (!json_is_array(json_at(tree, "content", NULL))) {
        llm_fail(answer, LLM_INVALID_RESPONSE, "content: array expected");
        return;
    }
    llm_finish(a, answer, stops, answer->finish_reason);
    refusal = json_text(json_at(tree, "stop_details", "explanation", NULL));
    if (answer->failure == LLM_CONTENT_FILTERED && refusal != NULL)
        llm_fail_text(a, answer, LLM_CONTENT_FILTERED, "refused", refusal);
}

const struct llm_provider llm_anthropic = {
    .name = "anthropic",
    .key_settings = {"ANTHROPIC_API_KEY"},
    .request_id_header = "request-id",
    .build = build,
    .parse = parse,
};
