package sshgate

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/gateway"
)

// The hostile client. Each test names the class of weakness that it looks for: A1 to F10
// are those of docs/rfd/0036-ssh-gateway.md.

const (
	failure = 51
	success = 52
	pkOK    = 60
)

// TestA1OfferedIsNotProven offers keys of an administrator and signs with others.
func TestA1OfferedIsNotProven(t *testing.T) {
	w := newWorld(t, nil)
	keys := map[string]ssh.Signer{}
	for _, who := range []string{"admin", "eve", "tom", "ida"} {
		keys[who] = newKey(t)
		w.persons[string(keys[who].PublicKey().Marshal())] = who
	}
	begin := func() *raw {
		r := dialRaw(t, w.address)
		if err := r.handshake(); err != nil {
			t.Fatal(err)
		}
		r.service()
		return r
	}
	opened := func() int { return len(w.control.asked()) }

	r := begin()
	if got := r.offer("web1", keys["admin"].PublicKey()); got != pkOK {
		t.Fatalf("offering: %d", got)
	}
	if opened() != 0 {
		t.Error("the control plane was asked for a key that was merely offered")
	}
	if got := r.none("web1"); got == success {
		t.Error("offered, and signed in by nothing")
	}
	if got := r.sign("web1", keys["admin"].PublicKey(), keys["eve"], r.session); got == success {
		t.Error("signed in as admin with eve's signature")
	}
	r = begin()
	if got := r.sign("web1", keys["admin"].PublicKey(), keys["admin"], make([]byte, 32)); got == success {
		t.Error("a signature over another session was taken")
	}
	if opened() != 0 {
		t.Error("the control plane was asked for a key that proved nothing")
	}
	// Any order of offers, and one that signs: it is always the one that signed.
	names := []string{"admin", "eve", "tom", "ida"}
	for range 12 {
		r := begin()
		for range rand.IntN(4) {
			r.offer("web1", keys[names[rand.IntN(len(names))]].PublicKey())
		}
		who := names[rand.IntN(len(names))]
		if got := r.sign("web1", keys[who].PublicKey(), keys[who], r.session); got != success {
			t.Fatalf("%s: %d", who, got)
		}
		w.control.set(func() {
			if last := w.facts[len(w.facts)-1]; w.persons[string(last.Key)] != who {
				t.Errorf("%s signed, and it is %s", who, w.persons[string(last.Key)])
			}
		})
	}
}

