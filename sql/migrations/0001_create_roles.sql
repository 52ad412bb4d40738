-- Who may touch the database. Roles are cluster-wide, so they may be there already.
--   lesson_owner   owns everything, logs in never
--   lesson_api     requests of users: their own rows
--   lesson_admin   requests of admins, and scripts/cleanup: all rows
--   lesson_worker  the generator
-- Passwords are set outside, by ALTER ROLE.
DO $$
DECLARE
    name text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lesson_owner') THEN
        CREATE ROLE lesson_owner NOLOGIN;
    END IF;
    -- Who migrates acts as the owner; a superuser may anyway.
    IF NOT pg_has_role(current_user, 'lesson_owner', 'MEMBER') THEN
        EXECUTE format('GRANT lesson_owner TO %I', current_user);
    END IF;
    FOREACH name IN ARRAY ARRAY['lesson_api', 'lesson_admin', 'lesson_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
        EXECUTE format('ALTER ROLE %I SET timezone = ''UTC''', name);
        EXECUTE format('ALTER ROLE %I SET jit = off', name);
        EXECUTE format('ALTER ROLE %I SET lock_timeout = ''2s''', name);
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''10s''', name);
        EXECUTE format('ALTER ROLE %I SET client_connection_check_interval = ''5s''', name);
    END LOOP;
END
$$;

ALTER ROLE lesson_api SET statement_timeout = '5s';
ALTER ROLE lesson_admin SET statement_timeout = '10s';
ALTER ROLE lesson_worker SET statement_timeout = '10s';

DO $$ BEGIN EXECUTE format('REVOKE TEMP ON DATABASE %I FROM PUBLIC', current_database()); END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO lesson_api, lesson_admin, lesson_worker;
GRANT USAGE, CREATE ON SCHEMA public TO lesson_owner;
