-- The public keys of a host's sshd, as its agent says, and the certificates by which clients
-- know them. A version that knows nothing of them leaves them as they are.

-- +goose Up
ALTER TABLE hosts ADD COLUMN ssh_keys TEXT COLLATE "C" NOT NULL DEFAULT '';
