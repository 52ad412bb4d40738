#include "fcgi/traces/export.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "fcgi/traces/query.h"
#include "fcgi/traces/slot.h"

enum { PAGE_DEADLINE_MS = 10000 };

/* How many rows are in memory at a time: those of NDJSON have their payloads. */
static const struct format {
    const char *name, *type, *line_end;
    enum trace_form form;
    long rows;
} formats[] = {
    {"ndjson", "application/x-ndjson; charset=utf-8", "\n", TRACE_FULL, 100},
    {"csv", "text/csv; charset=utf-8; header=present", "\r\n", TRACE_CSV, 500},
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
    q.page = (struct page_request){.limit = format->rows, .cursor = cursor};
    return trace_list(api_db(req), a, api_identity(req), &q, PAGE_DEADLINE_MS, page, e);
}

static bool write_page(struct http_req *req, const struct format *format, const struct page *page)
{
    for (int i = 0; i < page->count; i++)
        if (!http_stream_write(req, db_value(page->rows, i, 0), db_length(page->rows, i, 0)) ||
            !http_stream_write(req, format->line_end, strlen(format->line_end)))
            return false;
    return true;
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
        if (!next_page(req, format, *a, page->next_cursor, page, &e)) {
            log_error(req->id, "export broken off", LOG_TEXT("error", e.text));
            return false;
        }
    }
    return false;
}

static void send_all(struct http_req *req, const struct format *format)
{
    struct arena *a = arena_create();
    struct page page;
    struct err e;

    if (next_page(req, format, a, NULL, &page, &e)) {
        begin(req, format);
        http_stream_end(req, send_pages(req, format, &a, &page));
    } else {
        http_fail(req, &e);
    }
    arena_destroy(a);
}

void export_send(struct http_req *req)
{
    long half = config_int("TRACES_PROCESSES") / 2;
    const struct format *format;
    struct err e;
    int slot;

    if ((format = read_format(req, &e)) == NULL) {
        http_fail(req, &e);
        return;
    }
    slot = slot_take("export", half > 1 ? (int)half : 1);
    if (slot < 0) {
        err_set(&e, ERR_UNAVAILABLE, "export: as many run as may");
        http_fail(req, &e);
        return;
    }
    send_all(req, format);
    close(slot);
}
