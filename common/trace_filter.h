/*
 * trace_filter: which traces are meant, as a condition in SQL.
 *
 * The same filters go for lists, counts, facets, statistics, export and
 * deletion. Statements are joined from constant pieces; what a client sends only
 * ever is the value of a parameter.
 */
#ifndef COMMON_TRACE_FILTER_H
#define COMMON_TRACE_FILTER_H

#include "common/buf.h"
#include "common/db.h"

/*
 * What there is to filter by. A new one is a line here, and a case in tests/http.
 * TRACE_WORDS is one value of a column or several, TRACE_NAMES beside them "none", for null;
 * TRACE_ANY is those of which a column with several has one.
 */
#define TRACE_FILTERS(X)                                                                           \
    X(LESSON_ID, "lesson_id", TRACE_UUID, "lesson_id = $%d::uuid")                                 \
    X(STATUS, "status", TRACE_WORDS, "status")                                                     \
    X(PROVIDER, "provider", TRACE_NAMES, "provider_used")                                          \
    X(MODEL, "model", TRACE_NAMES, "model")                                                        \
    X(ERROR_CLASS, "error_class", TRACE_NAMES, "error_class")                                      \
    X(FALLBACK, "fallback", TRACE_FLAG,                                                            \
      "(coalesce(cardinality(fallback_providers), 0) > 0) = $%d::boolean")                         \
    X(FAILED_PROVIDER, "failed_provider", TRACE_ANY,                                               \
      "failed_providers && string_to_array($%d, ',')")                                             \
    X(FROM, "from", TRACE_TIME, "created_at >= $%d")                                               \
    X(TO, "to", TRACE_TIME, "created_at < $%d")                                                    \
    X(MIN_DURATION, "min_duration_ms", TRACE_NUMBER, "total_duration_ms >= $%d::int")              \
    X(MAX_DURATION, "max_duration_ms", TRACE_NUMBER, "total_duration_ms <= $%d::int")              \
    X(Q, "q", TRACE_SEARCH, NULL)

enum trace_value {
    TRACE_UUID,
    TRACE_WORDS,
    TRACE_NAMES,
    TRACE_ANY,
    TRACE_FLAG,
    TRACE_TIME,
    TRACE_NUMBER,
    TRACE_SEARCH
};

#define TRACE_ENUM(name, parameter, value, sql) TRACE_BY_##name,
enum trace_by { TRACE_FILTERS(TRACE_ENUM) TRACE_FILTER_COUNT };
#undef TRACE_ENUM

/* Their names, each followed by a comma. */
#define TRACE_NAME(name, parameter, value, sql) parameter,
#define TRACE_FILTER_NAMES TRACE_FILTERS(TRACE_NAME)

extern const char *const trace_filter_names[TRACE_FILTER_COUNT];

struct trace_filter {
    const char *values[TRACE_FILTER_COUNT]; /* as the client wrote them; NULL: any */
    /* Row security decides whose rows are seen. With the name here, the planner knows it, too. */
    const char *owner; /* NULL: of all */
    /* Made by trace_filter_check(): */
    const char *scope; /* the filters as one text: "&status=failed&q=moon" */
    bool indexed;      /* the words of a search are such as its index knows */
};

/* False and ERR_INPUT, naming the member. */
bool trace_filter_check(struct arena *a, struct trace_filter *f, struct err *e);

bool trace_filter_empty(const struct trace_filter *f);

/* A statement while it is joined: its text, and the values of its parameters. */
struct trace_sql {
    struct arena *arena;
    struct buf *text;
    struct db_call call;
    int args;
    bool found; /* trace_filter_find() was called */
};

void trace_sql_begin(struct trace_sql *s, struct arena *a);
/* The number of the parameter with this value, which is borrowed: that of a call of db_arg(),
 * db_arg_int(), db_arg_time() or db_arg_uuids(). */
int trace_sql_text(struct trace_sql *s, const char *value);
int trace_sql_int(struct trace_sql *s, long long value);
int trace_sql_time(struct trace_sql *s, const char *value);
int trace_sql_uuids(struct trace_sql *s, const char *value);
/* Make the call of what was joined; it is planned for its values. */
void trace_sql_end(struct trace_sql *s);

/* Filters that are left out of a condition: a set of bits. */
#define TRACE_BIT(by) (1U << (by))

/*
 * " WHERE … AND …" or "", of columns of lesson_traces, without those left out. A search goes by
 * its index where it can, which takes that the table itself is read.
 */
void trace_filter_add(struct trace_sql *s, const struct trace_filter *f, unsigned without);
/* The same condition of one column alone, "true" if it is not asked for. */
void trace_filter_add_one(struct trace_sql *s, const struct trace_filter *f, enum trace_by by);
/* Begin with "WITH found AS …": what a search finds by its index, once for several conditions. */
void trace_filter_find(struct trace_sql *s, const struct trace_filter *f);
/* The condition of a search, row by row, of column search_text, without its index. */
void trace_filter_add_text(struct trace_sql *s, const struct trace_filter *f);

#endif
