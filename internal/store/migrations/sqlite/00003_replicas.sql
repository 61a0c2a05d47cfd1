-- +goose Up

-- One process at a time uses a SQLite store, so this stays empty. It is here
-- because both schemas are one.
CREATE TABLE replicas (
    name           TEXT    NOT NULL PRIMARY KEY,
    lock           INTEGER NOT NULL,
    sessions       TEXT    NOT NULL,
    pid            INTEGER NOT NULL,
    since          INTEGER NOT NULL,
    seen_at        INTEGER NOT NULL
) STRICT;
