package apiserver

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/broker"
	"stint/internal/policy"
	"stint/internal/store"
)

func codeOf(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func saidOf(ps []api.Problem) string {
	var all []string
	for _, p := range ps {
		all = append(all, p.Source+" "+p.Text+" | "+p.Next)
	}
	return strings.Join(all, "\n")
}

func (w *world) setCredential(c *api.Client, name, address string) (api.ConnectorCredential, error) {
	return c.SetCredential(w.t.Context(), name, api.CredentialSet{Type: "fake", Address: address, Username: "stint", Password: "hunter2"})
}

// TestCredentialAddress: an address that is none is refused, and one that no resource
// bears out is registered and not passed over in silence.
func TestCredentialAddress(t *testing.T) {
	w, admin := populated(t)
	for _, address := range []string{"db1", "db1:", ":5432", "db1:99999", "db1:0", "db1:05432", "https://db1:5432", "db1:5432/orders", "a b:1", "db1:5432\n", "-db1:5432", "user@db1:5432"} {
		if _, err := w.setCredential(admin, "other", address); codeOf(err) != "bad-address" {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, has := range []struct{ name, address, warning string }{
		{"login", "127.0.0.1:1", ""},
		{"login", "127.0.0.1:2", "all.yaml:2 resource db is fake at 127.0.0.1:1, and its credential \"login\" is bound to fake at 127.0.0.1:2"},
		{"logn", "127.0.0.1:1", "resource db, at that address, names the credential \"login\""},
		{"fresh", "db9:1", "no resource or integration names the credential \"fresh\" yet, so that nothing says whether db9:1 is right | check the address"},
	} {
		got, err := w.setCredential(admin, has.name, has.address)
		check(t, err)
		if said := saidOf(got.Warnings); has.warning == "" && said != "" || !strings.Contains(said, has.warning) {
			t.Errorf("%s at %s: %q, want %q", has.name, has.address, said, has.warning)
		}
	}
}

// TestApplyWarnsOfCredentials: a resource whose credential would not serve it is applied,
// and that is said; to administrators only.
func TestApplyWarnsOfCredentials(t *testing.T) {
	w, admin := populated(t)
	apply := func(c *api.Client, text string) string {
		t.Helper()
		done, err := c.Apply(t.Context(), api.Apply{DryRun: true, Files: []api.File{{Name: "a.yaml", Text: text}}})
		check(t, err)
		return saidOf(done.Warnings)
	}
	resource := func(name, credential, address string) string {
		return "kind: Resource\nname: " + name + "\ntype: fake\ncriticality: low\nconnection: {address: \"" + address + "\", credential: " + credential + "}\n"
	}
	for text, want := range map[string]string{
		resource("two", "login", "127.0.0.1:1"):  "",
		resource("two", "logni", "127.0.0.1:1"):  `a.yaml:1 resource two names the credential "logni", which is not registered | did you mean "login"?`,
		resource("two", "ledger", "127.0.0.1:1"): "stint admin credential set ledger --type fake --address 127.0.0.1:1 --username",
		resource("two", "login", "127.0.0.1:7"):  `its credential "login" is bound to fake at 127.0.0.1:1: Stint cannot sign in there`,
	} {
		if got := apply(admin, text); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s\nwarns of %q, want %q", text, got, want)
		}
	}
	_, err := admin.Apply(t.Context(), api.Apply{DryRun: true, Files: []api.File{{Name: "a.yaml", Text: strings.ReplaceAll(resource("two", "login", "127.0.0.1:1"), "type: fake", "type: faek")}}})
	if err == nil || !strings.Contains(saidOf(asError(err).Faults), `did you mean "fake"`) {
		t.Errorf("a connector that is none: %v", err)
	}
	owner := w.as(admin, api.UserAdd{Name: "omar"})
	if got := apply(owner, strings.Split(documents, "---")[0]); got != "" {
		t.Errorf("an owner is told: %q", got)
	}
}

func asError(err error) *api.Error {
	e := &api.Error{}
	errors.As(err, &e)
	return e
}

// TestCredentials: the register from registration to deletion, as its users see it.
func TestCredentials(t *testing.T) {
	w, admin := populated(t)
	ctx := t.Context()
	_, err := w.setCredential(admin, "old", "db9:1")
	check(t, err)
	page, err := admin.ListCredentials(ctx, api.List{})
	check(t, err)
	if len(page.Items) != 2 || page.Items[0].Name != "login" || strings.Join(page.Items[0].Resources, " ") != "db" || len(page.Items[1].Resources) != 0 || len(page.Items[1].Warnings) != 1 {
		t.Errorf("the list: %+v", page.Items)
	}
	r := w.raw(admin, http.MethodGet, "/v1/admin/credentials", "")
	if got := w.send(r); strings.Contains(string(got.body), "hunter2") || strings.Contains(string(got.body), "sealed") {
		t.Errorf("the list holds what is secret: %s", got.body)
	}

	for _, name := range []string{"odl", "Login", "login ", "../login", "login\x00", "%2e%2e", strings.Repeat("a", 5000), "'; DROP TABLE credentials; --"} {
		if _, err := admin.DeleteCredential(ctx, name); err == nil || codeOf(err) == "internal" {
			t.Errorf("deleting %q: %v", name, err)
		}
	}
	if _, err := admin.DeleteCredential(ctx, "odl"); codeOf(err) != "no-such-credential" || asError(err).Next != `did you mean "old"?` {
		t.Errorf("a name that is none: %v", err)
	}
	if _, err := admin.DeleteCredential(ctx, "login"); codeOf(err) != "in-use" || !strings.Contains(err.Error(), "used by resource db") {
		t.Errorf("one that a resource names: %v", err)
	}
	auditor := w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	if _, err := auditor.DeleteCredential(ctx, "old"); codeOf(err) != "not-yours" {
		t.Errorf("an auditor deletes: %v", err)
	}
	gone, err := admin.DeleteCredential(ctx, "old")
	check(t, err)
	if gone.Name != "old" || gone.Address != "db9:1" {
		t.Errorf("deleted: %+v", gone)
	}
	if _, err := admin.DeleteCredential(ctx, "old"); codeOf(err) != "no-such-credential" {
		t.Errorf("deleted twice: %v", err)
	}
	if page, err = admin.ListCredentials(ctx, api.List{}); err != nil || len(page.Items) != 1 {
		t.Errorf("afterwards: %+v, %v", page.Items, err)
	}
	check(t, w.store.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Credential("old")
		if err == nil && (len(c.Sealed) != 0 || c.Version != 2) {
			t.Errorf("what stays: %+v", c)
		}
		return err
	}))
	// The name can be given again, elsewhere, and its versions go on.
	_, err = w.setCredential(admin, "old", "db7:1")
	check(t, err)
	check(t, w.store.View(ctx, func(tx *store.Tx) error {
		c, err := tx.Credential("old")
		if err == nil && (c.Gone() || c.Version != 3 || c.Address != "db7:1") {
			t.Errorf("registered again: %+v", c)
		}
		return err
	}))
}

