-- Break-glass access: what another person has to say about it afterwards, the one-time
-- codes for when sign-in is down, and the logins that such codes give. A version that
-- knows nothing of them grants no such access and finds no such login: these logins have
-- a table of their own, so that none of it takes one for a login to everything.

-- +goose Up
CREATE TABLE reviews (
    id         TEXT    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL CHECK (version >= 1),
    state      TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    request_id TEXT    NOT NULL REFERENCES requests (id),
    grant_id   TEXT    NOT NULL REFERENCES grants (id),
    person     TEXT    NOT NULL CHECK (person <> ''),
    resource   TEXT    NOT NULL,
    closer     TEXT    NOT NULL, -- the person who closed it
    finding    TEXT    NOT NULL CHECK (finding IN ('', 'justified', 'unjustified', 'drill')),
    opened_at  INTEGER NOT NULL,
    remind_at  INTEGER,
    body       TEXT    NOT NULL,
    CHECK ((state = 'open') = (remind_at IS NOT NULL)),
    CHECK ((state = 'closed') = (closer <> '')),
    CHECK ((state = 'closed') = (finding <> '')),
    CHECK (closer <> person)
) STRICT;
CREATE UNIQUE INDEX reviews_by_grant ON reviews (grant_id);
CREATE INDEX reviews_by_state ON reviews (state, id);
CREATE INDEX reviews_by_person ON reviews (person, id);
CREATE INDEX reviews_by_resource ON reviews (resource, id);
CREATE INDEX reviews_due ON reviews (remind_at) WHERE remind_at IS NOT NULL;

CREATE TABLE glass_codes (
    code       BLOB    NOT NULL PRIMARY KEY CHECK (length(code) = 32),
    id         TEXT    NOT NULL,
    made_with  TEXT    NOT NULL,
    need       INTEGER NOT NULL CHECK (need >= 1),
    principal  TEXT    NOT NULL CHECK (principal <> ''),
    resource   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at > created_at),
    used_at    INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX glass_codes_by_id ON glass_codes (id);
CREATE INDEX glass_codes_by_principal ON glass_codes (principal);

CREATE TABLE glass_logins (
    token      BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    principal  TEXT    NOT NULL CHECK (principal <> ''),
    device     TEXT    NOT NULL CHECK (device <> ''),
    seal_key   BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at > created_at AND expires_at <= created_at + 3600000),
    revoked    INTEGER NOT NULL CHECK (revoked IN (0, 1)),
    body       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX glass_logins_by_principal ON glass_logins (principal);

-- +goose StatementBegin
CREATE TRIGGER reviews_new BEFORE INSERT ON reviews
WHEN NEW.state <> 'open'
BEGIN SELECT RAISE(ABORT, 'rule: a review begins open'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER reviews_version BEFORE UPDATE ON reviews
WHEN NEW.version NOT IN (OLD.version, OLD.version + 1)
BEGIN SELECT RAISE(ABORT, 'rule: versions of a review go up by one'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER reviews_done BEFORE UPDATE ON reviews
WHEN OLD.state = 'closed'
BEGIN SELECT RAISE(ABORT, 'rule: a closed review stays as it is'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER reviews_fixed BEFORE UPDATE ON reviews
WHEN NEW.id <> OLD.id OR NEW.request_id <> OLD.request_id OR NEW.grant_id <> OLD.grant_id OR NEW.person <> OLD.person
  OR NEW.resource <> OLD.resource OR NEW.opened_at <> OLD.opened_at
BEGIN SELECT RAISE(ABORT, 'rule: what is reviewed never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER reviews_kept BEFORE DELETE ON reviews
BEGIN SELECT RAISE(ABORT, 'rule: reviews are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER glass_codes_used BEFORE UPDATE ON glass_codes
WHEN OLD.used_at IS NOT NULL OR OLD.revoked_at IS NOT NULL OR NEW.code <> OLD.code OR NEW.id <> OLD.id OR NEW.made_with <> OLD.made_with
  OR NEW.need <> OLD.need OR NEW.principal <> OLD.principal OR NEW.resource <> OLD.resource OR NEW.expires_at <> OLD.expires_at
BEGIN SELECT RAISE(ABORT, 'rule: a break-glass code is used once'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER glass_logins_revoked BEFORE UPDATE ON glass_logins
WHEN OLD.revoked AND NOT NEW.revoked OR NEW.token <> OLD.token OR NEW.principal <> OLD.principal OR NEW.device <> OLD.device
  OR NEW.expires_at <> OLD.expires_at OR NEW.body <> OLD.body
BEGIN SELECT RAISE(ABORT, 'rule: a break-glass login is never handed on, never longer and never comes back'); END;
-- +goose StatementEnd
