#include "fcgi/lessons/generator/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    ROUNDS_MAX = 64,
    TIMERS_FIRST = 64,
    WAIT_MAX_MS = 60000,
    POOL_TRANSFERS = 200,
    POOL_REST_MS = 60000,
};

/*
 * Some transfers, and the connections that they left for the next. Where one connection carries one
 * transfer, curl looks for an idle one among all of a host: with thousands in one multi handle that
 * takes longer than all the rest. So there are several, for plain HTTP. Those by TLS are in one of
 * their own, without a limit: mostly HTTP/2, where one connection carries a hundred, and each multi
 * handle reads the authorities anew, for 25 ms.
 */
struct loop_pool {
    CURLM *multi;
    struct loop_timer timer; /* curl's */
    struct loop_timer rest;  /* of a plain one without a transfer: then it is given up */
    struct loop_pool *next;
    bool tls;
    int transfers;
};

/* Who waits for a descriptor; indexed by it. */
struct watch {
    void (*ready)(void *arg);
    void *arg;
    struct loop_pool *pool; /* a transfer of it */
    uint32_t events;
};

static struct {
    int epoll, signals;
    bool stopping;
    struct loop_pool *pools;                  /* the oldest first, which are filled first */
    CURLSH *share;                            /* what all of them know: addresses, TLS sessions */
    struct loop_transfer *ended, **ended_end; /* of which nobody was told yet, in their order */
    struct watch *watches;
    size_t watch_count;
    struct loop_timer **heap; /* from 1: the parent of i is i / 2 */
    size_t heap_size, heap_used;
    void (*on_signal)(void *arg);
    void *on_signal_arg;
} loop = {.epoll = -1, .signals = -1};

static void *must(void *p)
{
    if (p == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

int64_t loop_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- timers: a binary heap ---- */

static void heap_put(size_t i, struct loop_timer *t)
{
    loop.heap[i] = t;
    t->index = i;
}

static void heap_up(size_t i)
{
    struct loop_timer *t = loop.heap[i];

    for (; i > 1 && loop.heap[i / 2]->at > t->at; i /= 2)
        heap_put(i, loop.heap[i / 2]);
    heap_put(i, t);
}

static void heap_down(size_t i)
{
    struct loop_timer *t = loop.heap[i];
    size_t child;

    while ((child = 2 * i) <= loop.heap_used) {
        if (child < loop.heap_used && loop.heap[child + 1]->at < loop.heap[child]->at)
            child++;
        if (loop.heap[child]->at >= t->at)
            break;
        heap_put(i, loop.heap[child]);
        i = child;
    }
    heap_put(i, t);
}

void loop_timer_stop(struct loop_timer *t)
{
    size_t i = t->index;
    struct loop_timer *last;

    if (i == 0)
        return;
    t->index = 0;
    last = loop.heap[loop.heap_used--];
    if (last == t)
        return;
    heap_put(i, last);
    heap_up(i);
    heap_down(last->index);
}

void loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
    loop_timer_stop(t);
    if (loop.heap_used + 1 >= loop.heap_size) {
        loop.heap_size = loop.heap_size ? 2 * loop.heap_size : TIMERS_FIRST;
        loop.heap = must(realloc(loop.heap, loop.heap_size * sizeof *loop.heap));
    }
    t->at = loop_now() + (delay_ms > 0 ? delay_ms : 0);
    heap_put(++loop.heap_used, t);
    heap_up(t->index);
}

static void fire_timers(void)
{
    int64_t now = loop_now();

    while (loop.heap_used > 0 && loop.heap[1]->at <= now) {
        struct loop_timer *t = loop.heap[1];

        loop_timer_stop(t);
        t->fire(t->arg);
    }
}

static int wait_ms(void)
{
    int64_t left = loop.heap_used ? loop.heap[1]->at - loop_now() : WAIT_MAX_MS;

    if (loop.ended != NULL)
        return 0;
    return left < 0 ? 0 : left > WAIT_MAX_MS ? WAIT_MAX_MS : (int)left;
}

/* ---- descriptors ---- */

static struct watch *watch_of(int fd)
{
    size_t need = (size_t)fd + 1, old = loop.watch_count;

    if (need > old) {
        loop.watch_count = need * 2;
        loop.watches = must(realloc(loop.watches, loop.watch_count * sizeof *loop.watches));
        memset(loop.watches + old, 0, (loop.watch_count - old) * sizeof *loop.watches);
    }
    return &loop.watches[fd];
}

static void set_events(int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};

    /* A descriptor that was closed and opened again is not in the set any more. */
    if (epoll_ctl(loop.epoll, EPOLL_CTL_MOD, fd, &ev) < 0 &&
        (errno != ENOENT || epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &ev) < 0)) {
        perror("epoll_ctl");
        abort();
    }
    watch_of(fd)->events = events;
}

