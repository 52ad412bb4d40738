/*
 * sample.fcgi: the built-in sample provider.
 *
 * Speaks the OpenAI chat-completions protocol, composes lessons without a model,
 * and fails on request, so that fallback can be watched. It has no users, no
 * keys and no state; nginx serves it on loopback only.
 */
#include <stdio.h>
#include <string.h>

#include "common/config.h"
#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "fcgi/http.h"
#include "fcgi/sample/fault.h"

enum { MODELS_MAX_BYTES = 64 << 10, MODEL_SHOWN = 80 };

/* A request that is no chat completion at all, in the protocol's words. */
static void refuse_body(struct http_req *req, const struct err *e, struct fault_reply *r)
{
    int status = e->kind == ERR_TOO_LARGE ? 413 : e->kind == ERR_MEDIA_TYPE ? 415 : 400;

    fault_refuse(req->arena,
                 &(struct chat_error){status, e->text, "invalid_request_error", NULL, NULL}, r);
}

static void refuse_model(struct http_req *req, const char *model, struct fault_reply *r)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): without a model there is a fault */
    size_t shown = utf8_prefix(model, strlen(model), MODEL_SHOWN);
    const char *text = arena_printf(
        req->arena, "The model `%.*s` does not exist: GET /v1/models lists those that do.",
        (int)shown, model);

    fault_refuse(req->arena,
                 &(struct chat_error){404, text, "invalid_request_error", NULL, "model_not_found"},
                 r);
}

static void answer(struct http_req *req, struct fault_reply *r)
{
    struct json_object *body;
    const struct fault *fault;
    struct chat_request q;
    struct chat_error refused;
    struct err e;
    long n;

    if ((body = http_body(req, &e)) == NULL)
        refuse_body(req, &e, r);
    else if (!chat_read(req->arena, body, &q, &refused))
        fault_refuse(req->arena, &refused, r);
    else if ((fault = fault_find(q.model ? q.model : faults->name, &n)) == NULL)
        refuse_model(req, q.model, r);
    else
        fault_answer(fault, n, req->arena, &q, r);
}

static void complete(struct http_req *req)
{
    struct fault_reply r;

    answer(req, &r);
    if (r.wait_ms > 0)
        http_wait(req, r.wait_ms); /* cut short when we are to stop, or nobody waits any more */
    http_add_header(req, "x-request-id: %s", req->id);
    if (r.retry_after_s > 0)
        http_add_header(req, "Retry-After: %d", r.retry_after_s);
    http_add(req, buf_text(r.body), r.body->len);
    if (r.status == 0 || r.missing > 0)
        http_abort(req, r.status, r.missing);
    else
        http_send_as(req, r.status, r.type);
}

static void models(struct http_req *req)
{
    struct buf *b = buf_create(req->arena, MODELS_MAX_BYTES);
    struct json_out o = {b, false};

    json_begin(&o, NULL, '{');
    json_put_text(&o, "object", "list");
    json_begin(&o, "data", '[');
    for (const struct fault *f = faults; f->name != NULL; f++) {
        json_begin(&o, NULL, '{');
        json_put_text(&o, "id", f->name);
        json_put_text(&o, "object", "model");
        json_put_int(&o, "created", 0);
        json_put_text(&o, "owned_by", "lesson-tracer");
        json_put_text(&o, "description", f->help);
        json_end(&o, '}');
    }
    json_end(&o, ']');
    json_end(&o, '}');
    http_add(req, buf_text(b), b->len);
    http_send(req, 200);
}

static void alive(struct http_req *req)
{
    http_send_text(req, 200, "ok\n");
}

static const struct http_route routes[] = {
    {"POST", "/v1/chat/completions", complete, HTTP_OPEN, NULL},
    {"POST", "/sample/v1/chat/completions", complete, HTTP_OPEN, NULL},
    {"GET", "/v1/models", models, HTTP_OPEN, NULL},
    {"GET", "/sample/v1/models", models, HTTP_OPEN, NULL},
    {"GET", "/healthz", alive, HTTP_OPEN, NULL},
    {0},
};

int main(int argc, char *argv[])
{
    struct err e;

    if (!config_init(CONFIG_SAMPLE, "sample.fcgi", argc, argv, &e)) {
        fprintf(stderr, "sample.fcgi: %s\n", e.text);
        return 2;
    }
    log_init("sample.fcgi");
    return http_run(routes);
}
