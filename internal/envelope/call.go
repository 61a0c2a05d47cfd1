package envelope

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"stint/internal/access"
	"stint/internal/connector"
)

// Method is the method of connector.Connector, or of Beacon, Examiner, Surveyor or Salter,
// that a call is of.
type Method string

// The methods. Stored nowhere, but known to agents of every age: only add.
const (
	Check       Method = "check"
	TakeClaim   Method = "claim"
	Observe     Method = "observe"
	Provision   Method = "provision"
	Revoke      Method = "revoke"
	Terminate   Method = "terminate"
	Remove      Method = "remove"
	Verify      Method = "verify"
	Inventory   Method = "inventory"
	ReadBeat    Method = "read-beat"
	SwapBeat    Method = "swap-beat"
	Fingerprint Method = "fingerprint"
	Survey      Method = "survey"
	Salts       Method = "salts" // how the host keeps the passwords of the orders' accounts
)

var methods = []Method{Check, TakeClaim, Observe, Provision, Revoke, Terminate, Remove, Verify, Inventory, ReadBeat, SwapBeat, Fingerprint, Survey, Salts}

// Ends reports whether the method takes access away: an agent does these first, and
// does them whatever else is wrong.
func (m Method) Ends() bool { return m == Revoke || m == Terminate || m == Remove }

// Makes reports whether the method can make access. An agent that is not sure does
// not do these.
func (m Method) Makes() bool { return m == Provision || m == TakeClaim || m == SwapBeat || m == Check }

// Bounds of a call. The control plane keeps within them, an agent insists.
const (
	MaxOrders = 256
	// MaxLife is how long a call may be good for, and so for how long at least an
	// agent has to remember its id.
	MaxLife = 2 * time.Minute
	// MaxSkew is how far apart the clocks of an agent and of the control plane may be.
	MaxSkew = time.Minute

	maxName       = 512
	recordingsKey = 32 // bytes of a public key
	maxOptions    = 64
	idBytes       = 16
)

// Claim is connector.Claim.
type Claim struct {
	Installation string `json:"installation"`
	Epoch        int64  `json:"epoch"`
	Proof        string `json:"proof,omitempty"`
}

// Beat is connector.Beat.
type Beat struct {
	Of    string `json:"of,omitempty"`
	Last  string `json:"last,omitempty"`
	Rival string `json:"rival,omitempty"`
}

// Call is one call to one host.
type Call struct {
	Version      int       `json:"v"`
	ID           string    `json:"id"` // 128 random bits in hex; good once
	Installation string    `json:"installation"`
	Epoch        int64     `json:"epoch"`
	Host         string    `json:"host"`
	IssuedAt     time.Time `json:"issued_at"`
	NotAfter     time.Time `json:"not_after"` // nothing is begun after it
	Method       Method    `json:"method"`

	Options map[string]string `json:"options,omitempty"` // of the connection
	Claim   Claim             `json:"claim"`             // of the target
	// Signs says that the installation proves its claims. Genuine are claims which
	// the agent met before, as Answer.Doubt, and which it did write.
	Signs   bool    `json:"signs,omitempty"`
	Genuine []Claim `json:"genuine,omitempty"`

	Take   *Claim   `json:"take,omitempty"`
	Orders []Order  `json:"orders,omitempty"`
	Old    *Beat    `json:"old,omitempty"`
	Next   *Beat    `json:"next,omitempty"`
	Lent   []string `json:"lent,omitempty"`
	Most   int      `json:"most,omitempty"`
	// SealTo is a public key, X25519, that credentials are sealed to: what carries
	// the answer must not be able to use it.
	SealTo []byte `json:"seal_to,omitempty"`
	// Recordings is a public key, X25519, to which the host seals what it records of
	// commands under the order. It stands in the call because the call is signed: whoever
	// could put in another one would read what people see.
	Recordings []byte `json:"recordings,omitempty"`
}

