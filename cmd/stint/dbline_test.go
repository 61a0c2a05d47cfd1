package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/api"
)

func firstPacket(code uint32, rest string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	return string(binary.BigEndian.AppendUint32(b, code)) + rest
}

// TestGreetLocal: what clients of PostgreSQL begin with on this machine, and what they must not.
func TestGreetLocal(t *testing.T) {
	start := firstPacket(3<<16, "user\x00orders-db\x00\x00")
	for name, c := range map[string]struct{ sent, got, answered string }{
		"at once":           {start, start, ""},
		"TLS first":         {firstPacket(wantsTLS, "") + start, start, "N"},
		"GSS, then TLS":     {firstPacket(wantsGSS, "") + firstPacket(wantsTLS, "") + start, start, "NN"},
		"a wish to cancel":  {firstPacket(wantsCancel, "12345678"), firstPacket(wantsCancel, "12345678"), ""},
		"too long":          {"\xff\xff\xff\xff\x00\x03\x00\x00", "", ""},
		"too short":         {"\x00\x00\x00\x04\x00\x03\x00\x00", "", ""},
		"questions without": {strings.Repeat(firstPacket(wantsTLS, ""), 5), "", "NNNN"},
		"TLS straight away": {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", "", ""},
	} {
		near, far := net.Pipe()
		_ = near.SetDeadline(time.Now().Add(20 * time.Second))
		answered := make(chan string, 1)
		go func() {
			go func() { _, _ = io.WriteString(near, c.sent) }()
			b, _ := io.ReadAll(near)
			answered <- string(b)
		}()
		first, err := greetLocal(far)
		_ = far.Close()
		if string(first) != c.got && err == nil || (err == nil) != (c.got != "") {
			t.Errorf("%s: %q, %v", name, first, err)
		}
		if got := <-answered; got != c.answered {
			t.Errorf("%s: answered %q", name, got)
		}
		_ = near.Close()
	}
}

// TestNotConnected: an error as clients of PostgreSQL read it, whatever is in it.
func TestNotConnected(t *testing.T) {
	for _, err := range []error{errors.New("x"), &api.Error{Message: "no\x00gateway\n", Why: "it is\x1b[2J away", Next: "try again"}} {
		b := notConnected(err)
		if b[0] != 'E' || int(binary.BigEndian.Uint32(b[1:])) != len(b)-1 || b[len(b)-1] != 0 {
			t.Fatalf("%q is no message", b)
		}
		fields := strings.Split(strings.TrimSuffix(string(b[5:]), "\x00\x00"), "\x00")
		for _, f := range fields {
			if !strings.Contains("SVCMH", f[:1]) || strings.ContainsAny(f, "\x1b\n") {
				t.Errorf("the field %q", f)
			}
		}
	}
}

// TestDialsAtOnce: of a pool's connections none waits for another's way to the gateway.
func TestDialsAtOnce(t *testing.T) {
	known := httptest.NewTLSServer(nil)
	defer known.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }() // nobody waits for its end
	key := &dbKey{gateway: known.Certificate(), host: "127.0.0.1"}
	key.Gateway, key.ValidBefore = silent.Addr().String(), api.At(time.Now().Add(time.Hour))
	l := &dbLine{c: &cli{now: time.Now}, key: key}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range 2 {
		all.Go(func() { _, _ = l.dial(ctx) }) // it is never answered
	}
	_ = silent.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	for i := range 2 {
		far, err := silent.Accept()
		if err != nil {
			t.Fatalf("connection %d does not come while another is under way: %v", i, err)
		}
		defer func() { _ = far.Close() }()
	}
}

// TestGoodKey: a key is used to the end of its grant, and made anew when it ends before.
func TestGoodKey(t *testing.T) {
	server, err := api.ParseServer(newFake(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	device, err := api.NewDevice()
	if err != nil {
		t.Fatal(err)
	}
	conn := &connection{Client: &api.Client{Server: server, Device: device, Token: "of-nobody"}} // makes no key
	now := time.Now()
	for name, c := range map[string]struct {
		key, grant time.Duration
		anew       bool
	}{
		"long":                          {time.Hour, 2 * time.Hour, false},
		"soon over, and its grant":      {renewKeyBefore / 2, renewKeyBefore/2 + time.Second/2, false},
		"soon over, its grant is not":   {renewKeyBefore / 2, time.Hour, true},
		"over, and its grant as known":  {-time.Second, -time.Second / 2, true},
		"over, while its grant goes on": {-time.Second, time.Hour, true},
	} {
		key := &dbKey{}
		key.ValidBefore, key.ExpiresAt = api.At(now.Add(c.key)), api.At(now.Add(c.grant))
		l := &dbLine{c: &cli{now: func() time.Time { return now }}, conn: conn, key: key}
		if got, err := l.goodKey(t.Context()); (err != nil) != c.anew || err == nil && got != key {
			t.Errorf("%s: made anew is %t: %v", name, err != nil, err)
		}
	}
}

// TestUntilOverIsRefused: who is not signed in any more does not go on as if the server were away.
func TestUntilOverIsRefused(t *testing.T) {
	server, err := api.ParseServer(newFake(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	device, err := api.NewDevice()
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{now: time.Now}
	r := api.Request{ID: "req_1", Grant: &api.Grant{State: api.GrantActive, ExpiresAt: api.At(time.Now().Add(time.Second / 10))}} // so it is looked at at once
	over, err := c.untilOver(t.Context(), &connection{Client: &api.Client{Server: server, Device: device, Token: "of-nobody"}}, r)
	if over || !errors.Is(err, api.Unauthenticated) {
		t.Errorf("%t, %v", over, err)
	}
	for _, code := range []string{api.CodeClockSkew, api.CodeProofReplayed} {
		if saysNo(&api.Error{Kind: api.Unauthenticated, Code: code}) {
			t.Errorf("%s is of one call", code)
		}
	}
}

// TestListensOnNoSocket: stint db has no --port, and says what helps.
func TestListensOnNoSocket(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets of this kind are not used there")
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", long)
	l := &dbLine{}
	err := l.listen(0, true)
	var e *api.Error
	if !errors.As(err, &e) || !strings.Contains(e.Next, "TMPDIR") || strings.Contains(e.Next, "--port") {
		t.Errorf("%+v", err)
	}
	if left, _ := os.ReadDir(long); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

// TestLineCloses: a client that says nothing does not hold up the end of a line.
func TestLineCloses(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	l := &dbLine{c: &cli{}, ln: ln, stop: stop}
	l.all.Go(func() { l.serve(ctx) })
	silent, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	_ = silent.SetDeadline(time.Now().Add(20 * time.Second))
	// Its answer says that the line has taken the client, and waits for it.
	if _, err := io.WriteString(silent, firstPacket(wantsTLS, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(silent, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { l.close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(greetWithin / 3):
		t.Error("the line waits for a client that says nothing")
	}
}
