#include <ctype.h>
#include <string.h>

#include "fcgi/lessons/generator/llm/translate.h"

static const struct llm_rule rules[] = {
    /* A wrong key is called an invalid argument; the reason in the details tells. */
    {"api_key_*", NULL, LLM_AUTH},
    {"access_token_*", NULL, LLM_AUTH},
    {"invalid_argument", "api key", LLM_AUTH},
    {"billing_disabled", NULL, LLM_QUOTA},
    /* The region is not served, or only with billing: nothing a retry could change. */
    {"failed_precondition", NULL, LLM_QUOTA},
    /* Both are 429 with a delay of seconds, but a day's quota comes back the next day. */
    {"*perday*", NULL, LLM_QUOTA},
    {"resource_exhausted", "limit: 0", LLM_QUOTA}, /* a plan without this model */
    {"resource_exhausted", "credits are depleted", LLM_QUOTA},
    {"invalid_argument", "token count", LLM_CONTEXT_LENGTH},
    {"unauthenticated", NULL, LLM_AUTH},
    {"permission_denied", NULL, LLM_AUTH},
    {"not_found", NULL, LLM_MODEL_NOT_FOUND},
    {"resource_exhausted", NULL, LLM_RATE_LIMITED},
    {"unavailable", NULL, LLM_SERVER_ERROR},
    {"deadline_exceeded", NULL, LLM_SERVER_ERROR},
    {"internal", NULL, LLM_SERVER_ERROR},
    {NULL, NULL, LLM_NONE},
};

/* What is not here is about tools and pictures, which nobody asked for, or malformed. */
static const struct llm_stop stops[] = {
    {"STOP", LLM_NONE},
    {"MAX_TOKENS", LLM_TRUNCATED},
    {"SAFETY", LLM_CONTENT_FILTERED},
    {"RECITATION", LLM_CONTENT_FILTERED},
    {"LANGUAGE", LLM_CONTENT_FILTERED},
    {"OTHER", LLM_CONTENT_FILTERED},
    {"BLOCKLIST", LLM_CONTENT_FILTERED},
    {"PROHIBITED_CONTENT", LLM_CONTENT_FILTERED},
    {"SPII", LLM_CONTENT_FILTERED},
    {"IMAGE_SAFETY", LLM_CONTENT_FILTERED},
    {NULL, LLM_NONE},
};

/* The model in a path: RFC 3986 unreserved, all else percent-encoded. */
static const char *encode(struct arena *a, const char *model)
{
    struct buf *b = buf_create(a, 3 * strlen(model));

    if (strncmp(model, "models/", 7) == 0) /* as their lists of models write it */
        model += 7;
    for (; *model; model++)
        if (isalnum((unsigned char)*model) || strchr("-._~", *model))
            buf_add(b, model, 1);
        else
            buf_printf(b, "%%%02X", (unsigned char)*model);
    return buf_text(b);
}

static void put_text(struct json_out *o, const char *key, const char *role, const char *text)
{
    json_begin(o, key, '{');
    if (role != NULL)
        json_put_text(o, "role", role);
    json_begin(o, "parts", '[');
    json_begin(o, NULL, '{');
    json_put_text(o, "text", text);
    json_end(o, '}');
    json_end(o, ']');
    json_end(o, '}');
}

static void build(struct arena *a, const struct llm_endpoint *endpoint,
                  const struct llm_prompt *prompt, struct llm_request *request)
{
    struct json_out body = llm_json_create(a, endpoint, prompt);
    struct json_out parameters = llm_json_create(a, endpoint, prompt);

    json_begin(&parameters, "generationConfig", '{');
    llm_put_limits(&parameters, endpoint);
    llm_put_members(&parameters, endpoint->options);
    json_end(&parameters, '}');
    llm_put_members(&parameters, endpoint->extra);

    json_begin(&body, NULL, '{');
    put_text(&body, "systemInstruction", NULL, prompt->system);
    json_begin(&body, "contents", '[');
    put_text(&body, NULL, "user", prompt->user);
    json_end(&body, ']');
    llm_request_finish(a, request,
                       arena_printf(a, "%s/v1beta/models/%s:generateContent", endpoint->base_url,
                                    encode(a, endpoint->model)),
                       &body, &parameters);
    if (endpoint->key != NULL)
        request->headers[LLM_OWN_HEADERS] = arena_printf(a, "x-goog-api-key: %s", endpoint->key);
}

