package provision_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"stint/internal/access"
	"stint/internal/provision"
	"stint/internal/scim"
	"stint/internal/store"
)

type adapted struct{ *store.Store }

func (s adapted) Update(ctx context.Context, fn func(provision.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s adapted) View(ctx context.Context, fn func(provision.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// ender disables, as the broker does, and counts; fails if it is to.
type ender struct {
	store *store.Store
	left  []access.PrincipalID
	again int
	fails error
}

func (e *ender) Reconsider() { e.again++ }
func (e *ender) Leave(ctx context.Context, _ access.Actor, id access.PrincipalID, provider, _ string) error {
	if e.fails != nil {
		return e.fails
	}
	e.left = append(e.left, id)
	return e.store.Update(ctx, func(tx *store.Tx) error {
		p, err := tx.Principal(id)
		if err != nil || p.Disabled {
			return err
		}
		p.Disabled, p.DisabledBy, p.Version = true, provider, p.Version+1
		return tx.SavePrincipals(p)
	})
}

type world struct {
	t     testing.TB
	store *store.Store
	ender *ender
	provision.Directory
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "stint.db")})
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	e := &ender{store: st}
	return &world{t, st, e, provision.Directory{Store: adapted{st}, Ender: e, Provider: "corp", SignIn: "sso"}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) user(attrs scim.Object) (scim.Resource, error) {
	return w.Create(w.t.Context(), scim.User, attrs)
}

func (w *world) group(name string, members ...string) scim.Resource {
	w.t.Helper()
	var list []any
	for _, m := range members {
		list = append(list, scim.Object{"value": m})
	}
	r, err := w.Create(w.t.Context(), scim.Group, scim.Object{"displayName": name, "members": list})
	must(w.t, err)
	return r
}

func (w *world) principal(name string) (p access.Principal) {
	w.t.Helper()
	must(w.t, w.store.View(context.Background(), func(tx *store.Tx) (err error) {
		p, err = tx.Principal(access.NewPrincipalID(access.User, name))
		return err
	}))
	return p
}

// change bends a principal, as an administrator would.
func (w *world) change(name string, bend func(access.Principal) access.Principal) {
	w.t.Helper()
	must(w.t, w.store.Update(context.Background(), func(tx *store.Tx) error {
		p, err := tx.Principal(access.NewPrincipalID(access.User, name))
		if access.KindOf(err) == access.NotFound {
			p = access.Principal{ID: access.NewPrincipalID(access.User, name), Person: access.Person(name), CreatedAt: tx.Now()}
		} else if err != nil {
			return err
		}
		p = bend(p)
		p.Version++
		return tx.SavePrincipals(p)
	}))
}

func wantKind(t *testing.T, what string, err error, kind access.Kind) {
	t.Helper()
	if err == nil || access.KindOf(err) != kind {
		t.Errorf("%s: %v, want an error of kind %v", what, err, kind)
	}
}

// Whom an administrator linked is known by the subject, keeps the name, and is the
// service's from then on; whom nobody linked is not.
func TestLinkedIsAdopted(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"mira", "omar"} {
		w.change(name, func(p access.Principal) access.Principal { return p.Provide("", []access.Group{"local"}) })
	}
	w.change("mira", func(p access.Principal) access.Principal {
		return p.Link(access.Identity{Provider: "corp", Subject: "1"})
	})
	r, err := w.user(scim.Object{"userName": "Mira.Smith@corp.example", "externalId": "1"})
	must(t, err)
	if p := w.principal("mira"); r.ID != "mira" || p.Subject("sso") != "1" || !slices.Equal(p.Groups, []access.Group{"local"}) {
		t.Errorf("made %s, %+v", r.ID, p)
	}
	_, err = w.user(scim.Object{"userName": "omar", "externalId": "2"})
	wantKind(t, "a local user", err, access.Conflict)
	// Who signed in first is known by where they sign in.
	w.change("noor", func(p access.Principal) access.Principal {
		return p.Link(access.Identity{Provider: "sso", Subject: "3"})
	})
	r, err = w.user(scim.Object{"userName": "n.n", "externalId": "3"})
	must(t, err)
	if r.ID != "noor" || w.principal("noor").Subject("corp") != "3" {
		t.Errorf("made %s", r.ID)
	}
	// One subject for two people is nobody's.
	w.change("olga", func(p access.Principal) access.Principal {
		return p.Link(access.Identity{Provider: "sso", Subject: "1b"})
	})
	w.change("oleg", func(p access.Principal) access.Principal {
		return p.Link(access.Identity{Provider: "corp", Subject: "1b"})
	})
	_, err = w.user(scim.Object{"userName": "x", "externalId": "1b"})
	wantKind(t, "two people", err, access.Conflict)
}

// A service replaces the groups it gave, and no others.
func TestGroupsAreTheServices(t *testing.T) {
	w := newWorld(t)
	r, err := w.user(scim.Object{"userName": "mira"})
	must(t, err)
	g := w.group("Data Base Admins", "mira")
	w.change("mira", func(p access.Principal) access.Principal {
		return p.Provide("", []access.Group{"local"}).Provide("other", []access.Group{"others"})
	})
	if got := w.principal("mira").Groups; !slices.Equal(got, []access.Group{"data-base-admins", "local", "others"}) {
		t.Errorf("groups are %v", got)
	}
	again := w.ender.again
	must(t, w.Delete(t.Context(), g))
	if got := w.principal("mira").Groups; !slices.Equal(got, []access.Group{"local", "others"}) || w.ender.again == again {
		t.Errorf("groups are %v; decided again: %v", got, w.ender.again > again)
	}
	// One who was unlinked is nobody's business any more.
	g = w.group("web", "mira")
	w.change("mira", func(p access.Principal) access.Principal {
		return p.Unlink(access.Identity{Provider: "corp", Subject: "mira"})
	})
	_, err = w.Replace(t.Context(), r, scim.Object{"userName": "mira", "active": true})
	wantKind(t, "one who was unlinked", err, access.Denied)
	must(t, w.Delete(t.Context(), g))
	if got := w.principal("mira").Groups; !slices.Equal(got, []access.Group{"local", "others"}) {
		t.Errorf("groups are %v after they were unlinked", got)
	}
}

