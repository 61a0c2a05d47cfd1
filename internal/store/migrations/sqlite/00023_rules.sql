-- For PostgreSQL only, where a rule called a function for each change of a row.

-- +goose Up
SELECT 1;
