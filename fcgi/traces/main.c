/* traces: the API over recorded traces, and over who did what. One request at a time, one segment a
 * request. */
#include <stdio.h>
#include <string.h>

#include "common/api_token.h"
#include "common/audit.h"
#include "common/config.h"
#include "common/log.h"
#include "common/trace_stats.h"
#include "common/uuid.h"
#include "fcgi/traces/export.h"
#include "fcgi/traces/query.h"

/*
 * Deleting many takes as long as it takes; each of its transactions is short. What has to look at
 * every trace may take longer than what has not.
 */
enum { DELETE_DEADLINE_MS = 10000, SCAN_DEADLINE_MS = 4500, CONFIRM_MAX = 1000000 };

static bool read_query(const struct http_req *req, struct trace_query *q, struct err *e)
{
    const char *view = http_query(req, "view"), *count = http_query(req, "count");

    *q = (struct trace_query){.sort = http_query(req, "sort"), .count = count != NULL};
    if (view != NULL && strcmp(view, "summary") == 0)
        q->form = TRACE_SUMMARY;
    else if (view != NULL && strcmp(view, "full") != 0)
        return err_set(e, ERR_INPUT, "view: full or summary expected");
    if (count != NULL && strcmp(count, "exact") != 0)
        return err_set(e, ERR_INPUT, "count: exact expected");
    query_read_filter(req, &q->filter);
    return api_page_request(req, &q->page, e);
}

static int list_deadline_ms(const struct trace_query *q)
{
    bool scans =
        q->filter.values[TRACE_BY_Q] != NULL || (q->count && !trace_filter_empty(&q->filter));

    return scans ? SCAN_DEADLINE_MS : api_deadline_ms();
}

