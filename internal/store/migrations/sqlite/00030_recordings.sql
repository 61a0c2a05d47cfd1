-- What is known of recordings of sessions: whose they are, by which keys they are sealed,
-- and, of those that are kept, their anchor. A version that knows nothing of it takes none.

-- +goose Up
CREATE TABLE recordings (
    session  TEXT    NOT NULL PRIMARY KEY CHECK (session <> ''),
    version  INTEGER NOT NULL CHECK (version > 0),
    gateway  TEXT    NOT NULL CHECK (gateway <> ''),
    state    TEXT    NOT NULL CHECK (state IN ('running', 'kept', 'broken', 'removed')),
    began_at INTEGER NOT NULL,
    ended_at INTEGER,
    body     TEXT    NOT NULL
) STRICT;
CREATE INDEX recordings_by_age ON recordings (began_at) WHERE state <> 'removed';
