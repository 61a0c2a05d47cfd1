package postgres

import (
	"testing"
	"time"

	"stint/internal/connector"
)

// TestLockedClaimKeepsNobody: who locks the role of our beat, and stays, costs a
// beat a second, on a connection that no end waits for.
func TestLockedClaimKeepsNobody(t *testing.T) {
	w := newWorld(t)
	c := connector.Claim{Installation: "one", Epoch: 1, Proof: "made up"}
	w.target.Claim, w.target.Genuine = c, func(connector.Claim) bool { return true }
	if err := w.c.Claim(t.Context(), w.target, c); err != nil {
		t.Fatal(err)
	}
	conn := w.open("")
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), "ALTER ROLE "+proofRole+" NOLOGIN"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	done, err := w.c.SwapBeat(t.Context(), w.target, connector.Beat{}, connector.Beat{Last: "beat"})
	if took := time.Since(began); done || err == nil || took > 3*time.Second {
		t.Errorf("done %t after %s: %v", done, took, err)
	}
	pools := w.c.pools.byKey[poolKey(w.target)]
	if n := pools.lane[ending].Stat().AcquireCount(); n != 1 { // the claim
		t.Errorf("%d times a connection for ends was taken", n)
	}
}
