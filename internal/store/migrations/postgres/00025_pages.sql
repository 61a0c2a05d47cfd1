-- Indexes for what pages ask each time they are looked at: what somebody holds by when it
-- ends, what they voted on, and the records of one type.

-- +goose Up
CREATE INDEX grants_by_end ON grants (principal, state, expires_at, id) WHERE state IN ('scheduled', 'provisioning', 'active', 'ending');
CREATE INDEX votes_by_voter ON votes (voter, request_id);
CREATE INDEX audit_by_type ON audit_records (type, seq) WHERE seq IS NOT NULL;
