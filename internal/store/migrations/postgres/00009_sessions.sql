-- How people signed in, by what a login is used, and sign-ins that were begun. A
-- version that knows nothing of it leaves the columns as they are.

-- +goose Up
ALTER TABLE logins ADD COLUMN kind TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE logins ADD COLUMN seen_at BIGINT;
ALTER TABLE logins ADD COLUMN body TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN auth TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN auth TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE attempts (
    key        BYTEA            NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    alias      BYTEA            CHECK (alias IS NULL OR length(alias) = 32),
    expires_at BIGINT           NOT NULL,
    used_at    BIGINT,
    body       TEXT COLLATE "C" NOT NULL
);
CREATE UNIQUE INDEX attempts_by_alias ON attempts (alias) WHERE alias IS NOT NULL;
CREATE INDEX attempts_by_end ON attempts (expires_at);

CREATE TRIGGER attempts_used BEFORE UPDATE ON attempts FOR EACH ROW
WHEN (OLD.used_at IS NOT NULL OR NEW.key <> OLD.key OR NEW.expires_at <> OLD.expires_at)
EXECUTE FUNCTION stint_refuse('rule: a sign-in is finished once');

CREATE TRIGGER logins_kind BEFORE UPDATE ON logins FOR EACH ROW
WHEN (NEW.kind <> OLD.kind)
EXECUTE FUNCTION stint_refuse('rule: a login stays of its kind');
