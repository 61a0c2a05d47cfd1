package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"stint/internal/envelope"
)

// TestReader: a program beside the agent sees what is lent when it is, and until when, by
// the clock that is further on; and nothing once it was taken away.
func TestReader(t *testing.T) {
	k := newClock()
	path := filepath.Join(t.TempDir(), "ledger")
	r := NewReader(path, k.clock())
	if _, ok, err := r.Lent("t1"); ok || err == nil {
		t.Errorf("without a ledger: %v, %v", ok, err)
	}
	l, err := OpenLedger(path, k.clock())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	lent := func() (Lent, bool) {
		t.Helper()
		x, ok, err := r.Lent("t1")
		if err != nil {
			t.Fatal(err)
		}
		return x, ok
	}
	e := entry{Tag: "t1", State: intended, Order: envelope.Order{Entitlement: "ent_1", Person: "mira"}, End: k.clock().deadline(time.Now().Add(time.Hour), time.Now()), Recordings: []byte("key")}
	put := func(x entry) {
		t.Helper()
		if err := l.put(line{Entry: &x}); err != nil {
			t.Fatal(err)
		}
	}
	put(e)
	if _, ok := lent(); ok {
		t.Error("what is only intended is lent")
	}
	e.State = made
	put(e)
	x, ok := lent()
	if !ok || x.Entitlement != "ent_1" || x.Person != "mira" || string(x.Recordings) != "key" || x.Left > time.Hour || x.Left < 59*time.Minute {
		t.Errorf("lent: %+v, %v", x, ok)
	}
	sooner := k.clock().deadline(time.Now().Add(30*time.Minute), time.Now())
	e.Sooner = &sooner
	put(e)
	if x, ok := lent(); !ok || x.Left > 30*time.Minute || !x.Until.Equal(sooner.At) {
		t.Errorf("with an end that was fixed later: %+v, %v", x, ok)
	}
	e.Sooner = nil
	put(e)
	k.turn(-2 * time.Hour) // whoever sets the clock back wins nothing
	if x, ok := lent(); !ok || x.Left > time.Hour {
		t.Errorf("with the clock set back: %+v, %v", x, ok)
	}
	k.sleep(2 * time.Hour)
	if x, ok := lent(); ok {
		t.Errorf("the host slept for two hours: %+v", x)
	}
	k.turn(2 * time.Hour)
	e.Tag, e.End = "t2", k.clock().deadline(time.Now().Add(3*time.Hour), time.Now())
	put(e)
	if _, ok, err := r.Lent("t2"); !ok || err != nil {
		t.Errorf("another: %v, %v", ok, err)
	}
	if err := l.bury("t2"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.Lent("t2"); ok || err != nil {
		t.Errorf("taken away: %v, %v", ok, err)
	}
	// What is torn in the middle of being written is not read, and what stands before it is.
	e.Tag = "t3"
	put(e)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`00000000 {"entry":{"tag":"t3","state":"rem`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := r.Lent("t3"); !ok || err != nil {
		t.Errorf("half a line: %v, %v", ok, err)
	}
}
