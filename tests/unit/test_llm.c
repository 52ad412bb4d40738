/*
 * Every provider translates: tests/fixtures/llm/PROVIDER/CASE.json, one case a file.
 *
 *     {"why": "…", "status": 429, "headers": {…}, "body": {…} or "text",
 *      "expect": {"failure": "quota", "error": "part of the text", "content": …, …}}
 *
 * What "expect" does not name has to be unknown. Adding a case is adding a file.
 */
#include "fcgi/lessons/generator/llm/translate.h"

#include <glob.h>
#include <math.h>
#include <string.h>

#include "common/utf8.h"
#include "tests/unit/suites.h"

#define FIXTURES "tests/fixtures/llm"

enum { CASES_MIN = 250 }; /* fewer: not the right directory */

static glob_t cases;

/* ---- parse ---- */

static const struct llm_provider *provider_named(const char *name, size_t len)
{
    for (const struct llm_provider *const *p = llm_providers; *p != NULL; p++)
        if (strlen((*p)->name) == len && strncmp((*p)->name, name, len) == 0)
            return *p;
    ck_abort_msg("%s: no provider", name);
}

/* The one whose folder the case is in. */
static const struct llm_provider *provider_of(const char *path)
{
    const char *name = path + strlen(FIXTURES "/");

    return provider_named(name, strcspn(name, "/"));
}

static struct llm_response response_of(struct arena *a, struct json_object *fixture)
{
    struct json_object *body = json_at(fixture, "body", NULL);
    const char *type = json_text(json_at(fixture, "headers", "content-type", NULL));
    struct llm_response r = {.content_type = type ? type : ""};
    int64_t status;
    struct err e;

    ck_assert(json_int(json_at(fixture, "status", NULL), &status));
    r.status = (long)status;
    r.body = json_text(body) ? json_text(body) : json_print(body);
    r.body_len = strlen(r.body);
    r.tree = json_parse(a, r.body, r.body_len, &e);
    return r;
}

/* What holds for any answer to anything. */
static void check_answer(const char *path, const struct llm_answer *answer)
{
    ck_assert_msg(answer->failure < LLM_FAILURE_COUNT, "%s", path);
    ck_assert_msg((answer->failure == LLM_NONE) == (answer->error == NULL), "%s", path);
    ck_assert_msg((answer->failure == LLM_NONE) == (answer->own_error == NULL), "%s", path);
    if (answer->error == NULL)
        return;
    ck_assert_msg(strlen(answer->error) <= LLM_ERROR_MAX_BYTES, "%s: %s", path, answer->error);
    ck_assert_msg(utf8_valid(answer->error, strlen(answer->error)), "%s: %s", path, answer->error);
    for (const char *p = answer->error; *p; p++)
        ck_assert_msg((unsigned char)*p >= ' ' && *p != 0x7f, "%s: %s", path, answer->error);
}

static void check_text(const char *path, struct json_object *expect, const char *name,
                       const char *value)
{
    const char *expected = json_text(json_at(expect, name, NULL));

    ck_assert_msg((expected == NULL) == (value == NULL) &&
                      (value == NULL || strcmp(expected, value) == 0),
                  "%s: %s is \"%s\", not \"%s\"", path, name, value ? value : "(none)",
                  expected ? expected : "(none)");
}

static void check_count(const char *path, struct json_object *expect, const char *name,
                        int64_t value)
{
    int64_t expected = LLM_UNKNOWN;

    json_int(json_at(expect, name, NULL), &expected);
    ck_assert_msg(value == expected, "%s: %s is %lld, not %lld", path, name, (long long)value,
                  (long long)expected);
}

static void check_content(const char *path, struct json_object *expect,
                          const struct llm_answer *answer)
{
    size_t len;
    const char *expected = json_bytes(json_at(expect, "content", NULL), &len);

    ck_assert_msg((expected == NULL) == (answer->content == NULL) && len == answer->content_len,
                  "%s: content is \"%s\"", path, answer->content ? answer->content : "(none)");
    ck_assert_msg(len == 0 || memcmp(expected, answer->content, len) == 0, "%s: content", path);
}

