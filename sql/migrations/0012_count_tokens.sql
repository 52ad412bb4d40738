-- What the calls of a user used in a day: the limit USER_TOKENS_PER_DAY is asked of it.
SET LOCAL ROLE lesson_owner;

-- A row for each session that stores results: so none waits for another, and no two for each other. It stays when the
-- traces are deleted.
CREATE TABLE user_tokens (
    owner   text NOT NULL CHECK (owner <> ''),
    day     date NOT NULL,              -- of UTC
    session integer NOT NULL,           -- its pg_backend_pid()
    tokens  bigint NOT NULL,
    PRIMARY KEY (owner, day, session)
) WITH (fillfactor = 50);

ALTER TABLE user_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE user_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON user_tokens FOR SELECT TO lesson_api USING (owner = (SELECT app_uid()));
CREATE POLICY every ON user_tokens FOR SELECT TO lesson_admin USING (true);
CREATE POLICY count ON user_tokens TO lesson_owner USING (true) WITH CHECK (true);
GRANT SELECT ON user_tokens TO lesson_api, lesson_admin;

-- Counts them today; what is a week old goes with the first of a day.
CREATE FUNCTION user_tokens_add(name text, used bigint) RETURNS bigint
    LANGUAGE plpgsql STRICT SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    today CONSTANT date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    UPDATE user_tokens SET tokens = tokens + used
     WHERE owner = name AND day = today AND session = pg_backend_pid();
    IF NOT FOUND THEN
        INSERT INTO user_tokens VALUES (name, today, pg_backend_pid(), used);
        DELETE FROM user_tokens WHERE (owner, day, session) IN (
            SELECT owner, day, session FROM user_tokens WHERE owner = name AND day < today - 7
               FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN used;
END
$$;

-- Whether they are so many today. As who asks: row security holds. Null is no limit.
CREATE FUNCTION user_tokens_spent(name text, most bigint) RETURNS boolean
    LANGUAGE sql STABLE STRICT
    AS $$
SELECT coalesce(sum(tokens), 0) >= most FROM user_tokens
 WHERE owner = name AND day = (now() AT TIME ZONE 'UTC')::date
$$;

-- A trace says what its calls used so far: what it says more than before is new, however often it is told.
CREATE FUNCTION trace_count_tokens() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    PERFORM user_tokens_add(NEW.owner, coalesce(NEW.total_tokens, 0) - coalesce(OLD.total_tokens, 0));
    RETURN NULL;
END
$$;
CREATE TRIGGER count_tokens AFTER UPDATE OF total_tokens ON lesson_traces
    FOR EACH ROW WHEN (NEW.total_tokens IS DISTINCT FROM OLD.total_tokens) EXECUTE FUNCTION trace_count_tokens();

REVOKE EXECUTE ON FUNCTION user_tokens_add, user_tokens_spent, trace_count_tokens FROM PUBLIC;
GRANT EXECUTE ON FUNCTION user_tokens_add TO lesson_worker;
GRANT EXECUTE ON FUNCTION user_tokens_spent TO lesson_api, lesson_admin;
