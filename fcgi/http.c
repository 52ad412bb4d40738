#include "fcgi/http.h"

#include <ctype.h>
#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "common/uuid.h"
#include "fcgi/answer.h"
#include "fcgi/rate.h"

enum {
    LISTEN_FD = 0,
    BODY_MAX_BYTES = 1 << 20,
    QUERY_MAX_PARAMETERS = 32,
    USER_MAX_BYTES = 255,
    PEER_TIMEOUT_S = 10, /* nginx neither sends nor reads for so long */
    PEER_CLOSE_MS = 100, /* for what is left of a request that is answered */
    RETRY_AFTER_S = 2,
    KEPT_BYTES = 2 << 20, /* of memory, freed or in one piece, for the next page of whole traces */
};

#define JSON_TYPE "application/json; charset=utf-8"

struct parameter {
    const char *name, *value;
};

struct request { /* the private half of http_req */
    struct http_req pub;
    FCGX_Request fcgx;
    struct timespec begin;
    struct parameter query[QUERY_MAX_PARAMETERS];
    int query_count;
    struct answer answer;
};

/* How each kind of error looks to a client; the text of an opaque one stays in the log. */
static const struct {
    int status;
    const char *code, *title;
    bool opaque;
} problems[ERR_KINDS] = {
    [ERR_NONE] = {500, "internal", "Internal Server Error", true},
    [ERR_INPUT] = {400, "invalid_request", "Bad Request", false},
    [ERR_UNAUTHORIZED] = {401, "unauthorized", "Unauthorized", false},
    [ERR_FORBIDDEN] = {403, "forbidden", "Forbidden", false},
    [ERR_NOT_FOUND] = {404, "not_found", "Not Found", false},
    [ERR_METHOD] = {405, "method_not_allowed", "Method Not Allowed", false},
    [ERR_CONFLICT] = {409, "conflict", "Conflict", false},
    [ERR_TOO_LARGE] = {413, "too_large", "Content Too Large", false},
    [ERR_MEDIA_TYPE] = {415, "unsupported_media_type", "Unsupported Media Type", false},
    [ERR_UNPROCESSABLE] = {422, "unprocessable", "Unprocessable Content", false},
    [ERR_RATE] = {429, "rate_limited", "Too Many Requests", false},
    [ERR_DATA] = {500, "internal", "Internal Server Error", true},
    [ERR_INTERNAL] = {500, "internal", "Internal Server Error", true},
    [ERR_BUSY] = {503, "unavailable", "Service Unavailable", false},
    [ERR_UNAVAILABLE] = {503, "unavailable", "Service Unavailable", true},
};

static struct rate user_requests = {.what = "requests", .seconds = 1};
static volatile sig_atomic_t stopping;
static sigset_t while_waiting; /* signals are let through only then */

static const char *param(const struct request *r, const char *name)
{
    const char *v = FCGX_GetParam(name, r->fcgx.envp);

    return v ? v : "";
}

static const struct request *private_half(const struct http_req *req)
{
    return (const struct request *)req;
}

/* ---- the query ---- */

static int hex(char c)
{
    return isdigit((unsigned char)c)    ? c - '0'
           : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
                                        : -1;
}

/* Decode in place; false on a bad escape, a NUL, or ill-formed UTF-8. */
static bool decode(char *s)
{
    char *out = s;

    for (const char *in = s; *in; in++) {
        if (*in != '%') {
            *out++ = (char)(*in == '+' ? ' ' : *in);
            continue;
        }
        if (hex(in[1]) < 0 || hex(in[2]) < 0 || (in[1] == '0' && in[2] == '0'))
            return false;
        *out++ = (char)(hex(in[1]) * 16 + hex(in[2]));
        in += 2;
    }
    *out = '\0';
    return utf8_valid(s, (size_t)(out - s));
}

static bool parse_query(struct request *r, struct err *e)
{
    char *rest = arena_strdup(r->pub.arena, param(r, "QUERY_STRING")), *name, *value;

    while ((name = strsep(&rest, "&")) != NULL) {
        if (*name == '\0')
            continue;
        value = name + strcspn(name, "=");
        if (*value == '=')
            *value++ = '\0';
        if (!decode(name) || !decode(value))
            return err_set(e, ERR_INPUT, "%s: badly encoded",
                           utf8_valid(name, strlen(name)) ? err_name(name).text : "query");
        if (http_query(&r->pub, name) != NULL)
            return err_set(e, ERR_INPUT, "%s: given twice", err_name(name).text);
        if (r->query_count == QUERY_MAX_PARAMETERS)
            return err_set(e, ERR_INPUT, "query: more than %d parameters", QUERY_MAX_PARAMETERS);
        r->query[r->query_count++] = (struct parameter){name, value};
    }
    return true;
}

