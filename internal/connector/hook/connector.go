package hook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"iter"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Type is the type of resource this connector serves.
const Type = "hook"

// Connector lends vaulted accounts by programs of a folder.
type Connector struct{ dir string }

var _ connector.Connector = (*Connector)(nil)

// New makes a connector that runs the programs in dir; of an empty one it runs none.
func New(dir string) *Connector { return &Connector{dir} }

// Close has nothing to let go of: programs end with their calls.
func (*Connector) Close() {}

// Forget has nothing to forget.
func (*Connector) Forget(access.Connection) {}

// Type is "hook".
func (*Connector) Type() string { return Type }

var served = []access.Mechanism{access.Checkout}

// Schema says what documents may contain for what a hook serves.
func (*Connector) Schema() access.Schema {
	return access.Schema{
		Type:       Type,
		Mechanisms: served,
		Connection: map[string]access.Option{
			"hook": {Doc: "the program that does it, by its name in the folder of hooks of the server", Required: true,
				Pattern: `[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}`, Form: "letters, digits, and the marks _ . -"},
			access.SecretOption: {Doc: "what its accounts open with: a password that Stint sets, a token that the target makes, a key, or a certificate", Default: string(access.PasswordSecret),
				Values: []string{string(access.PasswordSecret), string(access.TokenSecret), string(access.KeySecret), string(access.CertificateSecret)}},
		},
		Role: map[string]access.Option{},
	}
}

// Capabilities says what a target behind a hook can and cannot do: it knows no end of its own.
func (*Connector) Capabilities() connector.Capabilities {
	return connector.Capabilities{Mechanisms: served, Sweepable: true, SessionKill: true, MinTTL: time.Second}
}

// newText is what tells one thing from another, and a password that nobody keeps.
func newText() string { return rand.Text() + rand.Text() }

// refuse is an order that cannot be carried out as it is.
func refuse(message, next string) error {
	return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: message, Next: next}
}

// whole refuses what is no order of this connector.
func whole(o connector.Order) error {
	switch {
	case o.Mechanism != access.Checkout:
		return access.Fail(access.Invalid, "bad-mechanism", "a hook lends vaulted accounts, and nothing else")
	case !validTag(o.Tag):
		return access.Fail(access.Invalid, "bad-tag", "the order's tag has not the form of one")
	case !validAccount(o.Account):
		return access.Fail(access.Invalid, "bad-account", "the name of the account has letters, digits, and the marks _ . -").Because("it is " + strconv.Quote(o.Account))
	}
	return nil
}

// look asks how an account stands, and refuses one that no order may touch.
func (c *Connector) look(ctx context.Context, t connector.Target, account string) (answer, error) {
	a, err := c.call(ctx, t, question{Do: doLook, Account: account})
	switch {
	case err != nil:
		return a, err
	case a.Refused != "":
		return a, access.Fail(access.Denied, "account-refused", "the account "+account+" may not be lent").Because(public(a.Refused))
	case kind(t) == access.TokenSecret && *a.Exists && a.Tokens == nil:
		return a, &callError{errAnswer.Error(), nil}
	case account == t.Username:
		return a, access.Fail(access.Denied, "own-account", "the account "+account+" is the hook's own login")
	}
	return a, nil
}

// there is look, for what cannot go on without the account.
func (c *Connector) there(ctx context.Context, t connector.Target, account string) (answer, error) {
	if err := c.near(t); err != nil { // before anything is set that could not be proven
		return answer{}, err
	}
	a, err := c.look(ctx, t, account)
	if err == nil && !*a.Exists {
		err = access.Fail(access.NotFound, "no-such-account", "there is no account "+account+" on the target")
	}
	return a, err
}

// Observe refuses accounts that no order may touch. Nothing of an account is changed that
// would have to be put back.
func (c *Connector) Observe(ctx context.Context, t connector.Target, o connector.Order) (connector.Before, error) {
	if err := whole(o); err != nil {
		return connector.Before{}, err
	}
	if _, err := c.there(ctx, t, o.Account); err != nil {
		return connector.Before{}, err
	}
	return connector.Before{State: "{}"}, nil
}

// Provision lends the account.
func (c *Connector) Provision(ctx context.Context, t connector.Target, o connector.Order) (connector.Receipt, error) {
	r, err := c.provision(ctx, t, o)
	if err != nil {
		return connector.Receipt{}, failure(err)
	}
	return r, nil
}

