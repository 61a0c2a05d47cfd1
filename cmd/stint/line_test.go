package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/api"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// doorCertificateOf makes one that a gateway shows for a host.
func doorCertificateOf(t *testing.T, host string) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host}, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestLineKnowsARenewedGateway: where the gateway shows another certificate, the server is asked
// which it has, and nobody else's word counts, nor is it asked again and again.
func TestLineKnowsARenewedGateway(t *testing.T) {
	t.Run("postgresql", func(t *testing.T) { lineKnowsARenewedGateway(t, postgresSpeech, "127.0.0.1") })
	t.Run("http", func(t *testing.T) { lineKnowsARenewedGateway(t, webSpeech, "wiki.apps.test") })
	t.Run("tcp", func(t *testing.T) { lineKnowsARenewedGateway(t, tcpSpeech, "wiki.apps.test") })
}

func lineKnowsARenewedGateway(t *testing.T, speaks speech, host string) {
	var shown atomic.Pointer[tls.Certificate]
	first, firstPEM := doorCertificateOf(t, host)
	shown.Store(first)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: speaks.protocols, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil }})
	must(t, err)
	defer func() { _ = ln.Close() }()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // until the peer leaves
				defer func() { _ = c.Close() }()
				_, _ = c.Read(make([]byte, 1))
			}()
		}
	}()
	var says atomic.Value
	says.Store(firstPEM)
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"serial": "7", "valid_before": api.At(time.Now().Add(time.Hour)), "expires_at": api.At(time.Now().Add(time.Hour)), "gateway": ln.Addr().String(),
			"certificate": says.Load(), "addresses": []api.WebAddress{{Resource: "wiki", URL: "https://" + host + "/"}}, "logins": []api.DatabaseLogin{{Resource: "wiki", Database: "pages"}}})
	}))
	defer srv.Close()
	server, err := api.ParseServer(srv.URL)
	must(t, err)
	device, err := api.NewDevice()
	must(t, err)
	now := time.Now()
	l := &line{speech: speaks, c: &cli{now: func() time.Time { return now }}, conn: &connection{Client: &api.Client{Server: server, Device: device, Token: "of-nobody"}}, request: api.Request{ID: "req_1", Resource: "wiki"}}
	l.key, err = l.newKey(t.Context())
	must(t, err)
	dial := func() error {
		ctx, done := context.WithTimeout(t.Context(), time.Minute)
		defer done()
		c, err := l.dial(ctx)
		if err == nil {
			_ = c.NetConn().Close()
		}
		return err
	}
	must(t, dial())
	second, secondPEM := doorCertificateOf(t, host)
	shown.Store(second)
	if err := dial(); !errors.Is(err, api.Unavailable) || asked.Load() != 2 {
		t.Errorf("a certificate that the server does not know: %v, asked %d times", err, asked.Load())
	}
	says.Store(secondPEM)
	if err := dial(); err == nil || asked.Load() != 2 {
		t.Errorf("at once again: %v, asked %d times", err, asked.Load())
	}
	now = now.Add(lookAgain)
	if err := dial(); err != nil || asked.Load() != 3 {
		t.Errorf("the server knows it: %v, asked %d times", err, asked.Load())
	}
	if err := dial(); err != nil || asked.Load() != 3 {
		t.Errorf("from then on: %v, asked %d times", err, asked.Load())
	}
	_ = ln.Close()
	if err := dial(); err == nil || asked.Load() != 3 {
		t.Errorf("nobody there: %v, asked %d times", err, asked.Load())
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
	key := &doorKey{known: known.Certificate(), opening: opening{host: "127.0.0.1", gateway: silent.Addr().String(), until: time.Now().Add(time.Hour)}}
	l := &line{c: &cli{now: time.Now}, key: key}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range 2 {
		all.Go(func() { _, _ = l.dial(ctx) }) // it is never answered
	}
	_ = silent.(*net.TCPListener).SetDeadline(time.Now().Add(30 * time.Second))
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
		key := &doorKey{opening: opening{until: now.Add(c.key), ends: now.Add(c.grant)}}
		l := &line{speech: postgresSpeech, c: &cli{now: func() time.Time { return now }}, conn: conn, key: key}
		if got, err := l.goodKey(t.Context()); (err != nil) != c.anew || err == nil && got != key {
			t.Errorf("%s: made anew is %t: %v", name, err != nil, err)
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
	l := &line{speech: postgresSpeech}
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
	l := &line{speech: postgresSpeech, c: &cli{}, ln: ln, stop: stop}
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
	case <-time.After(greetWithin - time.Second):
		t.Error("the line waits for a client that says nothing")
	}
}
