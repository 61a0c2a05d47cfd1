package apiserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/oidc/oidctest"
	"stint/internal/store"
)

// signedOut tells the server what a provider says.
func (w *world) signedOut(name string, form url.Values) (status int) {
	w.t.Helper()
	res, err := w.http.Client().PostForm(w.http.URL+"/logout/v1/"+name, form)
	check(w.t, err)
	defer res.Body.Close()
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		w.t.Errorf("Cache-Control: %q", got)
	}
	return res.StatusCode
}

// TestSignedOutAtProvider: a provider's word ends the sessions that came from it, once,
// and no other; what is held goes on.
func TestSignedOutAtProvider(t *testing.T) {
	w := begin(t)
	admin := w.first()
	idp := w.withProvider(admin, "corp", `create: "yes"`)
	mira := w.browser()
	mira.signIn("corp", "/")
	word := func(jti string, bend func(map[string]any)) url.Values {
		c := map[string]any{"iss": idp.URL, "aud": idp.ClientID, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "jti": jti, "sub": "subject-1",
			"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
		if bend != nil {
			bend(c)
		}
		return url.Values{"logout_token": {idp.Sign(c)}}
	}
	live := func() (n int) {
		t.Helper()
		for _, l := range w.logins("user:mira") {
			if !l.Revoked {
				n++
			}
		}
		return n
	}
	if live() != 1 {
		t.Fatalf("%d sessions", live())
	}
	other := oidctest.Start(t)
	for name, c := range map[string]struct {
		at   string
		form url.Values
	}{
		"no token":            {"corp", url.Values{}},
		"two tokens":          {"corp", url.Values{"logout_token": {word("x1", nil).Get("logout_token"), word("x2", nil).Get("logout_token")}}},
		"another audience":    {"corp", word("x3", func(c map[string]any) { c["aud"] = "other" })},
		"a nonce":             {"corp", word("x4", func(c map[string]any) { c["nonce"] = "n" })},
		"another provider's":  {"corp", url.Values{"logout_token": {other.Sign(map[string]any{"iss": other.URL, "aud": "stint"})}}},
		"no such provider":    {"none", word("x5", nil)},
		"another integration": {"corp/x", word("x6", nil)},
		"rubbish":             {"corp", url.Values{"logout_token": {strings.Repeat("a", 200<<10)}}},
	} {
		if status := w.signedOut(c.at, c.form); status != http.StatusBadRequest || live() != 1 {
			t.Errorf("%s: %d, %d sessions", name, status, live())
		}
	}
	if status := w.signedOut("corp", word("j0", func(c map[string]any) { c["sub"] = "nobody" })); status != http.StatusOK || live() != 1 {
		t.Errorf("somebody else: %d, %d sessions", status, live())
	}
	if status := w.signedOut("corp", word("j1", nil)); status != http.StatusOK || live() != 0 {
		t.Errorf("signed out: %d, %d sessions", status, live())
	}
	again := w.browser()
	again.signIn("corp", "/")
	if status := w.signedOut("corp", word("j1", nil)); status != http.StatusBadRequest || live() != 1 {
		t.Errorf("replayed: %d, %d sessions", status, live())
	}
}

// logins are all of a principal.
func (w *world) logins(id access.PrincipalID) (all []access.Login) {
	w.t.Helper()
	check(w.t, w.store.View(w.t.Context(), func(tx *store.Tx) (err error) { all, err = tx.Logins(id); return err }))
	return all
}
