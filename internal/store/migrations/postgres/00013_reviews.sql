-- Break-glass access: what another person has to say about it afterwards, the one-time
-- codes for when sign-in is down, and the logins that such codes give. A version that
-- knows nothing of them grants no such access and finds no such login: these logins have
-- a table of their own, so that none of it takes one for a login to everything.

-- +goose Up
CREATE TABLE reviews (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version    BIGINT           NOT NULL CHECK (version >= 1),
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'closed')),
    request_id TEXT COLLATE "C" NOT NULL REFERENCES requests (id),
    grant_id   TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    person     TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    resource   TEXT COLLATE "C" NOT NULL,
    closer     TEXT COLLATE "C" NOT NULL, -- the person who closed it
    finding    TEXT COLLATE "C" NOT NULL CHECK (finding IN ('', 'justified', 'unjustified', 'drill')),
    opened_at  BIGINT           NOT NULL,
    remind_at  BIGINT,
    body       TEXT COLLATE "C" NOT NULL,
    CHECK ((state = 'open') = (remind_at IS NOT NULL)),
    CHECK ((state = 'closed') = (closer <> '')),
    CHECK ((state = 'closed') = (finding <> '')),
    CHECK (closer <> person)
);
CREATE UNIQUE INDEX reviews_by_grant ON reviews (grant_id);
CREATE INDEX reviews_by_state ON reviews (state, id);
CREATE INDEX reviews_by_person ON reviews (person, id);
CREATE INDEX reviews_by_resource ON reviews (resource, id);
CREATE INDEX reviews_due ON reviews (remind_at) WHERE remind_at IS NOT NULL;

CREATE TABLE glass_codes (
    code       BYTEA            NOT NULL PRIMARY KEY CHECK (length(code) = 32),
    id         TEXT COLLATE "C" NOT NULL,
    made_with  TEXT COLLATE "C" NOT NULL,
    need       BIGINT           NOT NULL CHECK (need >= 1),
    principal  TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    resource   TEXT COLLATE "C" NOT NULL,
    created_at BIGINT           NOT NULL,
    expires_at BIGINT           NOT NULL CHECK (expires_at > created_at),
    used_at    BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX glass_codes_by_id ON glass_codes (id);
CREATE INDEX glass_codes_by_principal ON glass_codes (principal);

CREATE TABLE glass_logins (
    token      BYTEA            NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    principal  TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    device     TEXT COLLATE "C" NOT NULL CHECK (device <> ''),
    seal_key   BYTEA            NOT NULL,
    created_at BIGINT           NOT NULL,
    expires_at BIGINT           NOT NULL CHECK (expires_at > created_at AND expires_at <= created_at + 3600000),
    revoked    BOOLEAN          NOT NULL,
    body       TEXT COLLATE "C" NOT NULL
);
CREATE INDEX glass_logins_by_principal ON glass_logins (principal);

CREATE TRIGGER reviews_new BEFORE INSERT ON reviews FOR EACH ROW
WHEN (NEW.state <> 'open')
EXECUTE FUNCTION stint_refuse('rule: a review begins open');

CREATE TRIGGER reviews_version BEFORE UPDATE ON reviews FOR EACH ROW
WHEN (NEW.version NOT IN (OLD.version, OLD.version + 1))
EXECUTE FUNCTION stint_refuse('rule: versions of a review go up by one');

CREATE TRIGGER reviews_done BEFORE UPDATE ON reviews FOR EACH ROW
WHEN (OLD.state = 'closed')
EXECUTE FUNCTION stint_refuse('rule: a closed review stays as it is');

CREATE TRIGGER reviews_fixed BEFORE UPDATE ON reviews FOR EACH ROW
WHEN (NEW.id <> OLD.id OR NEW.request_id <> OLD.request_id OR NEW.grant_id <> OLD.grant_id OR NEW.person <> OLD.person
  OR NEW.resource <> OLD.resource OR NEW.opened_at <> OLD.opened_at)
EXECUTE FUNCTION stint_refuse('rule: what is reviewed never changes');

CREATE TRIGGER reviews_kept BEFORE DELETE ON reviews FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: reviews are kept');

CREATE TRIGGER glass_codes_used BEFORE UPDATE ON glass_codes FOR EACH ROW
WHEN (OLD.used_at IS NOT NULL OR OLD.revoked_at IS NOT NULL OR NEW.code <> OLD.code OR NEW.id <> OLD.id OR NEW.made_with <> OLD.made_with
  OR NEW.need <> OLD.need OR NEW.principal <> OLD.principal OR NEW.resource <> OLD.resource OR NEW.expires_at <> OLD.expires_at)
EXECUTE FUNCTION stint_refuse('rule: a break-glass code is used once');

CREATE TRIGGER glass_logins_revoked BEFORE UPDATE ON glass_logins FOR EACH ROW
WHEN (OLD.revoked AND NOT NEW.revoked OR NEW.token <> OLD.token OR NEW.principal <> OLD.principal OR NEW.device <> OLD.device
  OR NEW.expires_at <> OLD.expires_at OR NEW.body <> OLD.body)
EXECUTE FUNCTION stint_refuse('rule: a break-glass login is never handed on, never longer and never comes back');

CREATE TRIGGER reviews_truncated BEFORE TRUNCATE ON reviews FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: reviews are kept');
