/*
 * Whole requests to the traces and the lessons API, over a socket and libfcgi, up to the database.
 *
 * Input: parameters as nginx gives them, one NAME=value a line, an empty line, the body. ROWS= is
 * how many rows each statement finds, "away" that PostgreSQL is.
 * Asserted: one well-formed answer, none but our headers in it, JSON that is; what reaches the
 * database is storable, in the name of REMOTE_USER; without one, or from another site, nothing
 * does, and of what is for admins nothing for others.
 *
 * Covers: fcgi/http.c fcgi/answer.c fcgi/record.c fcgi/api.c fcgi/traces/query.c fcgi/traces/main.c
 * fcgi/lessons/main.c common/audit.c common/api_token.c
 */
#define http_run http_run_until_stopped
#include "fcgi/http.c" /* to dispatch one request at a time */
#undef http_run

#include <sys/un.h>

#include "common/config.h"
#include "common/page.h"
#include "tests/fuzz/lib/fuzz.h"
#include "tests/fuzz/lib/log.c"

int http_run(const struct http_route *routes);
int traces_main(int argc, char *argv[]);
int lessons_main(int argc, char *argv[]);

enum {
    PARAMETERS_MAX_BYTES = 30000,
    ANSWER_MAX_BYTES = 1 << 18,
    RECORD_HEADER = 8,
    ROWS_MAX = 2 * PAGE_LIMIT_MAX,
};

static const struct http_route *traces, *lessons;
static struct sockaddr_un address;
static socklen_t address_size = sizeof address;

int http_run(const struct http_route *routes)
{
    *(traces == NULL ? &traces : &lessons) = routes;
    return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char *arguments[] = {(char[]){"fuzz"}, NULL};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)argc;
    (void)argv;
    setenv("DATABASE_API_URL", "host=none", 1);
    setenv("DATABASE_ADMIN_URL", "host=none", 1);
    setenv("USER_REQUESTS_PER_SECOND", "0", 1);
    setenv("USER_POSTS_PER_MINUTE", "0", 1);
    must(traces_main(1, arguments) == 0 && lessons_main(1, arguments) == 0);
    find_nginx();
    must(bind(fd, (struct sockaddr *)&(struct sockaddr_un){.sun_family = AF_UNIX},
              sizeof(sa_family_t)) == 0); /* the kernel gives a name */
    must(listen(fd, 1) == 0 && dup2(fd, LISTEN_FD) == LISTEN_FD);
    must(getsockname(fd, (struct sockaddr *)&address, &address_size) == 0);
    stop(SIGTERM); /* before it begins: what it takes to begin, and nothing more */
    must(http_run_until_stopped(traces) == 0);
    stopping = 0;
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, &while_waiting, NULL);
    return 0;
}

/* ---- nginx's side ---- */

struct sent { /* what the request says, as far as it matters to what is asserted */
    const char *method, *path, *user, *role, *scheme;
    bool foreign;
};

static void add_record(struct buf *out, int type, const char *data, size_t len)
{
    buf_add(out, (const char[]){1, (char)type, 0, 1, (char)(len >> 8), (char)len, 0, 0},
            RECORD_HEADER);
    buf_add(out, data, len);
}

static void add_length(struct buf *b, size_t len)
{
    if (len < 128)
        buf_add(b, (const char[]){(char)len}, 1);
    else
        buf_add(b, (const char[]){(char)0x80, (char)(len >> 16), (char)(len >> 8), (char)len}, 4);
}

static void add_parameter(struct buf *b, const char *name, size_t name_len, const char *value,
                          size_t len)
{
    add_length(b, name_len);
    add_length(b, len);
    buf_add(b, name, name_len);
    buf_add(b, value, len);
}

static bool is(struct fuzz_part name, const char *word)
{
    return name.len == strlen(word) && memcmp(name.data, word, name.len) == 0;
}

/* libfcgi gives the first of two with one name. */
static void note(struct arena *a, struct sent *s, struct fuzz_part name, struct fuzz_part value)
{
    const struct {
        const char *name, **text;
    } noted[] = {
        {"REQUEST_METHOD", &s->method}, {"DOCUMENT_URI", &s->path},  {"REMOTE_USER", &s->user},
        {"AUTH_ROLE", &s->role},        {"AUTH_SCHEME", &s->scheme},
    };

    for (size_t i = 0; i < sizeof noted / sizeof *noted; i++)
        if (is(name, noted[i].name) && *noted[i].text == NULL)
            *noted[i].text = arena_memdup(a, value.data, value.len);
    if (is(name, "HTTP_SEC_FETCH_SITE") && is(value, "cross-site"))
        s->foreign = true;
}

/* Our own parameters are left out: REQUEST_ID, which is nginx's, and ROWS. */
static struct sent read_parameters(struct arena *a, struct fuzz_part *rest, struct buf *out)
{
    struct sent s = {0};
    bool length = false;
    struct fuzz_part line;

    fuzz_db = (struct fuzz_db){.rows = 1};
    while (fuzz_line(rest, &line) && line.len > 0) {
        struct fuzz_part value = line, name = fuzz_until(&value, "=");

        if (is(name, "ROWS")) {
            fuzz_db.fails = is(value, "away");
            fuzz_db.rows = (int)strtoul(arena_memdup(a, value.data, value.len), NULL, 10);
            fuzz_db.rows %= ROWS_MAX;
        } else if (!is(name, "REQUEST_ID")) {
            length = length || is(name, "CONTENT_LENGTH");
            note(a, &s, name, value);
            add_parameter(out, name.data, name.len, value.data, value.len);
        }
    }
    add_parameter(out, "REQUEST_ID", 10, "0f", 2);
    if (!length && rest->len > 0) {
        const char *text = arena_printf(a, "%zu", rest->len);

        add_parameter(out, "CONTENT_LENGTH", 14, text, strlen(text));
    }
    return s;
}

