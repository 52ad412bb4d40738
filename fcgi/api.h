/*
 * api: what the traces and the lessons API have in common.
 *
 * A request of an admin runs as lesson_admin, any other as lesson_api with row
 * security bound to its user: two connections a process, opened on first use.
 */
#ifndef FCGI_API_H
#define FCGI_API_H

#include "common/page.h"
#include "fcgi/http.h"

/* The parameters of a page, for a route's query table. */
#define API_PAGE_PARAMETERS "limit", "offset", "cursor"

/* False and ERR_INPUT if a database URL is missing: libpq would connect as whoever we are. */
bool api_init(const char *program, struct err *e);
void api_finish(void);

struct db *api_db(const struct http_req *req);
struct db *api_admin_db(void);  /* for what must see everybody's rows */
struct db *api_system_db(void); /* for what nobody asks: lesson_api, without a user */
struct db_identity *api_identity(const struct http_req *req);
int api_deadline_ms(void);

/* limit, offset and cursor, checked. */
bool api_page_request(const struct http_req *req, struct page_request *r, struct err *e);

/* Answer {"<key>": [rows…], "limit", "offset", "has_more", "next_cursor", "total"?}, and Link. */
void api_send_page(struct http_req *req, const char *key, const struct page_request *r,
                   const struct page *page);

/* Answer {"<key>": <json>}. */
void api_send_one(struct http_req *req, int status, const char *key, const char *json);

#endif
