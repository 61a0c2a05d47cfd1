package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"

	"stint/internal/api"
)

const mostFirst = 10_000 // bytes of a first packet, as of the server itself

// What the first packet of a connection asks for, in place of a version (PostgreSQL
// documentation, "Message Formats").
const (
	wantsCancel = 80877102
	wantsTLS    = 80877103
	wantsGSS    = 80877104
)

// postgresSpeech is the protocol of PostgreSQL.
var postgresSpeech = speech{
	protocols: []string{"postgresql"},
	socket:    ".s.PGSQL." + postgresPort,
	register: func(ctx context.Context, conn *connection, r api.Request, ask api.DoorKeyAsk) (opening, error) {
		k, err := conn.RegisterKey(ctx, r.ID, ask)
		if err != nil {
			return opening{}, err
		}
		o := opening{serial: k.Serial, gateway: k.Gateway, certificate: k.Certificate, until: k.ValidBefore.Time, ends: k.ExpiresAt.Time}
		o.host, _, _ = net.SplitHostPort(k.Gateway) // without one it is of no use, which is seen
		for _, l := range k.Logins {
			if l.Resource == r.Resource {
				o.database = l.Database
				return o, nil
			}
		}
		return o, &api.Error{Kind: api.Unavailable, Code: "not-present", Message: "the access is not on its server at this moment", Next: "try again in a moment"}
	},
	greet: greetLocal,
	refuse: func(_ *cli, local net.Conn, first []byte, why error) {
		if binary.BigEndian.Uint32(first[4:]) != wantsCancel { // who cancels reads no answer
			_, _ = local.Write(notConnected(why))
		}
	},
	uri: postgresURI,
}

// postgresPort is the one that a socket is named after.
const postgresPort = "5432"

// brokered reports whether a failure says that there is no password to be had: the role's
// sessions go through a gateway.
func brokered(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == "through-gateway"
}

// postgresEnv is how libpq finds the line.
func (l *line) postgresEnv() map[string]string {
	env := map[string]string{"PGUSER": l.request.Resource, "PGGSSENCMODE": "disable", "PGSSLMODE": "disable"} // none is needed on this machine
	if l.database != "" {
		env["PGDATABASE"] = l.database
	}
	env["PGHOST"], env["PGPORT"] = l.postgresHost()
	env["STINT_URI"] = l.uri(l)
	return env
}

func (l *line) postgresHost() (host, port string) {
	if l.folder != "" {
		return l.folder, postgresPort
	}
	host, port, _ = net.SplitHostPort(l.ln.Addr().String())
	return host, port
}

func postgresURI(l *line) string {
	u := url.URL{Scheme: "postgresql", User: url.User(l.request.Resource), Path: "/" + l.database, RawQuery: "sslmode=disable"}
	host, port := l.postgresHost()
	if l.folder != "" {
		u.RawQuery = url.Values{"host": {host}, "port": {port}, "sslmode": {"disable"}}.Encode()
	} else {
		u.Host = net.JoinHostPort(host, port)
	}
	return u.String()
}

// greetLocal reads what a local client begins with, and answers that there is no encryption
// on this machine: between here and the gateway there is.
func greetLocal(local net.Conn) (first []byte, err error) {
	for range 4 {
		head := make([]byte, 8)
		if _, err := io.ReadFull(local, head); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(head)
		if n < 8 || n > mostFirst {
			return nil, errors.New("a first packet that the protocol does not have")
		}
		first = append(head, make([]byte, n-8)...)
		if _, err := io.ReadFull(local, first[8:]); err != nil {
			return nil, err
		}
		if code := binary.BigEndian.Uint32(first[4:]); code != wantsTLS && code != wantsGSS {
			return first, nil
		}
		if _, err := local.Write([]byte("N")); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too many questions before it began")
}

// notConnected is why there is no connection, as clients of PostgreSQL show it.
func notConnected(err error) []byte {
	text, next := cause(err), ""
	var e *api.Error
	if errors.As(err, &e) {
		text, next = e.Message, e.Next
		if e.Why != "" {
			text += ": " + e.Why
		}
	}
	body := []byte("SFATAL\x00VFATAL\x00C08006\x00Mstint: " + printable(text) + "\x00")
	if next != "" {
		body = append(body, "H"+printable(next)+"\x00"...)
	}
	body = append(body, 0)
	return append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(body))), body...)
}
