/*
 * lesson-generator: the background half of lesson generation. It holds a slot, claims
 * jobs, keeps a heartbeat, and takes over what dead processes held; generate.c does the
 * work. It alone holds provider keys and talks to the outside; it speaks no HTTP of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/health.h"
#include "common/job.h"
#include "common/log.h"
#include "fcgi/lessons/generator/breaker.h"
#include "fcgi/lessons/generator/generate.h"
#include "fcgi/lessons/generator/loop.h"
#include "fcgi/lessons/generator/spool.h"
#include "fcgi/lessons/generator/store.h"
#include "fcgi/lessons/generator/word.h"

enum {
    CLAIM_BATCH = 64,
    POLL_MS = 250,
    HEALTH_MS = 1000,
    RECOVER_MS = 5000,
    CONNECT_FIRST_MS = 50,
    CONNECT_MAX_MS = 1000, /* serving again soon after it is back */
    FLUSH_MS = 5000,       /* after draining: for PostgreSQL to take the rest */
    SAME_WORD_MS = 1000,   /* signals so close together are one */
    REGISTER_MS = 500,     /* after it failed */
    SILENCE_LEAST_MS = 3000,
    RECOVER_BATCH = 500, /* halved while one locked row stops it */
};

enum { EXIT_OK = 0, EXIT_SETTINGS = 2, EXIT_TAKEN_OVER = 3, EXIT_LOST = 4 };

static struct {
    struct db *db;
    struct job_holder me;
    struct arena *arena; /* for as long as the process lives */
    struct llm_endpoint *endpoints;
    size_t endpoint_count;
    size_t *chain;
    size_t chain_length;
    int watched;   /* PostgreSQL's socket */
    int slot_file; /* locked; names the process once it is registered */
    bool was_ready, claiming, claim_again, registering, registered, draining, drained, leaving;
    bool published, listening; /* what a greeting does, once and for each connection */
    bool reconcile;            /* due: what we hold is to be told from what we know */
    bool isolating;            /* a suspect runs, or will when nothing else does */
    bool releasing;            /* what is left is to be given back at the end of this round */
    const char
        *died_in;     /* the lesson whose code the former process ran when it died; "" for none */
    int64_t ready_at; /* since when PostgreSQL is there */
    int64_t register_at;
    char as_of[64];    /* PostgreSQL's time at the last recovery */
    int recover_limit; /* jobs at a time */
    int status;        /* to end with */
    int64_t told_at;   /* to stop */
    int64_t connect_delay;
    struct loop_timer connect, connect_limit, beat, recover, poll, health, drain;
} gen = {.watched = -1, .slot_file = -1, .recover_limit = RECOVER_BATCH};

/* ---- segments of our own: they are no generation's ---- */

struct control {
    struct db_segment segment;
    struct db_call calls[DB_CALLS_MAX];
};

static struct control *control_create(void (*done)(struct db_segment *s))
{
    struct arena *a = arena_create();
    struct control *c = arena_alloc(a, sizeof *c);

    c->segment = (struct db_segment){.arena = a, .calls = c->calls, .done = done};
    return c;
}

static struct db_call *control_add(struct control *c)
{
    return &c->calls[c->segment.count++];
}

static bool control_send(struct control *c)
{
    bool sent = db_send(gen.db, &c->segment);

    if (!sent)
        arena_destroy(c->segment.arena);
    return sent;
}

static bool succeeded(const struct db_segment *s, const char *what)
{
    if (s->err.kind == ERR_NONE)
        return true;
    log_warn("-", "not done", LOG_TEXT("what", what), LOG_TEXT("error", s->err.text));
    return false;
}

/* ---- claiming ---- */

static void claim(void);

