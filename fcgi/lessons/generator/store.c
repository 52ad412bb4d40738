#include "fcgi/lessons/generator/store.h"

#include "common/log.h"

static struct {
    struct db *db;
    struct store_write *first, *last;
    int batch_count;
    int alone; /* so many of the first are sent one by one */
} store;

void store_init(struct db *db)
{
    store.db = db;
}

struct store_write *store_write_create(void)
{
    struct arena *a = arena_create();
    struct store_write *w = arena_alloc(a, sizeof *w);

    w->arena = a;
    return w;
}

void store_add(struct store_write *w)
{
    w->next = NULL;
    if (store.last != NULL)
        store.last->next = w;
    else
        store.first = w;
    store.last = w;
}

bool store_empty(void)
{
    return store.first == NULL;
}

void store_forget(const void *arg)
{
    for (struct store_write *w = store.first; w != NULL; w = w->next)
        if (w->arg == arg)
            w->done = NULL;
}

static void finish_first(bool held, const struct err *failed)
{
    struct store_write *w = store.first;

    store.first = w->next;
    if (store.first == NULL)
        store.last = NULL;
    if (w->done != NULL)
        w->done(w->arg, held, failed);
    arena_destroy(w->arena);
}

/* Whether the statement did anything: a count of 0 says that the job is not ours any more. */
static bool is_held(const struct db_rows *rows)
{
    return db_count(rows) > 0 && db_int(rows, 0, 0) > 0;
}

static void batch_failed(const struct err *e)
{
    if (e->kind == ERR_UNAVAILABLE)
        return; /* they stay first, and go again */
    if (store.batch_count > 1) {
        store.alone = store.batch_count;
        return;
    }
    log_error("-", "write refused", LOG_TEXT("statement", store.first->call.statement->name),
              LOG_TEXT("error", e->text));
    finish_first(false, e);
}

static void batch_done(struct db_segment *s)
{
    int count = store.batch_count;

    if (s->err.kind != ERR_NONE) {
        batch_failed(&s->err);
        count = 0;
    }
    if (store.alone > 0 && s->err.kind != ERR_UNAVAILABLE && store.batch_count == 1)
        store.alone--;
    store.batch_count = 0;
    for (int i = 0; i < count; i++)
        finish_first(is_held(s->rows[i]), NULL);
    arena_destroy(s->arena);
}

void store_send(void)
{
    struct db_call calls[STORE_BATCH];
    struct db_segment *s;
    struct arena *a;
    int most = store.alone > 0 ? 1 : STORE_BATCH, n = 0;

    if (store.batch_count > 0 || store.first == NULL || !db_ready(store.db))
        return;
    for (struct store_write *w = store.first; w != NULL && n < most; w = w->next)
        calls[n++] = w->call;
    a = arena_create();
    s = arena_alloc(a, sizeof *s);
    *s = (struct db_segment){.arena = a, .calls = calls, .count = n, .done = batch_done};
    store.batch_count = n;
    if (!db_send(store.db, s)) {
        store.batch_count = 0;
        arena_destroy(a);
    }
}
