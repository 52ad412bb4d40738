/* traces: the API over recorded traces. One request at a time, one segment a request. */
#include <stdio.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "common/trace.h"
#include "common/uuid.h"
#include "fcgi/api.h"

/* Deleting everything takes as long as it takes; each of its transactions is short. */
enum { DELETE_DEADLINE_MS = 10000 };

static bool read_query(const struct http_req *req, struct trace_query *q, struct err *e)
{
    const char *view = http_query(req, "view"), *count = http_query(req, "count");

    *q = (struct trace_query){.full = view == NULL || strcmp(view, "full") == 0,
                              .count = count != NULL};
    if (!q->full && strcmp(view, "summary") != 0)
        return err_set(e, ERR_INPUT, "view: full or summary expected");
    if (count != NULL && strcmp(count, "exact") != 0)
        return err_set(e, ERR_INPUT, "count: exact expected");
    for (int f = 0; f < TRACE_FILTER_COUNT; f++)
        q->filters[f] = http_query(req, trace_filter_names[f]);
    return api_page_request(req, &q->page, e);
}

static void list(struct http_req *req)
{
    struct trace_query q;
    struct page page;
    struct err e;

    if (!read_query(req, &q, &e) ||
        !trace_list(api_db(req), req->arena, api_identity(req), &q, api_deadline_ms(), &page, &e))
        http_fail(req, &e);
    else
        api_send_page(req, "traces", &q.page, &page);
}

static void get(struct http_req *req)
{
    struct err e;
    const char *doc =
        trace_get(api_db(req), req->arena, api_identity(req), req->param, api_deadline_ms(), &e);

    if (doc == NULL)
        http_fail(req, &e);
    else
        api_send_one(req, 200, "trace", doc);
}

static void send_deleted(struct http_req *req, long long n)
{
    http_puts(req,
              arena_printf(req->arena, "{\"message\":\"%lld trace%s deleted\",\"deleted\":%lld}", n,
                           n == 1 ? "" : "s", n));
    http_send(req, 200);
}

static void delete_id(struct http_req *req, const char *id)
{
    struct err e;

    if (!trace_delete(api_db(req), req->arena, api_identity(req), id, api_deadline_ms(), &e))
        http_fail(req, &e);
    else
        send_deleted(req, 1);
}

static void delete_one(struct http_req *req)
{
    delete_id(req, req->param);
}

static void delete_all(struct http_req *req)
{
    struct db_identity *who = api_identity(req);
    long long n;
    struct err e;

    who->filter = "deleteAll=true";
    if (!trace_delete_all(api_db(req), req->arena, who, api_deadline_ms(), DELETE_DEADLINE_MS, &n,
                          &e))
        http_fail(req, &e);
    else
        send_deleted(req, n);
}

/* ?id= or ?deleteAll=true, never both. */
static void delete_some(struct http_req *req)
{
    const char *id = http_query(req, "id"), *all = http_query(req, "deleteAll");
    struct err e;

    if (id != NULL && all != NULL)
        err_set(&e, ERR_INPUT, "deleteAll: not together with id");
    else if (all != NULL && strcmp(all, "true") != 0)
        err_set(&e, ERR_INPUT, "deleteAll: true expected");
    else if (id != NULL && !uuid_valid(id))
        err_set(&e, ERR_INPUT, "id: UUID expected");
    else if (id == NULL && all == NULL)
        err_set(&e, ERR_INPUT, "id: expected, or deleteAll=true");
    else {
        if (all != NULL)
            delete_all(req);
        else
            delete_id(req, id);
        return;
    }
    http_fail(req, &e);
}

static void healthz(struct http_req *req)
{
    http_send_text(req, 200, "ok\n");
}

static const char *const list_query[] = {API_PAGE_PARAMETERS, "view", "count",
                                         TRACE_FILTER_NAMES NULL};
static const char *const delete_query[] = {"id", "deleteAll", NULL};

static const struct http_route routes[] = {
    {"GET", "/api/traces", list, 0, list_query},
    {"GET", "/api/traces/:id", get, 0, NULL},
    {"DELETE", "/api/traces", delete_some, 0, delete_query},
    {"DELETE", "/api/traces/:id", delete_one, 0, NULL},
    {"GET", "/healthz", healthz, HTTP_OPEN, NULL},
    {"GET", "/healthz/traces", healthz, HTTP_OPEN, NULL},
    {0},
};

int main(int argc, char *argv[])
{
    struct err e;
    int status;

    if (!config_init(CONFIG_TRACES, "traces.fcgi", argc, argv, &e) ||
        !api_init("traces.fcgi", &e)) {
        fprintf(stderr, "traces.fcgi: %s\n", e.text);
        return 2;
    }
    log_init("traces.fcgi");
    status = http_run(routes);
    api_finish();
    return status;
}
