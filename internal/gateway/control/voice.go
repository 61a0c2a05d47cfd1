package control

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
)

// Pins are who a gateway is, and by which key it knows its control plane: nothing that it
// is told later changes them but the word of that key that another one follows it.
type Pins struct {
	Gateway      string            `json:"gateway"`
	Installation string            `json:"installation"`
	Orders       ed25519.PublicKey `json:"orders"`
	// Before is the key that was in use before, good until then: replicas do not all
	// take up a new key in the same moment.
	Before      ed25519.PublicKey `json:"before,omitempty"`
	BeforeUntil time.Time         `json:"before_until,omitzero"`
}

// overlap is how long a key is good after the one that follows it is known.
const overlap = 10 * time.Minute

// Voice knows what the control plane said from what somebody between them says: TLS tells
// only who has a certificate for its name. It is safe for concurrent use.
type Voice struct {
	save func(Pins) error // keeps pins that have changed, durably
	now  func() time.Time
	log  *slog.Logger

	mu   sync.Mutex
	pins Pins
}

// NewVoice makes a voice.
func NewVoice(p Pins, save func(Pins) error, now func() time.Time, log *slog.Logger) (*Voice, error) {
	if p.Gateway == "" || p.Installation == "" || len(p.Orders) != ed25519.PublicKeySize {
		return nil, access.Fail(access.Invalid, "not-enrolled", "this gateway is not enrolled").Try("stint-gateway enroll --help says how that is done")
	}
	if save == nil || now == nil || log == nil {
		return nil, errors.New("control: a voice needs where to keep its pins, a clock and a log")
	}
	return &Voice{save: save, now: now, log: log, pins: p}, nil
}

// Hear reads into content, a pointer, what was said about something in answer to the
// question with this nonce. What was not signed is refused.
func (v *Voice) Hear(word, nonce string, about envelope.About, content any) error {
	v.mu.Lock()
	pins, keys := v.pins, []ed25519.PublicKey{v.pins.Orders}
	if len(pins.Before) > 0 && v.now().Before(pins.BeforeUntil) {
		keys = append(keys, pins.Before)
	}
	v.mu.Unlock()
	w, err := envelope.OpenWord(envelope.Sealed(word), pins.Installation, pins.Gateway, nonce, about, keys...)
	if err != nil {
		return access.Fail(access.Unavailable, "not-its-word", "what came as the control plane's answer is not its own").Because(err.Error()).
			Try("an administrator looks at what stands between the gateway and stintd; if the orders key was lost, enrol the gateway anew").Wrap(err)
	}
	return json.Unmarshal(w.Content, content)
}

// Follow takes up a new key of the control plane's, if the one that is known says so.
func (v *Voice) Follow(rolls []string) {
	v.mu.Lock()
	pins := v.pins
	v.mu.Unlock()
	sealed := make([]envelope.Sealed, len(rolls))
	for i, r := range rolls {
		sealed[i] = envelope.Sealed(r)
	}
	next, err := envelope.Follow(pins.Installation, pins.Orders, sealed)
	if err != nil || next.Equal(pins.Orders) {
		return
	}
	pins.Before, pins.BeforeUntil, pins.Orders = pins.Orders, v.now().Add(overlap).UTC(), next
	if err := v.save(pins); err != nil {
		v.log.Error("the new key of the control plane could not be kept; tried again", "error", err)
		return
	}
	v.log.Info("the control plane has a new orders key, and the one before vouches for it", "key", envelope.Pin(next))
	v.mu.Lock()
	v.pins = pins
	v.mu.Unlock()
}
