package host

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strconv"

	"stint/internal/access"
	"stint/internal/connector"
)

// held is the file that says whose host this is. It is stored: fields are only added.
type held struct {
	Installation string `json:"installation"`
	Epoch        int64  `json:"epoch"`
	Proof        string `json:"proof,omitempty"`
	// The beat of the sweeps.
	Of    string `json:"of,omitempty"`
	Beat  string `json:"beat,omitempty"`
	Rival string `json:"rival,omitempty"`
}

func (h held) claim() connector.Claim {
	return connector.Claim{Installation: h.Installation, Epoch: h.Epoch, Proof: h.Proof}
}

func (h held) beat() connector.Beat { return connector.Beat{Of: h.Of, Last: h.Beat, Rival: h.Rival} }

func (c *Connector) claimFile() string { return filepath.Join(c.State, "claim") }

// readClaim reads the file; the zero held is nobody's host.
func (c *Connector) readClaim() (h held, err error) {
	text, err := readFile(c.claimFile())
	if err != nil || text == "" {
		return h, err
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil || h.Installation == "" || h.Epoch < 0 {
		return h, access.Fail(access.Conflict, "bad-claim-file", "what says whose host this is cannot be read").
			Try("look at " + c.claimFile() + " on the host, and remove it when nobody else holds the host").Wrap(err)
	}
	return h, nil
}

func (c *Connector) writeClaim(h held) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return c.disk.replace(c.claimFile(), 0o600, append(b, '\n'))
}

// checkHeld refuses to make anything new where somebody else holds the host.
func (c *Connector) checkHeld(t connector.Target) error {
	h, err := c.readClaim()
	if err != nil {
		return err
	}
	return c.judge(h, t)
}

// judge compares who holds the host with who we are. A host of nobody's is no obstacle,
// nor is a target that says nothing of us. A claim in our name without a proof is of a
// version that wrote none, unless it says to be later than we are.
func (c *Connector) judge(h held, t connector.Target) error {
	if h.Installation == "" || t.Claim.Installation == "" {
		return nil
	}
	who := strconv.Quote(short(h.Installation)) + ", epoch " + strconv.FormatInt(h.Epoch, 10)
	ours := h.Installation == t.Claim.Installation
	genuine := h.Proof != "" && t.Genuine != nil && t.Genuine(h.claim())
	later := h.Epoch > t.Claim.Epoch
	switch {
	case ours && !later && (h.Proof == "" || genuine):
		return nil
	case !ours, later && genuine:
		return access.Fail(access.Conflict, "target-claimed", "this host belongs to another Stint or to a later life of this one").
			Because("it is held by " + who).
			Try("stop the other one, or, when it is gone for good, remove " + c.claimFile() + " on the host")
	}
	return access.Fail(access.Conflict, "claim-forged", "the claim on this host names this Stint, and this Stint did not write it").
		Because("it says " + who + " without the proof; access still ends there, and nothing new is made").
		Try("find out who wrote " + c.claimFile() + " on the host, then remove it there")
}

// checkEnabled refuses to disable an account of which nothing is noted where a later life
// of this Stint holds the host: that life may have ended the order, and somebody enabled
// the account since. Everything else that is an order's is known by its mark, and ends
// whoever holds the host.
func (c *Connector) checkEnabled(t connector.Target, s *subject) error {
	if s.order.Mechanism != access.Enable {
		return nil
	}
	if _, noted, err := c.readNote(s.order.Tag); noted || err != nil {
		return err
	}
	h, err := c.readClaim()
	if err != nil {
		return nil // whose host it is cannot be read: that keeps nothing from ending
	}
	if h.Installation == t.Claim.Installation && h.Epoch > t.Claim.Epoch && t.Genuine != nil && t.Genuine(h.claim()) {
		return c.judge(h, t)
	}
	return nil
}

// Claim marks the host as ours.
func (c *Connector) Claim(ctx context.Context, t connector.Target, want connector.Claim) error {
	if want.Installation == "" || want.Epoch < 0 {
		return access.Fail(access.Invalid, "bad-claim", "a claim has an installation and an epoch")
	}
	t.Claim = want
	return claimFailure(c.locked(ctx, exclusive, func() error {
		h, err := c.readClaim()
		if err != nil {
			return err
		}
		if err := c.judge(h, t); err != nil {
			return err
		}
		if h.claim() == want {
			return nil
		}
		if h.Epoch < want.Epoch { // a new life begins with a beat of its own
			h.Beat, h.Rival = "", ""
		}
		h.Installation, h.Epoch, h.Proof = want.Installation, want.Epoch, want.Proof
		return c.writeClaim(h)
	}))
}

// ReadBeat reads the beat that stands beside the claim.
func (c *Connector) ReadBeat(ctx context.Context, _ connector.Target) (b connector.Beat, err error) {
	err = claimFailure(c.locked(ctx, shared, func() error {
		h, err := c.readClaim()
		b = h.beat()
		return err
	}))
	return b, err
}

// SwapBeat replaces the beat that stands beside our claim.
func (c *Connector) SwapBeat(ctx context.Context, t connector.Target, old, next connector.Beat) (done bool, err error) {
	err = claimFailure(c.locked(ctx, exclusive, func() error {
		h, err := c.readClaim()
		if err != nil || h.claim() != t.Claim || h.beat() != old {
			return err
		}
		h.Of, h.Beat, h.Rival = next.Of, next.Last, next.Rival
		if err := c.writeClaim(h); err != nil {
			return err
		}
		done = true
		return nil
	}))
	return done, err
}

// claimFailure lets errors of ours pass and says of others what could not be done.
func claimFailure(err error) error {
	if err == nil || access.KindOf(err) != access.Internal {
		return err
	}
	return access.Fail(access.Unavailable, "claim-failed", "the host could not be claimed").Because(said(err)).Wrap(err)
}
