package notify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"stint/internal/access"
)

// Mail is the type of channels that send mail over SMTP: one thread for each subject.
const Mail = "mail"

const mailAddress = `[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*`

func mailSchema(with func(map[string]access.Option) map[string]access.Option) access.Schema {
	form := "write it as name@example.com"
	return access.Schema{Type: Mail, Schemes: []string{"smtp", "smtps"}, Integration: with(map[string]access.Option{
		"from": {Doc: "the sender's address", Required: true, Pattern: mailAddress, Form: form},
		"to":   {Doc: "who gets the mail; a list of addresses, of a group best", Required: true, Many: true, Pattern: mailAddress, Form: form},

		ofRequesters: requestersOption,
	})}
}

type mail struct {
	service  *Service
	at       Integration
	host     string // of the server, for its certificate
	address  string // host:port
	implicit bool   // TLS from the first byte
	from     string
	to       []string
}

func newMail(s *Service, i Integration) (Channel, Stream, error) {
	u, err := url.Parse(i.Address)
	if err != nil {
		return nil, nil, errors.New("the address is none")
	}
	m := &mail{service: s, at: i, host: u.Hostname(), implicit: u.Scheme == "smtps", from: i.Options["from"], to: items(i.Options["to"])}
	port := u.Port()
	switch {
	case port != "":
	case m.implicit:
		port = "465"
	default:
		port = "587"
	}
	m.address = net.JoinHostPort(m.host, port)
	if m.from == "" || len(m.to) == 0 {
		return nil, nil, errors.New("from and to are needed")
	}
	return m, nil, nil
}

// Send writes a mail for each stage, and where those who are asked are asked anew: what
// was sent cannot be changed. That somebody
// uses what they were given is told with its end.
func (c *mail) Send(ctx context.Context, m Message, before Sent) (Sent, error) {
	if !news(m, before) {
		return before, nil
	}
	to := c.to
	if m.To != "" {
		to = []string{m.To}
	}
	text, err := letter(c.service.Site, c.at.Name, m, c.from, to, before.Parts)
	if err != nil {
		return before, err
	}
	if err := c.deliver(ctx, text, to); err != nil {
		return before, err
	}
	before.Parts++
	return before, nil
}

// news reports whether a channel that cannot change what it sent has something to say:
// another stage, or the same one once more to those who are asked.
func news(m Message, before Sent) bool {
	if before.Parts > 0 && m.To != "" { // to who asked each is news: ready is what they wait for
		return m.Stage != before.Stage || m.Nudge > before.Nudge
	}
	return before.Parts == 0 || told(m.Stage) != told(before.Stage) || m.Nudge > before.Nudge
}

// told is the stage as channels tell it that cannot change what they sent.
func told(s Stage) Stage {
	if s == Live {
		return Answered
	}
	return s
}

// mailWithin is how long a delivery may take.
const mailWithin = 30 * time.Second

