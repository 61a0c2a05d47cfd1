package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/policy"
)

// logins are stories about the logins with which Stint itself signs in to targets: who may
// set them, and where and for how long they are used.
var logins = []protection{
	{"who may register a login", 60 * time.Second, true, mayRegister},
	{"a login that is set anew", 60 * time.Second, true, loginSetAnew},
	{"a login of another address", 40 * time.Second, true, boundElsewhere},
	{"a login that was deleted", 60 * time.Second, true, loginDeleted},
	{"a login that was deleted, and is still at hand", 30 * time.Second, true, deletedAtHand},
	{"a login whose row cannot be read", 30 * time.Second, true, loginUnread},
	{"a server that does not know this kind of target", 60 * time.Second, true, unknownKind},
	{"who may check a target", 30 * time.Second, true, mayCheck},
}

func init() { protections = append(protections, logins...) }

// noting is a wire that notes who signs in where, and what is closed.
type noting struct {
	*wire
	mu     sync.Mutex
	came   []connector.Target
	closed []access.Connection
}

func notes(at *wire) *noting {
	n := &noting{wire: at}
	at.as = n
	return n
}

func (x *noting) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	x.mu.Lock()
	x.came = append(x.came, t)
	x.mu.Unlock()
	return x.wire.Provision(ctx, t, o)
}

func (x *noting) Forget(c access.Connection) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = append(x.closed, c)
}

func (x *noting) last() (t connector.Target) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.came) > 0 {
		t = x.came[len(x.came)-1]
	}
	return t
}

// strict is a vault that opens nothing that was not sealed.
type strict struct{ clearVault }

func (v strict) Open(purpose, place string, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("sim: there is nothing to open")
	}
	return v.clearVault.Open(purpose, place, b)
}

func (w *world) login(name string) access.Credential {
	return access.Credential{Name: name, Type: kind, Address: w.places[0].Address, Username: "stint"}
}

// mayRegister: administrators register logins, whole ones, and each change is on record.
// While access depends on one, its address stays: it could not be taken away there. When
// it may move, what is open with it where it was is closed.
func mayRegister(w *world) {
	ctx := context.Background()
	at := &wire{}
	seen := notes(at)
	b := w.process("a", w.store, nil, at)
	pw := access.NewSecret([]byte("pw"))
	var g access.GrantID
	w.soon(3*time.Second, "register", func() {
		whole, before := w.login("spare"), w.times(broker.CredentialSet)
		wrong := map[string]func(*access.Credential){
			"a name": func(c *access.Credential) { c.Name = "" }, "an address": func(c *access.Credential) { c.Address = "" },
			"a user": func(c *access.Credential) { c.Username = "" }, "a type": func(c *access.Credential) { c.Type = "nothing" },
		}
		for what, spoil := range wrong {
			c := whole
			if spoil(&c); b.SetCredential(ctx, caller1("root"), c, pw) == nil {
				w.fail("rule", "a login without %s is registered", what)
			}
		}
		if b.SetCredential(ctx, caller1("root"), whole, access.Secret{}) == nil {
			w.fail("rule", "a login without a password is registered")
		}
		for _, who := range []string{"mira", "omar"} {
			if b.SetCredential(ctx, caller1(who), whole, pw) == nil {
				w.fail("I-19", "%s registers a login", who)
			}
		}
		if n := w.times(broker.CredentialSet); n != before {
			w.fail("I-15", "nobody registered a login, and %d are on record", n-before)
		}
		for range 2 {
			w.insist(b.SetCredential(ctx, caller1("root"), whole, pw))
		}
		if n := w.times(broker.CredentialSet); n != before+2 {
			w.fail("I-15", "two logins were registered, and %d are on record", n-before)
		}
		g = w.submit(b, "mira", "reader", 10*time.Second)
	})
	moved := w.login(w.places[0].Credential)
	moved.Address = "elsewhere:1"
	w.soon(8*time.Second, "move", func() {
		w.expect("story", g, access.Active)
		if b.SetCredential(ctx, caller1("root"), moved, pw) == nil {
			w.fail("I-02", "the login with which live access must be ended is for another address now")
		}
	})
	w.soon(30*time.Second, "move", func() {
		w.expect("L-01", g, access.Ended)
		if slices.ContainsFunc(seen.closed, w.places[0].Equal) {
			w.fail("story", "it is closed before it moves")
		}
		w.insist(b.SetCredential(ctx, caller1("root"), moved, pw))
		if !slices.ContainsFunc(seen.closed, w.places[0].Equal) {
			w.fail("I-19", "a login is bound elsewhere, and what is open with it where it was stays so")
		}
	})
}