/*
 * Their candidates are without the thoughts; ours are both. A count of 0 is left out, so with none
 * of the two the total, which is their sum with the prompt, decides.
 */
static void read_usage(struct json_object *usage, struct llm_answer *answer)
{
    int64_t candidates = llm_count(json_at(usage, "candidatesTokenCount", NULL));
    int64_t thoughts = llm_count(json_at(usage, "thoughtsTokenCount", NULL));

    answer->prompt_tokens = llm_count(json_at(usage, "promptTokenCount", NULL));
    answer->total_tokens = llm_count(json_at(usage, "totalTokenCount", NULL));
    answer->cached_tokens = llm_count(json_at(usage, "cachedContentTokenCount", NULL));
    answer->reasoning_tokens = thoughts;
    if (candidates != LLM_UNKNOWN)
        answer->completion_tokens = llm_sum(candidates, thoughts);
    else if (thoughts != LLM_UNKNOWN)
        answer->completion_tokens = thoughts;
    else if (answer->prompt_tokens != LLM_UNKNOWN && answer->total_tokens >= answer->prompt_tokens)
        answer->completion_tokens = answer->total_tokens - answer->prompt_tokens;
    llm_count_total(answer);
}

/* The parts of the first candidate that are no thoughts. */
static void read_content(struct arena *a, const struct llm_response *response,
                         struct llm_answer *answer)
{
    struct json_object *parts =
        json_at(response->tree, "candidates", "0", "content", "parts", NULL);
    struct buf *text = buf_create(a, response->body_len);

    for (size_t i = 0; i < json_length(parts); i++) {
        struct json_object *part = json_item(parts, i);
        bool thought = false;

        if (!json_flag(json_at(part, "thought", NULL), &thought) || !thought)
            llm_add_text(text, json_at(part, "text", NULL));
    }
    answer->content = text->data;
    answer->content_len = text->len;
}

static void parse(struct arena *a, const struct llm_response *response, struct llm_answer *answer)
{
    static const struct llm_hints hints = {.model = "GEMINI_MODEL", .base_url = "GEMINI_BASE_URL"};
    struct json_object *tree = response->tree;
    const char *block = json_text(json_at(tree, "promptFeedback", "blockReason", NULL));

    llm_answer_init(answer);
    if (llm_is_error(response)) {
        llm_fail_response(a, response, rules, &hints, answer);
        return;
    }
    answer->model = json_text(json_at(tree, "modelVersion", NULL));
    answer->id = json_text(json_at(tree, "responseId", NULL));
    answer->finish_reason = json_text(json_at(tree, "candidates", "0", "finishReason", NULL));
    read_usage(json_at(tree, "usageMetadata", NULL), answer);
    read_content(a, response, answer);
    if (json_is_object(json_at(tree, "candidates", "0", NULL))) {
        llm_finish(a, answer, stops, answer->finish_reason);
    } else if (block != NULL) {
        answer->finish_reason = block;
        llm_fail_text(a, answer, LLM_CONTENT_FILTERED, "the prompt was blocked", block);
    } else {
        llm_fail(answer, LLM_INVALID_RESPONSE, "candidates[0]: object expected");
    }
}

const struct llm_provider llm_gemini = {
    .name = "gemini",
    .key_settings = {"GEMINI_API_KEY", "GOOGLE_API_KEY"},
    .build = build,
    .parse = parse,
};
