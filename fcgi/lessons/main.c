/*
 * lessons: the API that takes, shows and deletes lessons. It commits what is to be
 * generated and answers; the generator does the rest. It holds no provider keys.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/config.h"
#include "common/health.h"
#include "common/log.h"
#include "common/redact.h"
#include "fcgi/api.h"
#include "fcgi/lessons/request.h"
#include "fcgi/rate.h"

#ifndef SCHEMA
#error "SCHEMA: the name of the last migration, from the Makefile"
#endif

/* The texts a client sends are stored: without secrets. */
static const char *clean(struct arena *a, const char *text)
{
    size_t len;

    return redact(a, text, strlen(text), &len);
}

static bool read_key(const struct http_req *req, struct lesson_request *r, struct err *e)
{
    const char *key = http_header(req, "IDEMPOTENCY_KEY");

    r->idempotency_key = key;
    if (key == NULL)
        return true;
    for (const char *p = key; *p; p++)
        if (*p < '!' || *p > '~')
            return err_set(e, ERR_INPUT, "idempotency-key: printable ASCII expected");
    if (clean(req->arena, key) != key) /* two of them without it would be the same */
        return err_set(e, ERR_INPUT, "idempotency-key: looks like a secret, which is not stored");
    return strlen(key) <= REQUEST_KEY_MAX ||
           err_set(e, ERR_INPUT, "idempotency-key: at most %d bytes", REQUEST_KEY_MAX);
}

/* Asked once a second while there is room: the limit is against overload, not a count. */
static bool check_queue(struct err *e)
{
    static time_t asked;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec == asked)
        return true;
    if (!lesson_check_queue(api_admin_db(), config_int("QUEUED_MAX"), api_deadline_ms(), e))
        return false;
    asked = now.tv_sec;
    return true;
}

static bool check_posts(const struct http_req *req, struct err *e)
{
    long count = config_int("USER_POSTS_PER_MINUTE");
    long wait_s = rate_take(&(struct rate){"posts", count, 60, count}, req->user);

    if (wait_s == 0)
        return true;
    err_set(e, ERR_RATE, "user: more than %ld generations a minute, try again in %ld s", count,
            wait_s);
    e->wait_s = wait_s;
    return false;
}

static struct lesson_limits limits(void)
{
    return (struct lesson_limits){config_int("USER_QUEUED_MAX"), config_int("USER_TOKENS_PER_DAY")};
}

static void create(struct http_req *req)
{
    struct json_object *body = NULL;
    struct lesson_limits of_user = limits();
    struct lesson_request r = {0};
    const char *doc, *id;
    struct err e;

    if (!read_key(req, &r, &e) || (body = http_body(req, &e)) == NULL ||
        !request_read(req->arena, body, &r, &e) || !check_posts(req, &e) || !check_queue(&e)) {
        http_fail(req, &e);
        return;
    }
    r.options = clean(req->arena, r.options);
    doc = lesson_create(api_db(req), req->arena, api_identity(req), &r, &of_user, api_deadline_ms(),
                        &id, &e);
    if (doc == NULL) {
        http_fail(req, &e);
        return;
    }
    http_add_header(req, "Location: /api/lessons/%s", id);
    api_send_one(req, 201, "lesson", doc);
    lesson_announce(api_system_db(), api_deadline_ms());
}

static void regenerate(struct http_req *req)
{
    struct lesson_limits of_user = limits();
    const char *provider, *model, *doc;
    struct err e;
    struct json_object *body = http_body(req, &e);

    if (body == NULL || !request_read_regenerate(body, &provider, &model, &e) ||
        !check_posts(req, &e) || !check_queue(&e)) {
        http_fail(req, &e);
        return;
    }
    doc =
        lesson_regenerate(api_db(req), req->arena, api_identity(req), req->param, provider,
                          model ? clean(req->arena, model) : NULL, &of_user, api_deadline_ms(), &e);
    if (doc == NULL) {
        http_fail(req, &e);
        return;
    }
    http_add_header(req, "Location: /api/lessons/%s", req->param);
    api_send_one(req, 201, "lesson", doc);
    lesson_announce(api_system_db(), api_deadline_ms());
}

