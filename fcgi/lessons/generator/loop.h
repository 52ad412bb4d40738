/*
 * loop: one thread, one wait.
 *
 * An epoll over everything the generator waits for: curl's sockets, PostgreSQL's,
 * a signalfd; its timeout is the nearest timer's. There is no other wait. This is
 * the only file that knows epoll and curl's multi interface.
 */
#ifndef GENERATOR_LOOP_H
#define GENERATOR_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the caller's memory, zeroed before first use; may be set again from its own callback. */
struct loop_timer {
    void (*fire)(void *arg);
    void *arg;
    int64_t at; /* private, with index: its place in the heap, from 1; 0: not set */
    size_t index;
};

void loop_init(void);
void loop_finish(void); /* after it, loop_init() may begin anew */

/* Until loop_stop(). after() runs at the end of each round, before the next wait. */
void loop_run(void (*after)(void));
void loop_stop(void);

int64_t loop_now(void); /* milliseconds, monotonic */

/* Call ready() when fd can be read, or written where write is set. Again to change; -1 fd: nothing.
 */
void loop_watch(int fd, bool write, void (*ready)(void *arg), void *arg);
void loop_unwatch(int fd, const void *arg);

/* SIGTERM and SIGINT are blocked, and reported here instead. */
void loop_on_stop_signal(void (*fire)(void *arg), void *arg);

void loop_timer_set(struct loop_timer *t, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *t);

/*
 * A transfer, in the caller's memory. What can be sent of it is sent at once; done() runs later,
 * never from here. The easy handle stays the caller's. Other transfers may get on meanwhile.
 */
struct loop_transfer {
    void (*done)(void *arg, CURLcode rc);
    void *arg;
    struct loop_pool *pool; /* private: where it is under way, or ended; NULL: it is not */
    struct loop_transfer *next;
    CURLcode result;
    bool ended; /* and not told yet */
    CURL *easy;
};
void loop_transfer_start(CURL *easy, bool tls, struct loop_transfer *t);
void loop_transfer_cancel(struct loop_transfer *t); /* done() will not run; nothing if it has */

#endif
