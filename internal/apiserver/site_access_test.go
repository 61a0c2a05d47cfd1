package apiserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

// openHouse is one database that platform reads at once and guests with a yes of a dba.
func openHouse(t *testing.T) (w *world, admin *api.Client) {
	t.Helper()
	return populated(t)
}

// resourceOf is the one resource of the documents of a populated world.
const resourceOf = "db"

// askForm is what the page of a wish holds, filled in.
func (g *guest) askForm(resource, reason string) url.Values {
	g.w.t.Helper()
	form := g.get("/request?resource="+resource).want(g.w.t, http.StatusOK, "As a command").form()
	form.Set("role", "reader")
	form.Set("for", "15m")
	form.Set("reason", reason)
	return form
}

// TestAskOnPage goes all the way on pages alone: found, foreseen, asked, held, extended,
// given back, and read back as gone.
func TestAskOnPage(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}}) // on a device of hers, too
	mira := w.guest("mira")
	mira.get("/").want(t, http.StatusOK, "You hold no privileges right now.", "That is the goal.")
	mira.get("/request").want(t, http.StatusOK, resourceOf)
	mira.get("/request?q=nothing+like+it").want(t, http.StatusOK, "Nothing that is open to you matches.")

	const nasty = `check '"><script>alert(1)</script> order` + "\x1b[201~"
	form := mira.askForm(resourceOf, nasty)
	form.Set("act", "preview")
	p := mira.post("/request", form).want(t, http.StatusOK, "You get this at once", "stint request "+resourceOf, "&lt;script&gt;alert(1)")
	if strings.Contains(p.text, "<script>alert") || strings.Contains(p.text, "\x1b") && strings.Contains(p.text, "data-copy=\"stint request "+resourceOf+" --as reader --for 15m --why 'check '\x1b") {
		t.Error("the reason is markup, or keys for a terminal")
	}
	if all, err := admin.Requests(t.Context(), api.RequestList{}); err != nil || len(all.Items) != 0 {
		t.Fatalf("a preview asked: %+v, %v", all.Items, err)
	}
	form.Set("act", "send")
	mira.post("/request", form).want(t, http.StatusUnprocessableEntity, "control or invisible character")
	form.Set("reason", "check order 4711")
	to := mira.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location")
	again := mira.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location")
	if id := strings.TrimPrefix(to, "/r/"); id == to || again != to {
		t.Errorf("sent to %q, and the same form again to %q", to, again)
	}
	form.Set("reason", "another one altogether")
	if other := mira.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location"); other == to {
		t.Error("what was changed on the form was taken for the same")
	} else {
		mira.post(other+"/end", nil).want(t, http.StatusSeeOther)
	}

	id := strings.TrimPrefix(to, "/r/")
	page := mira.until("/", "stint db "+resourceOf)
	for _, want := range []string{"automatic, by at-once", "data-ends=", "Extend 15 min", "End now"} {
		if !strings.Contains(page.text, want) {
			t.Errorf("the page does not say %q: %s", want, page.text)
		}
	}
	// No GET changes anything, nor does a page of another origin.
	for _, at := range []string{"/end", "/extend", "/withdraw"} {
		mira.get("/r/"+id+at).want(t, http.StatusNotFound)
		mira.origin = "https://evil.example"
		mira.post("/r/"+id+at, url.Values{"for": {"15m"}}).want(t, http.StatusForbidden)
		mira.origin = ""
	}
	r, err := admin.Request(t.Context(), id, api.Wait{})
	check(t, err)
	before := r.Grant.ExpiresAt
	mira.post("/r/"+id+"/extend", url.Values{"for": {"15m"}}).want(t, http.StatusUnprocessableEntity, "a reason is needed")
	mira.post("/r/"+id+"/extend", url.Values{"for": {"15m"}, "why": {"it goes on"}}).want(t, http.StatusSeeOther)
	if r, err = admin.Request(t.Context(), id, api.Wait{}); err != nil || !r.Grant.ExpiresAt.After(before.Time) || r.Grant.State != api.GrantActive {
		t.Errorf("extended: %+v, %v", r.Grant, err)
	}
	if to := mira.post("/r/"+id+"/end", url.Values{"back": {"/"}}).want(t, http.StatusSeeOther).header.Get("Location"); to != "/" {
		t.Errorf("sent to %q", to)
	}
	mira.until("/", "read back as gone")
}

