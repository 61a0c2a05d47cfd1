package apiserver

import (
	"context"

	"stint/internal/access"
	"stint/internal/web"
)

// Mark is how many records the log has: whatever changes anything writes one, on whichever
// server it happens.
func (d doors) Mark(ctx context.Context) (int64, error) {
	size, _, err := d.audit.Head(ctx)
	return size, err
}

// Follow waits for a record after the mark.
func (d doors) Follow(ctx context.Context, v web.Visitor, mark int64) (int64, error) {
	held, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.holding, cancel)()
	err := d.audit.Wait(held, mark-1)
	switch {
	case d.holding.Err() != nil:
		return 0, access.Fail(access.Unavailable, "stopping", "this server stops").Try("load the page again")
	case err != nil && held.Err() == nil:
		return 0, err
	}
	// Whoever has lost their sign-in meanwhile is let go. The look is not part of the wait,
	// which may just have ended.
	look, done := context.WithTimeout(context.WithoutCancel(ctx), writeWithin)
	defer done()
	if _, err := d.ident.Watched(look, secretOf(v.Session), v.From); err != nil {
		return 0, err
	}
	if err != nil {
		return mark, nil
	}
	return d.Mark(look)
}