// A service enables only whom it disabled.
func TestOnlyWhoDisabledEnables(t *testing.T) {
	w := newWorld(t)
	r, err := w.user(scim.Object{"userName": "mira"})
	must(t, err)
	w.change("mira", func(p access.Principal) access.Principal { p.Disabled = true; return p })
	_, err = w.Replace(t.Context(), r, scim.Object{"userName": "mira", "active": true})
	must(t, err)
	if !w.principal("mira").Disabled {
		t.Error("it enabled whom an administrator disabled")
	}
}

// Who leaves has left even when the rest fails; when leaving itself fails, the service
// is not told that it is done.
func TestLeavingComesFirst(t *testing.T) {
	w := newWorld(t)
	_, err := w.user(scim.Object{"userName": "omar"})
	must(t, err)
	r, err := w.user(scim.Object{"userName": "mira", "externalId": "1"})
	must(t, err)
	_, err = w.Replace(t.Context(), r, scim.Object{"userName": "omar", "active": false})
	wantKind(t, "a name that is taken", err, access.Conflict)
	if !w.principal("mira").Disabled {
		t.Error("they did not leave, for a name")
	}
	w.ender.fails = errors.New("the store is away")
	r, err = w.user(scim.Object{"userName": "noor"})
	must(t, err)
	if _, err = w.Replace(t.Context(), r, scim.Object{"userName": "noor", "active": false}); err == nil {
		t.Error("it is done, and nobody left")
	}
	if err := w.Delete(t.Context(), r); err == nil {
		t.Error("it is deleted, and nobody left")
	}
	if _, n, err := w.List(t.Context(), scim.Query{Kind: scim.User, Attr: "id", Value: "noor", Limit: -1}); n != 1 || err != nil {
		t.Errorf("%d of them, %v", n, err)
	}
}

// Two changes of one version are not both done, and a group within a group is refused.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	r, err := w.user(scim.Object{"userName": "mira"})
	must(t, err)
	_, err = w.Replace(t.Context(), r, scim.Object{"userName": "mira", "title": "x"})
	must(t, err)
	_, err = w.Replace(t.Context(), r, scim.Object{"userName": "mira", "title": "y"})
	wantKind(t, "an old version", err, access.Conflict)
	g := w.group("web")
	_, err = w.Create(t.Context(), scim.Group, scim.Object{"displayName": "all", "members": []any{scim.Object{"value": g.ID}}})
	wantKind(t, "a group in a group", err, access.Invalid)
	for _, name := range []string{"", "*", "group:dba", "väter"} {
		_, err = w.Create(t.Context(), scim.Group, scim.Object{"displayName": name})
		wantKind(t, "a group called "+name, err, access.Invalid)
	}
	w.Prefix = "okta-"
	if g := w.group("dba", "mira"); g.ID == "" || !w.principal("mira").In("group:okta-dba") {
		t.Errorf("groups are %v", w.principal("mira").Groups)
	}
}

// TestManyAndFew: of many users at once the groups are the same as of each by itself.
func TestManyAndFew(t *testing.T) {
	w := newWorld(t)
	var odd, all []string
	for i := range 260 {
		r, err := w.user(scim.Object{"userName": fmt.Sprintf("u%03d", i)})
		must(t, err)
		if all = append(all, r.ID); i%2 == 1 {
			odd = append(odd, r.ID)
		}
	}
	w.group("odd", odd...)
	w.group("all", all...)
	many, _, err := w.List(t.Context(), scim.Query{Kind: scim.User, Limit: -1})
	must(t, err)
	for _, r := range many {
		one, _, err := w.List(t.Context(), scim.Query{Kind: scim.User, Attr: "id", Value: r.ID, Limit: -1})
		must(t, err)
		if len(one) != 1 || !reflect.DeepEqual(one[0], r) {
			t.Fatalf("%s: %+v among many, %+v by itself", r.ID, r, one)
		}
	}
	if len(many) != 260 {
		t.Errorf("%d users", len(many))
	}
}

// filled has many users, all in one group.
func filled(b *testing.B, n int) *world {
	w := newWorld(b)
	for i := range n {
		_, err := w.user(scim.Object{"userName": fmt.Sprintf("user%05d@corp.example", i), "externalId": fmt.Sprint("x", i), "title": "Guide",
			"emails": []any{scim.Object{"value": fmt.Sprintf("user%05d@corp.example", i), "type": "work", "primary": true}}})
		must(b, err)
	}
	return w
}

func BenchmarkList10k(b *testing.B) {
	w := filled(b, 10_000)
	for name, q := range map[string]scim.Query{
		"page of 100": {Kind: scim.User, Offset: 5000, Limit: 100},
		"by userName": {Kind: scim.User, Attr: "userName", Value: "user05000@corp.example", Limit: -1},
		"all":         {Kind: scim.User, Limit: -1},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if found, _, err := w.List(b.Context(), q); err != nil || len(found) == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
