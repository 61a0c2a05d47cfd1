package access

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestKinds(t *testing.T) {
	want := []string{"internal", "invalid", "denied", "unauthenticated", "not-found", "conflict", "setup-failed", "pending", "expired", "passkey-needed", "unavailable", "too-many"}
	if len(kindNames) != len(want) || int(TooMany) != len(want)-1 {
		t.Fatalf("%d names for %d kinds", len(kindNames), TooMany+1)
	}
	for i, name := range want {
		k := Kind(i)
		if k.String() != name || k.Error() != name {
			t.Errorf("kind %d is %s", i, k)
		}
		err := fmt.Errorf("door: %w", fmt.Errorf("broker: %w", Fail(k, "code", "message")))
		for j := range want {
			if got := errors.Is(err, Kind(j)); got != (i == j) {
				t.Errorf("errors.Is(%s, %s) = %v", k, Kind(j), got)
			}
		}
		if KindOf(err) != k || KindOf(fmt.Errorf("x: %w", k)) != k {
			t.Errorf("KindOf(%v) = %s", err, KindOf(err))
		}
	}
	if Kind(200).String() != "internal" {
		t.Errorf("an unknown kind is %s", Kind(200))
	}
	if KindOf(io.EOF) != Internal || KindOf(nil) != Internal {
		t.Error("what is not ours is internal")
	}
}

func TestError(t *testing.T) {
	base := Fail(NotFound, "no-role", "there is no such role")
	full := base.Because("writer").Try("see: stint role list").Wrap(io.ErrUnexpectedEOF)
	if got, want := full.Error(), "there is no such role: writer: unexpected EOF"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if base.Error() != "there is no such role" || base.Why != "" || base.Next != "" || base.Cause != nil {
		t.Errorf("the copies changed the first: %+v", base)
	}
	if full.Kind != NotFound || full.Code != "no-role" || full.Why != "writer" || full.Next != "see: stint role list" {
		t.Errorf("%+v", full)
	}
	if !errors.Is(full, io.ErrUnexpectedEOF) || !errors.Is(full, NotFound) || errors.Is(full, Denied) || errors.Is(full, io.EOF) || errors.Is(base, io.ErrUnexpectedEOF) {
		t.Error("errors.Is")
	}
	// The outermost kind is the one that doors translate.
	if outer := Fail(Unavailable, "store", "try again").Wrap(full); KindOf(outer) != Unavailable {
		t.Errorf("%s", KindOf(outer))
	}
	if errors.Is(Fail(Internal, "x", "x"), io.EOF) {
		t.Error("what is no kind is no kind of error")
	}
	var zero Error
	if KindOf(&zero) != Internal {
		t.Error("the zero kind is internal")
	}
}

// Facts never carry what would keep a record out of the log.
func TestFacts(t *testing.T) {
	m := fact("a", "x", "empty", "", "bad", "caf\xff", "odd")
	if stamp(t0) != "2026-03-29T00:30:00.000Z" || stamp(time.Time{}) != "" {
		t.Errorf("stamps %s, %q", stamp(t0), stamp(time.Time{}))
	}
	if len(m) != 2 || m["a"] != "x" || m["bad"] != "caf\ufffd" {
		t.Errorf("%v", m)
	}
}
