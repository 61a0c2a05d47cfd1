package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"stint/internal/access"
)

// Bounds of one pass over a directory.
const (
	passWithin = 5 * time.Minute
	stepWithin = time.Minute // one search, one page
	maxBytes   = 512 << 20
	maxMessage = 16 << 20 // one entry: a group with all of its members
	maxEntries = 500_000
	maxPages   = 20_000
	maxEmpty   = 100 // pages in a row without an entry
	maxText    = 4 << 10
	pageSize   = 500
)

func init() { ber.MaxPacketLengthBytes = maxMessage } // of the library, which knows no other way

// Door is how a directory is reached: under the rules for outgoing calls.
type Door struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  func(server string) *tls.Config
}

// Login is who reads the directory.
type Login struct {
	DN     string
	Secret access.Secret
}

// conn is one connection, for one pass.
type conn struct {
	ldap    *ldap.Conn
	line    *line
	entries int
	stop    func() bool
}

// line counts what comes in, and says nothing more when it is too much.
type line struct {
	net.Conn
	left    atomic.Int64
	tooMuch atomic.Bool
}

func (l *line) Read(p []byte) (int, error) {
	if l.left.Load() <= 0 {
		l.tooMuch.Store(true)
		return 0, errors.New("the directory says more than it may")
	}
	n, err := l.Conn.Read(p)
	l.left.Add(int64(-n))
	return n, err
}

func unreachable(why string, cause error) error {
	e := access.Fail(access.Unavailable, "directory-unreachable", "the directory cannot be read").Because(why)
	if cause != nil {
		e = e.Wrap(cause)
	}
	return e
}

// open dials, begins TLS and binds. The connection ends with ctx.
func (d Door) open(ctx context.Context, s Settings, who Login) (_ *conn, err error) {
	host, address, now, err := s.where()
	if err != nil {
		return nil, err
	}
	if who.DN == "" || who.Secret.Empty() { // RFC 4513 section 5.1.2: this would succeed, and prove nothing
		return nil, access.Fail(access.Invalid, "no-credential", "a directory is read with a name and a password").
			Because("without a password a directory lets anybody in, as nobody").Try("stint admin credential set NAME --type directory --address … --username DN --password-file F")
	}
	dial, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	raw, err := d.Dial(dial, "tcp", address)
	if err != nil {
		return nil, unreachable(address+" does not answer", err)
	}
	l := &line{Conn: raw}
	l.left.Store(maxBytes)
	if end, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(end)
	}
	c := &conn{line: l, stop: context.AfterFunc(ctx, func() { _ = raw.Close() })}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if now {
		secured := tls.Client(l, d.TLS(host))
		if err := secured.HandshakeContext(dial); err != nil {
			return nil, unreachable("it does not prove to be "+host, err)
		}
		c.ldap = ldap.NewConn(secured, true)
	} else {
		c.ldap = ldap.NewConn(l, false)
	}
	c.ldap.SetTimeout(stepWithin)
	c.ldap.Start()
	switch {
	case s.Plain:
		if a, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err != nil || !a.Addr().Unmap().IsLoopback() {
			return nil, access.Fail(access.Invalid, "plain-directory", "a directory is read without TLS on this machine only")
		}
	case !now:
		if err := c.guard(func() error { return c.ldap.StartTLS(d.TLS(host)) }); err != nil {
			return nil, unreachable("it does not begin TLS, or does not prove to be "+host, said(err))
		}
	}
	if err := c.guard(func() error { return c.ldap.Bind(who.DN, string(who.Secret.Reveal())) }); err != nil {
		if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			return nil, access.Fail(access.Unavailable, "directory-refuses", "the directory does not let Stint in").
				Because("it does not take the name and the password of the credential").Try("stint admin credential set, with the address to the letter")
		}
		return nil, unreachable("it does not let Stint in", said(err))
	}
	return c, nil
}

func (c *conn) close() {
	c.stop()
	_ = c.line.Close()
	if c.ldap != nil {
		_ = c.ldap.Close()
	}
}

// guard makes an error of whatever the library does with an answer that is none.
func (c *conn) guard(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("an answer is not LDAP: %v", r)
		}
		if err != nil && c.line.tooMuch.Load() {
			err = fmt.Errorf("it says more than %d MiB", maxBytes>>20)
		}
	}()
	return do()
}

