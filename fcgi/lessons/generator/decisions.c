#include "fcgi/lessons/generator/decisions.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/json.h"

enum { DECISIONS_MAX = 64 * 1024 };

struct decisions {
    struct buf *json; /* without the closing bracket */
};

struct decisions *decisions_create(struct arena *a, const char *so_far)
{
    struct decisions *d = arena_alloc(a, sizeof *d);
    size_t len = strlen(so_far);

    d->json = buf_create(a, DECISIONS_MAX);
    if (len < 2 || len > DECISIONS_MAX / 2)
        buf_puts(d->json, "[");
    else
        buf_add(d->json, so_far, len - 1);
    return d;
}

void decisions_add(struct decisions *d, const char *action, const char *provider,
                   const char *reason, int64_t wait_ms)
{
    size_t before = d->json->len;
    struct json_out o = {d->json, before > 1};
    struct timespec t;
    struct tm tm;
    char at[40];
    size_t n;

    clock_gettime(CLOCK_REALTIME, &t);
    n = strftime(at, sizeof at, "%FT%T", gmtime_r(&t.tv_sec, &tm));
    snprintf(at + n, sizeof at - n, ".%03ldZ", t.tv_nsec / 1000000);
    json_begin(&o, NULL, '{');
    json_put_text(&o, "at", at);
    json_put_text(&o, "action", action);
    json_put_text(&o, "provider", provider);
    json_put_text(&o, "reason", reason);
    if (wait_ms < 0)
        json_put_null(&o, "wait_ms");
    else
        json_put_int(&o, "wait_ms", wait_ms);
    json_end(&o, '}');
    if (d->json->full) { /* half a decision would spoil the trace */
        d->json->len = before;
        d->json->data[before] = '\0';
    }
}

const char *decisions_json(const struct decisions *d, struct arena *a)
{
    return arena_printf(a, "%s]", buf_text(d->json));
}
