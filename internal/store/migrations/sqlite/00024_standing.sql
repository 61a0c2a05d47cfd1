-- What targets said when they were probed and surveyed. It is what was seen, and nothing
-- rests on it: a version that knows nothing of it leaves it alone.

-- +goose Up
CREATE TABLE probes (
    resource  TEXT    NOT NULL PRIMARY KEY,
    at        INTEGER NOT NULL,
    principal TEXT    NOT NULL,
    ok        INTEGER NOT NULL CHECK (ok IN (0, 1)),
    said      TEXT    NOT NULL,
    body      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE surveys (
    resource TEXT    NOT NULL PRIMARY KEY,
    tried_at INTEGER NOT NULL,
    at       INTEGER,
    edges    INTEGER NOT NULL CHECK (edges >= 0),
    accounts INTEGER NOT NULL CHECK (accounts >= 0),
    body     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE standing (
    resource   TEXT    NOT NULL CHECK (resource <> ''),
    account    TEXT    NOT NULL CHECK (account <> ''),
    privilege  TEXT    NOT NULL CHECK (privilege <> ''),
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    gone_at    INTEGER,
    body       TEXT    NOT NULL,
    PRIMARY KEY (resource, account, privilege)
) STRICT, WITHOUT ROWID;

CREATE TABLE standing_days (
    day      INTEGER NOT NULL,
    resource TEXT    NOT NULL CHECK (resource <> ''),
    edges    INTEGER NOT NULL CHECK (edges >= 0),
    accounts INTEGER NOT NULL CHECK (accounts >= 0),
    PRIMARY KEY (day, resource)
) STRICT, WITHOUT ROWID;
