#include "common/trace_filter.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/instant.h"
#include "common/utf8.h"
#include "common/uuid.h"

enum {
    SQL_MAX = 32 * 1024,
    SCOPE_MAX = 16 * 1024,
    TEXT_MAX_CHARACTERS = 200,
    VALUES_MAX = 50, /* of one filter */
    SEARCH_MIN_CHARACTERS = 3,
};

#define NONE "none" /* null, where a filter takes it */

#define TRACE_SQL(name, parameter, value, sql) {value, sql},
static const struct {
    enum trace_value value;
    const char *sql; /* with a %d for the parameter's number; of words and names the column */
} filters[TRACE_FILTER_COUNT] = {TRACE_FILTERS(TRACE_SQL)};

const char *const trace_filter_names[TRACE_FILTER_COUNT] = {TRACE_FILTER_NAMES};

/* ---- what is asked for ---- */

static bool is_status(const char *s)
{
    return strcmp(s, "started") == 0 || strcmp(s, "completed") == 0 || strcmp(s, "failed") == 0;
}

static bool check_words(struct arena *a, enum trace_by by, const char *value, struct err *e)
{
    const char *name = trace_filter_names[by];
    char *rest = arena_strdup(a, value), *word;
    int n = 0;

    while ((word = strsep(&rest, ",")) != NULL) {
        size_t characters = utf8_count(word, strlen(word));

        if (by == TRACE_BY_STATUS && !is_status(word))
            return err_set(e, ERR_INPUT, "%s: started, completed or failed expected", name);
        if (characters < 1 || characters > TEXT_MAX_CHARACTERS)
            return err_set(e, ERR_INPUT, "%s: 1 to %d characters expected", name,
                           TEXT_MAX_CHARACTERS);
        if (++n > VALUES_MAX)
            return err_set(e, ERR_INPUT, "%s: at most %d values expected", name, VALUES_MAX);
    }
    return true;
}

static bool check_number(enum trace_by by, const char *value, struct err *e)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(value, &end, 10);
    return (isdigit((unsigned char)*value) && *end == '\0' && errno == 0 && n <= INT_MAX) ||
           err_set(e, ERR_INPUT, "%s: whole number from 0 to %d expected", trace_filter_names[by],
                   INT_MAX);
}

static bool check_flag(enum trace_by by, const char *value, struct err *e)
{
    return strcmp(value, "true") == 0 || strcmp(value, "false") == 0 ||
           err_set(e, ERR_INPUT, "%s: true or false expected", trace_filter_names[by]);
}

static bool check_time(struct arena *a, enum trace_by by, const char **value, struct err *e)
{
    int64_t at;

    if (!instant_parse(*value, &at))
        return err_set(e, ERR_INPUT, "%s: time expected, like 2026-11-25T10:00:00Z",
                       trace_filter_names[by]);
    *value = instant_text(a, at);
    return true;
}

/*
 * The index knows words by three characters: letters, digits, and the edges of words where they are
 * seen; the first character may go on to the left.
 */
static bool has_word(const char *text)
{
    size_t len = strlen(text);

    for (size_t i = utf8_prefix(text, len, 1); i < len; i += utf8_prefix(text + i, len - i, 1))
        if (utf8_alnum(text + i, len - i))
            return true;
    return false;
}

/* Accents that come as characters of their own (U+0300 to U+036F): a letter and they are one. */
static size_t marks(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += (text[0] == '\xcc' && text[1] != '\0') ||
             (text[0] == '\xcd' && (unsigned char)text[1] <= 0xaf);
    return n;
}

static bool check_search(struct trace_filter *f, struct err *e)
{
    const char *words = f->values[TRACE_BY_Q];
    size_t characters = utf8_count(words, strlen(words));

    if (characters < 1 || characters > TEXT_MAX_CHARACTERS)
        return err_set(e, ERR_INPUT, "q: 1 to %d characters expected", TEXT_MAX_CHARACTERS);
    f->indexed = characters - marks(words) >= SEARCH_MIN_CHARACTERS && has_word(words);
    return f->indexed || f->values[TRACE_BY_FROM] != NULL ||
           err_set(e, ERR_INPUT,
                   "q: %d characters expected, with a letter or digit behind the first, or any "
                   "together with from",
                   SEARCH_MIN_CHARACTERS);
}

