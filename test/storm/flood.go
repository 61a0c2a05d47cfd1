package main

import (
	"context"

	"stint/internal/access"
	"stint/internal/store"
)

// unfinished counts the grants that are not over yet, a page of them at most.
func (h *house) unfinished(ctx context.Context) (n int, err error) {
	err = h.store.View(ctx, func(tx *store.Tx) error {
		gs, err := tx.Grants(access.GrantQuery{States: []access.GrantState{access.Provisioning, access.Active, access.Ending}, Limit: 10})
		n = len(gs)
		return err
	})
	return n, err
}

func (s *storm) live(context.Context) error  { return nil }
func (s *storm) flood(context.Context) error { return nil }
