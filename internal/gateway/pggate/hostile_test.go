package pggate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"stint/internal/gateway"
)

// packet is a first packet.
func packet(code uint32, words ...string) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 4), code)
	for _, w := range words {
		b = append(append(b, w...), 0)
	}
	if code>>16 == 3 {
		b = append(b, 0)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

// dial connects as a client that follows no protocol but ours.
func (w *world) dial() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	must(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// secure asks for TLS and gets it, with the person's key.
func (w *world) secure(change ...func(*tls.Config)) *tls.Conn {
	w.t.Helper()
	c := w.dial()
	_, err := c.Write(packet(wantsTLS))
	must(w.t, err)
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil || answer[0] != 'S' {
		w.t.Fatalf("%q %v", answer, err)
	}
	return tls.Client(c, w.tls(change...))
}

func (w *world) tls(change ...func(*tls.Config)) *tls.Config {
	w.t.Helper()
	pair, err := tls.LoadX509KeyPair(w.path("cert.pem"), w.path("key.pem"))
	must(w.t, err)
	ca, err := os.ReadFile(w.path("ca.pem"))
	must(w.t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	t := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", Certificates: []tls.Certificate{pair}}
	for _, f := range change {
		f(t)
	}
	return t
}

// answers is all that comes until the connection ends.
func answers(c net.Conn) string {
	var b bytes.Buffer
	_, _ = io.Copy(&b, c)
	return b.String()
}

// TestF3Startup: what a client may say as it connects. No session comes of the rest.
func TestF3Startup(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		send []byte
		want string
	}{
		"search_path (CVE-2025-12819)":  {packet(version3, "user", "orders-db", "search_path", "evil"), "search_path"},
		"options":                       {packet(version3, "user", "orders-db", "options", "-c role=postgres"), "options"},
		"a role":                        {packet(version3, "user", "orders-db", "role", "postgres"), "role"},
		"another's session":             {packet(version3, "user", "orders-db", "session_authorization", "postgres"), "session_authorization"},
		"replication":                   {packet(version3, "user", "orders-db", "replication", "database"), "replication"},
		"a parameter twice":             {packet(version3, "user", "orders-db", "USER", "postgres"), ""},
		"no user":                       {packet(version3, "database", "x"), "as whom"},
		"a user that names no resource": {packet(version3, "user", "orders-db' OR 1=1"), "resource"},
		"a lone word":                   {packet(version3, "user")[:13], ""},
		"no end":                        {packet(version3, "user", "orders-db")[:19], ""},
		"more after the end":            {append(packet(version3), "user\x00x\x00\x00"...), ""},
		"not text":                      {packet(version3, "user", "\xff\xfe"), ""},
		"version 2":                     {packet(2<<16, "user", "orders-db"), "version"},
		"a password before it is asked": {frame('p', []byte("a password\x00")), ""},
		"TLS within TLS":                {packet(wantsTLS), ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn := w.secure()
			b := bytes.Clone(c.send)
			if b[0] != 'p' { // what was cut or added to counts
				binary.BigEndian.PutUint32(b, uint32(len(b)))
			}
			_, err := conn.Write(b)
			must(t, err)
			got := answers(conn)
			if !strings.Contains(got, c.want) || strings.ContainsAny(got[:min(1, len(got))], "RK") {
				t.Errorf("the answer is %q", got)
			}
		})
	}
	if w.control.opened > 0 {
		t.Error("a session was opened")
	}
}

// TestF3BeforeTLS: nothing is believed before TLS, and no byte from before it counts
// after it (CVE-2021-3935).
func TestF3BeforeTLS(t *testing.T) {
	w := newWorld(t)
	start := packet(version3, "user", "orders-db")
	for name, send := range map[string][]byte{
		"without TLS":           start,
		"bytes before TLS":      append(packet(wantsTLS), start...),
		"a question with more":  func() []byte { b := packet(wantsTLS, "more"); return b }(),
		"too long":              binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 1<<30), version3),
		"too short":             binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 4), version3),
		"questions without end": bytes.Repeat(packet(wantsGSS), 100),
	} {
		t.Run(name, func(t *testing.T) {
			c := w.dial()
			_, _ = c.Write(send)
			got := answers(c)
			if strings.Contains(got, "R\x00\x00\x00") {
				t.Errorf("it is signed in: %q", got)
			}
			if name == "without TLS" && !strings.Contains(got, "TLS only") {
				t.Errorf("told %q", got)
			}
		})
	}
	if w.control.opened > 0 {
		t.Error("a session was opened")
	}
}

