package postgres

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/pgtest"
)

// halfway is a client that was asked for its password and takes its time.
type halfway struct {
	finish func() error // goes on, and says how it went
}

// paused holds back what a client says about its password until it may go on.
type paused struct {
	net.Conn
	asked func()
	goOn  <-chan struct{}
}

func (p *paused) Write(b []byte) (int, error) {
	if len(b) > 0 && b[0] == 'p' {
		p.asked()
		<-p.goOn
	}
	return p.Conn.Write(b)
}

// halfway begins to log in, and returns once the server has asked for the password.
func (w *world) halfway(account, password string) halfway {
	w.t.Helper()
	cfg, err := pgx.ParseConfig(w.server.DSN(account, password, w.database))
	if err != nil {
		w.t.Fatal(err)
	}
	asked, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	tell, let := sync.OnceFunc(func() { close(asked) }), sync.OnceFunc(func() { close(goOn) })
	cfg.TLSConfig, cfg.Fallbacks, cfg.ConnectTimeout = nil, nil, 0 // TLS would hide the messages
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &paused{Conn: conn, asked: tell, goOn: goOn}, err
	}
	go func() {
		conn, err := pgx.ConnectConfig(context.Background(), cfg)
		if err == nil {
			_ = conn.Close(context.Background())
		}
		ended <- err
	}()
	w.t.Cleanup(let)
	select {
	case <-asked:
	case err := <-ended:
		w.t.Fatalf("log in halfway as %s: %v", account, err)
	}
	return halfway{func() error { let(); return <-ended }}
}

// refused checks that a log-in which goes on now fails for want of LOGIN: its password
// was right when it began.
func (h halfway) refused(t *testing.T) {
	t.Helper()
	if err := h.finish(); err == nil {
		t.Error("a log-in that began with the password of before got in")
	} else if !strings.Contains(err.Error(), codeBadAuth) {
		t.Errorf("the log-in failed otherwise: %v", err)
	}
}

func (w *world) canLogin(account string) bool {
	w.t.Helper()
	return query[bool](w, "SELECT rolcanlogin FROM pg_authid WHERE rolname = $1", account)
}

// ended ends the order until that is done.
func (w *world) ended(o connector.Order) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		got := w.end(o)
		if got.Outcome == connector.Done {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("end: %v", got.Err)
		}
	}
}

// wantHeld checks that the account is kept back as long as a log-in is under way.
func (w *world) wantHeld(o connector.Order, got connector.Result) {
	w.t.Helper()
	if got.Outcome != connector.NotDone || got.Err == nil || !strings.Contains(got.Err.Error(), "log-ins that are under way") {
		w.t.Errorf("with a log-in under way: %v %v", got.Outcome, got.Err)
	}
	if w.canLogin(o.Account) {
		w.t.Error("the account has its login back while a log-in with what was lent is under way")
	}
	if v := w.c.Verify(w.t.Context(), w.target, []connector.Order{o})[0]; v.Presence == connector.Absent {
		w.t.Error("it is told gone while a log-in with what was lent is under way")
	}
}

// TestReturnAwaitsLogins: a log-in that began with what was lent, and is finished after
// the return, finds the account without login; so does one with a password that the
// borrower has set between the revocation and the end of the sessions.
func TestReturnAwaitsLogins(t *testing.T) {
	w := newWorld(t)
	for name, own := range map[string]bool{"lent": false, "their own": true} {
		t.Run(name, func(t *testing.T) {
			o := w.observed(w.Order(access.Checkout))
			o, r := w.provision(o)
			o.Next = access.NewSecret([]byte("next of the vault"))
			var half halfway
			if own {
				s, err := w.Session(o, r)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if got := w.c.Revoke(t.Context(), w.target, []connector.Order{o})[0]; got.Outcome != connector.Done {
					t.Fatal(got.Err)
				}
				if _, err := s.(pgSession).conn.Exec(t.Context(), "ALTER ROLE CURRENT_USER PASSWORD 'mine'"); err != nil {
					t.Fatal(err)
				}
				half = w.halfway(o.Account, "mine")
				if got := w.c.TerminateSessions(t.Context(), w.target, []connector.Order{o})[0]; got.Outcome != connector.Done {
					t.Fatal(got.Err)
				}
				w.wantHeld(o, w.c.Remove(t.Context(), w.target, []connector.Order{o})[0])
			} else {
				half = w.halfway(o.Account, string(o.Secret.Reveal()))
				w.wantHeld(o, w.end(o))
			}
			half.refused(t)
			w.ended(o)
			if !w.opens(o.Account, "next of the vault") || w.opens(o.Account, string(o.Secret.Reveal())) || w.opens(o.Account, "mine") {
				t.Error("after the return another password opens than the next one")
			}
		})
	}
}

