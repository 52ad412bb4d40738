#include "fcgi/lessons/generator/store.h"

#include <poll.h>

#include "common/job.h"
#include "common/log.h"
#include "fcgi/lessons/generator/loop.h"
#include "fcgi/lessons/generator/spool.h"

enum {
    PAUSE_FIRST_MS = 50,
    PAUSE_MAX_MS = 5000,
    SPOOL_RETRY_MS = 1000,
    BATCH_BYTES = 4 << 20,    /* a few milliseconds of this thread */
    MEMORY_BYTES = 256 << 20, /* waiting in it, nothing new is begun */
    TIMEOUTS_MAX = 3,         /* of one write, alone; then it is refused */
    COMPLAIN_MS = 60000,      /* between two words about PostgreSQL taking nothing */
    FINISH_MS = 10000,        /* for the disk, at the end of the process */
};

static struct {
    struct db *db;
    struct store_write *first, *last;
    size_t bytes;                /* of those */
    int under_way;               /* so many of the first are in a segment, or being spooled */
    int replaying;               /* so many frames of the spool are in a segment */
    int alone;                   /* so many of the next are sent one by one */
    int timeouts;                /* of the first, alone */
    int64_t pause, paused_until; /* after PostgreSQL, though there, took nothing */
    int64_t stuck_since;         /* PostgreSQL has taken nothing since; 0: it does */
    int64_t complained_at;
    int64_t spool_failed; /* when; 0: it did not */
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
    w->size = spool_frame_size(&w->call);
    store.bytes += w->size;
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
    return spool_has_room() && store.spool_failed == 0 && store.bytes <= MEMORY_BYTES;
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
    store.bytes -= w->size;
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

/* There, but read-only, full or shutting down: again, and each time later; and say so. */
static void pace(const struct db_segment *s)
{
    int64_t now = loop_now();

    if (s->err.kind == ERR_NONE)
        store.stuck_since = store.complained_at = 0;
    if (s->err.kind != ERR_UNAVAILABLE) {
        store.pause = 0;
        return;
    }
    if (store.complained_at == 0 || now - store.complained_at >= COMPLAIN_MS) {
        log_error("-", "PostgreSQL does not take what is written", LOG_TEXT("error", s->err.text));
        store.complained_at = now;
    }
    slow_down();
}

/* Sent alone, it alone took too long: so often that it always will. */
static bool is_hopeless(const struct db_segment *s)
{
    if (!s->timed_out || s->count > 1)
        return false;
    return ++store.timeouts >= TIMEOUTS_MAX;
}

/*
 * What a failed segment means for its writes: away, they stay first and go again; one of many is
 * bad, they go one by one; one alone is bad, and kept elsewhere: true.
 */
static bool is_refused(const struct db_segment *s)
{
    bool again = s->err.kind == ERR_NONE || s->err.kind == ERR_UNAVAILABLE;

    if (again && !is_hopeless(s)) {
        if (s->timed_out && s->count > 1)
            store.alone = s->count;
        return false;
    }
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
    if (!refused && s->err.kind != ERR_NONE)
        return;
    store.timeouts = 0;
    if (store.alone > 0 && s->count == 1)
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
    size_t bytes = 0;

    for (struct store_write *w = store.first; w != NULL && s->count < batch_size(); w = w->next) {
        if (s->count > 0 && bytes + w->size > BATCH_BYTES)
            break;
        calls[s->count++] = w->call;
        bytes += w->size;
    }
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

/* As many of the first as fit into a batch, or the first alone, however large; if there is room. */
static void spool_batch(void)
{
    size_t room = spool_room(), bytes = 0;

    for (struct store_write *w = store.first; w != NULL; w = w->next) {
        if (bytes + w->size > room || (bytes > 0 && bytes + w->size > BATCH_BYTES))
            break;
        spool_add(&w->call);
        bytes += w->size;
        store.under_way++;
    }
    if (bytes > 0)
        spool_write(spooled);
    else
        store.spool_failed = loop_now();
}

static void spool_what_waits(void)
{
    if (store.first == NULL || store.under_way > 0 || spool_writing() ||
        (store.spool_failed != 0 && loop_now() - store.spool_failed < SPOOL_RETRY_MS))
        return;
    spool_batch();
}

/* ---- each round ---- */

static void send_what_waits(void)
{
    if (spool_writing() || store.replaying > 0 || store.under_way > 0)
        return;
    if (store.spool_failed != 0 && spool_has_room())
        store.spool_failed = 0;
    while (!spool_empty() && store.replaying == 0 && db_ready(store.db))
        replay();
    if (store.replaying == 0 && store.first != NULL && db_ready(store.db))
        send_batch();
}

/* Away, or there and not taking anything. */
static bool is_stuck(void)
{
    return !db_ready(store.db) || (store.pause > 0 && loop_now() < store.paused_until);
}

void store_send(void)
{
    if (!is_stuck()) {
        send_what_waits();
        return;
    }
    if (store.stuck_since == 0)
        store.stuck_since = loop_now();
    if (loop_now() - store.stuck_since >= STORE_PATIENCE_MS)
        spool_what_waits();
    if (store.first != NULL && store.under_way == 0 && store.wake.index == 0)
        loop_timer_set(&store.wake, STORE_PATIENCE_MS);
}

/* One batch, and wait until the disk has it. */
static void spool_now(int64_t deadline)
{
    struct pollfd written = {.fd = spool_fd(), .events = POLLIN};
    int64_t left = deadline - loop_now();

    if (!spool_writing())
        spool_batch();
    if (spool_writing() && poll(&written, 1, left > 0 ? (int)left : 0) > 0)
        spool_advance();
}

bool store_finish(void)
{
    int64_t deadline = loop_now() + FINISH_MS;
    int left = 0;

    for (struct store_write *w = store.first; w != NULL; w = w->next)
        w->done = NULL;      /* nothing follows any more */
    db_disconnect(store.db); /* what it was sent may be sent again */
    store.spool_failed = 0;
    while (store.first != NULL && store.spool_failed == 0 && loop_now() < deadline)
        spool_now(deadline);
    for (const struct store_write *w = store.first; w != NULL; w = w->next)
        left++;
    if (left > 0)
        log_error("-", "neither PostgreSQL nor the disk took all", LOG_INT("writes_lost", left));
    return left == 0;
}
