-- What the agent of a host says that its own roster lets be done there; empty where it has
-- none. The host decides by its file and not by this: here it is known so that nobody asks
-- for what the host would refuse. A version that knows nothing of it leaves it as it is.

-- +goose Up
ALTER TABLE hosts ADD COLUMN ceiling TEXT NOT NULL DEFAULT '';
