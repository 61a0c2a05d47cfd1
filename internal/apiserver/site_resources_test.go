package apiserver

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"stint/internal/access"

	"stint/internal/api"
	"stint/internal/connector"
	"stint/internal/envelope"
)

// TestResourcePages goes from the wizard to a resource that is checked, edited, surveyed,
// and whose standing privilege becomes one that is asked for; and nobody does by a page
// what the API refuses them.
func TestResourcePages(t *testing.T) {
	f := &target{accounts: map[string]string{}}
	w, admin := populated(t, func(c *Config) { c.Broker.Connectors["fake"] = f })
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	root, mira := w.guest("root"), w.guest("mira")
	const password = "correct-horse-battery-staple"

	form := root.get("/resources/new?type=fake").want(t, http.StatusOK, "Nothing is kept until the live check has passed").form()
	form.Set("name", "shop")
	form.Set("address", "127.0.0.1:7")
	form.Set("username", "stint")
	form.Set("groups", "shop_read")
	form.Set("who", "group:platform")
	form.Set("owners", "user:root")
	form.Set("labels", "env=prod, team=shop")
	for k, v := range map[string]string{"criticality": "high", "role": "reader", "longest": "4h", "approve": "yes"} {
		form.Set(k, v)
	}
	form.Set("act", "probe")
	for _, who := range []*guest{mira} {
		p := who.post("/resources/new", form).want(t, http.StatusForbidden)
		if strings.Contains(p.text, password) {
			t.Error("the password is in a refusal")
		}
		who.get("/resources/new").want(t, http.StatusForbidden)
		who.get("/resources").want(t, http.StatusForbidden)
		who.get("/resources/db").want(t, http.StatusForbidden)
		who.get("/standing").want(t, http.StatusForbidden)
		who.get("/start").want(t, http.StatusForbidden)
		who.post("/start/away", nil).want(t, http.StatusForbidden)
		for _, act := range []string{"check", "survey", "edit", "eligible"} {
			who.post("/resources/db/"+act, url.Values{"text": {"kind: Policy"}}).want(t, http.StatusForbidden)
		}
	}
	root.post("/resources/new", form).want(t, http.StatusUnprocessableEntity, "a user name and a password are needed", "shop_read")
	form.Set("password", password)
	if p := root.post("/resources/new", form).want(t, http.StatusOK, "The check passed", "127.0.0.1:7"); strings.Contains(p.text, password) {
		t.Error("the password is on the form")
	}
	if _, err := admin.Resource(t.Context(), "shop"); err == nil {
		t.Error("checked only, and added")
	}
	form.Set("act", "add")
	bad := url.Values{}
	for k, v := range form {
		bad[k] = v
	}
	bad.Set("longest", "never")
	root.post("/resources/new", bad).want(t, http.StatusUnprocessableEntity, "shop_read")
	bad.Set("longest", "4h")
	bad.Set("name", "db")
	root.post("/resources/new", bad).want(t, http.StatusConflict, "there is a resource of this name already")
	bad.Set("name", "other")
	bad.Set("credential", "login")
	root.post("/resources/new", bad).want(t, http.StatusConflict, "bound to another address")
	have, err := admin.ListCredentials(t.Context(), api.List{})
	check(t, err)
	if len(have.Items) != 1 {
		t.Errorf("credentials of what was never added: %+v", have.Items)
	}
	if to := root.post("/resources/new", form).want(t, http.StatusSeeOther).header.Get("Location"); to != "/resources/shop" {
		t.Errorf("sent to %q", to)
	}
	root.get("/resources/shop").want(t, http.StatusOK, "The check passed", "shop-reader", "with approval", "team=shop", "Nobody holds it through Stint right now.")
	root.get("/resources").want(t, http.StatusOK, "shop", "db", "Never checked")
	root.get("/resources?view=unchecked&q=db").want(t, http.StatusOK, "/resources/db")
	if p := root.get("/resources?q=team%3Dshop").want(t, http.StatusOK, "/resources/shop"); strings.Contains(p.text, "/resources/db") {
		t.Error("what does not match is listed")
	}
	root.post("/resources/db/check", nil).want(t, http.StatusSeeOther)
	root.get("/resources?view=unchecked").want(t, http.StatusOK, "No resource matches")

	root.post("/resources/shop/edit", url.Values{"owners": {"user:root, group:dba"}, "criticality": {"low"}, "labels": {"env=lab"}}).want(t, http.StatusSeeOther)
	r, err := admin.Resource(t.Context(), "shop")
	check(t, err)
	if r.Criticality != "low" || len(r.Owners) != 2 || len(r.Labels) != 1 || r.Labels["env"] != "lab" || r.Address != "127.0.0.1:7" {
		t.Errorf("edited: %+v", r)
	}
	root.post("/resources/shop/edit", url.Values{"owners": {"nobody at all"}, "criticality": {"low"}, "labels": {"x"}}).want(t, http.StatusUnprocessableEntity, "nobody at all", "a label is name=value")

	f.mu.Lock()
	f.stands = []connector.Stand{{Account: "mira", Privilege: "member of shop_read", Kind: access.StandingMember, Right: "shop_read", Undo: `REVOKE shop_read FROM mira`},
		{Account: "old <b>boss</b>", Privilege: "superuser", Kind: access.StandingPower, Undo: "ALTER ROLE boss NOSUPERUSER", Note: "look first"}}
	f.mu.Unlock()
	root.post("/resources/shop/survey", nil).want(t, http.StatusSeeOther)
	root.get("/resources/shop").want(t, http.StatusOK, "REVOKE shop_read FROM mira", "old &lt;b&gt;boss&lt;/b&gt;", "2 standing privileges of 2 accounts")
	root.get("/standing").want(t, http.StatusOK, "shop", "superuser")
	root.get("/resources?view=standing").want(t, http.StatusOK, "/resources/shop")
	at := "/resources/shop/eligible?" + url.Values{"account": {"mira"}, "privilege": {"member of shop_read"}}.Encode()
	_, text, _ := strings.Cut(root.get(at).want(t, http.StatusOK, "user:mira", "shop-reader", "REVOKE shop_read FROM mira").text, "<textarea")
	_, text, _ = strings.Cut(text, ">")
	text, _, _ = strings.Cut(text, "</textarea>")
	root.post("/resources/shop/eligible", url.Values{"account": {"mira"}, "privilege": {"member of shop_read"}, "text": {html.UnescapeString(text)}}).want(t, http.StatusSeeOther)
	can, err := admin.WhoCan(t.Context(), "shop", "", api.List{})
	check(t, err)
	found := false
	for _, x := range can.Items {
		found = found || x.Principal == "user:mira" && x.Role == "shop-reader"
	}
	if !found {
		t.Errorf("who can: %+v", can.Items)
	}
	broken := url.Values{"account": {"mira"}, "privilege": {"member of shop_read"}, "text": {"kind: Policy\nname: x\nwrong: y\n"}}
	root.post("/resources/shop/eligible", broken).want(t, http.StatusUnprocessableEntity, "wrong: y")
	root.get("/resources/shop/eligible?account=nobody").want(t, http.StatusNotFound)
	list, err := admin.Standing(t.Context(), api.StandingList{Resource: "shop"})
	if err != nil || len(list.Items) != 2 || list.Items[0].Undo == "" {
		t.Errorf("by the API: %+v, %v", list, err)
	}
	one, err := admin.Standing(t.Context(), api.StandingList{Resource: "shop", List: api.List{Limit: 1}})
	if err != nil || len(one.Items) != 1 || one.Next == "" {
		t.Errorf("a page: %+v, %v", one, err)
	} else if two, err := admin.Standing(t.Context(), api.StandingList{Resource: "shop", List: api.List{Cursor: one.Next}}); err != nil || len(two.Items) != 1 || two.Items[0].Account == one.Items[0].Account {
		t.Errorf("the next page: %+v, %v", two, err)
	}
	root.get("/standing?after=%21%21").want(t, http.StatusUnprocessableEntity)

	p := root.get("/start").want(t, http.StatusOK, "Getting started", "A first resource, and its check passed", "Two people can approve")
	if !strings.Contains(p.text, "of 6 done") {
		t.Errorf("the list: %s", p.text)
	}
	root.get("/").want(t, http.StatusOK, "/start")
	root.post("/start/away", nil).want(t, http.StatusSeeOther)
	if p := root.get("/").want(t, http.StatusOK, "/resources"); strings.Contains(p.text, `href="/start"`) {
		t.Error("what was put away is in the rail")
	}
	root.get("/start").want(t, http.StatusOK, "Getting started")
	if p := mira.get("/").want(t, http.StatusOK); strings.Contains(p.text, `href="/resources"`) {
		t.Error("a rail has what its reader may not see")
	}

	if strings.Contains(w.log.String(), password) {
		t.Error("the password is in the log")
	}
	recs, err := w.server.audit.Records(t.Context(), LogQuery{After: -1, Limit: 1000})
	check(t, err)
	for _, r := range recs {
		if strings.Contains(string(r.Encoded), password) {
			t.Errorf("the password is in the audit log: %s", r.Encoded)
		}
	}
}

