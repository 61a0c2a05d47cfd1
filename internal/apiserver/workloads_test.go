package apiserver

import (
	"database/sql"
	"fmt"
	"testing"

	"stint/internal/api"
)

// TestOneLoginKeepsNoOther: a workload's login that cannot be ended keeps no other from
// ending, wherever it stands among them; it is said, and it ends as soon as it can.
func TestOneLoginKeepsNoOther(t *testing.T) {
	y := newYard(t)
	for range 3 {
		_, err := y.client().Exchange(t.Context(), api.Secret(y.forge.Sign(y.pipeline())), "")
		check(t, err)
	}
	logins, err := y.server.ident.Workloads(t.Context())
	check(t, err)
	if len(logins) != 3 {
		t.Fatalf("%d logins", len(logins))
	}
	db, err := sql.Open("sqlite", "file:"+y.path+"?_pragma=busy_timeout(20000)")
	check(t, err)
	defer db.Close()
	stuck := logins[0]
	_, err = db.Exec(fmt.Sprintf(`CREATE TRIGGER stuck BEFORE UPDATE ON logins WHEN OLD.token = x'%x' BEGIN SELECT RAISE(ABORT, 'this login cannot be written'); END`, stuck.Token[:]))
	check(t, err)
	set, err := y.server.broker.Documents(t.Context())
	check(t, err)
	check(t, y.server.EndUnfit(t.Context(), set, true)) // all fit: nothing is written
	_, err = y.admin.Delete(t.Context(), api.Workloads, "orders-pipeline", false)
	check(t, err)
	set, err = y.server.broker.Documents(t.Context())
	check(t, err)
	if err := y.server.EndUnfit(t.Context(), set, true); err == nil {
		t.Error("that one cannot be ended is not said")
	}
	left, err := y.server.ident.Workloads(t.Context())
	check(t, err)
	if len(left) != 1 || left[0].Token != stuck.Token {
		t.Errorf("%d logins are good, and not just the one that cannot be ended", len(left))
	}
	_, err = db.Exec("DROP TRIGGER stuck")
	check(t, err)
	check(t, y.server.EndUnfit(t.Context(), set, true))
	left, err = y.server.ident.Workloads(t.Context())
	check(t, err)
	if len(left) != 0 {
		t.Errorf("%d logins are left", len(left))
	}
}
