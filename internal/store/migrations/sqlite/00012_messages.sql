-- Who was told of what: the readers of the log that send messages, how far each has
-- read, and what stands in the messages that it sent. A version that knows nothing
-- of it sends none.

-- +goose Up
CREATE TABLE channels (
    name        TEXT    NOT NULL PRIMARY KEY CHECK (name <> ''),
    seq         INTEGER NOT NULL CHECK (seq >= -1),
    lease_owner TEXT    NOT NULL,
    lease_until INTEGER NOT NULL,
    body        TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- A message is due where a newer record concerns it than the one it tells of.
CREATE TABLE messages (
    channel TEXT    NOT NULL REFERENCES channels (name),
    subject TEXT    NOT NULL CHECK (subject <> ''),
    want    INTEGER NOT NULL,
    have    INTEGER NOT NULL,
    due_at  INTEGER,
    at      INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (channel, subject),
    CHECK (have <= want),
    CHECK ((due_at IS NULL) = (have = want))
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_due ON messages (channel, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_at ON messages (at) WHERE due_at IS NULL;