// TestWithField changes one field of a document's own level, whatever its form, or nothing.
func TestWithField(t *testing.T) {
	const doc = "kind: Resource\nname: db\nlabels:\n  env: prod\n  owners: not these\nowners:\n- user:a\n- user:b\ncriticality: high # for now\nconnection: {address: x}\n"
	for _, c := range []struct{ text, key, value, want string }{
		{doc, "owners", `["user:c"]`, "kind: Resource\nname: db\nlabels:\n  env: prod\n  owners: not these\nowners: [\"user:c\"]\ncriticality: high # for now\nconnection: {address: x}\n"},
		{doc, "labels", `{}`, "kind: Resource\nname: db\nlabels: {}\nowners:\n- user:a\n- user:b\ncriticality: high # for now\nconnection: {address: x}\n"},
		{"kind: Resource\nname: db\n", "criticality", `"low"`, "kind: Resource\nname: db\ncriticality: \"low\"\n"},
	} {
		if got, ok := withField(c.text, c.key, c.value); !ok || got != c.want {
			t.Errorf("%s: %v\n%s", c.key, ok, got)
		}
	}
	if _, ok := withField("{kind: Resource, name: db}", "owners", "[]"); ok {
		t.Error("a document in one line was edited")
	}
}

// TestHostInWizard: for a host the form asks for no login and keeps none; its page says how
// the host gets its agent, to administrators, until it has one.
func TestHostInWizard(t *testing.T) {
	w, admin := populated(t)
	w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	root := w.guest("root")
	p := root.get("/resources/new?type=hosted").want(t, http.StatusOK, "Stint signs in nowhere")
	if strings.Contains(p.text, `name="password"`) || strings.Contains(p.text, `name="username"`) {
		t.Error("it asks for a login")
	}
	form := p.form()
	for k, v := range map[string]string{"name": "web1", "address": "web1:22", "criticality": "low", "owners": "user:mira", "credential": "smuggled", "act": "probe"} {
		form.Set(k, v)
	}
	root.post("/resources/new", form).want(t, http.StatusUnprocessableEntity, "once its agent is enrolled")
	form.Set("act", "add")
	if to := root.post("/resources/new", form).want(t, http.StatusSeeOther).header.Get("Location"); to != "/resources/web1" {
		t.Errorf("sent to %q", to)
	}
	r, err := admin.Resource(t.Context(), "web1")
	check(t, err)
	if r.Address != "web1:22" {
		t.Errorf("%+v", r)
	}
	root.get("/resources/web1").want(t, http.StatusOK, "stint admin host enroll web1", "stint-agent enroll --server http", "none is enrolled")
	if p := w.guest("mira").get("/resources/web1").want(t, http.StatusOK, "none is enrolled"); strings.Contains(p.text, "stint admin host enroll") {
		t.Error("an owner is told to do what is an administrator's")
	}
	code, err := admin.EnrollHost(t.Context(), "web1")
	check(t, err)
	own := w.client()
	line, key := sshPublic(t)
	_, err = own.EnrollAsHost(t.Context(), api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), HostAsk: api.HostAsk{Nonce: envelope.NewID(), SSHKeys: []string{line}}})
	check(t, err)
	if p := root.get("/resources/web1").want(t, http.StatusOK, "enrolled, and asks for orders", ssh.FingerprintSHA256(key)); strings.Contains(p.text, "stint-agent enroll") {
		t.Error("it says how to enrol what is enrolled")
	}
}