// TestA2Certificates are certificates that must not be taken, and two that must.
func TestA2Certificates(t *testing.T) {
	w := newWorld(t, nil)
	person, other, hostKey := newKey(t), newKey(t), newKey(t)
	w.persons[string(person.PublicKey().Marshal())] = "mira"
	nested := certify(t, w.ca, other.PublicKey(), ssh.UserCert, nil)
	nestedSigner, err := ssh.NewCertSigner(nested, other)
	if err != nil {
		t.Fatal(err)
	}
	revokedCA := newKey(t)
	later := func(d time.Duration) uint64 { return uint64(time.Now().Add(d).Unix()) }
	tests := []struct {
		name  string
		ca    ssh.Signer
		kind  uint32
		spoil func(*ssh.Certificate)
		want  bool
	}{
		{"right", w.ca, ssh.UserCert, nil, true},
		{"right address", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{sourceAddress: "127.0.0.0/8"} }, true},
		{"stranger's authority", other, ssh.UserCert, nil, false},
		{"host authority", w.hostCA, ssh.UserCert, nil, false},
		{"of a host", w.ca, ssh.HostCert, nil, false},
		{"of a host by its authority", w.hostCA, ssh.HostCert, nil, false},
		{"signed by a key that has a certificate", other, ssh.UserCert, nil, false},
		{"no principals", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidPrincipals = nil }, false},
		{"principal star", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"*"} }, false},
		{"star beside the right one", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"stint-test", "*"} }, false},
		{"empty principal", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidPrincipals = []string{""} }, false},
		{"principal of another grant", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"stint-other"} }, false},
		{"unknown option", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": ""} }, false},
		{"verify-required", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"verify-required": ""} }, false},
		{"another address", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{sourceAddress: "192.0.2.1"} }, false},
		{"broken address", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{sourceAddress: "x"} }, false},
		{"not yet valid", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = later(time.Minute), later(time.Hour) }, false},
		{"over", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = later(-time.Hour), later(-time.Second) }, false},
		{"without end", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidBefore = ssh.CertTimeInfinity }, false},
		{"end zero", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidBefore = 0 }, false},
		{"from zero", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidAfter = 0 }, false},
		{"a week", w.ca, ssh.UserCert, func(c *ssh.Certificate) { c.ValidBefore = later(7 * 24 * time.Hour) }, false},
		{"revoked authority", revokedCA, ssh.UserCert, nil, false},
	}
	w.revMu.Lock()
	w.revoked[string(revokedCA.PublicKey().Marshal())] = true
	w.revMu.Unlock()
	trust := w.server.Trust
	w.server.Config.Trust = func() Trust {
		tr := trust()
		tr.UserAuthorities = append(tr.UserAuthorities, revokedCA.PublicKey())
		return tr
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer, err := ssh.NewCertSigner(certify(t, test.ca, person.PublicKey(), test.kind, test.spoil), person)
			if err != nil {
				t.Fatal(err)
			}
			c, err := w.dial("web1", signer)
			if err == nil {
				_ = c.Close()
			}
			if (err == nil) != test.want {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("signature swapped", func(t *testing.T) {
		c := certify(t, w.ca, person.PublicKey(), ssh.UserCert, nil)
		c.Signature = certify(t, w.ca, other.PublicKey(), ssh.UserCert, nil).Signature
		signer, err := ssh.NewCertSigner(c, person)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.dial("web1", signer); err == nil {
			t.Error("taken")
		}
	})
	t.Run("another's certificate", func(t *testing.T) {
		r := dialRaw(t, w.address)
		if err := r.handshake(); err != nil {
			t.Fatal(err)
		}
		r.service()
		if r.sign("web1", certify(t, w.ca, person.PublicKey(), ssh.UserCert, nil), other, r.session) == success {
			t.Error("taken")
		}
	})
	t.Run("signed by a certificate", func(t *testing.T) { // x/crypto reads none such; neither would we take it
		c := certify(t, w.ca, person.PublicKey(), ssh.UserCert, nil)
		c.SignatureKey = nestedSigner.PublicKey()
		tr := trust()
		if err := tr.checkUser(c, time.Now()); err == nil {
			t.Error("taken")
		}
		tr.UserAuthorities = append(tr.UserAuthorities, nestedSigner.PublicKey())
		if err := tr.checkUser(c, time.Now()); err == nil {
			t.Error("taken where the list of authorities names it")
		}
	})
	t.Run("revoked key and certificate", func(t *testing.T) {
		cert := certify(t, w.ca, person.PublicKey(), ssh.UserCert, nil)
		for _, k := range []ssh.PublicKey{cert, cert.Key, cert.SignatureKey} {
			tr := trust()
			tr.Revoked = func(x ssh.PublicKey) bool { return string(x.Marshal()) == string(k.Marshal()) }
			if err := tr.checkUser(cert, time.Now()); err == nil {
				t.Errorf("taken, though %s is revoked", k.Type())
			}
		}
	})
	t.Run("host certificates", func(t *testing.T) {
		right := certify(t, w.hostCA, hostKey.PublicKey(), ssh.HostCert, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"web1"} })
		h := hosts{name: "web1", authorities: []ssh.PublicKey{w.hostCA.PublicKey()}, trust: trust()}
		if err := h.verify(right, time.Now()); err != nil {
			t.Error(err)
		}
		for name, spoil := range map[string]func(*ssh.Certificate){
			"for all":  func(c *ssh.Certificate) { c.ValidPrincipals = nil },
			"for db1":  func(c *ssh.Certificate) { c.ValidPrincipals = []string{"db1"} },
			"a person": func(c *ssh.Certificate) { c.ValidPrincipals, c.CertType = []string{"web1"}, ssh.UserCert },
			"option": func(c *ssh.Certificate) {
				c.ValidPrincipals = []string{"web1"}
				c.CriticalOptions = map[string]string{"x": ""}
			},
		} {
			if err := h.verify(certify(t, w.hostCA, hostKey.PublicKey(), ssh.HostCert, spoil), time.Now()); err == nil {
				t.Errorf("%s: taken", name)
			}
		}
		if err := h.verify(certify(t, w.ca, hostKey.PublicKey(), ssh.HostCert, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"web1"} }), time.Now()); err == nil {
			t.Error("the authority for persons vouched for a host")
		}
		if err := h.verify(hostKey.PublicKey(), time.Now()); err == nil {
			t.Error("a plain key was taken where only an authority is known")
		}
	})
}