// TestA1KeyIsProven: no key, another's key, another's certificate without its key, old
// versions of TLS: no session.
func TestA1KeyIsProven(t *testing.T) {
	w := newWorld(t)
	theirs, err := tls.LoadX509KeyPair(w.path("cert.pem"), w.path("key.pem"))
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	must(t, err)
	for name, change := range map[string]func(*tls.Config){
		"no key":        func(c *tls.Config) { c.Certificates = nil },
		"another's key": func(c *tls.Config) { c.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}} },
		"TLS 1.2":       func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"not its key": func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: theirs.Certificate, PrivateKey: key}}
		},
		"theirs as a chain": func(c *tls.Config) {
			c.Certificates = []tls.Certificate{{Certificate: append([][]byte{der}, theirs.Certificate...), PrivateKey: key}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.secure(change)
			_, err := c.Write(packet(version3, "user", "orders-db"))
			got := ""
			if err == nil {
				got = answers(c)
			}
			if strings.Contains(got, "R\x00\x00\x00\x08") {
				t.Error("it is signed in")
			}
			if name == "another's key" && (!strings.Contains(got, "you hold nothing") || !strings.Contains(got, "stint request")) {
				t.Errorf("told %q", got)
			}
		})
	}
	if w.control.opened > 0 {
		t.Error("a session was opened")
	}
}

// TestDirectTLS: clients may begin with TLS at once, if they say for which protocol.
func TestDirectTLS(t *testing.T) {
	w := newWorld(t)
	for _, protocol := range []string{"postgresql", ""} {
		c := tls.Client(w.dial(), w.tls(func(c *tls.Config) {
			if protocol != "" {
				c.NextProtos = []string{protocol}
			}
		}))
		_, err := c.Write(packet(version3+2, "user", "orders-db", "database", w.database, "_pq_.new", "1"))
		got := ""
		for b := make([]byte, 4096); err == nil && !strings.Contains(got, "Z\x00\x00\x00\x05I"); {
			var n int
			n, err = c.Read(b)
			got += string(b[:n])
		}
		in := strings.HasPrefix(got, "v\x00\x00\x00") && strings.Contains(got, "_pq_.new\x00") && strings.Contains(got, "R\x00\x00\x00\x08\x00\x00\x00\x00")
		if in != (protocol != "") {
			t.Errorf("with the protocol %q: %.100q", protocol, got)
		}
	}
}

// TestUnrecordable: what would run without being a statement ends the session.
func TestUnrecordable(t *testing.T) {
	for name, send := range map[string][]byte{
		"function call":    frame('F', make([]byte, 12)),
		"password":         frame('p', []byte("x\x00")),
		"unknown":          frame('~', nil),
		"server's message": frame('Z', []byte{'I'}),
		"two texts":        frame('Q', []byte("SELECT 1\x00SELECT 2\x00")),
		"no end":           frame('Q', []byte("SELECT 1")),
		"length 0":         {'Q', 0, 0, 0, 0},
		"length over all":  {'Q', 0xff, 0xff, 0xff, 0xff},
		"long name":        frame('B', append(bytes.Repeat([]byte("n"), 2000), 0, 0)),
		"long statement":   {'Q', 0x3f, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c := w.secure()
			_, err := c.Write(append(packet(version3, "user", "orders-db", "database", w.database), send...))
			must(t, err)
			got := answers(c)
			if !strings.Contains(got, "57P01") || !strings.Contains(got, "broke the protocol") {
				t.Errorf("told %q", got)
			}
			eventually(t, "nothing is left at the server", func() bool { return w.backends() == 0 })
		})
	}
}

