-- What ended grants left behind on their targets, and what these looked like
-- before. A version that knows nothing of it writes nothing here, and its grants
-- have no answer.

-- +goose Up
CREATE TABLE residues (
    grant_id TEXT COLLATE "C" NOT NULL REFERENCES grants (id),
    place    TEXT COLLATE "C" NOT NULL CHECK (place <> ''),
    state    TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'none', 'found', 'unknowable')),
    due_at   BIGINT,
    body     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (grant_id, place),
    CHECK ((due_at IS NOT NULL) = (state = 'pending'))
);
CREATE INDEX residues_due ON residues (due_at) WHERE due_at IS NOT NULL;

-- Of a place there are a few, each good until the next one.
CREATE TABLE fingerprints (
    place    TEXT COLLATE "C" NOT NULL CHECK (place <> ''),
    taken_at BIGINT           NOT NULL,
    body     BYTEA            NOT NULL,
    PRIMARY KEY (place, taken_at)
);

-- The sweep asks for the last membership of a key that is gone.
CREATE INDEX entitlements_left ON entitlements (place, key, id) WHERE state = 'gone' AND substr(key, 1, 6) = 'group:';

CREATE TRIGGER residues_answered BEFORE UPDATE ON residues FOR EACH ROW
WHEN (OLD.state <> 'pending')
EXECUTE FUNCTION stint_refuse('rule: what a grant left behind is said once');

CREATE TRIGGER residues_kept BEFORE DELETE ON residues FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: residues are kept');
