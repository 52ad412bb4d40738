#include "fcgi/lessons/generator/llm/translate.h"

#include <ctype.h>
#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/redact.h"
#include "common/utf8.h"

enum {
    CODES_MAX = 16,
    CODE_SHOWN_BYTES = 60,
    EXCERPT_BYTES = 100,
    ESCAPED_MAX = 6,         /* bytes that one byte of a text takes in JSON, at most */
    BODY_FRAME_BYTES = 4096, /* all of a body that is neither text nor data */
    DELAY_MAX_MS = 86400000, /* a longer one is a mistake */
    TOKENS_MAX = 250000000,  /* a higher count, too; sums of these fit 32 bits */
};

#define ELLIPSIS "\xE2\x80\xA6"

/* ---- requests ---- */

static size_t length(const char *s)
{
    return s ? strlen(s) : 0;
}

struct json_out llm_json_create(struct arena *a, const struct llm_endpoint *endpoint,
                                const struct llm_prompt *prompt)
{
    size_t texts = strlen(prompt->system) + strlen(prompt->user) + strlen(endpoint->model);
    size_t data = length(endpoint->extra) + length(endpoint->options);

    return (struct json_out){buf_create(a, ESCAPED_MAX * texts + data + BODY_FRAME_BYTES), false};
}

void llm_put_limits(struct json_out *o, const struct llm_endpoint *endpoint)
{
    json_put_int(o, endpoint->max_tokens_name, endpoint->max_tokens);
    if (!isnan(endpoint->temperature))
        json_put_number(o, "temperature", endpoint->temperature);
}

void llm_put_members(struct json_out *o, const char *members)
{
    if (length(members) > 0)
        json_put_raw(o, NULL, members);
}

void llm_put_message(struct json_out *o, const char *role, const char *content)
{
    json_begin(o, NULL, '{');
    json_put_text(o, "role", role);
    json_put_text(o, "content", content);
    json_end(o, '}');
}

void llm_request_finish(struct arena *a, struct llm_request *request, const char *url,
                        struct json_out *body, const struct json_out *parameters)
{
    llm_put_members(body, buf_text(parameters->buf));
    json_end(body, '}');
    *request = (struct llm_request){
        .url = url,
        .headers = {"Content-Type: application/json", "Accept: application/json"},
        .body = buf_text(body->buf),
        .parameters = arena_printf(a, "{%s}", buf_text(parameters->buf)),
    };
}

const char *llm_bearer(struct arena *a, const struct llm_endpoint *endpoint)
{
    return endpoint->key ? arena_printf(a, "Authorization: Bearer %s", endpoint->key) : NULL;
}

/* ---- error texts ---- */

/* Well-formed, each run of blanks and control characters one space, none at either end. */
static struct buf *one_line(struct arena *a, const char *s, size_t len)
{
    struct buf *stored = buf_create(a, 3 * len), *line = buf_create(a, 3 * len);
    bool gap = false;

    utf8_store(stored, s, len);
    for (size_t i = 0; i < stored->len; i++) {
        unsigned char c = (unsigned char)stored->data[i];

        if (c <= ' ' || c == 0x7f) {
            gap = line->len > 0;
            continue;
        }
        if (gap)
            buf_add(line, " ", 1);
        buf_add(line, &stored->data[i], 1);
        gap = false;
    }
    return line;
}

/* One line of at most max bytes, without secrets: those go first, for half a key would stay. */
static const char *clean(struct arena *a, const char *s, size_t len, size_t max)
{
    struct buf *line;

    s = redact(a, s, len, &len);
    line = one_line(a, s, len);
    if (line->len <= max)
        return buf_text(line);
    len = max - strlen(ELLIPSIS);
    while (((unsigned char)line->data[len] & 0xC0) == 0x80)
        len--;
    return arena_printf(a, "%.*s" ELLIPSIS, (int)len, line->data);
}

void llm_fail_text(struct arena *a, struct llm_answer *answer, enum llm_failure failure,
                   const char *ours, const char *theirs)
{
    const char *text = theirs ? arena_printf(a, "%s: %s", ours, theirs) : ours;

    llm_fail(answer, failure, ours);
    answer->error = clean(a, text, strlen(text), LLM_ERROR_MAX_BYTES);
}

/* ---- errors ---- */

/* What a body tells of an error, wherever providers, and those between them and us, put it. */
struct told {
    struct json_object *node; /* NULL: nothing */
    const char *message;
    const char *codes[CODES_MAX];
    size_t code_count;
    int64_t status; /* a code that is a number; 0: none */
    int64_t retry_after_ms;
};

static void add_code(struct told *t, struct json_object *node)
{
    const char *code = json_text(node);

    if (length(code) > 0 && t->code_count < CODES_MAX)
        t->codes[t->code_count++] = code;
}