func (c *Connector) provision(ctx context.Context, t connector.Target, o connector.Order) (r connector.Receipt, err error) {
	if err := whole(o); err != nil {
		return r, err
	}
	if !o.ExpiresAt.After(time.Unix(0, 0)) {
		return r, refuse("an order without an end is never carried out", "")
	}
	lent, turns := o.Secret, !o.Next.Empty()
	if turns {
		lent = o.Next
	}
	if lent.Empty() && o.Renew != connector.Extend {
		return r, refuse("the vault has no secret for "+o.Account, "add it: stint admin vault add")
	}
	a, err := c.there(ctx, t, o.Account)
	if err != nil {
		return r, err
	}
	s, err := c.read(ctx, t)
	if err != nil {
		return r, err
	}
	if err := checkClaim(s.claim, t); err != nil {
		return r, &connector.Error{Outcome: connector.NotDone, Message: err.Error(), Cause: err}
	}
	if s.other(o) {
		return r, busy(o)
	}
	m, mine := s.mine(o)
	if o.Renew == connector.Extend {
		if !mine {
			return r, &connector.Error{Outcome: connector.NotDone, Message: o.Account + " is not lent by this order any more"}
		}
		return connector.Receipt{Account: o.Account, Creation: m.Creation}, nil
	}
	if !mine {
		if m, err = c.place(ctx, t, o); err != nil {
			return r, err
		}
	}
	if turns && o.Renew == connector.Rotate {
		err := c.lock(ctx, t, o.Account, lent)
		if err == nil {
			_, err = c.call(ctx, t, question{Do: doEnd, Account: o.Account})
		}
		if err != nil {
			return r, unsure(err)
		}
	}
	if turns {
		if err := c.set(ctx, t, o.Account, lent, o.Secret); err != nil {
			return r, unsure(err)
		}
	}
	opens := false
	if a.Login || turns { // else as an end without the store leaves it, or an administrator
		if opens, err = c.opens(ctx, t, o.Account, lent); err == nil && opens {
			opens, err = c.alone(ctx, t, o.Account, lent)
		}
		if err != nil {
			return r, unsure(err)
		}
	}
	switch {
	case !opens && turns: // whoever is in may have set another meanwhile
		return r, &connector.Error{Outcome: connector.Unknown, Message: "the new " + string(kind(t)) + " of " + o.Account + " was set and does not open"}
	case !opens:
		return r, &connector.Error{Outcome: connector.NotDone, Message: "the " + string(kind(t)) + " of " + o.Account + " in the vault is not what opens it: somebody has changed that by hand", Cause: connector.ErrStale}
	}
	return c.receipt(ctx, t, o, m, lent, turns)
}

// unsure is an error of a step after which the mark stands: the order is not undone by it.
func unsure(err error) error {
	e := *failure(err)
	e.Outcome = connector.Unknown
	return &e
}

// credential is what a holder gets (api.Credential).
type credential struct {
	Type     string `json:"type"`
	Username string `json:"username"`
	Host     string `json:"host"`
	Port     int    `json:"port"`

	// One of these; a certificate has a key with it.
	Password    string `json:"password,omitempty"`
	Token       string `json:"token,omitempty"`
	PrivateKey  string `json:"private_key,omitempty"`
	Certificate string `json:"certificate,omitempty"`
}

func (c *Connector) receipt(ctx context.Context, t connector.Target, o connector.Order, m mark, lent access.Secret, turned bool) (connector.Receipt, error) {
	shown := credential{Type: Type, Username: o.Account, Host: t.Connection.Address}
	if err := c.fits(ctx, t, o.Account, lent, &shown); err != nil {
		return connector.Receipt{}, unsure(err)
	}
	if host, port, err := net.SplitHostPort(t.Connection.Address); err == nil {
		if n, err := strconv.Atoi(port); err == nil {
			shown.Host, shown.Port = host, n
		}
	}
	b, err := json.Marshal(shown)
	return connector.Receipt{Account: o.Account, Creation: m.Creation, Turned: turned, Credential: access.NewSecret(b)}, err
}

// atOnce is for how many orders programs run at a time.
const atOnce = 8

// each does one step of the way out for each order, with what the notes said before.
func (c *Connector) each(ctx context.Context, t connector.Target, os []connector.Order, step func(state, connector.Order) error) []connector.Result {
	rs := make([]connector.Result, len(os))
	s, err := c.read(ctx, t)
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, o := range os {
		if bad := whole(o); bad != nil {
			rs[i] = result(bad)
			continue
		}
		if err != nil {
			rs[i] = result(err)
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			rs[i] = result(step(s, o))
		})
	}
	all.Wait()
	return rs
}

