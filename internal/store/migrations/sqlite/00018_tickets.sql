-- What people often ask for, and the live grants that rest on a ticket. A version that
-- knows nothing of them leaves both alone: what it grants is not watched.

-- +goose Up
CREATE TABLE favourites (
    person   TEXT    NOT NULL CHECK (person <> ''),
    name     TEXT    NOT NULL CHECK (name <> ''),
    resource TEXT    NOT NULL,
    role     TEXT    NOT NULL,
    duration INTEGER NOT NULL CHECK (duration > 0),
    saved_at INTEGER NOT NULL,
    PRIMARY KEY (person, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE ticket_watches (
    grant_id TEXT    NOT NULL PRIMARY KEY,
    next_at  INTEGER NOT NULL,
    body     TEXT    NOT NULL
) STRICT;
CREATE INDEX ticket_watches_due ON ticket_watches (next_at);
