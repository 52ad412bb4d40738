#include "fcgi/lessons/generator/call.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "common/config.h"
#include "common/redact.h"
#include "common/utf8.h"
#include "fcgi/lessons/generator/address.h"
#include "fcgi/lessons/generator/llm/url.h"
#include "fcgi/lessons/generator/word.h"

#define USER_AGENT "lesson-tracer/0.1"

enum {
    RECEIVE_BUFFER = 2048,
    SEND_BUFFER = 16384,
    HEADER_TEXT_MAX = 200,
    RETRY_AFTER_LONGEST_MS = 86400000
};

/* ---- making ---- */

static void now_iso(char out[32])
{
    struct timespec t;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &t);
    n = strftime(out, 32, "%FT%T", gmtime_r(&t.tv_sec, &tm));
    snprintf(out + n, 32 - n, ".%03ldZ", t.tv_nsec / 1000000);
}

static void make_span_id(char out[17])
{
    unsigned char b[8];

    if (getrandom(b, sizeof b, 0) != sizeof b)
        abort();
    for (size_t i = 0; i < sizeof b; i++)
        snprintf(out + 2 * i, 3, "%02x", b[i]);
}

struct call *call_create(const struct llm_endpoint *endpoint, const char *model,
                         const struct llm_prompt *prompt, int attempt)
{
    struct arena *a = arena_create();
    struct call *c = arena_alloc(a, sizeof *c);
    struct llm_endpoint *asked = arena_alloc(a, sizeof *asked);

    *asked = *endpoint;
    if (model != NULL)
        asked->model = arena_strdup(a, model);
    *c = (struct call){
        .arena = a,
        .endpoint = asked,
        .model = asked->model,
        .prompt = *prompt,
        .attempt = attempt,
        .retry_after_ms = LLM_UNKNOWN,
        .duration_ms = LLM_UNKNOWN,
        .timing = {LLM_UNKNOWN, LLM_UNKNOWN, LLM_UNKNOWN, LLM_UNKNOWN, LLM_UNKNOWN},
        .cost_usd = NAN,
        .created_at = loop_now(),
    };
    buf_init(&c->body, CALL_ANSWER_MAX);
    llm_answer_init(&c->answer);
    now_iso(c->timestamp);
    make_span_id(c->span_id);
    endpoint->provider->build(a, asked, prompt, &c->request);
    return c;
}

static void release_transfer(struct call *c)
{
    loop_timer_stop(&c->idle_timer);
    loop_transfer_cancel(&c->transfer);
    if (c->easy != NULL)
        curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->headers);
    c->easy = NULL;
    c->headers = NULL;
}

void call_destroy(struct call *c)
{
    if (c == NULL)
        return;
    release_transfer(c);
    buf_finish(&c->body);
    arena_destroy(c->arena);
}

/* ---- what came back ---- */

