/*
 * instant: points in time as clients write them (RFC 3339), in microseconds
 * since 1970, and as PostgreSQL reads them.
 */
#ifndef COMMON_INSTANT_H
#define COMMON_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"

#define INSTANT_SECOND INT64_C(1000000)
#define INSTANT_FIRST (INT64_C(-62135596800) * INSTANT_SECOND) /* of the year 1 */
#define INSTANT_DAY (86400 * INSTANT_SECOND)

/* False if it is none; digits beyond microseconds are cut. Years 1 to 9999, no leap seconds. */
bool instant_parse(const char *text, int64_t *at);

/* "2026-11-25T10:00:00.000000+00:00" */
const char *instant_text(struct arena *a, int64_t at);

int64_t instant_now(void);

#endif