static void check_expected(const char *path, struct json_object *expect,
                           const struct llm_answer *answer)
{
    static const char *const names[] = {
        "failure",
        "error",
        "content",
        "model",
        "id",
        "finish_reason",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cached_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "retry_after_ms",
        NULL,
    };
    const char *error = json_text(json_at(expect, "error", NULL));

    ck_assert_msg(json_unknown_member(expect, names) == NULL, "%s: %s", path,
                  json_unknown_member(expect, names));
    check_text(path, expect, "failure", llm_failure_name(answer->failure));
    ck_assert_msg((error == NULL) == (answer->error == NULL), "%s: error", path);
    ck_assert_msg(error == NULL || strstr(answer->error, error) != NULL,
                  "%s: error is \"%s\", not \"%s\"", path, answer->error, error);
    check_content(path, expect, answer);
    check_text(path, expect, "model", answer->model);
    check_text(path, expect, "id", answer->id);
    check_text(path, expect, "finish_reason", answer->finish_reason);
    check_count(path, expect, "prompt_tokens", answer->prompt_tokens);
    check_count(path, expect, "completion_tokens", answer->completion_tokens);
    check_count(path, expect, "total_tokens", answer->total_tokens);
    check_count(path, expect, "cached_tokens", answer->cached_tokens);
    check_count(path, expect, "cache_write_tokens", answer->cache_write_tokens);
    check_count(path, expect, "reasoning_tokens", answer->reasoning_tokens);
    check_count(path, expect, "retry_after_ms", answer->retry_after_ms);
}

static struct json_object *load(struct arena *a, const char *path)
{
    struct err e = {0};
    struct json_object *fixture = json_parse_file(a, path, &e);

    ck_assert_msg(fixture != NULL, "%s", e.text);
    return fixture;
}

START_TEST(parses_recorded_responses)
{
    ck_assert_uint_ge(cases.gl_pathc, CASES_MIN);
    for (size_t i = 0; i < cases.gl_pathc; i++) {
        const char *path = cases.gl_pathv[i];
        struct arena *a = arena_create();
        struct json_object *fixture = load(a, path);
        struct llm_response response = response_of(a, fixture);
        struct llm_answer answer;

        provider_of(path)->parse(a, &response, &answer);
        check_answer(path, &answer);
        check_expected(path, json_at(fixture, "expect", NULL), &answer);
        arena_destroy(a);
    }
}
END_TEST

/* An answer that was cut off is no answer: in places all over it, and each near its end. */
START_TEST(takes_no_part_for_the_whole)
{
    for (size_t i = 0; i < cases.gl_pathc; i++) {
        struct arena *all = arena_create();
        struct llm_response r = response_of(all, load(all, cases.gl_pathv[i]));
        size_t len = r.body_len;

        if (strstr(cases.gl_pathv[i], "/success") == NULL)
            len = 0;
        for (r.body_len = 0; r.body_len < len; r.body_len += r.body_len + 50 < len ? 17 : 1) {
            struct arena *a = arena_create();
            struct llm_answer answer;
            struct err e;

            r.tree = json_parse(a, r.body, r.body_len, &e);
            provider_of(cases.gl_pathv[i])->parse(a, &r, &answer);
            check_answer(cases.gl_pathv[i], &answer);
            ck_assert_msg(answer.failure != LLM_NONE, "%.*s", (int)r.body_len, r.body);
            arena_destroy(a);
        }
        arena_destroy(all);
    }
}
END_TEST

