-- Changes of Stint's own configuration that wait for a second person. A version
-- that knows nothing of it reads and writes nothing here, and changes documents
-- without one.

-- +goose Up
CREATE TABLE proposals (
    id             TEXT    NOT NULL PRIMARY KEY,
    version        INTEGER NOT NULL CHECK (version >= 1),
    state          TEXT    NOT NULL CHECK (state IN ('pending', 'approved', 'applied', 'denied', 'withdrawn')),
    principal      TEXT    NOT NULL CHECK (principal <> ''),
    person         TEXT    NOT NULL CHECK (person <> ''),
    base           INTEGER NOT NULL,
    content        BLOB    NOT NULL,
    digest         BLOB    NOT NULL CHECK (length(digest) = 32),
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL CHECK (expires_at > created_at AND expires_at <= created_at + 2592000000),
    decided_person TEXT    NOT NULL,
    body           TEXT    NOT NULL,
    CHECK ((decided_person <> '') = (state <> 'pending')),
    CHECK (state NOT IN ('approved', 'applied') OR decided_person <> person)
) STRICT;
CREATE INDEX proposals_by_state ON proposals (state, id);

-- +goose StatementBegin
CREATE TRIGGER proposals_new BEFORE INSERT ON proposals
WHEN NEW.state <> 'pending'
BEGIN SELECT RAISE(ABORT, 'rule: a proposal begins pending'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER proposals_version BEFORE UPDATE ON proposals
WHEN NEW.version NOT IN (OLD.version, OLD.version + 1)
BEGIN SELECT RAISE(ABORT, 'rule: versions of a proposal go up by one'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER proposals_fixed BEFORE UPDATE ON proposals
WHEN NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.base <> OLD.base
  OR NEW.content <> OLD.content OR NEW.digest <> OLD.digest OR NEW.created_at <> OLD.created_at OR NEW.expires_at <> OLD.expires_at
BEGIN SELECT RAISE(ABORT, 'rule: what was proposed never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER proposals_steps BEFORE UPDATE ON proposals
WHEN NEW.state <> OLD.state AND NOT (
     OLD.state = 'pending'  AND NEW.state IN ('approved', 'denied', 'withdrawn')
  OR OLD.state = 'approved' AND NEW.state = 'applied' AND NEW.decided_person = OLD.decided_person)
BEGIN SELECT RAISE(ABORT, 'rule: a decided proposal stays as it is'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER proposals_kept BEFORE DELETE ON proposals
BEGIN SELECT RAISE(ABORT, 'rule: proposals are kept'); END;
-- +goose StatementEnd
