package pggate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"stint/internal/access"
	"stint/internal/gateway"
)

const (
	connectWithin = 10 * time.Second
	cancelWithin  = 500 * time.Millisecond
)

// neutral is a complete connection string: each word that the driver would otherwise
// take from the environment or from files is in it.
const neutral = `host=127.0.0.1 port=5432 user=nobody password=none dbname=none sslmode=disable ` +
	`sslcert='' sslkey='' sslrootcert='' passfile='' target_session_attrs=any ` +
	`channel_binding=prefer require_auth=scram-sha-256 sslnegotiation=postgres sslcertmode=disable ` +
	`min_protocol_version=3.0 max_protocol_version=3.0`

// upstream is the connection to the server, signed in.
type upstream struct {
	net.Conn
	address    string
	tls        *tls.Config
	pid        uint32
	secret     []byte
	parameters map[string]string
	status     byte   // of the transaction
	early      []byte // messages that came with the end of the sign-in
	below      *ahead // what TLS reads from
}

// hijacked is a connection that the driver has signed in. What comes is read as the driver
// did: where a write of it was slow, a reader of its own began in the background, and may be
// waiting for the server's next bytes still. Read past it, they would be lost.
type hijacked struct {
	net.Conn
	from io.Reader
}

func (h *hijacked) Read(p []byte) (int, error) { return h.from.Read(p) }

// connect signs in to the session's server.
func (s *Server) connect(ctx context.Context, p *gateway.Permit, id gateway.SessionID, want startup) (*upstream, error) {
	away := func(err error) error {
		return access.Fail(access.Unavailable, "target-away", "the database server did not let the gateway in").Wrap(err).
			Because(reason(err)).Try("try again; if it stays so, ask who runs Stint to look at the resource: stint admin doctor")
	}
	host, port, err := net.SplitHostPort(p.Target.Address)
	if err != nil {
		return nil, away(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, away(err)
	}
	secure, err := known(p.Target)
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeout(ctx, connectWithin)
	defer done()
	password, err := s.Logins.Password(ctx, id)
	if err != nil {
		return nil, err
	}
	c, err := pgconn.ParseConfig(neutral)
	if err != nil {
		return nil, access.Fail(access.Internal, "bad-connection", "prepare a connection").Wrap(err)
	}
	c.Host, c.Port, c.Database, c.User, c.Password = host, uint16(number), want.Database, p.Target.Login, string(password)
	c.TLSConfig = secure
	if p.Target.Database != "" && c.Database == want.User { // what libpq says where nobody named one
		c.Database = p.Target.Database
	}
	c.Fallbacks, c.ValidateConnect, c.AfterConnect = nil, nil, nil
	c.ConnectTimeout = connectWithin
	var below *ahead
	c.DialFunc = func(ctx context.Context, _, addr string) (net.Conn, error) {
		conn, err := s.Dial(ctx, addr)
		if err != nil {
			return nil, err
		}
		below = &ahead{Conn: conn}
		return below, nil
	}
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // Dial looks it up
	c.RuntimeParams = want.Parameters
	if p.Limits.ReadOnly {
		c.RuntimeParams["default_transaction_read_only"] = "on"
	}
	var from io.Reader
	c.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		from = r
		return pgproto3.NewFrontend(r, w)
	}
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, away(err)
	}
	h, err := conn.Hijack()
	if err != nil {
		return nil, away(errors.Join(err, conn.Close(ctx)))
	}
	u := &upstream{Conn: &hijacked{h.Conn, from}, address: p.Target.Address, tls: h.TLSConfig, pid: h.PID, secret: h.SecretKey, parameters: h.ParameterStatuses, status: h.TxStatus, below: below}
	for h.Frontend.ReadBufferLen() > 0 {
		m, err := h.Frontend.Receive()
		if err == nil {
			u.early, err = m.Encode(u.early)
		}
		if err != nil {
			return nil, away(errors.Join(err, u.Close()))
		}
	}
	return u, nil
}

// known is how the server proves that it is the one of the permit.
func known(t gateway.Target) (*tls.Config, error) {
	roots := x509.NewCertPool()
	for _, a := range t.HostAuthorities {
		switch {
		case a == gateway.SystemAuthorities && len(t.HostAuthorities) == 1:
			roots = nil // those of this machine
		case !roots.AppendCertsFromPEM([]byte(a)):
			return nil, access.Fail(access.Internal, "bad-permit", "an authority of the server is no certificate")
		}
	}
	c := &tls.Config{RootCAs: roots, ServerName: t.Name, MinVersion: tls.VersionTLS12}
	if t.Name == "" && roots != nil { // crypto/tls checks a chain without the name by hand only
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, cert := range s.PeerCertificates[1:] {
				between.AddCert(cert)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
			return err
		}
	}
	return c, nil
}

// reason says what a server said, and of other errors only their kind: they name
// addresses, and who may use a resource need not know where it is.
func reason(err error) string {
	var pg *pgconn.PgError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &pg):
		return pg.Message + " (SQLSTATE " + pg.Code + ")"
	case errors.As(err, &cert):
		return "its certificate is not the one that the resource names"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it did not answer within %s", connectWithin)
	}
	return "it could not be reached, or is not the server that the resource names"
}

// cancel asks the server to stop the statement that runs. The server says nothing to it.
func (s *Server) cancel(ctx context.Context, u *upstream) error {
	ctx, done := context.WithTimeout(ctx, cancelWithin)
	defer done()
	c, err := s.Dial(ctx, u.address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	end, _ := ctx.Deadline()
	_ = c.SetDeadline(end)
	ask := binary.BigEndian.AppendUint32(nil, 8)
	ask = binary.BigEndian.AppendUint32(ask, wantsTLS)
	if _, err := c.Write(ask); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if answer[0] != 'S' {
		return errors.New("the server does without TLS")
	}
	t := tls.Client(c, u.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(u.secret)))
	b = binary.BigEndian.AppendUint32(b, wantsCancel)
	b = binary.BigEndian.AppendUint32(b, u.pid)
	if _, err := t.Write(append(b, u.secret...)); err != nil {
		return err
	}
	_, err = t.Read(answer[:]) // it closes when it has passed the wish on
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}