// Revoke takes the login and gives the next password.
func (c *Connector) Revoke(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.each(ctx, t, os, func(s state, o connector.Order) error {
		_, mine := s.mine(o)
		if s.other(o) && !mine {
			return nil
		}
		if !mine && (o.Next.Empty() || o.Creation != "" && c.turned(ctx, t, o) == nil) {
			return nil // nothing was lent by this order, or it was done before
		}
		a, err := c.look(ctx, t, o.Account)
		if err != nil || !*a.Exists {
			return err
		}
		if !mine { // nothing of ours is there to end: this begins something
			if err := checkClaim(s.claim, t); err != nil {
				return err
			}
			if _, err := c.place(ctx, t, o); err != nil {
				return err
			}
		}
		return c.lock(ctx, t, o.Account, o.Next)
	})
}

// TerminateSessions ends the sessions of accounts that have no login any more.
func (c *Connector) TerminateSessions(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.each(ctx, t, os, func(s state, o connector.Order) error {
		if _, mine := s.mine(o); !mine {
			return nil
		}
		a, err := c.look(ctx, t, o.Account)
		if err != nil || !*a.Exists || a.Login {
			return err
		}
		_, err = c.call(ctx, t, question{Do: doEnd, Account: o.Account})
		return err
	})
}

// Remove gives the account back.
func (c *Connector) Remove(ctx context.Context, t connector.Target, os []connector.Order) []connector.Result {
	return c.each(ctx, t, os, func(s state, o connector.Order) error {
		if _, mine := s.mine(o); !mine {
			return nil
		}
		a, err := c.look(ctx, t, o.Account)
		switch {
		case err != nil:
			return err
		case *a.Exists && a.Login:
			return &connector.Error{Outcome: connector.NotDone, Message: "the account " + o.Account + " can still log in; revoke it first"}
		case *a.Exists && a.Sessions > 0:
			return &connector.Error{Outcome: connector.NotDone, Message: strconv.Itoa(a.Sessions) + " sessions of " + o.Account + " are still open"}
		case *a.Exists && !o.Next.Empty():
			if err := c.set(ctx, t, o.Account, o.Next, o.Secret); err != nil {
				return err
			}
		}
		_, err = c.swap(ctx, t, markPrefix+string(o.Tag), s.texts[o.Tag], "")
		return err
	})
}

// turned is nil when the next secret opens the account, alone, and the one before does not.
func (c *Connector) turned(ctx context.Context, t connector.Target, o connector.Order) error {
	opens, err := c.opens(ctx, t, o.Account, o.Next)
	if err != nil {
		return err
	}
	if !opens {
		return access.Fail(access.Pending, "not-turned", "the next "+string(kind(t))+" of "+o.Account+" is not yet what opens it")
	}
	switch alone, err := c.alone(ctx, t, o.Account, o.Next); {
	case err != nil:
		return err
	case !alone:
		return connector.ErrNotAlone
	}
	if o.Secret.Empty() || bytes.Equal(o.Secret.Reveal(), o.Next.Reveal()) {
		return nil
	}
	return c.dead(ctx, t, o)
}

// dead is nil when what was lent opens nothing.
func (c *Connector) dead(ctx context.Context, t connector.Target, o connector.Order) error {
	if kind(t) == access.TokenSecret && o.Next.Empty() { // else no other than the next one opens it
		k, err := c.token(ctx, t, o.Account, o.Secret)
		if err == nil && k.value == "" {
			err = access.Fail(access.Pending, "not-known", "the note with the token of "+o.Account+" is gone, and so it cannot be tried")
		}
		if err != nil {
			return err
		}
	}
	opens, err := c.opens(ctx, t, o.Account, o.Secret)
	if err == nil && opens {
		return access.Fail(access.Conflict, "secret-lives", "the "+string(kind(t))+" of "+o.Account+" that was lent still opens it")
	}
	return err
}

// Verify reads back.
func (c *Connector) Verify(ctx context.Context, t connector.Target, os []connector.Order) []connector.Observation {
	found := make([]connector.Observation, len(os))
	s, err := c.read(ctx, t)
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, o := range os {
		if bad := whole(o); bad != nil {
			found[i].Err = bad
			continue
		}
		if err != nil {
			found[i].Sessions, found[i].Err = -1, err
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			v, err := c.verify(ctx, t, s, o)
			if err != nil {
				v = connector.Observation{Sessions: -1, Err: err}
			}
			found[i] = v
		})
	}
	all.Wait()
	return found
}