static void claim_done(struct db_segment *s)
{
    struct job_claimed job;
    int n = 0;

    gen.claiming = false;
    if (succeeded(s, "claim"))
        n = db_count(s->rows[0]);
    for (int i = 0; i < n; i++) {
        job_claimed(s->rows[0], i, &job);
        generate_start(&job);
    }
    gen.releasing = gen.drained; /* claimed before the end, told after it */
    arena_destroy(s->arena);
    if (n == 0 && gen.isolating)
        gen.isolating = false; /* there is no suspect left */
    if (n == CLAIM_BATCH || gen.claim_again)
        claim();
}

/* A suspect is begun when nothing else is under way, and nothing else until it has ended. */
static int claim_limit(void)
{
    int room = (int)config_int("GENERATIONS_IN_FLIGHT_MAX") - generate_in_flight();

    if (gen.isolating)
        return generate_in_flight() == 0 ? 1 : 0;
    return room < CLAIM_BATCH ? room : CLAIM_BATCH;
}

static void claim(void)
{
    struct control *c;
    int limit = claim_limit();

    gen.claim_again = gen.claiming && !gen.isolating;
    if (gen.claiming || gen.draining || gen.reconcile || !gen.registered || limit <= 0 ||
        !db_ready(gen.db) || !store_replayed() || !store_safe())
        return;
    c = control_create(claim_done);
    if (gen.isolating)
        job_claim_suspect(control_add(c), c->segment.arena, &gen.me);
    else
        job_claim(control_add(c), c->segment.arena, &gen.me, limit);
    gen.claiming = true; /* before: it may be over when sending returns */
    if (!control_send(c))
        gen.claiming = false;
}

static void poll_queue(void *arg)
{
    (void)arg;
    claim();
    loop_timer_set(&gen.poll, POLL_MS);
}

static void on_notify(void *arg, const char *channel, const char *payload)
{
    (void)arg;
    if (strcmp(channel, "generation_queued") == 0)
        claim();
    else
        generate_cancel(payload);
}

/* ---- the lease ---- */

/* What writes, shows that PostgreSQL takes writes: a standby would not. */
static void beat_done(struct db_segment *s)
{
    bool done = succeeded(s, "heartbeat"), ours = !done || db_count(s->rows[0]) > 0;

    if (done)
        gen.connect_delay = 0;
    arena_destroy(s->arena);
    if (ours || !gen.registered)
        return;
    log_error("-", "slot taken over by another process", LOG_TEXT("slot", gen.me.slot));
    gen.status = EXIT_TAKEN_OVER;
    loop_stop();
}

/* Also before this process has the slot: who replays what a former one spooled is alive. */
static void send_beat(void)
{
    struct control *c;

    if (!db_ready(gen.db))
        return;
    c = control_create(beat_done);
    if (gen.registered)
        job_beat(control_add(c), c->segment.arena, &gen.me, store_safe() && generate_stuck() == 0);
    else
        job_keep(control_add(c), gen.me.slot);
    control_send(c);
}

static void beat(void *arg)
{
    (void)arg;
    if (!store_safe())
        log_error("-", "no room to spool: nothing new is begun",
                  LOG_TEXT("see", "SPOOL_RESERVE_MB"));
    send_beat();
    loop_timer_set(&gen.beat, config_int("LEASE_SECONDS") * 1000 / 6);
}

static void greet(void);

static void recover_done(struct db_segment *s)
{
    bool done = succeeded(s, "recovery");
    long long n = 0;

    if (done) {
        n = db_int(s->rows[0], 0, 0);
        gen.isolating = gen.isolating || strcmp(db_value(s->rows[0], 0, 1), "t") == 0;
        snprintf(gen.as_of, sizeof gen.as_of, "%s", db_value(s->rows[0], 0, 2));
        gen.reconcile = !gen.draining;
        gen.recover_limit = RECOVER_BATCH;
    } else if (gen.recover_limit > 1) {
        gen.recover_limit /= 2;
    }
    arena_destroy(s->arena);
    if (n == 0)
        return;
    log_warn("-", "generations of lost processes requeued", LOG_INT("count", n));
    loop_timer_set(&gen.recover, 0); /* there may be more */
    claim();
}

