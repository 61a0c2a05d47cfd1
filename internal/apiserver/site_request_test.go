package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/ident"
	"stint/internal/passkey/passkeytest"
	"stint/internal/web"
)

// askVault has gus ask for what a policy wants a signature for.
func askVault(t testing.TB, gus *api.Client, reason string) api.Request {
	t.Helper()
	r, err := gus.Submit(t.Context(), api.Ask{Resource: "vault", Role: "opener", Duration: "30m", Reason: reason}, api.Wait{})
	check(t, err)
	if r.State != api.RequestPending {
		t.Fatalf("submitted: %+v", r)
	}
	return r
}

// ballot is the form of a request's page, filled in with a yes.
func (g *guest) ballot(id string) url.Values {
	g.w.t.Helper()
	p := g.get("/r/"+id).want(g.w.t, http.StatusOK)
	form := p.form()
	form.Set("answer", "approve")
	form["right"] = []string{"vault_read", "vault_write"}
	return form
}

// approves signs what the form says and sends it.
func (g *guest) approves(id string, form url.Values, bends ...passkeytest.Bend) shown {
	g.w.t.Helper()
	p, s := g.ask("/r/"+id+"/ask", form)
	if s.Get == nil {
		return p
	}
	form.Set("proof", proofOf(g.w.t, g.uses(s.Get.Challenge, bends...)))
	return g.post("/r/"+id+"/decide", form)
}

// TestDecidePage approves on the page by passkey; what it says is in the log, and verifies.
func TestDecidePage(t *testing.T) {
	w, admin, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "passkey")}, "omar")
	omar := all["omar"]
	gus := w.as(admin, api.UserAdd{Name: "gus"})
	const nasty = `<script>alert(1)</script>" onmouseover="x`
	r := askVault(t, gus, nasty)
	p := omar.get("/r/"+r.ID).want(t, http.StatusOK, "&lt;script&gt;alert(1)", "gus asks for opener on vault", "You confirm with your passkey", "Why am I asked?", "first time", "sensitive", "not recorded", "by passkey", "high")
	if strings.Contains(p.text, "<script>alert") || strings.Contains(p.text, `" onmouseover="`) {
		t.Error("the reason is markup")
	}
	csp := p.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "trusted-types htmx", "script-src 'nonce-"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy lacks %s: %s", want, csp)
		}
	}
	if p.header.Get("X-Frame-Options") != "DENY" || p.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", p.header)
	}
	omar.get("/requests").want(t, http.StatusOK, "asks for", r.ID)

	form := omar.ballot(r.ID)
	omar.post("/r/"+r.ID+"/decide", form).want(t, http.StatusForbidden, "passkey") // without one
	form.Set("for", "10m")
	form["right"] = []string{"vault_read"}
	form.Set("note", "seals only")
	to := omar.approves(r.ID, form).want(t, http.StatusSeeOther)
	if to.header.Get("Location") != "/r/"+r.ID {
		t.Errorf("sent to %q", to.header.Get("Location"))
	}
	r, err := gus.Request(t.Context(), r.ID, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	if r.State != api.RequestApproved || r.Granted != "10m" || r.Votes[0].Level != "passkey" || r.Votes[0].Passkey != omar.id || strings.Join(r.Votes[0].Rights, ",") != "vault_read" {
		t.Errorf("approved: %+v", r)
	}
	omar.get("/r/"+r.ID).want(t, http.StatusOK, "signed by a passkey", "seals only", "approved")
	omar.post("/r/"+r.ID+"/decide", form).want(t, http.StatusConflict, "approved already")
	if report := w.verified(t, admin); len(report.Problems) > 0 || report.Votes != 1 {
		t.Errorf("the log: %+v", report)
	}

	// Who asked sees how it stands, and ends it.
	mine := w.guest("gus")
	mine.get("/r/"+r.ID).want(t, http.StatusOK, "Active until", "End it now")
	mine.get("/requests?tab=own").want(t, http.StatusOK, r.ID, "active until")
	omar.get("/r/"+r.ID+"/end").want(t, http.StatusNotFound) // no GET ends anything
	mine.post("/r/"+r.ID+"/end", nil).want(t, http.StatusSeeOther)
	if r, err = gus.Request(t.Context(), r.ID, api.Wait{For: api.Ended, Time: 20 * time.Second}); err != nil || r.Grant.EndReason != api.EndReturned {
		t.Errorf("given back: %+v, %v", r.Grant, err)
	}

	// A no takes no passkey, but a word. A question and its answer are part of neither.
	no := askVault(t, gus, "again")
	omar.post("/r/"+no.ID+"/remark", url.Values{"text": {"which <seals>?"}}).want(t, http.StatusSeeOther)
	mine.get("/r/"+no.ID).want(t, http.StatusOK, "which &lt;seals&gt;?", "Your answer")
	omar.post("/r/"+no.ID+"/remark", url.Values{"text": {"mine"}, "kind": {"answer"}}).want(t, http.StatusForbidden)
	mine.post("/r/"+no.ID+"/remark", url.Values{"text": {"all of them"}, "kind": {"answer"}}).want(t, http.StatusSeeOther)
	omar.get("/r/"+no.ID).want(t, http.StatusOK, "all of them")
	omar.post("/r/"+no.ID+"/decide", url.Values{"answer": {"deny"}, "digest": {no.Digest}}).want(t, http.StatusUnprocessableEntity, "note")
	omar.post("/r/"+no.ID+"/decide", url.Values{"answer": {"deny"}, "digest": {no.Digest}, "note": {"not today"}}).want(t, http.StatusSeeOther)
	mine.get("/r/"+no.ID).want(t, http.StatusOK, "Denied", "not today")
	back := askVault(t, gus, "once more")
	omar.post("/r/"+back.ID+"/withdraw", nil).want(t, http.StatusForbidden)
	mine.post("/r/"+back.ID+"/withdraw", nil).want(t, http.StatusSeeOther)
	mine.get("/r/"+back.ID).want(t, http.StatusOK, "Withdrawn")
}

