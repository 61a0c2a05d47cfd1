package envelope

import (
	"errors"
	"time"
	"unicode/utf8"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/crypt"
)

const (
	maxOrderText  = 4096
	maxOrderTexts = 256
)

// Order is connector.Order.
type Order struct {
	Entitlement string            `json:"entitlement,omitempty"`
	Tag         string            `json:"tag,omitempty"`
	Mechanism   string            `json:"mechanism,omitempty"`
	Person      string            `json:"person,omitempty"`
	Account     string            `json:"account,omitempty"`
	Rights      []string          `json:"rights,omitempty"`
	Options     map[string]string `json:"options,omitempty"`
	ExpiresAt   time.Time         `json:"expires_at,omitzero"`
	Before      string            `json:"before,omitempty"`
	Creation    string            `json:"creation,omitempty"`
	Renew       uint8             `json:"renew,omitempty"`
	// Secret and Next are of a vaulted account: crypt.Verifiers, and never the passwords.
	Secret string `json:"secret,omitempty"`
	Next   string `json:"next,omitempty"`
	// Proofs are for hosts that have rosters of their own.
	Proofs []Proof `json:"proofs,omitempty"`
}

// Proof is access.Proof.
type Proof struct {
	Grant string       `json:"grant"`
	Ask   string       `json:"ask"`
	Votes []SignedVote `json:"votes"`
}

// SignedVote is access.SignedVote.
type SignedVote struct {
	Vote      string `json:"vote"`
	Assertion string `json:"assertion"`
}

// OrderOf is an order for the wire. One with a text that is not UTF-8 is refused:
// the wire would change it into another name. Passwords do not cross it: who hashes them
// for the host puts in what it made.
func OrderOf(o connector.Order) (Order, error) {
	out := Order{Entitlement: string(o.Entitlement), Tag: string(o.Tag), Mechanism: string(o.Mechanism), Person: string(o.Person), Account: o.Account,
		Rights: o.Rights, Options: o.Options, ExpiresAt: utc(o.ExpiresAt), Before: o.Before, Creation: o.Creation, Renew: uint8(o.Renew)}
	for _, p := range o.Proofs {
		x := Proof{Grant: string(p.Grant), Ask: p.Ask}
		for _, v := range p.Votes {
			x.Votes = append(x.Votes, SignedVote(v))
		}
		out.Proofs = append(out.Proofs, x)
	}
	return out, out.check()
}

// Ordered is the order as connectors have it.
func (o Order) Ordered() connector.Order {
	var proofs []access.Proof
	for _, p := range o.Proofs {
		x := access.Proof{Grant: access.GrantID(p.Grant), Ask: p.Ask}
		for _, v := range p.Votes {
			x.Votes = append(x.Votes, access.SignedVote(v))
		}
		proofs = append(proofs, x)
	}
	return connector.Order{Proofs: proofs, Secret: secret(o.Secret), Next: secret(o.Next), Entitlement: access.EntitlementID(o.Entitlement), Tag: access.Tag(o.Tag), Mechanism: access.Mechanism(o.Mechanism), Person: access.Person(o.Person),
		Account: o.Account, Rights: o.Rights, Options: o.Options, ExpiresAt: o.ExpiresAt, Before: o.Before, Creation: o.Creation, Renew: connector.Renew(o.Renew)}
}

// secret is a verifier as orders on the host have it.
func secret(verifier string) access.Secret {
	if verifier == "" {
		return access.Secret{}
	}
	return access.NewSecret([]byte(verifier))
}

func (o Order) check() error {
	bad := func(why string) error {
		return access.Fail(access.Invalid, "bad-order", "the order is not in the form of one").Because(why)
	}
	if len(o.Rights) > maxOrderTexts || len(o.Options) > maxOrderTexts || o.Renew > uint8(connector.Rotate) {
		return bad("it says too much")
	}
	texts := append([]string{o.Entitlement, o.Tag, o.Mechanism, o.Person, o.Account, o.Creation}, o.Rights...)
	for name, value := range o.Options {
		texts = append(texts, name, value)
	}
	for _, s := range texts {
		if len(s) > maxOrderText {
			return bad("a text in it is too long")
		}
	}
	for _, s := range append(texts, o.Before) {
		if !utf8.ValidString(s) {
			return bad("a text in it is not UTF-8")
		}
	}
	if !inUTC(o.ExpiresAt) {
		return bad("its end is not in UTC")
	}
	for _, v := range []string{o.Secret, o.Next} {
		if v == "" {
			continue
		}
		if _, err := crypt.Parse(v); err != nil || o.Mechanism != string(access.Checkout) {
			return bad("a verifier in it is none, or does not belong there")
		}
	}
	if err := o.checkProofs(); err != nil {
		return bad(err.Error())
	}
	if len(o.Before) > 64<<10 {
		return bad("its state before is too long")
	}
	return nil
}

// checkProofs holds what is shown against its bounds. What is in it the host looks at.
func (o Order) checkProofs() error {
	if len(o.Proofs) > access.MaxProofs {
		return errors.New("it shows more than is looked at")
	}
	for _, p := range o.Proofs {
		texts := []string{p.Grant, p.Ask}
		over := len(p.Grant) > maxOrderText || len(p.Ask) > access.MaxAskText || len(p.Votes) > access.MaxVotes
		for _, v := range p.Votes {
			over = over || len(v.Vote) > access.MaxVoteText || len(v.Assertion) > access.MaxProofText
			texts = append(texts, v.Vote, v.Assertion)
		}
		if over {
			return errors.New("what it shows is too long")
		}
		for _, s := range texts {
			if !utf8.ValidString(s) {
				return errors.New("a text in it is not UTF-8")
			}
		}
	}
	return nil
}

// Bare is the order without what it shows, and without verifiers: enough to take away what
// it made. An account that is taken away so opens with nothing.
func (o Order) Bare() Order {
	o.Proofs, o.Secret, o.Next = nil, "", ""
	return o
}

// utc drops what of a time does not cross the wire.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}

// Weight is about how many bytes an order has on the wire, before it is encoded as
// text there.
func (o Order) Weight() int {
	n := 300 + len(o.Before) + len(o.Secret) + len(o.Next)
	for _, s := range append([]string{o.Entitlement, o.Tag, o.Mechanism, o.Person, o.Account, o.Creation}, o.Rights...) {
		n += len(s) + 3
	}
	for _, p := range o.Proofs {
		n += len(p.Grant) + len(p.Ask) + 40
		for _, v := range p.Votes {
			n += len(v.Vote) + len(v.Assertion) + 40
		}
	}
	for name, value := range o.Options {
		n += len(name) + len(value) + 6
	}
	return n
}
