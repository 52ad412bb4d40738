#include "fcgi/http.h"

#include <fastcgi.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json.h"
#include "tests/unit/suites.h"

#define ID "f81d4fae-7dec-41d0-a765-00a0c91e6bf6"

static struct arena *a;

static void set_up(void)
{
    a = arena_create();
}

static void tear_down(void)
{
    arena_destroy(a);
}

/* ---- patterns ---- */

static const struct {
    const char *pattern, *path, *id; /* NULL: does not match */
} matches[] = {
    {"/api/traces", "/api/traces", ""},
    {"/api/traces", "/api/traces/", NULL},
    {"/api/traces", "/api/trace", NULL},
    {"/api/traces", "/api/tracesx", NULL},
    {"/api/traces", "/API/traces", NULL},
    {"/api/traces", "", NULL},
    {"/", "/", ""},
    {"/", "", NULL},
    {"/api/traces/:id", "/api/traces/" ID, ID},
    {"/api/traces/:id", "/api/traces/x", "x"}, /* that it is no UUID is said later */
    {"/api/traces/:id", "/api/traces/stats", "stats"},
    {"/api/traces/:id", "/api/traces/", NULL},
    {"/api/traces/:id", "/api/traces", NULL},
    {"/api/traces/:id", "/api/traces/" ID "/", NULL},
    {"/api/traces/:id", "/api/traces/" ID "/x", NULL},
    {"/api/traces/:id", "/api/traces//" ID, NULL},
    {"/api/traces/:id", "/api/lessons/" ID, NULL},
    {"/api/traces/:id", "", NULL},
    {"/api/lessons/:id/regenerate", "/api/lessons/" ID "/regenerate", ID},
    {"/api/lessons/:id/regenerate", "/api/lessons/" ID, NULL},
    {"/api/lessons/:id/regenerate", "/api/lessons/" ID "/", NULL},
    {"/api/lessons/:id/regenerate", "/api/lessons/" ID "/regenerate/", NULL},
    {"/api/lessons/:id/regenerate", "/api/lessons/" ID "/regenerat", NULL},
    {"/api/lessons/:id/regenerate", "/api/lessons//regenerate", NULL},
    {"/api/lessons/:id/regenerate", "/api/lessons/regenerate", NULL},
    {"/:id", "/x", "x"},
    {"/:id", "/", NULL},
};

START_TEST(a_pattern_matches_the_whole_path)
{
    ck_assert_pstr_eq(http_match(a, matches[_i].pattern, matches[_i].path), matches[_i].id);
}
END_TEST

/* ---- a responder, as nginx sees it ---- */

enum { PATIENCE_MS = 5000 };

static void show(struct http_req *req)
{
    struct json_out o = {buf_create(req->arena, 1 << 16), false};

    json_begin(&o, NULL, '{');
    json_put_text(&o, "id", req->id);
    json_put_text(&o, "method", req->method);
    json_put_text(&o, "path", req->path);
    json_put_text(&o, "user", req->user);
    json_put_bool(&o, "admin", req->admin);
    json_put_text(&o, "param", req->param);
    json_put_text(&o, "q", http_query(req, "q"));
    json_put_text(&o, "query", http_query_string(req));
    json_put_text(&o, "header", http_header(req, "X_TEST"));
    json_put_text(&o, "token", http_auth_token(req));
    json_end(&o, '}');
    http_puts(req, buf_text(o.buf));
    http_send(req, 200);
}

static void whole_number(struct http_req *req)
{
    struct err e;
    long n;

    if (!http_query_int(req, "n", -5, 200, 50, &n, &e)) {
        http_fail(req, &e);
        return;
    }
    http_puts(req, arena_printf(req->arena, "%ld", n));
    http_send(req, 200);
}

static void body(struct http_req *req)
{
    struct err e;
    struct json_object *tree = http_body(req, &e);

    if (tree == NULL) {
        http_fail(req, &e);
        return;
    }
    http_puts(req, json_print(tree));
    http_send(req, 201);
}

static void fails(struct http_req *req)
{
    struct err e;

    err_set(&e, (enum err_kind)strtol(http_query(req, "q"), NULL, 10), "thing: a \"reason\"");
    http_puts(req, "half an answer");
    http_fail(req, &e);
}

