-- What failed calls cost, and whose they were; a search that finds a word however it is written.
SET LOCAL ROLE lesson_owner;

-- ---- failed calls ----

-- A member of each call that failed, in order; null: none did.
CREATE FUNCTION trace_failed(calls jsonb, member text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT array_agg(c ->> member ORDER BY n) FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
 WHERE c ->> 'error_class' IS NOT NULL
$$;

-- Made of the calls by the database, so that they never say another thing than those: whose each failed call was, how it
-- failed, and what it cost if that is known. Where none failed, no function is called: to begin one takes as long as all
-- the rest.
ALTER TABLE lesson_traces
    DROP COLUMN search_text,
    ADD COLUMN failed_providers text[] GENERATED ALWAYS AS (
        CASE WHEN llm_calls @? '$[*] ? (@.error_class != null)' THEN trace_failed(llm_calls, 'provider') END) STORED,
    ADD COLUMN failed_classes text[] GENERATED ALWAYS AS (
        CASE WHEN llm_calls @? '$[*] ? (@.error_class != null)' THEN trace_failed(llm_calls, 'error_class') END) STORED,
    ADD COLUMN failed_costs numeric[] GENERATED ALWAYS AS (
        CASE WHEN llm_calls @? '$[*] ? (@.error_class != null && @.cost_usd != null)'
             THEN trace_failed(llm_calls, 'cost_usd')::numeric[] END) STORED;

-- ---- search ----

-- Letters that are read as the same are the same: large and small, composed or not, wide or narrow, and both small sigmas.
CREATE FUNCTION trace_fold(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT translate(lower(normalize(value, NFKC)), 'ς', 'σ') $$;

CREATE OR REPLACE FUNCTION trace_text(outline_preview text, last_error text, error_message text, model text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT trace_fold(coalesce(outline_preview, '') || E'\n' || coalesce(last_error, '') || E'\n'
                  || coalesce(error_message, '') || E'\n' || coalesce(model, ''))
$$;

-- What a text with these words in it is LIKE; of their own, no character means anything else than itself.
CREATE FUNCTION trace_pattern(words text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT '%' || regexp_replace(trace_fold(words), '([%_\\])', '\\\1', 'g') || '%' $$;

ALTER TABLE lesson_traces
    ADD COLUMN search_text text
        GENERATED ALWAYS AS (trace_text(left(request_data ->> 'outline', 200), last_error, error_message, model)) STORED;
ALTER TABLE lesson_traces ALTER COLUMN search_text SET STORAGE MAIN;
CREATE INDEX lesson_traces_text ON lesson_traces USING gin (owner, search_text gin_trgm_ops)
    WITH (gin_pending_list_limit = 512)
    WHERE status <> 'started';

-- Where traces with these words in them are: one function for each role, so that none of them has to find out who asks.
DROP FUNCTION trace_search;

CREATE FUNCTION trace_search_own(words text) RETURNS tid[]
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    pattern CONSTANT text := trace_pattern(words);
    caller CONSTANT text := app_uid();
BEGIN
    RETURN ARRAY(SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status <> 'started' AND owner = caller
                 UNION ALL
                 SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status = 'started' AND owner = caller);
END
$$;
CREATE FUNCTION trace_search_every(words text) RETURNS tid[]
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    pattern CONSTANT text := trace_pattern(words);
BEGIN
    RETURN ARRAY(SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status <> 'started'
                 UNION ALL
                 SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status = 'started');
END
$$;
REVOKE EXECUTE ON FUNCTION trace_search_own, trace_search_every FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trace_search_own TO lesson_api;
GRANT EXECUTE ON FUNCTION trace_search_every TO lesson_admin;

-- ---- indexes ----

DROP INDEX lesson_traces_created_at;
CREATE INDEX lesson_traces_created_at ON lesson_traces (created_at DESC, id DESC)
    INCLUDE (owner, status, provider_used, model, error_class, total_duration_ms, prompt_tokens, completion_tokens,
             total_tokens, cost_usd, llm_call_count, fallback_providers, failed_providers, failed_classes, failed_costs);

-- Who failed seldom is found by this one, who failed often by time.
CREATE INDEX lesson_traces_failed_providers ON lesson_traces USING gin (owner, failed_providers)
    WITH (gin_pending_list_limit = 512)
    WHERE failed_providers IS NOT NULL;

-- ---- roll-ups ----

-- Of the same six hours: how many calls failed, and how, to whom, and at what cost.
CREATE TABLE trace_rollup_failures (
    at              timestamptz NOT NULL,
    owner           text,                 -- null: of all
    status          text NOT NULL,
    provider_used   text,
    model           text,
    error_class     text,
    failed_provider text NOT NULL,
    failed_class    text NOT NULL,
    n               bigint NOT NULL,
    cost            numeric
);
CREATE INDEX trace_rollup_failures_owner ON trace_rollup_failures (owner, at);

ALTER TABLE trace_rollup_failures ENABLE ROW LEVEL SECURITY;
ALTER TABLE trace_rollup_failures FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON trace_rollup_failures FOR SELECT TO lesson_api USING (owner = (SELECT app_uid()));
CREATE POLICY every ON trace_rollup_failures FOR SELECT TO lesson_admin USING (true);
CREATE POLICY roll ON trace_rollup_failures TO lesson_owner USING (true) WITH CHECK (true);
GRANT SELECT ON trace_rollup_failures TO lesson_api, lesson_admin;

-- As before, with what failed.
CREATE OR REPLACE FUNCTION trace_roll_up(within interval) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    until CONSTANT timestamptz := clock_timestamp() + within;
    slot timestamptz;
    done integer := 0;
BEGIN
    IF current_setting('transaction_read_only')::boolean OR NOT pg_try_advisory_xact_lock(hashtext('trace_roll_up')) THEN
        RETURN 0;
    END IF;
    FOR slot IN
        SELECT generate_series(
                   trace_slot(greatest((SELECT coalesce(min(created_at), now()) FROM lesson_traces), now() - interval '2 years')),
                   now() - interval '7 hours', '6 hours') AS at
        EXCEPT
        SELECT at FROM trace_rolled
         UNION
        SELECT at FROM trace_touched WHERE at <= now() - interval '7 hours'
         ORDER BY at DESC
    LOOP
        EXIT WHEN clock_timestamp() > until;
        WITH known AS (DELETE FROM trace_touched WHERE at = slot),
             old AS (DELETE FROM trace_rollups WHERE at = slot),
             old_failures AS (DELETE FROM trace_rollup_failures WHERE at = slot),
             rolled AS (INSERT INTO trace_rolled VALUES (slot) ON CONFLICT DO NOTHING),
             traces AS MATERIALIZED (
            SELECT owner, status, provider_used, model, error_class, fallback_providers, llm_call_count, prompt_tokens,
                   completion_tokens, total_tokens, cost_usd, failed_providers, failed_classes, failed_costs,
                   CASE WHEN status <> 'started' THEN total_duration_ms END AS duration
              FROM lesson_traces WHERE created_at >= slot AND created_at < slot + interval '6 hours'),
             failures AS (
            INSERT INTO trace_rollup_failures
            SELECT slot, owner, status, provider_used, model, error_class, failed_provider, failed_class, count(*), sum(cost)
              FROM traces, unnest(failed_providers, failed_classes, failed_costs) AS f (failed_provider, failed_class, cost)
             GROUP BY GROUPING SETS ((status, provider_used, model, error_class, failed_provider, failed_class),
                                     (owner, status, provider_used, model, error_class, failed_provider, failed_class))),
             cells AS (
            SELECT owner, status, provider_used, model, error_class, count(*) AS n, avg(duration)::integer AS duration,
                   count(*) FILTER (WHERE cardinality(fallback_providers) > 0) AS fallbacks, sum(llm_call_count) AS calls,
                   sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion, sum(total_tokens) AS tokens,
                   sum(cost_usd) AS cost, count(cost_usd) AS known
              FROM traces
             GROUP BY GROUPING SETS ((status, provider_used, model, error_class, trace_bin(duration)),
                                     (owner, status, provider_used, model, error_class, trace_bin(duration))))
        INSERT INTO trace_rollups
        SELECT slot, owner, status, provider_used, model, error_class, sum(n), sum(fallbacks), sum(calls), sum(prompt),
               sum(completion), sum(tokens), sum(cost), sum(known),
               array_agg(duration ORDER BY duration) FILTER (WHERE duration IS NOT NULL),
               array_agg(n ORDER BY duration) FILTER (WHERE duration IS NOT NULL)
          FROM cells GROUP BY owner, status, provider_used, model, error_class;
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;

-- ---- export ----

-- As before; the wide forms of these characters begin a formula as well.
CREATE OR REPLACE FUNCTION trace_cell(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT CASE WHEN value ~ '[",\r\n]' THEN '"' || replace(safe, '"', '""') || '"' ELSE safe END
  FROM (SELECT CASE WHEN value ~ '^[-=+@\t\r＝＋－＠]' THEN '''' || value ELSE coalesce(value, '') END AS safe) AS s
$$;

-- What is rolled up already has no failures in it: anew, seconds for a million traces.
TRUNCATE trace_rollups, trace_rolled;
DO $$ BEGIN PERFORM trace_roll_up('10 minutes'); END $$;