// TestCredentialOfLiveAccess: a resource that is deleted together with its grants still
// needs its credential, until all is read back as gone.
func TestCredentialOfLiveAccess(t *testing.T) {
	w, admin := populated(t, patient)
	ctx := t.Context()
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	r, err := mira.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
	check(t, err)
	w.until(func() bool {
		r, err = mira.Request(ctx, r.ID, api.Wait{})
		check(t, err)
		return r.Grant != nil && r.Grant.State == api.GrantActive
	})
	set, err := w.server.broker.Documents(ctx)
	check(t, err)
	empty, err := policy.Compile(nil, nil, set.Version()) // as if the resource had been deleted
	check(t, err)
	older, err := policy.Compile(nil, nil, set.Version()-1)
	check(t, err)
	if _, err := w.server.logins.Delete(ctx, access.System, true, older, "login"); err == nil || !strings.Contains(err.Error(), "documents changed") {
		t.Errorf("judged by older documents: %v", err)
	}
	if _, err := w.server.logins.Delete(ctx, access.System, true, empty, "login"); access.KindOf(err) != access.Conflict || !strings.Contains(err.Error(), "live access depends on") {
		t.Errorf("with live access: %v", err)
	}
	if _, err := w.server.logins.Delete(ctx, access.System, false, empty, "login"); access.KindOf(err) != access.Denied {
		t.Errorf("by nobody's right: %v", err)
	}
	_, err = mira.End(ctx, r.ID)
	check(t, err)
	w.until(func() bool {
		r, err = mira.Request(ctx, r.ID, api.Wait{})
		check(t, err)
		return r.Grant.State == api.GrantEnded
	})
	if _, err := w.server.logins.Delete(ctx, access.System, true, set, "login"); access.KindOf(err) != access.Conflict {
		t.Errorf("while the resource is there: %v", err)
	}
	// What it left behind is found out with the same login.
	answer := func(s access.ResidueState, due time.Time) {
		t.Helper()
		place := access.Connection{Type: "fake", Address: "127.0.0.1:1"}.Place()
		check(t, w.store.Update(ctx, func(tx *store.Tx) error {
			return tx.SaveResidues(access.Residue{Grant: access.GrantID(r.Grant.ID), Place: place, State: s, DueAt: due})
		}))
	}
	answer(access.ResiduePending, time.Now().Add(time.Hour))
	if _, err := w.setCredential(admin, "login", "127.0.0.1:2"); codeOf(err) != "in-use" || !strings.Contains(err.Error(), "what access left behind") {
		t.Errorf("moved before that is known: %v", err)
	}
	_, err = w.setCredential(admin, "login", "127.0.0.1:1") // a new password is no move
	check(t, err)
	if _, err := w.server.logins.Delete(ctx, access.System, true, empty, "login"); access.KindOf(err) != access.Conflict || !strings.Contains(err.Error(), "what access left behind") {
		t.Errorf("before that is known: %v", err)
	}
	answer(access.ResidueNone, time.Time{})
	_, err = w.server.logins.Delete(ctx, access.System, true, empty, "login")
	check(t, err)
}

