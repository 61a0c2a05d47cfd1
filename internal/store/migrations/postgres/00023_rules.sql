-- Rules that concern few changes of a row are asked about those only: calling a function
-- for each change was a third of what a change of a grant cost.

-- +goose Up
DROP TRIGGER requests_quorum ON requests;
CREATE TRIGGER requests_quorum BEFORE UPDATE ON requests FOR EACH ROW
WHEN (OLD.state = 'pending' AND NEW.state = 'approved')
EXECUTE FUNCTION requests_quorum();

DROP TRIGGER grants_extended ON grants;
CREATE TRIGGER grants_extended BEFORE UPDATE ON grants FOR EACH ROW
WHEN (NEW.duration > OLD.duration)
EXECUTE FUNCTION grants_extended();

DROP TRIGGER grants_clean ON grants;
CREATE TRIGGER grants_clean BEFORE UPDATE ON grants FOR EACH ROW
WHEN (OLD.state <> NEW.state AND NEW.state IN ('ended', 'failed'))
EXECUTE FUNCTION grants_clean();
