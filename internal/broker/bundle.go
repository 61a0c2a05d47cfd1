package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/approvers"
	"stint/internal/policy"
)

// BundleAsk is several things that are asked for together, for one reason.
type BundleAsk struct {
	Parts  []BundlePart
	Start  time.Time
	Reason string
	Ticket string
	Task   access.TaskID // of an agent
	// Possible sends what policy does not refuse, and leaves out the rest; else nothing is
	// sent where it refuses anything.
	Possible bool
	Key      string
	Body     access.Digest
}

// BundlePart is one of them.
type BundlePart struct {
	Resource access.ResourceName
	Role     access.RoleName
	Duration time.Duration
}

// Ask is one part as a request of its own.
func (a BundleAsk) Ask(p BundlePart) Ask {
	return Ask{Resource: p.Resource, Role: p.Role, Duration: p.Duration, Start: a.Start, Reason: a.Reason, Ticket: a.Ticket, Task: a.Task}
}

// PartRefused is a part that was left out, and why.
type PartRefused struct {
	Part     BundlePart
	Decision access.Decision
}

// check refuses what is no bundle.
func (a BundleAsk) check() error {
	if n := len(a.Parts); n < 2 || n > access.MaxParts {
		return access.Fail(access.Invalid, "bad-bundle", fmt.Sprintf("a bundle has 2 to %d parts", access.MaxParts)).Because(fmt.Sprintf("%d were asked for", n))
	}
	seen := map[access.ResourceName]bool{}
	for _, p := range a.Parts {
		if seen[p.Resource] {
			return access.Fail(access.Invalid, "bad-bundle", "a bundle names each resource once").Because(string(p.Resource)).
				Try("ask for it once, or for the other role on its own")
		}
		seen[p.Resource] = true
	}
	return nil
}

// PreviewBundle explains for each part how policy would decide, without asking.
func (b *Broker) PreviewBundle(ctx context.Context, c Caller, a BundleAsk) ([]Preview, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	var xs []Preview
	for _, p := range a.Parts {
		x, err := b.Preview(ctx, c, a.Ask(p), "")
		if err != nil {
			return nil, inPart(p, err)
		}
		xs = append(xs, x)
	}
	return xs, nil
}