void loop_watch(int fd, bool write, void (*ready)(void *arg), void *arg)
{
    uint32_t events = write ? EPOLLIN | EPOLLOUT : EPOLLIN;
    struct watch *w;

    if (fd < 0)
        return;
    w = watch_of(fd);
    w->ready = ready;
    w->arg = arg;
    w->pool = NULL;
    set_events(fd, events);
}

static void forget(int fd)
{
    epoll_ctl(loop.epoll, EPOLL_CTL_DEL, fd, NULL);
    *watch_of(fd) = (struct watch){0};
}

void loop_unwatch(int fd, const void *arg)
{
    if (fd >= 0 && watch_of(fd)->pool == NULL && watch_of(fd)->arg == arg)
        forget(fd);
}

/* ---- signals ---- */

static void read_signal(void *arg)
{
    struct signalfd_siginfo info;

    (void)arg;
    while (read(loop.signals, &info, sizeof info) == sizeof info)
        if (loop.on_signal != NULL)
            loop.on_signal(loop.on_signal_arg);
}

void loop_on_stop_signal(void (*fire)(void *arg), void *arg)
{
    loop.on_signal = fire;
    loop.on_signal_arg = arg;
}

/* ---- transfers ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *pool, void *socket_arg)
{
    (void)easy;
    (void)socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watch_of(fd)->pool == pool)
            forget(fd);
        return 0;
    }
    watch_of(fd)->pool = pool;
    set_events(fd, (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
                       (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0));
    return 0;
}

static int on_curl_timeout(CURLM *multi, long ms, void *arg)
{
    struct loop_pool *pool = arg;

    (void)multi;
    if (ms < 0)
        loop_timer_stop(&pool->timer);
    else
        loop_timer_set(&pool->timer, ms);
    return 0;
}

/* They are told at the end of the round, when curl is not in the middle of something. */
static void note_ended(const struct loop_pool *pool)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(pool->multi, &left)) != NULL) {
        struct loop_transfer *t;

        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
        t->result = msg->data.result;
        t->ended = true;
        *loop.ended_end = t;
        loop.ended_end = &t->next;
    }
}

static void act(const struct loop_pool *pool, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(pool->multi, fd, what, &running);
    note_ended(pool);
}

static void fire_curl_timer(void *pool)
{
    act(pool, CURL_SOCKET_TIMEOUT, 0);
}

/*
 * Of itself curl would close idle connections when the next transfer begins, which may be never; by
 * TLS there is always one, and few connections.
 */
static void pool_destroy(struct loop_pool *pool)
{
    struct loop_pool **p = &loop.pools;

    while (*p != pool)
        p = &(*p)->next;
    *p = pool->next;
    curl_multi_cleanup(pool->multi);
    loop_timer_stop(&pool->timer);
    loop_timer_stop(&pool->rest);
    free(pool);
}

static void rested(void *pool)
{
    pool_destroy(pool);
}

static struct loop_pool *pool_create(bool tls)
{
    struct loop_pool *pool = must(calloc(1, sizeof *pool));

    pool->multi = must(curl_multi_init());
    pool->tls = tls;
    pool->timer = (struct loop_timer){.fire = fire_curl_timer, .arg = pool};
    pool->rest = (struct loop_timer){.fire = rested, .arg = pool};
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_curl_timeout);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    return pool;
}

