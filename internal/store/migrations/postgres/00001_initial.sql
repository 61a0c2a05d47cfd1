-- The schema, version 1, for PostgreSQL. migrations/sqlite has the same tables,
-- columns, indexes and rules; a test compares them.
--
-- Times are milliseconds since 1970, durations nanoseconds. What is queried or
-- checked has a column, the rest of a value is JSON in "body". Triggers repeat
-- the core's hardest rules, so that even a buggy binary cannot break them.
-- A stored schema is never edited: a change is a new file.

-- +goose Up

CREATE TABLE requests (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version        BIGINT           NOT NULL CHECK (version >= 1),
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'cancelled', 'expired')),
    principal      TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    person         TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    resource       TEXT COLLATE "C" NOT NULL,
    role           TEXT COLLATE "C" NOT NULL,
    duration       BIGINT           NOT NULL CHECK (duration > 0 AND duration <= 2592000000000000),
    extends        TEXT COLLATE "C" NOT NULL,
    digest         BYTEA            NOT NULL CHECK (length(digest) = 32),
    needed         BIGINT           NOT NULL CHECK (needed >= 0),
    grant_id       TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT           NOT NULL,
    expires_at     BIGINT           NOT NULL CHECK (expires_at > created_at AND expires_at <= created_at + 2592000000),
    body           TEXT             NOT NULL
);
CREATE INDEX requests_by_state ON requests (state, id);
CREATE INDEX requests_by_principal ON requests (principal, id);
CREATE INDEX requests_by_person ON requests (person, id);
CREATE INDEX requests_by_resource ON requests (resource, id);
CREATE INDEX requests_due ON requests (expires_at) WHERE state = 'pending';
CREATE INDEX requests_extending ON requests (extends) WHERE extends <> '';

-- The targets of a request after the first.
CREATE TABLE request_targets (
    resource       TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL REFERENCES requests (id),
    PRIMARY KEY (resource, id)
);

CREATE TABLE votes (
    request_id     TEXT COLLATE "C" NOT NULL REFERENCES requests (id),
    n              BIGINT           NOT NULL CHECK (n >= 0),
    voter          TEXT COLLATE "C" NOT NULL,
    person         TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    approve        BOOLEAN          NOT NULL,
    duration       BIGINT           NOT NULL,
    at             BIGINT           NOT NULL,
    request        BYTEA            NOT NULL CHECK (length(request) = 32),
    digest         BYTEA            NOT NULL CHECK (length(digest) = 32),
    body           TEXT             NOT NULL,
    PRIMARY KEY (request_id, n),
    UNIQUE (request_id, person)
);

