package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/connector"
)

// countedTx counts how entitlements are read; of is what there is.
type countedTx struct {
	Tx
	of        map[access.EntitlementID]access.Entitlement
	once, one *int
}

func (tx countedTx) Entitlement(id access.EntitlementID) (access.Entitlement, error) {
	*tx.one++
	if e, ok := tx.of[id]; ok {
		return e, nil
	}
	return access.Entitlement{}, access.Fail(access.NotFound, "not-found", "there is none")
}

func (tx countedTx) EntitlementsOf(ids ...access.EntitlementID) (es []access.Entitlement, err error) {
	*tx.once++
	for _, id := range ids {
		if e, ok := tx.of[id]; ok {
			es = append(es, e)
		}
	}
	return es, nil
}

// plainTags are tags that are the id.
type plainTags struct{}

func (plainTags) Tag(_, _ string, _ int64, id string) string { return "ours-" + id }
func (plainTags) Check(_, _ string, _ int64, tag string) (string, bool) {
	return strings.CutPrefix(tag, "ours-")
}

// TestSweepReadsAtOnce: what explains a thousand accounts is one read, and what is not
// there, or is no account of ours, is still found out.
func TestSweepReadsAtOnce(t *testing.T) {
	b := &Broker{Config: Config{Tagger: plainTags{}, Epoch: 1}}
	once, one := 0, 0
	store := countedTx{of: map[access.EntitlementID]access.Entitlement{}, once: &once, one: &one}
	found := []connector.Artefact{{Account: "app_read"}, {Account: "x", Tag: "theirs"}, {Account: "y", Tag: "ours-ent_gone"}}
	for i := range 1000 {
		id := access.EntitlementID(fmt.Sprint("ent_", i))
		store.of[id] = access.Entitlement{ID: id, State: access.Present}
		found = append(found, connector.Artefact{Account: "a", Tag: access.Tag("ours-" + id)})
	}
	tx, err := b.explained(store, "postgres/db:5432", found)
	if err != nil {
		t.Fatal(err)
	}
	for id := range store.of {
		if e, err := tx.Entitlement(id); err != nil || e.ID != id {
			t.Fatalf("got %v, %v for %s", e.ID, err, id)
		}
	}
	if once != 1 || one != 0 {
		t.Errorf("a thousand were read %d times at once and %d times alone", once, one)
	}
	if _, err := tx.Entitlement("ent_gone"); !errors.Is(err, access.NotFound) || one != 1 {
		t.Errorf("got %v for one that is not there, after %d reads", err, one)
	}
}
