-- Where a gateway takes connections of other protocols than SSH, as it says, and the
-- certificates by which it is known there; empty where it takes none. And keys by which
-- gateways for databases know people, beside certificates: they are of one series of serials,
-- and end like them. A version that knows nothing of either leaves them as they are.

-- +goose Up
LOCK TABLE certificates IN ACCESS EXCLUSIVE MODE; -- or what the version before writes while the rows are copied would be lost
ALTER TABLE hosts ADD COLUMN doors TEXT COLLATE "C" NOT NULL DEFAULT '';
CREATE TABLE certificates_and_keys (
    serial     BIGINT           NOT NULL PRIMARY KEY CHECK (serial > 0),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'host', 'database')),
    grant_id   TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    ends_at    BIGINT           NOT NULL,
    revoked_at BIGINT,
    body       TEXT COLLATE "C" NOT NULL,
    CHECK ((kind <> 'host') = (grant_id <> ''))
);
INSERT INTO certificates_and_keys SELECT serial, kind, grant_id, resource, ends_at, revoked_at, body FROM certificates;
DROP TABLE certificates;
ALTER TABLE certificates_and_keys RENAME TO certificates;
CREATE INDEX certificates_ends ON certificates (ends_at);
CREATE INDEX certificates_grant ON certificates (grant_id);