static bool check_query(const struct request *r, const char *const *allowed, struct err *e)
{
    for (int i = 0; i < r->query_count; i++) {
        const char *const *name = allowed;

        while (name != NULL && *name != NULL && strcmp(*name, r->query[i].name) != 0)
            name++;
        if (name == NULL || *name == NULL)
            return err_set(e, ERR_INPUT, "%s: unknown query parameter",
                           err_name(r->query[i].name).text);
    }
    return true;
}

const char *http_query(const struct http_req *req, const char *name)
{
    const struct request *r = private_half(req);

    for (int i = 0; i < r->query_count; i++)
        if (strcmp(r->query[i].name, name) == 0)
            return r->query[i].value;
    return NULL;
}

const char *http_query_string(const struct http_req *req)
{
    return param(private_half(req), "QUERY_STRING");
}

bool http_query_int(const struct http_req *req, const char *name, long min, long max, long fallback,
                    long *value, struct err *e)
{
    const char *text = http_query(req, name);
    char *end;

    *value = fallback;
    if (text == NULL)
        return true;
    errno = 0;
    *value = strtol(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || *value < min || *value > max)
        return err_set(e, ERR_INPUT, "%s: whole number from %ld to %ld expected", name, min, max);
    return true;
}

const char *http_header(const struct http_req *req, const char *name)
{
    const char *v = param(private_half(req), arena_printf(req->arena, "HTTP_%s", name));

    return *v ? v : NULL;
}

const char *http_auth_token(const struct http_req *req)
{
    const char *v = param(private_half(req), "AUTH_TOKEN");

    return *v ? v : NULL;
}

/* ---- the body ---- */

static bool is_json(const char *content_type)
{
    static const char json[] = "application/json";
    size_t len = strcspn(content_type, "; \t");

    return len == sizeof json - 1 && strncasecmp(content_type, json, len) == 0;
}

/* CONTENT_LENGTH: digits only; nginx buffers chunked bodies and gives their length. */
static bool body_length(const struct request *r, long *len, struct err *e)
{
    const char *text = param(r, "CONTENT_LENGTH");
    char *end;

    errno = 0;
    *len = *text ? strtol(text, &end, 10) : 0;
    if (*text && (!isdigit((unsigned char)*text) || *end || errno))
        return err_set(e, ERR_INPUT, "content-length: whole number expected");
    if (*len > BODY_MAX_BYTES)
        return err_set(e, ERR_TOO_LARGE, "body: at most %d bytes", BODY_MAX_BYTES);
    return true;
}

struct json_object *http_body(struct http_req *req, struct err *e)
{
    struct request *r = (struct request *)req;
    struct json_object *tree;
    char *body;
    long len;

    if (!body_length(r, &len, e))
        return NULL;
    if (!is_json(param(r, "CONTENT_TYPE"))) {
        err_set(e, ERR_MEDIA_TYPE, "content-type: application/json expected");
        return NULL;
    }
    body = arena_alloc(req->arena, (size_t)len + 1);
    if (FCGX_GetStr(body, (int)len, r->fcgx.in) != (int)len) {
        err_set(e, ERR_INPUT, "body: shorter than announced");
        return NULL;
    }
    tree = json_parse_client(req->arena, body, (size_t)len, e);
    if (tree != NULL && !json_is_object(tree)) {
        err_set(e, ERR_INPUT, "body: JSON object expected");
        return NULL;
    }
    return tree;
}

/* ---- the answer ---- */

void http_add_header(struct http_req *req, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer_header(&((struct request *)req)->answer, fmt, ap);
    va_end(ap);
}

void http_add(struct http_req *req, const char *data, size_t len)
{
    answer_add(&((struct request *)req)->answer, data, len);
}

void http_puts(struct http_req *req, const char *text)
{
    http_add(req, text, strlen(text));
}

static long elapsed_us(const struct request *r)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - r->begin.tv_sec) * 1000000 + (now.tv_nsec - r->begin.tv_nsec) / 1000;
}

static void log_and_free(struct request *r, int status)
{
    enum log_level level = strcmp(r->pub.path, "/healthz") == 0 ? LOG_DEBUG : LOG_INFO;

    LOG_AT(level, r->pub.id, "request", LOG_TEXT("method", r->pub.method),
           LOG_TEXT("path", r->pub.path), LOG_TEXT("user", r->pub.user), LOG_INT("status", status),
           LOG_INT("us", elapsed_us(r)));
    arena_destroy(r->pub.arena);
    FCGX_Free(&r->fcgx, 0);
    free(r);
}