// until loads a page until it says something.
func (g *guest) until(at, words string) (p shown) {
	g.w.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if p = g.get(at).want(g.w.t, http.StatusOK); strings.Contains(p.text, words) {
			return p
		}
	}
	g.w.t.Fatalf("%s never says %q: %s", at, words, p.text)
	return p
}

// TestAskNeedsOthers asks for what somebody has to approve, sees whom, withdraws; and what
// is on its way to one person nobody else sees on theirs, administrators no less.
func TestAskNeedsOthers(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"dba"}})
	w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	gus, omar, root := w.guest("gus"), w.guest("omar"), w.guest("root")
	form := gus.askForm(resourceOf, "yearly <b>audit</b>")
	form.Set("act", "preview")
	gus.post("/request", form).want(t, http.StatusOK, "One person has to approve", "omar")
	form.Set("act", "send")
	to := gus.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location")
	gus.get("/").want(t, http.StatusOK, "asked: 1 of group dba", "Withdraw")
	omar.get("/requests").want(t, http.StatusOK, "<strong>gus</strong> asks for", "yearly &lt;b&gt;audit&lt;/b&gt;", "Answer by")
	for _, other := range []*guest{omar, root} {
		if p := other.get("/").want(t, http.StatusOK); strings.Contains(p.text, to) {
			t.Errorf("%s sees on their page what is gus's", other.name)
		}
	}
	omar.post(to+"/decide", url.Values{"answer": {"deny"}, "note": {"not today"}, "digest": {omar.get(to).form().Get("digest")}}).want(t, http.StatusSeeOther)
	omar.get("/requests?tab=done").want(t, http.StatusOK, to, "denied")
	gus.get("/").want(t, http.StatusOK, "denied", "Nothing is on its way")

	gus.post("/request", form).want(t, http.StatusSeeOther) // the same form finds the same request
	form.Set("key", "another")
	to = gus.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location")
	gus.post(to+"/withdraw", url.Values{"back": {"/"}}).want(t, http.StatusSeeOther)
	gus.get("/").want(t, http.StatusOK, "withdrawn")
}

// TestAskRefused keeps what was typed where it cannot be asked for, and says what to do.
func TestAskRefused(t *testing.T) {
	w, admin := openHouse(t)
	check(t, func() error {
		_, err := admin.AddUser(t.Context(), api.UserAdd{Name: "eve", Groups: []string{"guests"}})
		return err
	}())
	eve := w.guest("eve") // signed in here, and on no device
	eve.get("/request?resource="+resourceOf).want(t, http.StatusOK, "you are signed in on no device that could use it", "stint login")
	form := eve.askForm(resourceOf, "what I typed")
	form.Set("act", "send")
	eve.post("/request", form).want(t, http.StatusConflict, "what I typed", "stint login")
	form.Set("other", "1.5h")
	eve.post("/request", form).want(t, http.StatusConflict, "what I typed")

	w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	gus := w.guest("gus")
	form = gus.askForm(resourceOf, "what I typed")
	form.Set("act", "send")
	form.Set("other", "1.5h")
	gus.post("/request", form).want(t, http.StatusUnprocessableEntity, "what I typed", "fractions are not understood", `value="1.5h"`)
	form.Set("other", "3h")
	form.Set("act", "preview")
	gus.post("/request", form).want(t, http.StatusOK, "This is not open to you", "This would be allowed:")
	form.Set("other", "")
	form.Set("start", "soon")
	gus.post("/request", form).want(t, http.StatusOK, "the start is not a time")

	check(t, func() error { _, err := admin.AddUser(t.Context(), api.UserAdd{Name: "zoe"}); return err }())
	w.guest("zoe").get("/request").want(t, http.StatusOK, "Nothing is open to you yet.")
	// An address brings no reason along: others write addresses.
	if p := gus.get("/request?resource=" + resourceOf + "&reason=planted"); strings.Contains(p.text, "planted</textarea>") || strings.Contains(p.text, "--why planted") {
		t.Error("a reason came by the address")
	}
	gus.get("/request?resource=no-such&role=x&for=15m").want(t, http.StatusOK, "there is no resource")
}

