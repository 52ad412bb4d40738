/*
 * trace_stats: how many traces there are of what, and what they took.
 *
 * Counted from the rows that are there, by the index that has all it takes. Of
 * six hours that are over, sums are added up instead where they are known to be
 * true (sql/migrations/0009): what is deleted is gone from here at once, too.
 */
#ifndef COMMON_TRACE_STATS_H
#define COMMON_TRACE_STATS_H

#include "common/trace_filter.h"

/* How long a bucket of the series may be. */
#define TRACE_BUCKETS(X)                                                                           \
    X("minute", 60)                                                                                \
    X("5min", 300)                                                                                 \
    X("15min", 900)                                                                                \
    X("hour", 3600)                                                                                \
    X("6h", 21600)                                                                                 \
    X("day", 86400)                                                                                \
    X("week", 604800)                                                                              \
    X("month", 2592000)

/* Values and counts of status, provider, model and error class, as JSON; each obeys all filters but
 * its own. */
const char *trace_facets(struct db *db, struct arena *a, const struct db_identity *who,
                         struct trace_filter *f, int deadline_ms, struct err *e);

/* How many traces there are of each status in each bucket from filter "from" to filter "to", as
 * JSON; their defaults, and that of bucket, are those of trace_stats(). */
const char *trace_histogram(struct db *db, struct arena *a, const struct db_identity *who,
                            struct trace_filter *f, const char *bucket, int deadline_ms,
                            struct err *e);

/*
 * Totals, percentiles and a series from filter "from" to filter "to", as JSON. Without them: the
 * last 24 hours. bucket NULL: one with which there are 24 to 120, if any is. Percentiles are
 * durations that occurred; of more than 5,000 traces within 2 %.
 */
const char *trace_stats(struct db *db, struct arena *a, const struct db_identity *who,
                        struct trace_filter *f, const char *bucket, int deadline_ms, struct err *e);

#endif
