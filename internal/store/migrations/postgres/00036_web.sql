-- Keys by which gateways for the web know programs of people, and tickets with which browsers come
-- from the sign-in, beside the certificates and keys before. A version that knows nothing of them
-- leaves them as they are.

-- +goose Up
LOCK TABLE certificates IN ACCESS EXCLUSIVE MODE; -- or what the version before writes while the rows are copied would be lost
CREATE TABLE certificates_and_tickets (
    serial     BIGINT           NOT NULL PRIMARY KEY CHECK (serial > 0),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'host', 'database', 'web', 'ticket')),
    grant_id   TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    ends_at    BIGINT           NOT NULL,
    revoked_at BIGINT,
    body       TEXT COLLATE "C" NOT NULL,
    CHECK ((kind <> 'host') = (grant_id <> ''))
);
INSERT INTO certificates_and_tickets SELECT serial, kind, grant_id, resource, ends_at, revoked_at, body FROM certificates;
DROP TABLE certificates;
ALTER TABLE certificates_and_tickets RENAME TO certificates;
CREATE INDEX certificates_ends ON certificates (ends_at);
CREATE INDEX certificates_grant ON certificates (grant_id);
