-- Lessons, their traces, and the queue of generations still to do.
SET LOCAL ROLE lesson_owner;

-- Who is asking: set for one transaction by every segment that a responder sends.
CREATE FUNCTION app_uid() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.uid', true), '') $$;

CREATE TABLE lessons (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner           text NOT NULL DEFAULT coalesce(app_uid(), 'system') CHECK (owner <> ''),
    title           text NOT NULL,
    outline         text NOT NULL,
    options         jsonb NOT NULL DEFAULT '{}',
    content         text,
    status          text NOT NULL DEFAULT 'generating'
                    CHECK (status IN ('generating', 'generated', 'error')),
    error_message   text,
    idempotency_key text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, idempotency_key)
);
ALTER TABLE lessons ALTER COLUMN content SET COMPRESSION lz4;
ALTER TABLE lessons ALTER COLUMN outline SET COMPRESSION lz4;
CREATE INDEX lessons_created_at ON lessons (created_at DESC, id DESC);
CREATE INDEX lessons_owner ON lessons (owner, created_at DESC, id DESC);

-- One row for each generation that is queued (slot is null) or running: narrow, and gone when it
-- ends. Its foreign key stands before that of lesson_traces: a cascade then locks job before trace,
-- the order in which a generator does.
CREATE TABLE generation_jobs (
    lesson_id     uuid PRIMARY KEY REFERENCES lessons (id) ON DELETE CASCADE,
    trace_id      uuid NOT NULL,
    owner         text NOT NULL DEFAULT coalesce(app_uid(), 'system') CHECK (owner <> ''),
    provider      text,
    model         text,
    slot          text,
    epoch         bigint,
    interruptions integer NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now(),
    claimed_at    timestamptz,
    CHECK ((slot IS NULL) = (epoch IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX generation_jobs_queued ON generation_jobs (created_at) WHERE slot IS NULL;
CREATE INDEX generation_jobs_slot ON generation_jobs (slot) WHERE slot IS NOT NULL;
CREATE INDEX generation_jobs_owner ON generation_jobs (owner);

CREATE TABLE lesson_traces (
    id                 UUID DEFAULT gen_random_uuid() PRIMARY KEY,
    lesson_id          UUID REFERENCES lessons (id) ON DELETE CASCADE,
    request_data       JSONB NOT NULL,
    response_data      JSONB,
    provider_used      TEXT,
    fallback_providers TEXT[],
    total_duration_ms  INTEGER,
    llm_calls          JSONB NOT NULL DEFAULT '[]'::jsonb,
    error_message      TEXT,
    status             TEXT NOT NULL DEFAULT 'started'
                       CHECK (status IN ('started', 'completed', 'failed')),
    created_at         TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    completed_at       TIMESTAMP WITH TIME ZONE,
    owner              text NOT NULL DEFAULT coalesce(app_uid(), 'system') CHECK (owner <> ''),
    request_id         text,
    model              text,
    prompt_tokens      bigint,
    completion_tokens  bigint,
    total_tokens       bigint,
    cost_usd           numeric,
    llm_call_count     integer NOT NULL DEFAULT 0,
    error_class        text,
    last_error         text,
    decisions          jsonb NOT NULL DEFAULT '[]'::jsonb,
    outline_preview    text GENERATED ALWAYS AS (left(request_data ->> 'outline', 200)) STORED
);
ALTER TABLE lesson_traces ALTER COLUMN request_data SET COMPRESSION lz4;
ALTER TABLE lesson_traces ALTER COLUMN response_data SET COMPRESSION lz4;
ALTER TABLE lesson_traces ALTER COLUMN llm_calls SET COMPRESSION lz4;
ALTER TABLE lesson_traces ALTER COLUMN decisions SET COMPRESSION lz4;
CREATE INDEX lesson_traces_created_at ON lesson_traces (created_at DESC, id DESC);
CREATE INDEX lesson_traces_owner ON lesson_traces (owner, created_at DESC, id DESC);
CREATE INDEX lesson_traces_lesson ON lesson_traces (lesson_id, created_at DESC, id DESC);
CREATE INDEX lesson_traces_status ON lesson_traces (status, created_at DESC, id DESC);
CREATE INDEX lesson_traces_provider ON lesson_traces (provider_used, created_at DESC, id DESC);

COMMENT ON COLUMN lesson_traces.error_class IS
    'class of the last call that failed, also where a later one succeeded; null: none failed';
COMMENT ON COLUMN lesson_traces.cost_usd IS 'sum over the calls whose cost is known; null: none is';

-- Row security: a user sees and changes own rows, an admin and the generator all. No policy has an
-- OR in it, which would keep the indexes from being used.
ALTER TABLE lessons ENABLE ROW LEVEL SECURITY;
ALTER TABLE lessons FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON lessons TO lesson_api
    USING (owner = (SELECT app_uid())) WITH CHECK (owner = (SELECT app_uid()));
CREATE POLICY every ON lessons TO lesson_admin, lesson_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE, UPDATE (status, error_message, updated_at) ON lessons
    TO lesson_api, lesson_admin;
GRANT SELECT, UPDATE ON lessons TO lesson_worker;

ALTER TABLE lesson_traces ENABLE ROW LEVEL SECURITY;
ALTER TABLE lesson_traces FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON lesson_traces TO lesson_api
    USING (owner = (SELECT app_uid())) WITH CHECK (owner = (SELECT app_uid()));
CREATE POLICY every ON lesson_traces TO lesson_admin, lesson_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON lesson_traces TO lesson_api, lesson_admin;
GRANT SELECT, UPDATE ON lesson_traces TO lesson_worker;

ALTER TABLE generation_jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE generation_jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON generation_jobs TO lesson_api
    USING (owner = (SELECT app_uid())) WITH CHECK (owner = (SELECT app_uid()));
CREATE POLICY every ON generation_jobs TO lesson_admin, lesson_worker USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON generation_jobs TO lesson_api, lesson_admin;
GRANT SELECT, UPDATE, DELETE ON generation_jobs TO lesson_worker;
