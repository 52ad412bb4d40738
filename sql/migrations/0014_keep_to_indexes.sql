-- The queue is empty or has thousands, and a plan made while it was empty reads it from end to end ever after, with all that
-- was deleted since it was last vacuumed. Whoever looks for a few of it goes by an index.

-- What the generator does is all of this kind.
ALTER ROLE lesson_worker SET enable_seqscan = off;

SET LOCAL ROLE lesson_owner;

-- Whether the user has so many generations queued or running. As who asks: row security holds.
CREATE FUNCTION user_is_busy(name text, most integer) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT
    SET enable_seqscan = off
    AS $$
BEGIN
    RETURN (SELECT count(*) >= most FROM (SELECT FROM generation_jobs WHERE owner = name LIMIT most) j);
END
$$;
REVOKE EXECUTE ON FUNCTION user_is_busy FROM PUBLIC;
GRANT EXECUTE ON FUNCTION user_is_busy TO lesson_api, lesson_admin;
