package access

import "testing"

// TestLock: who is locked may do nothing, whatever else is said of them, and a lock is taken
// away by the one that put it there.
func TestLock(t *testing.T) {
	l := Lock{With: mira.ID, By: "user:root", Why: "laptop stolen", At: t0}
	p, ok := mira.Bar(l)
	if !ok || p.Lock != l || p.Version != mira.Version+1 || mira.Lock.Is() {
		t.Errorf("locked: %+v, %v", p.Lock, ok)
	}
	wantCode(t, p.Usable(t0), Unauthenticated, "principal-locked")
	wantCode(t, p.MayAnswer(t0), Conflict, "cannot-answer")
	if again, ok := p.Bar(Lock{With: "user:other"}); ok || again.Lock != l || again.Version != p.Version {
		t.Errorf("a lock is put over another: %+v", again.Lock)
	}
	if q, ok := p.Unbar("user:other"); ok || q.Lock != l {
		t.Error("another's lock is taken away")
	}
	q, ok := p.Unbar(mira.ID)
	if !ok || q.Lock.Is() || q.Version != p.Version+1 || q.Usable(t0) != nil {
		t.Errorf("unlocked: %+v, %v", q.Lock, q.Usable(t0))
	}
	if _, ok := q.Unbar(mira.ID); ok {
		t.Error("what is not locked is unlocked")
	}
	if _, ok := q.Unbar(""); ok {
		t.Error("what is not locked is unlocked by nobody")
	}
	p.Disabled = true // by whoever may say so: the lock stays
	wantCode(t, p.Usable(t0), Unauthenticated, "principal-disabled")
	p.Disabled = false
	wantCode(t, p.Usable(t0), Unauthenticated, "principal-locked")
}
