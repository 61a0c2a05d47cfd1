-- What witnesses have said about checkpoints of the log: one line of a note each,
-- as C2SP tlog-cosignature has it.

-- +goose Up

CREATE TABLE audit_cosignatures (
    size    BIGINT  NOT NULL CHECK (size >= 0),
    witness TEXT COLLATE "C" NOT NULL CHECK (witness <> ''),
    line    TEXT COLLATE "C" NOT NULL,
    at      BIGINT  NOT NULL,
    PRIMARY KEY (size, witness)
);

CREATE TRIGGER audit_cosignatures_fixed BEFORE UPDATE ON audit_cosignatures FOR EACH ROW
EXECUTE FUNCTION stint_refuse('rule: cosignatures never change');

-- +goose StatementBegin
CREATE FUNCTION stint_cosignature_new() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_checkpoints c WHERE c.size = NEW.size) THEN
        RAISE EXCEPTION 'rule: a cosignature is of a checkpoint of this log' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER audit_cosignatures_new BEFORE INSERT ON audit_cosignatures FOR EACH ROW
EXECUTE FUNCTION stint_cosignature_new();
