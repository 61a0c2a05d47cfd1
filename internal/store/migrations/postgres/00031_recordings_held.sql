-- Recordings of which the end is lost with their gateway, and those that somebody holds: they
-- stay, whatever their age. A version that knows nothing of holds does not respect them, so
-- replace all replicas before the first one is made.

-- +goose Up
ALTER TABLE recordings DROP CONSTRAINT recordings_state_check;
ALTER TABLE recordings ADD CONSTRAINT recordings_state_check CHECK (state IN ('running', 'kept', 'broken', 'removed', 'lost'));
ALTER TABLE recordings ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX recordings_running ON recordings (session) WHERE state = 'running';
