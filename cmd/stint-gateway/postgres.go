package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"sync/atomic"
	"time"

	"stint/internal/api"
	"stint/internal/wholefile"
)

const (
	postgresFile = "postgres.pem"
	// certificateFor is long, because nobody believes the certificate for what it says: clients
	// are told by the control plane, each time, which one it is.
	certificateFor = 10 * 365 * 24 * time.Hour
	// certificateLeft is when another one is made at the next start.
	certificateLeft = 365 * 24 * time.Hour
	tellEvery       = time.Hour
)

// doors are where this gateway takes connections of other protocols than SSH. Its zero value
// is none.
type doors struct {
	ln   net.Listener
	cert *tls.Certificate
	pem  string      // of the certificate
	web  *webDoor    // nil: none
	told atomic.Bool // the control plane knows of them, and can send people here
}

// postgres opens the door for clients of PostgreSQL, who look for it at the host of address.
func (d *doors) postgres(f flags, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return unusable("the address of this gateway is none", address, "enrol it anew: stint admin gateway enroll NAME --address HOST:PORT")
	}
	if d.cert, d.pem, err = f.ownCertificate(postgresFile, "clients of PostgreSQL", host, host); err != nil {
		return err
	}
	if d.ln, err = net.Listen("tcp", f.postgres); err != nil {
		return unusable("cannot listen on "+f.postgres, err.Error(), "stop what listens there, or choose another address with --postgres")
	}
	return nil
}

// ownCertificate is this gateway's own certificate, by its own signature, of a file of its state:
// for a name, which is such that it is for the host. It is made where there is none that will do.
func (f flags) ownCertificate(file, clients, name, host string) (*tls.Certificate, string, error) {
	var cert *tls.Certificate
	var shown string
	text, err := os.ReadFile(f.path(file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, "", unusable("the certificate for "+clients+" cannot be read", err.Error(), "check --state, and who owns it")
	default:
		defer clear(text)
		if cert, shown, err = readDoor(text); err != nil {
			return nil, "", unusable("the certificate for "+clients+" is damaged", f.path(file), "remove it, and a new one is made")
		}
	}
	if cert != nil && cert.Leaf.VerifyHostname(host) == nil && time.Until(cert.Leaf.NotAfter) >= certificateLeft {
		return cert, shown, nil
	}
	made, err := newDoor(name, time.Now())
	if err != nil {
		return nil, "", err
	}
	defer clear(made)
	if err := wholefile.Write(f.path(file), made); err != nil {
		return nil, "", unusable("the certificate for "+clients+" cannot be written", err.Error(), "check --state, and who owns it")
	}
	return readDoor(made)
}

// newDoor makes a key, and a certificate for it by itself, for a host.
func newDoor(host string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	// As its own authority, which is all that libpq's sslrootcert and Java's trust stores take.
	c := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "stint-gateway"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateFor),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}) // a buffer takes all
	_ = pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return out.Bytes(), nil
}

// readDoor reads what newDoor made. Its errors quote nothing.
func readDoor(text []byte) (*tls.Certificate, string, error) {
	c, err := tls.X509KeyPair(text, text)
	if err != nil || len(c.Certificate) != 1 {
		return nil, "", errors.New("it is not one certificate and its key")
	}
	if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
		return nil, "", errors.New("its certificate cannot be read")
	}
	return &c, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})), nil
}

func (d *doors) shown(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.cert, nil }

func (d *doors) address() string {
	if d.ln == nil {
		return ""
	}
	return d.ln.Addr().String()
}

// ready reports whether people find the doors, if there are any.
func (d *doors) ready() bool { return d.ln == nil && d.web == nil || d.told.Load() }

func (d *doors) close() { _ = d.ln.Close() }

func portOf(ln net.Listener) uint16 {
	at, _ := ln.Addr().(*net.TCPAddr)
	if at == nil {
		return 0
	}
	return uint16(at.Port)
}

// tell says to the control plane where the doors are, or that there are none, until ctx is
// done. It is told again now and then: it may have been restored.
func (d *doors) tell(ctx context.Context, c *api.Client, log *slog.Logger) {
	for ctx.Err() == nil {
		all := api.GatewayDoors{Doors: []api.GatewayDoor{}}
		if d.ln != nil {
			all.Doors = append(all.Doors, api.GatewayDoor{Protocol: "postgres", Port: portOf(d.ln), Certificate: d.pem})
		}
		if d.web != nil {
			all.Doors = append(all.Doors, d.web.tell()...)
		}
		again := tellEvery
		within, done := context.WithTimeout(ctx, refreshEvery)
		_, err := c.TellDoors(within, all)
		done()
		switch {
		case err == nil:
			d.told.Store(true)
		case ctx.Err() == nil:
			log.Warn("the control plane was not told where clients of other protocols connect; tried again", "error", err)
			again = tryAgain
		}
		d.rest(ctx, again)
	}
}

// rest waits until the doors are to be told of again: for so long, or until the certificate of
// one was renewed, by which programs know it.
func (d *doors) rest(ctx context.Context, again time.Duration) {
	var renewed <-chan struct{} // nil: never
	if d.web != nil {
		renewed = d.web.renewed
	}
	over, look := time.NewTimer(again), time.NewTicker(lookAtFiles)
	defer over.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-over.C:
			return
		case <-renewed:
			return
		case <-look.C:
			if d.web != nil {
				d.web.shownNow()
			}
		}
	}
}
