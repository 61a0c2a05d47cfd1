-- SSH certificates that were made: by them hosts are told which ones ended early. What is
-- not in here is not on that list, so a version that knows nothing of it makes none.

-- +goose Up
CREATE TABLE certificates (
    serial     INTEGER NOT NULL PRIMARY KEY CHECK (serial > 0),
    kind       TEXT    NOT NULL CHECK (kind IN ('user', 'host')),
    grant_id   TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    ends_at    INTEGER NOT NULL,
    revoked_at INTEGER,
    body       TEXT    NOT NULL,
    CHECK ((kind = 'user') = (grant_id <> ''))
) STRICT;
CREATE INDEX certificates_ends ON certificates (ends_at);
CREATE INDEX certificates_grant ON certificates (grant_id);
