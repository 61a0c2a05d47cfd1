package access

import (
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// t0 is the time of most tests.
var t0 = time.Date(2026, time.March, 29, 0, 30, 0, 0, time.UTC)

// The people of most tests. Mira asks; mira-adm is another login of hers.
var (
	mira    = Principal{ID: "user:mira", Person: "mira", Groups: []Group{"dev"}}
	miraAdm = Principal{ID: "user:mira-adm", Person: "mira", Groups: []Group{"dba", "security"}}
	ben     = Principal{ID: "user:ben", Person: "ben", Groups: []Group{"dba"}}
	zoe     = Principal{ID: "user:zoe", Person: "zoe", Groups: []Group{"dba", "security"}}
	robot   = Principal{ID: "service:robot", Person: "zoe", Groups: []Group{"dba", "security"}}
)

func actorOf(p Principal) Actor { return Actor{Principal: p.ID, Person: p.Person} }

// draft is a request with every field of what is asked set.
func draft(bend ...func(*Request)) Request {
	r := Request{
		ID: "req_01JQFMMYK0000000000000000A", Principal: mira.ID, Person: mira.Person, Device: "device-1", SealKey: []byte("seal key"),
		Source: Source{IP: netip.MustParseAddr("192.0.2.7"), Device: "device-1"},
		Targets: []Target{{
			Resource: "orders", Criticality: High, Account: "mira",
			Connection: Connection{Type: "postgres", Address: "db.example:5432", Credential: "orders-admin", Options: map[string]string{"database": "orders", "tls": "verify"}},
		}},
		Role:        "writer",
		Permissions: Permissions{Mechanism: Member, Rights: []string{"audit_read", "orders_read", "orders_write"}, Options: map[string]string{"sessions": "end"}},
		Endings:     Endings{OnLogout: true, OnIdle: 15 * time.Minute},
		Clock:       FromEffective, Duration: time.Hour, Reason: "INC-7: wrong totals", Ticket: "INC-7", Documents: 4,
		Nonce: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	}
	for _, f := range bend {
		f(&r)
	}
	return r
}

func allow() Decision {
	return Decision{Effect: Allow, Policy: "daily", Documents: 4, MaxDuration: 8 * time.Hour, Reasons: []Reason{{Policy: "daily", Source: "policy.yaml:3", Text: "developers may"}}}
}

func needs(reqs ...Requirement) Decision {
	d := allow()
	d.Effect, d.Approvals = Approve, reqs
	return d
}

var oneDBA = Requirement{From: []Subject{"group:dba"}, Count: 1}

func submit(t testing.TB, d Decision, bend ...func(*Request)) Request {
	t.Helper()
	r, _, err := Submit(draft(bend...), actorOf(mira), d, t0)
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	return r
}

func requestIn(t testing.TB, s RequestState) (r Request) {
	t.Helper()
	r = submit(t, needs(oneDBA))
	var err error
	switch s {
	case RequestPending:
	case RequestIsGranted:
		r, _, err = r.Vote(ben, actorOf(ben), Vote{Approve: true, Seen: r.Digest}, t0)
	case RequestIsDenied:
		r, _, err = r.Vote(ben, actorOf(ben), Vote{Note: "no", Seen: r.Digest}, t0)
	case RequestWithdrawn:
		r, _, err = r.Cancel(actorOf(mira), t0)
	case RequestTimedOut:
		r, _, err = r.TimeOut(r.ExpiresAt)
	default:
		t.Fatalf("no way is known to a request that is %s: say one here", s)
	}
	if err != nil || r.State != s {
		t.Fatalf("request is %s, %v; want %s", r.State, err, s)
	}
	return r
}

// grantIn makes a grant that starts an hour after t0 and takes a second to set up.
func grantIn(t testing.TB, s GrantState, bend ...func(*Request)) (g Grant) {
	t.Helper()
	bend = append([]func(*Request){func(r *Request) { r.Start = t0.Add(time.Hour) }}, bend...)
	_, g, _, err := submit(t, allow(), bend...).NewGrant("grt_1", t0)
	step := func(f func() (Grant, Event, error)) {
		if err == nil {
			g, _, err = f()
		}
	}
	begin := func() (Grant, Event, error) { return g.Begin(g.StartsAt) }
	activate := func() (Grant, Event, error) { return g.Activate(g.StartsAt.Add(time.Second)) }
	finish := func() (Grant, Event, error) { return g.Finish(g.EndingAt.Add(time.Second)) }
	end := func(why EndReason) func() (Grant, Event, error) {
		return func() (Grant, Event, error) {
			g, ev, _, err := g.End(why, "why", actorOf(mira), g.StartsAt.Add(2*time.Second))
			return g, ev, err
		}
	}
	switch s {
	case Scheduled:
	case Provisioning:
		step(begin)
	case Active:
		step(begin)
		step(activate)
	case Ending:
		step(begin)
		step(activate)
		step(end(ByHolder))
	case Ended:
		step(begin)
		step(activate)
		step(end(ByHolder))
		step(finish)
	case Failed:
		step(begin)
		step(end(BySetup))
		step(finish)
	default:
		t.Fatalf("no way is known to a grant that is %s: say one here", s)
	}
	if err != nil || g.State != s {
		t.Fatalf("grant is %s, %v; want %s", g.State, err, s)
	}
	return g
}

// extension is an approved request of more time on g.
func extension(t testing.TB, g Grant, d Decision, bend ...func(*Request)) Request {
	t.Helper()
	bend = append([]func(*Request){func(r *Request) {
		r.ID, r.Extends, r.Targets, r.Permissions, r.Duration = "req_01JQFMMYK0000000000000000B", g.ID, g.Targets, g.Permissions, 30*time.Minute
	}}, bend...)
	return submit(t, d, bend...)
}

func entitlementIn(t testing.TB, m Mechanism, s EntitlementState) (e Entitlement) {
	t.Helper()
	g := grantIn(t, Provisioning, func(r *Request) {
		r.Permissions.Mechanism = m
		if m != Member {
			r.Permissions.Rights = nil
		}
	})
	now := g.StartsAt
	e, h, _ := g.Plan()[0].Intend("ent_1", "tag-1", 3, g, now)
	var err error
	if s != Intended && s != Removing && s != Gone {
		e, _, err = e.Confirm(1, "mira", "oid 7", now)
	}
	switch s {
	case Intended, Present:
	case Refreshing:
		later := g
		later.ExpiresAt = g.ExpiresAt.Add(time.Minute)
		e, _, _ = e.Raise(later, now)
	case Removing:
		e, _, _, _ = e.Release(h, 0, now)
	case Gone:
		e, _, _, _ = e.Release(h, 0, now)
		e, _, err = e.Vanish(now, now)
	default:
		t.Fatalf("no way is known to an entitlement that is %s: say one here", s)
	}
	if err != nil || e.State != s {
		t.Fatalf("entitlement is %s, %v; want %s", e.State, err, s)
	}
	return e
}

// constants lists the constants of a type that the package declares, so that a
// new one without a row in a table is noticed.
func constants[T ~string](t testing.TB) []T {
	t.Helper()
	name := reflect.TypeFor[T]().Name()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != name {
				return true
			}
			for _, x := range v.Values {
				if lit, ok := x.(*ast.BasicLit); ok {
					s, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					out = append(out, T(s))
				}
			}
			return true
		})
	}
	if len(out) == 0 {
		t.Fatalf("found no constants of type %s", name)
	}
	return out
}

// wantCode checks kind and code of an error.
func wantCode(t testing.TB, err error, kind Kind, code string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code {
		t.Errorf("error is %#v, want %s %s", err, kind, code)
	}
}

// subset is a second implementation of ⊆, for comparison.
func subset(a, b []string) bool {
	m := map[string]bool{}
	for _, x := range b {
		m[x] = true
	}
	for _, x := range a {
		if !m[x] {
			return false
		}
	}
	return true
}

func keysOf[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
