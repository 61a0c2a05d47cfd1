package stage

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"stint/internal/api"
)

// Gateway is a stint-gateway that carries sessions with PostgreSQL.
type Gateway struct {
	s    *Stage
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// Gateway enrols a gateway for PostgreSQL on this machine and runs it, on a port that
// people are told. The caller closes it before the stage.
func (s *Stage) Gateway(ctx context.Context, name string) (g *Gateway, err error) {
	var invite api.GatewayEnrolment
	// The port of the address is that of SSH, to which nobody goes here.
	if err := s.As("root").JSON(ctx, &invite, "admin", "gateway", "enroll", name, "--address", "127.0.0.1:2022", "--carries", "postgres"); err != nil {
		return nil, err
	}
	program, state := filepath.Join(s.Bin, "stint-gateway"), s.path("gateway-"+name)
	enroll := exec.CommandContext(ctx, program, "enroll", "--state", state, "--server", s.URL, "--code-file", "-")
	enroll.Stdin = strings.NewReader(invite.Code.Reveal())
	if out, err := enroll.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("stage: enrol a gateway: %w: %s", err, out)
	}
	g = &Gateway{s: s, name: name, done: make(chan struct{})}
	if g.log, err = os.OpenFile(s.path("gateway-"+name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, err
	}
	g.cmd = exec.Command(program, "run", "--state", state, "--listen", "127.0.0.1:0", "--postgres", "127.0.0.1:0", "--status", "")
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := g.cmd.Start(); err != nil {
		return nil, errors.Join(err, g.log.Close())
	}
	go func() { _ = g.cmd.Wait(); close(g.done) }()
	return g, nil
}

// Pid is the gateway's process id.
func (g *Gateway) Pid() int { return g.cmd.Process.Pid }

// LogTail is the end of what it said.
func (g *Gateway) LogTail(lines int) string {
	text, _ := os.ReadFile(g.log.Name())
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Close ends the gateway, and every session that it carries.
func (g *Gateway) Close() error {
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // it may be over already
	select {
	case <-g.done:
	case <-time.After(20 * time.Second):
		_ = g.cmd.Process.Kill()
		<-g.done
	}
	return g.log.Close()
}

// DatabaseKey is how plain clients of PostgreSQL get through a gateway under a grant: a key
// of the device that asked for it, as files that libpq reads.
type DatabaseKey struct {
	Login      api.DatabaseKey
	Folder     string // authority.pem, cert.pem and key.pem are in it
	Host, Port string
}

// DatabaseKey registers a key for a grant of c's, as soon as there is a gateway to use it
// at. It is good for an hour.
func (s *Stage) DatabaseKey(ctx context.Context, c *api.Client, request string) (k DatabaseKey, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return k, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return k, err
	}
	for end := time.Now().Add(time.Minute); ; {
		if k.Login, err = c.RegisterKey(ctx, request, api.DoorKeyAsk{PublicKey: public}); err == nil {
			break
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return k, fmt.Errorf("stage: no gateway takes sessions: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if k.Host, k.Port, err = net.SplitHostPort(k.Login.Gateway); err != nil {
		return k, err
	}
	serial, ok := new(big.Int).SetString(k.Login.Serial, 10)
	if !ok {
		return k, fmt.Errorf("stage: %q is no serial number", k.Login.Serial)
	}
	cert := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "stint"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: k.Login.ValidBefore.Time,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, private.Public(), private)
	if err != nil {
		return k, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return k, err
	}
	if k.Folder, err = os.MkdirTemp(s.Dir, "database-key-"); err != nil {
		return k, err
	}
	for name, text := range map[string][]byte{
		"authority.pem": []byte(k.Login.Certificate),
		"cert.pem":      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		"key.pem":       pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(k.Folder, name), text, 0o600))
	}
	return k, err
}

// DSN is how libpq and pgx connect by the key.
func (k DatabaseKey) DSN(resource, database string) string {
	file := func(name string) string { return filepath.Join(k.Folder, name) }
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=verify-full sslrootcert=%s sslcert=%s sslkey=%s",
		k.Host, k.Port, resource, database, file("authority.pem"), file("cert.pem"), file("key.pem"))
}
