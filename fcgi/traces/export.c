#include "fcgi/traces/export.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "common/uuid.h"
#include "fcgi/traces/query.h"
#include "fcgi/traces/slot.h"

/*
 * Whole traces are fetched by the handful: GROUP_BYTES of what they take in store, compressed, or
 * one. So much is in memory at a time, whatever the size of a page.
 */
enum { PAGE_DEADLINE_MS = 10000, PAGE_ROWS = 500, GROUP_BYTES = 64 * 1024 };

static const struct format {
    const char *name, *type, *line_end;
    enum trace_form form;
} formats[] = {
    {"ndjson", "application/x-ndjson; charset=utf-8", "\n", TRACE_SIZE},
    {"csv", "text/csv; charset=utf-8; header=present", "\r\n", TRACE_CSV},
};

enum { FORMATS = sizeof formats / sizeof *formats };

static const struct format *read_format(const struct http_req *req, struct err *e)
{
    const char *name = http_query(req, "format");

    for (int i = 0; name != NULL && i < FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    err_set(e, ERR_INPUT, "format: ndjson or csv expected");
    return NULL;
}

/* The page behind the cursor, in an arena of its own. */
static bool next_page(struct http_req *req, const struct format *format, struct arena *a,
                      const char *cursor, struct page *page, struct err *e)
{
    struct trace_query q = {.sort = http_query(req, "sort"), .form = format->form};

    query_read_filter(req, &q.filter);
    q.page = (struct page_request){.limit = PAGE_ROWS, .cursor = cursor};
    return trace_list(api_db(req), a, api_identity(req), &q, PAGE_DEADLINE_MS, page, e);
}

static bool write_rows(struct http_req *req, const struct format *format, struct db_rows *rows,
                       int count)
{
    for (int i = 0; i < count; i++)
        if (!http_stream_write(req, db_value(rows, i, 0), db_length(rows, i, 0)) ||
            !http_stream_write(req, format->line_end, strlen(format->line_end)))
            return false;
    return true;
}

static bool broken_off(struct http_req *req, const struct err *e)
{
    log_error(req->id, "export broken off", LOG_TEXT("error", e->text));
    return false;
}

/* The ids of the rows from *next on that make a group, as an array; *next is behind them. */
static const char *take_group(struct arena *a, const struct page *page, int *next)
{
    struct buf *ids = buf_create(a, (size_t)PAGE_ROWS * UUID_SIZE + sizeof "{}");
    long long bytes = 0;

    buf_puts(ids, "{");
    do {
        buf_printf(ids, "%s%s", bytes > 0 ? "," : "", db_value(page->rows, *next, 2));
        bytes += db_int(page->rows, *next, 0);
        ++*next;
    } while (*next < page->count && bytes + db_int(page->rows, *next, 0) <= GROUP_BYTES);
    buf_puts(ids, "}");
    return buf_text(ids);
}

/* The page has the sizes of its traces. */
static bool write_whole(struct http_req *req, const struct format *format, const struct page *page)
{
    bool ok = true;

    for (int next = 0; ok && next < page->count;) {
        struct arena *a = arena_create();
        const char *ids = take_group(a, page, &next);
        struct db_rows *rows;
        struct err e;

        if (trace_get_some(api_db(req), a, api_identity(req), ids, PAGE_DEADLINE_MS, &rows, &e))
            ok = write_rows(req, format, rows, db_count(rows));
        else
            ok = broken_off(req, &e);
        arena_destroy(a);
    }
    return ok;
}

static bool write_page(struct http_req *req, const struct format *format, const struct page *page)
{
    return format->form == TRACE_SIZE ? write_whole(req, format, page)
                                      : write_rows(req, format, page->rows, page->count);
}

static void begin(struct http_req *req, const struct format *format)
{
    time_t now = time(NULL);
    struct tm tm;
    char date[16];

    strftime(date, sizeof date, "%F", gmtime_r(&now, &tm));
    http_add_header(req, "Content-Disposition: attachment; filename=\"traces-%s.%s\"", date,
                    format->name);
    http_stream_begin(req, format->type);
    if (format->form == TRACE_CSV) {
        http_stream_write(req, trace_csv_header(), strlen(trace_csv_header()));
        http_stream_write(req, format->line_end, strlen(format->line_end));
    }
}

/* The first page is there; false if it ended before all were told. */
static bool send_pages(struct http_req *req, const struct format *format, struct arena **a,
                       struct page *page)
{
    struct err e;

    while (write_page(req, format, page)) {
        struct arena *next;

        if (page->next_cursor == NULL)
            return true;
        next = arena_create();
        page->next_cursor = arena_strdup(next, page->next_cursor);
        arena_destroy(*a);
        *a = next;
        if (!next_page(req, format, *a, page->next_cursor, page, &e))
            return broken_off(req, &e);
    }
    return false;
}

/* One of the user's own, and one of those of all. */
struct slots {
    int own, shared;
};

static bool take_slots(const struct http_req *req, struct slots *slots, struct err *e)
{
    long half = config_int("TRACES_PROCESSES") / 2;

    *slots = (struct slots){slot_take_own("export", req->user), -1};
    if (slots->own < 0)
        return err_set(e, ERR_BUSY, "export: one of yours is running, and as many as may are");
    slots->shared = slot_take("export", half > 1 ? (int)half : 1);
    if (slots->shared >= 0)
        return true;
    close(slots->own);
    return err_set(e, ERR_BUSY, "export: as many as may are running");
}

/* Before the client sees the end, and may ask for the next. */
static void give_back(const struct slots *slots)
{
    close(slots->shared);
    close(slots->own);
}

static void send_all(struct http_req *req, const struct format *format, const struct slots *slots)
{
    struct arena *a = arena_create();
    struct page page;
    struct err e;
    bool whole;

    if (next_page(req, format, a, NULL, &page, &e)) {
        begin(req, format);
        whole = send_pages(req, format, &a, &page);
        give_back(slots);
        http_stream_end(req, whole);
    } else {
        give_back(slots);
        http_fail(req, &e);
    }
    arena_destroy(a);
}

void export_send(struct http_req *req)
{
    const struct format *format;
    struct slots slots;
    struct err e;

    if ((format = read_format(req, &e)) == NULL || !take_slots(req, &slots, &e))
        http_fail(req, &e);
    else
        send_all(req, format, &slots);
}
