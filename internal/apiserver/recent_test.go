package apiserver

import (
	"net/netip"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
)

// TestRecentAdministrators: who the store confirmed as an administrator is known
// for an hour, on that device, and forgotten as soon as the store says otherwise.
func TestRecentAdministrators(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	from := netip.MustParseAddr("192.0.2.7")
	token := api.Secret("token")
	admin := ident.Caller{Principal: access.Principal{ID: "user:root", Admin: true}, Login: access.Login{ExpiresAt: now.Add(12 * time.Hour)}}
	member := ident.Caller{Principal: access.Principal{ID: "user:mira"}, Login: admin.Login}
	away := access.Fail(access.Unavailable, "store-unreachable", "the database cannot be reached")
	ended := access.Fail(access.Unauthenticated, "not-signed-in", "there is no such login on this device")
	for name, c := range map[string]struct {
		do   func(*recent)
		at   time.Duration
		want bool
	}{
		"confirmed":               {func(*recent) {}, 59 * time.Minute, true},
		"an hour ago":             {func(*recent) {}, 61 * time.Minute, false},
		"ended meanwhile":         {func(r *recent) { r.learn(token, "dev", ident.Caller{}, ended, now) }, time.Minute, false},
		"an administrator before": {func(r *recent) { r.learn(token, "dev", member, nil, now) }, time.Minute, false},
		"the store away":          {func(r *recent) { r.learn(token, "dev", ident.Caller{}, away, now) }, time.Minute, true},
	} {
		var r recent
		r.learn(token, "dev", admin, nil, now)
		c.do(&r)
		got, ok := r.find(token, "dev", from, now.Add(c.at))
		if ok != c.want || ok && (got.Principal.ID != "user:root" || got.Actor.Address != from) {
			t.Errorf("%s: %v, %v", name, got.Principal.ID, ok)
		}
		if _, ok := r.find(token, "another", from, now); ok {
			t.Errorf("%s: on another device", name)
		}
		if _, ok := r.find("another", "dev", from, now); ok {
			t.Errorf("%s: with another token", name)
		}
	}
	var r recent
	short := admin
	short.Login.ExpiresAt = now.Add(time.Minute)
	r.learn(token, "dev", short, nil, now)
	if _, ok := r.find(token, "dev", from, now.Add(2*time.Minute)); ok {
		t.Error("after the end of the login")
	}
	for n := range 3 * mostRecent {
		r.learn(api.Secret(string(rune('a'+n))), "dev", admin, nil, now.Add(time.Duration(n)))
	}
	if len(r.m) > mostRecent {
		t.Errorf("%d are remembered", len(r.m))
	}
}