static int send_request(struct arena *a, const struct buf *parameters, struct fuzz_part body)
{
    struct buf *out = buf_create(a, 4 * PARAMETERS_MAX_BYTES);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    add_record(out, 1, (const char[]){0, 1, 0, 0, 0, 0, 0, 0}, 8);
    add_record(out, 4, buf_text(parameters), parameters->len);
    add_record(out, 4, "", 0);
    if (body.len > 0)
        add_record(out, 5, body.data, body.len);
    add_record(out, 5, "", 0);
    must(connect(fd, (struct sockaddr *)&address, address_size) == 0);
    must(write(fd, buf_text(out), out->len) == (ssize_t)out->len);
    must(shutdown(fd, SHUT_WR) == 0);
    return fd;
}

/* All that was answered on stdout. */
static struct buf *read_answer(struct arena *a, int fd)
{
    static char bytes[ANSWER_MAX_BYTES];
    struct buf *out = buf_create(a, ANSWER_MAX_BYTES);
    size_t len = 0, at = 0;
    ssize_t n;

    while ((n = read(fd, bytes + len, sizeof bytes - len)) > 0)
        len += (size_t)n;
    close(fd);
    while (at + RECORD_HEADER <= len) {
        const uint8_t *h = (const uint8_t *)bytes + at;
        size_t size = (size_t)h[4] << 8 | h[5];

        must(at + RECORD_HEADER + size + h[6] <= len);
        if (h[1] == 6)
            buf_add(out, bytes + at + RECORD_HEADER, size);
        at += RECORD_HEADER + size + h[6];
    }
    return out;
}

/* ---- what must hold ---- */

static bool is_ours(const char *line)
{
    static const char *const names[] = {"Status: ",
                                        "Content-Type: ",
                                        "Content-Length: ",
                                        "ETag: W/\"",
                                        "Link: <",
                                        "Location: /api/lessons/",
                                        "Allow: ",
                                        "Retry-After: ",
                                        "X-Accel-Buffering: no",
                                        "Content-Disposition: attachment",
                                        "X-Auth-User: ",
                                        "X-Auth-Role: "};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void check_answer(struct arena *a, const struct sent *s, const struct buf *answer)
{
    struct fuzz_part rest = {buf_text(answer), answer->len}, head = fuzz_until(&rest, "\r\n\r\n");
    bool json = false, head_only = s->method && strcmp(s->method, "HEAD") == 0;
    long status = 200, length = -1;
    struct err e;

    must(fuzz_storable(head.data, head.len));
    while (head.len > 0) {
        struct fuzz_part line = fuzz_until(&head, "\r\n");
        const char *text = arena_memdup(a, line.data, line.len);

        must(is_ours(text) && strchr(text, '\n') == NULL && strchr(text, '\r') == NULL);
        if (strncmp(text, "Status: ", 8) == 0)
            status = strtol(text + 8, NULL, 10);
        if (strncmp(text, "Content-Length: ", 16) == 0)
            length = strtol(text + 16, NULL, 10);
        json = json || strstr(text, ": application/json") || strstr(text, "problem+json");
    }
    must(status >= 200 && status < 600);
    must(length < 0 || head_only || length == (long)rest.len);
    must(rest.len == 0 || (!head_only && status != 304 && status != 204));
    must(!json || rest.len == 0 || json_parse_client(a, rest.data, rest.len, &e) != NULL);
}

static void check_database(const struct sent *s)
{
    bool api = s->path && strncmp(s->path, "/api/", 5) == 0;
    bool reads = strcmp(s->method, "GET") == 0 || strcmp(s->method, "HEAD") == 0;

    if (api && (s->user == NULL || *s->user == '\0'))
        must(fuzz_db.calls == 0);
    if (api && s->foreign && !reads && (s->scheme == NULL || strcmp(s->scheme, "bearer") != 0))
        must(fuzz_db.calls == 0);
    if (api && strcmp(s->path, "/api/audit") == 0 &&
        (s->role == NULL || strcmp(s->role, "admin") != 0))
        must(fuzz_db.calls == 0);
}

/* As nginx has it; both have /healthz. */
static const struct http_route *route(const struct sent *s)
{
    bool ours =
        s->path &&
        (strncmp(s->path, "/api/lessons", 12) == 0 || strcmp(s->path, "/api/providers") == 0 ||
         strcmp(s->path, "/readyz") == 0 || strcmp(s->path, "/healthz/lessons") == 0);

    return ours ? lessons : traces;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part rest = {(const char *)data, size};
    struct arena *a = arena_create();
    struct buf *parameters = buf_create(a, PARAMETERS_MAX_BYTES + 4096);
    struct request *r;
    struct sent s;
    int fd;

    if (size <= PARAMETERS_MAX_BYTES) {
        s = read_parameters(a, &rest, parameters);
        fuzz_db.user = s.user ? s.user : "";
        fd = send_request(a, parameters, rest);
        r = read_request(check_peer(accept_next()));
        must((r != NULL) == (s.method != NULL && *s.method != '\0'));
        if (r != NULL) {
            dispatch(route(&s), &r->pub);
            check_answer(a, &s, read_answer(a, fd));
            check_database(&s);
        } else {
            close(fd);
        }
    }
    arena_destroy(a);
    return 0;
}
