-- What people often ask for, and the live grants that rest on a ticket. A version that
-- knows nothing of them leaves both alone: what it grants is not watched.

-- +goose Up
CREATE TABLE favourites (
    person   TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    name     TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    resource TEXT COLLATE "C" NOT NULL,
    role     TEXT COLLATE "C" NOT NULL,
    duration BIGINT           NOT NULL CHECK (duration > 0),
    saved_at BIGINT           NOT NULL,
    PRIMARY KEY (person, name)
);

CREATE TABLE ticket_watches (
    grant_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    next_at  BIGINT           NOT NULL,
    body     TEXT COLLATE "C" NOT NULL
);
CREATE INDEX ticket_watches_due ON ticket_watches (next_at);