// NewID makes the id of a call.
func NewID() string {
	var b [idBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// validID reports whether NewID makes such an id.
func validID(id string) bool {
	raw, err := hex.DecodeString(id)
	return err == nil && len(raw) == idBytes && hex.EncodeToString(raw) == id
}

// Seal signs the call.
func (c Call) Seal(s Signer) (Sealed, error) {
	c.Version = version
	c.IssuedAt, c.NotAfter = c.IssuedAt.UTC(), c.NotAfter.UTC()
	if err := c.check(); err != nil {
		return "", err
	}
	return seal(callHead, c, s, MaxCall)
}

// OpenCall reads a call that one of the keys has signed. Whether it is for this
// host, and for now, says For.
func OpenCall(text Sealed, trusted ...ed25519.PublicKey) (Call, error) {
	var c Call
	if err := open(callHead, text, MaxCall, &c, trusted...); err != nil {
		return Call{}, err
	}
	if err := c.check(); err != nil {
		return Call{}, err
	}
	return c, nil
}

// OpenStrange reads whom a call is from and for that OpenCall refuses, if one of the keys has
// signed it: enough to answer that it is not understood, and nothing that could be carried
// out. A later control plane says what this version does not know.
func OpenStrange(text Sealed, trusted ...ed25519.PublicKey) (Call, error) {
	var raw json.RawMessage
	if err := open(callHead, text, MaxCall, &raw, trusted...); err != nil {
		return Call{}, err
	}
	var c struct {
		ID           string `json:"id"`
		Installation string `json:"installation"`
		Host         string `json:"host"`
		Method       Method `json:"method"`
	}
	switch err := json.Unmarshal(raw, &c); {
	case err != nil:
		return Call{}, malformed("it does not say whom it is from and for")
	case !validID(c.ID):
		return Call{}, malformed("its id is not 128 bits in hex")
	case len(c.Method) > maxName || !utf8.ValidString(string(c.Method)):
		return Call{}, malformed("its method is none")
	}
	return Call{ID: c.ID, Installation: c.Installation, Host: c.Host, Method: c.Method}, nil
}

// NotUnderstood is the code by which an agent says that a call of its own installation says
// what it does not know. Nothing was done.
const NotUnderstood = "not-understood"

// check holds a call against the bounds.
func (c Call) check() error {
	switch {
	case c.Version != version:
		return malformed("it is of another version")
	case !validID(c.ID):
		return malformed("its id is not 128 bits in hex")
	case !slices.Contains(methods, c.Method):
		return malformed("its method is not known")
	case len(c.Orders) > MaxOrders || len(c.Options) > maxOptions || len(c.Lent) > maxOrderTexts || len(c.Genuine) > 4:
		return malformed("it says too much at once")
	case len(c.Installation) > maxName || len(c.Host) > maxName || c.Host == "" || c.Installation == "" || c.Epoch < 1 || c.Most < 0:
		return malformed("it does not say whom it is from and for")
	case !inUTC(c.IssuedAt) || !inUTC(c.NotAfter):
		return malformed("its times are not in UTC")
	case !c.IssuedAt.Before(c.NotAfter) || c.NotAfter.Sub(c.IssuedAt) > MaxLife:
		return malformed("it is good for longer than a call may be")
	case (c.Method == Observe || c.Method == Provision) && len(c.Orders) != 1:
		return malformed("it needs one order")
	case len(c.Recordings) != 0 && len(c.Recordings) != recordingsKey:
		return malformed("its key for recordings is none")
	case c.Method == TakeClaim && c.Take == nil, c.Method == SwapBeat && (c.Old == nil || c.Next == nil):
		return malformed("it lacks what it is about")
	}
	for _, o := range c.Orders {
		if err := o.check(); err != nil {
			return err
		}
	}
	return nil
}

func inUTC(t time.Time) bool { _, offset := t.Zone(); return offset == 0 }

// For checks that the call is for this host, by its own installation, and good now.
func (c Call) For(installation, host string, now time.Time) error {
	switch {
	case c.Installation != installation:
		return access.Fail(access.Denied, "other-installation", "the call is by another installation than the one this host belongs to")
	case c.Host != host:
		return access.Fail(access.Denied, "other-host", "the call is for another host")
	case c.IssuedAt.After(now.Add(MaxSkew)):
		return access.Fail(access.Denied, "not-yet", "the call was made in the future of this host's clock").
			Because(fmt.Sprintf("it is of %s, here it is %s", stamp(c.IssuedAt), stamp(now))).Try("set this host's clock")
	case now.After(c.NotAfter.Add(MaxSkew)):
		return access.Fail(access.Expired, "too-late", "the call came too late").
			Because(fmt.Sprintf("it was good until %s, here it is %s", stamp(c.NotAfter), stamp(now))).Try("it is made again; if all are late, set this host's clock")
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Digest names a sealed text; an answer says by it which call it is to.
func (s Sealed) Digest() []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// Claimed is the claim as connectors have it.
func (c Claim) Claimed() connector.Claim {
	return connector.Claim{Installation: c.Installation, Epoch: c.Epoch, Proof: c.Proof}
}

// ClaimOf is the other way around.
func ClaimOf(c connector.Claim) Claim { return Claim{c.Installation, c.Epoch, c.Proof} }

// BeatOf is a beat for the wire.
func BeatOf(b connector.Beat) Beat { return Beat{b.Of, b.Last, b.Rival} }

// Beaten is the beat as connectors have it.
func (b Beat) Beaten() connector.Beat { return connector.Beat{Of: b.Of, Last: b.Last, Rival: b.Rival} }

// ErrNotSent says of a call that no agent has seen it, nor ever will: it is known
// that nothing was done.
var ErrNotSent = access.Fail(access.Unavailable, "agent-silent", "the agent of the host does not ask for orders").
	Try("look at it there: stint-agent status")

// TooLate is the code by which an agent says that it did not begin a call, because
// its time was up.
const TooLate = "too-late"

// ErrTooLate is a call that was not begun: nothing was done.
var ErrTooLate = access.Fail(access.Expired, TooLate, "the call reached its host too late")
