package ident_test

import (
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/ident"
)

func TestProviderToken(t *testing.T) {
	w := newWorld(t)
	add := func(provider string, overlap time.Duration) ident.ProviderToken {
		t.Helper()
		k, err := w.AddToken(w.ctx(), w.admin, ident.NewToken{Provider: provider, For: 90 * 24 * time.Hour, Overlap: overlap})
		must(t, err)
		return k
	}
	admit := func(k ident.ProviderToken, code string) {
		t.Helper()
		err := w.Admit(w.ctx(), "corp", k.Token)
		if code == "" {
			must(t, err)
			return
		}
		wantCode(t, err, access.Unauthenticated, code)
	}
	first, other := add("corp", 0), add("other", 0)
	if !strings.HasPrefix(string(first.Token.Reveal()), "stint-provider-") {
		t.Error("the token does not say what it is")
	}
	admit(first, "")
	admit(other, "bad-token")
	// It is no login.
	_, err := w.Authenticate(w.ctx(), first.Token, laptop, from)
	wantCode(t, err, access.Unauthenticated, "not-signed-in")

	second := add("corp", time.Hour)
	admit(first, "") // for an hour yet
	admit(second, "")
	w.pass(time.Hour)
	admit(first, "token-expired")
	admit(second, "")
	third := add("corp", 0)
	admit(second, "bad-token")
	if good, err := w.Tokens(w.ctx(), w.admin, "corp"); err != nil || len(good) != 1 || good[third.Name].Provider != "corp" {
		t.Errorf("good are %v, %v", good, err)
	}
	if n, err := w.EndTokens(w.ctx(), w.admin, "corp"); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
	admit(third, "bad-token")
	if c, e := w.count(ident.TokenCreated), w.count(ident.TokenEnded); c != 4 || e != 3 {
		t.Errorf("%d made and %d ended in the log, want 4 and 3", c, e)
	}
}

func TestProviderTokenRefused(t *testing.T) {
	w := newWorld(t)
	mira := w.in(w.user("mira"), laptop)
	for _, c := range []struct {
		by   ident.Caller
		n    ident.NewToken
		kind access.Kind
		code string
	}{
		{mira, ident.NewToken{Provider: "corp", For: time.Hour}, access.Denied, "not-an-administrator"},
		{w.admin, ident.NewToken{For: time.Hour}, access.Invalid, "bad-integration"},
		{w.admin, ident.NewToken{Provider: "corp"}, access.Invalid, "bad-duration"},
		{w.admin, ident.NewToken{Provider: "corp", For: ident.MaxTokenLife + 1}, access.Invalid, "bad-duration"},
		{w.admin, ident.NewToken{Provider: "corp", For: time.Hour, Overlap: ident.MaxOverlap + 1}, access.Invalid, "bad-duration"},
		{w.admin, ident.NewToken{Provider: "corp", For: time.Hour, Overlap: -1}, access.Invalid, "bad-duration"},
	} {
		_, err := w.AddToken(w.ctx(), c.by, c.n)
		wantCode(t, err, c.kind, c.code)
	}
	_, err := w.Tokens(w.ctx(), mira, "corp")
	wantCode(t, err, access.Denied, "not-an-administrator")
	_, err = w.EndTokens(w.ctx(), mira, "corp")
	wantCode(t, err, access.Denied, "not-an-administrator")
	if n := w.count(ident.TokenCreated); n != 0 {
		t.Errorf("%d tokens were made", n)
	}
}
