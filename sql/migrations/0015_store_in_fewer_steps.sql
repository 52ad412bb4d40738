-- What is stored of a generation, without what is rarely needed.
SET LOCAL ROLE lesson_owner;

-- An ended call of a job that is another's, or nobody's, by now: the call was made, and its trace says so. Of one that has
-- not ended (asked) only if nothing is known of it: then it was lost.
CREATE FUNCTION trace_put_late(trace uuid, call jsonb, asked boolean) RETURNS boolean
    LANGUAGE plpgsql STRICT
    AS $$
BEGIN
    UPDATE lesson_traces t
       SET (llm_calls, llm_call_count) = (
               SELECT calls, jsonb_array_length(calls)
                 FROM (SELECT trace_put_call(t.llm_calls, trace_lose_call(call)) AS calls OFFSET 0) AS put)
     WHERE t.id = trace
       AND (call ->> 'success' IS NOT NULL
            OR asked AND NOT t.llm_calls @> jsonb_build_array(jsonb_build_object('span_id', call -> 'span_id')));
    RETURN FOUND;
END
$$;
REVOKE EXECUTE ON FUNCTION trace_put_late FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trace_put_late TO lesson_worker;

-- Most writes change nothing of what the text is made of. After a change of trace_text() it is made anew by
-- UPDATE lesson_traces SET search_text = NULL.
CREATE OR REPLACE FUNCTION trace_derive_text() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.outline_preview, NEW.last_error, NEW.error_message, NEW.model, NEW.search_text)
       IS NOT DISTINCT FROM (OLD.outline_preview, OLD.last_error, OLD.error_message, OLD.model, OLD.search_text) THEN
        RETURN NEW;
    END IF;
    NEW.search_text := trace_text(NEW.outline_preview, NEW.last_error, NEW.error_message, NEW.model);
    RETURN NEW;
END
$$;

-- As who writes the trace: user_tokens_add() alone has the owner's rights, and changes of role and search_path cost more
-- than to count.
CREATE OR REPLACE FUNCTION trace_count_tokens() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM public.user_tokens_add(NEW.owner, coalesce(NEW.total_tokens, 0) - coalesce(OLD.total_tokens, 0));
    RETURN NULL;
END
$$;
