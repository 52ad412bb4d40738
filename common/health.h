/*
 * health: provider_health, the state of providers that all generators share, and
 * what /readyz asks. No keys are in it.
 */
#ifndef COMMON_HEALTH_H
#define COMMON_HEALTH_H

#include "common/db.h"

/* ---- for the responders ---- */

/* A JSON object a row: the chain in order, then the rest. */
bool health_list(struct db *db, struct arena *a, const struct db_identity *who, int deadline_ms,
                 struct db_rows **rows, struct err *e);

struct health_ready {
    const char *schema; /* the last migration applied */
    bool generator;     /* one beat within the lease, and could spool */
    bool provider;      /* one in the chain is configured */
};
bool health_ready(struct db *db, struct arena *a, long lease_seconds, int deadline_ms,
                  struct health_ready *ready, struct err *e);

/* ---- for the generator: calls to send ---- */

/*
 * What this generator is configured with; position -1: not in the chain. A breaker starts closed if
 * the fingerprint of the configuration is another than before.
 */
void health_publish(struct db_call *call, struct arena *a, const char *provider, int position,
                    const char *model, bool configured, const char *fingerprint);
/* Open a breaker, or keep it open for longer; never shorter. A row: opens, ms until it may be
 * probed. */
void health_open(struct db_call *call, struct arena *a, const char *provider, long open_ms,
                 long open_max_ms, bool doubling, const char *error_class);
void health_close(struct db_call *call, const char *provider);
/* Take the right to probe, where the time has come; it lapses after lease_ms. A row: the provider.
 */
void health_probe(struct db_call *call, struct arena *a, long lease_ms);
/* Rows: provider, state, milliseconds until it may be probed (0: now). */
void health_read(struct db_call *call);

#endif
