/* decisions: why a generation did what it did, in order, as the trace shows it. */
#ifndef GENERATOR_DECISIONS_H
#define GENERATOR_DECISIONS_H

#include <stdint.h>

#include "common/arena.h"

struct decisions;

/* Goes on from what the trace has already: a JSON array; left out if it is too long. */
struct decisions *decisions_create(struct arena *a, const char *so_far);

/*
 * action: try retry wait skip fallback give_up. provider, reason: NULL for none; wait_ms < 0: none.
 * What does not fit any more is left out, whole.
 */
void decisions_add(struct decisions *d, const char *action, const char *provider,
                   const char *reason, int64_t wait_ms);

/* The JSON array, a copy in the arena. */
const char *decisions_json(const struct decisions *d, struct arena *a);

#endif