/* Nothing of these is an answer, whatever the status; each member is of a type it should not be. */
static const char *const hostile[] = {
    "",
    " ",
    "\n",
    "null",
    "true",
    "7",
    "\"text\"",
    "[]",
    "[[]]",
    "[null]",
    "[7]",
    "{}",
    "{\"\":1}",
    "{\"error\":null}",
    "{\"error\":[]}",
    "{\"error\":[[]]}",
    "{\"error\":{\"message\":7}}",
    "{\"error\":{\"message\":{\"error\":{}}}}",
    "{\"error\":{\"details\":7}}",
    "{\"error\":{\"details\":[7,null,[],{\"violations\":7,\"retryDelay\":7,\"reason\":[]}]}}",
    "{\"error\":{\"details\":[{\"retryDelay\":\"soon\"},{\"violations\":[7,{\"quotaId\":7}]}]}}",
    "{\"error\":{\"code\":{},\"status\":[],\"type\":7}}",
    "{\"error\":{\"code\":99999999999999}}",
    "{\"error\":{\"code\":200,\"message\":\"fine\"}}",
    "{\"message\":7,\"detail\":{}}",
    "{\"error\":\"\"}",
    "{\"error\":\"\\u0000\"}",
    "{\"error\":\"\xFF\xFE\"}",
    "{\"error\":\"x\",\"estimated_time\":-1}",
    "{\"error\":\"x\",\"estimated_time\":1e300}",
    "{\"choices\":7}",
    "{\"choices\":{}}",
    "{\"choices\":[7]}",
    "{\"choices\":[{}]}",
    "{\"choices\":[{\"message\":7}]}",
    "{\"choices\":[{\"message\":{},\"finish_reason\":7}]}",
    "{\"choices\":[{\"message\":{\"content\":7},\"finish_reason\":\"stop\"}]}",
    "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"\"}]}",
    "{\"choices\":[{\"message\":{\"refusal\":\"no\"},\"finish_reason\":\"stop\"}]}",
    "{\"choices\":[{\"text\":\"x\",\"finish_reason\":\"stop\"}],\"usage\":7}",
    "{\"choices\":[{\"message\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]} x",
    "{\"content\":7,\"stop_reason\":\"end_turn\"}",
    "{\"content\":\"x\",\"stop_reason\":\"end_turn\"}",
    "{\"content\":[7,null,{}],\"stop_reason\":\"end_turn\"}",
    "{\"content\":[{\"type\":\"text\",\"text\":7}],\"stop_reason\":\"end_turn\"}",
    "{\"content\":[{\"type\":7,\"text\":\"x\"}],\"stop_reason\":\"end_turn\"}",
    "{\"content\":[{\"type\":\"text\",\"text\":\"x\"}],\"stop_reason\":{}}",
    "{\"candidates\":7}",
    "{\"candidates\":[7]}",
    "{\"candidates\":[{\"finishReason\":\"STOP\"}]}",
    "{\"candidates\":[{\"content\":{\"parts\":7},\"finishReason\":\"STOP\"}]}",
    "{\"candidates\":[{\"content\":{\"parts\":[7,{\"text\":7}]},\"finishReason\":\"STOP\"}]}",
    "{\"candidates\":[],\"promptFeedback\":{\"blockReason\":7}}",
    "{\"message\":7,\"done\":true}",
    "{\"message\":{},\"done\":true,\"done_reason\":7}",
    "{\"message\":{\"content\":\"x\"},\"done\":1,\"done_reason\":\"stop\"}",
    "{\"message\":{\"content\":\"x\"},\"done_reason\":\"stop\"}",
    "<",
    "<title",
    "<title>",
    "<html><title>x",
    "<<<>>>",
    "<!-- <title>no</title> -->",
    "\xEF\xBB\xBF{}",
};

static void parse_hostile(const struct llm_provider *p, long status, const char *body)
{
    const char *type = *body == '<' ? "text/html; charset=utf-8" : "application/json";
    struct arena *a = arena_create();
    struct llm_response r = {status, type, body, strlen(body), NULL};
    struct llm_answer answer;
    struct err e;

    r.tree = json_parse(a, r.body, r.body_len, &e);
    p->parse(a, &r, &answer);
    check_answer(body, &answer);
    ck_assert_msg(answer.failure != LLM_NONE, "%s, %ld: %s", p->name, status, body);
    arena_destroy(a);
}

START_TEST(takes_nothing_else_for_an_answer)
{
    static const long statuses[] = {0, 200, 302, 404, 429, 500};

    for (size_t p = 0; llm_providers[p] != NULL; p++)
        for (size_t s = 0; s < sizeof statuses / sizeof *statuses; s++)
            for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++)
                parse_hostile(llm_providers[p], statuses[s], hostile[i]);
}
END_TEST