// TestCredentialInQuarantine: in restored data nobody can tell what was made with a login.
func TestCredentialInQuarantine(t *testing.T) {
	w, admin := populated(t)
	_, err := w.setCredential(admin, "old", "db9:1")
	check(t, err)
	quarantine := func(value []byte) {
		t.Helper()
		check(t, w.store.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveSetting(broker.QuarantineSetting, value) }))
	}
	quarantine([]byte(`{"kind":"looks-old","why":"a witness knows more"}`))
	if _, err := admin.DeleteCredential(t.Context(), "old"); codeOf(err) != "quarantined" || !strings.Contains(asError(err).Why, "a witness knows more") {
		t.Errorf("in quarantine: %v", err)
	}
	if _, err := w.setCredential(admin, "old", "db8:1"); codeOf(err) != "quarantined" {
		t.Errorf("bound elsewhere in quarantine: %v", err)
	}
	_, err = w.setCredential(admin, "old", "db9:1")
	check(t, err)
	if _, err := admin.DeleteCredential(t.Context(), "odl"); codeOf(err) != "no-such-credential" {
		t.Errorf("one that is none, in quarantine: %v", err)
	}
	auditor := w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	if _, err := auditor.DeleteCredential(t.Context(), "old"); codeOf(err) != "not-yours" {
		t.Errorf("by nobody's right, in quarantine: %v", err)
	}
	quarantine(nil)
	_, err = admin.DeleteCredential(t.Context(), "old")
	check(t, err)
}

// TestCredentialRace: of deletions and registrations at the same moment each counts
// whole; what is left is the last one's.
func TestCredentialRace(t *testing.T) {
	w, admin := populated(t)
	_, err := w.setCredential(admin, "old", "db9:1")
	check(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = w.setCredential(admin, "old", "db9:1")
			} else if _, err = admin.DeleteCredential(t.Context(), "old"); codeOf(err) == "no-such-credential" {
				err = nil
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	page, err := admin.ListCredentials(t.Context(), api.List{})
	check(t, err)
	check(t, w.store.View(t.Context(), func(tx *store.Tx) error {
		c, err := tx.Credential("old")
		if listed := len(page.Items) == 2; listed == c.Gone() {
			t.Errorf("listed: %v, %+v", listed, c)
		}
		return err
	}))
}

// TestCredentialHint: who may not delete a login because a removal does not succeed is
// told of a search that finds why.
func TestCredentialHint(t *testing.T) {
	w := begin(t)
	ctx := t.Context()
	err := access.Credential{Name: "old", Type: "fake", Address: "db9:1", Sealed: []byte("x")}.LetGo(removing{})
	var refused *access.Error
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	words := strings.Fields(refused.Next)
	word := func(flag string) string {
		if i := slices.Index(words, flag); i >= 0 && i+1 < len(words) {
			return words[i+1]
		}
		t.Fatalf("the hint has no %s: %s", flag, refused.Next)
		return ""
	}
	// As the broker reports it.
	check(t, w.store.Update(ctx, func(tx *store.Tx) error {
		return tx.Append(access.Event{Type: broker.RemovalTrouble, At: tx.Now(), Entity: "note_1", Version: 1, Actor: access.System,
			Facts: map[string]string{"entitlement": "ent_1", "resource": "db", "said": "sessions are still open"}})
	}))
	w.until(func() bool {
		found, err := testLog{w.store}.Records(ctx, LogQuery{After: -1, Limit: 10, Type: access.EventType(word("--type")), Resource: access.ResourceName(word("--resource"))})
		check(t, err)
		return len(found) > 0
	})
}

// removing has one entitlement of the login old, which is being removed.
type removing struct{ access.CredentialTx }

func (removing) Setting(string) ([]byte, error) { return nil, nil }
func (removing) Entitlements(access.EntitlementQuery) ([]access.Entitlement, error) {
	return []access.Entitlement{{ID: "ent_1", State: access.Removing, Target: access.Target{Resource: "db", Connection: access.Connection{Type: "fake", Address: "db9:1", Credential: "old"}}}}, nil
}
