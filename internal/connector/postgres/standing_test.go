package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
)

// observed is an order whose state before was recorded.
func (w *world) observed(o connector.Order) connector.Order {
	w.t.Helper()
	b, err := w.c.Observe(w.t.Context(), w.target, o)
	if err != nil {
		w.t.Fatalf("observe: %v", err)
	}
	o.Before = b.State
	return o
}

// as opens a session of a standing account.
func (w *world) as(account string) pgSession {
	w.t.Helper()
	s, err := w.Session(connector.Order{Account: account}, connector.Receipt{})
	if err != nil {
		w.t.Fatalf("log in as %s: %v", account, err)
	}
	w.t.Cleanup(s.Close)
	return s.(pgSession)
}

func TestObserveRefuses(t *testing.T) {
	w := newWorld(t)
	w.exec("", `CREATE ROLE "the owner" LOGIN`, `CREATE ROLE "the boss" SUPERUSER NOLOGIN`, `CREATE ROLE "awake" LOGIN`)
	t.Cleanup(func() {
		w.exec("", "ALTER DATABASE "+ident(w.database)+" OWNER TO CURRENT_USER", `DROP ROLE "the owner"`, `DROP ROLE "the boss"`, `DROP ROLE "awake"`)
	})
	w.exec("", "ALTER DATABASE "+ident(w.database)+` OWNER TO "the owner"`)
	for _, test := range []struct {
		name    string
		m       access.Mechanism
		account string
		rights  []string
		want    access.Kind
	}{
		{"a superuser", access.Member, "the boss", w.groups, access.Denied},
		{"a dormant superuser", access.Enable, "the boss", nil, access.Denied},
		{"the database's owner", access.Member, "the owner", w.groups, access.Denied},
		{"the connector's login", access.Member, w.login, w.groups, access.Denied},
		{"the connector's login, to enable", access.Enable, w.login, nil, access.Denied},
		{"an account that can log in, to enable", access.Enable, "awake", nil, access.Denied},
		{"an account that is not there", access.Member, "nobody", w.groups, access.NotFound},
		{"a group that is not there", access.Member, "awake", []string{"nothing"}, access.NotFound},
		{"a superuser as a group", access.Member, "awake", []string{"the boss"}, access.Denied},
		{"the connector's login as a group", access.Member, "awake", []string{w.login}, access.Denied},
		{"the claim as a group", access.Member, "awake", []string{claimRole}, access.Denied},
		{"itself as a group", access.Member, "awake", []string{"awake"}, access.Invalid},
		{"no group", access.Member, "awake", nil, access.Invalid},
	} {
		o := connector.Order{Tag: connectortest.NewTag(), Mechanism: test.m, Account: test.account, Rights: test.rights}
		if _, err := w.c.Observe(t.Context(), w.target, o); access.KindOf(err) != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// TestEnabledIsPutBack: what a holder or anybody else changed about an enabled
// account while it was enabled is undone, to the letter.
func TestEnabledIsPutBack(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Enable)
	a, in := ident(o.Account), " IN DATABASE "+ident(w.database)
	w.exec("", "ALTER ROLE "+a+` SET search_path TO "$user", "Mixed, Case", public`, "ALTER ROLE "+a+" SET work_mem TO '7MB'",
		"ALTER ROLE "+a+in+" SET application_name TO 'it''s me'", "ALTER ROLE "+a+" VALID UNTIL '2001-02-03 04:05:06+00'", "ALTER ROLE "+a+" CONNECTION LIMIT 3")
	type settings struct{ Limit, Until, Settings string }
	read := func() (s settings) {
		s.Limit = query[string](w, "SELECT rolconnlimit::text FROM pg_roles WHERE rolname = $1", o.Account)
		s.Until = query[string](w, "SELECT rolvaliduntil::text FROM pg_roles WHERE rolname = $1", o.Account)
		s.Settings = query[string](w, "SELECT string_agg(setdatabase || ' ' || x, E'\n' ORDER BY setdatabase, x) FROM pg_db_role_setting, unnest(setconfig) x WHERE setrole = (SELECT oid FROM pg_roles WHERE rolname = $1)", o.Account)
		return s
	}
	before := read()
	o = w.observed(o)
	o, r := w.provision(o)
	holder, err := w.Session(o, r)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	for _, sql := range []string{"ALTER ROLE CURRENT_USER SET search_path TO evil", "ALTER ROLE CURRENT_USER RESET work_mem", "ALTER ROLE CURRENT_USER SET role TO none",
		"ALTER ROLE CURRENT_USER" + in + " SET statement_timeout TO 5"} {
		if _, err := holder.(pgSession).conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if got := w.end(o); got.Outcome != connector.Done {
		t.Fatalf("end: %v", got.Err)
	}
	if diff := cmp.Diff(before, read()); diff != "" {
		t.Errorf("before and after differ (-before +after):\n%s", diff)
	}
	if query[bool](w, "SELECT rolcanlogin OR rolpassword IS NOT NULL FROM pg_authid WHERE rolname = $1", o.Account) {
		t.Error("the account kept its login or its password")
	}
}

// TestEnabledByOthers: one order's end does not end what another, or a person on
// the target, has begun since.
func TestEnabledByOthers(t *testing.T) {
	w := newWorld(t)
	first := w.observed(w.Order(access.Enable))
	first, _ = w.provision(first)
	busy := first
	busy.Tag, busy.Creation = connectortest.NewTag(), ""
	if _, err := w.c.Provision(t.Context(), w.target, busy); err == nil || err.(*connector.Error).Outcome != connector.NotDone {
		t.Errorf("an account that is enabled is enabled for another: %v", err)
	}
	if got := w.end(first); got.Outcome != connector.Done {
		t.Fatal(got.Err)
	}
	next := first
	next.Tag, next.Creation, next.Before = connectortest.NewTag(), "", ""
	next = w.observed(next)
	next, r := w.provision(next)
	live, err := w.Session(next, r)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if got := w.end(first); got.Outcome != connector.Done {
		t.Errorf("a late repeat of the first order's end: %v", got.Err)
	}
	if v := w.c.Verify(t.Context(), w.target, []connector.Order{first, next}); !v[0].Gone() || v[1].Presence != connector.Present || v[1].Sessions != 1 || !live.Alive() {
		t.Errorf("after it: %+v", v)
	}
	if got := w.end(next); got.Outcome != connector.Done {
		t.Fatal(got.Err)
	}

	// Never provisioned, and enabled by a person: hands off.
	o := w.observed(w.Order(access.Enable))
	w.exec("", "ALTER ROLE "+ident(o.Account)+" LOGIN PASSWORD 'by hand'")
	if got := w.end(o); got.Outcome != connector.Done {
		t.Errorf("end: %v", got.Err)
	}
	if !query[bool](w, "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", o.Account) {
		t.Error("what a person enabled was disabled")
	}
	if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; !v.Gone() {
		t.Errorf("verify: %+v", v)
	}
}

// TestMemberSessions: the sessions that may have used the group end; those that
// the person opens afterwards are the person's own, also for a late repeat.
func TestMemberSessions(t *testing.T) {
	w := newWorld(t)
	o, _ := w.provision(w.observed(w.Order(access.Member)))
	during := w.as(o.Account)
	if _, err := during.conn.Exec(t.Context(), "SET ROLE "+ident(o.Rights[0])); err != nil {
		t.Fatal(err)
	}
	os := []connector.Order{o}
	if r := w.c.Revoke(t.Context(), w.target, os)[0]; r.Outcome != connector.Done {
		t.Fatal(r.Err)
	}
	if v := w.c.Verify(t.Context(), w.target, os)[0]; v.Gone() || v.Sessions != 1 {
		t.Errorf("between revoke and the end of the session: %+v", v)
	}
	if r := w.c.TerminateSessions(t.Context(), w.target, os)[0]; r.Outcome != connector.Done {
		t.Fatal(r.Err)
	}
	if during.Alive() {
		t.Error("a session that had become the group outlived the membership")
	}
	after := w.as(o.Account)
	if got := w.end(o); got.Outcome != connector.Done {
		t.Fatal(got.Err)
	}
	if !after.Alive() {
		t.Error("a session from after the membership was cut")
	}
	if v := w.c.Verify(t.Context(), w.target, os)[0]; !v.Gone() {
		t.Errorf("verify: %+v", v)
	}
}

func TestMemberKeepsSessions(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Member)
	o.Options["sessions"] = "keep"
	o, _ = w.provision(w.observed(o))
	live := w.as(o.Account)
	if got := w.end(o); got.Outcome != connector.Done {
		t.Fatal(got.Err)
	}
	if !live.Alive() {
		t.Error("sessions: keep does not")
	}
	if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; !v.Gone() {
		t.Errorf("verify: %+v", v)
	}
}

// TestMemberOverlap: of two orders that lend the same group to one account, the
// first that ends leaves it to the other.
func TestMemberOverlap(t *testing.T) {
	w := newWorld(t)
	one := w.Order(access.Member)
	one.Rights = slices.Clone(w.groups)
	two := one
	two.Tag, two.Rights = connectortest.NewTag(), w.groups[:1]
	one, _ = w.provision(w.observed(one))
	two, _ = w.provision(w.observed(two))
	if got := w.end(one); got.Outcome != connector.Done {
		t.Fatal(got.Err)
	}
	v := w.c.Verify(t.Context(), w.target, []connector.Order{one, two})
	if !v[0].Gone() || v[1].Presence != connector.Present {
		t.Errorf("after the first: %+v", v)
	}
	if got := w.end(two); got.Outcome != connector.Done {
		t.Fatal(got.Err)
	}
	if n := query[int](w, "SELECT count(*) FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = $1)", one.Account); n != 0 {
		t.Errorf("%d memberships are left", n)
	}
}

// TestMemberGrantedSince: when somebody else has granted the group meanwhile,
// that grant stays.
func TestMemberGrantedSince(t *testing.T) {
	w := newWorld(t)
	o, _ := w.provision(w.observed(w.Order(access.Member)))
	w.exec("", "REVOKE "+idents(o.Rights)+" FROM "+ident(o.Account))
	w.Grant(o)
	r := w.c.Revoke(t.Context(), w.target, []connector.Order{o})[0]
	if r.Outcome != connector.Done || !r.Foreign {
		t.Errorf("revoke: %+v", r)
	}
	w.end(o)
	if w.Taken(o) {
		t.Error("somebody else's grant was taken away")
	}
	if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; !v.Gone() {
		t.Errorf("verify: %+v", v)
	}
}

// TestMemberOfFormerLogin: what was lent under one login is taken back under
// another, or said to be there; it is never taken for somebody else's.
func TestMemberOfFormerLogin(t *testing.T) {
	for _, gone := range []bool{false, true} {
		w := newWorld(t)
		o, _ := w.provision(w.observed(w.Order(access.Member)))
		next := w.login + " next"
		w.exec("", "CREATE ROLE "+ident(next)+" "+minimum+" PASSWORD 'the connector''s password'",
			"GRANT pg_signal_backend, pg_read_all_stats TO "+ident(next))
		if gone {
			w.exec("", "DROP ROLE "+ident(w.login))
		}
		w.target.Username = next
		if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; v.Presence != connector.Present {
			t.Errorf("before the end: %+v", v)
		}
		if got := w.end(o); got.Outcome != connector.Done {
			t.Errorf("end: %+v", got)
		}
		if v := w.c.Verify(t.Context(), w.target, []connector.Order{o})[0]; !v.Gone() {
			t.Errorf("verify: %+v", v)
		}
		if !w.Taken(o) {
			t.Errorf("the membership outlived its grant (former login dropped: %v)", gone)
		}
	}
}

// TestUnmarkedMembership: a membership that our login granted by hand is found,
// and can be swept.
func TestUnmarkedMembership(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Member)
	w.exec("", "SET ROLE "+ident(w.login)+"; GRANT "+idents(o.Rights)+" TO "+ident(o.Account))
	live := w.as(o.Account)
	var swept *connector.Order
	for a, err := range w.c.Inventory(t.Context(), w.target) {
		if err != nil {
			t.Fatal(err)
		}
		if a.Ours && a.Account == o.Account {
			swept = &connector.Order{Mechanism: a.Mechanism, Account: a.Account, Rights: []string{a.Right}, Creation: a.Creation, Tag: a.Tag}
		}
	}
	if swept == nil {
		t.Fatal("the inventory does not list it")
	}
	if got := w.end(*swept); got.Outcome != connector.Done {
		t.Errorf("sweep: %v", got.Err)
	}
	if !w.Taken(o) || live.Alive() {
		t.Error("the membership or its session is still there")
	}
	if v := w.c.Verify(t.Context(), w.target, []connector.Order{*swept})[0]; !v.Gone() {
		t.Errorf("verify: %+v", v)
	}
	if _, err := w.c.Provision(t.Context(), w.target, *swept); err == nil {
		t.Error("an order without a tag was carried out")
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	me := ident(w.login)
	for _, test := range []struct{ spoil, mend, want string }{
		{"ALTER ROLE " + me + " CREATEDB", "ALTER ROLE " + me + " NOCREATEDB", "NOCREATEDB"},
		{"ALTER ROLE " + me + " SUPERUSER", "ALTER ROLE " + me + " NOSUPERUSER", "NOSUPERUSER"},
		{"ALTER ROLE " + me + " NOCREATEROLE", "ALTER ROLE " + me + " CREATEROLE", "CREATEROLE"},
		{"ALTER ROLE " + me + " NOINHERIT", "ALTER ROLE " + me + " INHERIT", "INHERIT"},
		{"REVOKE pg_signal_backend FROM " + me, "GRANT pg_signal_backend TO " + me, "GRANT pg_signal_backend TO"},
		{"REVOKE pg_read_all_stats FROM " + me, "GRANT pg_read_all_stats TO " + me, "GRANT pg_read_all_stats TO"},
		{"CREATE ROLE stint_claim; COMMENT ON ROLE stint_claim IS 'other/1'", "DROP ROLE stint_claim", "DROP ROLE stint_claim"},
	} {
		w.exec("", test.spoil)
		target := w.target
		target.Claim = connector.Claim{Installation: "mine", Epoch: 1}
		rep := w.c.Check(t.Context(), target)
		named := slices.ContainsFunc(rep.Steps, func(s connector.Step) bool { return !s.OK && strings.Contains(s.Fix, test.want) })
		if rep.OK() || !named {
			t.Errorf("after %q: %+v, want a fix with %q", test.spoil, rep.Steps, test.want)
		}
		w.exec("", test.mend)
		if rep := w.c.Check(t.Context(), w.target); !rep.OK() {
			t.Errorf("after %q: %+v", test.mend, rep.Steps)
		}
		if n := query[int](w, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'stint%'"); n != 0 {
			t.Errorf("after %q the check left %d roles", test.spoil, n)
		}
	}
}

// TestCheckSweepsOldCanaries: the canary of a check that was killed goes with the
// next one, once nobody can be using it.
func TestCheckSweepsOldCanaries(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Account)
	o.Person, o.Tag, o.Rights = "canary", canaryTag(), nil
	o, _ = w.provision(o)
	if rep := w.c.Check(t.Context(), w.target); !rep.OK() {
		t.Errorf("check beside another: %+v", rep.Steps)
	}
	if !query[bool](w, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", o.Account) {
		t.Error("a check removed another's canary")
	}
	w.exec("", "ALTER ROLE "+ident(o.Account)+" VALID UNTIL 'yesterday'")
	if rep := w.c.Check(t.Context(), w.target); !rep.OK() {
		t.Errorf("check: %+v", rep.Steps)
	}
	if query[bool](w, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", o.Account) {
		t.Error("an old canary is still there")
	}
}
