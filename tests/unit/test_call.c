#include "fcgi/lessons/generator/call.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/redact.h"
#include "common/utf8.h"
#include "tests/unit/suites.h"

/* Each is one that redact knows as configured; none has the shape of a key. */
#define LESSON "3f0c9d5e-8a8e-4b53-9f5a-0c1f6f1f0a01"
#define KEY "s3cret-key-of-the-call-suite"
#define OTHER_SECRET "other-s3cret-of-the-call-suite"

/* In parts: whoever scans this file for keys shall find none. */
#define KEY_SHAPED                                                                                 \
    "sk-"                                                                                          \
    "ant-api03-Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5"

enum { PATIENCE_MS = 8000, ATTEMPT_MS = 5000, REQUEST_MAX = 1 << 16 };

static struct arena *a;
static sigset_t mask_before;
static struct loop_timer patience;

static void give_up(void *arg)
{
    (void)arg;
    ck_abort_msg("the call does not end");
}

static void set_up(void)
{
    a = arena_create();
    redact_secret(KEY);
    redact_secret(OTHER_SECRET);
    setenv("CONNECT_TIMEOUT_SECONDS", "1", 1);
    setenv("IDLE_TIMEOUT_SECONDS", "1", 1);
    sigprocmask(SIG_SETMASK, NULL, &mask_before);
    loop_init();
    patience = (struct loop_timer){.fire = give_up};
    loop_timer_set(&patience, PATIENCE_MS);
}

static void tear_down(void)
{
    loop_finish();
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    signal(SIGPIPE, SIG_DFL);
    unsetenv("CONNECT_TIMEOUT_SECONDS");
    unsetenv("IDLE_TIMEOUT_SECONDS");
    arena_destroy(a);
}

/* ---- calls ---- */

static const struct llm_provider *provider_of(const char *name)
{
    const struct llm_provider *const *p = llm_providers;

    while (strcmp((*p)->name, name) != 0)
        p++;
    return *p;
}

static struct llm_endpoint *endpoint_at(const char *base_url)
{
    struct llm_endpoint *e = arena_alloc(a, sizeof *e);

    *e = (struct llm_endpoint){
        .provider = provider_of("openai"),
        .name = "openai",
        .base_url = base_url,
        .model = "model-of-the-endpoint",
        .key = KEY,
        .max_tokens_name = "max_completion_tokens",
        .max_tokens = 8192,
        .temperature = NAN,
        .attempt_timeout_ms = ATTEMPT_MS,
        .configured = true,
        .private_allowed = true,
    };
    return e;
}

static const struct llm_prompt prompt = {"Be brief.", "Write about \"Volcanoes\"."};

static void write_prices(const char *path)
{
    static const char prices[] =
        "{\"as_of\":\"2026-11-01\",\"currency\":\"USD\",\"prices\":["
        "{\"provider\":\"openai\",\"model\":\"priced-*\",\"input_per_mtok\":1,"
        "\"output_per_mtok\":10,\"cached_input_per_mtok\":0.5,\"source\":\"test\"},"
        "{\"provider\":\"openai\",\"model\":\"model-of-the-endpoint\",\"input_per_mtok\":2,"
        "\"output_per_mtok\":20,\"source\":\"test\"}]}";
    FILE *f = fopen(path, "we");

    ck_assert_ptr_nonnull(f);
    fputs(prices, f);
    fclose(f);
}

static const struct llm_prices *load_prices(void)
{
    char path[] = "/tmp/lesson-tracer-prices-XXXXXX";
    struct llm_prices *prices;
    struct err e;

    close(mkstemp(path));
    write_prices(path);
    setenv("PRICES_FILE", path, 1);
    prices = llm_prices_load(a, &e);
    setenv("PRICES_FILE", "fcgi/lessons/generator/llm/prices.json", 1);
    unlink(path);
    ck_assert_msg(prices != NULL, "%s", e.text);
    return prices;
}

static int done_count;

static void on_done(struct call *c)
{
    (void)c;
    done_count++;
    loop_stop();
}

static void nothing(void)
{
}

/* One call to the end. */
static struct call *call_to(const struct llm_endpoint *endpoint, int64_t timeout_ms)
{
    struct call *c = call_create(endpoint, NULL, &prompt, 1);

    done_count = 0;
    call_start(c, timeout_ms, load_prices(), LESSON, on_done, NULL);
    loop_run(nothing);
    ck_assert_int_eq(done_count, 1);
    ck_assert(c->ended);
    return c;
}

/* ---- the record ---- */

static struct json_object *element_of(struct call *c)
{
    const char *text = call_element(a, c);
    struct json_object *element;
    struct err e;

    ck_assert(utf8_valid(text, strlen(text)));
    element = json_parse_client(a, text, strlen(text), &e); /* strict, without NULs */
    ck_assert_msg(json_is_object(element), "%s: %.200s", e.text, text);
    return element;
}

/* Exactly these members, whatever their values. */
static void assert_members(struct json_object *object, const char *const names[])
{
    const char *unknown, *others[32];

    ck_assert(json_is_object(object));
    unknown = json_unknown_member(object, names);
    ck_assert_msg(unknown == NULL, "%s is one too many", unknown);
    for (int left_out = 0; names[left_out] != NULL; left_out++) {
        int n = 0;

        for (int i = 0; names[i] != NULL; i++)
            if (i != left_out)
                others[n++] = names[i];
        others[n] = NULL;
        unknown = json_unknown_member(object, others);
        ck_assert_msg(unknown != NULL, "%s is missing", names[left_out]);
    }
}

static const char *const element_members[] = {
    "provider", "request",   "response",    "duration_ms", "success",
    "error",    "timestamp", "attempt",     "http_status", "error_class",
    "timing",   "span_id",   "price_as_of", "cost_usd",    "provider_request_id",
    NULL,
};
static const char *const request_members[] = {"prompt",     "system",     "model",
                                              "parameters", "max_tokens", NULL};
static const char *const request_members_warm[] = {
    "prompt", "system", "model", "parameters", "max_tokens", "temperature", NULL};
static const char *const response_members[] = {"content",       "model", "id",
                                               "finish_reason", "usage", NULL};
static const char *const replaced_members[] = {
    "content", "replaced_characters", "model", "id", "finish_reason", "usage", NULL};
static const char *const usage_members[] = {"prompt_tokens", "completion_tokens", "total_tokens",
                                            "cached_tokens", "reasoning_tokens",  NULL};
static const char *const timing_members[] = {"queue_ms", "dns_ms",  "connect_ms",
                                             "tls_ms",   "ttfb_ms", NULL};

static struct json_object *member(struct json_object *element, const char *path)
{
    char *rest = arena_strdup(a, path), *name;

    while ((name = strsep(&rest, ".")) != NULL)
        element = json_at(element, name, NULL);
    return element;
}

static const char *text_at(struct json_object *element, const char *path)
{
    return json_text(member(element, path));
}

static int64_t int_at(struct json_object *element, const char *path)
{
    int64_t n = -99;

    ck_assert_msg(json_int(member(element, path), &n), "%s: no whole number", path);
    return n;
}

static void assert_null(struct json_object *element, const char *const paths[])
{
    for (; *paths != NULL; paths++)
        ck_assert_msg(json_is_null(member(element, *paths)), "%s: %s", *paths,
                      json_print(member(element, *paths)));
}

static bool success_of(struct json_object *element)
{
    bool flag = false;

    ck_assert(json_flag(member(element, "success"), &flag));
    return flag;
}