// TestShutCountsAnew: an account that is lent again under its mark, before it came back,
// may have been shut long ago; that says nothing of log-ins that begin now.
func TestShutCountsAnew(t *testing.T) {
	w := newWorld(t)
	o, _ := w.provision(w.observed(w.Order(access.Checkout)))
	o.Next = access.NewSecret([]byte("next of the vault"))
	half := w.halfway(o.Account, string(o.Secret.Reveal()))
	w.wantHeld(o, w.end(o))
	half.refused(t)
	mark := markName(o.Mechanism, o.Tag)
	shut := func() int64 {
		return readNote(query[string](w, "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1", mark)).ShutUS
	}
	if shut() == 0 {
		t.Fatal("when it was shut is not in the mark")
	}
	w.provision(o)
	if at := shut(); at != 0 {
		t.Errorf("lent again, it says to be shut at %d", at)
	}
	o.Secret, o.Next = o.Next, access.NewSecret([]byte("the one after"))
	w.ended(o)
}

// TestReturnIsNotKeptAway: who begins log-ins all the time, and ends none, keeps an
// account away for authentication_timeout, and no longer.
func TestReturnIsNotKeptAway(t *testing.T) {
	w := newWorldOn(t, pgtest.Start(t, pgtest.Options{Conf: map[string]string{"authentication_timeout": "5s"}}))
	o, _ := w.provision(w.observed(w.Order(access.Checkout)))
	o.Next = access.NewSecret([]byte("next of the vault"))
	w.halfway(o.Account, string(o.Secret.Reveal()))
	w.wantHeld(o, w.end(o))
	for deadline := time.Now().Add(time.Minute); ; {
		w.halfway(o.Account, "of a stranger") // longer under way than one attempt waits
		if got := w.end(o); got.Outcome == connector.Done {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("kept away: %v", got.Err)
		}
	}
	if !w.opens(o.Account, "next of the vault") {
		t.Error("the next password does not open")
	}
}

// TestReplacedPasswordAwaitsLogins: where a password is replaced, for those who stay or
// for the next one, who began with the one before does not get in.
func TestReplacedPasswordAwaitsLogins(t *testing.T) {
	w := newWorld(t)
	for name, test := range map[string]struct {
		m    access.Mechanism
		anew bool // ended, and provisioned once more for another
	}{
		"account": {m: access.Account}, "enabled": {m: access.Enable}, "vaulted": {m: access.Checkout}, "enabled anew": {m: access.Enable, anew: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := w.Order(test.m)
			if test.m != access.Account {
				o = w.observed(o)
			}
			o, r := w.provision(o)
			half := w.halfway(o.Account, w.password(r))
			if test.anew {
				w.ended(o)
				o.Tag, o.Creation, o.Before = connectortest.NewTag(), "", ""
				o = w.observed(o)
			} else {
				o.Renew = connector.Rotate
			}
			if test.m == access.Checkout {
				o.Next = access.NewSecret([]byte("next of the vault"))
			}
			short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if _, err := w.c.Provision(short, w.target, o); err == nil {
				t.Error("a new password was given while a log-in with the one before was under way")
			}
			if w.canLogin(o.Account) {
				t.Error("the account can log in while a log-in with the password before is under way")
			}
			half.refused(t)
			_, fresh := w.provision(o)
			s, err := w.Session(o, fresh)
			if err != nil {
				t.Fatalf("the new password: %v", err)
			}
			s.Close()
			if w.opens(o.Account, w.password(r)) {
				t.Error("the password of before opens")
			}
		})
	}
}

// password is the one that a receipt shows.
func (w *world) password(r connector.Receipt) string {
	w.t.Helper()
	var c credential
	if err := json.Unmarshal(r.Credential.Reveal(), &c); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig(c.URI + "&sslrootcert=" + w.server.CAFile)
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg.Password
}
