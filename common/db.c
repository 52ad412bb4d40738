#include "common/db.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/config.h"
#include "common/log.h"
#include "common/redact.h"

/*
 * With PostgreSQL silent, each request of a crowd would wait its whole time, one after the other.
 * After one has, the next only looks whether it can connect at all; if not, those of the next
 * second are told at once.
 */
enum { LOOK_MS = 150, AWAY_MS = 1000, ENDINGS_MAX = 16, CONFLICTS_MAX = 3, WORD_MAX = 15 };

enum { PREPARED_MAX = 256, RESULT_PREPARE = -2, RESULT_IDENTITY = -1 };

enum { AS_TEXT = 0, AS_BINARY = 1 };

static const struct {
    Oid type;
    int format;
} kinds[] = {
    [DB_TEXT] = {25, AS_BINARY},
    [DB_TIMESTAMPTZ] = {1184, AS_TEXT},
    [DB_UUIDS] = {2951, AS_TEXT},
};

struct db {
    const char *conninfo, *program;
    PGconn *conn;
    enum { DOWN, CONNECTING, READY } state;
    PostgresPollingStatusType polling;
    bool use_prepared, wants_write, in_call;
    const struct db_statement *prepared[PREPARED_MAX];
    int prepared_count;
    struct db_segment *first, *last; /* sent, not done */
    void (*notify)(void *arg, const char *channel, const char *payload);
    void *notify_arg;
    long heard_at; /* when the last result came */
};

static const struct db_statement set_identity = {
    "set_identity",
    "SELECT set_config('app.uid', $1, true), set_config('app.request_id', $2, true),"
    "       set_config('app.filter', $3, true)",
    3,
};

/* ---- values ---- */

static long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* An opaque name for PGresult keeps libpq out of every other file. */
static const PGresult *result_of(const struct db_rows *rows)
{
    return (const PGresult *)rows;
}

static struct db_arg arg_of(const char *s, enum db_kind kind)
{
    return (struct db_arg){s, s ? strlen(s) : 0, kind};
}

struct db_arg db_arg(const char *s)
{
    return arg_of(s, DB_TEXT);
}

struct db_arg db_arg_time(const char *s)
{
    return arg_of(s, DB_TIMESTAMPTZ);
}

struct db_arg db_arg_uuids(const char *s)
{
    return arg_of(s, DB_UUIDS);
}

struct db_arg db_arg_bytes(const char *s, size_t len)
{
    return (struct db_arg){s, len, DB_TEXT};
}

struct db_arg db_arg_int(struct arena *a, long long value)
{
    return db_arg(arena_printf(a, "%lld", value));
}

int db_count(const struct db_rows *rows)
{
    return PQntuples(result_of(rows));
}

const char *db_value(const struct db_rows *rows, int row, int col)
{
    return PQgetisnull(result_of(rows), row, col) ? NULL : PQgetvalue(result_of(rows), row, col);
}

size_t db_length(const struct db_rows *rows, int row, int col)
{
    return (size_t)PQgetlength(result_of(rows), row, col);
}

long long db_int(const struct db_rows *rows, int row, int col)
{
    return strtoll(PQgetvalue(result_of(rows), row, col), NULL, 10);
}

/* ---- errors ---- */

static bool is_class(const char *sqlstate, const char *const classes[])
{
    for (; *classes != NULL; classes++)
        if (strncmp(sqlstate, *classes, strlen(*classes)) == 0)
            return true;
    return false;
}

/* What a SQLSTATE means for the caller (reliability: retry, refuse, or a bug of ours). */
static enum err_kind kind_of(const char *sqlstate)
{
    static const char *const later[] = {"08",    "57",    "53",    "58",    "40",
                                        "55P03", "25006", "0A000", "26000", NULL};
    static const char *const data[] = {"22", "54", NULL};

    if (is_class(sqlstate, later))
        return ERR_UNAVAILABLE;
    if (is_class(sqlstate, data))
        return ERR_DATA;
    return strcmp(sqlstate, "23505") == 0 ? ERR_CONFLICT : ERR_INTERNAL;
}

/* A view was replaced under a prepared statement, or a pooler forgot it: a new connection helps. */
static bool is_stale(const char *sqlstate)
{
    return strcmp(sqlstate, "0A000") == 0 || strcmp(sqlstate, "26000") == 0;
}

