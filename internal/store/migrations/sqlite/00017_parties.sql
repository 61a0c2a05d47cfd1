-- Who answers for whom: vendors with a sponsor and the end of a contract, agents with a
-- human, and the tasks that agents work on. A version that knows nothing of it leaves the
-- new columns as they are. It takes a vendor for any other user: invite the first one,
-- and make the first agent, when all replicas are new.

-- +goose Up
ALTER TABLE principals ADD COLUMN party TEXT NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN answered_by TEXT NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN contract_ends INTEGER; -- while it is not over
CREATE INDEX principals_answered ON principals (answered_by) WHERE answered_by <> '';
CREATE INDEX principals_contracts ON principals (contract_ends) WHERE contract_ends IS NOT NULL;

ALTER TABLE requests ADD COLUMN task TEXT NOT NULL DEFAULT '';

CREATE TABLE tasks (
    id        TEXT    NOT NULL PRIMARY KEY, -- the agent's and its own: "agent:fixer/OPS-12"
    version   INTEGER NOT NULL CHECK (version >= 1),
    agent     TEXT    NOT NULL CHECK (agent <> ''),
    task      TEXT    NOT NULL CHECK (task <> ''),
    opened_at INTEGER NOT NULL,
    ends_at   INTEGER NOT NULL CHECK (ends_at > opened_at),
    ended_at  INTEGER,
    why       TEXT    NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER requests_task BEFORE UPDATE ON requests
WHEN NEW.task <> OLD.task
BEGIN SELECT RAISE(ABORT, 'rule: the task of a request never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER principals_party BEFORE UPDATE ON principals
WHEN OLD.contract_ends IS NOT NULL AND NEW.answered_by = '' OR OLD.kind = 'agent' AND OLD.answered_by <> '' AND NEW.answered_by <> OLD.answered_by
BEGIN SELECT RAISE(ABORT, 'rule: a vendor stays one, and an agent is one human''s'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER votes_house BEFORE INSERT ON votes
WHEN EXISTS (SELECT 1 FROM principals p WHERE p.id = NEW.voter AND (p.answered_by <> '' OR p.kind <> 'user'))
BEGIN SELECT RAISE(ABORT, 'rule: a vote is by a person of the house'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tasks_fixed BEFORE UPDATE ON tasks
WHEN OLD.ended_at IS NOT NULL OR NEW.id <> OLD.id OR NEW.agent <> OLD.agent OR NEW.task <> OLD.task
  OR NEW.opened_at <> OLD.opened_at OR NEW.ends_at > OLD.ends_at
BEGIN SELECT RAISE(ABORT, 'rule: a task ends once and is never longer'); END;
-- +goose StatementEnd