static const char *header(struct call *c, const char *name)
{
    struct curl_header *h;

    if (curl_easy_header(c->easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK ||
        strlen(h->value) > HEADER_TEXT_MAX)
        return NULL;
    return arena_strdup(c->arena, h->value);
}

/* RFC 9110, 10.2.3: seconds or a date; retry-after-ms is OpenAI's. A longer time is a mistake. */
static int64_t read_retry_after(struct call *c)
{
    const char *ms = header(c, "retry-after-ms"), *s = header(c, "retry-after");
    double wait = LLM_UNKNOWN;
    time_t at;

    if (ms != NULL && isdigit((unsigned char)*ms))
        wait = strtod(ms, NULL);
    else if (s != NULL && isdigit((unsigned char)*s))
        wait = strtod(s, NULL) * 1000;
    else if (s != NULL && (at = curl_getdate(s, NULL)) >= 0)
        wait = at > time(NULL) ? (double)(at - time(NULL)) * 1000 : 0;
    return wait <= RETRY_AFTER_LONGEST_MS ? (int64_t)wait : LLM_UNKNOWN;
}

/* curl's times run from the start; a step that did not happen is 0, or that of the one before. */
static int64_t step_ms(CURL *easy, CURLINFO from, CURLINFO to)
{
    curl_off_t begin = 0, end = 0;

    if (from != CURLINFO_NONE)
        curl_easy_getinfo(easy, from, &begin);
    curl_easy_getinfo(easy, to, &end);
    return end <= 0 ? LLM_UNKNOWN : end < begin ? 0 : (end - begin + 500) / 1000;
}

/* Whether there was a connection to send the request over. */
static bool is_connected(const struct call *c)
{
    return step_ms(c->easy, CURLINFO_NONE, CURLINFO_PRETRANSFER_TIME_T) != LLM_UNKNOWN;
}

static void read_timing(struct call *c)
{
    curl_off_t tls = 0;
    long connections = 0;

    c->timing.ttfb = step_ms(c->easy, CURLINFO_NONE, CURLINFO_STARTTRANSFER_TIME_T);
    curl_easy_getinfo(c->easy, CURLINFO_NUM_CONNECTS, &connections);
    if (connections == 0 && is_connected(c))
        return; /* over a connection that was there */
    curl_easy_getinfo(c->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
    if (!url_is_address(c->request.url))
        c->timing.dns = step_ms(c->easy, CURLINFO_NONE, CURLINFO_NAMELOOKUP_TIME_T);
    c->timing.connect = step_ms(c->easy, CURLINFO_NAMELOOKUP_TIME_T, CURLINFO_CONNECT_TIME_T);
    c->timing.tls = tls > 0 ? step_ms(c->easy, CURLINFO_CONNECT_TIME_T, CURLINFO_APPCONNECT_TIME_T)
                            : LLM_UNKNOWN;
}

/* A failure of the transfer itself, before or while the answer came. */
static void fail_transfer(struct call *c, CURLcode rc)
{
    const char *why = curl_easy_strerror(rc);

    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        llm_fail(&c->answer, LLM_TIMEOUT,
                 is_connected(c) ? "no answer in time" : "no connection in time");
        break;
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2_STREAM:
        llm_fail(&c->answer, LLM_TRUNCATED, "the connection ended before the answer did");
        break;
    case CURLE_ABORTED_BY_CALLBACK: /* on_request() */
        llm_fail(&c->answer, LLM_CONNECTION, "the connection was closed without an answer");
        break;
    case CURLE_OUT_OF_MEMORY: /* so curl calls it, whose own limit a single line passes */
        llm_fail(&c->answer, LLM_TOO_LARGE, "a line of the answer's header is over 100 KB");
        break;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
        llm_fail(&c->answer, LLM_INVALID_RESPONSE, why);
        break;
    default:
        if (c->address_refused && !is_connected(c))
            why = "the host's address is in a private network, and no setting names the host";
        llm_fail(&c->answer, LLM_CONNECTION, why);
        break;
    }
}

static void translate(struct call *c)
{
    struct llm_response response = {
        .status = c->status,
        .body = buf_text(&c->body),
        .body_len = c->body.len,
    };
    char *type = NULL;
    struct err e;

    curl_easy_getinfo(c->easy, CURLINFO_CONTENT_TYPE, &type);
    response.content_type = type ? arena_strdup(c->arena, type) : "";
    /* Ill-formed bytes go through: they are replaced, and counted, where the text is stored. */
    response.tree = json_parse(c->arena, response.body, response.body_len, &e);
    c->endpoint->provider->parse(c->arena, &response, &c->answer);
    buf_finish(&c->body); /* nothing points into it: the answer may wait for PostgreSQL a while */
}

/* A refusal is one, whatever becomes of its page: how that ends says less. */
static bool is_refusal(const struct call *c, CURLcode rc)
{
    return c->status >= 400 && !c->idle && rc != CURLE_OPERATION_TIMEDOUT;
}

static void take_answer(struct call *c, CURLcode rc)
{
    const char *id = c->endpoint->provider->request_id_header;

    c->ended = true;
    c->duration_ms = loop_now() - c->started_at;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->status);
    read_timing(c);
    c->retry_after_ms = read_retry_after(c);
    c->provider_request_id = id ? header(c, id) : NULL;
    if (rc == CURLE_OK || is_refusal(c, rc))
        translate(c);
    else if (c->too_large != NULL)
        llm_fail(&c->answer, LLM_TOO_LARGE, c->too_large);
    else if (c->idle)
        llm_fail(&c->answer, LLM_TIMEOUT, "the answer stopped coming");
    else
        fail_transfer(c, rc);
    if (!llm_cost(c->prices, c->endpoint->name, c->answer.model ? c->answer.model : c->model,
                  &c->answer, &c->cost_usd, &c->price_as_of) &&
        !llm_cost(c->prices, c->endpoint->name, c->model, &c->answer, &c->cost_usd,
                  &c->price_as_of)) {
        c->cost_usd = NAN;
        c->price_as_of = NULL;
    }
    if (c->answer.retry_after_ms > c->retry_after_ms)
        c->retry_after_ms = c->answer.retry_after_ms;
    release_transfer(c);
}

