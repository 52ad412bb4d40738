-- What is made of a trace is made by triggers, and of its calls by PL/pgSQL, which keep their plans: a generated column, a
-- check or a function in SQL is read, and planned, anew by each statement. That took longer than to store the row.
SET LOCAL ROLE lesson_owner;

-- The values stay.
ALTER TABLE lesson_traces
    ALTER outline_preview  DROP EXPRESSION,
    ALTER search_text      DROP EXPRESSION,
    ALTER failed_providers DROP EXPRESSION,
    ALTER failed_classes   DROP EXPRESSION,
    ALTER failed_costs     DROP EXPRESSION;

CREATE OR REPLACE FUNCTION trace_failed(calls jsonb, member text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (SELECT array_agg(c ->> member ORDER BY n) FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
             WHERE c ->> 'error_class' IS NOT NULL);
END
$$;

-- Whoever writes: they never say another thing than what they are made of.
CREATE FUNCTION trace_derive_preview() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.outline_preview := left(NEW.request_data ->> 'outline', 200);
    RETURN NEW;
END
$$;
CREATE FUNCTION trace_derive_text() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.search_text := trace_text(NEW.outline_preview, NEW.last_error, NEW.error_message, NEW.model);
    RETURN NEW;
END
$$;
CREATE FUNCTION trace_derive_failed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.failed_providers := NULL;
    NEW.failed_classes := NULL;
    NEW.failed_costs := NULL;
    IF NEW.llm_calls @? '$[*] ? (@.error_class != null)' THEN
        NEW.failed_providers := trace_failed(NEW.llm_calls, 'provider');
        NEW.failed_classes := trace_failed(NEW.llm_calls, 'error_class');
        IF NEW.llm_calls @? '$[*] ? (@.error_class != null && @.cost_usd != null)' THEN
            NEW.failed_costs := trace_failed(NEW.llm_calls, 'cost_usd')::numeric[];
        END IF;
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION trace_derive_preview, trace_derive_text, trace_derive_failed FROM PUBLIC;

-- Called in the order of their names: the text has the preview in it.
CREATE TRIGGER derive_1_preview BEFORE INSERT OR UPDATE OF request_data, outline_preview ON lesson_traces
    FOR EACH ROW EXECUTE FUNCTION trace_derive_preview();
CREATE TRIGGER derive_2_text
    BEFORE INSERT OR UPDATE OF request_data, outline_preview, last_error, error_message, model, search_text ON lesson_traces
    FOR EACH ROW EXECUTE FUNCTION trace_derive_text();
CREATE TRIGGER derive_3_failed
    BEFORE INSERT OR UPDATE OF llm_calls, failed_providers, failed_classes, failed_costs ON lesson_traces
    FOR EACH ROW EXECUTE FUNCTION trace_derive_failed();

-- ---- calls ----

-- As before; the usual, few calls of which one has this span_id or none, without a query.
CREATE OR REPLACE FUNCTION trace_put_call(calls jsonb, call jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    span CONSTANT text := call ->> 'span_id';
    old jsonb;
BEGIN
    FOR place IN 0 .. jsonb_array_length(calls) - 1 LOOP
        old := calls -> place;
        IF old ->> 'span_id' = span THEN
            IF old ->> 'success' IS NOT NULL AND call ->> 'success' IS NULL THEN
                RETURN calls;
            END IF;
            RETURN jsonb_set(calls, ARRAY[place::text], call);
        END IF;
    END LOOP;
    RETURN calls || jsonb_build_array(call);
END
$$;

CREATE OR REPLACE FUNCTION trace_end_calls(calls jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    IF calls @? '$[*] ? (@.success == null)' THEN
        RETURN (SELECT jsonb_agg(trace_lose_call(c) ORDER BY n)
                  FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n));
    END IF;
    RETURN calls;
END
$$;

CREATE OR REPLACE FUNCTION trace_fallbacks(calls jsonb) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    IF jsonb_array_length(calls) < 2 THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT c ->> 'provider' FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
                  GROUP BY 1 ORDER BY min(n) OFFSET 1);
END
$$;

CREATE OR REPLACE FUNCTION trace_failures(calls jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    IF jsonb_array_length(calls) = 0 THEN
        RETURN NULL;
    END IF;
    RETURN (SELECT string_agg(concat(c ->> 'provider', ': ', c ->> 'error_class',
                                     ' (HTTP ' || (c ->> 'http_status') || ')'), '; ' ORDER BY n)
              FROM jsonb_array_elements(calls) WITH ORDINALITY AS x (c, n)
             WHERE c ->> 'error_class' IS NOT NULL);
END
$$;

CREATE OR REPLACE FUNCTION trace_spent(calls jsonb) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
BEGIN
    IF jsonb_array_length(calls) = 0 THEN
        RETURN 0;
    END IF;
    RETURN (SELECT count(*) FROM jsonb_array_elements(calls) AS c
             WHERE coalesce(c ->> 'error_class', '') NOT IN ('worker_lost', 'cancelled'));
END
$$;

-- ---- the same, of others ----

CREATE OR REPLACE FUNCTION trace_cell(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    safe CONSTANT text := CASE WHEN value ~ '^[-=+@\t\r＝＋－＠]' THEN '''' || value ELSE coalesce(value, '') END;
BEGIN
    RETURN CASE WHEN value ~ '[",\r\n]' THEN '"' || replace(safe, '"', '""') || '"' ELSE safe END;
END
$$;

CREATE OR REPLACE FUNCTION user_tokens_spent(name text, most bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT
    AS $$
BEGIN
    RETURN (SELECT coalesce(sum(tokens), 0) >= most FROM user_tokens
             WHERE owner = name AND day = (now() AT TIME ZONE 'UTC')::date);
END
$$;
