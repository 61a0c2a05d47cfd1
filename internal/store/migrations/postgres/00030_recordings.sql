-- What is known of recordings of sessions: whose they are, by which keys they are sealed,
-- and, of those that are kept, their anchor. A version that knows nothing of it takes none.

-- +goose Up
CREATE TABLE recordings (
    session  TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (session <> ''),
    version  BIGINT           NOT NULL CHECK (version > 0),
    gateway  TEXT COLLATE "C" NOT NULL CHECK (gateway <> ''),
    state    TEXT COLLATE "C" NOT NULL CHECK (state IN ('running', 'kept', 'broken', 'removed')),
    began_at BIGINT           NOT NULL,
    ended_at BIGINT,
    body     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX recordings_by_age ON recordings (began_at) WHERE state <> 'removed';