static void segment_fail(struct db_segment *s, const PGresult *r)
{
    const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    if (s->err.kind != ERR_NONE)
        return; /* the first error is the one that matters */
    if (sqlstate == NULL)
        sqlstate = "08006";
    err_set(&s->err, kind_of(sqlstate), "postgresql: %s: %s", sqlstate,
            text ? text : PQresultErrorMessage(r));
    /* 25006: a standby by now; a new connection finds the primary. */
    s->timed_out = strcmp(sqlstate, "57014") == 0;
    s->conflict = strncmp(sqlstate, "40", 2) == 0 || strcmp(sqlstate, "55P03") == 0;
    s->lost =
        is_stale(sqlstate) || strncmp(sqlstate, "57P", 3) == 0 || strcmp(sqlstate, "25006") == 0;
}

/* ---- the connection ---- */

struct db *db_create(const char *conninfo, const char *program)
{
    struct db *db = calloc(1, sizeof *db);

    if (db == NULL)
        abort();
    db->conninfo = conninfo;
    db->program = program;
    db->use_prepared = config_bool("DB_PREPARED");
    return db;
}

void db_destroy(struct db *db)
{
    if (db == NULL)
        return;
    db_disconnect(db);
    free(db);
}

static void ignore_notice(void *arg, const char *text)
{
    (void)arg;
    log_debug("-", "notice", LOG_TEXT("text", text));
}

/*
 * That of the conninfo, of PGPASSWORD or of a file. A word of small letters is not looked for:
 * texts would lose it.
 */
static void hide_password(const PGconn *conn)
{
    const char *password = PQpass(conn);

    if (strspn(password, "abcdefghijklmnopqrstuvwxyz") < strlen(password) ||
        strlen(password) > WORD_MAX)
        redact_secret(password);
}

bool db_connect(struct db *db, struct err *e)
{
    const char *const keys[] = {"dbname", "application_name", "client_encoding", NULL};
    const char *const values[] = {db->conninfo, db->program, "UTF8", NULL};

    if (db->state != DOWN)
        return true;
    db->conn = PQconnectStartParams(keys, values, 1);
    if (db->conn == NULL)
        abort();
    hide_password(db->conn);
    PQsetNoticeProcessor(db->conn, ignore_notice, NULL);
    if (PQstatus(db->conn) == CONNECTION_BAD) {
        err_set(e, ERR_UNAVAILABLE, "postgresql: %s", PQerrorMessage(db->conn));
        db_disconnect(db);
        return false;
    }
    db->state = CONNECTING;
    db->polling = PGRES_POLLING_WRITING;
    return true;
}

void db_disconnect(struct db *db)
{
    struct db_segment *s, *next;

    s = db->first;
    db->first = db->last = NULL;
    PQfinish(db->conn);
    db->conn = NULL;
    db->state = DOWN;
    db->prepared_count = 0;
    db->in_call = false;
    for (; s != NULL; s = next) {
        next = s->next;
        s->lost = true;
        if (s->err.kind == ERR_NONE)
            err_set(&s->err, ERR_UNAVAILABLE, "postgresql: connection lost");
        s->done(s);
    }
}

bool db_ready(const struct db *db)
{
    return db->state == READY;
}

int db_socket(const struct db *db)
{
    return db->state == DOWN ? -1 : PQsocket(db->conn);
}

long db_silent_ms(const struct db *db)
{
    if (db->first == NULL)
        return 0;
    return now_ms() - (db->heard_at > db->first->sent_at ? db->heard_at : db->first->sent_at);
}

bool db_wants_write(const struct db *db)
{
    return db->state == CONNECTING ? db->polling == PGRES_POLLING_WRITING : db->wants_write;
}

static void advance_connecting(struct db *db)
{
    db->polling = PQconnectPoll(db->conn);
    if (db->polling == PGRES_POLLING_FAILED) {
        log_warn("-", "connecting failed", LOG_TEXT("error", PQerrorMessage(db->conn)));
        db_disconnect(db);
    } else if (db->polling == PGRES_POLLING_OK) {
        if (PQsetnonblocking(db->conn, 1) != 0 || PQenterPipelineMode(db->conn) != 1)
            abort();
        db->wants_write = false;
        db->state = READY;
    }
}

static void flush(struct db *db)
{
    int rc = PQflush(db->conn);

    db->wants_write = rc == 1;
    if (rc < 0)
        db_disconnect(db);
}

/* ---- sending ---- */

static bool is_prepared(const struct db *db, const struct db_statement *s)
{
    for (int i = 0; i < db->prepared_count; i++)
        if (db->prepared[i] == s)
            return true;
    return false;
}

static void forget_prepared(struct db *db, const struct db_statement *s)
{
    for (int i = 0; i < db->prepared_count; i++)
        if (db->prepared[i] == s)
            db->prepared[i--] = db->prepared[--db->prepared_count];
}

static void expect(struct db_segment *s, int what, const struct db_statement *prepare)
{
    s->prepares[s->expected] = prepare;
    s->results[s->expected++] = (signed char)what;
}