// SubmitBundle asks for all parts at once. Each is a request with a decision, approvals
// and a grant of its own, which ends by itself; the digest of each covers all of them, so
// that whoever approves one approves it as part of just that bundle. Either all that are
// sent are recorded, or none. It returns them in order, and the parts that were left out.
func (b *Broker) SubmitBundle(ctx context.Context, c Caller, a BundleAsk) (vs []View, left []PartRefused, err error) {
	if err := b.sealable(c); err != nil {
		return nil, nil, err
	}
	if c.Glass != nil {
		return nil, nil, errGlassOnly
	}
	if err := a.check(); err != nil {
		return nil, nil, err
	}
	for _, p := range a.Parts {
		_ = b.readTickets(ctx, a.Ask(p).policy(c.Principal, c.Source)) // what could not be read, the decision says
	}
	err = b.approvers.Ask(ctx, func(who approvers.Known) error {
		return b.update(onBehalf(ctx, c.Principal.Person), func(tx Tx, fx *effects) (err error) {
			vs, left, err = b.submitBundle(tx, fx, c, a, who)
			return err
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return vs, left, nil
}

func (b *Broker) submitBundle(tx Tx, fx *effects, c Caller, a BundleAsk, who approvers.Known) (vs []View, left []PartRefused, err error) {
	known, err := b.recall(tx, c, Ask{Key: a.Key, Body: a.Body})
	if err != nil {
		return nil, nil, err
	}
	if known != "" {
		return b.recallBundle(tx, fx, known)
	}
	if err := b.open(tx); err != nil {
		return nil, nil, err
	}
	set, err := b.documents(tx)
	if err != nil {
		return nil, nil, err
	}
	p, err := b.asker(tx, set, c, "")
	if err != nil {
		return nil, nil, err
	}
	// First what the parts are and whether any is refused: the digest of each covers all
	// that are sent.
	var parts []BundlePart
	var drafts []access.Request
	for _, part := range a.Parts {
		ask := a.Ask(part).policy(p, c.Source)
		got, err := set.Resolve(ask)
		if err != nil {
			return nil, nil, inPart(part, err)
		}
		d, err := b.decide(tx, fx, set, ask, policy.AtRequest, subject{})
		if err != nil {
			return nil, nil, err
		}
		if d.Effect == access.Deny {
			left = append(left, PartRefused{part, d})
			continue
		}
		draft := access.Request{Targets: []access.Target{got.Target}, Role: part.Role, Permissions: got.Permissions, Endings: got.Endings, Clock: got.Clock,
			Duration: part.Duration, Start: a.Start, Ticket: a.Ticket, Task: a.Task}
		if err := b.fill(tx, c, p, set, &draft, a.Reason); err != nil {
			return nil, nil, err
		}
		parts, drafts = append(parts, part), append(drafts, draft)
	}
	if len(left) > 0 && (!a.Possible || len(drafts) == 0) {
		return nil, nil, refusedParts(left, len(drafts))
	}
	if err := bundleRoom(tx, p.Person, len(drafts)); err != nil {
		return nil, nil, err
	}
	bundle := access.Digest{}
	if len(drafts) > 1 {
		bundle = access.BundleDigest(drafts)
	}
	var ids []string
	for i, draft := range drafts {
		// Once more, with what the parts before it came to: of two that exclude each
		// other, both were fine alone.
		d, err := b.decide(tx, fx, set, a.Ask(parts[i]).policy(p, c.Source), policy.AtRequest, subject{})
		if err != nil {
			return nil, nil, err
		}
		if d.Effect == access.Deny {
			return nil, nil, refusedParts([]PartRefused{{parts[i], d}}, len(drafts)-1)
		}
		draft.Bundle = bundle
		r, err := b.record(tx, fx, c, p, set, draft, d, who)
		if err != nil {
			return nil, nil, inPart(parts[i], err)
		}
		ids = append(ids, string(r.ID))
		vs = append(vs, fx.view(tx, r))
	}
	if a.Key != "" {
		err = tx.Remember(access.Remembered{Principal: p.ID, Key: a.Key, Body: a.Body, Result: strings.Join(ids, ","), At: tx.Now()})
	}
	return vs, left, err
}

// recallBundle gives what an earlier call with the same key made. What was left out it
// does not say again.
func (b *Broker) recallBundle(tx Tx, fx *effects, known string) (vs []View, _ []PartRefused, err error) {
	for id := range strings.SplitSeq(known, ",") {
		r, err := tx.Request(access.RequestID(id))
		if err != nil {
			return nil, nil, err
		}
		v, err := view(tx, r)
		if err != nil {
			return nil, nil, err
		}
		if v.Grant != nil {
			fx.met = append(fx.met, *v.Grant)
		}
		vs = append(vs, v)
	}
	return vs, nil, nil
}

// bundleRoom refuses more undecided requests than a person may have: all parts may come
// to be such.
func bundleRoom(tx Tx, p access.Person, n int) error {
	rs, err := tx.Requests(access.RequestQuery{Person: p, States: []access.RequestState{access.RequestPending}, Limit: MaxPending})
	if err != nil {
		return err
	}
	if len(rs)+n > MaxPending {
		return access.Fail(access.TooMany, "too-many-pending", fmt.Sprintf("you have %d undecided requests already, and may have %d", len(rs), MaxPending)).
			Try("wait for an answer, or withdraw one with stint cancel")
	}
	return nil
}

func refusedParts(left []PartRefused, fine int) error {
	var said []string
	for _, l := range left {
		why := "policy denies it"
		if len(l.Decision.Reasons) > 0 {
			why = l.Decision.Reasons[0].Text
		}
		said = append(said, fmt.Sprintf("%s on %s: %s", l.Part.Role, l.Part.Resource, why))
	}
	e := access.Fail(access.Denied, "part-refused", fmt.Sprintf("%d of %d parts would be refused, so nothing was sent", len(left), len(left)+fine)).
		Because(strings.Join(said, "; "))
	if fine > 0 {
		e = e.Try("leave them out, or send the others with --possible")
	}
	return e
}

// inPart says which part an error is about.
func inPart(p BundlePart, err error) error {
	var e *access.Error
	if errors.Is(err, approvers.ErrNotSure) || !errors.As(err, &e) { // who counts knows its own question by itself
		return err
	}
	c := *e
	c.Message = string(p.Role) + " on " + string(p.Resource) + ": " + c.Message
	return &c
}
