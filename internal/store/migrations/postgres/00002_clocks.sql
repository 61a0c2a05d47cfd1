-- Time: what each host sees of the clocks, and a high-water mark that does not
-- go back. now, line and wall are milliseconds since 1970, skew milliseconds, mono
-- nanoseconds of the host's monotonic clock. See internal/clock.

-- +goose Up

CREATE TABLE clocks (
    host    TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (host <> ''), -- its boot
    beat    BIGINT           NOT NULL,
    now     BIGINT           NOT NULL,
    line    BIGINT           NOT NULL,
    mono    BIGINT           NOT NULL,
    wall    BIGINT           NOT NULL,
    skew    BIGINT           NOT NULL,
    trusted BIGINT           NOT NULL CHECK (trusted IN (0, 1)),
    suspect BIGINT
);

CREATE TRIGGER marks_now BEFORE UPDATE ON marks FOR EACH ROW
WHEN (OLD.name = 'now' AND (NEW.name <> OLD.name OR NEW.value < OLD.value))
EXECUTE FUNCTION stint_refuse('rule: time does not go back');
