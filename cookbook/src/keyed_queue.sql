CREATE TABLE IF NOT EXISTS messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    body text NOT NULL,
    consumer text, -- the session that claimed it
    runs integer NOT NULL DEFAULT 0, -- how often it was handled
    failure text, -- what went wrong
    done_at timestamptz
);
CREATE INDEX IF NOT EXISTS messages_to_do ON messages (key, id) WHERE done_at IS NULL;

-- Claims messages for this session, oldest first: up to `total`, and only so many that the session has up to `per_key`
-- of each key. As long as a session has messages of a key, no other claims any of it. When a session ends, its messages
-- are free.
CREATE OR REPLACE FUNCTION claim(per_key integer, total integer) RETURNS SETOF messages LANGUAGE plpgsql AS $$
DECLARE
    me text := current_setting('application_name');
BEGIN
    -- One session at a time, because what it may claim depends on what the others have.
    PERFORM pg_advisory_xact_lock(hashtext('messages'));
    RETURN QUERY WITH
        sessions AS MATERIALIZED (
            SELECT application_name FROM pg_stat_activity WHERE application_name <> me
        ),
        to_do AS (
            SELECT id, consumer,
                row_number() OVER (PARTITION BY key ORDER BY id) AS place,
                bool_or(consumer IN (SELECT * FROM sessions)) OVER (PARTITION BY key) AS is_taken
            FROM messages WHERE done_at IS NULL
        ),
        claimed AS (
            UPDATE messages SET consumer = me
            WHERE done_at IS NULL AND id IN (
                SELECT id FROM to_do
                WHERE consumer IS DISTINCT FROM me AND place <= per_key AND is_taken IS NOT TRUE
                ORDER BY id LIMIT total
            )
            RETURNING *
        )
        SELECT * FROM claimed ORDER BY id;
END $$;