// TestFavouriteOnPage keeps something under a name, and forgets it.
func TestFavouriteOnPage(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	mira := w.guest("mira")
	mira.post("/favourites", url.Values{"name": {"nightly"}, "resource": {resourceOf}, "role": {"reader"}, "for": {"30m"}}).want(t, http.StatusSeeOther)
	mira.get("/").want(t, http.StatusOK, "nightly", "/request?for=30m&amp;resource="+resourceOf+"&amp;role=reader")
	mira.post("/favourites/forget", url.Values{"name": {"nightly"}}).want(t, http.StatusSeeOther)
	if p := mira.get("/"); strings.Contains(p.text, "nightly") {
		t.Error("it was not forgotten")
	}
}

// TestStarOnPage keeps a role by its star and forgets it by it, with what was typed there
// still on the form, once however often it is pressed; and favourites come first.
func TestStarOnPage(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	mira := w.guest("mira")
	at := "/request?resource=" + resourceOf
	mira.get(at).want(t, http.StatusOK, `formaction="/favourites" name="star" value="reader"`)

	form := mira.askForm(resourceOf, "")
	form.Set("star", "reader")
	mira.post("/favourites", form).want(t, http.StatusSeeOther)
	form.Set("reason", "half a sentence")
	mira.post("/favourites", form).want(t, http.StatusOK, "half a sentence</textarea>", `name="unstar" value="`+resourceOf+`-reader"`)
	p := mira.get("/request")
	p.want(t, http.StatusOK, resourceOf+"-reader", "Favourites")
	if strings.Count(p.text, `action="/favourites/forget"`) != 1 || strings.Index(p.text, `id="kept"`) > strings.Index(p.text, `id="open"`) {
		t.Error("it is kept twice, or does not come first")
	}
	mira.get("/request?q=no-such").want(t, http.StatusOK, "Nothing that is open to you matches.")
	if p := mira.get("/request?q=no-such"); strings.Contains(p.text, `id="kept"`) {
		t.Error("what was looked for is not what is shown")
	}

	form.Set("unstar", resourceOf+"-reader")
	form.Del("star")
	mira.post("/favourites/forget", form).want(t, http.StatusOK, "half a sentence</textarea>", `name="star" value="reader"`)
	mira.post("/favourites/forget", form).want(t, http.StatusNotFound, "half a sentence</textarea>", "you have no favourite")
	form.Set("star", "no-such-role")
	mira.post("/favourites", form).want(t, http.StatusNotFound, "half a sentence</textarea>")
	form.Set("star", "reader")
	form.Set("other", "1.5h")
	mira.post("/favourites", form).want(t, http.StatusUnprocessableEntity, "half a sentence</textarea>", "fractions are not understood")
	mira.post("/favourites", url.Values{"name": {"x"}, "resource": {resourceOf}, "role": {"reader"}, "for": {"30m"}}).want(t, http.StatusSeeOther)
	mira.post("/favourites/forget", url.Values{"name": {"x"}, "back": {"/request"}}).want(t, http.StatusSeeOther)
	mira.post("/favourites/forget", url.Values{"name": {"x"}, "back": {"https://elsewhere.example"}}).want(t, http.StatusNotFound)
}