static bool send_call(struct db *db, struct db_segment *s, int index,
                      const struct db_statement *statement, const struct db_arg args[])
{
    const char *values[DB_ARGS_MAX];
    Oid types[DB_ARGS_MAX];
    int lengths[DB_ARGS_MAX], formats[DB_ARGS_MAX];
    bool known, prepare;

    for (int i = 0; i < statement->args; i++) {
        values[i] = args[i].data;
        lengths[i] = (int)args[i].len;
        types[i] = kinds[args[i].kind].type;
        formats[i] = kinds[args[i].kind].format;
    }
    /* Known from the moment it is sent: the next segment may be sent before the answer comes. */
    known = is_prepared(db, statement);
    prepare = db->use_prepared && statement->name != NULL && !known &&
              db->prepared_count < PREPARED_MAX - DB_CALLS_MAX;
    if (prepare) {
        if (!PQsendPrepare(db->conn, statement->name, statement->sql, statement->args, types))
            return false;
        expect(s, RESULT_PREPARE, statement);
        db->prepared[db->prepared_count++] = statement;
    }
    expect(s, index, NULL);
    if (known || prepare)
        return PQsendQueryPrepared(db->conn, statement->name, statement->args, values, lengths,
                                   formats, 0);
    return PQsendQueryParams(db->conn, statement->sql, statement->args, types, values, lengths,
                             formats, 0);
}

static bool send_identity(struct db *db, struct db_segment *s)
{
    const struct db_identity *who = s->identity;
    struct db_arg args[3];
    size_t len;

    if (who == NULL)
        return true;
    args[0] = db_arg(who->user);
    args[1] = db_arg(who->request_id ? who->request_id : "");
    args[2] = db_arg(who->filter ? redact(s->arena, who->filter, strlen(who->filter), &len) : "");
    return send_call(db, s, RESULT_IDENTITY, &set_identity, args);
}

bool db_send(struct db *db, struct db_segment *s)
{
    bool sent;

    if (db->state != READY)
        return false;
    s->next = NULL;
    s->sent_at = now_ms();
    s->expected = s->received = 0;
    s->lost = s->timed_out = s->conflict = false;
    s->err = (struct err){.kind = ERR_NONE};
    sent = send_identity(db, s);
    for (int i = 0; sent && i < s->count; i++)
        sent = send_call(db, s, i, s->calls[i].statement, s->calls[i].args);
    if (!sent || !PQpipelineSync(db->conn)) {
        log_error("-", "sending failed", LOG_TEXT("error", PQerrorMessage(db->conn)));
        db_disconnect(db);
        return false;
    }
    if (db->last != NULL)
        db->last->next = s;
    else
        db->first = s;
    db->last = s;
    flush(db);
    return true;
}

/* ---- receiving ---- */

static void clear(void *result)
{
    PQclear(result);
}

static void take_result(struct db *db, struct db_segment *s, PGresult *r)
{
    int what = s->received < s->expected ? s->results[s->received] : RESULT_PREPARE;
    ExecStatusType status = PQresultStatus(r);

    db->heard_at = now_ms();
    arena_defer(s->arena, clear, r);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        if (what == RESULT_PREPARE && s->received < s->expected)
            forget_prepared(db, s->prepares[s->received]);
        if (status != PGRES_PIPELINE_ABORTED)
            segment_fail(s, r);
    } else if (what >= 0) {
        s->rows[what] = (struct db_rows *)r;
    } else if (what == RESULT_IDENTITY) {
        if (strcmp(PQgetvalue(r, 0, 0), s->identity->user) != 0)
            abort(); /* never go on in another's name */
    }
}

static void finish_first(struct db *db)
{
    struct db_segment *s = db->first;
    bool stale = s->lost && s->err.kind != ERR_NONE;

    db->first = s->next;
    if (db->first == NULL)
        db->last = NULL;
    s->done(s);
    if (stale && db->state == READY)
        db_disconnect(db);
}

/* Results come in order: one or none a call, NULL behind each call, one Sync behind each segment.
 */
static void take_results(struct db *db)
{
    while (db->first != NULL && !PQisBusy(db->conn)) {
        PGresult *r = PQgetResult(db->conn);

        if (r == NULL) {
            if (!db->in_call)
                break;
            db->in_call = false;
            db->first->received++;
            continue;
        }
        if (PQresultStatus(r) != PGRES_PIPELINE_SYNC) {
            db->in_call = true;
            take_result(db, db->first, r);
            continue;
        }
        PQclear(r);
        finish_first(db);
        if (db->state != READY)
            return;
    }
}

