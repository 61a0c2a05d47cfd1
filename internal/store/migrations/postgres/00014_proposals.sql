-- Changes of Stint's own configuration that wait for a second person. A version
-- that knows nothing of it reads and writes nothing here, and changes documents
-- without one.

-- +goose Up
CREATE TABLE proposals (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version        BIGINT           NOT NULL CHECK (version >= 1),
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'approved', 'applied', 'denied', 'withdrawn')),
    principal      TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    person         TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    base           BIGINT           NOT NULL,
    content        BYTEA            NOT NULL,
    digest         BYTEA            NOT NULL CHECK (length(digest) = 32),
    created_at     BIGINT           NOT NULL,
    expires_at     BIGINT           NOT NULL CHECK (expires_at > created_at AND expires_at <= created_at + 2592000000),
    decided_person TEXT COLLATE "C" NOT NULL,
    body           TEXT COLLATE "C" NOT NULL,
    CHECK ((decided_person <> '') = (state <> 'pending')),
    CHECK (state NOT IN ('approved', 'applied') OR decided_person <> person)
);
CREATE INDEX proposals_by_state ON proposals (state, id);

CREATE TRIGGER proposals_new BEFORE INSERT ON proposals FOR EACH ROW
WHEN (NEW.state <> 'pending')
EXECUTE FUNCTION stint_refuse('rule: a proposal begins pending');

CREATE TRIGGER proposals_version BEFORE UPDATE ON proposals FOR EACH ROW
WHEN (NEW.version NOT IN (OLD.version, OLD.version + 1))
EXECUTE FUNCTION stint_refuse('rule: versions of a proposal go up by one');

CREATE TRIGGER proposals_fixed BEFORE UPDATE ON proposals FOR EACH ROW
WHEN (NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.base <> OLD.base
  OR NEW.content <> OLD.content OR NEW.digest <> OLD.digest OR NEW.created_at <> OLD.created_at OR NEW.expires_at <> OLD.expires_at)
EXECUTE FUNCTION stint_refuse('rule: what was proposed never changes');

CREATE TRIGGER proposals_steps BEFORE UPDATE ON proposals FOR EACH ROW
WHEN (NEW.state <> OLD.state AND NOT (
     OLD.state = 'pending'  AND NEW.state IN ('approved', 'denied', 'withdrawn')
  OR OLD.state = 'approved' AND NEW.state = 'applied' AND NEW.decided_person = OLD.decided_person))
EXECUTE FUNCTION stint_refuse('rule: a decided proposal stays as it is');

CREATE TRIGGER proposals_kept BEFORE DELETE ON proposals FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: proposals are kept');