/* Google's list of details: reasons, exceeded quotas, and when to come back. */
static void read_details(struct told *t, struct json_object *details)
{
    for (size_t i = 0; i < json_length(details); i++) {
        struct json_object *detail = json_item(details, i);
        struct json_object *violations = json_at(detail, "violations", NULL);
        const char *delay = json_text(json_at(detail, "retryDelay", NULL));

        add_code(t, json_at(detail, "reason", NULL));
        for (size_t v = 0; v < json_length(violations); v++)
            add_code(t, json_at(json_item(violations, v), "quotaId", NULL));
        if (delay != NULL)
            t->retry_after_ms = llm_duration_ms(delay);
    }
}

/* "Please try again in 20s": OpenAI says it nowhere else. */
static int64_t delay_in_words(const char *message)
{
    static const char *const phrases[] = {"try again in ", "retry in "};

    for (size_t i = 0; message && i < sizeof phrases / sizeof *phrases; i++) {
        const char *at = strcasestr(message, phrases[i]);

        if (at != NULL)
            return llm_duration_ms(at + strlen(phrases[i]));
    }
    return LLM_UNKNOWN;
}

/* {"error":{…}}, {"error":"text"}, {"error":["text"]}, [{"error":…}], or the error itself. */
static struct json_object *find_error(struct json_object *tree)
{
    struct json_object *error;

    if (json_is_array(tree))
        tree = json_item(tree, 0);
    error = json_at(tree, "error", NULL);
    if (json_is_array(error))
        error = json_item(error, 0);
    if (error != NULL)
        return error;
    return json_text(json_at(tree, "message", NULL)) || json_text(json_at(tree, "detail", NULL))
               ? tree
               : NULL;
}

static const char *find_message(struct json_object *error)
{
    const char *message = json_text(error);

    if (message == NULL)
        message = json_text(json_at(error, "message", NULL));
    return message ? message : json_text(json_at(error, "detail", NULL));
}

static struct told read_error(struct json_object *tree)
{
    struct told t = {.node = find_error(tree)};
    struct json_object *details = json_at(t.node, "details", NULL);
    double seconds;

    t.message = find_message(t.node);
    add_code(&t, json_at(details, "error_code", NULL));
    add_code(&t, json_at(t.node, "code", NULL));
    add_code(&t, json_at(t.node, "status", NULL));
    add_code(&t, json_at(t.node, "type", NULL));
    json_int(json_at(t.node, "code", NULL), &t.status);
    t.retry_after_ms = delay_in_words(t.message);
    /* Hugging Face, while it loads a model */
    if (json_number(json_at(tree, "estimated_time", NULL), &seconds) && seconds >= 0 &&
        seconds * 1000 <= DELAY_MAX_MS)
        t.retry_after_ms = (int64_t)(seconds * 1000);
    read_details(&t, details);
    return t;
}

static bool fits(const struct llm_rule *rule, const struct told *t)
{
    bool found = rule->code == NULL;

    if (rule->words && (t->message == NULL || strcasestr(t->message, rule->words) == NULL))
        return false;
    for (size_t i = 0; i < t->code_count && !found; i++)
        found = fnmatch(rule->code, t->codes[i], FNM_CASEFOLD) == 0;
    return found;
}

static enum llm_failure failure_by_rule(const struct llm_rule rules[], const struct told *t)
{
    while (rules->failure != LLM_NONE && !fits(rules, t))
        rules++;
    return rules->failure;
}

/* By the status, or by what stands for it in a 200 that holds an error. */
static enum llm_failure failure_by_status(long status, const struct told *t)
{
    enum llm_failure failure = llm_status_failure(status);

    if (failure != LLM_NONE)
        return failure;
    if (t->node == NULL)
        return LLM_INVALID_RESPONSE;
    if (t->status >= 400 && t->status < 600)
        return llm_status_failure((long)t->status);
    for (size_t i = 0; i < t->code_count; i++)
        if (strcasestr(t->codes[i], "invalid") != NULL)
            return LLM_INVALID_REQUEST;
    return LLM_SERVER_ERROR;
}

/* The title of a page, or else its text without the tags. */
static const char *page_text(struct arena *a, const char *html)
{
    const char *title = strcasestr(html, "<title");
    struct buf *text = buf_create(a, strlen(html));
    bool tag = false;

    if (title != NULL && (title = strchr(title, '>')) != NULL) {
        buf_add(text, title + 1, strcspn(title + 1, "<"));
        return buf_text(text);
    }
    for (; *html; html++) {
        if (*html == '<')
            tag = true;
        else if (*html == '>')
            tag = false;
        else if (!tag)
            buf_add(text, html, 1);
    }
    return buf_text(text);
}

/* What there is to say of a body that tells no error: "text/html: 502 Bad Gateway". */
static const char *excerpt(struct arena *a, const struct llm_response *r)
{
    size_t type = strcspn(r->content_type, "; "), len = r->body_len;
    const char *text = arena_memdup(a, len ? r->body : "", len);

    if (strcasestr(r->content_type, "html") != NULL) {
        text = page_text(a, text);
        len = strlen(text);
    }
    text = clean(a, text, len, EXCERPT_BYTES);
    if (*text == '\0')
        text = r->body_len ? "no text" : "empty body";
    if (type == 0)
        return arena_printf(a, "no content type: %s", text);
    return arena_printf(a, "%.*s: %s", (int)type, r->content_type, text);
}

