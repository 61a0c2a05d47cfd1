-- +goose Up
-- The sweep asks for the last membership of a key that is gone.
CREATE INDEX entitlements_left ON entitlements (place, key, id) WHERE state = 'gone' AND substr(key, 1, 6) = 'group:';
