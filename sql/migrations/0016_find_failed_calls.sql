-- A user's traces with a call that failed, by time. Whether one of them is of a certain provider may only be looked at once row
-- security has let the trace through, so no index of providers is used then; of a provider that never failed that read all
-- traces of the user.
SET LOCAL ROLE lesson_owner;

CREATE INDEX lesson_traces_failed ON lesson_traces (owner, created_at DESC, id DESC)
    INCLUDE (failed_providers)
    WHERE failed_providers IS NOT NULL;