static void take_notifications(struct db *db)
{
    PGnotify *n;

    while (db->conn != NULL && (n = PQnotifies(db->conn)) != NULL) {
        if (db->notify != NULL)
            db->notify(db->notify_arg, n->relname, n->extra);
        PQfreemem(n);
    }
}

void db_advance(struct db *db)
{
    bool alive;

    if (db->state == CONNECTING)
        advance_connecting(db);
    if (db->state != READY)
        return;
    alive = PQconsumeInput(db->conn);
    take_results(db);
    take_notifications(db);
    if (db->state == READY && (!alive || PQstatus(db->conn) == CONNECTION_BAD))
        db_disconnect(db);
    else if (db->state == READY)
        flush(db);
}

void db_on_notify(struct db *db,
                  void (*notify)(void *arg, const char *channel, const char *payload), void *arg)
{
    db->notify = notify;
    db->notify_arg = arg;
}

/* ---- waiting ---- */

/* Wait for the socket and advance; false when the deadline has passed. */
static bool wait_once(struct db *db, long deadline)
{
    struct pollfd p = {.fd = db_socket(db)};
    long left = deadline - now_ms();

    p.events = (short)(db->state == CONNECTING && db_wants_write(db) ? POLLOUT
                       : db_wants_write(db)                          ? POLLIN | POLLOUT
                                                                     : POLLIN);
    if (left <= 0)
        return false;
    if (poll(&p, 1, (int)left) > 0)
        db_advance(db);
    return true;
}

/* One PostgreSQL, whichever connection of this process finds out. */
static bool doubtful;   /* a segment was not answered in time: look first */
static long away_until; /* no connection before this; 0: nothing known */

static bool make_ready(struct db *db, long deadline, struct err *e)
{
    long connect_deadline = now_ms() + (doubtful ? LOOK_MS : config_int("DB_CONNECT_MS"));
    struct pollfd p = {.fd = db_socket(db), .events = POLLIN};

    /* Something to read on an idle connection is most often its end: a message, then the end. */
    for (int i = 0; i < ENDINGS_MAX && db->state == READY && poll(&p, 1, 0) > 0; i++)
        db_advance(db);
    if (doubtful && db->state == READY)
        db_disconnect(db);
    if (connect_deadline < deadline)
        deadline = connect_deadline;
    if (now_ms() < away_until)
        return err_set(e, ERR_UNAVAILABLE, "postgresql: no connection a moment ago");
    if (!db_connect(db, e))
        return false;
    doubtful = false;
    while (db->state == CONNECTING)
        if (!wait_once(db, deadline)) {
            db_disconnect(db);
            away_until = now_ms() + AWAY_MS;
            return err_set(e, ERR_UNAVAILABLE, "postgresql: no connection in time");
        }
    return db->state == READY || err_set(e, ERR_UNAVAILABLE, "postgresql: no connection");
}

static void note_done(struct db_segment *s)
{
    *(bool *)s->arg = true;
}

static bool run_once(struct db *db, struct db_segment *s, long deadline)
{
    bool done = false;

    s->done = note_done;
    /* cppcheck-suppress autoVariables ; nobody looks at it once this has ended */
    s->arg = &done;
    if (!make_ready(db, deadline, &s->err))
        return false;
    if (!db_send(db, s)) {
        s->lost = true;
        return err_set(&s->err, ERR_UNAVAILABLE, "postgresql: connection lost");
    }
    while (!done)
        if (!wait_once(db, deadline)) {
            err_set(&s->err, ERR_UNAVAILABLE, "postgresql: no answer in time");
            db_disconnect(db); /* runs done() */
            doubtful = true;
            s->lost = false;
        }
    return s->err.kind == ERR_NONE;
}

bool db_run(struct db *db, struct arena *a, const struct db_identity *identity,
            const struct db_call *calls, int count, struct db_rows *rows[], enum db_retry retry,
            int deadline_ms, struct err *e)
{
    struct db_segment *s = arena_alloc(a, sizeof *s);
    long deadline = now_ms() + deadline_ms;
    bool ok;

    *s = (struct db_segment){.arena = a, .identity = identity, .calls = calls, .count = count};
    ok = run_once(db, s, deadline);
    /* What was undone since another was in its way, or had a lock for too long: that is known, and
     * it may go again. */
    for (int i = 0; i < CONFLICTS_MAX && !ok && s->conflict; i++)
        ok = run_once(db, s, deadline);
    if (!ok && s->lost && retry == DB_RETRY)
        ok = run_once(db, s, deadline);
    *e = s->err;
    for (int i = 0; ok && i < count; i++)
        rows[i] = s->rows[i];
    return ok;
}
