#include "fcgi/api.h"

#include <string.h>

#include "common/buf.h"
#include "common/config.h"
#include "common/json.h"

enum { TAIL_MAX = 8192, LINK_MAX = 8192 };

static struct {
    struct db *user, *admin;
    int deadline_ms;
} api;

bool api_init(const char *program, struct err *e)
{
    const char *user = config_text("DATABASE_API_URL"), *admin = config_text("DATABASE_ADMIN_URL");

    if (user == NULL || admin == NULL)
        return err_set(e, ERR_INPUT, "%s: required",
                       user ? "DATABASE_ADMIN_URL" : "DATABASE_API_URL");
    api.user = db_create(user, program);
    api.admin = db_create(admin, program);
    api.deadline_ms = (int)config_int("DB_REQUEST_MS");
    http_limit_users(config_int("USER_REQUESTS_PER_SECOND"));
    return true;
}

void api_finish(void)
{
    db_destroy(api.user);
    db_destroy(api.admin);
}

struct db *api_db(const struct http_req *req)
{
    return req->admin ? api.admin : api.user;
}

struct db *api_admin_db(void)
{
    return api.admin;
}

struct db *api_system_db(void)
{
    return api.user;
}

struct db_identity *api_identity(const struct http_req *req)
{
    struct db_identity *who = arena_alloc(req->arena, sizeof *who);

    *who = (struct db_identity){.user = req->user, .request_id = req->id};
    return who;
}

int api_deadline_ms(void)
{
    return api.deadline_ms;
}

bool api_page_request(const struct http_req *req, struct page_request *r, struct err *e)
{
    *r = (struct page_request){.cursor = http_query(req, "cursor")};
    if (!http_query_int(req, "limit", 1, PAGE_LIMIT_MAX, PAGE_LIMIT_DEFAULT, &r->limit, e) ||
        !http_query_int(req, "offset", 0, PAGE_OFFSET_MAX, 0, &r->offset, e))
        return false;
    if (r->cursor != NULL && http_query(req, "offset") != NULL)
        return err_set(e, ERR_INPUT, "offset: not together with cursor");
    return true;
}

/* As a client may have written it, but for what is no part of a URI (RFC 3986, 2). */
static void add_pair(struct buf *link, const char *pair)
{
    for (; *pair; pair++)
        if (*pair <= ' ' || *pair > '~' || strchr("<>\"", *pair) != NULL)
            buf_printf(link, "%%%02X", (unsigned char)*pair);
        else
            buf_add(link, pair, 1);
    buf_puts(link, "&");
}

/* RFC 8288: the same request, at the next cursor, which the answer's body has, too. */
static void add_link(struct http_req *req, const char *cursor)
{
    char *rest = arena_strdup(req->arena, http_query_string(req)), *pair;
    struct buf *link = buf_create(req->arena, LINK_MAX);

    buf_printf(link, "Link: <%s?", req->path);
    while ((pair = strsep(&rest, "&")) != NULL)
        if (*pair && strncmp(pair, "cursor=", 7) != 0 && strncmp(pair, "offset=", 7) != 0)
            add_pair(link, pair);
    buf_printf(link, "cursor=%s>; rel=\"next\"", cursor);
    if (!link->full)
        http_add_header(req, "%s", buf_text(link));
}

void api_send_page(struct http_req *req, const char *key, const struct page_request *r,
                   const struct page *page)
{
    struct buf *tail = buf_create(req->arena, TAIL_MAX);
    struct json_out o = {tail, true};

    http_puts(req, arena_printf(req->arena, "{\"%s\":[", key));
    for (int i = 0; i < page->count; i++) {
        if (i > 0)
            http_add(req, ",", 1);
        http_add(req, db_value(page->rows, i, 0), db_length(page->rows, i, 0));
    }
    buf_puts(tail, "]");
    json_put_int(&o, "limit", r->limit);
    json_put_int(&o, "offset", r->offset);
    json_put_bool(&o, "has_more", page->next_cursor != NULL);
    json_put_text(&o, "next_cursor", page->next_cursor);
    if (page->total >= 0)
        json_put_int(&o, "total", page->total);
    json_end(&o, '}');
    http_add(req, buf_text(tail), tail->len);
    if (page->next_cursor != NULL)
        add_link(req, page->next_cursor);
    http_send(req, 200);
}

void api_send_one(struct http_req *req, int status, const char *key, const char *json)
{
    http_puts(req, arena_printf(req->arena, "{\"%s\":", key));
    http_puts(req, json);
    http_puts(req, "}");
    http_send(req, status);
}
