package host

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
	"stint/internal/connector/linux"
)

// TestVaultedRefused: what would end more than an account of people, and what does not say a
// password as a host keeps it, is refused before anything is done.
func TestVaultedRefused(t *testing.T) {
	w := newWorld(t)
	engine := "engine" + strconv.FormatInt(worlds.Add(1), 10)
	w.run("useradd", "--system", "--shell", "/bin/sh", engine)
	shell := w.user("noshell")
	w.run("usermod", "--shell", "/usr/sbin/nologin", shell)
	made, _ := w.c.Provision(t.Context(), w.Target(), w.Order(access.Account))
	for _, name := range []string{"root", "daemon", "nobody", engine, shell, made.Account} {
		o := connector.Order{Tag: connectortest.NewTag(), Mechanism: access.Checkout, Account: name, ExpiresAt: time.Now().Add(time.Hour), Next: access.NewSecret([]byte("next"))}
		before := w.entry("shadow", name)
		if _, err := w.Connector().Observe(t.Context(), w.Target(), o); !errors.Is(err, access.Denied) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Connector().Provision(t.Context(), w.Target(), o); err == nil {
			t.Errorf("%s is lent", name)
		}
		if r := w.Connector().Revoke(t.Context(), w.Target(), []connector.Order{o})[0]; r.Outcome == connector.Done {
			t.Errorf("%s is rotated", name)
		}
		if after := w.entry("shadow", name); strings.Join(after, ":") != strings.Join(before, ":") {
			t.Errorf("%s was changed", name)
		}
	}
	o := w.Order(access.Checkout)
	was := w.entry("shadow", o.Account)
	for _, text := range []string{"hunter2", "!", "$6$x$y", "x\nroot:", strings.Repeat("x", 10_000)} {
		bad := o
		bad.Next = access.NewSecret([]byte(text))
		if _, err := w.c.Provision(t.Context(), w.Target(), bad); err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
		if r := w.c.Revoke(t.Context(), w.Target(), []connector.Order{bad})[0]; r.Outcome != connector.NotDone {
			t.Errorf("%q: %+v", text, r)
		}
	}
	if now := w.entry("shadow", o.Account); strings.Join(now, ":") != strings.Join(was, ":") {
		t.Error("the account was changed")
	}
	if salts, err := w.c.Salts(t.Context(), w.Target(), []connector.Order{{Mechanism: access.Checkout, Tag: o.Tag, Account: "root"}, {Mechanism: access.Token, Tag: o.Tag, Account: o.Account}, {}}); err != nil || strings.Join(salts, "") != "" {
		t.Errorf("it tells %q, %v", salts, err)
	}
}

// TestOthersAreNotLent: under the tag of what another mechanism gave nothing is lent, ended
// or replaced, so that no order reaches a password that is in no vault.
func TestOthersAreNotLent(t *testing.T) {
	w := newWorld(t)
	for _, m := range []access.Mechanism{access.Member, access.Enable, access.Account} {
		o := w.Order(m)
		r, err := w.Connector().Provision(t.Context(), w.Target(), o)
		must(t, err)
		n, _, err := w.c.readNote(o.Tag)
		must(t, err)
		before := w.entry("shadow", n.Account)
		bad := o
		bad.Mechanism, bad.Account, bad.Creation = access.Checkout, n.Account, strconv.Itoa(n.UID)
		for _, next := range []string{"", "chosen"} {
			if bad.Next = (access.Secret{}); next != "" {
				bad.Next = access.NewSecret([]byte(next))
			}
			if _, err := w.Connector().Provision(t.Context(), w.Target(), bad); err == nil {
				t.Errorf("%s: it is lent", m)
			}
			for _, end := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{w.Connector().Revoke, w.Connector().TerminateSessions, w.Connector().Remove} {
				if r := end(t.Context(), w.Target(), []connector.Order{bad})[0]; r.Outcome == connector.Done {
					t.Errorf("%s: it is ended as a password that was lent", m)
				}
			}
			if after := w.entry("shadow", n.Account); strings.Join(after, ":") != strings.Join(before, ":") {
				t.Errorf("%s: %s was changed", m, n.Account)
			}
		}
		if is, ok, err := w.c.readNote(o.Tag); !ok || err != nil || is.Mechanism != m {
			t.Errorf("%s: the note is %+v, %t, %v", m, is, ok, err)
		}
		o.Creation = r.Creation
		if r := w.Connector().Revoke(t.Context(), w.Target(), []connector.Order{o})[0]; r.Outcome != connector.Done {
			t.Errorf("%s: it does not end any more: %+v", m, r)
		}
	}
}

