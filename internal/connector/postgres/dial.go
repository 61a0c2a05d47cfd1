package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/access"
	"stint/internal/connector"
)

// The modes of TLS. There is no "require": encryption to somebody unknown
// protects no password.
const (
	verifyFull = "verify-full"
	verifyCA   = "verify-ca"
	disableTLS = "disable"
)

const connectTimeout = 5 * time.Second

// statementTimeout bounds a statement on the target. Those that grant have a
// shorter one, because their quarantine lasts as long as they could be late.
const statementTimeout = 30 * time.Second

// neutral is a complete connection string: each word that the driver would
// otherwise take from the environment or from a file in the home folder is set.
// All that matters is overwritten by config.
const neutral = `host=127.0.0.1 port=5432 user=nobody password=none dbname=none sslmode=disable ` +
	`sslcert='' sslkey='' sslrootcert='' passfile='' target_session_attrs=primary ` +
	`channel_binding=prefer require_auth=scram-sha-256 sslnegotiation=postgres sslcertmode=allow ` +
	`min_protocol_version=3.0 max_protocol_version=3.0`

// place is a validated address.
type place struct {
	host string
	port uint16
}

func parsePlace(address string) (place, error) {
	bad := access.Fail(access.Invalid, "bad-address", "the address of a database is host:port").Because("it is " + strconv.Quote(address))
	host, p, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return place{}, bad
	}
	// No socket paths and no lists of hosts, which the driver would understand.
	for i := range len(host) {
		c := host[i]
		if !lowerAlnum(c|0x20) && !strings.ContainsRune(".-_:%", rune(c)) || c == '@' {
			return place{}, bad
		}
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil || port == 0 {
		return place{}, bad
	}
	return place{host, uint16(port)}, nil
}

func (p place) loopback() bool {
	a, err := netip.ParseAddr(p.host)
	return err == nil && a.IsLoopback() || err != nil && p.host == "localhost"
}

// config is how to reach a database of a target as the connector's login.
// Nothing in it comes from the environment or from a file.
func config(t connector.Target, database string) (*pgx.ConnConfig, error) {
	at, err := parsePlace(t.Connection.Address)
	if err != nil {
		return nil, err
	}
	if database == "" || t.Username == "" || strings.ContainsRune(database+t.Username, 0) {
		return nil, access.Fail(access.Invalid, "bad-connection", "a database and a user name are needed to connect")
	}
	secure, err := tlsConfig(at, t.Connection.Options)
	if err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig(neutral)
	if err != nil {
		return nil, access.Fail(access.Internal, "bad-connection", "prepare a connection").Wrap(err)
	}
	c.Host, c.Port, c.Database, c.User = at.host, at.port, database, t.Username
	c.Password = string(t.Password.Reveal())
	c.TLSConfig, c.Fallbacks = secure, nil
	c.SSLNegotiation, c.SSLCertMode = "postgres", "allow"
	c.ConnectTimeout = connectTimeout
	// A server that is not the one we know could ask for the password in clear,
	// or say that none is needed and then see our statements.
	c.RequireAuth = "scram-sha-256"
	// A standby may show what is long gone.
	c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	c.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	c.MaxProtocolMessageBodyLen = 64 << 20
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err == nil && secure == nil && !loopbackPeer(conn) {
			return nil, errors.Join(errors.New("without TLS only this machine's own addresses are dialled"), conn.Close())
		}
		return conn, err
	}
	c.RuntimeParams = map[string]string{
		"application_name": "stint",
		"search_path":      "pg_catalog", // no function or operator of a user is ever ours
		"role":             "none",       // what a database's owner sets for it does not make us somebody else
		"client_encoding":  "UTF8",
		"datestyle":        "ISO",
		"timezone":         "UTC",

		"standard_conforming_strings":         "on",
		"statement_timeout":                   strconv.FormatInt(statementTimeout.Milliseconds(), 10),
		"lock_timeout":                        "5000",
		"idle_in_transaction_session_timeout": "15000",
		// A revocation must survive a crash of the target.
		"synchronous_commit":            "on",
		"default_transaction_read_only": "off",
		"default_transaction_isolation": "read committed",
	}
	return c, nil
}

func loopbackPeer(c net.Conn) bool {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

func tlsConfig(at place, options map[string]string) (*tls.Config, error) {
	mode := options["sslmode"]
	if mode == "" {
		mode = verifyFull
	}
	if mode == disableTLS {
		if !at.loopback() {
			return nil, access.Fail(access.Invalid, "tls-required", "sslmode disable is for loopback addresses only").
				Because("the address is " + at.host).Try("use sslmode: verify-full, with the option ca when the authority is your own")
		}
		return nil, nil
	}
	var roots *x509.CertPool // nil: those of the system
	if ca := options["ca"]; ca != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(ca)) {
			return nil, access.Fail(access.Invalid, "bad-ca", "the option ca holds no certificate in PEM form")
		}
	}
	c := &tls.Config{ServerName: at.host, RootCAs: roots, MinVersion: tls.VersionTLS12}
	switch mode {
	case verifyFull:
		return c, nil
	case verifyCA:
		// The chain is checked and the name is not, which crypto/tls can do
		// only by hand.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, cert := range s.PeerCertificates[1:] {
				between.AddCert(cert)
			}
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
			return err
		}
		return c, nil
	}
	return nil, access.Fail(access.Invalid, "bad-sslmode", "sslmode is verify-full, verify-ca, or disable for loopback addresses").
		Because("it is " + strconv.Quote(mode))
}