// TestCertificateNarrows holds that restrictions of a certificate reach the session.
func TestCertificateNarrows(t *testing.T) {
	w := newWorld(t, nil)
	signer, err := ssh.NewCertSigner(certify(t, w.ca, w.mira.PublicKey(), ssh.UserCert, func(c *ssh.Certificate) {
		c.Extensions, c.CriticalOptions = nil, map[string]string{forceCommand: "echo forced"}
	}), w.mira)
	if err != nil {
		t.Fatal(err)
	}
	c := w.client(t, signer)
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := s.Output("id"); err != nil || string(out) != "forced\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if s, err := c.NewSession(); err != nil {
		t.Fatal(err)
	} else if s.RequestPty("x", 1, 1, nil) == nil {
		t.Error("a terminal without permit-pty")
	}
	if _, err := c.Dial("tcp", w.sshd.address); err == nil {
		t.Error("forwarded without permit-port-forwarding")
	}
	if s, err := c.NewSession(); err != nil {
		t.Fatal(err)
	} else if err := s.RequestSubsystem("sftp"); err == nil {
		if err := s.Wait(); err == nil {
			t.Error("a file transfer where one command is forced")
		}
	}
}

// TestA4BeforeSigningIn asks for things before it has signed in.
func TestA4BeforeSigningIn(t *testing.T) {
	w := newWorld(t, nil)
	channel := ssh.Marshal(struct {
		Kind                 string `sshtype:"90"`
		ID, Window, Smallest uint32
	}{"session", 0, 1 << 20, 1 << 15})
	request := ssh.Marshal(struct {
		Kind  string `sshtype:"80"`
		Reply bool
	}{"tcpip-forward", true})
	for _, service := range []bool{false, true} {
		for _, packet := range [][]byte{channel, request, {99}, {0}, {255}} {
			r := dialRaw(t, w.address)
			if err := r.handshake(); err != nil {
				t.Fatal(err)
			}
			if service {
				r.service()
			}
			_ = r.send(packet)
			if seen, _ := r.until(81, 82, 91, 92, success); slices.ContainsFunc(seen, func(b byte) bool { return b >= 52 }) {
				t.Errorf("packet %d got %v", packet[0], seen)
			}
		}
	}
	if asked := w.control.asked(); len(asked) != 0 {
		t.Errorf("the control plane was asked: %+v", asked)
	}
}

func TestBadUserNames(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{"", "web1@", "@web1", "a b@web1", "web 1", "../web1", "root@web1@web1", "web1\x00", "-web1", "$(id)@web1", strings.Repeat("a", 200)} {
		if c, err := w.dial(name); err == nil {
			_ = c.Close()
			t.Errorf("%q signed in", name)
		}
	}
	if asked := w.control.asked(); len(asked) != 0 {
		t.Errorf("the control plane was asked: %+v", asked)
	}
	if _, errs, status := w.run(t, w.ssh("ssh", "db9@127.0.0.1", "id")); status != 255 || !strings.Contains(errs, "no such resource") {
		t.Errorf("got %d, %q", status, errs)
	}
}

