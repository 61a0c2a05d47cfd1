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
	"math/big"
	"net/http"
	"net/http/httptest"
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
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestWebLineKnowsARenewedGateway: where the gateway shows another certificate, the server is
// asked which it has, and nobody else's word counts, nor is it asked again and again.
func TestWebLineKnowsARenewedGateway(t *testing.T) {
	const host = "wiki.apps.test"
	var shown atomic.Pointer[tls.Certificate]
	first, firstPEM := doorCertificateOf(t, host)
	shown.Store(first)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{deviceProtocol}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown.Load(), nil }})
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
		_ = json.NewEncoder(w).Encode(api.WebKey{Serial: "7", ValidBefore: api.At(time.Now().Add(time.Hour)), WebAccess: api.WebAccess{ExpiresAt: api.At(time.Now().Add(time.Hour)), Gateway: ln.Addr().String(),
			Certificate: says.Load().(string), Addresses: []api.WebAddress{{Resource: "wiki", URL: "https://" + host + "/"}}}})
	}))
	defer srv.Close()
	server, err := api.ParseServer(srv.URL)
	must(t, err)
	device, err := api.NewDevice()
	must(t, err)
	now := time.Now()
	l := &webLine{c: &cli{now: func() time.Time { return now }}, conn: &connection{Client: &api.Client{Server: server, Device: device, Token: "of-nobody"}}, request: api.Request{ID: "req_1", Resource: "wiki"}}
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
