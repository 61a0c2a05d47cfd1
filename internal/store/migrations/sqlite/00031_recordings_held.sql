-- Recordings of which the end is lost with their gateway, and those that somebody holds: they
-- stay, whatever their age. A version that knows nothing of holds does not respect them, so
-- replace all replicas before the first one is made.

-- +goose Up
CREATE TABLE recordings_now (
    session  TEXT    NOT NULL PRIMARY KEY CHECK (session <> ''),
    version  INTEGER NOT NULL CHECK (version > 0),
    gateway  TEXT    NOT NULL CHECK (gateway <> ''),
    state    TEXT    NOT NULL CHECK (state IN ('running', 'kept', 'broken', 'removed', 'lost')),
    began_at INTEGER NOT NULL,
    ended_at INTEGER,
    body     TEXT    NOT NULL,
    held     INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO recordings_now (session, version, gateway, state, began_at, ended_at, body)
    SELECT session, version, gateway, state, began_at, ended_at, body FROM recordings;
DROP TABLE recordings;
ALTER TABLE recordings_now RENAME TO recordings;
CREATE INDEX recordings_by_age ON recordings (began_at) WHERE state <> 'removed';
CREATE INDEX recordings_running ON recordings (session) WHERE state = 'running';