// TestVaultedOnTheWay: what stands in a list of processes holds no hash; a password that was
// set while the account came back is replaced; and its day of expiry is as it was.
func TestVaultedOnTheWay(t *testing.T) {
	w := newWorld(t)
	c, target := w.Connector(), w.Target()
	o := w.Order(access.Checkout)
	w.run("usermod", "--expiredate", "2099-12-31", o.Account)
	day := w.entry("shadow", o.Account)[7]
	run, feed := w.c.tools.run, w.c.tools.feed
	w.c.tools.run = func(ctx context.Context, name string, args ...string) error {
		if strings.Contains(strings.Join(args, " "), "$") {
			t.Errorf("%s has a hash among its arguments", name)
		}
		return run(ctx, name, args...)
	}
	w.c.tools.feed = func(ctx context.Context, input, name string, args ...string) error {
		if strings.Contains(strings.Join(args, " "), "$") {
			t.Errorf("%s has a hash among its arguments", name)
		}
		return feed(ctx, input, name, args...)
	}
	r, err := c.Provision(t.Context(), target, o)
	must(t, err)
	o.Creation, o.Next = r.Creation, access.NewSecret([]byte("the next one"))
	os := []connector.Order{o}
	done := func(rs []connector.Result) {
		t.Helper()
		if rs[0].Outcome != connector.Done {
			t.Fatalf("%+v", rs[0])
		}
	}
	done(c.Revoke(t.Context(), target, os))
	if !w.expired(o.Account) || !w.fits(o.Account, "the next one") {
		t.Error("it is not shut with the next password")
	}
	done(c.TerminateSessions(t.Context(), target, os))
	w.setPassword(o.Account, "mine") // by a passwd that was under way
	done(c.Remove(t.Context(), target, os))
	if v := c.Verify(t.Context(), target, os)[0]; !v.Gone() || !v.Turned || !w.fits(o.Account, "the next one") {
		t.Errorf("read back %+v", v)
	}
	if now := w.entry("shadow", o.Account)[7]; now != day {
		t.Errorf("the day of expiry was %s and is %s", day, now)
	}
	// Somebody makes it change at the next log-in, or lets it expire: it does not open.
	for _, undo := range [][2][]string{{{"chage", "-d", "0"}, {"chage", "-d", "2026-01-01"}}, {{"usermod", "--expiredate", "1970-01-02"}, {"usermod", "--expiredate", ""}}} {
		w.run(undo[0][0], append(undo[0][1:], o.Account)...)
		if v := c.Verify(t.Context(), target, os)[0]; v.Turned || v.Gone() {
			t.Errorf("%v: read back %+v", undo[0], v)
		}
		w.run(undo[1][0], append(undo[1][1:], o.Account)...)
	}
	// A password in a form that is not understood fits nothing, and who adds it is told so.
	if words, err := linux.Tell(o, "$y$j9T$abc$"); err != nil || !strings.HasPrefix(words.Next, "$6$") || strings.Contains(words.Next, " ") {
		t.Errorf("%+v, %v", words, err)
	}
}

// TestShut: what a judged host says instead of comparing. A password that is only locked is
// one that was lent as soon as somebody unlocks it.
func TestShut(t *testing.T) {
	w := newWorld(t)
	o := w.Order(access.Checkout)
	shut := func() bool {
		t.Helper()
		is, err := w.c.Shut(t.Context(), w.Target(), []connector.Order{o})
		must(t, err)
		return is[0]
	}
	if shut() {
		t.Error("it has a password")
	}
	w.run("usermod", "--lock", o.Account)
	if shut() {
		t.Error("it is only locked")
	}
	w.run("usermod", "--password", "", o.Account)
	if shut() {
		t.Error("it opens without a password")
	}
	w.run("usermod", "--password", noPassword, o.Account)
	if !shut() {
		t.Error("it has none")
	}
	w.run("userdel", "--force", o.Account)
	if !shut() {
		t.Error("it is not there")
	}
}

// TestEndsWithoutANext: what a judged host does at the end of what was lent before it judged.
func TestEndsWithoutANext(t *testing.T) {
	w := newWorld(t)
	c, target := w.Connector(), w.Target()
	o := w.Order(access.Checkout)
	r, err := c.Provision(t.Context(), target, o)
	must(t, err)
	end := o
	end.Creation, end.Secret, end.Next = r.Creation, access.Secret{}, access.Secret{}
	for _, step := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{c.Revoke, c.TerminateSessions, c.Remove} {
		if got := step(t.Context(), target, []connector.Order{end})[0]; got.Outcome != connector.Done {
			t.Fatalf("%+v", got)
		}
	}
	if v := c.Verify(t.Context(), target, []connector.Order{end})[0]; !v.Gone() {
		t.Errorf("read back %+v", v)
	}
	if is, err := w.c.Shut(t.Context(), target, []connector.Order{end}); err != nil || !is[0] {
		t.Errorf("it has a password: %v", err)
	}
	// An order that made nothing changes nothing, be it of an account that has a password.
	w.setPassword(o.Account, "its own")
	end.Tag = connectortest.NewTag()
	before := w.entry("shadow", o.Account)
	for _, step := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{c.Revoke, c.TerminateSessions, c.Remove} {
		step(t.Context(), target, []connector.Order{end})
	}
	if after := w.entry("shadow", o.Account); strings.Join(after, ":") != strings.Join(before, ":") {
		t.Error("an account was ended that the order never had")
	}
}
