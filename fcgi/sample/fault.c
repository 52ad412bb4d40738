#include "fcgi/sample/fault.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "fcgi/sample/compose.h"
#include "fcgi/sample/tokens.h"

enum {
    BODY_MAX_BYTES = 8 << 20,
    HUGE_BYTES = 5 << 20, /* more than the 4 MiB that a client of ours takes */
    SLOW_MS = 10000,
    NUMBER_MAX_DIGITS = 6,
};

#define JSON "application/json"
#define HTML "text/html; charset=utf-8"

struct fault_call {
    struct arena *arena;
    const struct chat_request *request;
    const struct fault *fault;
    const char *model;
    long n;
};

/* ---- the ways to answer ---- */

static struct chat_answer compose(const struct fault_call *c)
{
    const struct buf *lesson = compose_lesson(c->arena, c->request->prompt);

    return (struct chat_answer){
        .model = c->model,
        .content = buf_text(lesson),
        .len = lesson->len,
        .finish_reason = "stop",
        .prompt_tokens = c->request->prompt_tokens,
    };
}

/* As a model that has no tokens left: cut, and said so. */
static void cut_answer(struct chat_answer *answer, size_t tokens)
{
    size_t len = tokens_prefix(answer->content, answer->len, tokens);

    if (len < answer->len)
        answer->finish_reason = "length";
    answer->len = len;
}

static void lesson(const struct fault_call *c, struct fault_reply *r)
{
    struct chat_answer answer = compose(c);

    if (c->request->max_tokens > 0)
        cut_answer(&answer, c->request->max_tokens);
    chat_write(r->body, &answer);
}

static void slow(const struct fault_call *c, struct fault_reply *r)
{
    r->wait_ms = c->n ? c->n : SLOW_MS;
    lesson(c, r);
}

static void truncated(const struct fault_call *c, struct fault_reply *r)
{
    struct chat_answer answer = compose(c);

    cut_answer(&answer, tokens_count(answer.content, answer.len) / 2);
    chat_write(r->body, &answer);
}

static void empty(const struct fault_call *c, struct fault_reply *r)
{
    struct chat_answer answer = compose(c);

    answer.len = 0;
    chat_write(r->body, &answer);
}

static void refusal(const struct fault_call *c, struct fault_reply *r)
{
    struct chat_answer answer = compose(c);

    answer.content = NULL;
    answer.refusal = "I'm sorry, I cannot help with that request.";
    answer.finish_reason = "content_filter";
    chat_write(r->body, &answer);
}

static void no_usage(const struct fault_call *c, struct fault_reply *r)
{
    struct chat_answer answer = compose(c);

    answer.no_usage = true;
    chat_write(r->body, &answer);
}

static void bad_text(const struct fault_call *c, struct fault_reply *r)
{
    struct chat_answer answer = compose(c);

    answer.escapes = "A NUL: \\u0000, and half a surrogate pair: \\ud800.\\n";
    chat_write(r->body, &answer);
}

static void huge(const struct fault_call *c, struct fault_reply *r)
{
    struct chat_answer answer = compose(c);
    struct buf *text = buf_create(c->arena, BODY_MAX_BYTES);

    while (text->len < HUGE_BYTES)
        buf_add(text, answer.content, answer.len);
    answer.content = buf_text(text);
    answer.len = text->len;
    chat_write(r->body, &answer);
}

static void garbage(const struct fault_call *c, struct fault_reply *r)
{
    (void)c;
    buf_puts(r->body, "{\"choices\": [{\"message\": {\"content\": oops, this is not JSON\n");
}

static void html(const struct fault_call *c, struct fault_reply *r)
{
    const char *title = c->fault->error.message;

    r->status = c->fault->error.status;
    r->type = HTML;
    buf_printf(r->body,
               "<!DOCTYPE html>\n<html lang=\"en\"><head><title>%s</title></head>\n"
               "<body><h1>%s</h1></body></html>\n",
               title, title);
}

static void drop(const struct fault_call *c, struct fault_reply *r)
{
    (void)c;
    r->status = 0;
}

static void cut(const struct fault_call *c, struct fault_reply *r)
{
    lesson(c, r);
    r->missing = r->body->len - r->body->len / 2;
    r->body->len /= 2;
}

static uint64_t hash(const char *text)
{
    uint64_t h = 0xCBF29CE484222325ULL; /* FNV-1a */

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001B3ULL;
    return h;
}

static void flaky(const struct fault_call *c, struct fault_reply *r)
{
    if ((long)(hash(c->request->prompt) % 100) < c->n)
        fault_refuse(c->arena, &c->fault->error, r);
    else
        lesson(c, r);
}

/* ---- the table ---- */

/* clang-format off */
#define INVALID "invalid_request_error"
#define SERVER_ERROR                                                                               \
    {500, "The server had an error while processing your request.", "server_error", NULL, NULL}
#define RATE_LIMITED                                                                               \
    {429, "Rate limit reached for requests per minute.", "requests", NULL, "rate_limit_exceeded"}

