-- Passkeys of persons: public keys, by what they were believed, and how often their
-- authenticators say that they were used. What a passkey is never changes.

-- +goose Up
CREATE TABLE passkeys (
    id         TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    version    INTEGER NOT NULL CHECK (version >= 1),
    state      TEXT    NOT NULL CHECK (state IN ('proposed', 'active', 'removed')),
    principal  TEXT    NOT NULL CHECK (principal <> ''),
    person     TEXT    NOT NULL CHECK (person <> ''),
    credential BLOB    NOT NULL UNIQUE CHECK (length(credential) BETWEEN 1 AND 1023),
    anchor     TEXT    NOT NULL CHECK (anchor IN ('', 'genesis', 'own', 'admins', 'admin', 'recovery')),
    counter    INTEGER NOT NULL CHECK (counter BETWEEN 0 AND 4294967295),
    created_at INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    CHECK (state <> 'active' OR anchor <> '')
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_person ON passkeys (person, id);

-- +goose StatementBegin
CREATE TRIGGER passkeys_steps BEFORE UPDATE ON passkeys
WHEN NEW.version NOT IN (OLD.version, OLD.version + 1) OR OLD.state = 'removed'
  OR NEW.state <> OLD.state AND NEW.version = OLD.version
  OR OLD.state = 'active' AND NEW.state = 'proposed'
  OR OLD.anchor <> '' AND NEW.anchor <> OLD.anchor
  OR NEW.counter < OLD.counter
BEGIN SELECT RAISE(ABORT, 'rule: a passkey is proposed, active, removed, and its counter goes up'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER passkeys_same BEFORE UPDATE ON passkeys
WHEN NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.credential <> OLD.credential
BEGIN SELECT RAISE(ABORT, 'rule: what a passkey is never changes'); END;
-- +goose StatementEnd
-- There is one first passkey.
CREATE UNIQUE INDEX passkeys_first ON passkeys (anchor) WHERE anchor = 'genesis';

-- +goose StatementBegin
CREATE TRIGGER passkeys_kept BEFORE DELETE ON passkeys
BEGIN SELECT RAISE(ABORT, 'rule: passkeys are kept'); END;
-- +goose StatementEnd

-- Codes with which a local user signs in who has lost every device. One-time.
CREATE TABLE recovery_codes (
    code      BLOB    NOT NULL PRIMARY KEY CHECK (length(code) = 32), -- SHA-256
    principal TEXT    NOT NULL CHECK (principal <> ''),
    made_at   INTEGER NOT NULL,
    used_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX recovery_codes_principal ON recovery_codes (principal);