static void recover(void *arg)
{
    struct control *c;

    (void)arg;
    loop_timer_set(&gen.recover, RECOVER_MS);
    if (!gen.registered || gen.draining || !db_ready(gen.db))
        return;
    if (!gen.published || !gen.listening)
        greet();
    c = control_create(recover_done);
    job_recover(control_add(c), c->segment.arena, &gen.me, config_int("LEASE_SECONDS"),
                loop_now() - gen.ready_at >= config_int("LEASE_SECONDS") * 1000 / 6,
                gen.recover_limit);
    control_send(c);
}

/* ---- provider health ---- */

static void apply(const struct db_rows *rows)
{
    for (int i = 0; i < db_count(rows); i++)
        generate_apply_breaker(db_value(rows, i, 0), strcmp(db_value(rows, i, 1), "closed") == 0,
                               db_int(rows, i, 2));
}

/* Probes first: who is given one here is shown as half-open below. */
static void health_done(struct db_segment *s)
{
    if (succeeded(s, "provider health")) {
        apply(s->rows[1]);
        for (int i = 0; i < db_count(s->rows[0]); i++)
            generate_probe_breaker(db_value(s->rows[0], i, 0));
    }
    arena_destroy(s->arena);
}

/* Of PostgreSQL, with something asked of it: nobody is there any more. Well within the lease. */
static int64_t silence_ms(void)
{
    int64_t half = config_int("LEASE_SECONDS") * 1000 / 2;

    return half > SILENCE_LEAST_MS ? half : SILENCE_LEAST_MS;
}

static void read_health(void *arg)
{
    struct control *c;

    (void)arg;
    loop_timer_set(&gen.health, HEALTH_MS);
    if (db_silent_ms(gen.db) > silence_ms()) {
        log_warn("-", "PostgreSQL does not answer");
        db_disconnect(gen.db);
    }
    if (!gen.registered || !db_ready(gen.db))
        return;
    c = control_create(health_done);
    health_probe(control_add(c), c->segment.arena, BREAKER_OPEN_MS);
    health_read(control_add(c));
    control_send(c);
}

static void breaker_told(struct db_segment *s)
{
    if (succeeded(s, "breaker"))
        apply(s->rows[0]);
    arena_destroy(s->arena);
}

static void breaker_opened(size_t endpoint, int64_t hold_ms, enum llm_failure why)
{
    const char *provider = gen.endpoints[endpoint].name;
    struct control *c = control_create(breaker_told);

    log_warn("-", "breaker opened", LOG_TEXT("provider", provider),
             LOG_TEXT("class", llm_failure_name(why)), LOG_INT("ms", hold_ms));
    health_open(control_add(c), c->segment.arena, provider,
                hold_ms ? (long)hold_ms : BREAKER_OPEN_MS, BREAKER_OPEN_MAX_MS, hold_ms == 0,
                llm_failure_name(why));
    control_send(c);
}

static void breaker_closed(size_t endpoint)
{
    struct control *c = control_create(breaker_told);

    log_info("-", "breaker closed", LOG_TEXT("provider", gen.endpoints[endpoint].name));
    health_close(control_add(c), gen.endpoints[endpoint].name);
    control_send(c);
}

static int position_of(size_t endpoint)
{
    for (size_t i = 0; i < gen.chain_length; i++)
        if (gen.chain[i] == endpoint)
            return (int)i;
    return -1;
}

/* What a breaker's state is worth under: another URL, key or model is another provider. */
static const char *fingerprint(struct arena *a, const struct llm_endpoint *e)
{
    const char *parts[] = {e->base_url, e->model, e->key};
    uint64_t h = 14695981039346656037U; /* FNV-1a: tells a change, and no key */

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (const char *p = parts[i] ? parts[i] : ""; *p; p++)
            h = (h ^ (unsigned char)*p) * 1099511628211U;
    return arena_printf(a, "%016llx", (unsigned long long)h);
}

