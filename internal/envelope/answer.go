package envelope

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// Answer is what became of one call. Of the fields that follow Doubt, the one that
// belongs to the call's method is set.
type Answer struct {
	Version int       `json:"v"`
	ID      string    `json:"id"`   // the call's
	Call    []byte    `json:"call"` // the digest of its text
	Host    string    `json:"host"`
	At      time.Time `json:"at"` // the agent's clock
	// Failure says that the call as a whole was refused or failed.
	Failure *Failure `json:"failure,omitempty"`
	// Doubt is a claim that was met and that the agent cannot judge: it was taken for
	// one that nobody proved. Who can judge it makes the call again, see Call.Genuine.
	Doubt *Claim `json:"doubt,omitempty"`

	Steps        []Step        `json:"steps,omitempty"`
	Before       *Before       `json:"before,omitempty"`
	Receipt      *Receipt      `json:"receipt,omitempty"`
	Results      []Result      `json:"results,omitempty"`
	Observations []Observation `json:"observations,omitempty"`
	Artefacts    []Artefact    `json:"artefacts,omitempty"`
	Beat         *Beat         `json:"beat,omitempty"`
	Swapped      bool          `json:"swapped,omitempty"`
	Fingerprint  []byte        `json:"fingerprint,omitempty"`
	Stands       []Stand       `json:"stands,omitempty"`
	Cut          bool          `json:"cut,omitempty"`
	Salts        []string      `json:"salts,omitempty"`
}

// Step is connector.Step.
type Step struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// Before is connector.Before.
type Before struct {
	Existing bool   `json:"existing,omitempty"`
	State    string `json:"state,omitempty"`
}

// Receipt is connector.Receipt; the credential is sealed to Call.SealTo, with the
// call's id.
type Receipt struct {
	Account  string `json:"account,omitempty"`
	Creation string `json:"creation,omitempty"`
	Sealed   []byte `json:"sealed,omitempty"`
	Turned   bool   `json:"turned,omitempty"`
}

// Result is connector.Result.
type Result struct {
	Outcome uint8    `json:"outcome"`
	Foreign bool     `json:"foreign,omitempty"`
	Err     *Failure `json:"err,omitempty"`
}

// Observation is connector.Observation.
type Observation struct {
	Presence   uint8     `json:"presence"`
	Sessions   int       `json:"sessions"`
	LastActive time.Time `json:"last_active,omitzero"`
	Ends       time.Time `json:"ends,omitzero"`
	Turned     bool      `json:"turned,omitempty"`
	Err        *Failure  `json:"err,omitempty"`
}

// Artefact is connector.Artefact.
type Artefact struct {
	Mechanism string `json:"mechanism,omitempty"`
	Account   string `json:"account,omitempty"`
	Right     string `json:"right,omitempty"`
	Tag       string `json:"tag,omitempty"`
	Creation  string `json:"creation,omitempty"`
	Ours      bool   `json:"ours,omitempty"`
	Standing  bool   `json:"standing,omitempty"`
	Detail    string `json:"detail,omitempty"`
}

// Stand is connector.Stand.
type Stand struct {
	Account   string `json:"account"`
	Privilege string `json:"privilege"`
	Kind      string `json:"kind"`
	Right     string `json:"right,omitempty"`
	Undo      string `json:"undo,omitempty"`
	Note      string `json:"note,omitempty"`
}

// Seal signs the answer to a call.
func (a Answer) Seal(to Sealed, s Signer) (Sealed, error) {
	a.Version, a.Call, a.At = version, to.Digest(), utc(a.At)
	return seal(answerHead, a, s, MaxAnswer)
}

// OpenAnswer reads the answer to this very call, by the agent with this key.
func OpenAnswer(text Sealed, agent ed25519.PublicKey, call Call, sent Sealed) (Answer, error) {
	var a Answer
	if err := open(answerHead, text, MaxAnswer, &a, agent); err != nil {
		return Answer{}, err
	}
	switch {
	case a.Version != version || a.ID != call.ID || a.Host != call.Host || !bytes.Equal(a.Call, sent.Digest()):
		return Answer{}, access.Fail(access.Denied, "other-call", "the answer is to another call")
	case a.Failure != nil:
		return a, nil
	}
	if why := a.fits(call); why != "" {
		return Answer{}, access.Fail(access.Denied, "wrong-answer", "the answer is none to this call").Because(why)
	}
	return a, nil
}

