/*
 * breaker: whether a provider is worth a call.
 *
 * Pure: the caller says what time it is. It opens at 3 countable failures in a
 * row, or when at least half of at least 5 calls within 60 s failed; how long it
 * stays open is decided by what all generators share (health.c), which is fed
 * back by breaker_apply().
 */
#ifndef GENERATOR_BREAKER_H
#define GENERATOR_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BREAKER_IN_ROW = 3,
    BREAKER_WINDOW_MS = 60000,
    BREAKER_WINDOW_CALLS = 5,
    BREAKER_OPEN_MS = 30000,
    BREAKER_OPEN_MAX_MS = 600000,
    BREAKER_BUCKETS = 6,
};

struct breaker {
    int in_row;
    struct {
        int64_t begin;
        int calls, failures;
    } buckets[BREAKER_BUCKETS];
    int64_t open_until; /* 0: closed */
    bool probing;       /* this process may make the one call that closes it again */
};

/* False while open; the one probe is allowed. */
bool breaker_allows(const struct breaker *b);
/* A call is about to be made. True if it is the probe. */
bool breaker_take(struct breaker *b);
/*
 * A call ended. True if the breaker should open now, or again: the caller tells the others. Calls
 * that were under way when it opened change nothing.
 */
bool breaker_note(struct breaker *b, int64_t now, bool failed, bool probe);
/* Do not call before `until`; never shortens. */
void breaker_hold(struct breaker *b, int64_t until);
/* What all generators share: open for ms more, or closed (ms 0). */
void breaker_apply(struct breaker *b, int64_t now, bool closed, int64_t ms);
/* This process was given the probe. */
void breaker_probe(struct breaker *b);

#endif
