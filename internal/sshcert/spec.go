package sshcert

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/sshcert/lint"
)

// Kind is whom a certificate is for.
type Kind = lint.Kind

// The kinds of certificates.
const (
	User = lint.User
	Host = lint.Host
)

// MaxUserLife and MaxHostLife bound the lives of certificates, whatever a Spec says. A
// person's is renewed by asking again; a host's by its agent.
const (
	MaxUserLife = time.Hour + time.Minute // one hour from now, and what it begins earlier
	MaxHostLife = 30 * 24 * time.Hour
)

// Backdate is how much earlier than now a certificate begins, for hosts whose clock is
// behind.
const Backdate = 30 * time.Second

// Spec is what was decided about a certificate.
type Spec struct {
	Key        Key
	Serial     uint64
	KeyID      string // is in the host's log with each log-in
	Principals []string
	// NotBefore and NotAfter are cut to whole seconds: the end never later.
	NotBefore, NotAfter time.Time

	// The rest is for users only.
	ForceCommand string         // the one command that runs, whatever is asked for; "": any
	Sources      []netip.Prefix // from where it works; none: from anywhere
	Permits      []Permit
}

// Permit is something that a session may have beside its command. What is not in a
// Spec, OpenSSH refuses.
type Permit string

// The permits, by the names of the format.
const (
	PTY             Permit = "permit-pty"
	PortForwarding  Permit = "permit-port-forwarding"
	AgentForwarding Permit = "permit-agent-forwarding"
	X11Forwarding   Permit = "permit-X11-forwarding"
	UserRC          Permit = "permit-user-rc"
)

// critical are the options that a host must understand.
func (s Spec) critical() map[string]string {
	m := map[string]string{}
	if s.ForceCommand != "" {
		m["force-command"] = s.ForceCommand
	}
	if len(s.Sources) > 0 {
		texts := make([]string, len(s.Sources))
		for i, p := range s.Sources {
			texts[i] = p.String()
		}
		m["source-address"] = strings.Join(texts, ",")
	}
	return m
}

func (s Spec) extensions() map[string]string {
	m := map[string]string{}
	for _, p := range s.Permits {
		m[string(p)] = ""
	}
	return m
}

// want says it once more, for the check.
func (s Spec) want(k Kind, authority []byte, life time.Duration) lint.Want {
	return lint.Want{Kind: k, Authority: authority, Key: s.Key.blob, Serial: s.Serial, KeyID: s.KeyID, Principals: s.Principals,
		Critical: sorted(s.critical()), Extensions: sorted(s.extensions()), NotBefore: s.NotBefore, NotAfter: s.NotAfter, MaxLife: life}
}

func sorted(m map[string]string) []lint.Option {
	var out []lint.Option
	for n, v := range m {
		out = append(out, lint.Option{Name: n, Value: v})
	}
	slices.SortFunc(out, func(a, b lint.Option) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Key is a public key that may be certified. The zero value is none.
type Key struct {
	public ssh.PublicKey
	blob   []byte
}

// maxLine is above the text of any key that is allowed.
const maxLine = 4 << 10

// ParseKey reads a public key as files of OpenSSH have it: one line of type, key and
// perhaps a comment. Options before it, and a certificate, are refused.
func ParseKey(text string) (Key, error) {
	text = strings.TrimRight(text, "\r\n")
	if len(text) > maxLine || strings.ContainsAny(text, "\r\n\x00") {
		return Key{}, errors.New("it is longer than one line of a public key")
	}
	kind, rest, _ := strings.Cut(text, " ")
	encoded, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	blob, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || encoded == "" {
		return Key{}, errors.New("it is not a type and a key in base64, as ssh-keygen writes into files that end in .pub")
	}
	k, err := newKey(blob)
	if err != nil {
		return Key{}, err
	}
	if k.public.Type() != kind {
		return Key{}, errors.New("it names another type than the key has")
	}
	return k, nil
}

// ParseBlob reads a public key in its wire form. A certificate is refused.
func ParseBlob(blob []byte) (Key, error) { return newKey(blob) }

// BlobOf is the wire form of a certificate of ours, of its line.
func BlobOf(line string) ([]byte, error) {
	_, encoded, _ := strings.Cut(line, " ")
	return base64.StdEncoding.Strict().DecodeString(encoded)
}

// newKey takes the wire form of a key.
func newKey(blob []byte) (Key, error) {
	if err := lint.Key(blob); err != nil {
		return Key{}, err
	}
	public, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return Key{}, fmt.Errorf("the key cannot be read: %w", err)
	}
	return Key{public: public, blob: slices.Clone(blob)}, nil
}

// Fingerprint is the form in which OpenSSH shows keys: SHA256 and 43 letters.
func (k Key) Fingerprint() string {
	sum := sha256.Sum256(k.blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Line is the key as one line of a file, without a comment or a newline.
func (k Key) Line() string {
	if k.public == nil {
		return ""
	}
	return k.public.Type() + " " + base64.StdEncoding.EncodeToString(k.blob)
}

// Blob is the key in its wire form.
func (k Key) Blob() []byte { return slices.Clone(k.blob) }
