-- The protocols of the sessions that a gateway may carry, as an administrator said, with spaces
-- between; empty: SSH alone, which is so of every gateway that was enrolled before. A version
-- that knows nothing of it leaves it as it is, and lets each gateway carry all: replace all
-- replicas before one is relied on.

-- +goose Up
ALTER TABLE hosts ADD COLUMN carries TEXT NOT NULL DEFAULT '';