// TestHostileDecision has yeses that nobody who is asked has given.
func TestHostileDecision(t *testing.T) {
	w, admin, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "passkey")}, "omar", "olga")
	omar, olga := all["omar"], all["olga"]
	gus := w.as(admin, api.UserAdd{Name: "gus"})
	check(t, func() error { _, err := admin.AddUser(t.Context(), api.UserAdd{Name: "eve"}); return err }())
	for what, attack := range map[string]func(t *testing.T, r api.Request) shown{
		"the assertion of another request": func(t *testing.T, r api.Request) shown {
			other := askVault(t, gus, "another")
			_, s := omar.ask("/r/"+other.ID+"/ask", omar.ballot(other.ID))
			form := omar.ballot(r.ID)
			form.Set("proof", proofOf(t, omar.uses(s.Get.Challenge)))
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"another request's digest": func(t *testing.T, r api.Request) shown {
			other := askVault(t, gus, "another")
			form := omar.ballot(other.ID)
			if p, s := omar.ask("/r/"+r.ID+"/ask", form); s.Get != nil {
				return p
			}
			form.Set("proof", proofOf(t, omar.uses(make([]byte, 32))))
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"no digest": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			_, s := omar.ask("/r/"+r.ID+"/ask", form)
			form.Set("proof", proofOf(t, omar.uses(s.Get.Challenge)))
			form.Del("digest")
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"another's passkey": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			_, s := omar.ask("/r/"+r.ID+"/ask", form)
			form.Set("proof", proofOf(t, olga.uses(s.Get.Challenge)))
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"another's session with one's own passkey": func(t *testing.T, r api.Request) shown {
			form := olga.ballot(r.ID)
			_, s := olga.ask("/r/"+r.ID+"/ask", form)
			form.Set("proof", proofOf(t, omar.uses(s.Get.Challenge)))
			return olga.post("/r/"+r.ID+"/decide", form)
		},
		"longer than was signed": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			form.Set("for", "5m")
			_, s := omar.ask("/r/"+r.ID+"/ask", form)
			form.Set("proof", proofOf(t, omar.uses(s.Get.Challenge)))
			form.Set("for", "25m")
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"more rights than were signed": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			form["right"] = []string{"vault_read"}
			_, s := omar.ask("/r/"+r.ID+"/ask", form)
			form.Set("proof", proofOf(t, omar.uses(s.Get.Challenge)))
			form["right"] = []string{"vault_read", "vault_write"}
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"a word that was not signed": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			_, s := omar.ask("/r/"+r.ID+"/ask", form)
			form.Set("proof", proofOf(t, omar.uses(s.Get.Challenge)))
			form.Set("note", "agreed with security")
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"by a page of another origin": func(t *testing.T, r api.Request) shown {
			return omar.approves(r.ID, omar.ballot(r.ID), passkeytest.Bend{Origin: "https://evil.example"})
		},
		"in a frame": func(t *testing.T, r api.Request) shown {
			return omar.approves(r.ID, omar.ballot(r.ID), passkeytest.Bend{More: `,"crossOrigin":true`})
		},
		"nobody verified": func(t *testing.T, r api.Request) shown {
			return omar.approves(r.ID, omar.ballot(r.ID), passkeytest.Bend{Flags: 0x01})
		},
		"a sign-in's signature": func(t *testing.T, r api.Request) shown {
			_, challenge := omar.entry(w.browser())
			form := omar.ballot(r.ID)
			form.Set("proof", proofOf(t, omar.uses(challenge)))
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"no right chosen": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			form.Del("right")
			p, _ := omar.ask("/r/"+r.ID+"/ask", form)
			return p
		},
		"garbage": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			form.Set("proof", `[{"more":1}]`)
			return omar.post("/r/"+r.ID+"/decide", form)
		},
		"who asked": func(t *testing.T, r api.Request) shown {
			form := url.Values{"answer": {"approve"}, "digest": {r.Digest}}
			return w.guest("gus").post("/r/"+r.ID+"/decide", form)
		},
		"a stranger": func(t *testing.T, r api.Request) shown {
			eve := w.guest("eve")
			eve.get("/r/"+r.ID).want(t, http.StatusNotFound)
			return eve.post("/r/"+r.ID+"/decide", url.Values{"answer": {"approve"}, "digest": {r.Digest}})
		},
		"from another site": func(t *testing.T, r api.Request) shown {
			form := omar.ballot(r.ID)
			_, s := omar.ask("/r/"+r.ID+"/ask", form)
			form.Set("proof", proofOf(t, omar.uses(s.Get.Challenge)))
			omar.origin = "https://evil.example"
			defer func() { omar.origin = "" }()
			return omar.post("/r/"+r.ID+"/decide", form)
		},
	} {
		t.Run(what, func(t *testing.T) {
			r := askVault(t, gus, what)
			p := attack(t, r)
			if p.status < 400 || p.status >= 500 {
				t.Errorf("answers %d: %s", p.status, p.text)
			}
			r, err := gus.Request(t.Context(), r.ID, api.Wait{})
			check(t, err)
			if r.State != api.RequestPending || len(r.Votes) > 0 {
				t.Errorf("%s: %+v", r.State, r.Votes)
			}
			_, err = gus.Cancel(t.Context(), r.ID)
			check(t, err)
		})
	}
	if report := w.verified(t, admin); len(report.Problems) > 0 || report.Votes != 0 {
		t.Errorf("the log: %+v", report)
	}
}