static void headers(struct http_req *req)
{
    http_add_header(req, "X-One: %d", 1);
    http_add_header(req, "X-Two: %s", http_query(req, "q"));
    http_add_header(req, "X-Three: %d", 3);
    http_send_text(req, 200, "text\n");
}

static void parts(struct http_req *req)
{
    http_add(req, "one,", 4);
    http_add(req, "", 0);
    http_puts(req, "two");
    http_send(req, 200);
}

static const char *const takes_q[] = {"q", NULL}, *const takes_n[] = {"n", NULL};
static const struct http_route routes[] = {
    {.method = "GET", .pattern = "/show", .handle = show, .query = takes_q},
    {.method = "DELETE", .pattern = "/show", .handle = show, .query = takes_q},
    {.method = "GET", .pattern = "/show/:id", .handle = show},
    {.method = "POST", .pattern = "/show/:id/again", .handle = show},
    {.method = "GET", .pattern = "/open", .handle = show, .flags = HTTP_OPEN},
    {.method = "POST", .pattern = "/open", .handle = show, .flags = HTTP_OPEN},
    {.method = "GET", .pattern = "/admins", .handle = show, .flags = HTTP_ADMIN},
    {.method = "GET", .pattern = "/number", .handle = whole_number, .query = takes_n},
    {.method = "POST", .pattern = "/body", .handle = body},
    {.method = "GET", .pattern = "/fail", .handle = fails, .query = takes_q},
    {.method = "GET", .pattern = "/headers", .handle = headers, .query = takes_q},
    {.method = "GET", .pattern = "/parts", .handle = parts},
    {0},
};

static struct sockaddr_un address;
static socklen_t address_len;
static pid_t responder;

/* An abstract socket: there is no file to leave behind. */
static int listen_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    address_len = sizeof(sa_family_t);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, address_len) < 0 || listen(fd, 16) < 0)
        abort();
    address_len = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &address_len);
    return fd;
}

static void start(void)
{
    int fd = listen_socket(), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    responder = fork();
    if (responder == 0) {
        dup2(fd, STDIN_FILENO);
        dup2(null, STDERR_FILENO);
        _exit(http_run(routes));
    }
    close(fd);
    close(null);
}

/* Its exit status; -1 if it had to be killed. */
static int finish(int signal)
{
    int status = -1;

    kill(responder, signal);
    for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
        if (waitpid(responder, &status, WNOHANG) == responder)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        poll(NULL, 0, 5);
    }
    kill(responder, SIGKILL);
    waitpid(responder, &status, 0);
    return -1;
}

static void stop(void)
{
    finish(SIGTERM);
}

static void put_record(struct buf *b, int type, const char *data, size_t len)
{
    const FCGI_Header h = {
        .version = FCGI_VERSION_1,
        .type = (unsigned char)type,
        .requestIdB0 = 1,
        .contentLengthB1 = (unsigned char)(len >> 8),
        .contentLengthB0 = (unsigned char)len,
    };

    buf_add(b, &h, sizeof h);
    buf_add(b, data, len);
}

static void put_length(struct buf *b, size_t len)
{
    const char four[] = {(char)(0x80 | len >> 24), (char)(len >> 16), (char)(len >> 8), (char)len};

    if (len < 128)
        buf_add(b, &four[3], 1);
    else
        buf_add(b, four, 4);
}

static void put_param(struct buf *b, const char *name, size_t name_len, const char *value)
{
    put_length(b, name_len);
    put_length(b, strlen(value));
    buf_add(b, name, name_len);
    buf_puts(b, value);
}

/* What a request is made of; extra are "NAME=value", which go before the usual ones. */
struct ask {
    const char *method, *path, *query;
    const char *extra[4];
    const char *body;
};

static struct buf *request_of(const struct ask *q)
{
    struct buf *params = buf_create(a, 1 << 16), *b = buf_create(a, 4 << 20);
    const FCGI_BeginRequestBody begin = {.roleB0 = FCGI_RESPONDER};

