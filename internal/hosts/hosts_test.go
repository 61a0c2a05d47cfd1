package hosts_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
	"stint/internal/hosts"
	"stint/internal/store"
)

type shape struct{ *store.Store }

func (s shape) Update(ctx context.Context, fn func(hosts.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s shape) View(ctx context.Context, fn func(hosts.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

type key struct{ ed25519.PrivateKey }

func (k key) Sign(m []byte) []byte      { return ed25519.Sign(k.PrivateKey, m) }
func (k key) Public() ed25519.PublicKey { return k.PrivateKey.Public().(ed25519.PublicKey) }

func newKey() key {
	_, k, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	return key{k}
}

var orders = newKey()

// peers links desks as replicas are.
type peers struct{ others []*hosts.Desk }

func (p *peers) Others() int { return len(p.others) }
func (p *peers) TellHosts(names, answered []string) {
	for _, d := range p.others {
		d.Hear(names, answered)
	}
}

type world struct {
	*testing.T
	store    shape
	register *hosts.Register
}

func newWorld(t *testing.T) *world {
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "stint.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t, shape{st}, hosts.NewRegister(shape{st}, orders.Public())}
}

func (w *world) desk(p hosts.Peers) *hosts.Desk {
	return hosts.NewDesk(w.register, w.store, p, slog.New(slog.DiscardHandler))
}

var by = access.Actor{Principal: "user:ada", Person: "ada"}

func (w *world) enrol(name string, agent access.DeviceID, k key) access.Host {
	w.Helper()
	code, err := w.register.Invite(w.Context(), by, name)
	if err != nil {
		w.Fatal(err)
	}
	h, err := w.register.Enrol(w.Context(), code.Text, agent, k.Public(), "v1", netip.Addr{})
	if err != nil {
		w.Fatal(err)
	}
	return h
}

func (w *world) call(host string) (access.HostCall, envelope.Call, envelope.Sealed) {
	w.Helper()
	now := time.Now()
	c := envelope.Call{ID: envelope.NewID(), Installation: "i", Epoch: 1, Host: host, IssuedAt: now, NotAfter: now.Add(20 * time.Second), Method: envelope.Check}
	text, err := c.Seal(orders)
	if err != nil {
		w.Fatal(err)
	}
	return access.HostCall{ID: c.ID, Host: host, Call: string(text), DueAt: c.NotAfter}, c, text
}

func answerTo(t *testing.T, c access.HostCall, by key) string {
	t.Helper()
	text, err := envelope.Answer{ID: c.ID, Host: c.Host, At: time.Now()}.Seal(envelope.Sealed(c.Call), by)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEnrolment(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	first, err := w.register.Invite(ctx, by, "web1:22")
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.register.Invite(ctx, by, "web1:22")
	if err != nil {
		t.Fatal(err)
	}
	text := string(second.Text.Reveal())
	if _, pin, _ := strings.Cut(text, "."); pin != envelope.Pin(orders.Public()) || time.Until(second.Until) > hosts.CodeFor {
		t.Errorf("the code does not name the key that signs, or is good for long: %v", second.Until)
	}
	a := newKey()
	for name, code := range map[string]string{"replaced": string(first.Text.Reveal()), "none": "", "cut": text[:len(text)-1], "another's": strings.Replace(text, "stint-host-", "stint-enroll-", 1)} {
		if _, err := w.register.Enrol(ctx, access.NewSecret([]byte(code)), "a", a.Public(), "v1", netip.Addr{}); !errors.Is(err, access.Unauthenticated) {
			t.Errorf("a code that is %s: %v", name, err)
		}
	}
	h, err := w.register.Enrol(ctx, access.NewSecret([]byte(text+"\n")), "a", a.Public(), "v1", netip.Addr{})
	if err != nil || h.Name != "web1:22" || !h.Enrolled() {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, err := w.register.Enrol(ctx, second.Text, "b", newKey().Public(), "v1", netip.Addr{}); !errors.Is(err, access.Unauthenticated) {
		t.Errorf("a code twice: %v", err)
	}
	other, err := w.register.Invite(ctx, by, "web2:22")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.register.Enrol(ctx, other.Text, "a", a.Public(), "v1", netip.Addr{}); !errors.Is(err, access.Conflict) {
		t.Errorf("one agent for two hosts: %v", err)
	}
	// Enrolled anew, the agent before is none any more; revoked, nobody is.
	w.enrol("web1:22", "b", newKey())
	if _, err := w.register.Of(ctx, "a"); !errors.Is(err, access.Unauthenticated) {
		t.Errorf("the agent before: %v", err)
	}
	if h, err := w.register.Of(ctx, "b"); err != nil || h.Name != "web1:22" {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := w.register.Revoke(ctx, by, "web1:22"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.register.Of(ctx, "b"); !errors.Is(err, access.Unauthenticated) {
		t.Errorf("a revoked agent: %v", err)
	}
	if _, err := w.register.Revoke(ctx, by, "web9:22"); !errors.Is(err, access.NotFound) {
		t.Errorf("no such host: %v", err)
	}
}

func TestDesk(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	k1, k2 := newKey(), newKey()
	h1, h2 := w.enrol("h1:22", "a1", k1), w.enrol("h2:22", "a2", k2)
	d := w.desk(nil)
	if _, _, err := d.Carry(ctx, access.HostCall{ID: "x", Host: "h3:22", DueAt: time.Now().Add(time.Minute)}); !errors.Is(err, envelope.ErrNotSent) {
		t.Errorf("to a host without an agent: %v", err)
	}
	c, _, _ := w.call("h1:22")
	ending, _, _ := w.call("h1:22")
	ending.Ends = true
	type got struct {
		text string
		key  ed25519.PublicKey
		err  error
	}
	carry := func(c access.HostCall) chan got {
		out := make(chan got, 1)
		go func() { text, key, err := d.Carry(ctx, c); out <- got{text, key, err} }()
		return out
	}
	one, two := carry(c), carry(ending)
	for n, _ := d.Waiting(); n < 2; n, _ = d.Waiting() {
		time.Sleep(time.Millisecond)
	}
	if calls, err := d.Poll(ctx, h2, hosts.Poll{Ends: 9, Rest: 9}); err != nil || len(calls) != 0 {
		t.Errorf("another host is handed %v, %v", calls, err)
	}
	calls, err := d.Poll(ctx, h1, hosts.Poll{Ends: 9, Rest: 9, Wait: time.Second})
	if err != nil || len(calls) != 2 || !calls[0].Ends {
		t.Fatalf("%+v, %v", calls, err)
	}
	if again, err := d.Poll(ctx, h1, hosts.Poll{Ends: 9, Rest: 9}); err != nil || len(again) != 0 {
		t.Errorf("handed twice: %v %v", again, err)
	}
	// Another host's agent answers, and nothing comes of it but an alarm.
	if _, err := d.Poll(ctx, h2, hosts.Poll{Answers: []string{answerTo(t, c, k2), "garbage"}}); err != nil {
		t.Error(err)
	}
	select {
	case g := <-one:
		t.Fatalf("answered by another host: %+v", g)
	default:
	}
	if h, err := w.register.List(ctx); err != nil || h[1].Version != h2.Version+1 {
		t.Errorf("no alarm about it: %+v %v", h, err)
	}
	if _, err := d.Poll(ctx, h1, hosts.Poll{Answers: []string{answerTo(t, c, k1), answerTo(t, ending, k1)}}); err != nil {
		t.Error(err)
	}
	for _, ch := range []chan got{one, two} {
		if g := <-ch; g.err != nil || !g.key.Equal(k1.Public()) || g.text == "" {
			t.Errorf("%+v", g)
		}
	}
	// What nobody was handed was not sent; what somebody was, is not known.
	short, _, _ := w.call("h1:22")
	short.DueAt = time.Now().Add(50 * time.Millisecond)
	if g := <-carry(short); !errors.Is(g.err, envelope.ErrNotSent) {
		t.Errorf("nobody came for it: %v", g.err)
	}
	within, cancel := context.WithTimeout(ctx, 2*time.Second) // it is handed over before
	defer cancel()
	lost, _, _ := w.call("h1:22")
	done := make(chan error, 1)
	go func() { _, _, err := d.Carry(within, lost); done <- err }()
	if calls, err := d.Poll(ctx, h1, hosts.Poll{Ends: 1, Rest: 1, Wait: 5 * time.Second}); err != nil || len(calls) != 1 {
		t.Errorf("%v %v", calls, err)
	}
	if err := <-done; errors.Is(err, envelope.ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it was handed over and not answered: %v", err)
	}
	if n, _ := d.Waiting(); n != 0 {
		t.Errorf("%d calls are left over", n)
	}
}

// Calls and answers find their way by whichever replicas the agent asks.
func TestDeskAmongReplicas(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	k := newKey()
	h := w.enrol("h1:22", "a1", k)
	var pa, pb peers
	a, b := w.desk(&pa), w.desk(&pb)
	pa.others, pb.others = []*hosts.Desk{b}, []*hosts.Desk{a}
	for i, route := range []struct{ ask, answer *hosts.Desk }{{b, b}, {a, b}, {b, a}} {
		c, _, _ := w.call("h1:22")
		done := make(chan error, 1)
		go func() {
			within, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			_, key, err := a.Carry(within, c)
			if err == nil && !key.Equal(k.Public()) {
				err = errors.New("another key")
			}
			done <- err
		}()
		calls, err := route.ask.Poll(ctx, h, hosts.Poll{Ends: 4, Rest: 4, Wait: 10 * time.Second})
		if err != nil || len(calls) != 1 || calls[0].Call != c.Call {
			t.Fatalf("%d: %+v, %v", i, calls, err)
		}
		if _, err := route.answer.Poll(ctx, h, hosts.Poll{Answers: []string{answerTo(t, c, k)}}); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	c, _, _ := w.call("h1:22")
	c.DueAt = time.Now().Add(time.Second)
	within, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if _, _, err := a.Carry(within, c); !errors.Is(err, envelope.ErrNotSent) {
		t.Errorf("nobody came for it anywhere: %v", err)
	}
}
