-- Approvals that people hand to others for a time. A version that knows nothing of it
-- asks those who delegated, as before; it writes votes for nobody else.

-- +goose Up
CREATE TABLE delegations (
    id              TEXT    NOT NULL PRIMARY KEY CHECK (id <> ''),
    version         INTEGER NOT NULL CHECK (version >= 1),
    principal       TEXT    NOT NULL CHECK (principal <> ''),
    person          TEXT    NOT NULL CHECK (person <> ''),
    delegate        TEXT    NOT NULL CHECK (delegate <> ''),
    delegate_person TEXT    NOT NULL CHECK (delegate_person <> '' AND delegate_person <> person),
    starts_at       INTEGER NOT NULL,
    ends_at         INTEGER NOT NULL CHECK (ends_at > starts_at AND ends_at <= starts_at + 2592000000), -- 30 days
    ended_at        INTEGER,
    body            TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX delegations_by_principal ON delegations (principal, id);
CREATE INDEX delegations_by_delegate ON delegations (delegate, id);

-- +goose StatementBegin
CREATE TRIGGER delegations_steps BEFORE UPDATE ON delegations
WHEN NEW.version NOT IN (OLD.version, OLD.version + 1) OR OLD.ended_at IS NOT NULL
  OR NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.delegate <> OLD.delegate
  OR NEW.delegate_person <> OLD.delegate_person OR NEW.starts_at <> OLD.starts_at OR NEW.ends_at <> OLD.ends_at
BEGIN SELECT RAISE(ABORT, 'rule: a delegation never changes, and ends once'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER delegations_kept BEFORE DELETE ON delegations
BEGIN SELECT RAISE(ABORT, 'rule: delegations are kept'); END;
-- +goose StatementEnd

-- Whose approval a vote is, where somebody else gave it.
ALTER TABLE votes ADD COLUMN for_person TEXT NOT NULL DEFAULT '';

-- +goose StatementBegin
CREATE TRIGGER votes_for BEFORE INSERT ON votes
WHEN NEW.for_person = NEW.person
  OR NEW.for_person <> '' AND NEW.for_person = (SELECT r.person FROM requests r WHERE r.id = NEW.request_id)
  OR EXISTS (SELECT 1 FROM votes v WHERE v.request_id = NEW.request_id AND v.n <> NEW.n
             AND (v.for_person = NEW.person OR NEW.for_person <> '' AND NEW.for_person IN (v.person, v.for_person)))
BEGIN SELECT RAISE(ABORT, 'rule: a person has one vote, whoever gives it'); END;
-- +goose StatementEnd
