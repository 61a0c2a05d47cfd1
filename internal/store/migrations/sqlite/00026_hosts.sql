-- Hosts whose agents carry out what is ordered there, and calls that are on their way
-- to one by another replica. A call is of no use once its replica is gone: losing all
-- of them loses nothing. A version that knows nothing of hosts serves none.

-- +goose Up
CREATE TABLE hosts (
    name        TEXT    NOT NULL PRIMARY KEY CHECK (name <> ''),
    version     INTEGER NOT NULL CHECK (version > 0),
    code        BLOB,
    code_until  INTEGER,
    agent       TEXT    NOT NULL,
    key         BLOB    NOT NULL,
    program     TEXT    NOT NULL,
    enrolled_at INTEGER,
    revoked_at  INTEGER,
    seen_at     INTEGER,
    CHECK ((code IS NULL) = (code_until IS NULL)),
    CHECK (agent = '' OR enrolled_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX hosts_by_code ON hosts (code) WHERE code IS NOT NULL;
CREATE UNIQUE INDEX hosts_by_agent ON hosts (agent) WHERE agent <> '';

CREATE TABLE host_calls (
    id     TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    host   TEXT    NOT NULL CHECK (host <> ''),
    call   TEXT    NOT NULL,
    ends   INTEGER NOT NULL CHECK (ends IN (0, 1)),
    due_at INTEGER NOT NULL,
    taken  INTEGER NOT NULL CHECK (taken IN (0, 1)),
    answer TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX host_calls_by_host ON host_calls (host, due_at);
CREATE INDEX host_calls_by_end ON host_calls (due_at);