// TestF1Packets sends what is too long, too short or broken.
func TestF1Packets(t *testing.T) {
	w := newWorld(t, func(_ *world, c *Config) { c.HandshakeWithin = 5 * time.Second })
	for name, bytes := range map[string][]byte{
		"no version":      []byte(strings.Repeat("x", 70000)),
		"http":            []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"length 4 GiB":    append([]byte(rawVersion+"\r\n"), 0xff, 0xff, 0xff, 0xff, 0),
		"length 1 MiB":    append([]byte(rawVersion+"\r\n"), append([]byte{0, 16, 0, 0, 4}, make([]byte, 1<<20)...)...),
		"length zero":     append([]byte(rawVersion+"\r\n"), 0, 0, 0, 0, 0, 0, 0, 0),
		"padding only":    append([]byte(rawVersion+"\r\n"), 0, 0, 0, 12, 200, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		"newkeys at once": append([]byte(rawVersion+"\r\n"), 0, 0, 0, 12, 10, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
	} {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Write(bytes)
		if _, err := io.Copy(io.Discard, c); errors.Is(err, errTimeout(err)) {
			t.Errorf("%s: the connection stays open", name)
		}
		_ = c.Close()
	}
	r := dialRaw(t, w.address)
	if err := r.handshake(); err != nil {
		t.Fatal(err)
	}
	r.service()
	_ = r.send(make([]byte, 300<<10))
	if seen, _ := r.until(success); len(seen) > 3 {
		t.Errorf("an oversized packet got %v", seen)
	}
	if _, _, status := w.run(t, w.ssh("ssh", there, "true")); status != 0 {
		t.Error("and after all that nobody can sign in")
	}
}

// errTimeout gives err where it is a timeout, and something else otherwise.
func errTimeout(err error) error {
	var n net.Error
	if errors.As(err, &n) && n.Timeout() {
		return err
	}
	return errNone
}

var errNone = errors.New("none")

// TestF2Terrapin looks at what both legs offer, and cuts off the beginning of what is
// encrypted.
func TestF2Terrapin(t *testing.T) {
	w := newWorld(t, nil)
	r := dialRaw(t, w.address)
	if err := r.handshake(); err != nil {
		t.Fatal(err)
	}
	checkOffer(t, r.server, "kex-strict-s-v00@openssh.com")
	// The first encrypted packet is left out: the next one does not fit.
	count(r.outNonce)
	_ = r.send(ssh.Marshal(struct {
		Name string `sshtype:"5"`
	}{"ssh-userauth"}))
	if seen, _ := r.until(6); slices.Contains(seen, 6) {
		t.Error("a packet was left out, and nobody noticed")
	}
	// Strict: nothing may be slipped in among the messages of the key exchange.
	r = dialRaw(t, w.address)
	r.between = func(r *raw) {
		_ = r.send(ssh.Marshal(struct {
			S []byte `sshtype:"2"`
		}{[]byte("ignore me")}))
	}
	if err := r.handshake(); err == nil {
		t.Error("a message was slipped into the key exchange")
	}
	// The leg to the target: what it offers, seen by a target that only listens.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	offered := make(chan kexInit, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "SSH-2.0-Listener\r\n")
		peer := dialedRaw(t, c)
		if _, err := peer.r.ReadString('\n'); err != nil {
			return
		}
		p, err := peer.receive()
		var k kexInit
		if err == nil && ssh.Unmarshal(p, &k) == nil {
			offered <- k
		}
	}()
	w.control.set(func() { w.permit.Target.Address = l.Addr().String() })
	_ = w.client(t)
	select {
	case k := <-offered:
		checkOffer(t, k, "kex-strict-c-v00@openssh.com")
		if !slices.Equal(k.HostKey, []string{ssh.KeyAlgoED25519}) {
			t.Errorf("asks for host keys %v", k.HostKey)
		}
	case <-time.After(20 * time.Second):
		t.Error("the target was not connected to")
	}
}

func checkOffer(t *testing.T, k kexInit, marker string) {
	t.Helper()
	if !slices.Contains(k.Kex, marker) {
		t.Errorf("%s is not offered: %v", marker, k.Kex)
	}
	for _, a := range slices.Concat(k.CipherCS, k.CipherSC, k.Kex, k.HostKey, k.MACCS, k.MACSC) {
		for _, weak := range []string{"cbc", "chacha20", "arcfour", "3des", "sha1", "md5", "group1-", "ssh-dss", "umac-64"} {
			if strings.Contains(a, weak) {
				t.Errorf("%s is offered", a)
			}
		}
		if a == "ssh-rsa" {
			t.Error("ssh-rsa is offered")
		}
	}
}

func dialedRaw(t testing.TB, c net.Conn) *raw {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{t: t, c: c, r: bufio.NewReader(c)}
}

// TestF8TargetIsWhoThePermitSays puts others in the target's place.
func TestF8TargetIsWhoThePermitSays(t *testing.T) {
	w := newWorld(t, nil)
	line := func(k ssh.PublicKey) []string { return []string{string(ssh.MarshalAuthorizedKey(k))} }
	right := w.permit.Target
	for name, test := range map[string]struct {
		bend func(*gateway.Target)
		want string
	}{
		"by its key":        {func(*gateway.Target) {}, ""},
		"by its authority":  {func(x *gateway.Target) { x.HostKeys, x.HostAuthorities = nil, line(w.hostCA.PublicKey()) }, ""},
		"another key":       {func(x *gateway.Target) { x.HostKeys = line(newKey(t).PublicKey()) }, "host key"},
		"another authority": {func(x *gateway.Target) { x.HostKeys, x.HostAuthorities = nil, line(w.ca.PublicKey()) }, "host certificate"},
		"another name": {func(x *gateway.Target) {
			x.HostKeys, x.HostAuthorities, x.Name = nil, line(w.hostCA.PublicKey()), "db1"
		}, "host certificate"},
		"no name":                 {func(x *gateway.Target) { x.HostKeys, x.HostAuthorities, x.Name = nil, line(w.hostCA.PublicKey()), "" }, "host certificate"},
		"its key as an authority": {func(x *gateway.Target) { x.HostKeys, x.HostAuthorities = nil, line(w.sshd.host.PublicKey()) }, "host certificate"},
		"nobody there":            {func(x *gateway.Target) { x.Address = "127.0.0.1:1" }, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			w.control.set(func() { w.permit.Target = right; test.bend(&w.permit.Target) })
			out, errs, status := w.run(t, w.ssh("ssh", there, "echo in"))
			if test.want == "" && (status != 0 || out != "in\n") {
				t.Errorf("got %d, %q", status, errs)
			}
			if test.want != "" && (status == 0 || out != "" || !strings.Contains(errs, test.want)) {
				t.Errorf("got %d, %q, %q", status, out, errs)
			}
		})
	}
	w.control.set(func() { w.permit.Target = right })
	for name, mint := range map[string]func(*ssh.Certificate){
		"outlives the grant": func(c *ssh.Certificate) { c.ValidBefore += 60 },
		"for all":            func(c *ssh.Certificate) { c.ValidPrincipals = nil },
		"for another key":    func(c *ssh.Certificate) { c.Key = newKey(t).PublicKey() },
		"of a host":          func(c *ssh.Certificate) { c.CertType = ssh.HostCert },
	} {
		w.control.set(func() { w.mint = mint })
		if _, errs, status := w.run(t, w.ssh("ssh", there, "echo in")); status == 0 || !strings.Contains(errs, "no certificate") {
			t.Errorf("a certificate for the target that %s: %d, %q", name, status, errs)
		}
	}
}