static void greeting_done(struct db_segment *s)
{
    bool done = succeeded(s, "greeting");

    arena_destroy(s->arena);
    if (!done)
        return; /* again with the next recovery */
    gen.published = gen.listening = true;
    read_health(NULL);
    claim();
}

/* Who this process is, once; what it listens to, on each new connection. */
static void greet(void)
{
    struct control *c = control_create(greeting_done);
    struct arena *a = c->segment.arena;

    for (size_t i = 0; !gen.published && i < gen.endpoint_count; i++)
        health_publish(control_add(c), a, gen.endpoints[i].name, position_of(i),
                       gen.endpoints[i].model, gen.endpoints[i].configured,
                       fingerprint(a, &gen.endpoints[i]));
    job_listen(&c->calls[c->segment.count]);
    c->segment.count += 2;
    control_send(c);
}

/* ---- the connection ---- */

/* For who waits for this process to be past its start, as scripts/restart. */
static void show_registered(void)
{
    if (dprintf(gen.slot_file, "%d\n", getpid()) < 0)
        log_warn("-", "slot file not written", LOG_TEXT("error", strerror(errno)));
}

/* If the former process died in a job's own code, the job is charged with it before all else. */
static void register_done(struct db_segment *s)
{
    bool done = succeeded(s, "register");

    gen.registering = false;
    if (done) {
        gen.me.epoch = db_int(s->rows[0], 0, 0);
        if (s->count > 1 && db_count(s->rows[1]) > 0)
            log_warn(gen.died_in, "charged with the death of a process");
    }
    arena_destroy(s->arena);
    if (!done) {
        gen.register_at = loop_now() + REGISTER_MS;
        return;
    }
    word_clear();
    gen.registered = true;
    gen.connect_delay = 0;
    log_info("-", "started", LOG_TEXT("slot", gen.me.slot), LOG_INT("epoch", gen.me.epoch));
    show_registered();
    recover(NULL);
}

static void connected(void)
{
    gen.ready_at = loop_now();
    gen.registering = gen.listening = false;
    loop_timer_stop(&gen.connect_limit);
    send_beat();
    if (gen.registered)
        recover(NULL);
}

static void reconciled(struct db_segment *s)
{
    if (succeeded(s, "reconciling") && db_int(s->rows[0], 0, 0) > 0)
        log_warn("-", "claims that nobody knew of requeued",
                 LOG_INT("count", db_int(s->rows[0], 0, 0)));
    arena_destroy(s->arena);
    claim();
}

/*
 * Not before the spool is replayed: a generation that ended there is held, and known to nobody. Nor
 * while a claim is under way; later ones come behind it. Never while draining: what is given back
 * then is held, too, until that is stored.
 */
static void reconcile(void)
{
    struct control *c;

    if (!gen.reconcile || gen.claiming || !db_ready(gen.db) || !store_replayed())
        return;
    c = control_create(reconciled);
    job_reconcile(control_add(c), c->segment.arena, &gen.me, generate_held(c->segment.arena),
                  gen.as_of);
    gen.reconcile = !control_send(c);
}

/*
 * Not before what the former process spooled is replayed: that was written under its epoch, which
 * ends here.
 */
static void register_now(void)
{
    struct control *c;

    if (gen.registered || gen.registering || !db_ready(gen.db) || !store_replayed() ||
        loop_now() < gen.register_at)
        return;
    c = control_create(register_done);
    job_register(control_add(c), gen.me.slot);
    if (*gen.died_in)
        job_charge(control_add(c), gen.me.slot, gen.died_in);
    gen.registering = control_send(c);
}

static void sync_watch(void);

static void database_ready(void *arg)
{
    (void)arg;
    db_advance(gen.db);
    sync_watch();
}

