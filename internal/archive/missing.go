package archive

import (
	"context"
	"errors"

	"stint/internal/access"
	"stint/internal/recording"
)

// Missing looks for the newest recordings that are kept, as many as most of each kind, and
// names those whose file is not there: what was restored without them says so.
func (a *Archive) Missing(ctx context.Context, most int) (missing []string, looked int, err error) {
	var rows []access.Recording
	err = a.Store.View(ctx, func(tx Tx) error {
		rows = nil
		for _, s := range []access.RecordingState{access.RecordingWhole, access.RecordingBroken} {
			some, err := tx.Recordings(access.RecordingQuery{State: s, Limit: most})
			if err != nil {
				return err
			}
			rows = append(rows, some...)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	for _, r := range rows {
		rc, err := recording.NewKeep(a.Kept, trustOf(r)).Open(ctx, r.Session)
		switch {
		case errors.Is(err, recording.ErrNotFound):
			missing = append(missing, r.Session)
		case err != nil:
			return missing, looked, err
		default:
			_ = rc.Close() // nothing of it was read
		}
		looked++
	}
	return missing, looked, nil
}
