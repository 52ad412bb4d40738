-- Statistics of months, and searches, at a million traces.
SET LOCAL ROLE lesson_owner;

-- ---- roll-ups ----

-- What is counted and summed of six hours that are over, so that a year is added up from sums, not from traces. They are
-- never more than a second copy of the truth: six hours count from here only while they are in trace_rolled and not in
-- trace_touched; else they are counted from the traces themselves.
--
--   Who changes or deletes a trace of an earlier six hours notes in trace_touched which, in the same transaction: whoever
--   sees the change sees the note, and counts them from the traces from then on.
--   trace_roll_up() sums them anew and takes away the notes, in one statement: with the notes that its snapshot sees go the
--   changes that its snapshot saw. A note of a transaction that ends later stays.
--   Notes are only ever added, each with its transaction's number: none waits for another.

-- Buckets of statistics that are no shorter begin where one of these does.
CREATE FUNCTION trace_slot(at timestamptz) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT date_bin('6 hours', at, '2001-01-01T00:00:00Z') $$;

-- A bin of durations is 1 % wide, or one millisecond where that is more.
CREATE FUNCTION trace_bin(duration_ms integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT CASE WHEN duration_ms < 100 THEN duration_ms ELSE (ln(duration_ms) * 100)::int END $$;

CREATE TABLE trace_rollups (
    at                timestamptz NOT NULL, -- where the six hours begin
    owner             text,                 -- null: of all
    status            text NOT NULL,
    provider_used     text,
    model             text,
    error_class       text,
    n                 bigint NOT NULL,      -- traces
    fallbacks         bigint NOT NULL,      -- of them with a fallback provider
    calls             bigint NOT NULL,
    prompt            bigint,
    completion        bigint,
    tokens            bigint,
    cost              numeric,
    known             bigint NOT NULL,      -- of them with a cost
    durations         integer[],            -- of the ended: the mean of each bin,
    counts            integer[]             -- and how many are in it
);
CREATE INDEX trace_rollups_owner ON trace_rollups (owner, at);

CREATE TABLE trace_rolled (
    at timestamptz PRIMARY KEY
);

CREATE TABLE trace_touched (
    at  timestamptz,
    xid xid8 DEFAULT pg_current_xact_id(),
    PRIMARY KEY (at, xid)
);

ALTER TABLE trace_rollups ENABLE ROW LEVEL SECURITY;
ALTER TABLE trace_rollups FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON trace_rollups FOR SELECT TO lesson_api USING (owner = (SELECT app_uid()));
CREATE POLICY every ON trace_rollups FOR SELECT TO lesson_admin USING (true);
CREATE POLICY roll ON trace_rollups TO lesson_owner USING (true) WITH CHECK (true);
GRANT SELECT ON trace_rollups TO lesson_api, lesson_admin;

ALTER TABLE trace_rolled ENABLE ROW LEVEL SECURITY;
ALTER TABLE trace_rolled FORCE ROW LEVEL SECURITY;
CREATE POLICY look ON trace_rolled FOR SELECT TO lesson_api, lesson_admin USING (true);
CREATE POLICY roll ON trace_rolled TO lesson_owner USING (true) WITH CHECK (true);
GRANT SELECT ON trace_rolled TO lesson_api, lesson_admin;

ALTER TABLE trace_touched ENABLE ROW LEVEL SECURITY;
ALTER TABLE trace_touched FORCE ROW LEVEL SECURITY;
CREATE POLICY look ON trace_touched FOR SELECT TO lesson_api, lesson_admin USING (true);
CREATE POLICY roll ON trace_touched TO lesson_owner USING (true) WITH CHECK (true);
GRANT SELECT ON trace_touched TO lesson_api, lesson_admin;

CREATE FUNCTION trace_touch() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    CASE TG_OP
    WHEN 'INSERT' THEN
        INSERT INTO trace_touched (at) VALUES (trace_slot(NEW.created_at)) ON CONFLICT DO NOTHING;
    WHEN 'UPDATE' THEN
        INSERT INTO trace_touched (at) SELECT trace_slot(t) FROM unnest(ARRAY[OLD.created_at, NEW.created_at]) t
         WHERE t IS NOT NULL ON CONFLICT DO NOTHING;
    WHEN 'DELETE' THEN
        INSERT INTO trace_touched (at) SELECT DISTINCT trace_slot(created_at) FROM gone
         WHERE created_at < trace_slot(clock_timestamp()) ON CONFLICT DO NOTHING;
    WHEN 'TRUNCATE' THEN
        INSERT INTO trace_touched (at) SELECT at FROM trace_rolled ON CONFLICT DO NOTHING;
    END CASE;
    RETURN NULL;
END
$$;

-- A generator writes traces of the hours that run: for those no trigger is called.
CREATE TRIGGER touch_inserted AFTER INSERT ON lesson_traces
    FOR EACH ROW WHEN (NEW.created_at < trace_slot(clock_timestamp())) EXECUTE FUNCTION trace_touch();
CREATE TRIGGER touch_updated AFTER UPDATE ON lesson_traces
    FOR EACH ROW WHEN (least(OLD.created_at, NEW.created_at) < trace_slot(clock_timestamp())) EXECUTE FUNCTION trace_touch();
CREATE TRIGGER touch_deleted AFTER DELETE ON lesson_traces
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION trace_touch();
CREATE TRIGGER touch_truncated AFTER TRUNCATE ON lesson_traces
    FOR EACH STATEMENT EXECUTE FUNCTION trace_touch();

-- Sums six hours after six hours, the newest first, of those that are not or no longer rolled up, until the time is over;
-- how many it did. One at a time; who comes second leaves it to the first.
--
-- They are over for an hour before: a transaction that wrote into them while they ran has ended since (ours last seconds),
-- and a clock that was set back by less does not write into them again.
CREATE FUNCTION trace_roll_up(within interval) RETURNS integer
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
             rolled AS (INSERT INTO trace_rolled VALUES (slot) ON CONFLICT DO NOTHING),
             cells AS (
            SELECT owner, status, provider_used, model, error_class, count(*) AS n, avg(duration)::integer AS duration,
                   count(*) FILTER (WHERE cardinality(fallback_providers) > 0) AS fallbacks, sum(llm_call_count) AS calls,
                   sum(prompt_tokens) AS prompt, sum(completion_tokens) AS completion, sum(total_tokens) AS tokens,
                   sum(cost_usd) AS cost, count(cost_usd) AS known
              FROM (SELECT *, CASE WHEN status <> 'started' THEN total_duration_ms END AS duration FROM lesson_traces
                     WHERE created_at >= slot AND created_at < slot + interval '6 hours') t
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
REVOKE EXECUTE ON FUNCTION trace_roll_up, trace_touch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trace_roll_up TO lesson_api, lesson_admin;

-- ---- search ----

-- What a search looks at, in lower case: to make it of a row each time anew took longer than all the rest. In the row, for
-- it is never long.
ALTER TABLE lesson_traces
    ADD COLUMN search_text text
        GENERATED ALWAYS AS (trace_text(left(request_data ->> 'outline', 200), last_error, error_message, model)) STORED;
ALTER TABLE lesson_traces ALTER COLUMN search_text SET STORAGE MAIN;

DROP INDEX lesson_traces_text;
CREATE INDEX lesson_traces_text ON lesson_traces USING gin (owner, search_text gin_trgm_ops)
    WITH (gin_pending_list_limit = 512)
    WHERE status <> 'started';

-- As before, of the column.
CREATE OR REPLACE FUNCTION trace_search(words text) RETURNS tid[]
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    pattern CONSTANT text := '%' || lower(words) || '%';
    caller CONSTANT text := app_uid();
BEGIN
    IF pg_has_role(session_user, 'lesson_admin', 'MEMBER') THEN
        RETURN ARRAY(SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status <> 'started'
                     UNION ALL
                     SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status = 'started');
    END IF;
    RETURN ARRAY(SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status <> 'started' AND owner = caller
                 UNION ALL
                 SELECT ctid FROM lesson_traces WHERE search_text LIKE pattern AND status = 'started' AND owner = caller);
END
$$;

-- What is there already: seconds for a million traces.
DO $$ BEGIN PERFORM trace_roll_up('10 minutes'); END $$;
