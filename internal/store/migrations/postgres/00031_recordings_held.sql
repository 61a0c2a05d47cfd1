-- Recordings that somebody holds: they stay, whatever their age. A version that knows nothing of
-- holds does not respect them, so replace all replicas before the first one is made.

-- +goose Up
ALTER TABLE recordings ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX recordings_running ON recordings (session) WHERE state = 'running';