static void on_done(void *arg, CURLcode rc)
{
    struct call *c = arg;
    const char *before = word_enter(c->lesson_id);

    take_answer(c, rc);
    c->done(c);
    word_leave(before);
}

/* ---- sending ---- */

static size_t on_data(char *data, size_t one, size_t n, void *arg)
{
    struct call *c = arg;

    (void)one;
    c->last_byte_at = loop_now();
    if (c->idle_timer.index == 0)
        loop_timer_set(&c->idle_timer, config_int("IDLE_TIMEOUT_SECONDS") * 1000);
    if (buf_add(&c->body, data, n))
        return n;
    c->too_large = "the answer is over 4 MiB";
    return 0;
}

/* Every line, those of a 1xx, too: curl keeps them all. */
static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
    struct call *c = arg;

    (void)line, (void)one;
    c->header_bytes += n;
    if (c->header_bytes <= CALL_HEADER_MAX)
        return n;
    c->too_large = "the answer's header is over 64 KiB";
    return 0;
}

/* Set when the first byte came; looks again when a byte came meanwhile. */
static void on_idle(void *arg)
{
    struct call *c = arg;
    int64_t limit = config_int("IDLE_TIMEOUT_SECONDS") * 1000;
    int64_t quiet = loop_now() - c->last_byte_at;

    if (quiet < limit) {
        loop_timer_set(&c->idle_timer, limit - quiet);
        return;
    }
    c->idle = true;
    loop_transfer_cancel(&c->transfer);
    on_done(c, CURLE_OPERATION_TIMEDOUT);
}

/*
 * Before the request's first byte. curl comes here again when a kept connection was closed without
 * an answer, and would send the request once more, untold: but it may have been worked on, and
 * paid.
 */
static int on_request(void *arg, char *ip, char *our_ip, int port, int our_port)
{
    struct call *c = arg;
    bool again = c->sent;

    (void)ip, (void)our_ip, (void)port, (void)our_port;
    c->sent = true;
    return again ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

/* Before a connection, of each address that the host has, whenever it is looked up. */
static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct call *c = arg;

    (void)purpose;
    if (c->endpoint->private_allowed || address_is_public(&to->addr))
        return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    c->address_refused = true;
    return CURL_SOCKET_BAD;
}

static void set_headers(struct call *c)
{
    for (size_t i = 0; c->request.headers[i] != NULL; i++)
        c->headers = curl_slist_append(c->headers, c->request.headers[i]);
    c->headers = curl_slist_append(c->headers, "Expect:");
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
}

static void set_safety(CURL *easy, bool tls)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L); /* would carry x-api-key elsewhere */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    /* With a CAPATH each connection parses every certificate anew: 25 ms and 0.9 MB. */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, USER_AGENT);
}

