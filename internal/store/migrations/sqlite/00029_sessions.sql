-- Sessions that gateways carry, and where each gateway is reached. A version that knows
-- nothing of gateways enrols none and opens no session.

-- +goose Up
ALTER TABLE hosts ADD COLUMN address TEXT NOT NULL DEFAULT '';

CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (id LIKE 'ses_%'),
    version    INTEGER NOT NULL CHECK (version > 0),
    gateway    TEXT    NOT NULL CHECK (gateway <> ''),
    grant_id   TEXT    NOT NULL REFERENCES grants (id),
    person     TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    keeps      INTEGER NOT NULL,
    opened_at  INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL,
    closed_at  INTEGER,
    body       TEXT    NOT NULL,
    tape       TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX sessions_open ON sessions (gateway, id) WHERE closed_at IS NULL;
CREATE INDEX sessions_by_grant ON sessions (grant_id);
CREATE INDEX sessions_by_person ON sessions (person, id);
CREATE INDEX sessions_by_resource ON sessions (resource, id);
