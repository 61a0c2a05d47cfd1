-- Who was told of what: the readers of the log that send messages, how far each has
-- read, and what stands in the messages that it sent. A version that knows nothing
-- of it sends none.

-- +goose Up
CREATE TABLE channels (
    name        TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    seq         BIGINT           NOT NULL CHECK (seq >= -1),
    lease_owner TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT           NOT NULL,
    body        TEXT COLLATE "C" NOT NULL
);

-- A message is due where a newer record concerns it than the one it tells of.
CREATE TABLE messages (
    channel TEXT COLLATE "C" NOT NULL REFERENCES channels (name),
    subject TEXT COLLATE "C" NOT NULL CHECK (subject <> ''),
    want    BIGINT           NOT NULL,
    have    BIGINT           NOT NULL,
    due_at  BIGINT,
    at      BIGINT           NOT NULL,
    body    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (channel, subject),
    CHECK (have <= want),
    CHECK ((due_at IS NULL) = (have = want))
);
CREATE INDEX messages_due ON messages (channel, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_at ON messages (at) WHERE due_at IS NULL;
