package main

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
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"stint/internal/freeport"
	"stint/internal/pgtest"
	"stint/test/stage"
)

// bouncer is a pgbouncer before a server: sessions are pooled whole, with TLS and SCRAM to
// both sides, as the gateway has them.
type bouncer struct {
	dir  string
	port int
	cmd  *exec.Cmd
	done chan struct{}
}

func findBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no pgbouncer to measure beside: apt-get install pgbouncer")
}

func startBouncer(ctx context.Context, program string, to *pgtest.Server) (b *bouncer, err error) {
	b = &bouncer{done: make(chan struct{})}
	if b.dir, err = os.MkdirTemp("", "stint-bouncer-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.port, err = freeport.Find(); err != nil {
		return b, err
	}
	authority, err := os.ReadFile(to.CAFile)
	if err != nil {
		return b, err
	}
	cert, key, err := selfSigned()
	if err != nil {
		return b, err
	}
	host, port, err := net.SplitHostPort(to.Addr())
	if err != nil {
		return b, err
	}
	ini := fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]s dbname=%[1]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[4]d
unix_socket_dir =
auth_type = scram-sha-256
auth_file = %[5]s/users
pool_mode = session
max_client_conn = 1200
default_pool_size = 1100
client_tls_sslmode = require
client_tls_cert_file = %[5]s/cert.pem
client_tls_key_file = %[5]s/key.pem
server_tls_sslmode = verify-full
server_tls_ca_file = %[5]s/authority.pem
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
logfile = %[5]s/log
pidfile =
`, stage.Database, host, port, b.port, b.dir)
	for name, text := range map[string][]byte{"pgbouncer.ini": []byte(ini), "users": []byte(`"` + directLogin + `" "` + directPassword + `"` + "\n"),
		"cert.pem": cert, "key.pem": key, "authority.pem": authority, "log": nil} {
		err = errors.Join(err, os.WriteFile(filepath.Join(b.dir, name), text, 0o600))
	}
	if err != nil {
		return b, err
	}
	b.cmd = exec.Command(program, "-q", filepath.Join(b.dir, "pgbouncer.ini"))
	b.cmd.Dir, b.cmd.SysProcAttr = b.dir, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 { // it does not run as root
		if err := b.giveAway(); err != nil {
			return b, err
		}
	}
	if err := b.cmd.Start(); err != nil {
		b.cmd = nil
		return b, err
	}
	go func() { _ = b.cmd.Wait(); close(b.done) }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", freeport.Address(b.port))
		if err == nil {
			return b, c.Close()
		}
		said, _ := os.ReadFile(filepath.Join(b.dir, "log"))
		select {
		case <-b.done:
			return b, fmt.Errorf("pgbouncer ended before it served: %s", said)
		default:
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return b, fmt.Errorf("pgbouncer does not serve: %s", said)
		}
	}
}

// giveAway has it run as the user that runs PostgreSQL.
func (b *bouncer) giveAway() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	b.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	files, err := os.ReadDir(b.dir)
	err = errors.Join(err, os.Chown(b.dir, int(uid), int(gid)))
	for _, f := range files {
		err = errors.Join(err, os.Chown(filepath.Join(b.dir, f.Name()), int(uid), int(gid)))
	}
	return err
}

// env is how libpq reaches it.
func (b *bouncer) env() []string {
	return []string{"PGHOST=127.0.0.1", "PGPORT=" + strconv.Itoa(b.port), "PGUSER=" + directLogin, "PGPASSWORD=" + directPassword, "PGDATABASE=" + stage.Database,
		"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + filepath.Join(b.dir, "cert.pem")}
}

func (b *bouncer) close() error {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill() // it may be over already
		<-b.done
	}
	return os.RemoveAll(b.dir)
}

// selfSigned is a certificate for this machine, and its key, PEM.
func selfSigned() (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pgbouncer"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 7), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), nil
}
