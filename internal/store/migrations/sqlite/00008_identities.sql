-- Who principals are elsewhere, and what provisioning services said of them. A
-- version that knows nothing of it writes principals without the new column, which
-- keeps what it has.

-- +goose Up
ALTER TABLE principals ADD COLUMN linked TEXT NOT NULL DEFAULT '';

-- The same identities as in principals.linked: each is one principal's.
CREATE TABLE identities (
    provider  TEXT NOT NULL CHECK (provider <> ''),
    subject   TEXT NOT NULL CHECK (subject <> ''),
    principal TEXT NOT NULL REFERENCES principals (id),
    PRIMARY KEY (provider, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_principal ON identities (principal);

-- Users and groups as a provisioning service sees them: the id of a user is the name
-- of its principal.
CREATE TABLE provisioned (
    provider   TEXT NOT NULL CHECK (provider <> ''),
    kind       TEXT NOT NULL CHECK (kind IN ('user', 'group')),
    id         TEXT NOT NULL CHECK (id <> ''),
    version    INTEGER NOT NULL CHECK (version >= 1),
    name       TEXT NOT NULL CHECK (name <> ''),
    external   TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (provider, kind, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX provisioned_by_name ON provisioned (provider, kind, name);
CREATE INDEX provisioned_by_external ON provisioned (provider, kind, external);

CREATE TABLE provisioned_members (
    provider TEXT NOT NULL,
    grp      TEXT NOT NULL,
    member   TEXT NOT NULL CHECK (member <> ''),
    PRIMARY KEY (provider, grp, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX provisioned_by_member ON provisioned_members (provider, member);

-- What provisioning services show to be let in; only its hash.
CREATE TABLE integration_tokens (
    token      BLOB NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    version    INTEGER NOT NULL CHECK (version >= 1),
    provider   TEXT NOT NULL CHECK (provider <> ''),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL CHECK (expires_at > created_at),
    revoked    INTEGER NOT NULL CHECK (revoked IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX integration_tokens_by_provider ON integration_tokens (provider);

-- Security events that were dealt with: none counts twice.
CREATE TABLE signals (
    provider TEXT NOT NULL CHECK (provider <> ''),
    jti      TEXT NOT NULL CHECK (jti <> ''),
    at       INTEGER NOT NULL,
    PRIMARY KEY (provider, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX signals_by_age ON signals (at);