// TestF8Server: the gateway gives its login to the server that the permit names, and to
// no other.
func TestF8Server(t *testing.T) {
	for name, change := range map[string]func(*gateway.Target){
		"another authority": func(g *gateway.Target) { g.HostAuthorities = nil; g.HostAuthorities = []string{strangersAuthority(t)} },
		"another name":      func(g *gateway.Target) { g.Name = "other.example" },
		"no authority":      func(g *gateway.Target) { g.HostAuthorities = []string{"nothing"} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ *Config, c *control) { change(&c.permit.Target) })
			_, err := pgx.Connect(t.Context(), w.dsn())
			if err == nil || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), w.db.Addr()) {
				t.Errorf("told %v", err)
			}
			eventually(t, "the session is over", func() bool { return w.server.Gateway.Count() == 0 })
		})
	}
	t.Run("without TLS", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { _ = l.Close() }()
		heard := make(chan []byte, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = io.ReadFull(c, make([]byte, 8))
			_, _ = c.Write([]byte("N"))
			b, _ := io.ReadAll(c)
			heard <- b
		}()
		w := newWorld(t, func(_ *Config, c *control) { c.permit.Target.Address = l.Addr().String() })
		if _, err := pgx.Connect(t.Context(), w.dsn()); err == nil {
			t.Error("it connects without TLS")
		}
		if b := <-heard; len(b) > 0 {
			t.Errorf("it said %q in clear", b)
		}
	})
}

func strangersAuthority(t *testing.T) string {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	ca, _ := w.certificates()
	return string(ca)
}

// TestHostileServer: whatever a server sends, the session ends, and nothing of the
// gateway does.
func TestHostileServer(t *testing.T) {
	for name, say := range map[string][]byte{
		"a second sign-in":  frame('R', []byte{0, 0, 0, 3}),
		"a cancel key":      frame('K', make([]byte, 8)),
		"replication":       frame('W', []byte{0, 0, 0}),
		"unknown":           frame('~', nil),
		"length 3":          {'D', 0, 0, 0, 3},
		"length over all":   {'D', 0xff, 0xff, 0xff, 0xff},
		"ready for nothing": frame('Z', nil),
		"half a row":        append([]byte{'D', 0, 1, 0, 0}, make([]byte, 100)...),
		"a status in a row": append([]byte{'D', 0, 0, 0, 20}, frame('S', []byte("is_superuser\x00on\x00"))...),
		"statuses": append(slices.Concat(frame('S', nil), frame('S', []byte("is_superuser")), frame('S', []byte("is_superuser\x00on\x00")), frame('S', []byte("is_superuser\x00on\x00")),
			frame('S', bytes.Repeat([]byte("x"), 1<<20))), frame('~', nil)...),
		"errors unasked": append(frame('E', []byte("SERROR\x00C42000\x00Mx")), frame('~', nil)...),
	} {
		t.Run(name, func(t *testing.T) {
			theirs, ours := net.Pipe()
			up, far := net.Pipe()
			w := newWorld(t)
			session1, err := w.server.Gateway.Open(t.Context(), gateway.Facts{Key: w.control.key, Resource: "orders-db"})
			must(t, err)
			o := &session{server: w.server, Session: session1, client: ours, track: newTracker(), up: &upstream{Conn: up, address: "127.0.0.1:1", status: 'I'}}
			o.tape, err = w.tapes.Begin(session1, Client{})
			must(t, err)
			go func() { _, _ = io.Copy(io.Discard, theirs) }()
			go func() { _, _ = io.Copy(io.Discard, far) }()
			go func() { _, _ = far.Write(say); _ = far.Close() }()
			done := make(chan struct{})
			go func() { o.run(); close(done) }()
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("the session goes on")
			}
			if r := o.Over().Reason; r != gateway.Refused && r != gateway.TargetGone {
				t.Errorf("it ended as %s", r)
			}
		})
	}
}