// deliver hands the mail to the server. It is encrypted, and the server's certificate
// verified, wherever it leaves this host.
func (c *mail) deliver(ctx context.Context, text []byte, to []string) error {
	ctx, cancel := context.WithTimeout(ctx, mailWithin)
	defer cancel()
	conn, err := c.service.Dial(ctx, "tcp", c.address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // after QUIT, or to give up
	if err := conn.SetDeadline(time.Now().Add(mailWithin)); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	return c.converse(ctx, conn, text, to)
}

func (c *mail) converse(ctx context.Context, conn net.Conn, text []byte, all []string) error {
	if c.implicit {
		conn = tlsClient(conn, c.service.TLS(c.host))
	}
	client, err := smtp.NewClient(conn, c.host)
	if err != nil {
		return polite(err)
	}
	if err := client.Hello("stint.invalid"); err != nil {
		return polite(err)
	}
	if ok, _ := client.Extension("STARTTLS"); ok && !c.implicit {
		if err := client.StartTLS(c.service.TLS(c.host)); err != nil {
			return polite(err)
		}
	} else if !ok && !c.implicit && !here(conn) {
		return errors.New("the mail server offers no STARTTLS, and nothing is sent unencrypted")
	}
	if c.at.Credential != "" {
		login, err := c.service.secret(ctx, c.at, c.at.Credential)
		if err != nil {
			return err
		}
		// PlainAuth itself refuses to speak without TLS, but on this host.
		if err := client.Auth(smtp.PlainAuth("", login.Username, strings.TrimRight(string(login.Secret.Reveal()), "\r\n"), c.host)); err != nil {
			return fmt.Errorf("sign in: %w", polite(err))
		}
	}
	if err := client.Mail(c.from); err != nil {
		return polite(err)
	}
	for _, to := range all {
		if err := client.Rcpt(to); err != nil {
			return polite(err)
		}
	}
	w, err := client.Data()
	if err != nil {
		return polite(err)
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		var said *textproto.Error
		if errors.As(err, &said) && said.Code >= 500 {
			return &Refused{polite(err).Error()}
		}
		return polite(err)
	}
	_ = client.Quit() // it has taken the mail; the rest is manners
	return nil
}

// here reports whether the connection is to this host.
func here(conn net.Conn) bool {
	a, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// polite is the code of a server's answer without its text, which anybody may write.
func polite(err error) error {
	var said *textproto.Error
	if errors.As(err, &said) {
		return fmt.Errorf("the mail server answers %d", said.Code)
	}
	return err
}

// letter is the mail as it goes over the wire (RFC 5322), text first and then HTML.
// nth is how many of its thread went before. Every header is made of names that were
// checked, of digests, or is encoded.
func letter(site Site, channel string, m Message, from string, to []string, nth int) ([]byte, error) {
	_, domain, _ := strings.Cut(from, "@")
	id := func(n int) string {
		of := m.Subject
		if m.To != "" { // a thread of its own
			of += " " + m.To
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", site.Installation, channel, of))
		return fmt.Sprintf("<%s.%d@%s>", hex.EncodeToString(sum[:16]), n, domain)
	}
	subject := oneLine(m.Topic, maxLine)
	switch {
	case nth > 0:
		subject = "Re: " + subject
	case m.Stage == Asked:
		subject = "Approve? " + subject
	}
	var b bytes.Buffer
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	header("From", "Stint <"+from+">")
	header("To", strings.Join(to, ",\r\n "))
	header("Subject", mime.QEncoding.Encode("utf-8", subject))
	header("Date", m.At.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	header("Message-ID", id(nth))
	if nth > 0 {
		header("In-Reply-To", id(0))
		header("References", id(0))
	}
	header("Auto-Submitted", "auto-generated") // RFC 3834: no answers to it
	if m.Urgent {
		header("Importance", "high")
	}
	header("MIME-Version", "1.0")
	parts := multipart.NewWriter(&b)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", nth, plain(m)))
	if err := parts.SetBoundary("stint-" + hex.EncodeToString(sum[:12])); err != nil {
		return nil, err
	}
	header("Content-Type", `multipart/alternative; boundary="`+parts.Boundary()+`"`)
	b.WriteString("\r\n")
	for _, p := range []struct{ typ, text string }{
		{"text/plain", plain(m) + "\n-- \n" + footer(site, channel) + "\n"},
		{"text/html", page(m, footer(site, channel))},
	} {
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {p.typ + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
		if err != nil {
			return nil, err
		}
		q := quotedprintable.NewWriter(w)
		if _, err := io.WriteString(q, strings.ReplaceAll(p.text, "\n", "\r\n")); err != nil {
			return nil, err
		}
		if err := q.Close(); err != nil {
			return nil, err
		}
	}
	err := parts.Close()
	return b.Bytes(), err
}

// page is the mail as HTML: one column, no image, no style but line breaks, and one
// link, which shows and does nothing.
func page(m Message, foot string) string {
	e := html.EscapeString
	var b strings.Builder
	b.WriteString("<!doctype html>\n<p><b>" + e(m.Title) + "</b></p>\n")
	if m.Reason != "" {
		b.WriteString("<blockquote>" + strings.ReplaceAll(e(reason(m)), "\n", "<br>\n") + "</blockquote>\n")
	}
	b.WriteString("<table>\n")
	for _, f := range m.Facts {
		b.WriteString("<tr><td>" + e(f.Name) + "</td><td>" + e(f.Value) + "</td></tr>\n")
	}
	b.WriteString("</table>\n")
	for _, s := range m.Said {
		b.WriteString("<p>" + e(s) + "</p>\n")
	}
	if m.Command != "" {
		b.WriteString("<p><code>" + e(m.Command) + "</code></p>\n")
	}
	if m.Link != "" {
		b.WriteString(`<p><a href="` + e(m.Link) + `">Open it in Stint</a></p>` + "\n")
	}
	b.WriteString("<p><small>" + e(foot) + "</small></p>\n")
	return b.String()
}
