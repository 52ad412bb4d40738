-- An ended call stays ended. A backend that was frozen, and is let go when its client has long sent the same writes over
-- another connection, stores an old intent behind the result.
SET LOCAL ROLE lesson_owner;

-- The calls with this one in it: in the place of the element with the same span_id, else behind. One that has ended is
-- not replaced by one that has not.
CREATE OR REPLACE FUNCTION trace_put_call(calls jsonb, call jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT CASE WHEN old.success IS NOT NULL AND call ->> 'success' IS NULL THEN calls
            ELSE jsonb_set(calls, ARRAY[coalesce(old.place, jsonb_array_length(calls))::text], call, true) END
  FROM (SELECT) AS one
  LEFT JOIN LATERAL (SELECT n - 1 AS place, c ->> 'success' AS success
                       FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
                      WHERE c ->> 'span_id' = call ->> 'span_id' LIMIT 1) AS old ON true
$$;

-- A call that began and of whose end nobody will ever tell.
CREATE FUNCTION trace_lose_call(call jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
SELECT CASE WHEN call ->> 'success' IS NOT NULL THEN call
            ELSE call || '{"success": false, "error_class": "worker_lost",
                           "error": "the process that made this call ended before the call did"}' END
$$;