// TestF10Silent: who says nothing is in nobody's way.
func TestF10Silent(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *control) { c.Handshakes, c.PerAddress = 64, 32 })
	for range 200 {
		c := w.dial()
		_, _ = c.Write([]byte{0})
	}
	ctx, done := context.WithTimeout(t.Context(), 20*time.Second)
	defer done()
	c, err := pgx.Connect(ctx, w.dsn())
	must(t, err)
	_ = c.Close(ctx)
}

// TestTracker: after an error, what is skipped has no outcome, and what comes after the
// Sync has its own.
func TestTracker(t *testing.T) {
	k := newTracker()
	for _, p := range []pending{{kind: 'P', n: 1}, {kind: 'B'}, {kind: 'E', n: 2}, {kind: 'S'}, {kind: 'Q', n: 3}} {
		must(t, k.sent(p))
	}
	k.answered('P')
	if n, _ := k.failed(); n != 2 { // the values did not fit: it is the statement that failed
		t.Errorf("%d failed, want 2", n)
	}
	k.ready(true)
	for range 2 {
		if n, _ := k.completed(); n != 3 {
			t.Errorf("%d is done, want 3", n)
		}
	}
	k.ready(true)
	if n, _ := k.failed(); n != 0 || k.held != 0 {
		t.Errorf("%d failed, and nothing was asked; %d bytes are held", n, k.held)
	}
}

func FuzzStartup(f *testing.F) {
	f.Add(packet(version3, "user", "orders-db", "database", "x", "_pq_.a", "b")[4:])
	f.Add(packet(version3, "user")[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := append(binary.BigEndian.AppendUint32(nil, uint32(len(b)+4)), b...)
		p, err := readFirst(bytes.NewReader(whole))
		if err != nil {
			return
		}
		s, err := parseStartup(p)
		if err != nil {
			return
		}
		if s.User == "" || s.Database == "" || len(s.Parameters) > len(passedOn) {
			t.Errorf("%+v", s)
		}
		for name := range s.Parameters {
			if name == "search_path" || name == "options" || name == "role" {
				t.Errorf("%s is passed on", name)
			}
		}
	})
}

// FuzzClient: whatever a client sends, what reaches the server are whole messages of
// kinds that pass, and every statement among them was recorded.
func FuzzClient(f *testing.F) {
	f.Add(append(frame('Q', []byte("SELECT 1\x00")), frame('X', nil)...))
	f.Add(append(frame('P', []byte("a\x00SELECT $1\x00\x00\x00")), append(frame('B', []byte("p\x00a\x00\x00\x00")), frame('E', []byte("p\x00\x00\x00\x00\x00"))...)...))
	f.Add(frame('F', make([]byte, 10)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		ts := &tapes{}
		o := &session{Session: &gateway.Session{}, server: &Server{}, track: newTracker()}
		o.tape, _ = ts.Begin(nil, Client{})
		r, w := bufio.NewReader(bytes.NewReader(b)), bufio.NewWriter(&out)
		for {
			h, err := peekHead(r)
			if err != nil {
				break
			}
			if err := o.upOne(r, w, h); err != nil {
				if !errors.As(err, new(*ending)) {
					t.Errorf("it ends for no reason: %v", err)
				}
				break
			}
		}
		_ = w.Flush()
		sent, statements := bufio.NewReader(&out), 0
		for {
			h, err := peekHead(sent)
			if err != nil {
				break
			}
			if !strings.ContainsRune("QPBEDCSHcfdX", rune(h.kind)) {
				t.Fatalf("%q passed", h.kind)
			}
			if strings.ContainsRune("QPE", rune(h.kind)) {
				statements++
			}
			if n, _ := sent.Discard(headLen + h.n); n < headLen+h.n {
				break // its rest never came
			}
		}
		if got := len(ts.all[0].statements); got < statements {
			t.Errorf("%d statements were sent, %d recorded", statements, got)
		}
	})
}
