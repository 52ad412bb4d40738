#include "common/health.h"

#include <string.h>

static const struct db_statement list = {
    "health_list",
    "SELECT row_to_json(r) FROM ("
    "  SELECT provider AS name, model, position, configured, state, open_until, error_class"
    "    FROM provider_health ORDER BY position NULLS LAST, provider) r",
    0,
};

static const struct db_statement ready = {
    "health_ready",
    "SELECT (SELECT max(name) FROM schema_migrations),"
    "       EXISTS (SELECT FROM generation_workers"
    "                WHERE (beat > now() - make_interval(secs => $1::int)"
    "                       OR left_at > now() - interval '5 seconds') AND spool_ok),"
    "       EXISTS (SELECT FROM provider_health WHERE configured AND position IS NOT NULL)",
    1,
};

static const struct db_statement publish = {
    "health_publish",
    "INSERT INTO provider_health AS p (provider, position, model, configured, fingerprint)"
    "VALUES ($1, $2::int, $3, $4::bool, $5) ON CONFLICT (provider) DO UPDATE"
    "   SET position = excluded.position, model = excluded.model,"
    "       configured = excluded.configured, fingerprint = excluded.fingerprint,"
    "       state = CASE WHEN p.fingerprint = excluded.fingerprint THEN p.state ELSE 'closed' END,"
    "       open_until = CASE WHEN p.fingerprint = excluded.fingerprint THEN p.open_until END,"
    "       opens = CASE WHEN p.fingerprint = excluded.fingerprint THEN p.opens ELSE 0 END,"
    "       error_class = CASE WHEN p.fingerprint = excluded.fingerprint THEN p.error_class END,"
    "       updated_at = now()",
    5,
};

static const struct db_statement open_breaker = {
    "health_open",
    "UPDATE provider_health"
    "   SET state = 'open', error_class = $5, updated_at = now(),"
    "       opens = CASE WHEN state = 'open' THEN opens ELSE opens + 1 END,"
    "       open_until = greatest(open_until, now() + interval '1 millisecond' *"
    "         CASE WHEN $4::bool"
    "              THEN least($2::float * 2 ^ CASE WHEN state = 'open' THEN greatest(opens - 1, 0)"
    "                                              ELSE opens END, $3::float)"
    "              ELSE $2::float END)"
    " WHERE provider = $1"
    " RETURNING provider, state, (extract(epoch FROM open_until - now()) * 1000)::bigint",
    5,
};

static const struct db_statement close_breaker = {
    "health_close",
    "UPDATE provider_health SET state = 'closed', open_until = NULL, opens = 0, error_class = NULL,"
    "       updated_at = now()"
    " WHERE provider = $1 AND state <> 'closed' RETURNING provider, state, 0",
    1,
};

static const struct db_statement probe = {
    "health_probe",
    "UPDATE provider_health"
    "   SET state = 'half_open', open_until = now() + interval '1 millisecond' * $1::bigint,"
    "       updated_at = now()"
    " WHERE state <> 'closed' AND open_until <= now() RETURNING provider",
    1,
};

static const struct db_statement read_all = {
    "health_read",
    "SELECT provider, state,"
    "       coalesce(greatest(extract(epoch FROM open_until - now()) * 1000, 0), 0)::bigint"
    "  FROM provider_health",
    0,
};

bool health_list(struct db *db, struct arena *a, const struct db_identity *who, int deadline_ms,
                 struct db_rows **rows, struct err *e)
{
    struct db_call call = {&list, {{0}}};

    return db_run(db, a, who, &call, 1, rows, DB_RETRY, deadline_ms, e);
}

bool health_ready(struct db *db, struct arena *a, long lease_seconds, int deadline_ms,
                  struct health_ready *out, struct err *e)
{
    struct db_call call = {&ready, {db_arg_int(a, lease_seconds)}};
    struct db_rows *rows;

    if (!db_run(db, a, NULL, &call, 1, &rows, DB_RETRY, deadline_ms, e))
        return false;
    *out = (struct health_ready){
        .schema = db_value(rows, 0, 0),
        .generator = strcmp(db_value(rows, 0, 1), "t") == 0,
        .provider = strcmp(db_value(rows, 0, 2), "t") == 0,
    };
    return true;
}

void health_publish(struct db_call *call, struct arena *a, const char *provider, int position,
                    const char *model, bool configured, const char *fingerprint)
{
    *call = (struct db_call){&publish,
                             {db_arg(provider),
                              position < 0 ? db_arg(NULL) : db_arg_int(a, position), db_arg(model),
                              db_arg(configured ? "true" : "false"), db_arg(fingerprint)}};
}

void health_open(struct db_call *call, struct arena *a, const char *provider, long open_ms,
                 long open_max_ms, bool doubling, const char *error_class)
{
    *call = (struct db_call){&open_breaker,
                             {db_arg(provider), db_arg_int(a, open_ms), db_arg_int(a, open_max_ms),
                              db_arg(doubling ? "true" : "false"), db_arg(error_class)}};
}

void health_close(struct db_call *call, const char *provider)
{
    *call = (struct db_call){&close_breaker, {db_arg(provider)}};
}

void health_probe(struct db_call *call, struct arena *a, long lease_ms)
{
    *call = (struct db_call){&probe, {db_arg_int(a, lease_ms)}};
}

void health_read(struct db_call *call)
{
    *call = (struct db_call){&read_all, {{0}}};
}
