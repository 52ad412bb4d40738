#include "fcgi/sample/chat.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "common/utf8.h"
#include "common/uuid.h"
#include "fcgi/sample/tokens.h"

enum { PROMPT_MAX_BYTES = 2 << 20, TOKENS_MAX = 1 << 30, ROLE_SHOWN = 40 };

static const struct {
    const char *name;
    bool whole;
    double min, max;
} numbers[] = {
    {"max_completion_tokens", true, 1, TOKENS_MAX},
    {"max_tokens", true, 1, TOKENS_MAX},
    {"n", true, 1, 1},
    {"temperature", false, 0, 2},
    {"top_p", false, 0, 1},
};

static const char *const roles[] = {"system", "developer", "user", "assistant",
                                    "tool",   "function",  NULL};

/* ---- reading ---- */

static bool invalid(struct chat_error *e, const char *param, const char *code, const char *message)
{
    *e = (struct chat_error){400, message, "invalid_request_error", param, code};
    return false;
}

static bool missing(struct arena *a, struct chat_error *e, const char *param)
{
    return invalid(e, param, "missing_required_parameter",
                   arena_printf(a, "Missing required parameter: '%s'.", param));
}

static bool wrong_type(struct arena *a, struct chat_error *e, const char *param,
                       const char *expected)
{
    return invalid(e, param, "invalid_type",
                   arena_printf(a, "Invalid type for '%s': expected %s.", param, expected));
}

static bool check_number(struct arena *a, struct json_object *body, size_t i, struct chat_error *e)
{
    struct json_object *node = json_at(body, numbers[i].name, NULL);
    const char *name = numbers[i].name;
    int64_t whole;
    double value;

    if (json_is_null(node))
        return true;
    if (!json_number(node, &value) || (numbers[i].whole && !json_int(node, &whole)))
        return wrong_type(a, e, name, numbers[i].whole ? "a whole number" : "a number");
    if (value < numbers[i].min || value > numbers[i].max)
        return invalid(e, name, "invalid_value",
                       arena_printf(a, "Invalid '%s': from %.0f to %.0f is supported.", name,
                                    numbers[i].min, numbers[i].max));
    return true;
}

static bool check_stream(struct arena *a, struct json_object *body, struct chat_error *e)
{
    struct json_object *node = json_at(body, "stream", NULL);
    bool on;

    if (json_is_null(node))
        return true;
    if (!json_flag(node, &on))
        return wrong_type(a, e, "stream", "a boolean");
    if (on)
        return invalid(e, "stream", "unsupported_value",
                       "Unsupported value: 'stream' must be false, this provider does not stream.");
    return true;
}

static bool check_role(struct arena *a, const char *role, const char *param, struct chat_error *e)
{
    if (role == NULL)
        return wrong_type(a, e, param, "one of 'system', 'user', 'assistant'");
    for (const char *const *r = roles; *r != NULL; r++)
        if (strcmp(*r, role) == 0)
            return true;
    return invalid(e, param, "invalid_value",
                   arena_printf(a,
                                "Invalid value: '%.*s'. Supported are 'system', 'user', "
                                "'assistant'.",
                                (int)utf8_prefix(role, strlen(role), ROLE_SHOWN), role));
}

/* The text of [{"type": "text", "text": "..."}, ...]; NULL if that is not what it is. */
static const char *parts_text(struct arena *a, struct json_object *parts)
{
    struct buf *b = buf_create(a, PROMPT_MAX_BYTES);

    for (size_t i = 0; i < json_length(parts); i++) {
        const char *text = json_text(json_at(json_item(parts, i), "text", NULL));

        if (text == NULL)
            return NULL;
        buf_printf(b, "%s%s", i ? "\n" : "", text);
    }
    return buf_text(b);
}

static bool read_message(struct arena *a, struct json_object *message, size_t i,
                         struct chat_request *q, bool *from_user, struct chat_error *e)
{
    struct json_object *content = json_at(message, "content", NULL);
    const char *at = arena_printf(a, "messages[%zu]", i), *role, *text;
    const char *content_at = arena_printf(a, "%s.content", at);

    if (!json_is_object(message))
        return wrong_type(a, e, at, "an object");
    role = json_text(json_at(message, "role", NULL));
    if (!check_role(a, role, arena_printf(a, "%s.role", at), e))
        return false;
    text = json_is_array(content) ? parts_text(a, content) : json_text(content);
    if (json_is_null(content) && strcmp(role, "assistant") == 0)
        text = "";
    if (text == NULL)
        return json_is_null(content)
                   ? missing(a, e, content_at)
                   : wrong_type(a, e, content_at, "a string or an array of text parts");
    q->prompt_tokens += tokens_count(text, strlen(text));
    if (strcmp(role, "user") == 0 || !*from_user)
        q->prompt = text;
    *from_user = *from_user || strcmp(role, "user") == 0;
    return true;
}

