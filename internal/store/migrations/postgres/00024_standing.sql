-- What targets said when they were probed and surveyed. It is what was seen, and nothing
-- rests on it: a version that knows nothing of it leaves it alone.

-- +goose Up
CREATE TABLE probes (
    resource  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at        BIGINT           NOT NULL,
    principal TEXT COLLATE "C" NOT NULL,
    ok        BOOLEAN          NOT NULL,
    said      TEXT COLLATE "C" NOT NULL,
    body      TEXT COLLATE "C" NOT NULL
);

CREATE TABLE surveys (
    resource TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tried_at BIGINT           NOT NULL,
    at       BIGINT,
    edges    BIGINT           NOT NULL CHECK (edges >= 0),
    accounts BIGINT           NOT NULL CHECK (accounts >= 0),
    body     TEXT COLLATE "C" NOT NULL
);

CREATE TABLE standing (
    resource   TEXT COLLATE "C" NOT NULL CHECK (resource <> ''),
    account    TEXT COLLATE "C" NOT NULL CHECK (account <> ''),
    privilege  TEXT COLLATE "C" NOT NULL CHECK (privilege <> ''),
    first_seen BIGINT           NOT NULL,
    last_seen  BIGINT           NOT NULL,
    gone_at    BIGINT,
    body       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (resource, account, privilege)
);

CREATE TABLE standing_days (
    day      BIGINT           NOT NULL,
    resource TEXT COLLATE "C" NOT NULL CHECK (resource <> ''),
    edges    BIGINT           NOT NULL CHECK (edges >= 0),
    accounts BIGINT           NOT NULL CHECK (accounts >= 0),
    PRIMARY KEY (day, resource)
);
