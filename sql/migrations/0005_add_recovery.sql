-- What a process that died or stalled leaves behind, and what its late words are worth.
SET LOCAL ROLE lesson_owner;

-- Who held the job before it was taken away: a result that comes late is taken all the same while
-- nobody else has begun.
ALTER TABLE generation_jobs ADD COLUMN lost_slot text, ADD COLUMN lost_epoch bigint;

-- How many processes died while running this very job's code. From two on it runs alone, and after
-- the third it is failed. Deaths for other reasons are counted in interruptions, and cost nothing.
ALTER TABLE generation_jobs ADD COLUMN deaths integer NOT NULL DEFAULT 0;
CREATE INDEX generation_jobs_suspect ON generation_jobs (created_at) WHERE slot IS NULL AND deaths >= 2;

-- Whether the generator could spool what PostgreSQL does not take: /readyz asks.
ALTER TABLE generation_workers ADD COLUMN spool_ok boolean NOT NULL DEFAULT true;

-- What the provider was configured with: a change of it closes its breaker.
ALTER TABLE provider_health ADD COLUMN fingerprint text;

-- The providers tried after the first, in the order of their first call.
CREATE FUNCTION trace_fallbacks(calls jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT ARRAY(SELECT c ->> 'provider'
               FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
              GROUP BY 1 ORDER BY min(n) OFFSET 1)
$$;

-- What failed, in order: "openai: rate_limited (HTTP 429); groq: timeout"; null: nothing.
CREATE FUNCTION trace_failures(calls jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT string_agg(concat(c ->> 'provider', ': ', c ->> 'error_class',
                         ' (HTTP ' || (c ->> 'http_status') || ')'), '; ' ORDER BY n)
  FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
 WHERE c ->> 'error_class' IS NOT NULL
$$;

-- How many calls count for the limit: not those that a crash or a stop of ours cut off.
CREATE FUNCTION trace_spent(calls jsonb) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT count(*)::integer FROM jsonb_array_elements(calls) AS c
 WHERE coalesce(c ->> 'error_class', '') NOT IN ('worker_lost', 'cancelled')
$$;

-- The calls with this one in it: in the place of the element with the same span_id, else behind.
CREATE FUNCTION trace_put_call(calls jsonb, call jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT jsonb_set(calls,
                 ARRAY[coalesce((SELECT n - 1 FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
                                  WHERE c ->> 'span_id' = call ->> 'span_id' LIMIT 1),
                                jsonb_array_length(calls))::text],
                 call, true)
$$;
