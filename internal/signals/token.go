package signals

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"stint/internal/access"
)

// Bounds of a token.
const (
	// MaxToken is the most bytes of one.
	MaxToken = 64 << 10
	// MaxAge is how old one may be: transmitters keep what they could not deliver.
	MaxAge = 7 * 24 * time.Hour
	// ahead is how far a transmitter's clock may be before ours.
	ahead     = 5 * time.Minute
	maxEvents = 8
	maxJTI    = 255
)

// algorithms are those with public keys that transmitters use. None of them takes a
// shared secret, so that no public key can be taken for one.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// Meaning is what an event asks Stint to do.
type Meaning uint8

// The meanings. The zero value is nothing.
const (
	Nothing   Meaning = iota
	Doubt             // what they are signed in with is not to be trusted any more
	Gone              // the account is disabled or deleted
	Back              // it is enabled again
	Unwelcome         // an event that nobody here reads
)

// The types of event: OpenID CAEP 1.0 section 3, RISC 1.0 section 2, SSF 1.0 sections
// 7.1.4 and 7.1.5.
const (
	caep = "https://schemas.openid.net/secevent/caep/event-type/"
	risc = "https://schemas.openid.net/secevent/risc/event-type/"
	ssf  = "https://schemas.openid.net/secevent/ssf/event-type/"
)

// Event is one event of a token.
type Event struct {
	Type    string // its URI
	Meaning Meaning
	Issuer  string // of the subject; empty for an event about nobody
	Subject string
}

// Token is a verified one.
type Token struct {
	JTI    string
	Issued time.Time
	Events []Event
}

// Problem is why a token is refused, as RFC 8935 section 2.4 names it.
type Problem struct {
	Code string // invalid_request, invalid_key, invalid_issuer, invalid_audience
	Text string
}

func (p *Problem) Error() string { return p.Text }

func wrong(code, text string) error { return &Problem{code, text} }

// Expect is what a token has to be.
type Expect struct {
	Issuer   string
	Audience string
	Keys     []jose.JSONWebKey
	Now      time.Time
}

// errUnknownKey is the refusal of a token by a key that is not among those known.
var errUnknownKey = wrong("invalid_key", "the token is signed by no key of the transmitter")

// UnknownKey reports whether a token was refused because its key is not known, which
// newer keys may mend.
func UnknownKey(err error) bool { return err == errUnknownKey }

type claims struct {
	Issuer   string                     `json:"iss"`
	Audience audience                   `json:"aud"`
	IssuedAt *json.Number               `json:"iat"`
	Expires  *json.Number               `json:"exp"`
	JTI      string                     `json:"jti"`
	Events   map[string]json.RawMessage `json:"events"`
	About    *subject                   `json:"sub_id"`
}

// audience is one text or several, RFC 7519 section 4.1.3.
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// subject is a subject identifier of RFC 9493, alone or as the user of a complex one
// (SSF 1.0 section 3.3). Older transmitters call its format subject_type.
type subject struct {
	Format string   `json:"format"`
	Older  string   `json:"subject_type"`
	Issuer string   `json:"iss"`
	Sub    string   `json:"sub"`
	User   *subject `json:"user"`
}

// Verify reads a token and says what it means, or why it is refused: a *Problem.
func Verify(raw string, want Expect) (Token, error) {
	if len(raw) > MaxToken {
		return Token{}, wrong("invalid_request", "the token is too long")
	}
	signed, err := jose.ParseSignedCompact(strings.TrimSpace(raw), algorithms)
	if err != nil || len(signed.Signatures) != 1 {
		return Token{}, wrong("invalid_request", "it is no signed token, or its algorithm is not accepted")
	}
	head := signed.Signatures[0].Protected
	if typ, _ := head.ExtraHeaders[jose.HeaderType].(string); !isType(typ) { // RFC 8417 section 2.3
		return Token{}, wrong("invalid_request", "the type of the token is not secevent+jwt")
	}
	var payload []byte
	for _, k := range want.Keys {
		if k.IsPublic() && k.Valid() && (head.KeyID == "" || k.KeyID == "" || k.KeyID == head.KeyID) && (k.Use == "" || k.Use == "sig") &&
			(k.Algorithm == "" || k.Algorithm == head.Algorithm) {
			if payload, err = signed.Verify(k.Key); err == nil {
				break
			}
		}
	}
	if payload == nil {
		return Token{}, errUnknownKey
	}
	return read(payload, want)
}

