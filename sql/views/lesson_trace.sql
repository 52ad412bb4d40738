-- What the traces API shows: the whole row, and the row without its payloads. A new field is a
-- line here. (A view's rows are spelt as JSON by row_to_json.)
--
-- content_kept is false where TRACE_CONTENT was off. A trace with a preview of its outline has it: only of the others
-- the request is looked into, which may be long.
CREATE VIEW lesson_trace_full WITH (security_invoker) AS
SELECT id, lesson_id, request_data, response_data, provider_used, fallback_providers,
       total_duration_ms, llm_calls, error_message, status, created_at, completed_at,
       owner, request_id, model, prompt_tokens, completion_tokens, total_tokens, cost_usd,
       llm_call_count, error_class, last_error, decisions, outline_preview,
       outline_preview IS NOT NULL OR coalesce(request_data ->> 'content_kept', '') <> 'false' AS content_kept
  FROM lesson_traces;

CREATE VIEW lesson_trace_summary WITH (security_invoker) AS
SELECT id, lesson_id, provider_used, fallback_providers, total_duration_ms, error_message, status,
       created_at, completed_at, owner, request_id, model, prompt_tokens, completion_tokens,
       total_tokens, cost_usd, llm_call_count, error_class, last_error, outline_preview,
       outline_preview IS NOT NULL OR coalesce(request_data ->> 'content_kept', '') <> 'false' AS content_kept
  FROM lesson_traces;
