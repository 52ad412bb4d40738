-- Every deletion leaves a row: who, when, which ids up to 1,000, else how many and by what filter.
-- No content. Triggers write it, so that no way of deleting goes past it.
SET LOCAL ROLE lesson_owner;

CREATE TABLE audit_log (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    actor      text NOT NULL,
    action     text NOT NULL,
    object     text NOT NULL,
    count      bigint NOT NULL,
    ids        uuid[],
    filter     text,
    request_id text
);
CREATE INDEX audit_log_at ON audit_log (at DESC, id DESC);

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE POLICY look ON audit_log FOR SELECT TO lesson_admin USING (true);
CREATE POLICY add ON audit_log FOR INSERT TO lesson_api, lesson_admin, lesson_worker
    WITH CHECK (actor = coalesce(app_uid(), session_user));
CREATE POLICY cascade ON audit_log FOR INSERT TO lesson_owner WITH CHECK (true);
GRANT SELECT ON audit_log TO lesson_admin;
GRANT INSERT ON audit_log TO lesson_api, lesson_admin, lesson_worker;

CREATE FUNCTION audit_delete() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp -- no temporary table in place of ours
    AS $$
BEGIN
    INSERT INTO audit_log (actor, action, object, count, ids, filter, request_id)
    SELECT coalesce(app_uid(), session_user), 'delete', TG_ARGV[0], count(*),
           CASE WHEN count(*) <= 1000 THEN array_agg(gone.id) END,
           nullif(current_setting('app.filter', true), ''),
           nullif(current_setting('app.request_id', true), '')
      FROM gone
    HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_delete AFTER DELETE ON lessons
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_delete('lesson');
CREATE TRIGGER audit_delete AFTER DELETE ON lesson_traces
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_delete('trace');