    for (int i = 0; i < 4 && q->extra[i] != NULL; i++) {
        size_t name = strcspn(q->extra[i], "=");

        put_param(params, q->extra[i], name, q->extra[i] + name + 1);
    }
#define PARAM(name, value) put_param(params, name, strlen(name), value)
    PARAM("REQUEST_ID", "4f3a");
    PARAM("REQUEST_METHOD", q->method);
    PARAM("DOCUMENT_URI", q->path);
    PARAM("QUERY_STRING", q->query ? q->query : "");
    PARAM("REMOTE_USER", "ann");
    PARAM("AUTH_ROLE", "user");
    PARAM("REQUEST_ORIGIN", "http://here:8080");
    PARAM("CONTENT_TYPE", q->body ? "application/json" : "");
    PARAM("CONTENT_LENGTH", q->body ? arena_printf(a, "%zu", strlen(q->body)) : "");
#undef PARAM
    put_record(b, FCGI_BEGIN_REQUEST, (const char *)&begin, sizeof begin);
    put_record(b, FCGI_PARAMS, buf_text(params), params->len);
    put_record(b, FCGI_PARAMS, "", 0);
    for (size_t at = 0, len = q->body ? strlen(q->body) : 0; at < len; at += 30000)
        put_record(b, FCGI_STDIN, q->body + at, len - at < 30000 ? len - at : 30000);
    put_record(b, FCGI_STDIN, "", 0);
    return b;
}

static int connect_responder(void)
{
    const struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, address_len), 0);
    return fd;
}

static void receive(int fd, void *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t more = read(fd, (char *)to + got, len - got);

        ck_assert_msg(more > 0, "the answer is cut off");
        got += (size_t)more;
    }
}

/* The whole answer: status line, headers, body. */
static const char *answer_to(const struct ask *q)
{
    struct buf *request = request_of(q), *answer = buf_create(a, 4 << 20);
    int fd = connect_responder(), type;

    ck_assert_int_eq(send(fd, request->data, request->len, MSG_NOSIGNAL), (ssize_t)request->len);
    do {
        FCGI_Header h;
        char content[65536 + 256];
        size_t len;

        receive(fd, &h, sizeof h);
        type = h.type;
        len = (size_t)(h.contentLengthB1 << 8 | h.contentLengthB0);
        receive(fd, content, len + h.paddingLength);
        if (type == FCGI_STDOUT)
            buf_add(answer, content, len);
    } while (type != FCGI_END_REQUEST);
    close(fd);
    return buf_text(answer);
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    ck_assert_ptr_nonnull(end);
    return end + 4;
}

static void assert_status(const char *answer, int status)
{
    const char *line = arena_printf(a, "Status: %d\r\n", status);

    ck_assert_msg(strncmp(answer, line, strlen(line)) == 0, "not %d: %s", status, answer);
}

#define LONG_NAME                                                                                  \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"  \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"  \
    "0123456789012345678901234567890123456789012345678901234567890123456789012"

#define LONG_VALUE LONG_NAME LONG_NAME LONG_NAME LONG_NAME LONG_NAME

