//go:build unix

package store_test

import (
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/store"
)

// TestPlans: what pages ask is answered by the index that is there for it, on both databases,
// and nothing that is asked about few is answered from a list of many.
func TestPlans(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		for _, c := range []struct {
			name          string
			ask           func(*store.Tx) error
			sqlite, other string // what stands in the way that is taken
			never         string
		}{
			{"what somebody holds, by its end", func(tx *store.Tx) error {
				_, err := tx.GrantsByEnd(access.EndQuery{Principal: "user:mira", State: access.Active, Limit: 51})
				return err
			}, "COVERING INDEX grants_by_end (principal=? AND state=? AND (expires_at,id)>(?,?))", "Index Only Scan using grants_by_end", "grants_by_principal"},
			{"how much somebody holds", func(tx *store.Tx) error {
				_, err := tx.LiveCounts(access.LiveQuery{Principal: "user:mira"})
				return err
			}, "COVERING INDEX grants_by_end (principal=?", "Index Only Scan using grants_by_end", "grants_by_principal"},
			{"what somebody voted on", func(tx *store.Tx) error {
				_, err := tx.Requests(access.RequestQuery{Voter: "user:omar", Before: "req_9", Limit: 31})
				return err
			}, "COVERING INDEX votes_by_voter (voter=? AND request_id<?)", "Index Only Scan Backward using votes_by_voter", "SCAN votes"},
			{"what somebody voted on of a role", func(tx *store.Tx) error {
				_, err := tx.Requests(access.RequestQuery{Voter: "user:omar", Role: "reader", Limit: 31})
				return err
			}, "COVERING INDEX votes_by_voter (voter=?)", "votes_by_voter", "SCAN votes"},
		} {
			plans, err := s.Plans(t.Context(), c.ask)
			if err != nil {
				t.Fatal(err)
			}
			planned(t, c.name, plans, map[string]string{"sqlite": c.sqlite, "postgres": c.other}[d.name], c.never)
		}
		log := func(q store.LogQuery) []string {
			q.After = -1
			plans, err := s.LogPlans(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			return plans
		}
		planned(t, "records of a type", log(store.LogQuery{Type: broker.IntegrationTested}), "audit_by_type", "audit_by_seq")
		planned(t, "of a type, of one thing", log(store.LogQuery{Type: access.GrantEnding, Entity: "grt_1"}), "entity", "audit_by_type")
		planned(t, "of a type, of somebody", log(store.LogQuery{Type: access.GrantEnding, Person: "mira"}), "audit_by_person", "audit_by_type")
		planned(t, "of a type, of a resource", log(store.LogQuery{Type: access.GrantEnding, Resource: "db"}), "audit_by_resource", "audit_by_type")
	})
}

// planned holds one of the plans to have the one, and none to have the other.
func planned(t *testing.T, name string, plans []string, has, never string) {
	t.Helper()
	all := strings.Join(plans, "\n\n")
	_, ways, _ := strings.Cut(all, "\n")
	if !strings.Contains(ways, has) || strings.Contains(ways, never) {
		t.Errorf("%s: wanted %q and not %q:\n%s", name, has, never, all)
	}
}