func isType(typ string) bool {
	typ = strings.ToLower(typ)
	return typ == "secevent+jwt" || typ == "application/secevent+jwt"
}

// read takes the claims of a token whose signature is good.
func read(payload []byte, want Expect) (Token, error) {
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return Token{}, wrong("invalid_request", "the claims cannot be read")
	}
	if c.Issuer != want.Issuer || c.Issuer == "" {
		return Token{}, wrong("invalid_issuer", "the token is another issuer's")
	}
	meant := false
	for _, a := range c.Audience {
		meant = meant || a == want.Audience && a != ""
	}
	if !meant {
		return Token{}, wrong("invalid_audience", "the token is meant for somebody else")
	}
	t := Token{JTI: c.JTI}
	var ok bool
	switch t.Issued, ok = moment(c.IssuedAt); {
	case !ok:
		return t, wrong("invalid_request", "the token does not say when it was issued")
	case t.Issued.After(want.Now.Add(ahead)):
		return t, wrong("invalid_request", "the token is from the future")
	case t.Issued.Before(want.Now.Add(-MaxAge)):
		return t, wrong("invalid_request", "the token is too old")
	case c.JTI == "" || len(c.JTI) > maxJTI:
		return t, wrong("invalid_request", "the token has no jti, or a long one")
	case len(c.Events) == 0 || len(c.Events) > maxEvents:
		return t, wrong("invalid_request", "the token has no events, or too many")
	}
	if end, has := moment(c.Expires); c.Expires != nil && (!has || !want.Now.Before(end)) {
		return t, wrong("invalid_request", "the token has expired")
	}
	for typ, body := range c.Events {
		e, err := event(typ, body, c.About)
		if err != nil {
			return t, err
		}
		t.Events = append(t.Events, e)
	}
	return t, nil
}

// moment reads a NumericDate, RFC 7519 section 2.
func moment(n *json.Number) (time.Time, bool) {
	if n == nil {
		return time.Time{}, false
	}
	f, err := n.Float64()
	if err != nil || f < 0 || f > 1<<40 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(f * 1000)).UTC(), true
}

// event says what one event means and whom it is about.
func event(typ string, body json.RawMessage, about *subject) (Event, error) {
	var b struct {
		Subject *subject `json:"subject"` // before SSF 1.0 the subject was here
		Status  string   `json:"current_status"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return Event{}, wrong("invalid_request", "an event cannot be read")
	}
	e := Event{Type: typ}
	switch typ {
	case caep + "session-revoked", caep + "credential-change", risc + "sessions-revoked", risc + "credential-compromise", risc + "account-credential-change-required":
		e.Meaning = Doubt
	case caep + "device-compliance-change":
		if b.Status != "compliant" { // what is not known to be compliant is not
			e.Meaning = Doubt
		}
	case risc + "account-disabled", risc + "account-purged":
		e.Meaning = Gone
	case risc + "account-enabled":
		e.Meaning = Back
	case ssf + "verification", ssf + "stream-updated":
		return e, nil
	default:
		e.Meaning = Unwelcome
		return e, nil
	}
	s := about
	if s == nil {
		s = b.Subject
	}
	if s != nil && s.User != nil {
		s = s.User
	}
	switch {
	case s == nil:
		return e, wrong("invalid_request", "the event is about nobody")
	case !s.named():
		return e, wrong("invalid_request", "the subject is not named by issuer and subject, format iss_sub; set the stream so")
	}
	if err := (access.Identity{Provider: "x", Subject: s.Sub}).Check(); err != nil || s.Issuer == "" {
		return e, wrong("invalid_request", "the subject is not valid")
	}
	e.Issuer, e.Subject = s.Issuer, s.Sub
	return e, nil
}

func (s subject) named() bool {
	format := s.Format
	if format == "" {
		format = s.Older
	}
	return strings.ReplaceAll(format, "-", "_") == "iss_sub"
}
