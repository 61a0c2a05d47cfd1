-- Where a gateway takes connections of other protocols than SSH, as it says, and the
-- certificates by which it is known there; empty where it takes none. And keys by which
-- gateways for databases know people, beside certificates: they are of one series of serials,
-- and end like them. A version that knows nothing of either leaves them as they are.

-- +goose Up
ALTER TABLE hosts ADD COLUMN doors TEXT NOT NULL DEFAULT '';
CREATE TABLE certificates_and_keys (
    serial     INTEGER NOT NULL PRIMARY KEY CHECK (serial > 0),
    kind       TEXT    NOT NULL CHECK (kind IN ('user', 'host', 'database')),
    grant_id   TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    ends_at    INTEGER NOT NULL,
    revoked_at INTEGER,
    body       TEXT    NOT NULL,
    CHECK ((kind <> 'host') = (grant_id <> ''))
) STRICT;
INSERT INTO certificates_and_keys SELECT serial, kind, grant_id, resource, ends_at, revoked_at, body FROM certificates;
DROP TABLE certificates;
ALTER TABLE certificates_and_keys RENAME TO certificates;
CREATE INDEX certificates_ends ON certificates (ends_at);
CREATE INDEX certificates_grant ON certificates (grant_id);