// search hands on all entries of a search, page by page (RFC 2696).
func (c *conn) search(base string, scope int, filter string, attrs []string, each func(*ldap.Entry) error) error {
	return c.guard(func() error {
		page := ldap.NewControlPaging(pageSize)
		empty := 0
		for range maxPages {
			req := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, int(stepWithin/time.Second), false, filter, attrs, []ldap.Control{page})
			res, err := c.ldap.Search(req)
			if err != nil {
				return explain(base, err)
			}
			if c.entries += len(res.Entries); c.entries > maxEntries {
				return unreachable(fmt.Sprintf("it has more than %d entries", maxEntries), nil)
			}
			for _, e := range res.Entries {
				if err := each(e); err != nil {
					return err
				}
			}
			if empty++; len(res.Entries) > 0 {
				empty = 0
			}
			next, _ := ldap.FindControl(res.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			if next == nil || len(next.Cookie) == 0 {
				return nil
			}
			if empty > maxEmpty {
				return unreachable("it sends pages without anybody on them", nil)
			}
			page.SetCookie(next.Cookie)
		}
		return unreachable(fmt.Sprintf("it sends more than %d pages", maxPages), nil)
	})
}

// said leaves nothing of a refusal but its code: the rest is a stranger's text, which may
// hold the password that was sent.
func said(err error) error {
	var e *ldap.Error
	switch {
	case !errors.As(err, &e):
		return err
	case e.ResultCode < ldap.ErrorNetwork:
		return fmt.Errorf("it answers %d, %s", e.ResultCode, ldap.LDAPResultCodeMap[e.ResultCode])
	}
	return fmt.Errorf("its answer did not come, or is none (%d)", e.ResultCode) // the library's own codes
}

// errNone is that there is no such entry.
var errNone = errors.New("there is no such entry")

// explain says what an error of a search means.
func explain(base string, err error) error {
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject):
		return unreachable("there is no "+access.Label(base)+", or the credential may not see it", errNone)
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded), ldap.IsErrorWithCode(err, ldap.LDAPResultAdminLimitExceeded):
		return unreachable("it has a limit of how much it says; have it lifted for the credential", said(err))
	case ldap.IsErrorWithCode(err, ldap.LDAPResultReferral):
		return unreachable(access.Label(base)+" is on another server, and referrals are not followed; name that one", said(err))
	}
	return unreachable("a search failed", said(err))
}

// one reads one entry with some of its attributes; nil if it is not there.
func (c *conn) one(dn string, attrs ...string) (e *ldap.Entry, err error) {
	err = c.search(dn, ldap.ScopeBaseObject, "(objectClass=*)", attrs, func(found *ldap.Entry) error { e = found; return nil })
	if errors.Is(err, errNone) {
		return nil, nil
	}
	return e, err
}

// list is all values of an attribute. Active Directory hands a long one out in
// pieces ([MS-ADTS] 3.1.1.3.1.3.3): member;range=0-1499, and the last one to *.
func (c *conn) list(e *ldap.Entry, name string) ([]string, error) {
	out := e.GetEqualFoldAttributeValues(name)
	from, last := piece(e, name)
	if last {
		return out, nil
	}
	all := append([]string{}, from...)
	for range maxPages {
		next, err := c.one(e.DN, fmt.Sprintf("%s;range=%d-*", name, len(all)))
		if err != nil {
			return nil, err
		}
		if next == nil {
			return nil, unreachable("a group was gone while it was read", nil)
		}
		values, last := piece(next, name)
		all = append(all, values...)
		if last {
			return all, nil
		}
		if len(values) == 0 || len(all) > maxEntries {
			break
		}
	}
	return nil, unreachable("it does not come to the end of the members of a group", nil)
}

// piece is what an entry has of a list that comes in pieces, and whether there is no
// more of it.
func piece(e *ldap.Entry, name string) (values []string, last bool) {
	for _, a := range e.Attributes {
		if len(a.Name) > len(name) && strings.EqualFold(a.Name[:len(name)], name) && strings.HasPrefix(strings.ToLower(a.Name[len(name):]), ";range=") {
			return a.Values, strings.HasSuffix(a.Name, "-*")
		}
	}
	return nil, true
}
