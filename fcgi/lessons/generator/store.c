#include "fcgi/lessons/generator/store.h"

#include "common/job.h"
#include "common/log.h"
#include "fcgi/lessons/generator/loop.h"
#include "fcgi/lessons/generator/spool.h"

enum {
    PAUSE_FIRST_MS = 50,
    PAUSE_MAX_MS = 5000,
    SPOOL_RETRY_MS = 1000,
    SPOOL_BATCH_BYTES = 4 << 20, /* a few milliseconds of this thread */
};

static struct {
    struct db *db;
    struct store_write *first, *last;
    int under_way;               /* so many of the first are in a segment, or being spooled */
    int replaying;               /* so many frames of the spool are in a segment */
    int alone;                   /* so many of the next are sent one by one */
    int64_t pause, paused_until; /* after PostgreSQL, though there, took nothing */
    int64_t away_since;          /* 0: PostgreSQL is there */
    int64_t spool_failed;        /* when; 0: it did not */
    struct loop_timer wake;
} store;

static void do_nothing(void *arg)
{
    (void)arg; /* the loop comes round, and store_send() with it */
}

void store_init(struct db *db)
{
    store.db = db;
    store.wake.fire = do_nothing;
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

bool store_idle(void)
{
    return store.first == NULL && store.replaying == 0;
}

bool store_replayed(void)
{
    return store.replaying == 0 && spool_empty() && !spool_writing();
}

bool store_safe(void)
{
    return spool_has_room() && store.spool_failed == 0;
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

/* ---- PostgreSQL refuses ---- */

static void slow_down(void)
{
    store.pause = store.pause ? 2 * store.pause : PAUSE_FIRST_MS;
    if (store.pause > PAUSE_MAX_MS)
        store.pause = PAUSE_MAX_MS;
    store.paused_until = loop_now() + store.pause;
    loop_timer_set(&store.wake, store.pause);
}

/* There, but read-only, full or shutting down: again, and each time later. */
static void pace(const struct db_segment *s)
{
    if (s->err.kind == ERR_UNAVAILABLE)
        slow_down();
    else
        store.pause = 0;
}

/*
 * What a failed segment means for its writes: away, they stay first and go again; one of many is
 * bad, they go one by one; one alone is bad, and kept elsewhere: true.
 */
static bool is_refused(const struct db_segment *s)
{
    if (s->err.kind == ERR_NONE || s->err.kind == ERR_UNAVAILABLE)
        return false;
    if (s->count > 1) {
        store.alone = s->count;
        return false;
    }
    log_error("-", "write refused", LOG_TEXT("statement", s->calls[0].statement->name),
              LOG_TEXT("error", s->err.text));
    if (spool_bury(&s->calls[0]))
        return true;
    slow_down(); /* it stays first */
    return false;
}

static void count_alone(const struct db_segment *s, bool refused)
{
    if (store.alone > 0 && s->count == 1 && (refused || s->err.kind == ERR_NONE))
        store.alone--;
}

static int batch_size(void)
{
    return store.alone > 0 ? 1 : STORE_BATCH;
}

static struct db_segment *segment_create(void (*done)(struct db_segment *s), struct db_call **calls)
{
    struct arena *a = arena_create();
    struct db_segment *s = arena_alloc(a, sizeof *s);

    *calls = arena_alloc(a, STORE_BATCH * sizeof **calls);
    *s = (struct db_segment){.arena = a, .calls = *calls, .done = done};
    return s;
}

/* ---- from memory ---- */

/* Whether the statement did anything: a count of 0 says that the job is not ours any more. */
static bool is_held(const struct db_rows *rows)
{
    return db_count(rows) > 0 && db_int(rows, 0, 0) > 0;
}

static void batch_done(struct db_segment *s)
{
    int count = s->err.kind == ERR_NONE ? s->count : 0;
    bool refused;

    pace(s);
    refused = is_refused(s);
    count_alone(s, refused);
    store.under_way = 0;
    if (refused)
        finish_first(false, &s->err);
    for (int i = 0; i < count; i++)
        finish_first(is_held(s->rows[i]), NULL);
    arena_destroy(s->arena);
}

static void send_batch(void)
{
    struct db_call *calls;
    struct db_segment *s = segment_create(batch_done, &calls);

    for (struct store_write *w = store.first; w != NULL && s->count < batch_size(); w = w->next)
        calls[s->count++] = w->call;
    store.under_way = s->count;
    if (!db_send(store.db, s)) {
        store.under_way = 0;
        arena_destroy(s->arena);
    }
}

/* ---- from the spool ---- */

static void replay_done(struct db_segment *s)
{
    bool refused;

    pace(s);
    refused = is_refused(s);
    count_alone(s, refused);
    store.replaying = 0;
    if (s->err.kind == ERR_NONE || refused)
        spool_forget(s->count);
    if (s->err.kind == ERR_NONE && spool_empty())
        log_info("-", "spool replayed");
    arena_destroy(s->arena);
}

static void replay(void)
{
    struct db_call *calls;
    struct db_segment *s = segment_create(replay_done, &calls);

    s->count = spool_read(s->arena, job_statement, calls, batch_size());
    store.replaying = s->count;
    if (s->count == 0 || !db_send(store.db, s)) {
        store.replaying = 0;
        arena_destroy(s->arena);
    }
}

/* ---- to the spool ---- */

static void spooled(bool stored)
{
    int count = store.under_way;

    store.under_way = 0;
    store.spool_failed = stored ? 0 : loop_now();
    for (int i = 0; stored && i < count; i++)
        finish_first(true, NULL);
}

/* As many of the first as fit; at least one, however large. */
static void spool_batch(void)
{
    size_t room = spool_room(), bytes = 0;

    if (spool_writing())
        return;
    if (store.spool_failed != 0 && loop_now() - store.spool_failed < SPOOL_RETRY_MS)
        return;
    for (struct store_write *w = store.first; w != NULL; w = w->next) {
        size_t size = spool_frame_size(&w->call);

        if (bytes + size > room || (bytes > 0 && bytes + size > SPOOL_BATCH_BYTES))
            break;
        spool_add(&w->call);
        bytes += size;
        store.under_way++;
    }
    if (bytes > 0)
        spool_write(spooled);
    else
        store.spool_failed = loop_now();
}

/* ---- each round ---- */

static void send_what_waits(void)
{
    store.away_since = 0;
    if (spool_writing() || store.replaying > 0 || store.under_way > 0 ||
        (store.pause > 0 && loop_now() < store.paused_until))
        return;
    if (store.spool_failed != 0 && spool_has_room())
        store.spool_failed = 0;
    while (!spool_empty() && store.replaying == 0 && db_ready(store.db))
        replay();
    if (store.replaying == 0 && store.first != NULL && db_ready(store.db))
        send_batch();
}

void store_send(void)
{
    if (db_ready(store.db)) {
        send_what_waits();
        return;
    }
    if (store.away_since == 0)
        store.away_since = loop_now();
    if (store.first == NULL || store.under_way > 0)
        return;
    if (loop_now() - store.away_since >= STORE_PATIENCE_MS)
        spool_batch();
    if (store.first != NULL && store.under_way == 0 && store.wake.index == 0)
        loop_timer_set(&store.wake, STORE_PATIENCE_MS);
}
