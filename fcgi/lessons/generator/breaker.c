#include "fcgi/lessons/generator/breaker.h"

enum { BUCKET_MS = BREAKER_WINDOW_MS / BREAKER_BUCKETS };

bool breaker_allows(const struct breaker *b)
{
    return b->open_until == 0 || b->probing;
}

bool breaker_take(struct breaker *b)
{
    bool probe = b->probing;

    b->probing = false;
    return probe;
}

static void count(struct breaker *b, int64_t now, bool failed, int *calls, int *failures)
{
    int64_t begin = now - now % BUCKET_MS;
    int slot = (int)(now / BUCKET_MS % BREAKER_BUCKETS);

    if (b->buckets[slot].begin != begin) {
        b->buckets[slot].begin = begin;
        b->buckets[slot].calls = b->buckets[slot].failures = 0;
    }
    b->buckets[slot].calls++;
    b->buckets[slot].failures += failed;
    *calls = *failures = 0;
    for (int i = 0; i < BREAKER_BUCKETS; i++)
        if (b->buckets[i].begin > now - BREAKER_WINDOW_MS) {
            *calls += b->buckets[i].calls;
            *failures += b->buckets[i].failures;
        }
}

bool breaker_note(struct breaker *b, int64_t now, bool failed, bool probe)
{
    int calls, failures;

    if (b->open_until != 0)
        return failed && probe;
    count(b, now, failed, &calls, &failures);
    b->in_row = failed ? b->in_row + 1 : 0;
    return failed && (b->in_row >= BREAKER_IN_ROW ||
                      (calls >= BREAKER_WINDOW_CALLS && 2 * failures >= calls));
}

void breaker_hold(struct breaker *b, int64_t until)
{
    if (until > b->open_until)
        b->open_until = until;
}

void breaker_apply(struct breaker *b, int64_t now, bool closed, int64_t ms)
{
    if (!closed) {
        b->open_until = now + (ms > 0 ? ms : 1);
        return;
    }
    if (b->open_until != 0) /* what was counted before is history */
        *b = (struct breaker){0};
}

void breaker_probe(struct breaker *b)
{
    b->probing = true;
}
