-- Tokens of workloads that were shown, and by which device, until they expire. A version
-- that knows nothing of it exchanges none.

-- +goose Up
CREATE TABLE exchanges (
    token      BYTEA            NOT NULL PRIMARY KEY CHECK (length(token) = 32), -- SHA-256 of what tells it from others
    device     TEXT COLLATE "C" NOT NULL, -- empty: it had no key, and the token is used up
    expires_at BIGINT           NOT NULL
);
CREATE INDEX exchanges_by_end ON exchanges (expires_at);

CREATE TRIGGER exchanges_same BEFORE UPDATE ON exchanges FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: who showed a token first stays so');
CREATE INDEX logins_by_kind ON logins (kind, expires_at) WHERE kind = 'workload';