CREATE TABLE grants (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version        BIGINT           NOT NULL CHECK (version >= 1),
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('scheduled', 'provisioning', 'active', 'ending', 'ended', 'failed')),
    request_id     TEXT COLLATE "C" NOT NULL REFERENCES requests (id),
    principal      TEXT COLLATE "C" NOT NULL CHECK (principal <> ''),
    person         TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    resource       TEXT COLLATE "C" NOT NULL,
    role           TEXT COLLATE "C" NOT NULL,
    duration       BIGINT           NOT NULL CHECK (duration > 0 AND duration <= 5184000000000000),
    conditional    BOOLEAN          NOT NULL,
    watched        BOOLEAN          NOT NULL,
    created_at     BIGINT           NOT NULL,
    setup_by       BIGINT           NOT NULL,
    expires_at     BIGINT           NOT NULL CHECK (expires_at > created_at AND expires_at <= setup_by + duration / 1000000),
    due_at         BIGINT          ,
    body           TEXT             NOT NULL,
    CHECK ((due_at IS NOT NULL) = (state IN ('scheduled', 'provisioning', 'active')))
);
CREATE UNIQUE INDEX grants_by_request ON grants (request_id);
CREATE INDEX grants_by_state ON grants (state, id);
CREATE INDEX grants_by_principal ON grants (principal, id);
CREATE INDEX grants_by_person ON grants (person, id);
CREATE INDEX grants_by_resource ON grants (resource, id);
CREATE INDEX grants_due ON grants (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX grants_conditional ON grants (state, id) WHERE conditional;
CREATE INDEX grants_watched ON grants (id) WHERE watched;

-- The targets of a grant after the first.
CREATE TABLE grant_targets (
    resource       TEXT COLLATE "C" NOT NULL,
    id             TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    PRIMARY KEY (resource, id)
);

CREATE TABLE entitlements (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version        BIGINT           NOT NULL CHECK (version >= 1),
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('intended', 'present', 'refreshing', 'removing', 'gone')),
    place          TEXT COLLATE "C" NOT NULL CHECK (place <> ''),
    key            TEXT COLLATE "C" NOT NULL,
    removing       BOOLEAN          NOT NULL,
    resource       TEXT COLLATE "C" NOT NULL,
    created_at     BIGINT           NOT NULL,
    expires_at     BIGINT           CHECK (state IN ('removing', 'gone') OR expires_at > created_at),
    next_at        BIGINT          ,
    due_at         BIGINT          ,
    lease_owner    TEXT COLLATE "C" NOT NULL DEFAULT '',
    lease_until    BIGINT          ,
    body           TEXT             NOT NULL,
    CHECK (removing = (state = 'removing')),
    CHECK (expires_at IS NOT NULL OR state IN ('removing', 'gone')),
    CHECK ((due_at IS NOT NULL) = (state IN ('intended', 'refreshing', 'removing')))
);
CREATE UNIQUE INDEX entitlements_live ON entitlements (place, key) WHERE state <> 'gone' AND key <> '';
CREATE INDEX entitlements_by_place ON entitlements (place, state, id);
CREATE INDEX entitlements_by_resource ON entitlements (resource, state, id);
CREATE INDEX entitlements_due ON entitlements (due_at, place, removing) WHERE due_at IS NOT NULL;
CREATE INDEX entitlements_leased ON entitlements (lease_owner) WHERE lease_until IS NOT NULL;
CREATE INDEX entitlements_work ON entitlements (place, removing, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE holds (
    grant_id       TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    entitlement_id TEXT COLLATE "C" NOT NULL REFERENCES entitlements (id),
    needs          BIGINT           NOT NULL,
    released_at    BIGINT          ,
    settles        BIGINT           NOT NULL,
    settled        BOOLEAN          NOT NULL,
    PRIMARY KEY (grant_id, entitlement_id),
    CHECK (NOT settled OR released_at IS NOT NULL)
);
CREATE INDEX holds_by_entitlement ON holds (entitlement_id, grant_id);

CREATE TABLE sealed (
    grant_id       TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    entitlement_id TEXT COLLATE "C" NOT NULL,
    resource       TEXT COLLATE "C" NOT NULL,
    rev            BIGINT           NOT NULL,
    blob           BYTEA            NOT NULL,
    at             BIGINT           NOT NULL,
    PRIMARY KEY (grant_id, entitlement_id)
);

CREATE TABLE remembered (
    principal      TEXT COLLATE "C" NOT NULL,
    key            TEXT COLLATE "C" NOT NULL,
    body           BYTEA            NOT NULL,
    result         TEXT COLLATE "C" NOT NULL,
    at             BIGINT           NOT NULL,
    PRIMARY KEY (principal, key)
);
CREATE INDEX remembered_by_age ON remembered (at);

CREATE TABLE principals (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version        BIGINT           NOT NULL CHECK (version >= 1),
    kind           TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'service', 'agent')),
    person         TEXT COLLATE "C" NOT NULL CHECK (person <> ''),
    body           TEXT             NOT NULL
);
CREATE INDEX principals_by_kind ON principals (kind, id);

CREATE TABLE logins (
    token          BYTEA            NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    principal      TEXT COLLATE "C" NOT NULL,
    device         TEXT COLLATE "C" NOT NULL,
    seal_key       BYTEA            NOT NULL,
    created_at     BIGINT           NOT NULL,
    expires_at     BIGINT           NOT NULL CHECK (expires_at > created_at),
    revoked        BOOLEAN          NOT NULL
);
CREATE INDEX logins_by_principal ON logins (principal);
CREATE INDEX logins_by_end ON logins (expires_at);