/* After anything that may have changed the connection: wait for what it waits for now. */
static void sync_watch(void)
{
    int fd = db_socket(gen.db);

    if (fd != gen.watched)
        loop_unwatch(gen.watched, &gen);
    gen.watched = fd;
    loop_watch(fd, db_wants_write(gen.db), database_ready, &gen);
    if (db_ready(gen.db) && !gen.was_ready) {
        gen.was_ready = true;
        connected();
    } else if (fd < 0 && gen.connect.index == 0) {
        if (gen.was_ready)
            log_warn("-", "connection to PostgreSQL lost");
        gen.was_ready = false;
        loop_timer_set(&gen.connect,
                       (int64_t)((double)gen.connect_delay * (0.8 + 0.4 * drand48())));
        gen.connect_delay = gen.connect_delay ? 2 * gen.connect_delay : CONNECT_FIRST_MS;
        if (gen.connect_delay > CONNECT_MAX_MS)
            gen.connect_delay = CONNECT_MAX_MS;
    }
}

static void connect_now(void *arg)
{
    struct err e;

    (void)arg;
    if (!db_connect(gen.db, &e))
        log_warn("-", "connecting failed", LOG_TEXT("error", e.text));
    else
        loop_timer_set(&gen.connect_limit, config_int("DB_CONNECT_MS"));
    sync_watch();
}

static void connect_too_long(void *arg)
{
    (void)arg;
    if (!db_ready(gen.db))
        db_disconnect(gen.db);
    sync_watch();
}

/* ---- the end ---- */

static void left(struct db_segment *s)
{
    arena_destroy(s->arena);
    loop_stop();
}

static void stop_now(void *arg)
{
    (void)arg;
    loop_stop();
}

static void leave(void)
{
    struct control *c = control_create(left);

    gen.leaving = true;
    job_leave(control_add(c), c->segment.arena, &gen.me);
    if (!gen.registered || !control_send(c))
        loop_stop();
}

/* Calls under way have had their time: give back what is left. */
static void drain_over(void *arg)
{
    (void)arg;
    log_warn("-", "drained", LOG_INT("requeued", generate_in_flight()));
    gen.drained = gen.releasing = true;
    gen.drain.fire = stop_now;
    loop_timer_set(&gen.drain, FLUSH_MS);
}

/*
 * A supervisor may tell a whole group to stop, and multiwatch, told so, tells us again: one word
 * said twice. Who says it later again cannot wait.
 */
static void on_signal(void *arg)
{
    (void)arg;
    if (gen.draining) {
        if (loop_now() - gen.told_at >= SAME_WORD_MS)
            loop_stop();
        return;
    }
    gen.draining = true;
    gen.told_at = loop_now();
    log_info("-", "stopping", LOG_INT("in_flight", generate_in_flight()));
    loop_timer_set(&gen.drain, config_int("DRAIN_SECONDS") * 1000);
}

/* When no answer that has come is untold: to give its generation back would be to pay twice. */
static void release(void)
{
    if (gen.releasing)
        generate_release_all();
    gen.releasing = false;
}

/* At the end of each round of the loop. */
static void after(void)
{
    release();
    store_send();
    register_now();
    reconcile();
    if (gen.draining && !gen.leaving && !gen.claiming && generate_in_flight() == 0 && store_idle())
        leave();
    sync_watch();
}

/* ---- the beginning ---- */