static bool check_one(struct arena *a, struct trace_filter *f, enum trace_by by, struct err *e)
{
    switch (filters[by].value) {
    case TRACE_UUID:
        return uuid_valid(f->values[by]) ||
               err_set(e, ERR_INPUT, "%s: UUID expected", trace_filter_names[by]);
    case TRACE_WORDS:
    case TRACE_NAMES:
    case TRACE_ANY:
        return check_words(a, by, f->values[by], e);
    case TRACE_FLAG:
        return check_flag(by, f->values[by], e);
    case TRACE_TIME:
        return check_time(a, by, &f->values[by], e);
    case TRACE_NUMBER:
        return check_number(by, f->values[by], e);
    case TRACE_SEARCH:
        return check_search(f, e);
    }
    return false;
}

/* What joins names and values is encoded in a value, so that no two filters look the same. */
static void add_scope(struct buf *scope, const char *name, const char *value)
{
    buf_printf(scope, "&%s=", name);
    for (; *value; value++)
        if (strchr("&=%", *value) != NULL)
            buf_printf(scope, "%%%02X", (unsigned char)*value);
        else
            buf_add(scope, value, 1);
}

/* What is between two values: they are right each by itself. */
static bool check_spans(const struct trace_filter *f, struct err *e)
{
    const char *const *v = f->values;
    int64_t from, to;

    if (v[TRACE_BY_FROM] != NULL && v[TRACE_BY_TO] != NULL &&
        instant_parse(v[TRACE_BY_FROM], &from) && instant_parse(v[TRACE_BY_TO], &to) && from >= to)
        return err_set(e, ERR_INPUT, "from: a time before to expected");
    return v[TRACE_BY_MIN_DURATION] == NULL || v[TRACE_BY_MAX_DURATION] == NULL ||
           strtol(v[TRACE_BY_MIN_DURATION], NULL, 10) <=
               strtol(v[TRACE_BY_MAX_DURATION], NULL, 10) ||
           err_set(e, ERR_INPUT, "min_duration_ms: at most max_duration_ms expected");
}

bool trace_filter_check(struct arena *a, struct trace_filter *f, struct err *e)
{
    struct buf *scope = buf_create(a, SCOPE_MAX);

    for (int by = 0; by < TRACE_FILTER_COUNT; by++) {
        if (f->values[by] == NULL)
            continue;
        if (!check_one(a, f, (enum trace_by)by, e))
            return false;
        add_scope(scope, trace_filter_names[by], f->values[by]);
    }
    if (!check_spans(f, e))
        return false;
    if (scope->full) /* two of them would look the same to a cursor */
        return err_set(e, ERR_INPUT, "query: at most %d bytes of filters expected", SCOPE_MAX);
    f->scope = buf_text(scope);
    return true;
}

bool trace_filter_empty(const struct trace_filter *f)
{
    for (int by = 0; by < TRACE_FILTER_COUNT; by++)
        if (f->values[by] != NULL)
            return false;
    return true;
}

/* ---- the statement ---- */

void trace_sql_begin(struct trace_sql *s, struct arena *a)
{
    *s = (struct trace_sql){.arena = a, .text = buf_create(a, SQL_MAX)};
}

static struct db_arg *next_arg(struct trace_sql *s)
{
    if (s->args == DB_ARGS_MAX)
        abort();
    return &s->call.args[s->args++];
}

int trace_sql_text(struct trace_sql *s, const char *value)
{
    *next_arg(s) = db_arg(value);
    return s->args;
}

int trace_sql_int(struct trace_sql *s, long long value)
{
    *next_arg(s) = db_arg_int(s->arena, value);
    return s->args;
}

int trace_sql_time(struct trace_sql *s, const char *value)
{
    *next_arg(s) = db_arg_time(value);
    return s->args;
}