/* A request, its status, and what the answer holds. */
static const struct {
    struct ask ask;
    int status;
    const char *holds;
} asked[] = {
    /* who asks, and what */
    {{"GET", "/show", NULL, {0}, NULL},
     200,
     "{\"id\":\"4f3a\",\"method\":\"GET\",\"path\":\"/show\",\"user\":\"ann\",\"admin\":false,"
     "\"param\":null,\"q\":null,\"query\":\"\",\"header\":null,\"token\":null}"},
    {{"GET", "/show", NULL, {"AUTH_ROLE=admin"}, NULL}, 200, "\"admin\":true"},
    {{"GET", "/show", NULL, {"AUTH_ROLE=Admin"}, NULL}, 200, "\"admin\":false"},
    {{"GET", "/show", NULL, {"AUTH_ROLE="}, NULL}, 200, "\"admin\":false"},
    {{"GET", "/show", NULL, {"HTTP_X_TEST=x"}, NULL}, 200, "\"header\":\"x\""},
    {{"GET", "/show", NULL, {"HTTP_X_TEST="}, NULL}, 200, "\"header\":null"},
    {{"GET", "/show", NULL, {"HTTP_REMOTE_USER=eve", "HTTP_AUTH_ROLE=admin"}, NULL},
     200,
     "\"user\":\"ann\",\"admin\":false"},
    {{"GET", "/show", NULL, {"REMOTE_USER="}, NULL}, 401, "user: nobody is signed in"},
    {{"GET", "/show", NULL, {"REMOTE_USER=\xFF"}, NULL}, 401, "user: not a valid name"},
    {{"GET", "/show", NULL, {"REMOTE_USER=" LONG_NAME}, NULL}, 200, LONG_NAME},
    {{"GET", "/show", NULL, {"REMOTE_USER=" LONG_NAME "x"}, NULL}, 401, "user: not a valid name"},
    {{"GET", "/open", NULL, {"REMOTE_USER="}, NULL}, 200, "\"user\":\"\""},
    /* where */
    {{"GET", "/show/" ID, NULL, {0}, NULL}, 200, "\"param\":\"" ID "\""},
    {{"GET", "/show/F81D4FAE-7DEC-41D0-A765-00A0C91E6BF6", NULL, {0}, NULL},
     200,
     "\"param\":\"" ID "\""},
    {{"GET", "/show/x", NULL, {0}, NULL}, 400, "id: UUID expected"},
    {{"GET", "/show/" ID "x", NULL, {0}, NULL}, 400, "id: UUID expected"},
    {{"POST", "/show/" ID "/again", NULL, {0}, NULL}, 200, "\"param\":\"" ID "\""},
    {{"GET", "/", NULL, {0}, NULL}, 404, "path: nothing here"},
    {{"GET", "/show/", NULL, {0}, NULL}, 404, "path: nothing here"},
    {{"OPTIONS", "/nowhere", NULL, {0}, NULL}, 404, "path: nothing here"},
    {{"POST", "/show", NULL, {0}, NULL}, 405, "Allow: GET, HEAD, DELETE, OPTIONS\r\n"},
    {{"PUT", "/show", NULL, {0}, NULL}, 405, "method: GET, HEAD, DELETE expected"},
    {{"get", "/show", NULL, {0}, NULL}, 405, "Allow: "},
    {{"GET", "/show/" ID "/again", NULL, {0}, NULL}, 405, "Allow: POST, OPTIONS\r\n"},
    {{"OPTIONS", "/show", NULL, {0}, NULL}, 204, "Allow: GET, HEAD, DELETE, OPTIONS\r\n"},
    /* the query */
    {{"GET", "/show", "q=x", {0}, NULL}, 200, "\"q\":\"x\",\"query\":\"q=x\""},
    {{"GET", "/show", "q=", {0}, NULL}, 200, "\"q\":\"\""},
    {{"GET", "/show", "q", {0}, NULL}, 200, "\"q\":\"\""},
    {{"GET", "/show", "&&q=x&&", {0}, NULL}, 200, "\"q\":\"x\""},
    {{"GET", "/show", "q=a=b", {0}, NULL}, 200, "\"q\":\"a=b\""},
    {{"GET", "/show", "q=a+b%20c%2Bd%26", {0}, NULL}, 200, "\"q\":\"a b c+d&\""},
    {{"GET", "/show", "q=%E5%85%89%c3%a9", {0}, NULL}, 200, "\"q\":\"光é\""},
    {{"GET", "/show", "%71=x", {0}, NULL}, 200, "\"q\":\"x\""},
    {{"GET", "/show", "q=%", {0}, NULL}, 400, "q: badly encoded"},
    {{"GET", "/show", "q=%4", {0}, NULL}, 400, "q: badly encoded"},
    {{"GET", "/show", "q=%GG", {0}, NULL}, 400, "q: badly encoded"},
    {{"GET", "/show", "q=%00", {0}, NULL}, 400, "q: badly encoded"},
    {{"GET", "/show", "q=%FF", {0}, NULL}, 400, "q: badly encoded"},
    {{"GET", "/show", "q=%C3", {0}, NULL}, 400, "q: badly encoded"},
    {{"GET", "/show", "%FF=x", {0}, NULL}, 400, "query: badly encoded"},
    {{"GET", "/show", "q=1&q=2", {0}, NULL}, 400, "q: given twice"},
    {{"GET", "/show", "q=1&%71=2", {0}, NULL}, 400, "q: given twice"},
    {{"GET", "/show", "x=1", {0}, NULL}, 400, "x: unknown query parameter"},
    {{"GET", "/show", "Q=1", {0}, NULL}, 400, "Q: unknown query parameter"},
    {{"GET", "/show", "=1", {0}, NULL}, 400, ": unknown query parameter"},
    {{"GET", "/show/" ID, "q=1", {0}, NULL}, 400, "q: unknown query parameter"},
    {{"GET",
      "/show",
      "a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&A&B&C&D&E&F&G&H&I&J&K&L&M&N&O&P&Q",
      {0},
      NULL},
     400,
     "query: more than 32 parameters"},
    {{"GET", "/number", NULL, {0}, NULL}, 200, "\r\n\r\n50"},
    {{"GET", "/number", "n=0", {0}, NULL}, 200, "\r\n\r\n0"},
    {{"GET", "/number", "n=200", {0}, NULL}, 200, "\r\n\r\n200"},
    {{"GET", "/number", "n=007", {0}, NULL}, 200, "\r\n\r\n7"},
    {{"GET", "/number", "n=201", {0}, NULL}, 400, "n: whole number from -5 to 200 expected"},
    {{"GET", "/number", "n=-1", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=+1", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=%201", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=1%20", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=1.0", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=0x10", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=abc", {0}, NULL}, 400, "n: whole number"},
    {{"GET", "/number", "n=99999999999999999999", {0}, NULL}, 400, "n: whole number"},
    /* the body */
    {{"POST", "/body", NULL, {0}, "{\"a\": [1, \"光\"]}"}, 201, "\r\n\r\n{\"a\":[1,\"光\"]}"},
    {{"POST", "/body", NULL, {"CONTENT_TYPE=application/json; charset=utf-8"}, "{}"}, 201, "{}"},
    {{"POST", "/body", NULL, {"CONTENT_TYPE=Application/JSON"}, "{}"}, 201, "{}"},
    {{"POST", "/body", NULL, {"CONTENT_TYPE="}, "{}"}, 415, "application/json expected"},
    {{"POST", "/body", NULL, {"CONTENT_TYPE=text/plain"}, "{}"}, 415, "application/json expected"},
    {{"POST", "/body", NULL, {"CONTENT_TYPE=application/jsonp"}, "{}"}, 415, "json expected"},
    {{"POST", "/body", NULL, {"CONTENT_TYPE=application/json"}, NULL}, 400, "json: empty body"},
    {{"POST", "/body", NULL, {0}, "[]"}, 400, "body: JSON object expected"},
    {{"POST", "/body", NULL, {0}, "\"x\""}, 400, "body: JSON object expected"},
    {{"POST", "/body", NULL, {0}, "{"}, 400, "json: "},
    {{"POST", "/body", NULL, {0}, "{\"a\":1,\"a\":2}"}, 400, "a: given twice"},
    {{"POST", "/body", NULL, {0}, "{\"a\":\"\xFF\"}"}, 400, "json: not valid UTF-8"},
    {{"POST", "/body", NULL, {"CONTENT_LENGTH=3"}, "{}"}, 400, "body: shorter than announced"},
    {{"POST", "/body", NULL, {"CONTENT_LENGTH=x"}, "{}"}, 400, "content-length: "},
    {{"POST", "/body", NULL, {"CONTENT_LENGTH=-1"}, "{}"}, 400, "content-length: "},
    {{"POST", "/body", NULL, {"CONTENT_LENGTH=1048577"}, "{}"}, 413, "body: at most 1048576 bytes"},
    {{"POST", "/body", NULL, {"CONTENT_LENGTH=99999999999999999999"}, "{}"}, 400, "content-length"},
    /* who sends it */
    {{"DELETE", "/show", NULL, {0}, NULL}, 200, "\"method\":\"DELETE\""},
    {{"DELETE", "/show", NULL, {"HTTP_ORIGIN=http://here:8080"}, NULL}, 200, "DELETE"},
    {{"DELETE", "/show", NULL, {"HTTP_ORIGIN=http://there"}, NULL}, 403, "from other sites"},
    {{"DELETE", "/show", NULL, {"HTTP_ORIGIN=https://here:8080"}, NULL}, 403, "from other sites"},
    {{"DELETE", "/show", NULL, {"HTTP_ORIGIN=http://here:8080.evil"}, NULL}, 403, "other sites"},
    {{"DELETE", "/show", NULL, {"HTTP_ORIGIN=null"}, NULL}, 403, "from other sites"},
    {{"DELETE", "/show", NULL, {"HTTP_SEC_FETCH_SITE=same-origin"}, NULL}, 200, "DELETE"},
    {{"DELETE", "/show", NULL, {"HTTP_SEC_FETCH_SITE=none"}, NULL}, 200, "DELETE"},
    {{"DELETE", "/show", NULL, {"HTTP_SEC_FETCH_SITE=same-site"}, NULL}, 403, "other sites"},
    {{"DELETE", "/show", NULL, {"HTTP_SEC_FETCH_SITE=cross-site"}, NULL}, 403, "other sites"},
    {{"DELETE",
      "/show",
      NULL,
      {"HTTP_SEC_FETCH_SITE=cross-site", "HTTP_ORIGIN=http://here:8080"},
      NULL},
     403,
     "from other sites"},
    {{"GET", "/show", NULL, {"HTTP_SEC_FETCH_SITE=cross-site"}, NULL}, 200, "GET"},
    {{"DELETE", "/show", NULL, {"AUTH_SCHEME=bearer", "HTTP_ORIGIN=http://there"}, NULL},
     200,
     "DELETE"},
    {{"DELETE", "/show", NULL, {"AUTH_SCHEME=other", "HTTP_ORIGIN=http://there"}, NULL},
     403,
     "from other sites"},
    {{"DELETE", "/show", NULL, {"HTTP_AUTH_SCHEME=bearer", "HTTP_ORIGIN=http://there"}, NULL},
     403,
     "from other sites"},
    {{"GET", "/show", NULL, {"AUTH_TOKEN=lt_x"}, NULL}, 200, "\"token\":\"lt_x\""},
    {{"GET", "/show", NULL, {"HTTP_AUTH_TOKEN=lt_x"}, NULL}, 200, "\"token\":null"},
    {{"GET", "/admins", NULL, {0}, NULL}, 403, "user: for admins alone"},
    {{"GET", "/admins", NULL, {"AUTH_ROLE=Admin"}, NULL}, 403, "user: for admins alone"},
    {{"GET", "/admins", NULL, {"AUTH_ROLE=admin"}, NULL}, 200, "\"admin\":true"},
    {{"GET", "/admins", NULL, {"AUTH_ROLE=admin", "REMOTE_USER="}, NULL}, 401, "nobody"},
    {{"POST", "/open", NULL, {"HTTP_ORIGIN=http://there", "REMOTE_USER="}, NULL}, 200, "POST"},
    /* the answer */
    {{"GET", "/show", NULL, {0}, NULL},
     200,
     "Content-Type: application/json; charset=utf-8\r\nContent-Length: "},
    {{"GET", "/parts", NULL, {0}, NULL}, 200, "Content-Length: 7\r\n\r\none,two"},
    {{"GET", "/headers", "q=x", {0}, NULL}, 200, "X-One: 1\r\nX-Two: x\r\nX-Three: 3\r\n"},
    {{"GET", "/headers", "q=x", {0}, NULL}, 200, "text/plain; charset=utf-8\r\nContent-Length: 5"},
    {{"GET", "/headers", "q=x%0D%0AX-Evil:1", {0}, NULL}, 200, "X-One: 1\r\nX-Three: 3\r\n"},
    {{"GET", "/headers", "q=" LONG_VALUE, {0}, NULL},
     200,
     "X-Two: " LONG_VALUE "\r\nX-Three: 3\r\n"},
    {{"GET", "/headers", "q=x%0AX-Evil:1", {0}, NULL}, 200, "X-One: 1\r\nX-Three: 3\r\n"},
};

