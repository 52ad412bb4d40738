/*
 * http: one FastCGI request, in and out, and the loop of a responder.
 *
 * A responder is a route table given to http_run(): accept, dispatch, answer,
 * one request at a time, until SIGTERM. A request owns its arena; it ends with
 * http_send() or http_fail(), which answer, log and destroy it. Identity comes
 * only from the parameters nginx sets (REMOTE_USER, AUTH_ROLE, AUTH_SCHEME),
 * never from a header; and only nginx's workers (NGINX_USER), our own user and
 * root are listened to. This is the only file that knows libfcgi and status codes;
 * how an answer gets onto its connection is known to answer.c.
 */
#ifndef FCGI_HTTP_H
#define FCGI_HTTP_H

#include "common/arena.h"
#include "common/err.h"

struct json_object;

struct http_req {
    struct arena *arena;
    const char *id;     /* nginx's $request_id */
    const char *method; /* "GET"; HEAD reads as GET */
    const char *path;   /* "/api/traces", normalised by nginx */
    const char *user;   /* who asks, "" only on HTTP_OPEN routes */
    bool admin;
    char *param; /* what ":id" matched: a UUID in lower case, or NULL */
};

enum http_flag {
    HTTP_OPEN = 1,  /* needs no user */
    HTTP_ADMIN = 2, /* for admins alone */
};

/* A route table ends with {0}. ":id" in a pattern stands for one UUID. */
struct http_route {
    const char *method, *pattern;
    void (*handle)(struct http_req *req);
    int flags;
    const char *const *query; /* the parameters it takes; NULL: none */
};

/*
 * Serve the listening socket on descriptor 0 until SIGTERM or SIGINT, which let the request in
 * hand finish. Returns the exit status.
 */
int http_run(const struct http_route *routes);

/* Each user is answered so many requests a second by the responders of this host; 0: no limit. */
void http_limit_users(long requests_per_second);

const char *http_query(const struct http_req *req, const char *name); /* decoded, or NULL */
const char *http_header(const struct http_req *req,
                        const char *name); /* "IDEMPOTENCY_KEY", or NULL */

/* The bearer token that nginx asks about, where it asks; else NULL. */
const char *http_auth_token(const struct http_req *req);

/* The whole query string, undecoded; "" if there is none. */
const char *http_query_string(const struct http_req *req);

/* A whole-number parameter from min to max; absent gives the default. */
bool http_query_int(const struct http_req *req, const char *name, long min, long max, long fallback,
                    long *value, struct err *e);

/* The JSON object in the body; NULL with ERR_INPUT, ERR_MEDIA_TYPE or ERR_TOO_LARGE. */
struct json_object *http_body(struct http_req *req, struct err *e);

/* Before answering: a header line of the answer. */
void http_add_header(struct http_req *req, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The next part of the answer's body; the bytes stay the caller's and live until it is sent. */
void http_add(struct http_req *req, const char *data, size_t len);
void http_puts(struct http_req *req, const char *text);

/*
 * End the request. A 200 to a GET carries an ETag of its bytes, and becomes a 304 if the client
 * has them.
 */
void http_send(struct http_req *req, int status);
void http_send_as(struct http_req *req, int status, const char *type);   /* Content-Type */
void http_send_text(struct http_req *req, int status, const char *text); /* text/plain */
void http_fail(struct http_req *req, const struct err *e);
/* With more members in the problem: what the client has to know to ask again. */
struct http_member {
    const char *name;
    long long value;
};
void http_fail_with(struct http_req *req, const struct err *e, const struct http_member *members,
                    int count);

/*
 * A 200 whose length nobody knows yet: begin, then write as often as there is something, at the
 * pace of the client, 64 KB at a time, then end. http_stream_write() is false when nobody reads any
 * more, or too slowly to go on, or HEAD was asked. An end that is not `whole` is seen by the client
 * to be broken.
 */
void http_stream_begin(struct http_req *req, const char *type);
bool http_stream_write(struct http_req *req, const char *data, size_t len);
void http_stream_end(struct http_req *req, bool whole);

/*
 * End the request in a way that is seen to be broken: the answer so far, with a Content-Length that
 * is `missing` bytes too long; status 0: no answer at all, which nginx makes a 502.
 */
void http_abort(struct http_req *req, int status, size_t missing);

/* Let time pass. False if it was cut short: the process is to stop, or the peer has gone. */
bool http_wait(struct http_req *req, long ms);

/* What the pattern matches of path: NULL if it does not, else the ":id" part, "" without one. */
const char *http_match(struct arena *a, const char *pattern, const char *path);

#endif