static bool has_room(const struct loop_pool *pool, bool tls)
{
    return pool->tls == tls && (tls || pool->transfers < POOL_TRANSFERS);
}

static struct loop_pool *pool_with_room(bool tls)
{
    struct loop_pool **p = &loop.pools;

    while (*p != NULL && !has_room(*p, tls))
        p = &(*p)->next;
    if (*p == NULL)
        *p = pool_create(tls);
    return *p;
}

static void pool_leave(struct loop_pool *pool)
{
    if (--pool->transfers == 0 && !pool->tls)
        loop_timer_set(&pool->rest, POOL_REST_MS);
}

void loop_transfer_start(CURL *easy, bool tls, struct loop_transfer *t)
{
    t->easy = easy;
    t->pool = pool_with_room(tls);
    t->next = NULL;
    t->ended = false;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_SHARE, loop.share);
    if (curl_multi_add_handle(t->pool->multi, easy) != CURLM_OK)
        abort();
    t->pool->transfers++;
    loop_timer_stop(&t->pool->rest);
    act(t->pool, CURL_SOCKET_TIMEOUT, 0); /* it does not wait for those that start behind it */
}

static void take_out(struct loop_transfer *t)
{
    struct loop_transfer **p = &loop.ended;

    while (*p != t)
        p = &(*p)->next;
    *p = t->next;
    if (loop.ended_end == &t->next)
        loop.ended_end = p;
}

void loop_transfer_cancel(struct loop_transfer *t)
{
    if (t->pool == NULL)
        return;
    if (t->ended)
        take_out(t);
    curl_multi_remove_handle(t->pool->multi, t->easy);
    pool_leave(t->pool);
    t->pool = NULL;
}

static void finish_transfers(void)
{
    while (loop.ended != NULL) {
        struct loop_transfer *t = loop.ended;

        loop_transfer_cancel(t);
        t->done(t->arg, t->result);
    }
}

/* ---- the loop ---- */

static int signal_fd(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1); /* multiwatch asks its children to end with it */
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void loop_init(void)
{
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop.signals = signal_fd();
    if (loop.epoll < 0 || loop.signals < 0)
        abort();
    loop.ended_end = &loop.ended;
    loop.share = must(curl_share_init());
    curl_share_setopt(loop.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    curl_share_setopt(loop.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    loop_watch(loop.signals, false, read_signal, NULL);
}

void loop_finish(void)
{
    while (loop.pools != NULL)
        pool_destroy(loop.pools);
    curl_share_cleanup(loop.share);
    close(loop.signals);
    close(loop.epoll);
    free(loop.watches);
    free(loop.heap);
    memset(&loop, 0, sizeof loop);
    loop.epoll = loop.signals = -1;
}

static void dispatch(const struct epoll_event *ev)
{
    const struct watch *w = watch_of(ev->data.fd);
    uint32_t e = ev->events;

    if (w->events == 0)
        return; /* unwatched earlier in this round */
    if (w->pool == NULL)
        w->ready(w->arg);
    else
        act(w->pool, ev->data.fd,
            (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
}

/*
 * What is there is read before any timer fires: after a stall, an answer that waits in its socket
 * is no answer too late. But not for ever.
 */
static void dispatch_what_is_there(void)
{
    struct epoll_event events[EVENTS_MAX];
    int n, rounds = 0, wait = wait_ms();

    do {
        n = epoll_wait(loop.epoll, events, EVENTS_MAX, wait);
        for (int i = 0; i < n; i++)
            dispatch(&events[i]);
        wait = 0;
    } while (n == EVENTS_MAX && ++rounds < ROUNDS_MAX && !loop.stopping);
}

void loop_run(void (*after)(void))
{
    while (!loop.stopping) {
        dispatch_what_is_there();
        finish_transfers();
        fire_timers();
        finish_transfers();
        after();
    }
}

void loop_stop(void)
{
    loop.stopping = true;
}
