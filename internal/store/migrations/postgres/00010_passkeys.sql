-- Passkeys of persons: public keys, by what they were believed, and how often their
-- authenticators say that they were used. What a passkey is never changes.

-- +goose Up
CREATE TABLE passkeys (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    version    BIGINT NOT NULL CHECK (version >= 1),
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('proposed', 'active', 'removed')),
    principal  TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    person     TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    credential BYTEA NOT NULL UNIQUE CHECK (length(credential) BETWEEN 1 AND 1023),
    anchor     TEXT COLLATE "C" NOT NULL CHECK (anchor IN ('', 'genesis', 'own', 'admins', 'admin', 'recovery')),
    counter    BIGINT NOT NULL CHECK (counter BETWEEN 0 AND 4294967295),
    created_at BIGINT NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    CHECK (state <> 'active' OR anchor <> '')
);
CREATE INDEX passkeys_person ON passkeys (person, id);

CREATE TRIGGER passkeys_steps BEFORE UPDATE ON passkeys FOR EACH ROW
WHEN (NEW.version NOT IN (OLD.version, OLD.version + 1) OR OLD.state = 'removed'
  OR NEW.state <> OLD.state AND NEW.version = OLD.version
  OR OLD.state = 'active' AND NEW.state = 'proposed'
  OR OLD.anchor <> '' AND NEW.anchor <> OLD.anchor
  OR NEW.counter < OLD.counter)
EXECUTE FUNCTION stint_refuse('rule: a passkey is proposed, active, removed, and its counter goes up');

CREATE TRIGGER passkeys_same BEFORE UPDATE ON passkeys FOR EACH ROW
WHEN (NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.credential <> OLD.credential)
EXECUTE FUNCTION stint_refuse('rule: what a passkey is never changes');

-- There is one first passkey.
CREATE UNIQUE INDEX passkeys_first ON passkeys (anchor) WHERE anchor = 'genesis';

CREATE TRIGGER passkeys_kept BEFORE DELETE ON passkeys FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: passkeys are kept');

-- Codes with which a local user signs in who has lost every device. One-time.
CREATE TABLE recovery_codes (
    code      BYTEA NOT NULL PRIMARY KEY CHECK (length(code) = 32), -- SHA-256
    principal TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    made_at   BIGINT NOT NULL,
    used_at   BIGINT
);
CREATE INDEX recovery_codes_principal ON recovery_codes (principal);
