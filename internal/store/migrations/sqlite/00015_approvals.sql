-- When an undecided request is next to be pursued before it ends: its approvers are
-- reminded, or others asked besides. A version that knows nothing of it leaves the
-- column as it is, and pursues nothing.

-- +goose Up
ALTER TABLE requests ADD COLUMN next_at INTEGER;
CREATE INDEX requests_next ON requests (next_at) WHERE state = 'pending' AND next_at IS NOT NULL;