const struct fault faults[] = {
    {"sample", "a lesson composed from the outline", .answer = lesson},
    {"fail-400", "400, a parameter the model does not take", .error =
     {400, "Unsupported parameter: 'messages'.", INVALID, "messages", "unsupported_parameter"}},
    {"fail-401", "401, the key is wrong", .error =
     {401, "Incorrect API key provided.", INVALID, NULL, "invalid_api_key"}},
    {"fail-402", "402, no credit left", .error =
     {402, "Your credit balance is too low.", "billing_error", NULL, "payment_required"}},
    {"fail-403", "403, the key may not use the model", .error =
     {403, "Your project may not use this model.", INVALID, NULL, "permission_denied"}},
    {"fail-404", "404, the model is retired", .error =
     {404, "The model `fail-404` does not exist.", INVALID, NULL, "model_not_found"}},
    {"fail-408", "408, a time-out of the provider's own", .error =
     {408, "The request timed out.", "timeout", NULL, "request_timeout"}},
    {"fail-409", "409, a conflict that passes", .error =
     {409, "The request conflicts with another one.", INVALID, NULL, "conflict"}},
    {"fail-413", "413, the request is too large", .error =
     {413, "The request is too large for this model.", INVALID, NULL, "request_too_large"}},
    {"fail-422", "422, understood but not followed", .error =
     {422, "The request could not be followed.", INVALID, NULL, "unprocessable_entity"}},
    {"fail-429", "429 without Retry-After", .error = RATE_LIMITED},
    {"fail-429-retry-after", "429 with Retry-After: 30", .error = RATE_LIMITED, .retry_after_s = 30},
    {"fail-quota", "429, the money is used up: waiting does not help", .error =
     {429, "You exceeded your current quota.", "insufficient_quota", NULL, "insufficient_quota"}},
    {"fail-500", "500, an error of the server", .error = SERVER_ERROR},
    {"fail-502", "502 with a web page, as gateways answer", .answer = html, .error =
     {502, "502 Bad Gateway", NULL, NULL, NULL}},
    {"fail-503", "503, overloaded", .error =
     {503, "The engine is currently overloaded.", "server_error", NULL, "overloaded"}},
    {"fail-529", "529, overloaded", .error =
     {529, "Overloaded", "overloaded_error", NULL, NULL}},
    {"context-length", "400, the prompt is too long for the model", .error =
     {400, "This model's maximum context length is 1 token.", INVALID, "messages",
      "context_length_exceeded"}},
    {"slow", "a lesson after 10 seconds", .answer = slow},
    {"slow-N", "a lesson after N milliseconds", .answer = slow, .min = 1, .max = 600000},
    {"truncate", "half a lesson, finish_reason length", .answer = truncated},
    {"empty", "an answer without text", .answer = empty},
    {"refuse", "a refusal, finish_reason content_filter", .answer = refusal},
    {"garbage", "200, not JSON", .answer = garbage},
    {"html", "200, a web page", .answer = html, .error = {200, "Welcome", NULL, NULL, NULL}},
    {"drop", "no answer, the connection is closed", .answer = drop},
    {"cut", "half an answer, then the connection is closed", .answer = cut},
    {"huge", "an answer of more than 4 MiB", .answer = huge},
    {"nul", "a lesson with \\u0000 and half a surrogate pair in it", .answer = bad_text},
    {"no-usage", "a lesson without usage", .answer = no_usage},
    {"flaky-N", "500 for N % of all prompts, the same ones each time, else a lesson",
     .answer = flaky, .error = SERVER_ERROR, .max = 100},
    {0},
};
/* clang-format on */

/* ---- finding and answering ---- */

/* A whole number without leading zeros. */
static bool read_number(const char *s, long min, long max, long *n)
{
    size_t digits = strspn(s, "0123456789");

    if (digits == 0 || digits > NUMBER_MAX_DIGITS || s[digits] != '\0' || (*s == '0' && s[1]))
        return false;
    *n = strtol(s, NULL, 10);
    return *n >= min && *n <= max;
}

static bool is_called(const struct fault *f, const char *model, long *n)
{
    size_t fixed = strlen(f->name) - 1;

    *n = 0;
    if (f->max == 0)
        return strcmp(f->name, model) == 0;
    return strncmp(f->name, model, fixed) == 0 && read_number(model + fixed, f->min, f->max, n);
}

const struct fault *fault_find(const char *model, long *n)
{
    for (const struct fault *f = faults; f->name != NULL; f++)
        if (is_called(f, model, n))
            return f;
    return NULL;
}

static void begin(struct arena *a, struct fault_reply *r)
{
    *r = (struct fault_reply){.status = 200, .type = JSON, .body = buf_create(a, BODY_MAX_BYTES)};
}

void fault_refuse(struct arena *a, const struct chat_error *e, struct fault_reply *r)
{
    begin(a, r);
    r->status = e->status;
    chat_write_error(r->body, e);
}

void fault_answer(const struct fault *f, long n, struct arena *a, const struct chat_request *q,
                  struct fault_reply *r)
{
    struct fault_call c = {a, q, f, q->model ? q->model : f->name, n};

    begin(a, r);
    if (f->answer != NULL)
        f->answer(&c, r);
    else
        fault_refuse(a, &f->error, r);
    r->retry_after_s = f->retry_after_s;
}