CREATE TABLE enrolments (
    code           BYTEA            NOT NULL PRIMARY KEY CHECK (length(code) = 32),
    principal      TEXT COLLATE "C" NOT NULL,
    expires_at     BIGINT           NOT NULL,
    used_at        BIGINT
);
CREATE INDEX enrolments_by_principal ON enrolments (principal);
CREATE INDEX enrolments_by_end ON enrolments (expires_at);

CREATE TABLE documents (
    version        BIGINT           NOT NULL PRIMARY KEY CHECK (version >= 1),
    body           BYTEA            NOT NULL,
    at             BIGINT           NOT NULL
);

CREATE TABLE credentials (
    name           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version        BIGINT           NOT NULL CHECK (version >= 1),
    body           TEXT             NOT NULL,
    sealed         BYTEA            NOT NULL,
    set_at         BIGINT           NOT NULL
);

CREATE TABLE settings (
    name           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value          BYTEA            NOT NULL
);

-- The audit log. A record is inserted without a number; the sequencer gives it
-- one, once. Nothing else ever changes.
CREATE TABLE audit_records (
    id             TEXT COLLATE "C" NOT NULL,
    type           TEXT COLLATE "C" NOT NULL,
    entity         TEXT COLLATE "C" NOT NULL,
    version        BIGINT           NOT NULL CHECK (version >= 1),
    at             BIGINT           NOT NULL,
    person         TEXT COLLATE "C" NOT NULL,
    actor          TEXT COLLATE "C" NOT NULL, -- the acting person, where it is another
    resource       TEXT COLLATE "C" NOT NULL,
    body           BYTEA            NOT NULL,
    seq            BIGINT           CHECK (seq >= 0),
    UNIQUE (entity, version)
);
CREATE UNIQUE INDEX audit_by_seq ON audit_records (seq) WHERE seq IS NOT NULL;
CREATE UNIQUE INDEX audit_unsequenced ON audit_records (id) WHERE seq IS NULL;
CREATE INDEX audit_by_person ON audit_records (person, seq) WHERE seq IS NOT NULL AND person <> '';
CREATE INDEX audit_by_actor ON audit_records (actor, seq) WHERE seq IS NOT NULL AND actor <> '';
CREATE INDEX audit_by_resource ON audit_records (resource, seq) WHERE seq IS NOT NULL AND resource <> '';

-- The resources of a record that names several.
CREATE TABLE audit_targets (
    resource       TEXT COLLATE "C" NOT NULL,
    entity         TEXT COLLATE "C" NOT NULL,
    version        BIGINT           NOT NULL,
    PRIMARY KEY (resource, entity, version)
);

CREATE TABLE audit_hashes (
    idx            BIGINT           NOT NULL PRIMARY KEY,
    hash           BYTEA            NOT NULL CHECK (length(hash) = 32)
);

CREATE TABLE audit_checkpoints (
    size           BIGINT           NOT NULL PRIMARY KEY CHECK (size >= 0),
    root           BYTEA            NOT NULL CHECK (length(root) = 32),
    at             BIGINT           NOT NULL,
    note           BYTEA            NOT NULL
);

CREATE TABLE marks (
    name           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value          BIGINT           NOT NULL
);

CREATE UNLOGGED TABLE proofs (
    jti            BYTEA            NOT NULL PRIMARY KEY,
    expires_at     BIGINT           NOT NULL
);
CREATE INDEX proofs_by_end ON proofs (expires_at);

CREATE TABLE commits (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at             BIGINT           NOT NULL
);
CREATE INDEX commits_by_age ON commits (at);

-- The rules. A function holds what a condition of a trigger cannot say.

-- +goose StatementBegin
CREATE FUNCTION stint_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation';
END $$;
-- +goose StatementEnd

CREATE TRIGGER requests_new BEFORE INSERT ON requests FOR EACH ROW
WHEN (NEW.state NOT IN ('pending', 'approved', 'denied') OR NEW.state = 'approved' AND NEW.needed > 0)
EXECUTE FUNCTION stint_refuse('rule: a request begins pending, or decided by policy alone');

