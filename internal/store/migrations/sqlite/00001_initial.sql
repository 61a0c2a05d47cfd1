-- The schema, version 1, for SQLite. migrations/postgres has the same tables,
-- columns, indexes and rules; a test compares them.
--
-- Times are milliseconds since 1970, durations nanoseconds. What is queried or
-- checked has a column, the rest of a value is JSON in "body". Triggers repeat
-- the core's hardest rules, so that even a buggy binary cannot break them.
-- A stored schema is never edited: a change is a new file.

-- +goose Up

CREATE TABLE requests (
    id         TEXT    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL CHECK (version >= 1),
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'cancelled', 'expired')),
    principal  TEXT    NOT NULL CHECK (principal <> ''),
    person     TEXT    NOT NULL CHECK (person <> ''),
    resource   TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    duration   INTEGER NOT NULL CHECK (duration > 0 AND duration <= 2592000000000000),
    extends    TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    needed     INTEGER NOT NULL CHECK (needed >= 0),
    grant_id   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at > created_at AND expires_at <= created_at + 2592000000),
    body       TEXT    NOT NULL
) STRICT;
CREATE INDEX requests_by_state ON requests (state, id);
CREATE INDEX requests_by_principal ON requests (principal, id);
CREATE INDEX requests_by_person ON requests (person, id);
CREATE INDEX requests_by_resource ON requests (resource, id);
CREATE INDEX requests_due ON requests (expires_at) WHERE state = 'pending';
CREATE INDEX requests_extending ON requests (extends) WHERE extends <> '';