START_TEST(answers)
{
    const char *answer = answer_to(&asked[_i].ask);

    assert_status(answer, asked[_i].status);
    ck_assert_msg(strstr(answer, asked[_i].holds) != NULL, "no %s: %s", asked[_i].holds, answer);
    ck_assert_ptr_null(strstr(answer, "\nX-Evil"));
}
END_TEST

START_TEST(takes_a_body_of_a_mebibyte)
{
    struct buf *json = buf_create(a, 2 << 20);

    buf_puts(json, "{\"a\":\"");
    while (json->len < (1 << 20) - 2)
        buf_puts(json, "x");
    buf_puts(json, "\"}");
    assert_status(answer_to(&(struct ask){"POST", "/body", .body = buf_text(json)}), 201);
    buf_puts(json, " ");
    assert_status(answer_to(&(struct ask){"POST", "/body", .body = buf_text(json)}), 413);
}
END_TEST

START_TEST(head_is_a_get_without_the_body)
{
    const char *head = answer_to(&(struct ask){"HEAD", "/parts", .query = NULL});
    const char *get = answer_to(&(struct ask){"GET", "/parts", .query = NULL});

    ck_assert_str_eq(body_of(head), "");
    ck_assert_str_eq(body_of(get), "one,two");
    ck_assert_int_eq(strncmp(get, head, strlen(head)), 0);
}
END_TEST

