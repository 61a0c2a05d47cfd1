-- Time: what each host sees of the clocks, and a high-water mark that does not
-- go back. now, line and wall are milliseconds since 1970, skew milliseconds, mono
-- nanoseconds of the host's monotonic clock. See internal/clock.

-- +goose Up

CREATE TABLE clocks (
    host    TEXT    NOT NULL PRIMARY KEY CHECK (host <> ''), -- its boot
    beat    INTEGER NOT NULL,
    now     INTEGER NOT NULL,
    line    INTEGER NOT NULL,
    mono    INTEGER NOT NULL,
    wall    INTEGER NOT NULL,
    skew    INTEGER NOT NULL,
    trusted INTEGER NOT NULL CHECK (trusted IN (0, 1)),
    suspect INTEGER
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER marks_now BEFORE UPDATE ON marks
WHEN OLD.name = 'now' AND (NEW.name <> OLD.name OR NEW.value < OLD.value)
BEGIN SELECT RAISE(ABORT, 'rule: time does not go back'); END;
-- +goose StatementEnd
