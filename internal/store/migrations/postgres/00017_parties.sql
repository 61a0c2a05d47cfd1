-- Who answers for whom: vendors with a sponsor and the end of a contract, agents with a
-- human, and the tasks that agents work on. A version that knows nothing of it leaves the
-- new columns as they are. It takes a vendor for any other user: invite the first one,
-- and make the first agent, when all replicas are new.

-- +goose Up
ALTER TABLE principals ADD COLUMN party TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN answered_by TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE principals ADD COLUMN contract_ends BIGINT; -- while it is not over
CREATE INDEX principals_answered ON principals (answered_by) WHERE answered_by <> '';
CREATE INDEX principals_contracts ON principals (contract_ends) WHERE contract_ends IS NOT NULL;

ALTER TABLE requests ADD COLUMN task TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE tasks (
    id        TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- the agent's and its own: "agent:fixer/OPS-12"
    version   BIGINT           NOT NULL CHECK (version >= 1),
    agent     TEXT COLLATE "C" NOT NULL CHECK (agent <> ''),
    task      TEXT COLLATE "C" NOT NULL CHECK (task <> ''),
    opened_at BIGINT           NOT NULL,
    ends_at   BIGINT           NOT NULL CHECK (ends_at > opened_at),
    ended_at  BIGINT,
    why       TEXT COLLATE "C" NOT NULL
);

CREATE TRIGGER requests_task BEFORE UPDATE ON requests FOR EACH ROW
WHEN (NEW.task <> OLD.task)
EXECUTE FUNCTION stint_refuse('rule: the task of a request never changes');

CREATE TRIGGER principals_party BEFORE UPDATE ON principals FOR EACH ROW
WHEN (OLD.contract_ends IS NOT NULL AND NEW.answered_by = '' OR OLD.kind = 'agent' AND OLD.answered_by <> '' AND NEW.answered_by <> OLD.answered_by)
EXECUTE FUNCTION stint_refuse('rule: a vendor stays one, and an agent is one human''s');

-- +goose StatementBegin
CREATE FUNCTION stint_votes_house() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM principals p WHERE p.id = NEW.voter AND (p.answered_by <> '' OR p.kind <> 'user')) THEN
        RAISE EXCEPTION 'rule: a vote is by a person of the house' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER votes_house BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION stint_votes_house();

CREATE TRIGGER tasks_fixed BEFORE UPDATE ON tasks FOR EACH ROW
WHEN (OLD.ended_at IS NOT NULL OR NEW.id <> OLD.id OR NEW.agent <> OLD.agent OR NEW.task <> OLD.task
  OR NEW.opened_at <> OLD.opened_at OR NEW.ends_at > OLD.ends_at)
EXECUTE FUNCTION stint_refuse('rule: a task ends once and is never longer');
