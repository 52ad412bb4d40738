-- Bearer tokens, with which machines sign in; and audit rows about them, and about logins.
SET LOCAL ROLE lesson_owner;

-- A token is 256 random bits, of which only the SHA-256 is here: nobody can read one back. name is the user that its
-- bearer is. Several may have one name, so that a new one can take the place of an old one without a gap.
CREATE TABLE api_tokens (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sha256       bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    name         text NOT NULL CHECK (name ~ '^[A-Za-z0-9._@+-]{1,64}$'),
    role         text NOT NULL CHECK (role IN ('user', 'admin')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz -- to the minute: it is not written more often
);

-- No role that logs in has a right to it: scripts/token acts as the owner, and the responders have the function.
ALTER TABLE api_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON api_tokens TO lesson_owner USING (true) WITH CHECK (true);

-- Who bears the token with this SHA-256, in hexadecimal; no row: nobody.
CREATE FUNCTION api_token_use(token_sha256 text) RETURNS TABLE (name text, role text)
    LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    AS $$
DECLARE
    token api_tokens;
BEGIN
    SELECT * INTO token FROM api_tokens t
     WHERE t.sha256 = decode(token_sha256, 'hex') AND t.revoked_at IS NULL AND t.expires_at > now();
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF coalesce(token.last_used_at < now() - interval '1 minute', true)
       AND NOT current_setting('transaction_read_only')::boolean THEN
        UPDATE api_tokens t SET last_used_at = now()
         WHERE t.id = token.id AND coalesce(t.last_used_at < now() - interval '1 minute', true);
    END IF;
    RETURN QUERY SELECT token.name, token.role;
END
$$;
REVOKE EXECUTE ON FUNCTION api_token_use FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api_token_use TO lesson_api;

-- Of what has a name: a token, a user. "ci (admin)"
ALTER TABLE audit_log ADD COLUMN subject text;

CREATE FUNCTION audit_token() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
    AS $$
BEGIN
    INSERT INTO audit_log (actor, action, object, count, ids, subject)
    VALUES (coalesce(app_uid(), session_user), TG_ARGV[0], 'token', 1, ARRAY[NEW.id], format('%s (%s)', NEW.name, NEW.role));
    RETURN NULL;
END
$$;

CREATE TRIGGER audit_create AFTER INSERT ON api_tokens FOR EACH ROW EXECUTE FUNCTION audit_token('create');
CREATE TRIGGER audit_revoke AFTER UPDATE OF revoked_at ON api_tokens FOR EACH ROW EXECUTE FUNCTION audit_token('revoke');
CREATE TRIGGER audit_change AFTER UPDATE OF sha256, name, role, expires_at ON api_tokens
    FOR EACH ROW EXECUTE FUNCTION audit_token('change');
CREATE TRIGGER audit_delete AFTER DELETE ON api_tokens
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_delete('token');
