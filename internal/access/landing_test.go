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

// TestAwaitLost: what makes a credential waits for lost calls, and nothing else does.
func TestAwaitLost(t *testing.T) {
	soon, lands := t0.Add(time.Second), t0.Add(4*time.Second)
	for name, c := range map[string]struct {
		e    Entitlement
		want time.Time
	}{
		"an account that is to be made": {Entitlement{Mechanism: Account, State: Intended, CallUntil: lands}, lands},
		"one that is to be enabled":     {Entitlement{Mechanism: Enable, State: Intended, CallUntil: lands}, lands},
		"a fresh credential":            {Entitlement{Mechanism: Enable, State: Refreshing, Renew: RenewSecret, CallUntil: lands}, lands},
		"the lost call is over":         {Entitlement{Mechanism: Account, State: Intended, CallUntil: t0}, soon},
		"nothing is lost":               {Entitlement{Mechanism: Account, State: Intended}, soon},
		"a membership":                  {Entitlement{Mechanism: Member, State: Intended, CallUntil: lands}, soon},
		"a token, which is no password": {Entitlement{Mechanism: Token, State: Intended, CallUntil: lands}, soon},
		"a later end":                   {Entitlement{Mechanism: Account, State: Refreshing, Renew: RenewExpiry, CallUntil: lands}, soon},
		"somebody leaves":               {Entitlement{Mechanism: Enable, State: Refreshing, Renew: RenewAll, CallUntil: lands}, soon},
		"a removal":                     {Entitlement{Mechanism: Account, State: Removing, CallUntil: lands}, soon},
	} {
		c.e.NextAt = soon
		if got := c.e.AwaitLost().NextAt; !got.Equal(c.want) {
			t.Errorf("%s: the next call is at %s, want %s", name, got, c.want)
		}
	}
}
