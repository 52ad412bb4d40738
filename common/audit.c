#include "common/audit.h"

#include "common/instant.h"

/* Planned each time for the values there are. */
static const struct db_statement list = {
    NULL,
    "SELECT row_to_json(r), to_json(r.at)#>>'{}', r.id FROM ("
    "  SELECT id, at, actor, action, object, subject, count, ids, filter, request_id"
    "    FROM audit_log"
    "   WHERE ($1 IS NULL OR actor = $1) AND ($2 IS NULL OR action = $2)"
    "     AND ($3 IS NULL OR object = $3)"
    "     AND ($4 IS NULL OR at >= $4::timestamptz) AND ($5 IS NULL OR at < $5::timestamptz)"
    "     AND ($6 IS NULL OR (at, id) < ($6::timestamptz, $7::bigint))"
    "   ORDER BY at DESC, id DESC LIMIT $8::int OFFSET $9::int) r",
    9,
};

static bool check_time(struct arena *a, const char *name, const char **value, struct err *e)
{
    int64_t at;

    if (*value == NULL)
        return true;
    if (!instant_parse(*value, &at))
        return err_set(e, ERR_INPUT, "%s: time expected, like 2026-11-25T10:00:00Z", name);
    *value = instant_text(a, at);
    return true;
}

static const char *or_any(const char *value)
{
    return value ? value : "";
}

bool audit_list(struct db *db, struct arena *a, const struct db_identity *who,
                struct audit_filter *f, struct page_request *r, int deadline_ms, struct page *page,
                struct err *e)
{
    struct page_position after;
    struct db_rows *rows;
    struct db_call call;

    if (!check_time(a, "from", &f->from, e) || !check_time(a, "to", &f->to, e))
        return false;
    r->numbered = true;
    r->scope = arena_printf(a, "audit\n%s\n%s\n%s\n%s\n%s", or_any(f->actor), or_any(f->action),
                            or_any(f->object), or_any(f->from), or_any(f->to));
    if (!page_begin(a, r, &after, e))
        return false;
    call = (struct db_call){&list,
                            {db_arg(f->actor), db_arg(f->action), db_arg(f->object),
                             db_arg(f->from), db_arg(f->to), db_arg(after.value), db_arg(after.id),
                             db_arg_int(a, r->limit + 1), db_arg_int(a, r->offset)}};
    if (!db_run(db, a, who, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    page_end(a, r, rows, page);
    return true;
}
