-- SSH certificates that were made: by them hosts are told which ones ended early. What is
-- not in here is not on that list, so a version that knows nothing of it makes none.

-- +goose Up
CREATE TABLE certificates (
    serial     BIGINT           NOT NULL PRIMARY KEY CHECK (serial > 0),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'host')),
    grant_id   TEXT COLLATE "C" NOT NULL,
    resource   TEXT COLLATE "C" NOT NULL,
    ends_at    BIGINT           NOT NULL,
    revoked_at BIGINT,
    body       TEXT COLLATE "C" NOT NULL,
    CHECK ((kind = 'user') = (grant_id <> ''))
);
CREATE INDEX certificates_ends ON certificates (ends_at);
CREATE INDEX certificates_grant ON certificates (grant_id);