static void list(struct http_req *req)
{
    struct trace_query q;
    struct page page;
    struct err e;

    if (!read_query(req, &q, &e) || !trace_list(api_db(req), req->arena, api_identity(req), &q,
                                                list_deadline_ms(&q), &page, &e))
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

static void send_json(struct http_req *req, const char *doc, const struct err *e)
{
    if (doc == NULL) {
        http_fail(req, e);
    } else {
        http_puts(req, doc);
        http_send(req, 200);
    }
}

static void get_facets(struct http_req *req)
{
    struct trace_filter f;
    struct err e;

    query_read_filter(req, &f);
    send_json(req,
              trace_facets(api_db(req), req->arena, api_identity(req), &f, SCAN_DEADLINE_MS, &e),
              &e);
}

static void get_histogram(struct http_req *req)
{
    struct trace_filter f;
    struct err e;

    query_read_filter(req, &f);
    send_json(req,
              trace_histogram(api_db(req), req->arena, api_identity(req), &f,
                              http_query(req, "bucket"), SCAN_DEADLINE_MS, &e),
              &e);
}

static void get_stats(struct http_req *req)
{
    struct trace_filter f;
    struct err e;

    query_read_filter(req, &f);
    send_json(req,
              trace_stats(api_db(req), req->arena, api_identity(req), &f, http_query(req, "bucket"),
                          SCAN_DEADLINE_MS, &e),
              &e);
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

/* Without the number, or with another, the client is told it. */
static void refuse_unconfirmed(struct http_req *req, const struct trace_filter *f)
{
    long long count;
    struct err e;

    if (!trace_count(api_db(req), req->arena, api_identity(req), f, DELETE_DEADLINE_MS, &count,
                     &e)) {
        http_fail(req, &e);
        return;
    }
    err_set(&e, ERR_INPUT, "confirm: the number of traces that match expected: %lld", count);
    http_fail_with(req, &e, &(struct http_member){"count", count}, 1);
}

/* Others match than were confirmed, or some are deleted and the rest could not be. */
static void refuse_rest(struct http_req *req, struct err *e, long long matched, long long deleted)
{
    const struct http_member members[] = {{"count", matched}, {"deleted", deleted}};

    if (e->kind != ERR_CONFLICT) {
        log_error(req->id, "deletion broken off", LOG_TEXT("error", e->text));
        err_set(e, ERR_BUSY,
                "confirm: %lld traces are deleted, %lld match still: try again shortly", deleted,
                matched);
    }
    http_fail_with(req, e, members, sizeof members / sizeof *members);
}

static void delete_matching(struct http_req *req, struct trace_filter *f)
{
    struct db_identity *who = api_identity(req);
    long long matched, deleted;
    long confirmed;
    struct err e;

    if (!trace_filter_check(req->arena, f, &e) ||
        !http_query_int(req, "confirm", 0, CONFIRM_MAX, -1, &confirmed, &e)) {
        http_fail(req, &e);
        return;
    }
    if (confirmed < 0) {
        refuse_unconfirmed(req, f);
        return;
    }
    who->filter = f->scope + 1; /* without its & */
    if (trace_delete_matching(api_db(req), req->arena, who, f, confirmed, DELETE_DEADLINE_MS,
                              &matched, &deleted, &e))
        send_deleted(req, deleted);
    else if (e.kind == ERR_CONFLICT || deleted > 0)
        refuse_rest(req, &e, matched, deleted);
    else
        http_fail(req, &e);
}

/* The first of these parameters that is given; NULL: none is. */
static const char *given(const struct http_req *req, const char *const names[])
{
    while (*names != NULL && http_query(req, *names) == NULL)
        names++;
    return *names;
}

/* By id, everything, or by filters with the number of those that match: one of the three. */
static void delete_some(struct http_req *req)
{
    static const char *const beside_id[] = {TRACE_FILTER_NAMES "confirm", NULL};
    static const char *const beside_all[] = {"id", TRACE_FILTER_NAMES "confirm", NULL};
    const char *id = http_query(req, "id"), *all = http_query(req, "deleteAll"), *other;
    struct trace_filter f;
    struct err e;

    query_read_filter(req, &f);
    if (all != NULL && (other = given(req, beside_all)) != NULL)
        err_set(&e, ERR_INPUT, "deleteAll: not together with %s", other);
    else if (id != NULL && (other = given(req, beside_id)) != NULL)
        err_set(&e, ERR_INPUT, "id: not together with %s", other);
    else if (all != NULL && strcmp(all, "true") != 0)
        err_set(&e, ERR_INPUT, "deleteAll: true expected");
    else if (id != NULL && !uuid_valid(id))
        err_set(&e, ERR_INPUT, "id: UUID expected");
    else if (id == NULL && all == NULL && trace_filter_empty(&f))
        err_set(&e, ERR_INPUT, "id: expected, or filters with confirm, or deleteAll=true");
    else {
        if (all != NULL)
            delete_all(req);
        else if (id != NULL)
            delete_id(req, id);
        else
            delete_matching(req, &f);
        return;
    }
    http_fail(req, &e);
}

static void list_audit(struct http_req *req)
{
    struct audit_filter f = {
        .actor = http_query(req, "actor"),
        .action = http_query(req, "action"),
        .object = http_query(req, "object"),
        .from = http_query(req, "from"),
        .to = http_query(req, "to"),
    };
    struct page_request r;
    struct page page;
    struct err e;

    if (!api_page_request(req, &r, &e) || !audit_list(api_db(req), req->arena, api_identity(req),
                                                      &f, &r, SCAN_DEADLINE_MS, &page, &e))
        http_fail(req, &e);
    else
        api_send_page(req, "audit", &r, &page);
}

/* nginx asks before it lets a request with a bearer token pass: who is it? */
static void check_token(struct http_req *req)
{
    const char *text = http_auth_token(req);
    struct api_token token;
    struct err e;

    if (!api_token_use(api_system_db(), req->arena, api_identity(req), text ? text : "",
                       api_deadline_ms(), &token, &e)) {
        http_fail(req, &e);
        return;
    }
    http_add_header(req, "X-Auth-User: %s", token.name);
    http_add_header(req, "X-Auth-Role: %s", token.role);
    http_send(req, 204);
}

static void healthz(struct http_req *req)
{
    http_send_text(req, 200, "ok\n");
}

static const char *const list_query[] = {API_PAGE_PARAMETERS, "view", "count", "sort",
                                         TRACE_FILTER_NAMES NULL};
static const char *const facets_query[] = {TRACE_FILTER_NAMES NULL};
static const char *const stats_query[] = {"bucket", TRACE_FILTER_NAMES NULL};
static const char *const export_query[] = {"format", "sort", TRACE_FILTER_NAMES NULL};
static const char *const delete_query[] = {"id", "deleteAll", "confirm", TRACE_FILTER_NAMES NULL};

static const char *const audit_query[] = {
    API_PAGE_PARAMETERS, "actor", "action", "object", "from", "to", NULL};

static const struct http_route routes[] = {
    {"GET", "/api/traces", list, 0, list_query},
    {"GET", "/api/traces/facets", get_facets, 0, facets_query},
    {"GET", "/api/traces/histogram", get_histogram, 0, stats_query},
    {"GET", "/api/traces/stats", get_stats, 0, stats_query},
    {"GET", "/api/traces/export", export_send, 0, export_query},
    {"GET", "/api/traces/:id", get, 0, NULL},
    {"DELETE", "/api/traces", delete_some, 0, delete_query},
    {"DELETE", "/api/traces/:id", delete_one, 0, NULL},
    {"GET", "/api/audit", list_audit, HTTP_ADMIN, audit_query},
    {"GET", "/auth/token", check_token, HTTP_OPEN, NULL},
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