// TestCriticalOnPages has the page say that it is not the place for a yes.
func TestCriticalOnPages(t *testing.T) {
	w, admin, all := keyed(t, []string{fmt.Sprintf(guarded, "critical", "passkey")}, "omar")
	omar := all["omar"]
	r := askVault(t, w.as(admin, api.UserAdd{Name: "gus"}), "the seals")
	p := omar.get("/r/"+r.ID).want(t, http.StatusOK, "stint approve "+r.ID, "not on a page that comes from the server")
	if strings.Contains(p.text, `value="approve"`) {
		t.Error("the page offers a yes")
	}
	if p, s := omar.ask("/r/"+r.ID+"/ask", url.Values{"answer": {"approve"}, "digest": {r.Digest}}); p.status != http.StatusForbidden || s.Get != nil {
		t.Errorf("asked all the same: %d %+v", p.status, s)
	}
	// What a lying page had signed is of level passkey, and does not count.
	d, err := access.ParseDigest(r.Digest)
	check(t, err)
	says := access.Statement{Request: d, By: "user:omar", Person: "omar", Approve: true, Duration: 30 * time.Minute, Rights: []string{"vault_read", "vault_write"}}
	sum := says.Digest()
	form := url.Values{"answer": {"approve"}, "digest": {r.Digest}, "proof": {proofOf(t, []web.Used{omar.uses(sum[:])}...)}}
	omar.post("/r/"+r.ID+"/decide", form).want(t, http.StatusForbidden, "passkey-needed")
	omar.post("/r/"+r.ID+"/decide", url.Values{"answer": {"deny"}, "digest": {r.Digest}, "note": {"no"}}).want(t, http.StatusSeeOther)
}

