-- Traces are filtered, searched and sorted in any way, and counted.
--
-- Both extensions are trusted: who may create in the database may create them.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- What is looked for is in memory, or on a disk without a moving head.
ALTER ROLE lesson_api SET random_page_cost = 1.1;
ALTER ROLE lesson_admin SET random_page_cost = 1.1;

SET LOCAL ROLE lesson_owner;

-- What is counted and summed stands in the index by time itself, so that a year of traces is read without their rows.
DROP INDEX lesson_traces_created_at;
CREATE INDEX lesson_traces_created_at ON lesson_traces (created_at DESC, id DESC)
    INCLUDE (owner, status, provider_used, model, error_class, total_duration_ms, prompt_tokens, completion_tokens,
             total_tokens, cost_usd, llm_call_count, fallback_providers);

CREATE INDEX lesson_traces_model ON lesson_traces (model, created_at DESC, id DESC);
CREATE INDEX lesson_traces_error_class ON lesson_traces (error_class, created_at DESC, id DESC);

-- Both directions, nulls last: read backwards with the nulls left out, then the nulls.
CREATE INDEX lesson_traces_total_duration_ms ON lesson_traces (total_duration_ms, id);
CREATE INDEX lesson_traces_total_tokens ON lesson_traces (total_tokens, id);
CREATE INDEX lesson_traces_cost_usd ON lesson_traces (cost_usd, id);

-- Reading an index alone takes pages that VACUUM has seen.
ALTER TABLE lesson_traces SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02,
                               autovacuum_analyze_scale_factor = 0.02);

-- A rare value is known for one: else the planner looks for it among the newest, and goes on for long.
ALTER TABLE lesson_traces
    ALTER owner SET STATISTICS 1000, ALTER provider_used SET STATISTICS 1000, ALTER model SET STATISTICS 1000,
    ALTER error_class SET STATISTICS 1000, ALTER total_duration_ms SET STATISTICS 1000;

-- What a search looks at: nothing of the payload. A match does not go across its lines.
CREATE FUNCTION trace_text(outline_preview text, last_error text, error_message text, model text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT lower(coalesce(outline_preview, '') || E'\n' || coalesce(last_error, '') || E'\n'
             || coalesce(error_message, '') || E'\n' || coalesce(model, ''))
$$;

-- A running trace is written several times, an ended one no more: only those are in it.
CREATE INDEX lesson_traces_text ON lesson_traces
    USING gin (owner, trace_text(outline_preview, last_error, error_message, model) gin_trgm_ops)
    WITH (gin_pending_list_limit = 512)
    WHERE status <> 'started';

-- LIKE is not leakproof, so row security keeps it from the index: this function, with the rights of the owner, looks
-- there. Whom a row belongs to is decided here as the policies do, and by them once more where the rows are read: what
-- comes out are places, no text, and those of others are none to the caller.
CREATE POLICY search ON lesson_traces FOR SELECT TO lesson_owner USING (true);

-- Where the caller's traces with these words in them are; words is a LIKE pattern's inside, of three characters or more.
CREATE FUNCTION trace_search(words text) RETURNS tid[]
    LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    SET plan_cache_mode = force_custom_plan
    AS $$
DECLARE
    pattern CONSTANT text := '%' || lower(words) || '%';
    caller CONSTANT text := app_uid();
BEGIN
    IF pg_has_role(session_user, 'lesson_admin', 'MEMBER') THEN
        RETURN ARRAY(SELECT ctid FROM lesson_traces
                      WHERE trace_text(outline_preview, last_error, error_message, model) LIKE pattern AND status <> 'started'
                     UNION ALL
                     SELECT ctid FROM lesson_traces
                      WHERE trace_text(outline_preview, last_error, error_message, model) LIKE pattern AND status = 'started');
    END IF;
    RETURN ARRAY(SELECT ctid FROM lesson_traces
                  WHERE trace_text(outline_preview, last_error, error_message, model) LIKE pattern AND status <> 'started'
                    AND owner = caller
                 UNION ALL
                 SELECT ctid FROM lesson_traces
                  WHERE trace_text(outline_preview, last_error, error_message, model) LIKE pattern AND status = 'started'
                    AND owner = caller);
END
$$;
REVOKE EXECUTE ON FUNCTION trace_search FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trace_search TO lesson_api, lesson_admin;

-- A cell of a CSV file (RFC 4180). What a spreadsheet would take for a formula is made text by an apostrophe.
CREATE FUNCTION trace_cell(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT CASE WHEN value ~ '[",\r\n]' THEN '"' || replace(safe, '"', '""') || '"' ELSE safe END
  FROM (SELECT CASE WHEN value ~ '^[-=+@\t\r]' THEN '''' || value ELSE coalesce(value, '') END AS safe) AS s
$$;
