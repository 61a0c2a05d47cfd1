package main

import (
	"context"

	"stint/internal/access"
	"stint/internal/connector/carried"
	"stint/internal/store"
)

// ledgerPage is how many sessions of a grant are read at a time.
const ledgerPage = 1000

// ledger is the store as connectors see it that have nothing but sessions.
type ledger struct{ store *store.Store }

// Carried says whether orders are wanted, and how many sessions are open under them. An order
// that the store does not have is wanted by nobody, and had no session.
//
// It changes nothing and is a change all the same, to the store: a session that is just
// beginning has read that its grant was active, and only among serializable transactions does
// it either show here or not begin any more. A snapshot would say that none is open while
// one commits.
func (l ledger) Carried(ctx context.Context, ids []access.EntitlementID) (out []carried.Standing, err error) {
	err = l.store.UpdateEnds(ctx, len(ids), func(tx *store.Tx) error {
		out = make([]carried.Standing, len(ids))
		at := make(map[access.EntitlementID]int, len(ids))
		for i, id := range ids {
			at[id] = i
		}
		es, err := tx.EntitlementsOf(ids...)
		if err != nil {
			return err
		}
		known, kept := map[access.EntitlementID]access.Entitlement{}, false
		for _, e := range es {
			out[at[e.ID]].Wanted = e.State != access.Removing && e.State != access.Gone
			known[e.ID] = e
			kept = kept || e.Options["onPartition"] == "keep" && tx.Now().Before(e.ExpiresAt)
		}
		holds, err := tx.HoldsOf(ids...)
		if err != nil {
			return err
		}
		asked := map[access.GrantID]bool{}
		for _, h := range holds {
			if asked[h.Grant] {
				continue
			}
			asked[h.Grant] = true
			// Of those that are closed only such can count as have been kept.
			q := access.SessionQuery{Grant: h.Grant, Live: !kept, Limit: ledgerPage}
			for {
				page, err := tx.Sessions(q)
				if err != nil {
					return err
				}
				for _, s := range page {
					if i, is := at[s.Held]; is && carried.Open(s, known[s.Held].ExpiresAt, tx.Now()) {
						out[i].Open++
					}
				}
				if len(page) < q.Limit {
					break
				}
				q.Before = page[len(page)-1].ID
			}
		}
		return nil
	})
	return out, err
}
