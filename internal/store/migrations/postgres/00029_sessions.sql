-- Sessions that gateways carry, and where each gateway is reached. A version that knows
-- nothing of gateways enrols none and opens no session.

-- +goose Up
ALTER TABLE hosts ADD COLUMN address TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE sessions (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (id LIKE 'ses_%'),
    version    BIGINT           NOT NULL CHECK (version > 0),
    gateway    TEXT COLLATE "C" NOT NULL CHECK (gateway <> ''),
    grant_id   TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    person     TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    keeps      BOOLEAN          NOT NULL,
    opened_at  BIGINT           NOT NULL,
    renewed_at BIGINT           NOT NULL,
    closed_at  BIGINT,
    body       TEXT COLLATE "C" NOT NULL,
    tape       TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX sessions_open ON sessions (gateway, id) WHERE closed_at IS NULL;
CREATE INDEX sessions_by_grant ON sessions (grant_id);
CREATE INDEX sessions_by_person ON sessions (person, id);
CREATE INDEX sessions_by_resource ON sessions (resource, id);