static bool read_messages(struct arena *a, struct json_object *messages, struct chat_request *q,
                          struct chat_error *e)
{
    bool from_user = false;

    if (json_is_null(messages))
        return missing(a, e, "messages");
    if (!json_is_array(messages))
        return wrong_type(a, e, "messages", "an array of objects");
    if (json_length(messages) == 0)
        return invalid(e, "messages", "empty_array",
                       "Invalid 'messages': empty array. Expected at least one message.");
    for (size_t i = 0; i < json_length(messages); i++)
        if (!read_message(a, json_item(messages, i), i, q, &from_user, e))
            return false;
    return true;
}

bool chat_read(struct arena *a, struct json_object *body, struct chat_request *q,
               struct chat_error *e)
{
    struct json_object *model = json_at(body, "model", NULL);
    int64_t max = 0;

    *q = (struct chat_request){.model = json_text(model)};
    if (!json_is_null(model) && q->model == NULL)
        return wrong_type(a, e, "model", "a string");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!check_number(a, body, i, e))
            return false;
    if (!check_stream(a, body, e) || !read_messages(a, json_at(body, "messages", NULL), q, e))
        return false;
    if (!json_int(json_at(body, "max_completion_tokens", NULL), &max))
        json_int(json_at(body, "max_tokens", NULL), &max);
    q->max_tokens = (size_t)max;
    return true;
}

/* ---- writing ---- */

static void write_id(struct json_out *o)
{
    char uuid[UUID_SIZE], id[sizeof "chatcmpl-" + UUID_SIZE] = "chatcmpl-", *p = id + strlen(id);

    uuid_create(uuid);
    for (const char *c = uuid; *c; c++)
        if (*c != '-')
            *p++ = *c;
    json_put_text(o, "id", id);
}

static void write_content(struct json_out *o, const struct chat_answer *answer)
{
    if (answer->content == NULL)
        json_put_null(o, "content");
    else
        json_put_bytes(o, "content", answer->content, answer->len);
    if (answer->content != NULL && answer->escapes != NULL) {
        o->buf->len--; /* the closing quote goes behind them */
        buf_printf(o->buf, "%s\"", answer->escapes);
    }
}

static void write_choices(struct json_out *o, const struct chat_answer *answer)
{
    json_begin(o, "choices", '[');
    json_begin(o, NULL, '{');
    json_put_int(o, "index", 0);
    json_begin(o, "message", '{');
    json_put_text(o, "role", "assistant");
    write_content(o, answer);
    json_put_text(o, "refusal", answer->refusal);
    json_end(o, '}');
    json_put_null(o, "logprobs");
    json_put_text(o, "finish_reason", answer->finish_reason);
    json_end(o, '}');
    json_end(o, ']');
}

static void write_usage(struct json_out *o, const struct chat_answer *answer)
{
    size_t made = answer->content ? tokens_count(answer->content, answer->len) : 0;

    if (answer->escapes != NULL)
        made += tokens_count(answer->escapes, strlen(answer->escapes));
    if (answer->refusal != NULL)
        made += tokens_count(answer->refusal, strlen(answer->refusal));
    json_begin(o, "usage", '{');
    json_put_int(o, "prompt_tokens", (int64_t)answer->prompt_tokens);
    json_put_int(o, "completion_tokens", (int64_t)made);
    json_put_int(o, "total_tokens", (int64_t)(answer->prompt_tokens + made));
    json_begin(o, "prompt_tokens_details", '{');
    json_put_int(o, "cached_tokens", 0);
    json_end(o, '}');
    json_begin(o, "completion_tokens_details", '{');
    json_put_int(o, "reasoning_tokens", 0);
    json_end(o, '}');
    json_end(o, '}');
}

void chat_write(struct buf *b, const struct chat_answer *answer)
{
    struct json_out o = {b, false};

    json_begin(&o, NULL, '{');
    write_id(&o);
    json_put_text(&o, "object", "chat.completion");
    json_put_int(&o, "created", (int64_t)time(NULL));
    json_put_text(&o, "model", answer->model);
    write_choices(&o, answer);
    if (!answer->no_usage)
        write_usage(&o, answer);
    json_end(&o, '}');
}

void chat_write_error(struct buf *b, const struct chat_error *e)
{
    struct json_out o = {b, false};

    json_begin(&o, NULL, '{');
    json_begin(&o, "error", '{');
    json_put_text(&o, "message", e->message);
    json_put_text(&o, "type", e->type);
    json_put_text(&o, "param", e->param);
    json_put_text(&o, "code", e->code);
    json_end(&o, '}');
    json_end(&o, '}');
}
