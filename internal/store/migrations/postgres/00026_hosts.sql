-- Hosts whose agents carry out what is ordered there, and calls that are on their way
-- to one by another replica. A call is of no use once its replica is gone: losing all
-- of them loses nothing. A version that knows nothing of hosts serves none.

-- +goose Up
CREATE TABLE hosts (
    name        TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    version     BIGINT           NOT NULL CHECK (version > 0),
    code        BYTEA,
    code_until  BIGINT,
    agent       TEXT COLLATE "C" NOT NULL,
    key         BYTEA            NOT NULL,
    program     TEXT COLLATE "C" NOT NULL,
    enrolled_at BIGINT,
    revoked_at  BIGINT,
    seen_at     BIGINT,
    CHECK ((code IS NULL) = (code_until IS NULL)),
    CHECK (agent = '' OR enrolled_at IS NOT NULL)
);
CREATE UNIQUE INDEX hosts_by_code ON hosts (code) WHERE code IS NOT NULL;
CREATE UNIQUE INDEX hosts_by_agent ON hosts (agent) WHERE agent <> '';

CREATE UNLOGGED TABLE host_calls (
    id     TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    host   TEXT COLLATE "C" NOT NULL CHECK (host <> ''),
    call   TEXT COLLATE "C" NOT NULL,
    ends   BOOLEAN          NOT NULL,
    due_at BIGINT           NOT NULL,
    taken  BOOLEAN          NOT NULL,
    answer TEXT COLLATE "C"
);
CREATE INDEX host_calls_by_host ON host_calls (host, due_at);
CREATE INDEX host_calls_by_end ON host_calls (due_at);
