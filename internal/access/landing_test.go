package access

import (
	"testing"
	"time"
)

// TestLandsBy: what is learned of the last call says nothing of one that was lost
// before it, and never lets a call land later than is on record.
func TestLandsBy(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1_800_000_000, 0).Add(time.Duration(s) * time.Second) }
	for _, c := range []struct {
		name           string
		call, lost, by time.Time
		want, wantAll  time.Time
		wantLost       time.Time
	}{
		{"sooner than on record", at(8), time.Time{}, at(4), at(4), at(4), time.Time{}},
		{"never later", at(8), time.Time{}, at(9), at(8), at(8), time.Time{}},
		{"an earlier call may land later", at(8), at(6), at(4), at(6), at(4), at(4)},
		{"an earlier call landed before", at(8), at(2), at(4), at(4), at(4), at(2)},
		{"nothing in flight", time.Time{}, time.Time{}, at(4), time.Time{}, time.Time{}, time.Time{}},
	} {
		e := Entitlement{CallUntil: c.call, LostUntil: c.lost}
		if got := e.LandsBy(c.by); !got.CallUntil.Equal(c.want) || !got.LostUntil.Equal(c.lost) {
			t.Errorf("%s: the last call lands by %v (lost %v), want %v", c.name, got.CallUntil, got.LostUntil, c.want)
		}
		if got := e.AllLandBy(c.by); !got.CallUntil.Equal(c.wantAll) || !got.LostUntil.Equal(c.wantLost) {
			t.Errorf("%s: all calls land by %v and %v, want %v and %v", c.name, got.CallUntil, got.LostUntil, c.wantAll, c.wantLost)
		}
	}
}