// TestF10SlowHandshakes opens 2,000 connections that say nothing, from the address from
// which somebody signs in meanwhile.
func TestF10SlowHandshakes(t *testing.T) {
	w := newWorld(t, nil)
	before := runtime.NumGoroutine()
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			_ = c.Close()
		}
	}()
	for range 2000 {
		c, err := net.Dial("tcp", w.address)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	eventually(t, "the room is full and no fuller", func() bool {
		return w.server.door.Waiting() == 64
	})
	start := time.Now()
	c := w.client(t) // in the time that a client has
	t.Logf("signed in within %v beside 2,000 that say nothing", time.Since(start))
	_ = c.Close()
	for _, c := range silent {
		_ = c.Close()
	}
	eventually(t, "goroutines are back", func() bool { return runtime.NumGoroutine() <= before+5 })
}

func TestHandshakeDeadline(t *testing.T) {
	w := newWorld(t, func(_ *world, c *Config) { c.HandshakeWithin = 2 * time.Second })
	steady(t, func() string {
		r := dialRaw(t, w.address)
		_ = r.c.SetDeadline(time.Now().Add(60 * time.Second))
		if err := r.handshake(); err != nil { // all but signing in
			return err.Error()
		}
		start := time.Now()
		r.until(success)
		if d := time.Since(start); d > 20*time.Second { // by default it is 30 s
			return fmt.Sprintf("closed after %v", d)
		}
		return ""
	})
}

