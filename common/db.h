/*
 * db: libpq, in pipeline mode.
 *
 * The unit is the segment: an identity, some calls of statements, one Sync; that
 * is one implicit transaction, stored whole or not at all. Responders run a
 * segment and wait, with a deadline (db_run). The generator sends segments and is
 * told when they are done (db_send), driven by its loop.
 *
 * Parameters are text with a length, sent in binary format, so that a NUL in one
 * is an error of the server and never a silent cut. A time, or an array of ids, is
 * sent as such: a text cast to one is cast again for each row that is compared,
 * and tells the planner nothing. Statements are constants, or
 * joined from constants, and prepared on first use. Only modules that own a table
 * name statements; there is no general query function.
 */
#ifndef COMMON_DB_H
#define COMMON_DB_H

#include "common/arena.h"
#include "common/err.h"

enum { DB_ARGS_MAX = 64, DB_CALLS_MAX = 64 };

struct db;
struct db_rows;

struct db_statement {
    const char *name; /* unique in the program, at most 63 bytes; NULL: planned anew each time */
    const char *sql;  /* every $n is text, but for those of another kind */
    int args;
};

enum db_kind { DB_TEXT, DB_TIMESTAMPTZ, DB_UUIDS };

struct db_arg {
    const char *data; /* NULL: SQL NULL */
    size_t len;
    enum db_kind kind; /* of one $n of one statement always the same */
};

struct db_arg db_arg(const char *s); /* NULL: SQL NULL */
struct db_arg db_arg_bytes(const char *s, size_t len);
struct db_arg db_arg_int(struct arena *a, long long value);
struct db_arg db_arg_time(const char *s);  /* as PostgreSQL reads a timestamptz */
struct db_arg db_arg_uuids(const char *s); /* "{id,id}" */

struct db_call {
    const struct db_statement *statement;
    struct db_arg args[DB_ARGS_MAX];
};

/* In whose name: seen by row security, by the audit log, and nowhere after the segment. */
struct db_identity {
    const char *user;       /* "" for none */
    const char *request_id; /* or NULL */
    const char *filter;     /* what a deletion of many goes by, for the audit log; or NULL */
};

/* Nothing is connected yet; conninfo is borrowed. */
struct db *db_create(const char *conninfo, const char *program);
void db_destroy(struct db *db); /* NULL is fine */

enum db_retry { DB_ONCE, DB_RETRY };

/*
 * Run the calls as one transaction; rows[i] is the result of calls[i], owned by the arena. Connects
 * first if need be. False and *e: ERR_UNAVAILABLE when PostgreSQL is away, busy beyond deadline_ms,
 * or the connection was lost, in which case the transaction may or may not be there. DB_RETRY, for
 * what may be done twice, tries that once more. ERR_DATA: a value is none to PostgreSQL.
 */
bool db_run(struct db *db, struct arena *a, const struct db_identity *identity,
            const struct db_call *calls, int count, struct db_rows *rows[], enum db_retry retry,
            int deadline_ms, struct err *e);

int db_count(const struct db_rows *rows);
const char *db_value(const struct db_rows *rows, int row, int col); /* NULL for SQL NULL */
size_t db_length(const struct db_rows *rows, int row, int col);
long long db_int(const struct db_rows *rows, int row, int col); /* 0 for SQL NULL */

/* ---- for a loop that must not wait ---- */

struct db_segment {
    struct arena *arena;                /* owns the results */
    const struct db_identity *identity; /* NULL: none is set */
    const struct db_call *calls;        /* borrowed until db_send() returns */
    int count;
    void (*done)(struct db_segment *s); /* runs in db_advance(), also on failure */
    void *arg;
    /* Filled before done(): */
    struct db_rows *rows[DB_CALLS_MAX];
    struct err err; /* kind ERR_NONE: committed */
    bool timed_out; /* a statement took longer than the role's statement_timeout */
    /* Private: */
    struct db_segment *next;
    const struct db_statement *prepares[2 * DB_CALLS_MAX + 2];
    signed char results[2 * DB_CALLS_MAX + 2];
    int expected, received;
    long sent_at;
    bool lost, conflict;
};

/* Begin to connect, if not connected. False and *e if that fails at once. */
bool db_connect(struct db *db, struct err *e);
bool db_ready(const struct db *db);
/* The socket to wait for, -1 while there is none; it changes while connecting. */
int db_socket(const struct db *db);
bool db_wants_write(const struct db *db);
/* For how long nothing has come, though a segment is under way; 0: none is. */
long db_silent_ms(const struct db *db);
/* Do what can be done without waiting. */
void db_advance(struct db *db);
/* Close the connection: what was sent fails with ERR_UNAVAILABLE. */
void db_disconnect(struct db *db);

/* Send a segment. False if not ready: nothing was sent and done() will not run. */
bool db_send(struct db *db, struct db_segment *s);

/* Called in db_advance() for each NOTIFY of a channel that a statement LISTENs to. */
void db_on_notify(struct db *db,
                  void (*notify)(void *arg, const char *channel, const char *payload), void *arg);

#endif