CREATE TRIGGER requests_version BEFORE UPDATE ON requests FOR EACH ROW
WHEN (NEW.version NOT IN (OLD.version, OLD.version + 1))
EXECUTE FUNCTION stint_refuse('rule: versions of a request go up by one');

CREATE TRIGGER requests_asked BEFORE UPDATE ON requests FOR EACH ROW
WHEN (NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.digest <> OLD.digest
  OR NEW.duration <> OLD.duration OR NEW.extends <> OLD.extends OR NEW.needed <> OLD.needed
  OR NEW.created_at <> OLD.created_at OR NEW.expires_at <> OLD.expires_at)
EXECUTE FUNCTION stint_refuse('rule: what was asked never changes');

CREATE TRIGGER requests_decided BEFORE UPDATE ON requests FOR EACH ROW
WHEN (OLD.state <> 'pending' AND NOT (OLD.state = 'approved' AND NEW.state = 'approved' AND OLD.grant_id = '' AND NEW.grant_id <> ''))
EXECUTE FUNCTION stint_refuse('rule: a decided request stays as it is');

-- +goose StatementBegin
CREATE FUNCTION requests_quorum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'pending' AND NEW.state = 'approved'
     AND NEW.needed > (SELECT COUNT(*) FROM votes WHERE request_id = NEW.id AND approve) THEN
        RAISE EXCEPTION 'rule: a request needs its approvals' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER requests_quorum BEFORE UPDATE ON requests FOR EACH ROW EXECUTE FUNCTION requests_quorum();

CREATE TRIGGER requests_kept BEFORE DELETE ON requests FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: requests are kept');

-- +goose StatementBegin
CREATE FUNCTION votes_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM requests r WHERE r.id = NEW.request_id AND r.state = 'pending'
                     AND r.person <> NEW.person AND r.digest = NEW.request AND r.duration >= NEW.duration)
      AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.request_id = NEW.request_id AND v.n = NEW.n) THEN -- saved again, nothing happens
        RAISE EXCEPTION 'rule: a vote is by another person, on exactly what was asked, while it is pending' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER votes_new BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION votes_new();

CREATE TRIGGER votes_fixed BEFORE UPDATE ON votes FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: votes never change');

CREATE TRIGGER votes_kept BEFORE DELETE ON votes FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: votes are kept');

-- +goose StatementBegin
CREATE FUNCTION grants_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state NOT IN ('scheduled', 'provisioning') OR NEW.setup_by > NEW.created_at + 7862400000
      OR NOT EXISTS (SELECT 1 FROM requests r WHERE r.id = NEW.request_id AND r.state = 'approved' AND r.extends = ''
                     AND r.grant_id = NEW.id AND r.person = NEW.person AND r.principal = NEW.principal
                     AND r.duration >= NEW.duration) THEN
        RAISE EXCEPTION 'rule: a grant comes from an approved request and is not longer than it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER grants_new BEFORE INSERT ON grants FOR EACH ROW EXECUTE FUNCTION grants_new();

CREATE TRIGGER grants_version BEFORE UPDATE ON grants FOR EACH ROW
WHEN (NEW.version NOT IN (OLD.version, OLD.version + 1))
EXECUTE FUNCTION stint_refuse('rule: versions of a grant go up by one');

CREATE TRIGGER grants_over BEFORE UPDATE ON grants FOR EACH ROW
WHEN (OLD.state IN ('ended', 'failed'))
EXECUTE FUNCTION stint_refuse('rule: an ended grant stays as it is');

CREATE TRIGGER grants_steps BEFORE UPDATE ON grants FOR EACH ROW
WHEN (NEW.state <> OLD.state AND NOT (
     OLD.state = 'scheduled'    AND NEW.state IN ('provisioning', 'ended')
  OR OLD.state = 'provisioning' AND NEW.state IN ('active', 'ending')
  OR OLD.state = 'active'       AND NEW.state = 'ending'
  OR OLD.state = 'ending'       AND NEW.state IN ('ended', 'failed')))
EXECUTE FUNCTION stint_refuse('rule: a grant has no such transition');

