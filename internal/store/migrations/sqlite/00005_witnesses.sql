-- What witnesses have said about checkpoints of the log: one line of a note each,
-- as C2SP tlog-cosignature has it.

-- +goose Up

CREATE TABLE audit_cosignatures (
    size    INTEGER NOT NULL CHECK (size >= 0),
    witness TEXT    NOT NULL CHECK (witness <> ''),
    line    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER audit_cosignatures_fixed BEFORE UPDATE ON audit_cosignatures
BEGIN SELECT RAISE(ABORT, 'rule: cosignatures never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_cosignatures_new BEFORE INSERT ON audit_cosignatures
WHEN NOT EXISTS (SELECT 1 FROM audit_checkpoints c WHERE c.size = NEW.size)
BEGIN SELECT RAISE(ABORT, 'rule: a cosignature is of a checkpoint of this log'); END;
-- +goose StatementEnd