START_TEST(an_intent_tells_what_will_be_sent_and_nothing_else)
{
    static const char *const unknown[] = {
        "duration_ms",
        "success",
        "error",
        "error_class",
        "http_status",
        "response",
        "cost_usd",
        "price_as_of",
        "timing.queue_ms",
        "timing.dns_ms",
        "timing.connect_ms",
        "timing.tls_ms",
        "timing.ttfb_ms",
        "provider_request_id",
        NULL,
    };
    struct call *c = call_create(endpoint_at("http://127.0.0.1:9/v1"), NULL, &prompt, 3);
    struct json_object *e = element_of(c);

    assert_members(e, element_members);
    assert_members(member(e, "request"), request_members);
    assert_members(member(e, "timing"), timing_members);
    assert_null(e, unknown);
    ck_assert_pstr_eq(text_at(e, "provider"), "openai");
    ck_assert_int_eq(int_at(e, "attempt"), 3);
    ck_assert_pstr_eq(text_at(e, "request.prompt"), prompt.user);
    ck_assert_pstr_eq(text_at(e, "request.system"), prompt.system);
    ck_assert_pstr_eq(text_at(e, "request.model"), "model-of-the-endpoint");
    ck_assert_int_eq(int_at(e, "request.max_tokens"), 8192);
    ck_assert_int_eq(int_at(e, "request.parameters.max_completion_tokens"), 8192);
    ck_assert_uint_eq(strlen(text_at(e, "timestamp")), strlen("2026-11-23T18:15:43.123Z"));
    ck_assert_uint_eq(strlen(text_at(e, "span_id")), 16);
    ck_assert_uint_eq(strspn(text_at(e, "span_id"), "0123456789abcdef"), 16);
    call_destroy(c);
}
END_TEST

START_TEST(an_intent_is_the_same_whenever_it_is_told)
{
    struct call *c = call_create(endpoint_at("http://127.0.0.1:9/v1"), NULL, &prompt, 1);
    struct call *other = call_create(endpoint_at("http://127.0.0.1:9/v1"), NULL, &prompt, 1);

    ck_assert_str_eq(call_element(a, c), call_element(a, c));
    ck_assert_pstr_ne(text_at(element_of(c), "span_id"), text_at(element_of(other), "span_id"));
    call_destroy(c);
    call_destroy(other);
}
END_TEST

START_TEST(the_model_asked_for_is_the_one_that_is_sent)
{
    struct llm_endpoint *endpoint = endpoint_at("http://127.0.0.1:9/v1");
    struct call *c = call_create(endpoint, "asked-for", &prompt, 1);

    ck_assert_pstr_eq(text_at(element_of(c), "request.model"), "asked-for");
    ck_assert_ptr_nonnull(strstr(c->request.body, "\"model\":\"asked-for\""));
    ck_assert_str_eq(endpoint->model, "model-of-the-endpoint"); /* is everybody's */
    call_destroy(c);
}
END_TEST

START_TEST(a_temperature_is_told_where_one_is_sent)
{
    struct llm_endpoint *endpoint = endpoint_at("http://127.0.0.1:9/v1");
    double temperature = -1;
    struct json_object *e;
    struct call *c;

    endpoint->temperature = 0;
    c = call_create(endpoint, NULL, &prompt, 1);
    e = element_of(c);
    assert_members(member(e, "request"), request_members_warm);
    ck_assert(json_number(member(e, "request.temperature"), &temperature));
    ck_assert_double_eq(temperature, 0);
    ck_assert(json_number(member(e, "request.parameters.temperature"), &temperature));
    call_destroy(c);
}
END_TEST

/* A call that went well, as if it had been sent. */
static struct call *ended_call(void)
{
    struct call *c = call_create(endpoint_at("http://127.0.0.1:9/v1"), NULL, &prompt, 1);

    c->ended = true;
    c->status = 200;
    c->duration_ms = 1234;
    c->timing = (struct call_timing){1, 2, 3, 4, 5};
    c->provider_request_id = "req_1";
    c->cost_usd = 0.00025;
    c->price_as_of = "2026-11-01";
    c->answer.content = "# Volcanoes";
    c->answer.content_len = strlen(c->answer.content);
    c->answer.model = "model-that-answered";
    c->answer.id = "chatcmpl-1";
    c->answer.finish_reason = "stop";
    c->answer.prompt_tokens = 10;
    c->answer.completion_tokens = 20;
    c->answer.total_tokens = 30;
    c->answer.cached_tokens = 4;
    c->answer.reasoning_tokens = 5;
    return c;
}

START_TEST(a_result_tells_what_came_back)
{
    static const char *const unknown[] = {"error", "error_class", NULL};
    struct call *c = ended_call();
    struct json_object *e = element_of(c);
    double cost;

    assert_members(e, element_members);
    assert_members(member(e, "request"), request_members);
    assert_members(member(e, "response"), response_members);
    assert_members(member(e, "response.usage"), usage_members);
    assert_members(member(e, "timing"), timing_members);
    assert_null(e, unknown);
    ck_assert(success_of(e));
    ck_assert_int_eq(int_at(e, "duration_ms"), 1234);
    ck_assert_int_eq(int_at(e, "http_status"), 200);
    ck_assert_int_eq(int_at(e, "timing.queue_ms"), 1);
    ck_assert_int_eq(int_at(e, "timing.dns_ms"), 2);
    ck_assert_int_eq(int_at(e, "timing.connect_ms"), 3);
    ck_assert_int_eq(int_at(e, "timing.tls_ms"), 4);
    ck_assert_int_eq(int_at(e, "timing.ttfb_ms"), 5);
    ck_assert_pstr_eq(text_at(e, "provider_request_id"), "req_1");
    ck_assert(json_number(member(e, "cost_usd"), &cost));
    ck_assert_double_eq_tol(cost, 0.00025, 1e-12);
    ck_assert_pstr_eq(text_at(e, "price_as_of"), "2026-11-01");
    ck_assert_pstr_eq(text_at(e, "request.model"), "model-of-the-endpoint");
    ck_assert_pstr_eq(text_at(e, "response.model"), "model-that-answered");
    ck_assert_pstr_eq(text_at(e, "response.id"), "chatcmpl-1");
    ck_assert_pstr_eq(text_at(e, "response.finish_reason"), "stop");
    ck_assert_pstr_eq(text_at(e, "response.content"), "# Volcanoes");
    ck_assert_int_eq(int_at(e, "response.usage.prompt_tokens"), 10);
    ck_assert_int_eq(int_at(e, "response.usage.completion_tokens"), 20);
    ck_assert_int_eq(int_at(e, "response.usage.total_tokens"), 30);
    ck_assert_int_eq(int_at(e, "response.usage.cached_tokens"), 4);
    ck_assert_int_eq(int_at(e, "response.usage.reasoning_tokens"), 5);
    call_destroy(c);
}
END_TEST

START_TEST(zero_is_told_as_zero)
{
    struct call *c = ended_call();
    struct json_object *e;
    double cost = -1;

    c->duration_ms = c->timing.connect = c->answer.cached_tokens = 0;
    c->cost_usd = 0;
    e = element_of(c);
    ck_assert_int_eq(int_at(e, "duration_ms"), 0);
    ck_assert_int_eq(int_at(e, "timing.connect_ms"), 0);
    ck_assert_int_eq(int_at(e, "response.usage.cached_tokens"), 0);
    ck_assert(json_number(member(e, "cost_usd"), &cost));
    ck_assert_double_eq(cost, 0);
    call_destroy(c);
}
END_TEST

START_TEST(what_the_provider_did_not_tell_is_null)
{
    static const char *const unknown[] = {
        "provider_request_id", "cost_usd",    "price_as_of",
        "response.model",      "response.id", "response.finish_reason",
        "response.usage",      "error",       NULL,
    };
    static const char *const in_part[] = {
        "response.usage.completion_tokens", "response.usage.total_tokens",
        "response.usage.cached_tokens", "response.usage.reasoning_tokens", NULL};
    struct call *c = ended_call();
    struct json_object *e;
    const char *content = c->answer.content;

    llm_answer_init(&c->answer);
    c->answer.content = content;
    c->answer.content_len = strlen(content);
    c->provider_request_id = c->price_as_of = NULL;
    c->cost_usd = NAN;
    e = element_of(c);
    assert_members(e, element_members);
    assert_members(member(e, "response"), response_members);
    assert_null(e, unknown);
    c->answer.prompt_tokens = 7;
    e = element_of(c);
    assert_members(member(e, "response.usage"), usage_members);
    assert_null(e, in_part);
    ck_assert_int_eq(int_at(e, "response.usage.prompt_tokens"), 7);
    call_destroy(c);
}
END_TEST

