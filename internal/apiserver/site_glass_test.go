package apiserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"stint/internal/api"
)

// TestBreakGlassOnPage goes from a no to the closed review on pages alone.
func TestBreakGlassOnPage(t *testing.T) {
	w, admin := openHouse(t)
	w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	w.as(admin, api.UserAdd{Name: "omar", Groups: []string{"dba"}}) // who owns it
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	gus, omar, mira, root := w.guest("gus"), w.guest("omar"), w.guest("mira"), w.guest("root")

	// Nobody has it by default, and nobody is shown the way.
	if p := gus.get("/break-glass").want(t, http.StatusOK, "Nothing is open to you in an emergency."); strings.Contains(p.text, `href="/break-glass"`) {
		t.Error("the rail leads somebody to what is not open to them")
	}
	_, err := admin.Apply(t.Context(), api.Apply{Files: []api.File{{Name: "glass.yaml", Text: emergencyPolicy + "require: {reason: {minLength: 10}, maxDuration: 30m}\n"}}})
	check(t, err)
	mira.get("/break-glass?resource="+resourceOf).want(t, http.StatusOK, "Nothing is open to you in an emergency.")
	gus.get("/").want(t, http.StatusOK, `href="/break-glass"`)
	gus.get("/break-glass?q=nothing+like+it").want(t, http.StatusOK, "Nothing that you can break the glass for matches.")
	gus.get("/break-glass").want(t, http.StatusOK, "resource="+resourceOf)

	// From a no, there.
	form := gus.askForm(resourceOf, "what I typed")
	form.Set("other", "3h")
	form.Set("act", "preview")
	gus.post("/request", form).want(t, http.StatusOK, "This is not open to you", "/break-glass?resource="+resourceOf)
	form.Set("act", "send")
	gus.get(gus.post("/request", form).want(t, http.StatusSeeOther).header.Get("Location")).want(t, http.StatusOK, "Denied", "/break-glass?resource="+resourceOf)

	p := gus.get("/break-glass?resource="+resourceOf+"&reason=planted").want(t, http.StatusOK, "What will happen", "omar", "30 min", "Type "+resourceOf+" to confirm", "stint break-glass "+resourceOf)
	if strings.Contains(p.text, "planted</textarea>") || strings.Contains(p.text, "--why planted") {
		t.Error("a reason came by the address")
	}
	glass := p.form()
	glass.Set("role", "reader")
	glass.Set("for", "30m")
	glass.Set("reason", `<b>x</b>`)
	none := func(when string) {
		t.Helper()
		if all, err := admin.Reviews(t.Context(), api.ReviewList{}); err != nil || len(all.Items) != 0 {
			t.Errorf("%s: the glass is broken: %+v, %v", when, all.Items, err)
		}
	}
	glass.Set("typed", "another")
	gus.post("/break-glass", glass).want(t, http.StatusUnprocessableEntity, "this is not "+resourceOf, "&lt;b&gt;x&lt;/b&gt;", `aria-invalid="true"`)
	glass.Set("typed", resourceOf)
	before, err := admin.Requests(t.Context(), api.RequestList{})
	check(t, err)
	gus.post("/break-glass", glass).want(t, http.StatusUnprocessableEntity, "&lt;b&gt;x&lt;/b&gt;", "say a little more")
	if after, err := admin.Requests(t.Context(), api.RequestList{}); err != nil || len(after.Items) != len(before.Items) {
		t.Errorf("a form that lacked words made a request: %v", err)
	}
	glass.Set("reason", "<b>checkout</b> is down, stuck locks")
	glass.Set("other", "61m")
	gus.post("/break-glass", glass).want(t, http.StatusUnprocessableEntity, "&lt;b&gt;checkout&lt;/b&gt;", `value="61m"`)
	glass.Set("other", "")
	none("refused")
	mira.post("/break-glass", glass).want(t, http.StatusSeeOther) // as the API: a denied request, and no access
	none("of somebody else")
	gus.origin = "https://evil.example"
	gus.post("/break-glass", glass).want(t, http.StatusForbidden)
	gus.origin = ""
	none("of another origin")

	to := gus.post("/break-glass", glass).want(t, http.StatusSeeOther).header.Get("Location")
	if again := gus.post("/break-glass", glass).want(t, http.StatusSeeOther).header.Get("Location"); again != to {
		t.Errorf("the same form again broke another glass: %s and %s", to, again)
	}
	gus.get(to).want(t, http.StatusOK, "break-glass")
	gus.until("/", "stint db "+resourceOf)

	all, err := admin.Reviews(t.Context(), api.ReviewList{State: "open"})
	check(t, err)
	if len(all.Items) != 1 {
		t.Fatalf("the reviews: %+v", all.Items)
	}
	at := "/reviews/" + all.Items[0].ID
	mira.get(at).want(t, http.StatusNotFound)
	mira.get("/reviews").want(t, http.StatusOK, "No review is open.")
	gus.get("/reviews").want(t, http.StatusOK, "gus broke the glass", "&lt;b&gt;checkout&lt;/b&gt;")
	if p := gus.get(at).want(t, http.StatusOK, "Another person closes it"); strings.Contains(p.text, "/close") {
		t.Error("who broke the glass has a form to close its review")
	}
	for _, who := range []*guest{omar, root} {
		who.get("/").want(t, http.StatusOK, `href="/reviews"`, `class="badge"`)
		who.get("/reviews").want(t, http.StatusOK, "yours to close", at)
	}
	omar.get(at).want(t, http.StatusOK, "Access was there", "The access has not ended")
	finding := url.Values{"finding": {"justified"}, "note": {"two <i>locks</i> were cleared"}}
	gus.post(at+"/close", finding).want(t, http.StatusForbidden, "nobody reviews what they did themselves")
	mira.post(at+"/close", finding).want(t, http.StatusNotFound)
	omar.post(at+"/close", url.Values{"finding": {"justified"}}).want(t, http.StatusUnprocessableEntity, "write down what you found")
	omar.post(at+"/close", url.Values{"note": {"what I wrote"}}).want(t, http.StatusUnprocessableEntity, "what I wrote</textarea>", "a finding is justified")
	omar.post(at+"/close", url.Values{"finding": {"drill"}, "note": {"x"}}).want(t, http.StatusUnprocessableEntity, "this was no drill")
	gus.post(to+"/end", nil).want(t, http.StatusSeeOther)
	omar.until(at, "Read back as gone")
	omar.post(at+"/close", finding).want(t, http.StatusSeeOther)
	root.post(at+"/close", finding).want(t, http.StatusConflict, "closed already")
	omar.get(at).want(t, http.StatusOK, "omar found it justified", "two &lt;i&gt;locks&lt;/i&gt;")
	omar.get("/reviews").want(t, http.StatusOK, "No review is open.")
	omar.get("/reviews?tab=closed").want(t, http.StatusOK, at, "justified")
	if p := omar.get("/"); strings.Contains(p.text, `class="badge"`) {
		t.Error("a closed review still counts")
	}
}
