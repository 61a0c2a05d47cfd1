-- Tokens of workloads that were shown, and by which device, until they expire. A version
-- that knows nothing of it exchanges none.

-- +goose Up
CREATE TABLE exchanges (
    token      BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 32), -- SHA-256 of what tells it from others
    device     TEXT    NOT NULL, -- empty: it had no key, and the token is used up
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX exchanges_by_end ON exchanges (expires_at);

-- +goose StatementBegin
CREATE TRIGGER exchanges_same BEFORE UPDATE ON exchanges
BEGIN SELECT RAISE(ABORT, 'rule: who showed a token first stays so'); END;
-- +goose StatementEnd
CREATE INDEX logins_by_kind ON logins (kind, expires_at) WHERE kind = 'workload';
