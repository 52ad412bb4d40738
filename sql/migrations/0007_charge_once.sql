-- What makes each step of recovery harmless when it is done twice, or late.
SET LOCAL ROLE lesson_owner;

-- The process, slot and epoch, whose death was charged last: a death is charged once, however often it is told.
ALTER TABLE generation_jobs ADD COLUMN charged text;

-- Since when the slot is free by its own will: for a moment, a restart is no outage. Null: it is not.
ALTER TABLE generation_workers ADD COLUMN left_at timestamptz;

-- The calls, each with an end.
CREATE FUNCTION trace_end_calls(calls jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT CASE WHEN calls @? '$[*] ? (@.success == null)'
            THEN (SELECT jsonb_agg(trace_lose_call(c) ORDER BY n)
                    FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n))
            ELSE calls END
$$;

-- What a member of the last call that failed says; null: none failed.
CREATE FUNCTION trace_last_failure(calls jsonb, member text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT c ->> member FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
 WHERE c ->> 'error_class' IS NOT NULL ORDER BY n DESC LIMIT 1
$$;
