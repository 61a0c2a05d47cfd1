-- Who principals are elsewhere, and what provisioning services said of them. A
-- version that knows nothing of it writes principals without the new column, which
-- keeps what it has.

-- +goose Up
ALTER TABLE principals ADD COLUMN linked TEXT COLLATE "C" NOT NULL DEFAULT '';

-- The same identities as in principals.linked: each is one principal's.
CREATE TABLE identities (
    provider  TEXT COLLATE "C" NOT NULL CHECK (provider <> ''),
    subject   TEXT COLLATE "C" NOT NULL CHECK (subject <> ''),
    principal TEXT COLLATE "C" NOT NULL REFERENCES principals (id),
    PRIMARY KEY (provider, subject)
);
CREATE INDEX identities_by_principal ON identities (principal);

-- Users and groups as a provisioning service sees them: the id of a user is the name
-- of its principal.
CREATE TABLE provisioned (
    provider   TEXT COLLATE "C" NOT NULL CHECK (provider <> ''),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'group')),
    id         TEXT COLLATE "C" NOT NULL CHECK (id <> ''),
    version    BIGINT NOT NULL CHECK (version >= 1),
    name       TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    external   TEXT COLLATE "C" NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (provider, kind, id)
);
CREATE UNIQUE INDEX provisioned_by_name ON provisioned (provider, kind, name);
CREATE INDEX provisioned_by_external ON provisioned (provider, kind, external);

CREATE TABLE provisioned_members (
    provider TEXT COLLATE "C" NOT NULL,
    grp      TEXT COLLATE "C" NOT NULL,
    member   TEXT COLLATE "C" NOT NULL CHECK (member <> ''),
    PRIMARY KEY (provider, grp, member)
);
CREATE INDEX provisioned_by_member ON provisioned_members (provider, member);

-- What provisioning services show to be let in; only its hash.
CREATE TABLE integration_tokens (
    token      BYTEA NOT NULL PRIMARY KEY CHECK (length(token) = 32),
    version    BIGINT NOT NULL CHECK (version >= 1),
    provider   TEXT COLLATE "C" NOT NULL CHECK (provider <> ''),
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL CHECK (expires_at > created_at),
    revoked    BOOLEAN NOT NULL
);
CREATE INDEX integration_tokens_by_provider ON integration_tokens (provider);

-- Security events that were dealt with: none counts twice.
CREATE TABLE signals (
    provider TEXT COLLATE "C" NOT NULL CHECK (provider <> ''),
    jti      TEXT COLLATE "C" NOT NULL CHECK (jti <> ''),
    at       BIGINT NOT NULL,
    PRIMARY KEY (provider, jti)
);
CREATE INDEX signals_by_age ON signals (at);