int trace_sql_uuids(struct trace_sql *s, const char *value)
{
    *next_arg(s) = db_arg_uuids(value);
    return s->args;
}

void trace_sql_end(struct trace_sql *s)
{
    struct db_statement *statement = arena_alloc(s->arena, sizeof *statement);

    if (s->text->full)
        abort();
    *statement = (struct db_statement){NULL, buf_text(s->text), s->args};
    s->call.statement = statement;
}

/* The values without "none"; NULL if none is left. */
static const char *take_none(struct arena *a, const char *values, bool *none)
{
    char *rest = arena_strdup(a, values), *word;
    struct buf *kept = buf_create(a, strlen(values) + 1);

    *none = false;
    while ((word = strsep(&rest, ",")) != NULL) {
        if (strcmp(word, NONE) == 0)
            *none = true;
        else
            buf_printf(kept, "%s%s", kept->len ? "," : "", word);
    }
    return kept->len ? buf_text(kept) : NULL;
}

static void add_words(struct trace_sql *s, enum trace_by by, const char *values)
{
    const char *column = filters[by].sql;
    bool none = false;

    if (filters[by].value == TRACE_NAMES)
        values = take_none(s->arena, values, &none);
    if (values == NULL) {
        buf_printf(s->text, "%s IS NULL", column);
        return;
    }
    buf_puts(s->text, "(");
    if (none)
        buf_printf(s->text, "%s IS NULL OR ", column);
    buf_printf(s->text,
               strchr(values, ',') == NULL ? "%s = $%d)" : "%s = ANY (string_to_array($%d, ',')))",
               column, trace_sql_text(s, values));
}

/* Where it is, as the role may see it. */
static void add_search(struct trace_sql *s, const struct trace_filter *f)
{
    buf_printf(s->text, "trace_search_%s($%d)", f->owner != NULL ? "own" : "every",
               trace_sql_text(s, f->values[TRACE_BY_Q]));
}

void trace_filter_find(struct trace_sql *s, const struct trace_filter *f)
{
    buf_puts(s->text, "WITH found AS MATERIALIZED (SELECT ");
    add_search(s, f);
    buf_puts(s->text, " AS places) ");
    s->found = true;
}

void trace_filter_add_text(struct trace_sql *s, const struct trace_filter *f)
{
    buf_printf(s->text, "search_text LIKE trace_pattern($%d)",
               trace_sql_text(s, f->values[TRACE_BY_Q]));
}

static void add_one(struct trace_sql *s, const struct trace_filter *f, enum trace_by by)
{
    switch (filters[by].value) {
    case TRACE_WORDS:
    case TRACE_NAMES:
        add_words(s, by, f->values[by]);
        break;
    case TRACE_SEARCH:
        if (!f->indexed) {
            trace_filter_add_text(s, f);
            break;
        }
        buf_puts(s->text, "ctid = ANY ((SELECT ");
        if (s->found)
            buf_puts(s->text, "places FROM found");
        else
            add_search(s, f);
        buf_puts(s->text, ")::tid[])");
        break;
    default:
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(s->text, filters[by].sql,
                   filters[by].value == TRACE_TIME ? trace_sql_time(s, f->values[by])
                                                   : trace_sql_text(s, f->values[by]));
#pragma GCC diagnostic pop
    }
}

void trace_filter_add(struct trace_sql *s, const struct trace_filter *f, unsigned without)
{
    const char *word = " WHERE ";

    if (f->owner != NULL) {
        buf_printf(s->text, " WHERE owner = $%d", trace_sql_text(s, f->owner));
        word = " AND ";
    }
    for (int by = 0; by < TRACE_FILTER_COUNT; by++) {
        if (f->values[by] == NULL || (without & TRACE_BIT(by)))
            continue;
        buf_puts(s->text, word);
        add_one(s, f, (enum trace_by)by);
        word = " AND ";
    }
}

void trace_filter_add_one(struct trace_sql *s, const struct trace_filter *f, enum trace_by by)
{
    if (f->values[by] != NULL)
        add_one(s, f, by);
    else
        buf_puts(s->text, "true");
}