/* Bytes that are no text: in an answer they are kept, in an error they are replaced. */
START_TEST(keeps_bytes_of_answers_and_cleans_those_of_errors)
{
    static const char answer_body[] = "{\"choices\":[{\"message\":{\"content\":\"\xFF\xC0\xAF\"},"
                                      "\"finish_reason\":\"stop\"}]}";
    static const char page[] = "<title>\xFF\x00\x1B[31m</title>";
    struct arena *a = arena_create();
    struct llm_response r = {200, "application/json", answer_body, sizeof answer_body - 1, NULL};
    struct llm_answer answer;
    struct err e;

    r.tree = json_parse(a, r.body, r.body_len, &e);
    ck_assert_ptr_nonnull(r.tree);
    provider_named("openai", 6)->parse(a, &r, &answer);
    ck_assert_int_eq(answer.failure, LLM_NONE);
    ck_assert_mem_eq(answer.content, "\xFF\xC0\xAF", 3);

    r = (struct llm_response){502, "text/html", page, sizeof page - 1, NULL};
    provider_named("openai", 6)->parse(a, &r, &answer);
    check_answer("page", &answer);
    arena_destroy(a);
}
END_TEST

/* The classes that each can be made to produce, and has to have a case for. */
START_TEST(has_a_case_for_each_failure)
{
    enum {
        OF_SAMPLE = 1 << LLM_NONE | 1 << LLM_RATE_LIMITED | 1 << LLM_SERVER_ERROR |
                    1 << LLM_TRUNCATED | 1 << LLM_INVALID_RESPONSE | 1 << LLM_EMPTY |
                    1 << LLM_MODEL_NOT_FOUND,
        OF_OLLAMA = OF_SAMPLE | 1 << LLM_QUOTA | 1 << LLM_AUTH | 1 << LLM_INVALID_REQUEST |
                    1 << LLM_CONTEXT_LENGTH,
        OF_ALL = OF_OLLAMA | 1 << LLM_CONTENT_FILTERED
    };

    for (const struct llm_provider *const *p = llm_providers; *p != NULL; p++) {
        int wanted = strcmp((*p)->name, "sample") == 0   ? OF_SAMPLE
                     : strcmp((*p)->name, "ollama") == 0 ? OF_OLLAMA
                                                         : OF_ALL;
        int seen = 0;

        for (size_t i = 0; i < cases.gl_pathc; i++) {
            struct arena *a = arena_create();
            const char *name =
                json_text(json_at(load(a, cases.gl_pathv[i]), "expect", "failure", NULL));

            for (int f = 0; provider_of(cases.gl_pathv[i]) == *p && f < LLM_FAILURE_COUNT; f++)
                if (strcmp(llm_failure_name((enum llm_failure)f), name) == 0)
                    seen |= 1 << f;
            arena_destroy(a);
        }
        ck_assert_msg((seen & wanted) == wanted, "%s: %x of %x", (*p)->name, seen, wanted);
    }
}
END_TEST