START_TEST(an_answer_of_nothing_does_not_describe_it)
{
    const char *answer = answer_to(&(struct ask){"OPTIONS", "/show", .query = NULL});

    assert_status(answer, 204);
    ck_assert_ptr_null(strstr(answer, "Content-"));
    ck_assert_str_eq(body_of(answer), "");
}
END_TEST

/* What If-None-Match says, with %s for the tag, and the status. */
static const struct {
    const char *match;
    int status;
} tags[] = {
    {"W/%s", 304},        {"%s", 304},    {"*", 304}, {"\"x\", W/%s", 304},
    {"W/%s, \"x\"", 304}, {"\"x\"", 200}, {"", 200},  {"W/\"0123456789abcdef\"", 200},
};

START_TEST(an_answer_that_the_client_has_is_not_sent)
{
    const char *answer = answer_to(&(struct ask){"GET", "/parts", .query = NULL});
    const char *tag = strstr(answer, "ETag: W/") + strlen("ETag: W/"), *match = tags[_i].match;
    const char *place = strstr(match, "%s");

    tag = arena_memdup(a, tag, strcspn(tag, "\r"));
    ck_assert_uint_eq(strlen(tag), 18);
    if (place != NULL)
        match = arena_printf(a, "%.*s%s%s", (int)(place - match), match, tag, place + 2);
    answer = answer_to(
        &(struct ask){"GET", "/parts", .extra = {arena_printf(a, "HTTP_IF_NONE_MATCH=%s", match)}});
    assert_status(answer, tags[_i].status);
    ck_assert_str_eq(body_of(answer), tags[_i].status == 304 ? "" : "one,two");
    ck_assert_ptr_nonnull(strstr(answer, tag));
}
END_TEST