START_TEST(a_failure_tells_why_and_keeps_what_came)
{
    struct call *c = ended_call();
    struct json_object *e;

    llm_fail(&c->answer, LLM_TRUNCATED, "cut at the token limit: length");
    e = element_of(c);
    ck_assert(!success_of(e));
    ck_assert_pstr_eq(text_at(e, "error"), "cut at the token limit: length");
    ck_assert_pstr_eq(text_at(e, "error_class"), "truncated");
    ck_assert_pstr_eq(text_at(e, "response.content"), "# Volcanoes");
    ck_assert_int_eq(int_at(e, "response.usage.total_tokens"), 30);
    c->answer.content = NULL;
    c->answer.content_len = 0;
    e = element_of(c);
    assert_members(member(e, "response"), response_members);
    ck_assert(json_is_null(member(e, "response.content")));
    call_destroy(c);
}
END_TEST

START_TEST(every_class_of_failure_has_its_name)
{
    static const char *const names[LLM_FAILURE_COUNT] = {
        [LLM_CONNECTION] = "connection",
        [LLM_TIMEOUT] = "timeout",
        [LLM_RATE_LIMITED] = "rate_limited",
        [LLM_QUOTA] = "quota",
        [LLM_AUTH] = "auth",
        [LLM_MODEL_NOT_FOUND] = "model_not_found",
        [LLM_INVALID_REQUEST] = "invalid_request",
        [LLM_CONTEXT_LENGTH] = "context_length",
        [LLM_CONTENT_FILTERED] = "content_filtered",
        [LLM_TRUNCATED] = "truncated",
        [LLM_EMPTY] = "empty",
        [LLM_INVALID_RESPONSE] = "invalid_response",
        [LLM_TOO_LARGE] = "too_large",
        [LLM_SERVER_ERROR] = "server_error",
        [LLM_CANCELLED] = "cancelled",
        [LLM_WORKER_LOST] = "worker_lost",
    };
    struct call *c = ended_call();

    for (int f = LLM_NONE + 1; f < LLM_FAILURE_COUNT; f++) {
        struct json_object *e;

        llm_fail(&c->answer, (enum llm_failure)f, "why");
        e = element_of(c);
        ck_assert(!success_of(e));
        ck_assert_pstr_eq(text_at(e, "error_class"), names[f]);
    }
    call_destroy(c);
}
END_TEST

/* Texts with a secret in them: configured ones in several forms, and one with the shape of a key.
 */
static const char *const secret_texts[] = {
    KEY,
    "before " OTHER_SECRET " after",
    OTHER_SECRET KEY,
    "%2F?key=" KEY "&x",
    "{\"key\":\"" KEY "\"}",
    "b3RoZXItczNjcmV0LW9mLXRoZS1jYWxsLXN1aXRl",
    KEY_SHAPED,
};

START_TEST(secrets_are_nowhere_in_the_record)
{
    const char *text = secret_texts[_i], *told;
    const struct llm_prompt leaky = {text, text};
    struct call *c = call_create(endpoint_at("http://127.0.0.1:9/v1"), text, &leaky, 1);
    size_t len, replaced;

    for (int ended = 0; ended <= 1; ended++) {
        told = call_element(a, c);
        element_of(c);
        ck_assert_ptr_null(strstr(told, "s3cret"));
        ck_assert_ptr_null(strstr(told, "b3RoZXIt"));
        ck_assert_ptr_null(strstr(told, "sk-ant"));
        ck_assert_ptr_nonnull(strstr(told, "[REDACTED"));
        c->ended = true;
        c->answer.content = c->answer.model = c->answer.id = c->answer.finish_reason = text;
        c->answer.content_len = strlen(text);
        c->provider_request_id = text;
        llm_fail(&c->answer, LLM_SERVER_ERROR, text);
    }
    told = call_content(c, &len, &replaced);
    ck_assert_uint_eq(strlen(told), len);
    ck_assert_ptr_null(strstr(told, "s3cret"));
    ck_assert_ptr_null(strstr(told, "sk-ant"));
    call_destroy(c);
}
END_TEST