CREATE TRIGGER grants_fixed BEFORE UPDATE ON grants FOR EACH ROW
WHEN (NEW.id <> OLD.id OR NEW.request_id <> OLD.request_id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person
  OR NEW.created_at <> OLD.created_at)
EXECUTE FUNCTION stint_refuse('rule: whose grant it is never changes');

CREATE TRIGGER grants_longer BEFORE UPDATE ON grants FOR EACH ROW
WHEN (OLD.state <> 'scheduled' AND NEW.expires_at > OLD.expires_at
 AND NOT (OLD.state = 'active' AND NEW.state = 'active'
          AND NEW.expires_at - OLD.expires_at <= (NEW.duration - OLD.duration) / 1000000))
EXECUTE FUNCTION stint_refuse('rule: the end of a grant is raised only by an extension');

-- +goose StatementBegin
CREATE FUNCTION grants_extended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.duration > OLD.duration
     AND NEW.duration > (SELECT COALESCE(SUM(r.duration), 0) FROM requests r
                         WHERE r.id = NEW.request_id
                            OR r.extends = NEW.id AND r.extends <> '' AND r.state = 'approved' AND r.grant_id = NEW.id) THEN
        RAISE EXCEPTION 'rule: a grant is not longer than its request and its approved extensions' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER grants_extended BEFORE UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION grants_extended();

-- +goose StatementBegin
CREATE FUNCTION grants_clean() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> NEW.state AND NEW.state IN ('ended', 'failed')
     AND EXISTS (SELECT 1 FROM holds WHERE grant_id = NEW.id AND NOT settled) THEN
        RAISE EXCEPTION 'rule: a grant ends when all it held is settled' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER grants_clean BEFORE UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION grants_clean();

CREATE TRIGGER grants_kept BEFORE DELETE ON grants FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: grants are kept');

CREATE TRIGGER entitlements_new BEFORE INSERT ON entitlements FOR EACH ROW
WHEN (NEW.state NOT IN ('intended', 'removing'))
EXECUTE FUNCTION stint_refuse('rule: an entitlement begins intended, or found and being removed');

CREATE TRIGGER entitlements_version BEFORE UPDATE ON entitlements FOR EACH ROW
WHEN (NEW.version NOT IN (OLD.version, OLD.version + 1))
EXECUTE FUNCTION stint_refuse('rule: versions of an entitlement go up by one');

CREATE TRIGGER entitlements_steps BEFORE UPDATE ON entitlements FOR EACH ROW
WHEN (NEW.state <> OLD.state AND NOT (
     OLD.state = 'intended'   AND NEW.state IN ('present', 'refreshing', 'removing')
  OR OLD.state = 'present'    AND NEW.state IN ('refreshing', 'removing')
  OR OLD.state = 'refreshing' AND NEW.state IN ('present', 'removing')
  OR OLD.state = 'removing'   AND NEW.state = 'gone'
  OR OLD.state = 'gone'       AND NEW.state = 'removing'))
EXECUTE FUNCTION stint_refuse('rule: an entitlement has no such transition');

CREATE TRIGGER entitlements_fixed BEFORE UPDATE ON entitlements FOR EACH ROW
WHEN (NEW.id <> OLD.id OR NEW.place <> OLD.place OR NEW.key <> OLD.key OR NEW.created_at <> OLD.created_at)
EXECUTE FUNCTION stint_refuse('rule: what and where an entitlement is never changes');

CREATE TRIGGER entitlements_kept BEFORE DELETE ON entitlements FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: entitlements are kept');

CREATE TRIGGER holds_released BEFORE UPDATE ON holds FOR EACH ROW
WHEN (OLD.released_at IS NOT NULL AND NEW.released_at IS NULL OR OLD.settled AND NOT NEW.settled)
EXECUTE FUNCTION stint_refuse('rule: a hold that was let go stays so');

CREATE TRIGGER holds_kept BEFORE DELETE ON holds FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: holds are kept');