START_TEST(another_answer_has_another_tag)
{
    const char *one = answer_to(&(struct ask){"GET", "/number", .query = "n=1"});
    const char *two = answer_to(&(struct ask){"GET", "/number", .query = "n=2"});

    ck_assert_int_ne(strncmp(strstr(one, "ETag: "), strstr(two, "ETag: "), 26), 0);
}
END_TEST

#define OUR_SIDE "an error on our side"
#define AWAY "the service is not available at the moment: try again shortly"

static const struct {
    enum err_kind kind;
    int status;
    const char *code, *title, *detail; /* NULL: as it was said */
} problems[] = {
    {ERR_NONE, 500, "internal", "Internal Server Error", OUR_SIDE},
    {ERR_INPUT, 400, "invalid_request", "Bad Request", NULL},
    {ERR_UNAUTHORIZED, 401, "unauthorized", "Unauthorized", NULL},
    {ERR_FORBIDDEN, 403, "forbidden", "Forbidden", NULL},
    {ERR_NOT_FOUND, 404, "not_found", "Not Found", NULL},
    {ERR_METHOD, 405, "method_not_allowed", "Method Not Allowed", NULL},
    {ERR_CONFLICT, 409, "conflict", "Conflict", NULL},
    {ERR_TOO_LARGE, 413, "too_large", "Content Too Large", NULL},
    {ERR_MEDIA_TYPE, 415, "unsupported_media_type", "Unsupported Media Type", NULL},
    {ERR_UNPROCESSABLE, 422, "unprocessable", "Unprocessable Content", NULL},
    {ERR_RATE, 429, "rate_limited", "Too Many Requests", NULL},
    {ERR_DATA, 500, "internal", "Internal Server Error", OUR_SIDE},
    {ERR_INTERNAL, 500, "internal", "Internal Server Error", OUR_SIDE},
    {ERR_BUSY, 503, "unavailable", "Service Unavailable", NULL},
    {ERR_UNAVAILABLE, 503, "unavailable", "Service Unavailable", AWAY},
};