// AnswerID is the id of the call that an answer claims to be to: for who carries it
// and cannot judge it.
func AnswerID(text Sealed) (string, error) {
	var a Answer
	_, rest, _ := strings.Cut(string(text), ".")
	payload, _, ok := strings.Cut(rest, ".")
	if !ok || len(text) > MaxAnswer {
		return "", malformed("it does not have three parts")
	}
	content, err := decode(payload)
	if err != nil {
		return "", malformed("its content is not base64url")
	}
	if err := strictly(content, &a); err != nil {
		return "", err
	}
	if !validID(a.ID) {
		return "", malformed("the id of its call is none")
	}
	return a.ID, nil
}

// fits says what an answer to such a call lacks.
func (a Answer) fits(c Call) string {
	switch c.Method {
	case Revoke, Terminate, Remove:
		if len(a.Results) != len(c.Orders) {
			return "it does not say the outcome of each order"
		}
		for _, r := range a.Results {
			if r.Outcome > uint8(connector.Done) || (r.Outcome != uint8(connector.Done)) != (r.Err != nil) {
				return "an outcome in it is none"
			}
		}
	case Verify:
		if len(a.Observations) != len(c.Orders) {
			return "it does not say what is there of each order"
		}
		for _, v := range a.Observations {
			if v.Presence > uint8(connector.Absent) || v.Sessions < -1 {
				return "what it says is there cannot be"
			}
		}
	case Provision:
		if a.Receipt == nil {
			return "it has no receipt"
		}
	case Observe:
		if a.Before == nil {
			return "it does not say what was there before"
		}
	case Salts:
		if len(a.Salts) != len(c.Orders) {
			return "it does not speak of each order"
		}
	case ReadBeat:
		if a.Beat == nil {
			return "it has no beat"
		}
	}
	return ""
}

// Failure is an error for the wire: its public part.
type Failure struct {
	// Outcome and Permanent are set for a *connector.Error.
	Connector bool   `json:"connector,omitempty"`
	Outcome   uint8  `json:"outcome,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
	Message   string `json:"message"`
	Next      string `json:"next,omitempty"`
	// Kind, Code and Why are those of an *access.Error; "" where it is none.
	Kind string `json:"kind,omitempty"`
	Code string `json:"code,omitempty"`
	Why  string `json:"why,omitempty"`
	// Late says that time was up.
	Late bool `json:"late,omitempty"`
}

// maxText bounds what one sentence may be.
const maxText = 2048

// FailureOf is an error for the wire; nil of nil. Of an error that is not ours only
// the text goes, which connectors promise is public.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Late: errors.Is(err, context.DeadlineExceeded)}
	var ce *connector.Error
	var ae *access.Error
	if errors.As(err, &ce) {
		f.Connector, f.Outcome, f.Permanent, f.Message, f.Next = true, uint8(ce.Outcome), ce.Permanent, ce.Message, ce.Next
	}
	if errors.As(err, &ae) {
		f.Kind, f.Code, f.Why = ae.Kind.String(), ae.Code, ae.Why
		if ce == nil {
			f.Message, f.Next = ae.Message, ae.Next
		}
	}
	if ce == nil && ae == nil {
		f.Message = err.Error()
	}
	for _, s := range []*string{&f.Message, &f.Next, &f.Code, &f.Why} {
		*s = strings.ToValidUTF8((*s)[:min(len(*s), maxText)], "")
	}
	return f
}

// Err is the error that a Failure says; nil of nil.
func (f *Failure) Err() error {
	if f == nil {
		return nil
	}
	var cause error
	if kind, ok := kindOf(f.Kind); ok {
		cause = &access.Error{Kind: kind, Code: f.Code, Message: f.Message, Why: f.Why, Next: f.Next}
	}
	if f.Late {
		cause = errors.Join(cause, context.DeadlineExceeded)
	}
	switch {
	case f.Connector:
		return &connector.Error{Outcome: connector.Outcome(min(f.Outcome, uint8(connector.NotDone))), Permanent: f.Permanent, Message: f.Message, Next: f.Next, Cause: cause}
	case cause != nil:
		return cause
	}
	return errors.New(f.Message)
}

func kindOf(name string) (access.Kind, bool) {
	for k := access.Internal; k <= access.TooMany; k++ {
		if name != "" && k.String() == name {
			return k, true
		}
	}
	return access.Internal, false
}