func (c *Connector) verify(ctx context.Context, t connector.Target, s state, o connector.Order) (v connector.Observation, err error) {
	a, err := c.call(ctx, t, question{Do: doLook, Account: o.Account})
	if err != nil {
		return v, err
	}
	_, mine := s.mine(o)
	switch {
	case !*a.Exists:
		v.Presence = connector.Absent
	case mine && a.Login:
		v.Presence, v.Sessions = connector.Present, a.Sessions
	case mine:
		v.Sessions, v.Err = a.Sessions, access.Fail(access.Pending, "mark-left", o.Account+" cannot log in, and has not got its next "+string(kind(t))+" yet")
	case s.other(o): // what it is now is another order's
		v.Presence = connector.Absent
	case !o.Next.Empty():
		if v.Err = c.turned(ctx, t, o); v.Err == nil {
			v.Presence, v.Turned = connector.Absent, true
		}
	case a.Login && o.Creation != "" && !o.Secret.Empty():
		if v.Err = c.dead(ctx, t, o); v.Err == nil {
			v.Presence = connector.Absent
		}
	default:
		v.Presence = connector.Absent
	}
	if v.Sessions > 0 {
		v.LastActive = time.Now().Add(-time.Duration(a.Idle) * time.Second)
	}
	return v, nil
}

// Inventory lists the marks.
func (c *Connector) Inventory(ctx context.Context, t connector.Target) iter.Seq2[connector.Artefact, error] {
	return func(yield func(connector.Artefact, error) bool) {
		s, err := c.read(ctx, t)
		if err != nil {
			yield(connector.Artefact{}, failure(err))
			return
		}
		var tags []access.Tag
		for tag := range s.marks {
			tags = append(tags, tag)
		}
		slices.Sort(tags)
		for _, tag := range tags {
			m := s.marks[tag]
			if !yield(connector.Artefact{Mechanism: access.Checkout, Account: m.Account, Creation: m.Creation, Tag: tag, Ours: true,
				Detail: "the account " + m.Account + " is lent or rotated"}, nil) {
				return
			}
		}
	}
}

// Check proves that the program may be run and knows its work, and that notes can be kept.
func (c *Connector) Check(ctx context.Context, t connector.Target) (rep connector.Report) {
	step := func(name string, err error, fix string) bool {
		s := connector.Step{Name: name, OK: err == nil}
		if err != nil {
			e := failure(err)
			if s.Detail, s.Fix = e.Message, e.Next; s.Fix == "" {
				s.Fix = fix
			}
		}
		rep.Steps = append(rep.Steps, s)
		return err == nil
	}
	name := t.Connection.Options["hook"]
	if _, err := c.program(name); !step("the hook "+name+" can be called, and changed by root alone", err, "") {
		return rep
	}
	if private(t) && !step("it is a program of this host, so that no private key leaves it", c.near(t), "") {
		return rep
	}
	a, err := c.call(ctx, t, question{Do: doCheck})
	if !step("it reaches the target", err, "call it by hand: echo '{\"version\":1,\"do\":\"check\", …}' | "+name) {
		return rep
	}
	for _, s := range a.Steps {
		one := connector.Step{Name: public(s.Name), OK: s.OK, Detail: public(s.Detail), Fix: public(s.Fix)}
		if !one.OK && strings.TrimSpace(one.Fix) == "" {
			one.Fix = "see what the hook says of itself"
		}
		rep.Steps = append(rep.Steps, one)
	}
	canary, value := "check-"+strings.ToLower(rand.Text()), newText()
	done, err := c.swap(ctx, t, canary, "", value)
	if err == nil && !done {
		err = &connector.Error{Message: "a note that is not there could not be made"}
	}
	if err == nil {
		if again, fail := c.swap(ctx, t, canary, "", newText()); fail != nil || again {
			err = &connector.Error{Message: "a note was put in the place of one that should not have been there", Cause: fail}
		}
	}
	if gone, fail := c.swap(ctx, t, canary, value, ""); err == nil && (fail != nil || !gone) {
		err = &connector.Error{Message: "a note could not be taken away", Cause: fail}
	}
	step("it keeps notes, each whole", err, "see do: note in the documentation of hooks")
	return rep
}
