/*
 * What a client asks of the traces: filters, order, page, cursor, and the statements made of them.
 *
 * Input: one name=value a line, decoded: the filters, and sort, limit, offset, cursor, bucket,
 * owner, count, form; few for a list that ends, many for much that is counted.
 * Asserted: what reaches the database is well-formed and storable (lib/db.c); the cursor that a
 * list gives is taken by it, and by no other; a cursor that is taken is spelled as we spell it.
 *
 * Covers: common/page.c common/trace_filter.c common/trace_stats.c common/instant.c
 */
#include <string.h>

#include "common/trace.h"
#include "common/trace_stats.h"
#include "common/utf8.h"
#include "tests/fuzz/lib/fuzz.h"

enum { INPUT_MAX = 8192, DEADLINE_MS = 100, CONFIRMED = 1 };

static const struct db_identity who = {.user = "ada"};

struct asked {
    struct trace_query q;
    const char *bucket;
    bool few, many;
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

static long number(const char *value, long max)
{
    unsigned long n = strtoul(value, NULL, 10);

    return (long)(n % (unsigned long)(max + 1));
}

static void set(struct asked *r, const char *name, const char *value)
{
    for (int by = 0; by < TRACE_FILTER_COUNT; by++)
        if (strcmp(trace_filter_names[by], name) == 0)
            r->q.filter.values[by] = value;
    if (strcmp(name, "sort") == 0)
        r->q.sort = value;
    else if (strcmp(name, "cursor") == 0)
        r->q.page.cursor = value;
    else if (strcmp(name, "bucket") == 0)
        r->bucket = value;
    else if (strcmp(name, "owner") == 0)
        r->q.filter.owner = value;
    else if (strcmp(name, "few") == 0)
        r->few = true;
    else if (strcmp(name, "many") == 0)
        r->many = true;
    else if (strcmp(name, "count") == 0)
        r->q.count = true;
    else if (strcmp(name, "limit") == 0)
        r->q.page.limit = 1 + number(value, PAGE_LIMIT_MAX - 1);
    else if (strcmp(name, "offset") == 0)
        r->q.page.offset = number(value, PAGE_OFFSET_MAX);
    else if (strcmp(name, "form") == 0)
        r->q.form = (enum trace_form)number(value, TRACE_SIZE);
}

static struct asked read_input(char *rest)
{
    struct asked r = {.q.page.limit = PAGE_LIMIT_DEFAULT};
    char *value, *name;

    while ((name = strsep(&rest, "\n")) != NULL) {
        value = name + strcspn(name, "=");
        if (*value == '=')
            *value++ = '\0';
        set(&r, name, value);
    }
    return r;
}

static bool list(struct arena *a, struct trace_query q, struct page *page, struct err *e)
{
    fuzz_db.calls = 0;
    e->kind = ERR_NONE;
    if (trace_list((struct db *)&fuzz_db, a, &who, &q, DEADLINE_MS, page, e))
        return true;
    must(e->kind == ERR_INPUT && fuzz_db.calls == 0 && strchr(e->text, ':') != NULL);
    return false;
}

/* A page further, and the same cursor where it does not belong. */
static void follow(struct arena *a, struct trace_query q, const char *cursor)
{
    struct page page;
    struct err e;

    must(strlen(cursor) < 256);
    q.page.cursor = cursor;
    must(list(a, q, &page, &e));
    must(strcmp(page.next_cursor, cursor) == 0); /* the database's row is always the same */
    q.sort = q.sort && strcmp(q.sort, "total_tokens") == 0 ? "-cost_usd" : "total_tokens";
    must(!list(a, q, &page, &e));
    q.filter.values[TRACE_BY_STATUS] = q.filter.values[TRACE_BY_STATUS] ? NULL : "failed";
    must(!list(a, q, &page, &e));
}

static void list_traces(struct arena *a, const struct asked *r)
{
    struct page page;
    struct err e;

    fuzz_db = (struct fuzz_db){.rows = (int)r->q.page.limit + !r->few};
    if (!list(a, r->q, &page, &e))
        return;
    must(page.count == r->q.page.limit && (page.next_cursor == NULL) == r->few);
    must(page.total == (r->q.count ? 1 : -1));
    if (page.next_cursor != NULL)
        follow(a, r->q, page.next_cursor);
}

static void sum_traces(struct arena *a, const struct asked *r)
{
    struct trace_filter f = r->q.filter;
    long long matched, deleted;
    struct err e;

    fuzz_db = (struct fuzz_db){.rows = 1, .many = r->many};
    if (trace_facets((struct db *)&fuzz_db, a, &who, &f, DEADLINE_MS, &e) == NULL)
        must(e.kind == ERR_INPUT && fuzz_db.calls == 0);
    f = r->q.filter;
    fuzz_db.calls = 0;
    if (trace_stats((struct db *)&fuzz_db, a, &who, &f, r->bucket, DEADLINE_MS, &e) == NULL)
        must(e.kind == ERR_INPUT && fuzz_db.calls == 0);
    f = r->q.filter;
    fuzz_db = (struct fuzz_db){.rows = 1};
    if (trace_filter_check(a, &f, &e))
        must(trace_delete_matching((struct db *)&fuzz_db, a, &who, &f, CONFIRMED, DEADLINE_MS,
                                   &matched, &deleted, &e));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a;
    struct asked r;

    if (size > INPUT_MAX || !fuzz_storable((const char *)data, size))
        return 0; /* http.c lets nothing else through */
    a = arena_create();
    r = read_input(arena_memdup(a, (const char *)data, size));
    list_traces(a, &r);
    sum_traces(a, &r);
    arena_destroy(a);
    return 0;
}