/* What a model wrote, what is stored, and how many characters were replaced. */
#define BYTES(s) s, sizeof(s) - 1
static const struct {
    const char *bytes;
    size_t len;
    const char *stored;
    size_t replaced;
} contents[] = {
    {BYTES("plain"), "plain", 0},
    {BYTES(""), "", 0},
    {BYTES("光 é 😀 \x01\x7f\"\\\n"), "光 é 😀 \x01\x7f\"\\\n", 0},
    {BYTES("x\0y"), "x\xE2\x90\x80y", 1},
    {BYTES("\0\0"), "\xE2\x90\x80\xE2\x90\x80", 2},
    {BYTES("x\xFFy"), "x\xEF\xBF\xBDy", 1},
    {BYTES("\xC3"), "\xEF\xBF\xBD", 1},
    {BYTES("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 3},
    {BYTES("\xF0\x9F\x98"), "\xEF\xBF\xBD", 1},
    {BYTES("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD", 2},
};

START_TEST(what_cannot_be_stored_is_replaced_and_counted)
{
    struct call *c = ended_call();
    struct json_object *e;
    size_t len, replaced;
    const char *content;

    c->answer.content = contents[_i].bytes;
    c->answer.content_len = contents[_i].len;
    content = call_content(c, &len, &replaced);
    ck_assert_str_eq(content, contents[_i].stored);
    ck_assert_uint_eq(len, strlen(contents[_i].stored));
    ck_assert_uint_eq(replaced, contents[_i].replaced);
    e = element_of(c);
    ck_assert_pstr_eq(text_at(e, "response.content"), contents[_i].stored);
    assert_members(member(e, "response"), replaced ? replaced_members : response_members);
    if (replaced > 0)
        ck_assert_int_eq(int_at(e, "response.replaced_characters"), (int64_t)replaced);
    call_destroy(c);
}
END_TEST

START_TEST(no_text_of_a_provider_spoils_the_record)
{
    static const char bad[] = "\x01\xFF\xED\xA0\x80\"\\\x7f";
    struct call *c = ended_call();
    struct json_object *e;

    c->answer.model = c->answer.id = c->answer.finish_reason = c->provider_request_id = bad;
    llm_fail(&c->answer, LLM_INVALID_RESPONSE, bad);
    e = element_of(c);
    assert_members(e, element_members);
    ck_assert_ptr_nonnull(strstr(text_at(e, "error"), "\xEF\xBF\xBD"));
    call_destroy(c);
}
END_TEST

/* Each byte of it takes the most room it can. */
static const char largest[] = {'o', '\x01', '\xFF', '"', '\0'};

START_TEST(the_largest_answer_has_a_whole_record)
{
    struct call *c = ended_call();
    char *content = arena_alloc(a, CALL_ANSWER_MAX);
    const char *told;

    memset(content, largest[_i], CALL_ANSWER_MAX);
    c->answer.content = content;
    c->answer.content_len = CALL_ANSWER_MAX;
    told = call_element(a, c);
    ck_assert_ptr_nonnull(strstr(told, "\"reasoning_tokens\":5}}}"));
    call_destroy(c);
}
END_TEST

/* ---- a provider ---- */

enum end { CLOSE, RESET, HOLD };

/* What the provider does with every connection: it reads the request, sends bytes, and ends. */
static struct provider {
    int listener;
    pthread_t thread;
    const char *first; /* what the first request of a connection is answered; NULL: as any */
    const char *bytes;
    size_t len;
    enum end end;
    int firsts, requests;
    char request[REQUEST_MAX];
} provider;

/* Until the header and so many bytes behind it are there; false if the client goes. */
static bool read_request(int fd, char *to)
{
    size_t len = 0, want = SIZE_MAX;
    char *end, *length;

    while (len < want && len < REQUEST_MAX - 1) {
        ssize_t n = read(fd, to + len, REQUEST_MAX - 1 - len);

        if (n <= 0)
            return false;
        len += (size_t)n;
        to[len] = '\0';
        if ((end = strstr(to, "\r\n\r\n")) != NULL &&
            (length = strcasestr(to, "\r\nContent-Length: ")) != NULL)
            want =
                (size_t)(end + 4 - to) + strtoul(length + strlen("\r\nContent-Length: "), NULL, 10);
    }
    return true;
}

static void send_all(int fd, const char *bytes, size_t len)
{
    ssize_t n;

    for (size_t sent = 0; sent < len; sent += (size_t)n)
        if ((n = send(fd, bytes + sent, len - sent, MSG_NOSIGNAL)) <= 0)
            return;
}

static void serve(int fd)
{
    const struct linger reset = {.l_onoff = 1};
    const struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    char byte;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (provider.first != NULL && read_request(fd, provider.request)) {
        provider.firsts++;
        send_all(fd, provider.first, strlen(provider.first));
    }
    if (read_request(fd, provider.request)) {
        provider.requests++;
        send_all(fd, provider.bytes, provider.len);
        if (provider.end == HOLD)
            while (read(fd, &byte, 1) > 0)
                continue; /* until the client has had enough */
        if (provider.end == RESET)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close(fd);
}

static void *provide(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept4(provider.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        serve(fd);
    return NULL;
}

/* On a port of loopback that nobody uses; its number. */
static int listen_on_loopback(int backlog, int *fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(*fd, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(*fd, backlog), 0);
    getsockname(*fd, (struct sockaddr *)&at, &len);
    return ntohs(at.sin_port);
}

static const char *base_url(int port)
{
    return arena_printf(a, "http://127.0.0.1:%d/v1", port);
}

static struct llm_endpoint *start_provider(const char *bytes, size_t len, enum end end)
{
    int port;

    memset(&provider, 0, sizeof provider);
    port = listen_on_loopback(8, &provider.listener);
    provider.bytes = bytes;
    provider.len = len;
    provider.end = end;
    ck_assert_int_eq(pthread_create(&provider.thread, NULL, provide, NULL), 0);
    return endpoint_at(base_url(port));
}

static void stop_provider(void)
{
    shutdown(provider.listener, SHUT_RDWR); /* accept() ends */
    pthread_join(provider.thread, NULL);
    close(provider.listener);
}

#define HEAD(status) "HTTP/1.1 " status "\r\nContent-Type: application/json\r\n"
#define CLOSED "Connection: close\r\n\r\n"
#define ANSWER                                                                                     \
    "{\"id\":\"chatcmpl-1\",\"model\":\"priced-1\",\"choices\":[{\"message\":{\"content\":"        \
    "\"# Volcanoes\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1000,"             \
    "\"completion_tokens\":200,\"prompt_tokens_details\":{\"cached_tokens\":400}}}"
#define LIMITED "{\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}"
#define CONTENT(text)                                                                              \
    "{\"choices\":[{\"message\":{\"content\":\"" text "\"},\"finish_reason\":\"stop\"}]}"

START_TEST(an_answer_fills_the_record)
{
    static const char bytes[] = HEAD("200 OK") "x-request-id: req_1\r\n" CLOSED ANSWER;
    struct call *c = call_to(start_provider(bytes, sizeof bytes - 1, CLOSE), ATTEMPT_MS);
    struct json_object *e = element_of(c);
    double cost;

    stop_provider();
    assert_members(e, element_members);
    ck_assert_msg(success_of(e), "%s", c->answer.error);
    ck_assert_int_eq(c->answer.failure, LLM_NONE);
    ck_assert_int_eq(c->status, 200);
    ck_assert_int_eq(c->retry_after_ms, LLM_UNKNOWN);
    ck_assert_int_eq(int_at(e, "http_status"), 200);
    ck_assert_int_ge(int_at(e, "duration_ms"), 0);
    ck_assert_int_lt(int_at(e, "duration_ms"), ATTEMPT_MS);
    ck_assert_int_ge(int_at(e, "timing.queue_ms"), 0);
    ck_assert(json_is_null(member(e, "timing.dns_ms"))); /* no name was looked up */
    ck_assert_int_ge(int_at(e, "timing.connect_ms"), 0);
    ck_assert_int_ge(int_at(e, "timing.ttfb_ms"), 0);
    ck_assert_int_le(int_at(e, "timing.ttfb_ms"), int_at(e, "duration_ms") + 1);
    ck_assert(json_is_null(member(e, "timing.tls_ms"))); /* there was none */
    ck_assert_pstr_eq(text_at(e, "provider_request_id"), "req_1");
    ck_assert_pstr_eq(text_at(e, "response.content"), "# Volcanoes");
    ck_assert_pstr_eq(text_at(e, "response.model"), "priced-1");
    ck_assert_int_eq(int_at(e, "response.usage.total_tokens"), 1200);
    ck_assert_int_eq(int_at(e, "response.usage.cached_tokens"), 400);
    ck_assert(json_is_null(member(e, "response.usage.reasoning_tokens")));
    ck_assert(json_number(member(e, "cost_usd"), &cost)); /* by the model that answered */
    ck_assert_double_eq_tol(cost, (600 * 1 + 400 * 0.5 + 200 * 10) * 1e-6, 1e-12);
    ck_assert_pstr_eq(text_at(e, "price_as_of"), "2026-11-01");
    call_destroy(c);
}
END_TEST

START_TEST(a_name_is_looked_up_and_that_takes_a_time)
{
    static const char bytes[] = HEAD("200 OK") CLOSED ANSWER;
    struct llm_endpoint *endpoint = start_provider(bytes, sizeof bytes - 1, CLOSE);
    struct call *c;

    endpoint->base_url = arena_printf(a, "http://localhost%s", strrchr(endpoint->base_url, ':'));
    c = call_to(endpoint, ATTEMPT_MS);
    stop_provider();
    ck_assert_int_ge(int_at(element_of(c), "timing.dns_ms"), 0);
    call_destroy(c);
}
END_TEST

START_TEST(sends_what_the_record_says_and_the_key)
{
    static const char bytes[] = HEAD("200 OK") CLOSED ANSWER;
    struct call *c = call_to(start_provider(bytes, sizeof bytes - 1, CLOSE), ATTEMPT_MS);
    const char *end, *request = provider.request;

    stop_provider();
    end = strstr(request, "\r\n\r\n");
    ck_assert_ptr_nonnull(end);
    ck_assert_int_eq(strncmp(request, "POST /v1/chat/completions HTTP/1.1\r\n", 36), 0);
    ck_assert_ptr_nonnull(strstr(request, "\r\nAuthorization: Bearer " KEY "\r\n"));
    ck_assert_ptr_nonnull(strstr(request, "\r\nContent-Type: application/json\r\n"));
    ck_assert_ptr_null(strcasestr(request, "\r\nExpect:"));
    ck_assert_str_eq(end + 4, c->request.body);
    ck_assert_int_eq(provider.requests, 1);
    ck_assert_ptr_null(strstr(call_element(a, c), "s3cret"));
    call_destroy(c);
}
END_TEST

START_TEST(an_unpriced_answer_costs_what_the_model_asked_for_does)
{
    static const char bytes[] = HEAD("200 OK") CLOSED
        "{\"model\":\"some-alias\",\"choices\":[{\"message\":{\"content\":\"x\"},"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":1}}";
    struct call *c = call_to(start_provider(bytes, sizeof bytes - 1, CLOSE), ATTEMPT_MS);

    stop_provider();
    ck_assert_double_eq_tol(c->cost_usd, (10 * 2 + 1 * 20) * 1e-6, 1e-12);
    call_destroy(c);
}
END_TEST

START_TEST(an_answer_without_usage_has_no_cost)
{
    static const char bytes[] = HEAD("200 OK") CLOSED CONTENT("x");
    static const char *const unknown[] = {"cost_usd",    "price_as_of",    "response.usage",
                                          "response.id", "response.model", NULL};
    struct call *c = call_to(start_provider(bytes, sizeof bytes - 1, CLOSE), ATTEMPT_MS);

    stop_provider();
    assert_null(element_of(c), unknown);
    call_destroy(c);
}
END_TEST

/* How a body holds what cannot be stored, and how many characters that are. */
static const struct {
    const char *bytes, *stored;
    int64_t replaced;
} bad_bodies[] = {
    {HEAD("200 OK") CLOSED CONTENT("x\\u0000y"), "x\xE2\x90\x80y", 1},
    {HEAD("200 OK") CLOSED CONTENT("x\xFFy"), "x\xEF\xBF\xBDy", 1},
    {HEAD("200 OK") CLOSED CONTENT("\xC3(\xF0\x9F\x98 x"), "\xEF\xBF\xBD(\xEF\xBF\xBD x", 2},
    {HEAD("200 OK") CLOSED CONTENT("x\\ud83dy"), "x\xEF\xBF\xBDy", 1},
    {HEAD("200 OK") CLOSED CONTENT("\\ude00\\ud83d"), "\xEF\xBF\xBD\xEF\xBF\xBD", 2},
    {HEAD("200 OK") CLOSED CONTENT("\\ud83d\\ud83d\\ude00\\\\ud83d \\ufffd"),
     "\xEF\xBF\xBD\xF0\x9F\x98\x80\\ud83d \xEF\xBF\xBD", 1},
};

START_TEST(bad_text_is_an_answer_that_is_marked)
{
    struct call *c = call_to(
        start_provider(bad_bodies[_i].bytes, strlen(bad_bodies[_i].bytes), CLOSE), ATTEMPT_MS);
    struct json_object *e = element_of(c);

    stop_provider();
    ck_assert_msg(success_of(e), "%s", c->answer.error);
    ck_assert_pstr_eq(text_at(e, "response.content"), bad_bodies[_i].stored);
    ck_assert_int_eq(int_at(e, "response.replaced_characters"), bad_bodies[_i].replaced);
    call_destroy(c);
}
END_TEST

/* What the provider does, and what is told of it. */
static const struct {
    const char *what, *bytes;
    enum end end;
    int64_t timeout_ms;
    enum llm_failure failure;
    long status;
    const char *error; /* begins so */
} failures[] = {
    {"closes without a word", "", CLOSE, ATTEMPT_MS, LLM_CONNECTION, 0, "Server returned nothing"},
    {"resets", "", RESET, ATTEMPT_MS, LLM_CONNECTION, 0, ""},
    {"resets within the header", "HTTP/1.1 200 OK\r\nContent-Le", RESET, ATTEMPT_MS, LLM_CONNECTION,
     200, ""},
    {"resets within the body", HEAD("200 OK") "Content-Length: 500\r\n\r\n{\"id\":", RESET,
     ATTEMPT_MS, LLM_CONNECTION, 200, ""},
    {"says nothing", "", HOLD, 150, LLM_TIMEOUT, 0, "no answer in time"},
    {"says no more than a header", HEAD("200 OK") "Content-Length: 9\r\n\r\n", HOLD, 150,
     LLM_TIMEOUT, 200, "no answer in time"},
    {"is cut off", HEAD("200 OK") "Content-Length: 500\r\n\r\n{\"id\":", CLOSE, ATTEMPT_MS,
     LLM_TRUNCATED, 200, "the connection ended before the answer did"},
    {"is cut off though all is there", HEAD("200 OK") "Content-Length: 500\r\n\r\n" ANSWER, CLOSE,
     ATTEMPT_MS, LLM_TRUNCATED, 200, "the connection ended before the answer did"},
    {"is cut off in chunks", HEAD("200 OK") "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n",
     CLOSE, ATTEMPT_MS, LLM_TRUNCATED, 200, "the connection ended before the answer did"},
    {"is cut off without a length", HEAD("200 OK") CLOSED "{\"id\":", CLOSE, ATTEMPT_MS,
     LLM_INVALID_RESPONSE, 200, "HTTP 200, "},
    {"has chunks of no size", HEAD("200 OK") "Transfer-Encoding: chunked\r\n\r\nxyz\r\n{", CLOSE,
     ATTEMPT_MS, LLM_CONNECTION, 200, ""},
    {"speaks no HTTP", "220 mail.example.org ESMTP\r\n", CLOSE, ATTEMPT_MS, LLM_INVALID_RESPONSE, 0,
     ""},
    {"redirects", HEAD("302 Found") "Location: /v1/chat/completions\r\n" CLOSED, CLOSE, ATTEMPT_MS,
     LLM_INVALID_RESPONSE, 302, "HTTP 302, "},
    {"redirects for good",
     HEAD("308 Permanent Redirect") "Location: http://169.254.169.254/\r\n" CLOSED, CLOSE,
     ATTEMPT_MS, LLM_INVALID_RESPONSE, 308, "HTTP 308, "},
    {"says nothing in a 200", HEAD("200 OK") CLOSED, CLOSE, ATTEMPT_MS, LLM_INVALID_RESPONSE, 200,
     "HTTP 200, "},
    {"answers a page", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" CLOSED "<title>Hi</title>",
     CLOSE, ATTEMPT_MS, LLM_INVALID_RESPONSE, 200, "HTTP 200, text/html: Hi"},
    {"is a proxy without an origin",
     "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n" CLOSED "<h1>502</h1>", CLOSE,
     ATTEMPT_MS, LLM_SERVER_ERROR, 502, "HTTP 502, text/html: 502"},
    {"refuses the key",
     HEAD("401 Unauthorized") CLOSED "{\"error\":{\"message\":\"Incorrect API key provided: " KEY
                                     "\","
                                     "\"code\":\"invalid_api_key\"}}",
     CLOSE, ATTEMPT_MS, LLM_AUTH, 401, "HTTP 401, invalid_api_key: "},
    {"is asked too often", HEAD("429 Too Many Requests") CLOSED LIMITED, CLOSE, ATTEMPT_MS,
     LLM_RATE_LIMITED, 429, "HTTP 429, rate_limit_exceeded: slow down"},
    {"fails without a body", HEAD("500 Internal Server Error") "Content-Length: 0\r\n" CLOSED,
     CLOSE, ATTEMPT_MS, LLM_SERVER_ERROR, 500, "HTTP 500, "},
    {"refuses, and is cut off", HEAD("503 Unavailable") "Content-Length: 500\r\n\r\n<h1>Overloa",
     CLOSE, ATTEMPT_MS, LLM_SERVER_ERROR, 503, "HTTP 503, application/json: <h1>Overloa"},
    {"refuses, and resets", HEAD("401 Unauthorized") "Content-Length: 500\r\n\r\n", RESET,
     ATTEMPT_MS, LLM_AUTH, 401, "HTTP 401, "},
    {"refuses, and stalls", HEAD("503 Unavailable") "Content-Length: 500\r\n\r\n", HOLD, 150,
     LLM_TIMEOUT, 503, "no answer in time"},
    {"continues before it fails", "HTTP/1.1 100 Continue\r\n\r\n" HEAD("503 Unavailable") CLOSED,
     CLOSE, ATTEMPT_MS, LLM_SERVER_ERROR, 503, "HTTP 503, "},
};

START_TEST(tells_what_went_wrong)
{
    static const char *const unknown[] = {"cost_usd", "price_as_of", "response", NULL};
    struct call *c =
        call_to(start_provider(failures[_i].bytes, strlen(failures[_i].bytes), failures[_i].end),
                failures[_i].timeout_ms);
    struct json_object *e = element_of(c);
    const char *error = text_at(e, "error");

    stop_provider();
    ck_assert_msg(c->answer.failure == failures[_i].failure, "%s: %s: %s", failures[_i].what,
                  llm_failure_name(c->answer.failure), error);
    ck_assert_msg(c->status == failures[_i].status, "%s: %ld", failures[_i].what, c->status);
    ck_assert_msg(strncmp(error, failures[_i].error, strlen(failures[_i].error)) == 0, "%s: %s",
                  failures[_i].what, error);
    ck_assert_uint_gt(strlen(error), 0);
    ck_assert_ptr_null(strstr(call_element(a, c), "s3cret"));
    assert_members(e, element_members);
    assert_null(e, unknown);
    ck_assert(!success_of(e));
    ck_assert_int_ge(int_at(e, "duration_ms"), 0);
    ck_assert_int_ge(int_at(e, "timing.connect_ms"), 0);
    ck_assert_int_eq(json_is_null(member(e, "http_status")), failures[_i].status == 0);
    ck_assert_int_eq(provider.requests, 1); /* nothing is followed, nothing sent again */
    call_destroy(c);
}
END_TEST

static struct call *second;

static void start_second(struct call *c)
{
    (void)c;
    call_start(second, 150, load_prices(), LESSON, on_done, NULL);
}

/* What comes over a connection that was there already. */
static const struct {
    const char *bytes;
    enum end end;
    const char *error; /* NULL: none */
} seconds[] = {
    {HEAD("200 OK") CLOSED ANSWER, CLOSE, NULL},
    {HEAD("200 OK") "Content-Length: 9\r\n\r\n", HOLD, "no answer in time"},
    {HEAD("200 OK") "Content-Length: 9\r\n\r\n{", HOLD, "no answer in time"},
    {"", HOLD, "no answer in time"},
};

START_TEST(a_kept_connection_is_not_made_again)
{
    static const char *const unknown[] = {"timing.dns_ms", "timing.connect_ms", "timing.tls_ms",
                                          NULL};
    const char *first =
        arena_printf(a, "%sContent-Length: %zu\r\n\r\n%s", HEAD("200 OK"), strlen(ANSWER), ANSWER);
    struct llm_endpoint *endpoint =
        start_provider(seconds[_i].bytes, strlen(seconds[_i].bytes), seconds[_i].end);
    struct call *c = call_create(endpoint, NULL, &prompt, 1);

    provider.first = first;
    second = call_create(endpoint, NULL, &prompt, 2);
    done_count = 0;
    call_start(c, ATTEMPT_MS, load_prices(), LESSON, start_second, NULL);
    loop_run(nothing);
    ck_assert_int_eq(done_count, 1);
    loop_finish(); /* closes the connection */
    stop_provider();
    loop_init();
    ck_assert_int_eq(provider.requests, 1);
    ck_assert_int_ge(int_at(element_of(c), "timing.connect_ms"), 0);
    ck_assert_pstr_eq(text_at(element_of(second), "error"), seconds[_i].error);
    assert_null(element_of(second), unknown);
    call_destroy(c);
    call_destroy(second);
}
END_TEST

static const enum end abrupt_ends[] = {CLOSE, RESET};

/* It may have been worked on, and paid: curl would send it again, and tell nobody. */
START_TEST(a_request_is_not_sent_again_when_its_kept_connection_ends)
{
    const char *first =
        arena_printf(a, "%sContent-Length: %zu\r\n\r\n%s", HEAD("200 OK"), strlen(ANSWER), ANSWER);
    struct llm_endpoint *endpoint = start_provider("", 0, abrupt_ends[_i]);
    struct call *c = call_create(endpoint, NULL, &prompt, 1);

    provider.first = first;
    second = call_create(endpoint, NULL, &prompt, 2);
    done_count = 0;
    call_start(c, ATTEMPT_MS, load_prices(), LESSON, start_second, NULL);
    loop_run(nothing);
    loop_finish();
    stop_provider();
    loop_init();
    ck_assert_int_eq(done_count, 1);
    ck_assert_int_eq(c->answer.failure, LLM_NONE);
    ck_assert_int_eq(second->answer.failure, LLM_CONNECTION);
    ck_assert_int_eq(second->status, 0);
    ck_assert_int_eq(provider.firsts, 1);
    ck_assert_int_eq(provider.requests, 1);
    call_destroy(c);
    call_destroy(second);
}
END_TEST

START_TEST(keeps_its_deadlines)
{
    struct call *c = call_to(start_provider("", 0, HOLD), 200);

    stop_provider();
    ck_assert_int_ge(c->duration_ms, 199);
    ck_assert_int_lt(c->duration_ms, 1500);
    call_destroy(c);
}
END_TEST

START_TEST(waits_a_second_for_the_next_byte_and_no_longer)
{
    static const char bytes[] = HEAD("200 OK") "Content-Length: 9\r\n\r\n{";
    static const char *const unknown[] = {"cost_usd", "price_as_of", "response", NULL};
    struct call *c = call_to(start_provider(bytes, sizeof bytes - 1, HOLD), ATTEMPT_MS);

    stop_provider();
    ck_assert_int_eq(c->answer.failure, LLM_TIMEOUT);
    ck_assert_str_eq(c->answer.error, "the answer stopped coming");
    ck_assert_int_eq(c->status, 200);
    ck_assert_int_ge(c->duration_ms, 1000);
    ck_assert_int_lt(c->duration_ms, 3000);
    assert_null(element_of(c), unknown);
    call_destroy(c);
}
END_TEST

START_TEST(a_refused_connection_never_was_one)
{
    static const char *const unknown[] = {"http_status",
                                          "response",
                                          "cost_usd",
                                          "timing.connect_ms",
                                          "timing.tls_ms",
                                          "timing.ttfb_ms",
                                          "provider_request_id",
                                          NULL};
    int fd, port = listen_on_loopback(1, &fd);
    struct json_object *e;
    struct call *c;

    close(fd);
    c = call_to(endpoint_at(base_url(port)), ATTEMPT_MS);
    e = element_of(c);
    ck_assert_pstr_eq(text_at(e, "error_class"), "connection");
    assert_null(e, unknown);
    call_destroy(c);
}
END_TEST

/* Nobody accepts, and the queue is full. */
START_TEST(a_connection_that_takes_too_long_is_a_timeout)
{
    int fd, port = listen_on_loopback(0, &fd), waiting[8];
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    struct call *c;

    for (int i = 0; i < 8; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)!connect(waiting[i], (struct sockaddr *)&to, sizeof to);
    }
    c = call_to(endpoint_at(base_url(port)), ATTEMPT_MS);
    ck_assert_int_eq(c->answer.failure, LLM_TIMEOUT);
    ck_assert_str_eq(c->answer.error, "no connection in time");
    ck_assert_int_eq(c->timing.connect, LLM_UNKNOWN);
    ck_assert_int_ge(c->duration_ms, 999);
    ck_assert_int_lt(c->duration_ms, 3000);
    for (int i = 0; i < 8; i++)
        close(waiting[i]);
    close(fd);
    call_destroy(c);
}
END_TEST

START_TEST(an_unknown_host_is_no_connection)
{
    static const char *const unknown[] = {"timing.dns_ms", "timing.connect_ms", "http_status",
                                          NULL};
    /* no label of a name is that long, so nobody is asked */
    struct call *c =
        call_to(endpoint_at(arena_printf(a, "http://%070d.invalid/v1", 0)), ATTEMPT_MS);

    ck_assert_int_eq(c->answer.failure, LLM_CONNECTION);
    assert_null(element_of(c), unknown);
    call_destroy(c);
}
END_TEST

static const char *const private_hosts[] = {
    "127.0.0.1", "localhost",          "127.1", "2130706433", "0x7f000001",      "017700000001",
    "0.0.0.0",   "[::ffff:127.0.0.1]", "[::1]", "[::]",       "169.254.169.254", "10.255.255.1"};

/* Whatever way the host is spelt, and whoever resolves it: nobody is connected to. */
START_TEST(a_private_address_that_no_setting_names_is_refused)
{
    int fd, port = listen_on_loopback(8, &fd);
    struct llm_endpoint *endpoint =
        endpoint_at(arena_printf(a, "http://%s:%d/v1", private_hosts[_i], port));
    struct pollfd incoming = {.fd = fd, .events = POLLIN};
    struct call *c;

    endpoint->private_allowed = false;
    c = call_to(endpoint, ATTEMPT_MS);
    ck_assert_int_eq(c->answer.failure, LLM_CONNECTION);
    ck_assert_msg(strstr(c->answer.error, "private network") != NULL, "%s", c->answer.error);
    ck_assert_int_eq(c->status, 0);
    ck_assert_int_eq(c->timing.connect, LLM_UNKNOWN);
    ck_assert_int_eq(poll(&incoming, 1, 0), 0);
    close(fd);
    call_destroy(c);
}
END_TEST

START_TEST(a_proxy_of_the_environment_is_not_asked)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};
    static const char bytes[] = HEAD("200 OK") CLOSED ANSWER;
    struct call *c;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        setenv(names[i], "http://127.0.0.1:1", 1);
    c = call_to(start_provider(bytes, sizeof bytes - 1, CLOSE), ATTEMPT_MS);
    stop_provider();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    ck_assert_int_eq(c->answer.failure, LLM_NONE);
    call_destroy(c);
}
END_TEST

/* An answer with blanks behind it, so many bytes in all. */
static const char *answer_of(size_t bytes, size_t *len)
{
    char *text = arena_alloc(a, bytes + 256);
    size_t head =
        (size_t)snprintf(text, bytes + 256, HEAD("200 OK") "Content-Length: %zu\r\n\r\n", bytes);

    memset(text + head, ' ', bytes);
    memcpy(text + head, ANSWER, strlen(ANSWER));
    *len = head + bytes;
    return text;
}

static const struct {
    size_t bytes;
    enum llm_failure failure;
} sizes[] = {
    {CALL_ANSWER_MAX, LLM_NONE},
    {CALL_ANSWER_MAX + 1, LLM_TOO_LARGE},
    {2 * CALL_ANSWER_MAX, LLM_TOO_LARGE},
};

START_TEST(takes_four_mebibytes_and_no_more)
{
    size_t len;
    const char *bytes = answer_of(sizes[_i].bytes, &len);
    struct call *c = call_to(start_provider(bytes, len, CLOSE), ATTEMPT_MS);
    struct json_object *e = element_of(c);

    stop_provider();
    ck_assert_msg(c->answer.failure == sizes[_i].failure, "%s", c->answer.error);
    ck_assert_int_eq(c->status, 200);
    if (sizes[_i].failure != LLM_NONE) {
        ck_assert_pstr_eq(text_at(e, "error_class"), "too_large");
        ck_assert(json_is_null(member(e, "response")));
    }
    call_destroy(c);
}
END_TEST

static const struct {
    const char *line;
    size_t repeated;
    enum llm_failure failure;
    const char *error;
} heads[] = {
    {"X-More: and more\r\n", 3600, LLM_NONE, NULL},
    {"X-More: and more\r\n", 3700, LLM_TOO_LARGE, "the answer's header is over 64 KiB"},
    {"a", 120000, LLM_TOO_LARGE, "a line of the answer's header is over 100 KB"},
    {"\r\nHTTP/1.1 100 Continue\r\n", 2400, LLM_NONE, NULL},
    {"\r\nHTTP/1.1 100 Continue\r\n", 2700, LLM_TOO_LARGE, "the answer's header is over 64 KiB"},
};

START_TEST(takes_sixty_four_kibibytes_of_header_and_no_more)
{
    struct buf *bytes = buf_create(a, 1 << 20);
    struct json_object *e;
    struct call *c;

    buf_puts(bytes, "HTTP/1.1 100 Continue\r\n");
    for (size_t i = 0; i < heads[_i].repeated; i++)
        buf_puts(bytes, heads[_i].line);
    buf_puts(bytes, "\r\n" HEAD("200 OK") CLOSED ANSWER);
    c = call_to(start_provider(buf_text(bytes), bytes->len, CLOSE), ATTEMPT_MS);
    e = element_of(c);
    stop_provider();
    ck_assert_msg(c->answer.failure == heads[_i].failure, "%s", c->answer.error);
    ck_assert_pstr_eq(text_at(e, "error"), heads[_i].error);
    call_destroy(c);
}
END_TEST

/* Header lines and what they ask for; a date has %ld seconds to come. */
static const struct {
    const char *headers;
    int64_t ms, tolerance;
} asked[] = {
    {"", LLM_UNKNOWN, 0},
    {"Retry-After: 0\r\n", 0, 0},
    {"Retry-After: 7\r\n", 7000, 0},
    {"retry-after: 1.5\r\n", 1500, 0},
    {"Retry-After: 3600\r\n", 3600000, 0},
    {"Retry-After-Ms: 250\r\n", 250, 0},
    {"Retry-After-Ms: 1500.7\r\n", 1500, 0},
    {"Retry-After: 7\r\nRetry-After-Ms: 250\r\n", 250, 0},
    {"Retry-After: 7\r\nRetry-After-Ms: soon\r\n", 7000, 0},
    {"Retry-After: 7\r\nRetry-After: 9\r\n", 7000, 0},
    {"Retry-After: @+30\r\n", 30000, 2500},
    {"Retry-After: @-30\r\n", 0, 0},
    {"Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", 0, 0},
    /* what is no time, or none that anybody means */
    {"Retry-After: \r\n", LLM_UNKNOWN, 0},
    {"Retry-After: soon\r\n", LLM_UNKNOWN, 0},
    {"Retry-After: -5\r\n", LLM_UNKNOWN, 0},
    {"Retry-After: 86400\r\n", 86400000, 0},
    {"Retry-After: 86401\r\n", LLM_UNKNOWN, 0},
    {"Retry-After: 1795460000\r\n", LLM_UNKNOWN, 0},
    {"Retry-After: 99999999999999999999999999\r\n", LLM_UNKNOWN, 0},
    {"Retry-After: 1e999\r\n", LLM_UNKNOWN, 0},
    {"Retry-After-Ms: 9223372036854775807\r\n", LLM_UNKNOWN, 0},
    {"Retry-After: Fri, 31 Dec 2999 23:59:59 GMT\r\n", LLM_UNKNOWN, 0},
};

/* "@+30" as the date it will be in 30 seconds. */
static const char *with_date(const char *headers)
{
    const char *at = strchr(headers, '@');
    char date[64];
    time_t when;
    struct tm tm;

    if (at == NULL)
        return headers;
    when = time(NULL) + strtol(at + 1, NULL, 10);
    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime_r(&when, &tm));
    return arena_printf(a, "%.*s%s\r\n", (int)(at - headers), headers, date);
}

START_TEST(reads_when_to_come_back)
{
    const char *bytes = arena_printf(a, "%s%s%s", HEAD("429 Too Many Requests"),
                                     with_date(asked[_i].headers), CLOSED LIMITED);
    struct call *c = call_to(start_provider(bytes, strlen(bytes), CLOSE), ATTEMPT_MS);

    stop_provider();
    ck_assert_int_eq(c->answer.failure, LLM_RATE_LIMITED);
    ck_assert_int_le(c->retry_after_ms, asked[_i].ms);
    ck_assert_int_ge(c->retry_after_ms, asked[_i].ms - asked[_i].tolerance);
    call_destroy(c);
}
END_TEST

START_TEST(the_longer_of_header_and_body_says_when_to_come_back)
{
    static const char bytes[] =
        HEAD("429 Too Many Requests") "Retry-After: 1\r\n" CLOSED
                                      "{\"error\":{\"message\":\"Please try again in "
                                      "20s.\",\"code\":\"rate_limit_exceeded\"}}";
    struct call *c = call_to(start_provider(bytes, sizeof bytes - 1, CLOSE), ATTEMPT_MS);

    stop_provider();
    ck_assert_int_eq(c->retry_after_ms, 20000);
    call_destroy(c);
}
END_TEST

START_TEST(an_id_too_long_to_be_one_is_left_out)
{
    const char *bytes =
        arena_printf(a, "%sx-request-id: %0200d\r\n%s", HEAD("200 OK"), 1, CLOSED ANSWER);
    const char *longer =
        arena_printf(a, "%sx-request-id: %0201d\r\n%s", HEAD("200 OK"), 1, CLOSED ANSWER);
    bool fits = _i == 0;
    struct call *c = call_to(
        start_provider(fits ? bytes : longer, strlen(fits ? bytes : longer), CLOSE), ATTEMPT_MS);

    stop_provider();
    ck_assert_int_eq(c->provider_request_id != NULL, fits);
    call_destroy(c);
}
END_TEST

/* ---- stopping ---- */

static struct call *under_way;

static void stop_call(void *arg)
{
    (void)arg;
    call_stop(under_way, LLM_CANCELLED, "the lesson was deleted");
    loop_stop();
}

static void end(void *arg)
{
    (void)arg;
    loop_stop();
}

START_TEST(a_stopped_call_tells_why_and_is_not_done)
{
    struct loop_timer soon = {.fire = stop_call};
    struct json_object *e;

    under_way = call_create(start_provider("", 0, HOLD), NULL, &prompt, 1);
    done_count = 0;
    call_start(under_way, ATTEMPT_MS, load_prices(), LESSON, on_done, NULL);
    loop_timer_set(&soon, 100);
    loop_run(nothing);
    stop_provider();
    ck_assert_int_eq(done_count, 0);
    e = element_of(under_way);
    assert_members(e, element_members);
    ck_assert(!success_of(e));
    ck_assert_pstr_eq(text_at(e, "error_class"), "cancelled");
    ck_assert_pstr_eq(text_at(e, "error"), "the lesson was deleted");
    ck_assert_int_ge(int_at(e, "duration_ms"), 99);
    ck_assert(json_is_null(member(e, "http_status")));
    call_destroy(under_way);
}
END_TEST

START_TEST(a_call_stopped_before_it_was_sent_took_no_time)
{
    struct call *c = call_create(endpoint_at("http://127.0.0.1:9/v1"), NULL, &prompt, 1);
    struct json_object *e;

    call_stop(c, LLM_CANCELLED, "the service was stopped");
    e = element_of(c);
    ck_assert(!success_of(e));
    ck_assert(json_is_null(member(e, "duration_ms")));
    ck_assert(json_is_null(member(e, "timing.queue_ms")));
    call_destroy(c);
}
END_TEST

START_TEST(destroying_a_call_stops_it)
{
    static const char bytes[] = HEAD("200 OK") "Content-Length: 9\r\n\r\n{";
    struct loop_timer soon = {.fire = end};
    struct call *c = call_create(start_provider(bytes, sizeof bytes - 1, HOLD), NULL, &prompt, 1);
    struct call *other = call_create(endpoint_at("http://127.0.0.1:9/v1"), NULL, &prompt, 1);

    done_count = 0;
    call_start(c, ATTEMPT_MS, load_prices(), LESSON, on_done, NULL);
    call_start(other, ATTEMPT_MS, load_prices(), LESSON, on_done, NULL);
    call_destroy(other); /* before its first byte */
    loop_timer_set(&soon, 100);
    loop_run(nothing);
    call_destroy(c); /* between two bytes, its idle timer running */
    stop_provider();
    ck_assert_int_eq(done_count, 0);
    call_destroy(NULL);
}
END_TEST

static void destroy_when_done(struct call *c)
{
    call_destroy(c);
    done_count++;
    loop_stop();
}

static const char *const last_words[] = {
    HEAD("200 OK") CLOSED ANSWER,
    HEAD("200 OK") "Content-Length: 9\r\n\r\n{",
    "",
};

START_TEST(a_call_may_be_destroyed_as_soon_as_it_is_done)
{
    const char *bytes = last_words[_i];
    struct call *c =
        call_create(start_provider(bytes, strlen(bytes), *bytes ? HOLD : CLOSE), NULL, &prompt, 1);

    done_count = 0;
    if (_i == 0)
        provider.end = CLOSE;
    call_start(c, ATTEMPT_MS, load_prices(), LESSON, destroy_when_done, NULL);
    loop_run(nothing);
    ck_assert_int_eq(done_count, 1);
    stop_provider();
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

static TCase *records(void)
{
    TCase *t = tcase_create("record");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, an_intent_tells_what_will_be_sent_and_nothing_else);
    tcase_add_test(t, an_intent_is_the_same_whenever_it_is_told);
    tcase_add_test(t, the_model_asked_for_is_the_one_that_is_sent);
    tcase_add_test(t, a_temperature_is_told_where_one_is_sent);
    tcase_add_test(t, a_result_tells_what_came_back);
    tcase_add_test(t, zero_is_told_as_zero);
    tcase_add_test(t, what_the_provider_did_not_tell_is_null);
    tcase_add_test(t, a_failure_tells_why_and_keeps_what_came);
    tcase_add_test(t, every_class_of_failure_has_its_name);
    EACH(t, secrets_are_nowhere_in_the_record, secret_texts);
    EACH(t, what_cannot_be_stored_is_replaced_and_counted, contents);
    tcase_add_test(t, no_text_of_a_provider_spoils_the_record);
    EACH(t, the_largest_answer_has_a_whole_record, largest);
    return t;
}

static TCase *transfers(void)
{
    TCase *t = tcase_create("transfer");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, PATIENCE_MS / 1000 + 2);
    tcase_add_test(t, an_answer_fills_the_record);
    tcase_add_test(t, a_name_is_looked_up_and_that_takes_a_time);
    tcase_add_test(t, sends_what_the_record_says_and_the_key);
    tcase_add_test(t, an_unpriced_answer_costs_what_the_model_asked_for_does);
    tcase_add_test(t, an_answer_without_usage_has_no_cost);
    EACH(t, bad_text_is_an_answer_that_is_marked, bad_bodies);
    EACH(t, tells_what_went_wrong, failures);
    EACH(t, a_kept_connection_is_not_made_again, seconds);
    EACH(t, a_request_is_not_sent_again_when_its_kept_connection_ends, abrupt_ends);
    tcase_add_test(t, keeps_its_deadlines);
    tcase_add_test(t, waits_a_second_for_the_next_byte_and_no_longer);
    tcase_add_test(t, a_refused_connection_never_was_one);
    tcase_add_test(t, a_connection_that_takes_too_long_is_a_timeout);
    tcase_add_test(t, an_unknown_host_is_no_connection);
    EACH(t, a_private_address_that_no_setting_names_is_refused, private_hosts);
    tcase_add_test(t, a_proxy_of_the_environment_is_not_asked);
    EACH(t, takes_sixty_four_kibibytes_of_header_and_no_more, heads);
    EACH(t, takes_four_mebibytes_and_no_more, sizes);
    EACH(t, reads_when_to_come_back, asked);
    tcase_add_test(t, the_longer_of_header_and_body_says_when_to_come_back);
    tcase_add_loop_test(t, an_id_too_long_to_be_one_is_left_out, 0, 2);
    tcase_add_test(t, a_stopped_call_tells_why_and_is_not_done);
    tcase_add_test(t, a_call_stopped_before_it_was_sent_took_no_time);
    tcase_add_test(t, destroying_a_call_stops_it);
    EACH(t, a_call_may_be_destroyed_as_soon_as_it_is_done, last_words);
    return t;
}

Suite *suite_call(void)
{
    Suite *s = suite_create("call");

    suite_add_tcase(s, records());
    suite_add_tcase(s, transfers());
    return s;
}
