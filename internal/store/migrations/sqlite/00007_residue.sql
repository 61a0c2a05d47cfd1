-- What ended grants left behind on their targets, and what these looked like
-- before. A version that knows nothing of it writes nothing here, and its grants
-- have no answer.

-- +goose Up
CREATE TABLE residues (
    grant_id TEXT    NOT NULL REFERENCES grants (id),
    place    TEXT    NOT NULL CHECK (place <> ''),
    state    TEXT    NOT NULL CHECK (state IN ('pending', 'none', 'found', 'unknowable')),
    due_at   INTEGER,
    body     TEXT    NOT NULL,
    PRIMARY KEY (grant_id, place),
    CHECK ((due_at IS NOT NULL) = (state = 'pending'))
) STRICT, WITHOUT ROWID;
CREATE INDEX residues_due ON residues (due_at) WHERE due_at IS NOT NULL;

-- Of a place there are a few, each good until the next one.
CREATE TABLE fingerprints (
    place    TEXT    NOT NULL CHECK (place <> ''),
    taken_at INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (place, taken_at)
) STRICT;

-- The sweep asks for the last membership of a key that is gone.
CREATE INDEX entitlements_left ON entitlements (place, key, id) WHERE state = 'gone' AND substr(key, 1, 6) = 'group:';

-- +goose StatementBegin
CREATE TRIGGER residues_answered BEFORE UPDATE ON residues
WHEN OLD.state <> 'pending'
BEGIN SELECT RAISE(ABORT, 'rule: what a grant left behind is said once'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER residues_kept BEFORE DELETE ON residues
BEGIN SELECT RAISE(ABORT, 'rule: residues are kept'); END;
-- +goose StatementEnd