START_TEST(classifies_by_status)
{
    static const struct {
        long status;
        enum llm_failure failure;
    } rows[] = {
        {200, LLM_NONE},
        {204, LLM_NONE},
        {301, LLM_INVALID_RESPONSE},
        {400, LLM_INVALID_REQUEST},
        {401, LLM_AUTH},
        {402, LLM_QUOTA},
        {403, LLM_AUTH},
        {404, LLM_MODEL_NOT_FOUND},
        {408, LLM_SERVER_ERROR},
        {409, LLM_SERVER_ERROR},
        {410, LLM_MODEL_NOT_FOUND},
        {413, LLM_INVALID_REQUEST},
        {422, LLM_INVALID_REQUEST},
        {429, LLM_RATE_LIMITED},
        {498, LLM_RATE_LIMITED},
        {499, LLM_SERVER_ERROR},
        {500, LLM_SERVER_ERROR},
        {502, LLM_SERVER_ERROR},
        {503, LLM_SERVER_ERROR},
        {504, LLM_SERVER_ERROR},
        {520, LLM_SERVER_ERROR},
        {524, LLM_SERVER_ERROR},
        {529, LLM_SERVER_ERROR},
        {0, LLM_INVALID_RESPONSE},
        {100, LLM_INVALID_RESPONSE},
        {600, LLM_INVALID_RESPONSE},
        {-1, LLM_INVALID_RESPONSE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_int_eq(llm_status_failure(rows[i].status), rows[i].failure);
}
END_TEST

START_TEST(names_failures_as_stored)
{
    ck_assert_str_eq(llm_failure_name(LLM_NONE), "none");
    ck_assert_str_eq(llm_failure_name(LLM_RATE_LIMITED), "rate_limited");
    ck_assert_str_eq(llm_failure_name(LLM_WORKER_LOST), "worker_lost");
    for (int f = 0; f < LLM_FAILURE_COUNT; f++)
        ck_assert_ptr_nonnull(llm_failure_name((enum llm_failure)f));
}
END_TEST

START_TEST(reads_durations)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"34s", 34000},
        {"34.074824224s", 34074},
        {"0s", 0},
        {"250ms", 250},
        {"1m", 60000},
        {"6m0s", 360000},
        {"9m38.016s. Need more", 578016},
        {"1h2m3s", 3723000},
        {"24h", 86400000},
        {"25h", LLM_UNKNOWN},
        {"1e300s", LLM_UNKNOWN},
        {"", LLM_UNKNOWN},
        {"s", LLM_UNKNOWN},
        {"-1s", LLM_UNKNOWN},
        {"20", LLM_UNKNOWN},
        {"20 seconds", LLM_UNKNOWN},
        {"soon", LLM_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_msg(llm_duration_ms(rows[i].text) == rows[i].ms, "%s", rows[i].text);
}
END_TEST

/* ---- build ---- */

#define KEY "sk-test-0123456789ABCDEF"

static struct llm_endpoint endpoint_of(const struct llm_provider *p)
{
    return (struct llm_endpoint){.provider = p,
                                 .name = p->name,
                                 .base_url = "https://api.example/base",
                                 .model = "some/model-1",
                                 .key = KEY,
                                 .max_tokens_name = "max_tokens",
                                 .extra = "",
                                 .max_tokens = 8192,
                                 .temperature = NAN};
}

static struct json_object *parse_json(struct arena *a, const char *text)
{
    struct err e = {0};
    struct json_object *tree = json_parse_client(a, text, strlen(text), &e);

    ck_assert_msg(tree != NULL, "%s: %s", e.text, text);
    return tree;
}

/* Each string of a tree that equals the text, wherever it is. */
static int count_text(struct json_object *node, const char *text)
{
    static const char *const members[] = {"model", "system", "messages", "content",
                                          "parts", "text",   "contents", "systemInstruction"};
    int n = json_text(node) && strcmp(json_text(node), text) == 0;

    for (size_t i = 0; i < json_length(node); i++)
        n += count_text(json_item(node, i), text);
    for (size_t i = 0; json_is_object(node) && i < sizeof members / sizeof *members; i++)
        n += count_text(json_at(node, members[i], NULL), text);
    return n;
}

START_TEST(builds_json_with_model_and_prompt)
{
    static const struct llm_prompt prompt = {
        "You \"write\" lessons.\n\\ </script> \x7f\x01",
        "Magnets\r\n\t磁石 🧲 \"',{}[]",
    };

    for (size_t i = 0; llm_providers[i] != NULL; i++) {
        struct arena *a = arena_create();
        struct llm_endpoint endpoint = endpoint_of(llm_providers[i]);
        struct llm_request request;
        struct json_object *body;

        endpoint.provider->build(a, &endpoint, &prompt, &request);
        body = parse_json(a, request.body);
        ck_assert_int_eq(count_text(body, prompt.system), 1);
        ck_assert_int_eq(count_text(body, prompt.user), 1);
        ck_assert(count_text(body, endpoint.model) == 1 ||
                  strstr(request.url, "some%2Fmodel-1") != NULL);
        ck_assert_ptr_null(json_at(body, "temperature", NULL));
        ck_assert(strncmp(request.url, endpoint.base_url, strlen(endpoint.base_url)) == 0);
        arena_destroy(a);
    }
}
END_TEST

START_TEST(puts_the_key_into_one_header_only)
{
    for (size_t i = 0; llm_providers[i] != NULL; i++) {
        struct arena *a = arena_create();
        struct llm_endpoint endpoint = endpoint_of(llm_providers[i]);
        struct llm_prompt prompt = {"s", "u"};
        struct llm_request request;
        int keys = 0, n = 0;

        endpoint.provider->build(a, &endpoint, &prompt, &request);
        for (; request.headers[n] != NULL; n++)
            keys += strstr(request.headers[n], KEY) != NULL;
        ck_assert_int_eq(keys, 1);
        ck_assert_int_lt(n, 6);
        ck_assert_str_eq(request.headers[0], "Content-Type: application/json");
        ck_assert_str_eq(request.headers[1], "Accept: application/json");
        ck_assert_ptr_null(strstr(request.url, KEY));
        ck_assert_ptr_null(strstr(request.body, KEY));
        ck_assert_ptr_null(strstr(request.parameters, KEY));

        endpoint.key = NULL;
        endpoint.provider->build(a, &endpoint, &prompt, &request);
        for (keys = 0; request.headers[keys] != NULL; keys++)
            ;
        ck_assert_int_eq(keys, n - 1);
        arena_destroy(a);
    }
}
END_TEST

/* The parameters are, word for word, what the body holds beside model and prompt. */
START_TEST(tells_the_parameters_it_sends)
{
    static const char *const others[] = {"model",    "messages",          "system",
                                         "contents", "systemInstruction", NULL};
    static const double temperatures[] = {NAN, 0, 0.7};

    for (size_t i = 0; llm_providers[i] != NULL; i++)
        for (size_t t = 0; t < 3; t++) {
            struct arena *a = arena_create();
            struct llm_endpoint endpoint = endpoint_of(llm_providers[i]);
            struct llm_prompt prompt = {"s", "u"};
            struct llm_request r;
            const char *rest;

            endpoint.temperature = temperatures[t];
            endpoint.extra = t ? "\"seed\":7" : "";
            endpoint.options = t ? "\"top_k\":[1,2]" : NULL;
            endpoint.provider->build(a, &endpoint, &prompt, &r);
            rest = r.body + strlen(r.body) - strlen(r.parameters);
            ck_assert_str_eq(rest + 1, r.parameters + 1);
            ck_assert_int_eq(*rest, ',');
            rest = arena_printf(a, "%.*s}", (int)(rest - r.body), r.body);
            ck_assert_ptr_null(json_unknown_member(parse_json(a, rest), others));

            parse_json(a, r.parameters);
            ck_assert_ptr_nonnull(strstr(r.parameters, "\"max_tokens\":8192"));
            ck_assert((strstr(r.parameters, "temperature") != NULL) == (t > 0));
            ck_assert((strstr(r.parameters, "\"seed\":7") != NULL) == (t > 0));
            ck_assert((strstr(r.parameters, "\"top_k\":[1,2]") != NULL) == (t > 0));
            arena_destroy(a);
        }
}
END_TEST

START_TEST(builds_what_each_protocol_wants)
{
    static const struct {
        const char *provider, *url, *header, *body;
    } rows[] = {
        {"openai", "https://api.example/base/chat/completions", "Authorization: Bearer " KEY,
         "{\"model\":\"some/model-1\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
         "{\"role\":\"user\",\"content\":\"u\"}],\"max_tokens\":8192}"},
        {"anthropic", "https://api.example/base/v1/messages", "anthropic-version: 2023-06-01",
         "{\"model\":\"some/model-1\",\"system\":\"s\","
         "\"messages\":[{\"role\":\"user\",\"content\":\"u\"}],\"max_tokens\":8192}"},
        {"gemini", "https://api.example/base/v1beta/models/some%2Fmodel-1:generateContent",
         "x-goog-api-key: " KEY,
         "{\"systemInstruction\":{\"parts\":[{\"text\":\"s\"}]},"
         "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"u\"}]}],"
         "\"generationConfig\":{\"max_tokens\":8192}}"},
        {"ollama", "https://api.example/base/api/chat", "Authorization: Bearer " KEY,
         "{\"model\":\"some/model-1\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
         "{\"role\":\"user\",\"content\":\"u\"}],\"stream\":false,"
         "\"options\":{\"max_tokens\":8192}}"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *a = arena_create();
        struct llm_endpoint e =
            endpoint_of(provider_named(rows[i].provider, strlen(rows[i].provider)));
        struct llm_prompt prompt = {"s", "u"};
        struct llm_request r;

        e.provider->build(a, &e, &prompt, &r);
        ck_assert_str_eq(r.url, rows[i].url);
        ck_assert_str_eq(r.headers[2], rows[i].header);
        ck_assert_str_eq(r.body, rows[i].body);
        arena_destroy(a);
    }
}
END_TEST

START_TEST(encodes_the_model_in_a_path)
{
    static const char *const rows[][2] = {
        {"gemini-3.5-flash-lite", "gemini-3.5-flash-lite"},
        {"models/gemini-3.5-flash", "gemini-3.5-flash"},
        {"../../v1/files?key=1#x", "..%2F..%2Fv1%2Ffiles%3Fkey%3D1%23x"},
        {"a b\r\nHost: x", "a%20b%0D%0AHost%3A%20x"},
        {"磁", "%E7%A3%81"},
        {"100%", "100%25"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *a = arena_create();
        struct llm_endpoint e = endpoint_of(provider_named("gemini", 6));
        struct llm_prompt prompt = {"s", "u"};
        struct llm_request r;

        e.model = rows[i][0];
        e.provider->build(a, &e, &prompt, &r);
        ck_assert_str_eq(
            r.url, arena_printf(a, "%s/v1beta/models/%s:generateContent", e.base_url, rows[i][1]));
        arena_destroy(a);
    }
}
END_TEST

/* The longest texts, each byte of which takes six in JSON, still make a whole body. */
START_TEST(builds_the_largest_body)
{
    enum { LARGE = 20000 };

    for (size_t i = 0; llm_providers[i] != NULL; i++) {
        struct arena *a = arena_create();
        struct llm_endpoint e = endpoint_of(llm_providers[i]);
        char *text = arena_alloc(a, LARGE + 1);
        struct llm_prompt prompt = {text, text};
        struct llm_request r;

        memset(text, 1, LARGE);
        e.model = text;
        e.provider->build(a, &e, &prompt, &r);
        ck_assert_int_eq(count_text(parse_json(a, r.body), text), i == 0 ? 2 : 3);
        arena_destroy(a);
    }
}
END_TEST

Suite *suite_llm(void)
{
    Suite *s = suite_create("llm");
    TCase *parse = tcase_create("parse"), *build = tcase_create("build");

    glob(FIXTURES "/*/*.json", 0, NULL, &cases);
    tcase_set_timeout(parse, 300); /* sanitizers, on a busy machine */
    tcase_set_timeout(build, 60);
    tcase_add_test(parse, parses_recorded_responses);
    tcase_add_test(parse, takes_no_part_for_the_whole);
    tcase_add_test(parse, takes_nothing_else_for_an_answer);
    tcase_add_test(parse, keeps_bytes_of_answers_and_cleans_those_of_errors);
    tcase_add_test(parse, has_a_case_for_each_failure);
    tcase_add_test(parse, classifies_by_status);
    tcase_add_test(parse, names_failures_as_stored);
    tcase_add_test(parse, reads_durations);
    suite_add_tcase(s, parse);
    tcase_add_test(build, builds_json_with_model_and_prompt);
    tcase_add_test(build, puts_the_key_into_one_header_only);
    tcase_add_test(build, tells_the_parameters_it_sends);
    tcase_add_test(build, builds_what_each_protocol_wants);
    tcase_add_test(build, encodes_the_model_in_a_path);
    tcase_add_test(build, builds_the_largest_body);
    suite_add_tcase(s, build);
    return s;
}