// loginSetAnew: who sets a login anew has what is open with the old one closed, and the
// old one used no more from then on.
func loginSetAnew(w *world) {
	at := &wire{}
	seen := notes(at)
	b := w.process("a", w.store, nil, at)
	w.soon(5*time.Second, "ask", func() { w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(5500*time.Millisecond, "set", func() {
		c := w.login(w.places[0].Credential)
		if c.Username = "stint-2"; seen.last().Username != "stint" {
			w.fail("story", "it was made as %q", seen.last().Username)
		}
		w.insist(b.SetCredential(context.Background(), caller1("root"), c, access.NewSecret([]byte("pw-2"))))
		if !slices.ContainsFunc(seen.closed, w.places[0].Equal) {
			w.fail("I-19", "what is open with an old login stays so")
		}
	})
	w.soon(5600*time.Millisecond, "ask", func() { w.submit(b, "paul", "reader", 10*time.Minute) })
	w.in(6*time.Second, "look", "", func() {
		if t := seen.last(); t.Username != "stint-2" || string(t.Password.Reveal()) != "pw-2" {
			w.fail("I-19", "a login was set anew, and %q is used on", t.Username)
		}
	})
}

// boundElsewhere: a login is for the address that it was registered for. Who moves a
// resource does not have it sent to another server.
func boundElsewhere(w *world) {
	at := &wire{}
	seen := notes(at)
	b := w.process("a", w.store, nil, at)
	w.soon(3*time.Second, "ask", func() {
		text := fmt.Sprintf("kind: Resource\nname: moved\ntype: %s\ncriticality: high\nconnection: {address: \"elsewhere:1\", credential: %s}\n", kind, w.places[0].Credential)
		_, err := b.Apply(context.Background(), caller1("root"), []policy.File{{Name: "moved.yaml", Text: text}}, false)
		w.insist(err)
		_, err = b.Submit(context.Background(), caller1("mira"), broker.Ask{Resource: "moved", Role: "reader", Duration: time.Minute, Reason: "r", Key: "k", Body: access.Digest{1}})
		w.insist(err)
	})
	w.in(20*time.Second, "look", "", func() {
		if t := seen.last(); t.Connection.Address != "" {
			w.fail("I-19", "the login of %s is sent to %s", w.places[0].Address, t.Connection.Address)
		}
	})
}

// loginDeleted: with a login that was deleted nothing is made any more. What was made with
// it all the same ends with the copy that is still known.
func loginDeleted(w *world) {
	at := &wire{vault: strict{}}
	seen := notes(at)
	b := w.process("a", w.store, nil, at)
	var g access.GrantID
	refuse := func(call string, o connector.Order) error {
		if call == "provision" && o.Person == "paul" {
			return refusal
		}
		return nil
	}
	at.meet(refuse)
	tried := 0
	w.soon(3*time.Second, "ask", func() {
		g = w.submit(b, "mira", "reader", 17*time.Second)
		w.submit(b, "paul", "reader", 10*time.Minute)
	})
	w.soon(10*time.Second, "delete", func() {
		w.expect("story", g, access.Active)
		w.deletesLogin()
	})
	w.in(14*time.Second, "look", "", func() { tried = len(seen.came) })
	w.in(40*time.Second, "look", "", func() {
		if n := len(seen.came); n != tried || tried < 2 {
			w.fail("I-19", "a login was deleted, and %d calls make something with it, after %d", n-tried, tried)
		}
		if w.expect("L-01", g, access.Ended); w.usable() > 0 {
			w.fail("I-01", "a login was deleted, and what was made with it stays")
		}
	})
}

// deletesLogin takes the login of the first place away, as another replica does.
func (w *world) deletesLogin() {
	w.insist(w.store.Update(context.Background(), func(tx broker.Tx) error {
		c, err := tx.Credential(w.places[0].Credential)
		c.Version, c.Sealed = c.Version+1, nil
		return errors.Join(err, tx.SaveCredential(c))
	}))
}

// deletedAtHand: a process has a login at hand for two seconds, and another one deletes it
// meanwhile. Nothing is made with it from then on: it could not be taken away again.
func deletedAtHand(w *world) { w.atHand(w.deletesLogin) }

// loginUnread: nobody knows whether a login was deleted, because its row cannot be read.
// Nothing is made with the one that is at hand.
func loginUnread(w *world) { w.atHand(nil) }

// atHand has somebody ask while a process has the login at hand, and something has become
// of it: what lose does, or, where that is nil, its row cannot be read.
func (w *world) atHand(lose func()) {
	s, at := &ill{Store: w.store}, &wire{}
	seen := notes(at)
	b := w.process("a", s, nil, at)
	w.soon(5*time.Second, "ask", func() { w.submit(b, "mira", "reader", 10*time.Minute) })
	w.soon(5500*time.Millisecond, "lose", func() {
		if len(seen.came) != 1 {
			w.fail("story", "%d calls make something, and should be one", len(seen.came))
		}
		if lose == nil {
			s.set(illness{login: true})
		} else {
			lose()
		}
	})
	w.soon(6*time.Second, "ask", func() {
		if _, err := w.attempt(b, "paul", "reader", 10*time.Minute); err == nil {
			w.fail("I-19", "it is granted with a login that was lost")
		}
	})
	w.in(20*time.Second, "look", "", func() {
		if n := len(seen.came); n != 1 || w.usable() != 1 {
			w.fail("I-19", "a login was lost, and %d calls make something with it", n-1)
		}
	})
}

// other is a connector for another kind of target.
type other struct{ *wire }

func (other) Type() string { return "other" }

// unknownKind: a server that knows nothing of a target, as after an upgrade that was taken
// back, ends nothing there, with the store and without it, says so, and goes on with what
// else there is. Another one that knows it does.
func unknownKind(w *world) {
	s := &mortal{Store: w.store}
	at := &wire{}
	a, stop := w.life("a", w.store, nil, at)
	var g, h access.GrantID
	w.soon(3*time.Second, "ask", func() {
		g = w.submit(a, "mira", "reader", 17*time.Second)
		h = w.submit(a, "paul", "reader", 27*time.Second)
	})
	w.in(10*time.Second, "stop", "", func() {
		stop()
		strange := &wire{journal: &memory{}}
		strange.as = other{strange}
		_, stop = w.life("b", s, nil, strange)
	})
	w.in(23*time.Second, "look", "", func() {
		if e := w.row(); e.LastError == "" && e.State == access.Removing {
			w.fail("I-03", "nobody is told that it cannot be removed")
		}
		w.expect("I-02", g, access.Ending)
		s.leave(true)
	})
	w.in(35*time.Second, "another", "", func() {
		w.expect("I-02", h, access.Active) // the store is away
		stop()
		w.process("c", w.store, nil, &wire{})
	})
	w.in(55*time.Second, "look", "", func() {
		w.expect("L-01", g, access.Ended)
		w.expect("L-01", h, access.Ended)
	})
}

// mayCheck: a target is checked for its owners and administrators, and what came of it is
// on record.
func mayCheck(w *world) {
	ctx := context.Background()
	b := w.process("a", w.store, nil, &wire{})
	w.soon(3*time.Second, "check", func() {
		if _, err := b.CheckResource(ctx, caller1("root"), "db9"); !errors.Is(err, access.NotFound) {
			w.fail("I-19", "who checks a target that is not there is told: %v", err)
		}
		if _, err := b.CheckResource(ctx, caller1("mira"), "db0"); !errors.Is(err, access.Denied) || w.logged(broker.ResourceChecked) {
			w.fail("I-19", "mira checks a target of others: %v", err)
		}
		for _, who := range []string{"omar", "root"} {
			report, err := b.CheckResource(ctx, caller1(who), "db0")
			if w.insist(err); !report.OK() {
				w.fail("story", "%+v", report)
			}
		}
		if n, ok := w.times(broker.ResourceChecked), w.said(broker.ResourceChecked, "ok"); n != 2 || ok != "yes" {
			w.fail("I-15", "a target was checked twice and is well, and the log says %q and that %d times", ok, n)
		}
	})
}