static const char *describe(struct arena *a, const struct llm_response *r, const struct told *t)
{
    const char *text = t->message ? t->message : excerpt(a, r);

    if (t->message != NULL && t->code_count > 0)
        text = arena_printf(a, "%s: %s",
                            clean(a, t->codes[0], strlen(t->codes[0]), CODE_SHOWN_BYTES), text);
    return arena_printf(a, "HTTP %ld, %s", r->status, text);
}

/* "; set OPENAI_MODEL", or "". A bare 404 may as well come from a server that is no provider. */
static const char *hint(struct arena *a, const struct llm_hints *hints, long status,
                        enum llm_failure failure, bool by_rule)
{
    if (status >= 300 && status < 400)
        return arena_printf(a, "; set %s", hints->base_url);
    if (failure == LLM_MODEL_NOT_FOUND && by_rule)
        return arena_printf(a, "; set %s", hints->model);
    if (failure == LLM_MODEL_NOT_FOUND)
        return arena_printf(a, "; set %s or %s", hints->base_url, hints->model);
    if (failure == LLM_AUTH && hints->auth != NULL)
        return arena_printf(a, "; %s", hints->auth);
    return "";
}

bool llm_is_error(const struct llm_response *r)
{
    return llm_status_failure(r->status) != LLM_NONE || !json_is_object(r->tree) ||
           !json_is_null(json_at(r->tree, "error", NULL));
}

void llm_fail_response(struct arena *a, const struct llm_response *r, const struct llm_rule rules[],
                       const struct llm_hints *hints, struct llm_answer *answer)
{
    struct told t = read_error(r->tree);
    enum llm_failure failure = failure_by_rule(rules, &t);
    bool by_rule = failure != LLM_NONE;
    const char *end, *text;

    if (!by_rule)
        failure = failure_by_status(r->status, &t);
    end = hint(a, hints, r->status, failure, by_rule);
    text = describe(a, r, &t);
    text = clean(a, text, strlen(text), LLM_ERROR_MAX_BYTES - strlen(end));
    llm_fail(answer, failure, arena_printf(a, "HTTP %ld%s", r->status, end));
    answer->error = arena_printf(a, "%s%s", text, end);
    answer->retry_after_ms = t.retry_after_ms;
}

/* ---- answers ---- */

void llm_add_text(struct buf *text, struct json_object *node)
{
    size_t len;
    const char *s = json_bytes(node, &len);

    if (s != NULL)
        buf_add(text, s, len);
}

static bool is_blank(const char *s, size_t len)
{
    while (len > 0 && isspace((unsigned char)s[len - 1]))
        len--;
    return len == 0;
}

void llm_finish(struct arena *a, struct llm_answer *answer, const struct llm_stop table[],
                const char *reason)
{
    if (reason == NULL || *reason == '\0') {
        llm_fail(answer, LLM_INVALID_RESPONSE, "cut off: no reason for stopping is given");
        return;
    }
    while (table->reason != NULL && strcasecmp(table->reason, reason) != 0)
        table++;
    answer->failure = table->reason ? table->failure : LLM_INVALID_RESPONSE;
    if (answer->failure == LLM_TRUNCATED)
        llm_fail_text(a, answer, LLM_TRUNCATED, "cut at the token limit", reason);
    else if (answer->failure == LLM_CONTENT_FILTERED)
        llm_fail_text(a, answer, LLM_CONTENT_FILTERED, "refused", reason);
    else if (answer->failure != LLM_NONE)
        llm_fail_text(a, answer, answer->failure, "stopped for another reason", reason);
    else if (is_blank(answer->content, answer->content_len))
        llm_fail(answer, LLM_EMPTY, "finished without text");
}

int64_t llm_count(struct json_object *node)
{
    int64_t n;

    return json_int(node, &n) && n >= 0 && n <= TOKENS_MAX ? n : LLM_UNKNOWN;
}

int64_t llm_sum(int64_t first, int64_t second)
{
    return first == LLM_UNKNOWN || second == LLM_UNKNOWN ? first : first + second;
}

void llm_count_total(struct llm_answer *answer)
{
    if (answer->total_tokens == LLM_UNKNOWN && answer->prompt_tokens != LLM_UNKNOWN &&
        answer->completion_tokens != LLM_UNKNOWN)
        answer->total_tokens = answer->prompt_tokens + answer->completion_tokens;
}

int64_t llm_duration_ms(const char *s)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
    double total = LLM_UNKNOWN;

    while (isdigit((unsigned char)*s)) {
        char *end;
        double n = strtod(s, &end);
        size_t u = 0;

        while (u < 4 && strncmp(end, units[u].name, strlen(units[u].name)) != 0)
            u++;
        if (u == 4)
            break;
        total = (total < 0 ? 0 : total) + n * units[u].ms;
        s = end + strlen(units[u].name);
    }
    return total <= DELAY_MAX_MS ? (int64_t)total : LLM_UNKNOWN;
}
