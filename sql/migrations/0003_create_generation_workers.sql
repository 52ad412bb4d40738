-- The generators that are alive, and what they know of the providers.
SET LOCAL ROLE lesson_owner;

-- A slot is a generator's place on a host; its epoch grows with every process that takes it, so
-- (slot, epoch) names one process for ever: the fence of all it writes. PostgreSQL's clock only.
CREATE TABLE generation_workers (
    slot       text PRIMARY KEY,
    epoch      bigint NOT NULL DEFAULT 1,
    beat       timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- One row a provider: what is configured, and the breaker that all generators share.
CREATE TABLE provider_health (
    provider    text PRIMARY KEY,
    position    integer,     -- in the chain, from 0; null: not in it
    model       text,
    configured  boolean NOT NULL DEFAULT false,
    state       text NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open', 'half_open')),
    open_until  timestamptz,
    opens       integer NOT NULL DEFAULT 0, -- in a row: each doubles the time it stays open
    error_class text,                       -- why it opened
    updated_at  timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE generation_workers ENABLE ROW LEVEL SECURITY;
ALTER TABLE generation_workers FORCE ROW LEVEL SECURITY;
CREATE POLICY look ON generation_workers FOR SELECT TO lesson_api, lesson_admin USING (true);
CREATE POLICY every ON generation_workers TO lesson_worker USING (true) WITH CHECK (true);
GRANT SELECT ON generation_workers TO lesson_api, lesson_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON generation_workers TO lesson_worker;

ALTER TABLE provider_health ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_health FORCE ROW LEVEL SECURITY;
CREATE POLICY look ON provider_health FOR SELECT TO lesson_api, lesson_admin USING (true);
CREATE POLICY every ON provider_health TO lesson_worker USING (true) WITH CHECK (true);
GRANT SELECT ON provider_health TO lesson_api, lesson_admin;
GRANT SELECT, INSERT, UPDATE, DELETE ON provider_health TO lesson_worker;
