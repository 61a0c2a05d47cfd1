package envelope

import (
	"crypto/ed25519"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
)

// Trust is what the sshd of a host shall believe, and show: the agent asks for it, and
// puts it where sshd reads. It answers one question, by its nonce: nobody can pass an
// older one off as the present state, and no clock is needed to see that.
type Trust struct {
	Version      int       `json:"v"`
	Installation string    `json:"installation"`
	Host         string    `json:"host"`
	Nonce        string    `json:"nonce"` // of the question
	IssuedAt     time.Time `json:"issued_at"`
	// Users are the authorities that sign certificates of people, one line each.
	Users []string `json:"users"`
	// Certificates are of the host's keys, in the order in which the question named
	// them; empty where there is none.
	Certificates []string `json:"certificates"`
	// Ends are those of what is lent on the host, as they are fixed by now.
	Ends []End `json:"ends,omitempty"`
	// Revoked is the digest of the list of certificates that ended early.
	Revoked []byte `json:"revoked"`
}

// End is when something ends: the end that was ordered was the latest that it could have.
type End struct {
	Tag  string    `json:"tag"`
	Told time.Time `json:"told"` // as it was ordered
	End  time.Time `json:"end"`  // no later than that
}

// Bounds of what is trusted.
const (
	MaxHostKeys    = 4
	MaxEnds        = 1000
	maxAuthorities = 16
	maxTrust       = 512 << 10
	maxTrustLine   = 16 << 10
)

// Seal signs it.
func (t Trust) Seal(s Signer) (Sealed, error) {
	t.Version, t.IssuedAt = version, t.IssuedAt.UTC()
	t.Ends = slices.Clone(t.Ends)
	for i, e := range t.Ends {
		t.Ends[i].Told, t.Ends[i].End = e.Told.UTC(), e.End.UTC()
	}
	if err := t.check(); err != nil {
		return "", err
	}
	return seal(trustHead, t, s, maxTrust)
}

// OpenTrust reads what one of the keys has signed as the answer to the question with
// this nonce. The list comes beside it, and is only good if it is the one that is meant.
func OpenTrust(text Sealed, nonce string, list []byte, trusted ...ed25519.PublicKey) (Trust, error) {
	var t Trust
	if err := open(trustHead, text, maxTrust, &t, trusted...); err != nil {
		return Trust{}, err
	}
	if err := t.check(); err != nil {
		return Trust{}, err
	}
	if t.Nonce != nonce {
		return Trust{}, access.Fail(access.Denied, "other-answer", "this answers another question than was asked").
			Because("somebody may be giving out again what was true before")
	}
	if sum := sha256.Sum256(list); !slices.Equal(sum[:], t.Revoked) {
		return Trust{}, access.Fail(access.Denied, "other-list", "the list of certificates that ended early is another one than was signed")
	}
	return t, nil
}

// For refuses what is another host's.
func (t Trust) For(installation, host string) error {
	if t.Installation != installation || t.Host != host {
		return access.Fail(access.Denied, "other-host", "this is what another host shall believe")
	}
	return nil
}

func (t Trust) check() error {
	switch {
	case t.Version != version:
		return malformed("it is of another version")
	case !validID(t.Nonce):
		return malformed("its nonce is not 128 bits in hex")
	case t.Installation == "" || t.Host == "" || len(t.Installation) > maxName || len(t.Host) > maxName:
		return malformed("it does not say whom it is from and for")
	case !inUTC(t.IssuedAt):
		return malformed("its time is not in UTC")
	case len(t.Users) == 0 || len(t.Users) > maxAuthorities || len(t.Certificates) > MaxHostKeys || len(t.Revoked) != sha256.Size:
		return malformed("it says too little or too much")
	}
	if len(t.Ends) > MaxEnds {
		return malformed("it says too much")
	}
	for _, e := range t.Ends {
		if e.Tag == "" || len(e.Tag) > maxName || !inUTC(e.Told) || !inUTC(e.End) || e.End.IsZero() || e.End.After(e.Told) {
			return malformed("an end in it is none, or later than was ordered")
		}
	}
	for _, l := range t.Users {
		if !oneKey(l) {
			return malformed("an authority is not one line of a public key")
		}
	}
	for _, l := range t.Certificates {
		if l != "" && (!oneKey(l) || !strings.Contains(l, "-cert-v01@openssh.com ")) {
			return malformed("a certificate is not one line of one")
		}
	}
	return nil
}

// oneKey reports whether a text is one line of a type and a key, without options before
// it: sshd's files give those a meaning.
func oneKey(l string) bool {
	kind, rest, ok := strings.Cut(l, " ")
	known := strings.HasPrefix(kind, "ssh-") || strings.HasPrefix(kind, "ecdsa-sha2-") || strings.HasPrefix(kind, "sk-ssh-") || strings.HasPrefix(kind, "sk-ecdsa-")
	return ok && known && rest != "" && len(l) <= maxTrustLine && !strings.ContainsFunc(l, func(r rune) bool { return r < 0x20 || r > 0x7e })
}
