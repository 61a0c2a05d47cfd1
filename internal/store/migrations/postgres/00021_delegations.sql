-- Approvals that people hand to others for a time. A version that knows nothing of it
-- asks those who delegated, as before; it writes votes for nobody else.

-- +goose Up
CREATE TABLE delegations (
    id              TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    version         BIGINT           NOT NULL CHECK (version >= 1),
    principal       TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    person          TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    delegate        TEXT COLLATE "C" NOT NULL CHECK (delegate <> ''),
    delegate_person TEXT COLLATE "C" NOT NULL CHECK (delegate_person <> '' AND delegate_person <> person),
    starts_at       BIGINT           NOT NULL,
    ends_at         BIGINT           NOT NULL CHECK (ends_at > starts_at AND ends_at <= starts_at + 2592000000), -- 30 days
    ended_at        BIGINT,
    body            TEXT COLLATE "C" NOT NULL
);
CREATE INDEX delegations_by_principal ON delegations (principal, id);
CREATE INDEX delegations_by_delegate ON delegations (delegate, id);

CREATE TRIGGER delegations_steps BEFORE UPDATE ON delegations FOR EACH ROW
WHEN (NEW.version NOT IN (OLD.version, OLD.version + 1) OR OLD.ended_at IS NOT NULL
  OR NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.delegate <> OLD.delegate
  OR NEW.delegate_person <> OLD.delegate_person OR NEW.starts_at <> OLD.starts_at OR NEW.ends_at <> OLD.ends_at)
EXECUTE FUNCTION stint_refuse('rule: a delegation never changes, and ends once');

CREATE TRIGGER delegations_kept BEFORE DELETE ON delegations FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: delegations are kept');

-- Whose approval a vote is, where somebody else gave it.
ALTER TABLE votes ADD COLUMN for_person TEXT COLLATE "C" NOT NULL DEFAULT '';

-- +goose StatementBegin
CREATE FUNCTION votes_for() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.for_person = NEW.person
       OR NEW.for_person <> '' AND NEW.for_person = (SELECT r.person FROM requests r WHERE r.id = NEW.request_id)
       OR EXISTS (SELECT 1 FROM votes v WHERE v.request_id = NEW.request_id AND v.n <> NEW.n
                  AND (v.for_person = NEW.person OR NEW.for_person <> '' AND NEW.for_person IN (v.person, v.for_person))) THEN
        RAISE EXCEPTION 'rule: a person has one vote, whoever gives it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER votes_for BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION votes_for();