void call_start(struct call *c, int64_t timeout_ms, const struct llm_prices *prices,
                const char *lesson_id, void (*done)(struct call *c), void *arg)
{
    bool tls = strncasecmp(c->request.url, "https:", 6) == 0;
    const char *before;

    c->prices = prices;
    c->lesson_id = lesson_id;
    c->done = done;
    c->arg = arg;
    c->started_at = loop_now();
    c->timing.queue = c->started_at - c->created_at;
    c->idle_timer = (struct loop_timer){.fire = on_idle, .arg = c};
    c->transfer = (struct loop_transfer){.done = on_done, .arg = c};
    c->easy = curl_easy_init();
    if (c->easy == NULL)
        abort();
    set_safety(c->easy, tls);
    set_headers(c);
    curl_easy_setopt(c->easy, CURLOPT_URL, c->request.url);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->request.body);
    curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     config_int("CONNECT_TIMEOUT_SECONDS") * 1000);
    curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(c->easy, CURLOPT_PREREQDATA, c);
    before = word_enter(NULL); /* other calls get on with it */
    loop_transfer_start(c->easy, tls, &c->transfer);
    word_leave(before);
}

void call_stop(struct call *c, enum llm_failure failure, const char *error)
{
    release_transfer(c);
    if (c->started_at != 0)
        c->duration_ms = loop_now() - c->started_at;
    llm_fail(&c->answer, failure, error);
    c->ended = true;
}

void call_refuse(struct call *c)
{
    if (!c->ended)
        call_stop(c, LLM_CANCELLED, "the call was not made: it could not be recorded");
    else
        llm_fail(&c->answer, LLM_INVALID_RESPONSE, "the answer could not be stored");
    c->content = NULL;
    c->answer.content = c->answer.model = c->answer.id = c->answer.finish_reason = NULL;
    c->answer.content_len = 0;
    c->provider_request_id = NULL;
}

/* ---- the record ---- */

static void put_clean(struct arena *a, struct json_out *o, const char *key, const char *s,
                      size_t len)
{
    struct buf *b = buf_create(a, 4 * (size_t)CALL_ANSWER_MAX);
    const char *text;

    if (s == NULL) {
        json_put_null(o, key);
        return;
    }
    utf8_store(b, s, len);
    text = redact(a, buf_text(b), b->len, &len);
    json_put_bytes(o, key, text, len);
}

static void put_text(struct arena *a, struct json_out *o, const char *key, const char *s)
{
    put_clean(a, o, key, s, s ? strlen(s) : 0);
}

static void put_count(struct json_out *o, const char *key, int64_t n)
{
    if (n < 0)
        json_put_null(o, key);
    else
        json_put_int(o, key, n);
}

const char *call_content(struct call *c, size_t *len, size_t *replaced)
{
    if (c->content == NULL) {
        struct arena *a = arena_create();
        struct buf *b = buf_create(a, 4 * (size_t)CALL_ANSWER_MAX);
        const char *text;

        c->replaced = utf8_store(b, c->answer.content, c->answer.content_len);
        text = redact(a, buf_text(b), b->len, &c->content_len);
        c->content = arena_memdup(c->arena, text, c->content_len);
        arena_destroy(a);
    }
    *len = c->content_len;
    *replaced = c->replaced;
    return c->content;
}

/* What the trace keeps of the texts; it says so if that is nothing. */
static bool content_kept(void)
{
    return config_bool("TRACE_CONTENT");
}

static const char *request_text(struct arena *a, const struct call *c)
{
    struct buf *b = buf_create(a, 8 * (size_t)CALL_ANSWER_MAX);
    struct json_out o = {b, false};
    size_t len;

    json_begin(&o, NULL, '{');
    put_text(a, &o, "prompt", content_kept() ? c->prompt.user : NULL);
    put_text(a, &o, "system", content_kept() ? c->prompt.system : NULL);
    put_text(a, &o, "model", c->model);
    json_put_raw(&o, "parameters",
                 redact(a, c->request.parameters, strlen(c->request.parameters), &len));
    if (!isnan(c->endpoint->temperature))
        json_put_number(&o, "temperature", c->endpoint->temperature);
    json_put_int(&o, "max_tokens", c->endpoint->max_tokens);
    json_end(&o, '}');
    return buf_text(b);
}