CREATE TRIGGER logins_revoked BEFORE UPDATE ON logins FOR EACH ROW
WHEN (OLD.revoked AND NOT NEW.revoked OR NEW.token <> OLD.token OR NEW.principal <> OLD.principal OR NEW.device <> OLD.device)
EXECUTE FUNCTION stint_refuse('rule: a login is never handed on and never comes back');

CREATE TRIGGER enrolments_used BEFORE UPDATE ON enrolments FOR EACH ROW
WHEN (OLD.used_at IS NOT NULL OR NEW.code <> OLD.code OR NEW.principal <> OLD.principal)
EXECUTE FUNCTION stint_refuse('rule: an enrolment is used once');

CREATE TRIGGER documents_fixed BEFORE UPDATE ON documents FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: versions of the documents never change');

CREATE TRIGGER documents_kept BEFORE DELETE ON documents FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: versions of the documents are kept');

CREATE TRIGGER audit_records_new BEFORE INSERT ON audit_records FOR EACH ROW
WHEN (NEW.seq IS NOT NULL)
EXECUTE FUNCTION stint_refuse('rule: audit records are written without a number');

CREATE TRIGGER audit_records_fixed BEFORE UPDATE ON audit_records FOR EACH ROW
WHEN (OLD.seq IS NOT NULL OR NEW.seq IS NULL OR NEW.id <> OLD.id OR NEW.type <> OLD.type OR NEW.entity <> OLD.entity
  OR NEW.version <> OLD.version OR NEW.at <> OLD.at OR NEW.person <> OLD.person OR NEW.actor <> OLD.actor
  OR NEW.resource <> OLD.resource OR NEW.body <> OLD.body)
EXECUTE FUNCTION stint_refuse('rule: audit records never change');

CREATE TRIGGER audit_records_kept BEFORE DELETE ON audit_records FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: audit records are kept');

CREATE TRIGGER audit_targets_fixed BEFORE UPDATE ON audit_targets FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: audit records never change');

CREATE TRIGGER audit_targets_kept BEFORE DELETE ON audit_targets FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: audit records are kept');

CREATE TRIGGER audit_hashes_fixed BEFORE UPDATE ON audit_hashes FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: hashes of the audit log never change');

CREATE TRIGGER audit_hashes_kept BEFORE DELETE ON audit_hashes FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: hashes of the audit log are kept');

CREATE TRIGGER audit_checkpoints_fixed BEFORE UPDATE ON audit_checkpoints FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: checkpoints never change');

CREATE TRIGGER audit_checkpoints_kept BEFORE DELETE ON audit_checkpoints FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: checkpoints are kept');

-- TRUNCATE passes by the triggers of rows.
CREATE TRIGGER requests_truncated BEFORE TRUNCATE ON requests FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: requests are kept');
CREATE TRIGGER votes_truncated BEFORE TRUNCATE ON votes FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: votes are kept');
CREATE TRIGGER grants_truncated BEFORE TRUNCATE ON grants FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: grants are kept');
CREATE TRIGGER entitlements_truncated BEFORE TRUNCATE ON entitlements FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: entitlements are kept');
CREATE TRIGGER holds_truncated BEFORE TRUNCATE ON holds FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: holds are kept');
CREATE TRIGGER documents_truncated BEFORE TRUNCATE ON documents FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: documents are kept');
CREATE TRIGGER audit_records_truncated BEFORE TRUNCATE ON audit_records FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: audit records are kept');
CREATE TRIGGER audit_targets_truncated BEFORE TRUNCATE ON audit_targets FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: audit targets are kept');
CREATE TRIGGER audit_hashes_truncated BEFORE TRUNCATE ON audit_hashes FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: audit hashes are kept');
CREATE TRIGGER audit_checkpoints_truncated BEFORE TRUNCATE ON audit_checkpoints FOR EACH STATEMENT
EXECUTE FUNCTION stint_refuse('rule: audit checkpoints are kept');

-- The log is also kept by privileges. The owner could take them back, but not
-- by mistake; only the number of a record may be set.
REVOKE UPDATE, DELETE, TRUNCATE ON audit_records, audit_targets, audit_hashes, audit_checkpoints FROM CURRENT_USER;
GRANT UPDATE (seq) ON audit_records TO CURRENT_USER;