static void list(struct http_req *req)
{
    struct page_request r;
    struct page page;
    struct err e;

    if (!api_page_request(req, &r, &e) ||
        !lesson_list(api_db(req), req->arena, api_identity(req), &r, api_deadline_ms(), &page, &e))
        http_fail(req, &e);
    else
        api_send_page(req, "lessons", &r, &page);
}

static void get(struct http_req *req)
{
    struct err e;
    const char *doc =
        lesson_get(api_db(req), req->arena, api_identity(req), req->param, api_deadline_ms(), &e);

    if (doc == NULL)
        http_fail(req, &e);
    else
        api_send_one(req, 200, "lesson", doc);
}

static void delete_one(struct http_req *req)
{
    struct err e;

    if (!lesson_delete(api_db(req), req->arena, api_identity(req), req->param, api_deadline_ms(),
                       &e)) {
        http_fail(req, &e);
        return;
    }
    http_puts(req, "{\"success\":true}");
    http_send(req, 200);
}

static void providers(struct http_req *req)
{
    struct db_rows *rows;
    struct err e;

    if (!health_list(api_db(req), req->arena, api_identity(req), api_deadline_ms(), &rows, &e)) {
        http_fail(req, &e);
        return;
    }
    http_puts(req, "{\"providers\":[");
    for (int i = 0; i < db_count(rows); i++) {
        if (i > 0)
            http_puts(req, ",");
        http_add(req, db_value(rows, i, 0), db_length(rows, i, 0));
    }
    http_puts(req, "]}");
    http_send(req, 200);
}

static void healthz(struct http_req *req)
{
    http_send_text(req, 200, "ok\n");
}

/* Ready: the schema is at least ours, a generator is alive, a provider is at hand. */
static void readyz(struct http_req *req)
{
    struct health_ready ready = {0};
    bool database, schema, all;
    struct err e;

    database = health_ready(api_system_db(), req->arena, config_int("LEASE_SECONDS"),
                            api_deadline_ms(), &ready, &e);
    schema = database && ready.schema != NULL && strcmp(ready.schema, SCHEMA) >= 0;
    all = schema && ready.generator && ready.provider;
    http_puts(req, arena_printf(req->arena,
                                "{\"status\":\"%s\",\"checks\":{\"database\":%s,\"schema\":%s,"
                                "\"generator\":%s,\"provider\":%s}}",
                                all ? "ok" : "unavailable", database ? "true" : "false",
                                schema ? "true" : "false", ready.generator ? "true" : "false",
                                ready.provider ? "true" : "false"));
    http_send(req, all ? 200 : 503);
}

static const char *const page_query[] = {API_PAGE_PARAMETERS, NULL};

static const struct http_route routes[] = {
    {"POST", "/api/lessons", create, 0, NULL},
    {"GET", "/api/lessons", list, 0, page_query},
    {"GET", "/api/lessons/:id", get, 0, NULL},
    {"DELETE", "/api/lessons/:id", delete_one, 0, NULL},
    {"POST", "/api/lessons/:id/regenerate", regenerate, 0, NULL},
    {"GET", "/api/providers", providers, 0, NULL},
    {"GET", "/healthz", healthz, HTTP_OPEN, NULL},
    {"GET", "/readyz", readyz, HTTP_OPEN, NULL},
    {0},
};

int main(int argc, char *argv[])
{
    struct err e;
    int status;

    if (!config_init(CONFIG_LESSONS, "lessons.fcgi", argc, argv, &e) ||
        !api_init("lessons.fcgi", &e)) {
        fprintf(stderr, "lessons.fcgi: %s\n", e.text);
        return 2;
    }
    log_init("lessons.fcgi");
    status = http_run(routes);
    api_finish();
    return status;
}