// TestWhoSeesWhichPage goes to each page as nobody, and as somebody with a recovery code.
func TestWhoSeesWhichPage(t *testing.T) {
	w, admin, all := keyed(t, []string{fmt.Sprintf(guarded, "high", "console")}, "omar")
	r := askVault(t, w.as(admin, api.UserAdd{Name: "gus"}), "look")
	key := all["omar"].id
	lost := w.browser()
	l, err := w.ident.Open(t.Context(), "user:omar", access.Auth{Provider: access.ByRecovery, At: time.Now()}, ident.Browser{})
	check(t, err)
	// What happened before the login brings nothing back.
	check(t, func() error { _, err := admin.RemovePasskey(t.Context(), key, "lost"); return err }())
	lost.set(t, "stint", string(l.Token.Reveal()))
	for _, c := range []struct {
		method, path string
		recovering   bool // is let in with a recovery code
	}{
		{"GET", "/", true}, {"GET", "/signins", true}, {"GET", "/passkeys", true}, {"GET", "/passkeys/" + key, true}, {"POST", "/passkeys/ask", true},
		{"POST", "/passkeys", true}, {"GET", "/recovery", true},
		{"POST", "/passkeys/" + key + "/ask", false}, {"POST", "/passkeys/" + key + "/vouch", false}, {"POST", "/passkeys/" + key + "/remove", false},
		{"POST", "/recovery/ask", false}, {"POST", "/recovery", false}, {"GET", "/requests", false}, {"GET", "/r/" + r.ID, false}, {"POST", "/r/" + r.ID + "/ask", false},
		{"POST", "/r/" + r.ID + "/decide", false}, {"POST", "/r/" + r.ID + "/withdraw", false}, {"POST", "/r/" + r.ID + "/end", false}, {"POST", "/r/" + r.ID + "/remark", false},
		{"POST", "/messages", false}, {"GET", "/device", true}, {"POST", "/device", false}, {"POST", "/device/answer", false},
	} {
		call := func(b *browser) shown {
			if c.method == "GET" {
				return b.get(c.path)
			}
			return b.post(c.path, url.Values{"proof": {"[{}]"}, "answer": {"deny"}, "digest": {r.Digest}, "note": {"x"}})
		}
		if p := call(w.browser()); !strings.HasPrefix(p.header.Get("Location"), "/login") && p.status != http.StatusUnauthorized {
			t.Errorf("%s %s as nobody: %d", c.method, c.path, p.status)
		}
		p := call(lost)
		if only := p.status == http.StatusForbidden && strings.Contains(p.text, "for making a passkey alone"); only == c.recovering {
			t.Errorf("%s %s with a recovery code: %d %s", c.method, c.path, p.status, p.text)
		}
	}
	if r, err = admin.Request(t.Context(), r.ID, api.Wait{}); err != nil || r.State != api.RequestPending {
		t.Errorf("afterwards: %s, %v", r.State, err)
	}
}

// TestDecidePageStandsIn: who is on call, and who votes for them for a time, decide on the
// page as they do anywhere else.
func TestDecidePageStandsIn(t *testing.T) {
	files := strings.Replace(fmt.Sprintf(guarded, "high", "console"), "group:dba", "'oncall:night'", 1) +
		"---\nkind: Schedule\nname: night\noverrides: [{member: user:noor, from: \"2020-01-01 00:00\", until: \"2120-01-01 00:00\"}]\n"
	w, admin := paged(t, files)
	gus, noor := w.as(admin, api.UserAdd{Name: "gus"}), w.as(admin, api.UserAdd{Name: "noor"})
	w.as(admin, api.UserAdd{Name: "olga"})
	_, err := noor.Delegate(t.Context(), api.DelegateAsk{To: "olga", For: "1h", Why: "on leave"})
	check(t, err)
	for _, name := range []string{"noor", "olga"} {
		r := askVault(t, gus, "the night shift opens it")
		g := w.guest(name)
		g.get("/requests").want(t, http.StatusOK, "asks for", r.ID)
		g.get("/r/"+r.ID).want(t, http.StatusOK, `value="approve"`)
		g.post("/r/"+r.ID+"/decide", g.ballot(r.ID)).want(t, http.StatusSeeOther)
		if r, err = gus.Request(t.Context(), r.ID, api.Wait{For: api.Ready, Time: 20 * time.Second}); err != nil || r.State != api.RequestApproved {
			t.Errorf("%s approved, and it is %s, %v", name, r.State, err)
		}
	}
}
