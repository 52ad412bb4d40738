-- What the lessons API shows. A new field is a line here.
CREATE VIEW lesson_summary WITH (security_invoker) AS
SELECT id, title, outline, options, status, error_message, owner, created_at, updated_at
  FROM lessons;

CREATE VIEW lesson_full WITH (security_invoker) AS
SELECT id, title, outline, options, content, status, error_message, owner, created_at, updated_at,
       ARRAY(SELECT t.id
               FROM lesson_traces t
              WHERE t.lesson_id = lessons.id
              ORDER BY t.created_at DESC, t.id DESC) AS trace_ids
  FROM lessons;