/*
 * The answer is out. What the peer sent is read to its end, which is there: closed with something
 * unread in it, a connection is reset, and the peer may lose the answer. But no longer than this.
 */
static void hang_up(struct request *r)
{
    const struct timeval limit = {.tv_usec = PEER_CLOSE_MS * 1000L};
    const long until_us = elapsed_us(r) + PEER_CLOSE_MS * 1000L;
    char rest[4096];

    setsockopt(r->fcgx.ipcFd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    while (FCGX_GetStr(rest, sizeof rest, r->fcgx.in) > 0 && elapsed_us(r) < until_us)
        ;
    close(r->fcgx.ipcFd);
}

static void end(struct request *r, int status)
{
    hang_up(r);
    log_and_free(r, status);
}

void http_send_as(struct http_req *req, int status, const char *type)
{
    struct request *r = (struct request *)req;

    if (status == 200 && strcmp(req->method, "GET") == 0 &&
        answer_tag(&r->answer, http_header(req, "IF_NONE_MATCH"))) {
        status = 304;
        answer_clear(&r->answer);
    }
    answer_send(&r->answer, status, type, 0);
    end(r, status);
}

void http_send(struct http_req *req, int status)
{
    http_send_as(req, status, JSON_TYPE);
}

void http_abort(struct http_req *req, int status, size_t missing)
{
    struct request *r = (struct request *)req;

    if (status != 0)
        answer_send(&r->answer, status, JSON_TYPE, missing);
    else
        answer_end(&r->answer);
    end(r, status);
}

void http_send_text(struct http_req *req, int status, const char *text)
{
    http_puts(req, text);
    http_send_as(req, status, "text/plain; charset=utf-8");
}

void http_fail_with(struct http_req *req, const struct err *e, const struct http_member *members,
                    int count)
{
    int status = problems[e->kind].status;
    struct buf *b = buf_create(req->arena, 4096), *text = buf_create(req->arena, 1024);
    struct json_out o = {b, false};
    const char *detail = problems[e->kind].opaque
                             ? (e->kind == ERR_UNAVAILABLE ? "the service is not available at the "
                                                             "moment: try again shortly"
                                                           : "an error on our side")
                             : e->text;

    if (problems[e->kind].opaque)
        log_error(req->id, "failed", LOG_TEXT("error", e->text));
    if (status == 503 || status == 429)
        http_add_header(req, "Retry-After: %ld",
                        e->kind == ERR_RATE && e->wait_s > 0 ? e->wait_s : (long)RETRY_AFTER_S);
    json_begin(&o, NULL, '{');
    utf8_store(text, detail, strlen(detail)); /* a text may have been cut within a character */
    json_put_text(&o, "type", "about:blank");
    json_put_text(&o, "title", problems[e->kind].title);
    json_put_int(&o, "status", status);
    json_put_text(&o, "detail", buf_text(text));
    json_put_text(&o, "code", problems[e->kind].code);
    json_put_text(&o, "request_id", req->id);
    json_put_text(&o, "error", buf_text(text));
    for (int i = 0; i < count; i++)
        json_put_int(&o, members[i].name, members[i].value);
    json_end(&o, '}');
    answer_clear(&((struct request *)req)->answer);
    http_add(req, buf_text(b), b->len);
    http_send_as(req, status, "application/problem+json");
}

void http_fail(struct http_req *req, const struct err *e)
{
    http_fail_with(req, e, NULL, 0);
}

void http_stream_begin(struct http_req *req, const char *type)
{
    answer_stream(&((struct request *)req)->answer, type);
}

bool http_stream_write(struct http_req *req, const char *data, size_t len)
{
    return answer_stream_add(&((struct request *)req)->answer, data, len);
}

void http_stream_end(struct http_req *req, bool whole)
{
    struct request *r = (struct request *)req;

    answer_stream_flush(&r->answer);
    if (whole || r->answer.head)
        answer_end(&r->answer);
    end(r, 200);
}

bool http_wait(struct http_req *req, long ms)
{
    struct pollfd peer = {.fd = ((struct request *)req)->fcgx.ipcFd, .events = POLLRDHUP};
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    return !stopping && ppoll(&peer, 1, &time, &while_waiting) == 0;
}

/* ---- routes ---- */

const char *http_match(struct arena *a, const char *pattern, const char *path)
{
    size_t fixed = strcspn(pattern, ":");
    const char *tail = pattern + fixed + strcspn(pattern + fixed, "/");
    size_t len;

    if (pattern[fixed] == '\0')
        return strcmp(pattern, path) == 0 ? "" : NULL;
    if (strncmp(pattern, path, fixed) != 0)
        return NULL;
    len = strcspn(path + fixed, "/");
    if (len == 0 || strcmp(path + fixed + len, tail) != 0)
        return NULL;
    return arena_memdup(a, path + fixed, len);
}

/* What the route's pattern matches of the path; a path that another route names word for word is no
 * ":id". */
static const char *match(const struct http_route *routes, const struct http_route *r,
                         const struct http_req *req)
{
    if (strchr(r->pattern, ':') != NULL)
        for (; routes->handle != NULL; routes++)
            if (strcmp(routes->pattern, req->path) == 0)
                return NULL;
    return http_match(req->arena, r->pattern, req->path);
}

/* The methods that the path takes, for Allow. */
static const char *allowed(const struct http_route *routes, struct http_req *req)
{
    struct buf *b = buf_create(req->arena, 256);

    for (const struct http_route *r = routes; r->handle != NULL; r++) {
        if (match(routes, r, req) == NULL)
            continue;
        buf_printf(b, "%s%s%s", b->len ? ", " : "", r->method,
                   strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
    }
    return b->len ? buf_text(b) : NULL;
}

static const struct http_route *find(const struct http_route *routes, struct http_req *req,
                                     struct err *e)
{
    const char *allow;

    for (const struct http_route *r = routes; r->handle != NULL; r++) {
        const char *id;

        if (strcmp(r->method, req->method) != 0 || (id = match(routes, r, req)) == NULL)
            continue;
        req->param = *id ? arena_strdup(req->arena, id) : NULL;
        return r;
    }
    if ((allow = allowed(routes, req)) == NULL) {
        err_set(e, ERR_NOT_FOUND, "path: nothing here");
    } else {
        http_add_header(req, "Allow: %s, OPTIONS", allow);
        err_set(e, ERR_METHOD, "method: %s expected", allow);
    }
    return NULL;
}

/*
 * Whether a browser sends this on behalf of another site. A request with neither header is no
 * browser's, and passes; so does one with a bearer token, which no browser adds by itself.
 */
static bool is_foreign(const struct http_req *req)
{
    const char *site = http_header(req, "SEC_FETCH_SITE"), *origin = http_header(req, "ORIGIN");

    if (strcmp(param(private_half(req), "AUTH_SCHEME"), "bearer") == 0)
        return false;
    if (site != NULL)
        return strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
    return origin != NULL && strcmp(origin, param(private_half(req), "REQUEST_ORIGIN")) != 0;
}

void http_limit_users(long requests_per_second)
{
    user_requests.count = user_requests.burst = requests_per_second;
}

static bool check_rate(const struct http_req *req, struct err *e)
{
    long wait_s = rate_take(&user_requests, req->user);

    if (wait_s == 0)
        return true;
    err_set(e, ERR_RATE, "user: more than %ld requests a second, try again shortly",
            user_requests.count);
    e->wait_s = wait_s;
    return false;
}

static bool check_request(const struct http_route *route, struct http_req *req, struct err *e)
{
    if (!(route->flags & HTTP_OPEN) && *req->user == '\0')
        return err_set(e, ERR_UNAUTHORIZED, "user: nobody is signed in");
    if (strlen(req->user) > USER_MAX_BYTES || !utf8_valid(req->user, strlen(req->user)))
        return err_set(e, ERR_UNAUTHORIZED, "user: not a valid name");
    if (strcmp(req->method, "GET") != 0 && !(route->flags & HTTP_OPEN) && is_foreign(req))
        return err_set(e, ERR_FORBIDDEN, "origin: requests from other sites are refused");
    if (!(route->flags & HTTP_OPEN) && !check_rate(req, e))
        return false;
    if ((route->flags & HTTP_ADMIN) && !req->admin)
        return err_set(e, ERR_FORBIDDEN, "user: for admins alone");
    if (req->param != NULL && !uuid_valid(req->param))
        return err_set(e, ERR_INPUT, "id: UUID expected");
    for (char *p = req->param; p != NULL && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return parse_query((struct request *)req, e) &&
           check_query((struct request *)req, route->query, e);
}

static void dispatch(const struct http_route *routes, struct http_req *req)
{
    const struct http_route *route;
    const char *allow;
    struct err e;

    if (strcmp(req->method, "OPTIONS") == 0 && (allow = allowed(routes, req)) != NULL) {
        http_add_header(req, "Allow: %s, OPTIONS", allow);
        http_send(req, 204);
        return;
    }
    route = find(routes, req, &e);
    if (route == NULL || !check_request(route, req, &e))
        http_fail(req, &e);
    else
        route->handle(req);
}

/* ---- the loop ---- */

/* A parameter that outlives the connection, for the log. */
static const char *copy_param(struct request *r, const char *name)
{
    return arena_strdup(r->pub.arena, param(r, name));
}

static struct request *begin(struct request *r)
{
    bool head;

    clock_gettime(CLOCK_MONOTONIC, &r->begin);
    r->pub.arena = arena_create();
    r->pub.id = copy_param(r, "REQUEST_ID");
    r->pub.method = copy_param(r, "REQUEST_METHOD");
    head = strcmp(r->pub.method, "HEAD") == 0;
    if (head)
        r->pub.method = "GET";
    r->pub.path = copy_param(r, "DOCUMENT_URI");
    r->pub.user = copy_param(r, "REMOTE_USER");
    r->pub.admin = strcmp(param(r, "AUTH_ROLE"), "admin") == 0;
    answer_begin(&r->answer, r->pub.arena, r->pub.id, r->fcgx.ipcFd, r->fcgx.requestId, head);
    return r;
}

static uid_t own_uid;
static uid_t nginx_uid; /* as which its workers connect; our own if there is no such user */

static void find_nginx(void)
{
    const char *name = config_text("NGINX_USER");
    const struct passwd *user = getpwnam(name);

    own_uid = geteuid();
    nginx_uid = user ? user->pw_uid : own_uid;
    if (user == NULL)
        log_warn("-", "NGINX_USER: no such user", LOG_TEXT("name", name));
}

/* Whoever connects could say in any user's name what it likes: so who is it? unix(7) */
static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return false;
    if (peer.uid == 0 || peer.uid == own_uid || peer.uid == nginx_uid)
        return true;
    log_warn("-", "peer refused", LOG_INT("uid", peer.uid), LOG_INT("pid", peer.pid));
    return false;
}

/* A connection whose peer neither sends nor reads is given up after PEER_TIMEOUT_S. */
static int check_peer(int fd)
{
    const struct timeval limit = {.tv_sec = PEER_TIMEOUT_S};

    if (!is_trusted(fd)) {
        close(fd);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

static struct request *read_request(int fd)
{
    struct request *r;

    if (fd < 0)
        return NULL;
    r = calloc(1, sizeof *r);
    if (r == NULL)
        abort();
    FCGX_InitRequest(&r->fcgx, LISTEN_FD, FCGI_FAIL_ACCEPT_ON_INTR);
    r->fcgx.ipcFd = fd;         /* libfcgi takes an open connection for one kept alive, */
    r->fcgx.keepConnection = 1; /* and reads the next request from it */
    if (FCGX_Accept_r(&r->fcgx) < 0 || *param(r, "REQUEST_METHOD") == '\0') {
        FCGX_Free(&r->fcgx, 1);
        free(r);
        return NULL;
    }
    return begin(r);
}

static void stop(int signal)
{
    (void)signal;
    stopping = 1;
}

/* Signals are let through only while waiting, so that none falls between check and wait. */
static void take_signals(void)
{
    struct sigaction act = {.sa_handler = stop};
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGUSR1, &act, NULL);
}

/*
 * The next connection; -1: none, look again. ppoll() returns for one that is there without letting
 * a signal in. While one always is, as under load, none would ever arrive: so let them in first,
 * with nothing to wait for.
 */
static int accept_next(void)
{
    const struct timespec at_once = {0};
    struct pollfd listener = {.fd = LISTEN_FD, .events = POLLIN};
    int fd;

    ppoll(NULL, 0, &at_once, &while_waiting);
    if (stopping)
        return -1;
    fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        ppoll(&listener, 1, NULL, &while_waiting);
    return fd;
}

int http_run(const struct http_route *routes)
{
    struct request *r;

    setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "100", 1); /* 2,000 ms if it is not told */
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES);
    if (FCGX_Init() != 0 || fcntl(LISTEN_FD, F_SETFL, O_NONBLOCK) < 0 ||
        getsockopt(LISTEN_FD, SOL_SOCKET, SO_ACCEPTCONN, &(int){0}, &(socklen_t){sizeof(int)}) <
            0) {
        log_error("-", "standard input is no listening socket: start it with spawn-fcgi");
        return 1;
    }
    find_nginx();
    take_signals();
    rate_init(LISTEN_FD);
    log_info("-", "started");
    while (!stopping) {
        int fd = accept_next();

        if (fd >= 0 && (r = read_request(check_peer(fd))) != NULL)
            dispatch(routes, &r->pub);
    }
    log_info("-", "stopped");
    return 0;
}