/* One process a slot: the lock goes with the process, however it ends. */
static bool lock_slot(struct err *e)
{
    const char *dir = config_text("STATE_DIR"), *slot = config_text("GENERATOR_SLOT");
    const char *path = arena_printf(gen.arena, "%s/slot-%s.lock", dir, slot);
    char host[256];
    int fd;

    if (strspn(slot, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            strlen(slot) ||
        strlen(slot) > 64)
        return err_set(e, ERR_INPUT, "GENERATOR_SLOT: letters, digits and ._- expected");
    if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
        return err_set(e, ERR_INPUT, "STATE_DIR: %.150s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(e, ERR_INPUT, "GENERATOR_SLOT: another process has slot %s", slot);
    gen.slot_file = fd;
    if (ftruncate(fd, 0) < 0)
        return err_set(e, ERR_INPUT, "STATE_DIR: %.150s: %s", path, strerror(errno));
    if (gethostname(host, sizeof host) < 0)
        return err_set(e, ERR_INPUT, "gethostname: %s", strerror(errno));
    host[sizeof host - 1] = '\0';
    gen.me.slot = arena_printf(gen.arena, "%s:%s", host, slot);
    return word_open(arena_printf(gen.arena, "%s/slot-%s.word", dir, slot), &gen.died_in, e) &&
           spool_open(dir, slot, config_int("SPOOL_MAX_MB"), config_int("SPOOL_RESERVE_MB"), e);
}

static bool load(struct err *e)
{
    const char *url = config_text("DATABASE_WORKER_URL");
    struct generate_context context = {
        .me = &gen.me, .breaker_opened = breaker_opened, .breaker_closed = breaker_closed};

    if (url == NULL)
        return err_set(e, ERR_INPUT, "DATABASE_WORKER_URL: required");
    gen.endpoints = llm_endpoints_load(gen.arena, &gen.endpoint_count, e);
    if (gen.endpoints == NULL)
        return false;
    gen.chain = arena_alloc(gen.arena, gen.endpoint_count * sizeof *gen.chain);
    if (!llm_chain_load(gen.endpoints, gen.endpoint_count, gen.chain, &gen.chain_length, e))
        return false;
    context.prices = llm_prices_load(gen.arena, e);
    if (context.prices == NULL || !lock_slot(e))
        return false;
    context.endpoints = gen.endpoints;
    context.endpoint_count = gen.endpoint_count;
    context.chain = gen.chain;
    context.chain_length = gen.chain_length;
    gen.db = db_create(url, "lesson-generator");
    store_init(gen.db);
    generate_init(&context);
    return true;
}

static void set_timer(struct loop_timer *t, void (*fire)(void *arg), int64_t ms)
{
    t->fire = fire;
    if (ms >= 0)
        loop_timer_set(t, ms);
}

/* Thousands of calls are thousands of sockets. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void spool_written(void *arg)
{
    (void)arg;
    spool_advance();
}

static void run(void)
{
    loop_watch(spool_fd(), false, spool_written, &gen.died_in);
    loop_on_stop_signal(on_signal, NULL);
    db_on_notify(gen.db, on_notify, NULL);
    set_timer(&gen.connect, connect_now, 0);
    set_timer(&gen.connect_limit, connect_too_long, -1);
    set_timer(&gen.beat, beat, 0);
    set_timer(&gen.recover, recover, RECOVER_MS);
    set_timer(&gen.poll, poll_queue, POLL_MS);
    set_timer(&gen.health, read_health, HEALTH_MS);
    set_timer(&gen.drain, drain_over, -1);
    loop_run(after);
    if (!store_finish())
        gen.status = EXIT_LOST;
    log_info("-", "stopped", LOG_INT("status", gen.status));
}

int main(int argc, char *argv[])
{
    struct err e;

    if (!config_init(CONFIG_GENERATOR, "lesson-generator", argc, argv, &e)) {
        fprintf(stderr, "lesson-generator: %s\n", e.text);
        return EXIT_SETTINGS;
    }
    log_init("lesson-generator");
    curl_global_init(CURL_GLOBAL_ALL);
    srand48(time(NULL) ^ getpid());
    raise_file_limit();
    gen.arena = arena_create();
    loop_init();
    if (!load(&e)) {
        fprintf(stderr, "lesson-generator: %s\n", e.text);
        return EXIT_SETTINGS;
    }
    run();
    generate_finish();
    db_destroy(gen.db);
    spool_close();
    word_close();
    loop_finish();
    arena_destroy(gen.arena);
    curl_global_cleanup();
    return gen.status;
}
