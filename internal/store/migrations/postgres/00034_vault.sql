-- The vault: accounts whose secrets Stint keeps. The body holds each version of a secret,
-- sealed for its place; lent is the entitlement under which the current one was given to
-- somebody and is not rotated since; due_at is when it is to be rotated next. A row is
-- never taken away: one that was removed keeps the numbers of its name. An account at an
-- address is in one entry. A version that knows nothing of it rotates nothing.

-- +goose Up
CREATE TABLE vault (
    name       TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    version    BIGINT NOT NULL CHECK (version > 0),
    place      TEXT COLLATE "C" NOT NULL CHECK (place <> ''),
    account    TEXT COLLATE "C" NOT NULL CHECK (account <> ''),
    lent       TEXT COLLATE "C" NOT NULL,
    due_at     BIGINT,
    removed_at BIGINT CHECK (removed_at IS NULL OR lent = ''),
    body       TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX vault_by_account ON vault (place, account) WHERE removed_at IS NULL;
CREATE INDEX vault_due ON vault (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX vault_lent ON vault (name) WHERE lent <> '';
