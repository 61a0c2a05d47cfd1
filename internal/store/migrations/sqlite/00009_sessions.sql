-- How people signed in, by what a login is used, and sign-ins that were begun. A
-- version that knows nothing of it leaves the columns as they are.

-- +goose Up
ALTER TABLE logins ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE logins ADD COLUMN seen_at INTEGER;
ALTER TABLE logins ADD COLUMN body TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN auth TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN auth TEXT NOT NULL DEFAULT '';

CREATE TABLE attempts (
    key        BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    alias      BLOB    CHECK (alias IS NULL OR length(alias) = 32),
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    body       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX attempts_by_alias ON attempts (alias) WHERE alias IS NOT NULL;
CREATE INDEX attempts_by_end ON attempts (expires_at);

-- +goose StatementBegin
CREATE TRIGGER attempts_used BEFORE UPDATE ON attempts
WHEN OLD.used_at IS NOT NULL OR NEW.key <> OLD.key OR NEW.expires_at <> OLD.expires_at
BEGIN SELECT RAISE(ABORT, 'rule: a sign-in is finished once'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER logins_kind BEFORE UPDATE ON logins
WHEN NEW.kind <> OLD.kind
BEGIN SELECT RAISE(ABORT, 'rule: a login stays of its kind'); END;
-- +goose StatementEnd