/* It is the same in the intent and in the result. */
static const char *request_told(struct call *c)
{
    if (c->told == NULL) {
        struct arena *a = arena_create();

        c->told = arena_strdup(c->arena, request_text(a, c));
        arena_destroy(a);
    }
    return c->told;
}

static bool has_usage(const struct llm_answer *w)
{
    return w->prompt_tokens >= 0 || w->completion_tokens >= 0 || w->total_tokens >= 0;
}

static void put_usage(struct json_out *o, const struct llm_answer *w)
{
    if (!has_usage(w)) {
        json_put_null(o, "usage");
        return;
    }
    json_begin(o, "usage", '{');
    put_count(o, "prompt_tokens", w->prompt_tokens);
    put_count(o, "completion_tokens", w->completion_tokens);
    put_count(o, "total_tokens", w->total_tokens);
    put_count(o, "cached_tokens", w->cached_tokens);
    put_count(o, "reasoning_tokens", w->reasoning_tokens);
    json_end(o, '}');
}

static void put_response(struct arena *a, struct json_out *o, struct call *c)
{
    const struct llm_answer *w = &c->answer;
    size_t len, replaced;
    const char *content;

    if (w->content == NULL && w->id == NULL && w->finish_reason == NULL && !has_usage(w)) {
        json_put_null(o, "response");
        return;
    }
    json_begin(o, "response", '{');
    if (w->content != NULL && content_kept()) {
        content = call_content(c, &len, &replaced);
        json_put_bytes(o, "content", content, len);
        if (replaced > 0)
            json_put_int(o, "replaced_characters", (int64_t)replaced);
    } else {
        json_put_null(o, "content");
    }
    put_text(a, o, "model", w->model);
    put_text(a, o, "id", w->id);
    put_text(a, o, "finish_reason", w->finish_reason);
    put_usage(o, w);
    json_end(o, '}');
}

const char *call_error(const struct call *c)
{
    return content_kept() ? c->answer.error : c->answer.own_error;
}

static void put_outcome(struct arena *a, struct json_out *o, const struct call *c)
{
    bool failed = c->answer.failure != LLM_NONE;

    put_count(o, "duration_ms", c->duration_ms);
    if (c->ended)
        json_put_bool(o, "success", !failed);
    else
        json_put_null(o, "success");
    put_text(a, o, "error", failed ? call_error(c) : NULL);
    put_text(a, o, "error_class", failed ? llm_failure_name(c->answer.failure) : NULL);
    if (c->status > 0)
        json_put_int(o, "http_status", c->status);
    else
        json_put_null(o, "http_status");
    put_text(a, o, "provider_request_id", c->provider_request_id);
}

const char *call_element(struct arena *a, struct call *c)
{
    struct buf *b = buf_create(a, 16 * (size_t)CALL_ANSWER_MAX);
    struct json_out o = {b, false};

    json_begin(&o, NULL, '{');
    json_put_text(&o, "provider", c->endpoint->name);
    json_put_int(&o, "attempt", c->attempt);
    json_put_text(&o, "timestamp", c->timestamp);
    json_put_text(&o, "span_id", c->span_id);
    put_outcome(a, &o, c);
    json_begin(&o, "timing", '{');
    put_count(&o, "queue_ms", c->timing.queue);
    put_count(&o, "dns_ms", c->timing.dns);
    put_count(&o, "connect_ms", c->timing.connect);
    put_count(&o, "tls_ms", c->timing.tls);
    put_count(&o, "ttfb_ms", c->timing.ttfb);
    json_end(&o, '}');
    json_put_number(&o, "cost_usd", c->cost_usd);
    json_put_text(&o, "price_as_of", c->price_as_of);
    if (!content_kept())
        json_put_bool(&o, "content_kept", false);
    json_put_raw(&o, "request", request_told(c));
    put_response(a, &o, c);
    json_end(&o, '}');
    return buf_text(b);
}
