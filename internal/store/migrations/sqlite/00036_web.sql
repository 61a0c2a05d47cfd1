-- Keys by which gateways for the web know programs of people, and tickets with which browsers come
-- from the sign-in, beside the certificates and keys before. A version that knows nothing of them
-- leaves them as they are.

-- +goose Up
CREATE TABLE certificates_and_tickets (
    serial     INTEGER NOT NULL PRIMARY KEY CHECK (serial > 0),
    kind       TEXT    NOT NULL CHECK (kind IN ('user', 'host', 'database', 'web', 'ticket')),
    grant_id   TEXT    NOT NULL,
    resource   TEXT    NOT NULL,
    ends_at    INTEGER NOT NULL,
    revoked_at INTEGER,
    body       TEXT    NOT NULL,
    CHECK ((kind <> 'host') = (grant_id <> ''))
) STRICT;
INSERT INTO certificates_and_tickets SELECT serial, kind, grant_id, resource, ends_at, revoked_at, body FROM certificates;
DROP TABLE certificates;
ALTER TABLE certificates_and_tickets RENAME TO certificates;
CREATE INDEX certificates_ends ON certificates (ends_at);
CREATE INDEX certificates_grant ON certificates (grant_id);