-- The targets of a request after the first.
CREATE TABLE request_targets (
    resource TEXT NOT NULL,
    id       TEXT NOT NULL REFERENCES requests (id),
    PRIMARY KEY (resource, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE votes (
    request_id TEXT    NOT NULL REFERENCES requests (id),
    n          INTEGER NOT NULL CHECK (n >= 0),
    voter      TEXT    NOT NULL,
    person     TEXT    NOT NULL CHECK (person <> ''),
    approve    INTEGER NOT NULL CHECK (approve IN (0, 1)),
    duration   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    request    BLOB    NOT NULL CHECK (length(request) = 32),
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    body       TEXT    NOT NULL,
    PRIMARY KEY (request_id, n),
    UNIQUE (request_id, person)
) STRICT, WITHOUT ROWID;

CREATE TABLE grants (
    id          TEXT    NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL CHECK (version >= 1),
    state       TEXT    NOT NULL CHECK (state IN ('scheduled', 'provisioning', 'active', 'ending', 'ended', 'failed')),
    request_id  TEXT    NOT NULL REFERENCES requests (id),
    principal   TEXT    NOT NULL CHECK (principal <> ''),
    person      TEXT    NOT NULL CHECK (person <> ''),
    resource    TEXT    NOT NULL,
    role        TEXT    NOT NULL,
    duration    INTEGER NOT NULL CHECK (duration > 0 AND duration <= 5184000000000000),
    conditional INTEGER NOT NULL CHECK (conditional IN (0, 1)),
    watched     INTEGER NOT NULL CHECK (watched IN (0, 1)),
    created_at  INTEGER NOT NULL,
    setup_by    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL CHECK (expires_at > created_at AND expires_at <= setup_by + duration / 1000000),
    due_at      INTEGER,
    body        TEXT    NOT NULL,
    CHECK ((due_at IS NOT NULL) = (state IN ('scheduled', 'provisioning', 'active')))
) STRICT;
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
    resource TEXT NOT NULL,
    id       TEXT NOT NULL REFERENCES grants (id),
    PRIMARY KEY (resource, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE entitlements (
    id          TEXT    NOT NULL PRIMARY KEY,
    version     INTEGER NOT NULL CHECK (version >= 1),
    state       TEXT    NOT NULL CHECK (state IN ('intended', 'present', 'refreshing', 'removing', 'gone')),
    place       TEXT    NOT NULL CHECK (place <> ''),
    key         TEXT    NOT NULL,
    removing    INTEGER NOT NULL CHECK (removing IN (0, 1)),
    resource    TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER CHECK (state IN ('removing', 'gone') OR expires_at > created_at),
    next_at     INTEGER,
    due_at      INTEGER,
    lease_owner TEXT    NOT NULL DEFAULT '',
    lease_until INTEGER,
    body        TEXT    NOT NULL,
    CHECK (removing = (state = 'removing')),
    CHECK (expires_at IS NOT NULL OR state IN ('removing', 'gone')),
    CHECK ((due_at IS NOT NULL) = (state IN ('intended', 'refreshing', 'removing')))
) STRICT;
CREATE UNIQUE INDEX entitlements_live ON entitlements (place, key) WHERE state <> 'gone' AND key <> '';
CREATE INDEX entitlements_by_place ON entitlements (place, state, id);
CREATE INDEX entitlements_by_resource ON entitlements (resource, state, id);
CREATE INDEX entitlements_due ON entitlements (due_at, place, removing) WHERE due_at IS NOT NULL;
CREATE INDEX entitlements_leased ON entitlements (lease_owner) WHERE lease_until IS NOT NULL;
CREATE INDEX entitlements_work ON entitlements (place, removing, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE holds (
    grant_id       TEXT    NOT NULL REFERENCES grants (id),
    entitlement_id TEXT    NOT NULL REFERENCES entitlements (id),
    needs          INTEGER NOT NULL,
    released_at    INTEGER,
    settles        INTEGER NOT NULL,
    settled        INTEGER NOT NULL CHECK (settled IN (0, 1)),
    PRIMARY KEY (grant_id, entitlement_id),
    CHECK (NOT settled OR released_at IS NOT NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_by_entitlement ON holds (entitlement_id, grant_id);

CREATE TABLE sealed (
    grant_id       TEXT    NOT NULL REFERENCES grants (id),
    entitlement_id TEXT    NOT NULL,
    resource       TEXT    NOT NULL,
    rev            INTEGER NOT NULL,
    blob           BLOB    NOT NULL,
    at             INTEGER NOT NULL,
    PRIMARY KEY (grant_id, entitlement_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE remembered (
    principal TEXT    NOT NULL,
    key       TEXT    NOT NULL,
    body      BLOB    NOT NULL,
    result    TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX remembered_by_age ON remembered (at);

CREATE TABLE principals (
    id      TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL CHECK (version >= 1),
    kind    TEXT    NOT NULL CHECK (kind IN ('user', 'service', 'agent')),
    person  TEXT    NOT NULL CHECK (person <> ''),
    body    TEXT    NOT NULL
) STRICT;
CREATE INDEX principals_by_kind ON principals (kind, id);

CREATE TABLE logins (
    token      BLOB    NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    principal  TEXT    NOT NULL,
    device     TEXT    NOT NULL,
    seal_key   BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at > created_at),
    revoked    INTEGER NOT NULL CHECK (revoked IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_by_principal ON logins (principal);
CREATE INDEX logins_by_end ON logins (expires_at);

CREATE TABLE enrolments (
    code       BLOB    NOT NULL PRIMARY KEY CHECK (length(code) = 32),
    principal  TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX enrolments_by_principal ON enrolments (principal);
CREATE INDEX enrolments_by_end ON enrolments (expires_at);

CREATE TABLE documents (
    version INTEGER NOT NULL PRIMARY KEY CHECK (version >= 1),
    body    BLOB    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;

CREATE TABLE credentials (
    name    TEXT    NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL CHECK (version >= 1),
    body    TEXT    NOT NULL,
    sealed  BLOB    NOT NULL,
    set_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- The audit log. A record is inserted without a number; the sequencer gives it
-- one, once. Nothing else ever changes.
CREATE TABLE audit_records (
    id       TEXT    NOT NULL,
    type     TEXT    NOT NULL,
    entity   TEXT    NOT NULL,
    version  INTEGER NOT NULL CHECK (version >= 1),
    at       INTEGER NOT NULL,
    person   TEXT    NOT NULL,
    actor    TEXT    NOT NULL, -- the acting person, where it is another
    resource TEXT    NOT NULL,
    body     BLOB    NOT NULL,
    seq      INTEGER CHECK (seq >= 0),
    UNIQUE (entity, version)
) STRICT;
CREATE UNIQUE INDEX audit_by_seq ON audit_records (seq) WHERE seq IS NOT NULL;
CREATE UNIQUE INDEX audit_unsequenced ON audit_records (id) WHERE seq IS NULL;
CREATE INDEX audit_by_person ON audit_records (person, seq) WHERE seq IS NOT NULL AND person <> '';
CREATE INDEX audit_by_actor ON audit_records (actor, seq) WHERE seq IS NOT NULL AND actor <> '';
CREATE INDEX audit_by_resource ON audit_records (resource, seq) WHERE seq IS NOT NULL AND resource <> '';

-- The resources of a record that names several.
CREATE TABLE audit_targets (
    resource TEXT    NOT NULL,
    entity   TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    PRIMARY KEY (resource, entity, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_hashes (
    idx  INTEGER NOT NULL PRIMARY KEY,
    hash BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE TABLE audit_checkpoints (
    size INTEGER NOT NULL PRIMARY KEY CHECK (size >= 0),
    root BLOB    NOT NULL CHECK (length(root) = 32),
    at   INTEGER NOT NULL,
    note BLOB    NOT NULL
) STRICT;

CREATE TABLE marks (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE proofs (
    jti        BLOB    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX proofs_by_end ON proofs (expires_at);

CREATE TABLE commits (
    id TEXT    NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX commits_by_age ON commits (at);

-- The rules.

-- +goose StatementBegin
CREATE TRIGGER requests_new BEFORE INSERT ON requests
WHEN NEW.state NOT IN ('pending', 'approved', 'denied') OR NEW.state = 'approved' AND NEW.needed > 0
BEGIN SELECT RAISE(ABORT, 'rule: a request begins pending, or decided by policy alone'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER requests_version BEFORE UPDATE ON requests
WHEN NEW.version NOT IN (OLD.version, OLD.version + 1)
BEGIN SELECT RAISE(ABORT, 'rule: versions of a request go up by one'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER requests_asked BEFORE UPDATE ON requests
WHEN NEW.id <> OLD.id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person OR NEW.digest <> OLD.digest
  OR NEW.duration <> OLD.duration OR NEW.extends <> OLD.extends OR NEW.needed <> OLD.needed
  OR NEW.created_at <> OLD.created_at OR NEW.expires_at <> OLD.expires_at
BEGIN SELECT RAISE(ABORT, 'rule: what was asked never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER requests_decided BEFORE UPDATE ON requests
WHEN OLD.state <> 'pending' AND NOT (OLD.state = 'approved' AND NEW.state = 'approved' AND OLD.grant_id = '' AND NEW.grant_id <> '')
BEGIN SELECT RAISE(ABORT, 'rule: a decided request stays as it is'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER requests_quorum BEFORE UPDATE ON requests
WHEN OLD.state = 'pending' AND NEW.state = 'approved'
 AND NEW.needed > (SELECT COUNT(*) FROM votes WHERE request_id = NEW.id AND approve)
BEGIN SELECT RAISE(ABORT, 'rule: a request needs its approvals'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER requests_kept BEFORE DELETE ON requests
BEGIN SELECT RAISE(ABORT, 'rule: requests are kept'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER votes_new BEFORE INSERT ON votes
WHEN NOT EXISTS (SELECT 1 FROM requests r WHERE r.id = NEW.request_id AND r.state = 'pending'
                 AND r.person <> NEW.person AND r.digest = NEW.request AND r.duration >= NEW.duration)
 AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.request_id = NEW.request_id AND v.n = NEW.n) -- saved again, nothing happens
BEGIN SELECT RAISE(ABORT, 'rule: a vote is by another person, on exactly what was asked, while it is pending'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER votes_fixed BEFORE UPDATE ON votes
BEGIN SELECT RAISE(ABORT, 'rule: votes never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER votes_kept BEFORE DELETE ON votes
BEGIN SELECT RAISE(ABORT, 'rule: votes are kept'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER grants_new BEFORE INSERT ON grants
WHEN NEW.state NOT IN ('scheduled', 'provisioning') OR NEW.setup_by > NEW.created_at + 7862400000
  OR NOT EXISTS (SELECT 1 FROM requests r WHERE r.id = NEW.request_id AND r.state = 'approved' AND r.extends = ''
                 AND r.grant_id = NEW.id AND r.person = NEW.person AND r.principal = NEW.principal
                 AND r.duration >= NEW.duration)
BEGIN SELECT RAISE(ABORT, 'rule: a grant comes from an approved request and is not longer than it'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_version BEFORE UPDATE ON grants
WHEN NEW.version NOT IN (OLD.version, OLD.version + 1)
BEGIN SELECT RAISE(ABORT, 'rule: versions of a grant go up by one'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_over BEFORE UPDATE ON grants
WHEN OLD.state IN ('ended', 'failed')
BEGIN SELECT RAISE(ABORT, 'rule: an ended grant stays as it is'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_steps BEFORE UPDATE ON grants
WHEN NEW.state <> OLD.state AND NOT (
     OLD.state = 'scheduled'    AND NEW.state IN ('provisioning', 'ended')
  OR OLD.state = 'provisioning' AND NEW.state IN ('active', 'ending')
  OR OLD.state = 'active'       AND NEW.state = 'ending'
  OR OLD.state = 'ending'       AND NEW.state IN ('ended', 'failed'))
BEGIN SELECT RAISE(ABORT, 'rule: a grant has no such transition'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_fixed BEFORE UPDATE ON grants
WHEN NEW.id <> OLD.id OR NEW.request_id <> OLD.request_id OR NEW.principal <> OLD.principal OR NEW.person <> OLD.person
  OR NEW.created_at <> OLD.created_at
BEGIN SELECT RAISE(ABORT, 'rule: whose grant it is never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_longer BEFORE UPDATE ON grants
WHEN OLD.state <> 'scheduled' AND NEW.expires_at > OLD.expires_at
 AND NOT (OLD.state = 'active' AND NEW.state = 'active'
          AND NEW.expires_at - OLD.expires_at <= (NEW.duration - OLD.duration) / 1000000)
BEGIN SELECT RAISE(ABORT, 'rule: the end of a grant is raised only by an extension'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_extended BEFORE UPDATE ON grants
WHEN NEW.duration > OLD.duration
 AND NEW.duration > (SELECT COALESCE(SUM(r.duration), 0) FROM requests r
                     WHERE r.id = NEW.request_id
                        OR r.extends = NEW.id AND r.extends <> '' AND r.state = 'approved' AND r.grant_id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'rule: a grant is not longer than its request and its approved extensions'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_clean BEFORE UPDATE ON grants
WHEN OLD.state <> NEW.state AND NEW.state IN ('ended', 'failed')
 AND EXISTS (SELECT 1 FROM holds WHERE grant_id = NEW.id AND NOT settled)
BEGIN SELECT RAISE(ABORT, 'rule: a grant ends when all it held is settled'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER grants_kept BEFORE DELETE ON grants
BEGIN SELECT RAISE(ABORT, 'rule: grants are kept'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER entitlements_new BEFORE INSERT ON entitlements
WHEN NEW.state NOT IN ('intended', 'removing')
BEGIN SELECT RAISE(ABORT, 'rule: an entitlement begins intended, or found and being removed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_version BEFORE UPDATE ON entitlements
WHEN NEW.version NOT IN (OLD.version, OLD.version + 1)
BEGIN SELECT RAISE(ABORT, 'rule: versions of an entitlement go up by one'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_steps BEFORE UPDATE ON entitlements
WHEN NEW.state <> OLD.state AND NOT (
     OLD.state = 'intended'   AND NEW.state IN ('present', 'refreshing', 'removing')
  OR OLD.state = 'present'    AND NEW.state IN ('refreshing', 'removing')
  OR OLD.state = 'refreshing' AND NEW.state IN ('present', 'removing')
  OR OLD.state = 'removing'   AND NEW.state = 'gone'
  OR OLD.state = 'gone'       AND NEW.state = 'removing')
BEGIN SELECT RAISE(ABORT, 'rule: an entitlement has no such transition'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_fixed BEFORE UPDATE ON entitlements
WHEN NEW.id <> OLD.id OR NEW.place <> OLD.place OR NEW.key <> OLD.key OR NEW.created_at <> OLD.created_at
BEGIN SELECT RAISE(ABORT, 'rule: what and where an entitlement is never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_kept BEFORE DELETE ON entitlements
BEGIN SELECT RAISE(ABORT, 'rule: entitlements are kept'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER holds_released BEFORE UPDATE ON holds
WHEN OLD.released_at IS NOT NULL AND NEW.released_at IS NULL OR OLD.settled AND NOT NEW.settled
BEGIN SELECT RAISE(ABORT, 'rule: a hold that was let go stays so'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER holds_kept BEFORE DELETE ON holds
BEGIN SELECT RAISE(ABORT, 'rule: holds are kept'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER logins_revoked BEFORE UPDATE ON logins
WHEN OLD.revoked AND NOT NEW.revoked OR NEW.token <> OLD.token OR NEW.principal <> OLD.principal OR NEW.device <> OLD.device
BEGIN SELECT RAISE(ABORT, 'rule: a login is never handed on and never comes back'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER enrolments_used BEFORE UPDATE ON enrolments
WHEN OLD.used_at IS NOT NULL OR NEW.code <> OLD.code OR NEW.principal <> OLD.principal
BEGIN SELECT RAISE(ABORT, 'rule: an enrolment is used once'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER documents_fixed BEFORE UPDATE ON documents
BEGIN SELECT RAISE(ABORT, 'rule: versions of the documents never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER documents_kept BEFORE DELETE ON documents
BEGIN SELECT RAISE(ABORT, 'rule: versions of the documents are kept'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_records_new BEFORE INSERT ON audit_records
WHEN NEW.seq IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'rule: audit records are written without a number'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_records_fixed BEFORE UPDATE ON audit_records
WHEN OLD.seq IS NOT NULL OR NEW.seq IS NULL OR NEW.id <> OLD.id OR NEW.type <> OLD.type OR NEW.entity <> OLD.entity
  OR NEW.version <> OLD.version OR NEW.at <> OLD.at OR NEW.person <> OLD.person OR NEW.actor <> OLD.actor
  OR NEW.resource <> OLD.resource OR NEW.body <> OLD.body
BEGIN SELECT RAISE(ABORT, 'rule: audit records never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_records_kept BEFORE DELETE ON audit_records
BEGIN SELECT RAISE(ABORT, 'rule: audit records are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_targets_fixed BEFORE UPDATE ON audit_targets
BEGIN SELECT RAISE(ABORT, 'rule: audit records never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_targets_kept BEFORE DELETE ON audit_targets
BEGIN SELECT RAISE(ABORT, 'rule: audit records are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_hashes_fixed BEFORE UPDATE ON audit_hashes
BEGIN SELECT RAISE(ABORT, 'rule: hashes of the audit log never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_hashes_kept BEFORE DELETE ON audit_hashes
BEGIN SELECT RAISE(ABORT, 'rule: hashes of the audit log are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_checkpoints_fixed BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'rule: checkpoints never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_checkpoints_kept BEFORE DELETE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'rule: checkpoints are kept'); END;
-- +goose StatementEnd