START_TEST(a_failure_is_a_problem_document)
{
    static const char *const members[] = {"type", "title",      "status", "detail",
                                          "code", "request_id", "error",  NULL};
    const char *detail = problems[_i].detail ? problems[_i].detail : "thing: a \"reason\"";
    const char *answer = answer_to(
        &(struct ask){"GET", "/fail", .query = arena_printf(a, "q=%d", (int)problems[_i].kind)});
    struct json_object *tree;
    int64_t status;
    struct err e;

    assert_status(answer, problems[_i].status);
    ck_assert_ptr_nonnull(strstr(answer, "Content-Type: application/problem+json\r\n"));
    ck_assert_int_eq(strstr(answer, "Retry-After: ") != NULL,
                     problems[_i].status == 503 || problems[_i].status == 429);
    tree = json_parse_client(a, body_of(answer), strlen(body_of(answer)), &e);
    ck_assert_ptr_null(json_unknown_member(tree, members));
    ck_assert_pstr_eq(json_text(json_at(tree, "type", NULL)), "about:blank");
    ck_assert_pstr_eq(json_text(json_at(tree, "title", NULL)), problems[_i].title);
    ck_assert(json_int(json_at(tree, "status", NULL), &status));
    ck_assert_int_eq(status, problems[_i].status);
    ck_assert_pstr_eq(json_text(json_at(tree, "detail", NULL)), detail);
    ck_assert_pstr_eq(json_text(json_at(tree, "error", NULL)), detail);
    ck_assert_pstr_eq(json_text(json_at(tree, "code", NULL)), problems[_i].code);
    ck_assert_pstr_eq(json_text(json_at(tree, "request_id", NULL)), "4f3a");
}
END_TEST

START_TEST(every_kind_of_failure_is_tested)
{
    ck_assert_uint_eq(sizeof problems / sizeof *problems, ERR_KINDS);
}
END_TEST

START_TEST(outlives_peers_that_say_nothing_or_nonsense)
{
    int fd = connect_responder();

    close(fd);
    fd = connect_responder();
    ck_assert_int_eq(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    close(fd);
    fd = connect_responder();
    ck_assert_int_gt(send(fd, request_of(&asked[0].ask)->data, 20, MSG_NOSIGNAL), 0);
    close(fd);
    assert_status(answer_to(&asked[0].ask), 200);
}
END_TEST

/* ---- who may connect ---- */

enum { NGINX_UID = 33, OTHER_UID = 65534 };

/* Whether a peer of this user is answered. */
static bool is_answered(uid_t uid)
{
    struct buf *request = request_of(&asked[0].ask);
    pid_t peer = fork();
    int status;

    if (peer == 0) {
        char byte;
        int fd;

        if (setresuid(uid, uid, uid) != 0)
            _exit(2);
        fd = connect_responder();
        (void)send(fd, request->data, request->len, MSG_NOSIGNAL);
        _exit(read(fd, &byte, 1) == 1 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(peer, &status, 0), peer);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status) == 0;
}

START_TEST(listens_to_nginx_and_root_and_itself_alone)
{
    if (geteuid() != 0)
        return; /* nobody else can be played */
    ck_assert(is_answered(0));
    ck_assert(is_answered(NGINX_UID));
    ck_assert(!is_answered(OTHER_UID));
    assert_status(answer_to(&asked[0].ask), 200);
}
END_TEST

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};

START_TEST(ends_well_when_told_to)
{
    pid_t shared = responder;
    struct sockaddr_un before = address;
    socklen_t before_len = address_len;

    start();
    assert_status(answer_to(&asked[0].ask), 200);
    ck_assert_int_eq(finish(signals[_i]), 0);
    responder = shared;
    address = before;
    address_len = before_len;
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_http(void)
{
    Suite *s = suite_create("http");
    TCase *t = tcase_create("all");

    tcase_add_unchecked_fixture(t, start, stop);
    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, a_pattern_matches_the_whole_path, matches);
    EACH(t, answers, asked);
    tcase_add_test(t, takes_a_body_of_a_mebibyte);
    tcase_add_test(t, head_is_a_get_without_the_body);
    tcase_add_test(t, an_answer_of_nothing_does_not_describe_it);
    EACH(t, an_answer_that_the_client_has_is_not_sent, tags);
    tcase_add_test(t, another_answer_has_another_tag);
    EACH(t, a_failure_is_a_problem_document, problems);
    tcase_add_test(t, every_kind_of_failure_is_tested);
    tcase_add_test(t, outlives_peers_that_say_nothing_or_nonsense);
    tcase_add_test(t, listens_to_nginx_and_root_and_itself_alone);
    EACH(t, ends_well_when_told_to, signals);
    suite_add_tcase(s, t);
    return s;
}