// flaky is a listener that fails now and then, as one does that has no descriptors left.
type flaky struct {
	net.Listener
	n atomic.Int32
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.n.Add(1)%2 == 1 {
		return nil, errors.New("accept: too many open files")
	}
	return f.Listener.Accept()
}

func TestF10AcceptErrorDoesNotStop(t *testing.T) {
	w := newWorld(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(t.Context(), &flaky{Listener: l}) }()
	for range 3 {
		c, err := ssh.Dial("tcp", l.Addr().String(), &ssh.ClientConfig{User: "web1", Auth: []ssh.AuthMethod{ssh.PublicKeys(w.mira)},
			HostKeyCallback: ssh.FixedHostKey(w.own.PublicKey()), Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	_ = l.Close()
	<-done
}

// onePacket reads one packet with its length, and nothing behind it.
func onePacket(from io.Reader) ([]byte, error) {
	b := make([]byte, 4)
	if _, err := io.ReadFull(from, b); err != nil {
		return nil, err
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b))...)
	_, err := io.ReadFull(from, b[4:])
	return b, err
}

// TestE8SFTPPackets speaks the protocol badly, and with what sftp's own client has no
// command for.
func TestE8SFTPPackets(t *testing.T) {
	w := newWorld(t, func(w *world, _ *Config) { w.permit.Rules = gateway.Rules{SFTP: gateway.ReadFiles} })
	packet := func(p ...any) []byte {
		var b []byte
		for _, f := range p {
			switch f := f.(type) {
			case byte:
				b = append(b, f)
			case int:
				b = binary.BigEndian.AppendUint32(b, uint32(f))
			case string:
				b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
			}
		}
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	start := func() (io.Writer, io.Reader) {
		s, err := w.client(t).NewSession()
		if err != nil {
			t.Fatal(err)
		}
		in, _ := s.StdinPipe()
		out, _ := s.StdoutPipe()
		if err := s.RequestSubsystem("sftp"); err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(packet(byte(fxInit), 3)); err != nil {
			t.Fatal(err)
		}
		if p, err := onePacket(out); err != nil || p[4] != fxVersion {
			t.Fatalf("no version: %v %v", p, err)
		}
		return in, out
	}
	in, out := start()
	path := w.dir + "/escape"
	for name, p := range map[string][]byte{
		"create":       packet(byte(fxOpen), 7, path, 2|8, 0),
		"truncate":     packet(byte(fxOpen), 7, w.miraFile, 1|16, 0),
		"append":       packet(byte(fxOpen), 7, w.miraFile, 1|4, 0),
		"no flags":     packet(byte(fxOpen), 7, w.miraFile, 0, 0),
		"write":        packet(byte(fxWrite), 7, "h", 0, 0, "data"),
		"fsetstat":     packet(byte(fxFsetstat), 7, "h", 0),
		"posix-rename": packet(byte(fxExtended), 7, "posix-rename@openssh.com", w.miraFile, path),
		"hardlink":     packet(byte(fxExtended), 7, "hardlink@openssh.com", w.miraFile, path),
		"lsetstat":     packet(byte(fxExtended), 7, "lsetstat@openssh.com", w.miraFile, 0),
		"copy-data":    packet(byte(fxExtended), 7, "copy-data", "h", 0, 0, 0, 0, "h", 0, 0),
		"unknown":      packet(byte(fxExtended), 7, "nonce-extension"),
		"type 77":      packet(byte(77), 7),
	} {
		if _, err := in.Write(p); err != nil {
			t.Fatal(err)
		}
		got, err := onePacket(out)
		if err != nil || got[4] != fxStatus || binary.BigEndian.Uint32(got[5:]) != 7 || binary.BigEndian.Uint32(got[9:]) < 3 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if !strings.Contains(w.text(), "nonce-extension") {
		t.Error("the refusal left no record")
	}
	for name, p := range map[string][]byte{
		"a second version":     packet(byte(fxInit), 3),
		"too long":             {0x7f, 0xff, 0xff, 0xff, fxOpen},
		"empty":                {0, 0, 0, 0},
		"shorter than it says": {0, 0, 0, 9, fxStat, 0, 0, 0, 1, 0, 0, 1, 0},
		"path beyond bounds":   packet(byte(fxStat), 1, strings.Repeat("a", longestPath+1)),
	} {
		in, out := start()
		_, _ = in.Write(p)
		if got, err := onePacket(out); err == nil {
			t.Errorf("%s: answered %v", name, got)
		}
	}
}

// TestPlainKeysAreNotAskedAbout: anybody has a key. Where certificates alone open sessions,
// one without is refused as it is offered: no stranger has the control plane asked.
func TestPlainKeysAreNotAskedAbout(t *testing.T) {
	w := newWorld(t, func(_ *world, c *Config) {
		trust := c.Trust
		c.Trust = func() Trust { tr := trust(); tr.PlainKeys = false; return tr }
	})
	r := dialRaw(t, w.address)
	if err := r.handshake(); err != nil {
		t.Fatal(err)
	}
	r.service()
	for range 2 { // the second is told no more than the first
		if got := r.offer("web1", newKey(t).PublicKey()); got != failure {
			t.Errorf("a stranger's key: %d", got)
		}
	}
	if got := r.sign("web1", w.mira.PublicKey(), w.mira, r.session); got != failure {
		t.Errorf("the key of one who is known: %d", got)
	}
	if n := len(w.control.asked()); n != 0 {
		t.Errorf("the control plane was asked %d times", n)
	}
	signer, err := ssh.NewCertSigner(certify(t, w.ca, w.mira.PublicKey(), ssh.UserCert, nil), w.mira)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.client(t, newKey(t), signer) // after a key that is none, as agents offer them
	if n := len(w.control.asked()); n != 1 {
		t.Errorf("the control plane was asked %d times", n)
	}
	_, errs, status := w.run(t, w.ssh("ssh", there, "true"))
	if status == 0 || !strings.Contains(errs, "a key alone opens nothing here") || !strings.Contains(errs, "hint: connect with stint ssh") {
		t.Errorf("OpenSSH: %d %s", status, errs)
	}
}
