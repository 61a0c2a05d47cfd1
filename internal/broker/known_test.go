package broker

import (
	"fmt"
	"testing"

	"stint/internal/access"
)

// holdsMany is a transaction in which somebody holds a great many grants.
type holdsMany struct {
	Tx
	grants []access.Grant // newest first
}

func (tx holdsMany) Grants(q access.GrantQuery) ([]access.Grant, error) {
	var page []access.Grant
	for _, g := range tx.grants {
		if (q.Before == "" || g.ID < q.Before) && len(page) < min(q.Limit, 1000) {
			page = append(page, g)
		}
	}
	return page, nil
}

// TestHoldingsAreAll: who holds a thousand grants hides none that excludes another.
func TestHoldingsAreAll(t *testing.T) {
	var tx holdsMany
	for i := 2500; i > 0; i-- {
		tx.grants = append(tx.grants, access.Grant{ID: access.GrantID(fmt.Sprintf("grt_%05d", i))})
	}
	gs, err := holdings(tx, "mira")
	if err != nil || len(gs) != len(tx.grants) || gs[len(gs)-1].ID != "grt_00001" {
		t.Errorf("%d of %d, %v", len(gs), len(tx.grants), err)
	}
}
