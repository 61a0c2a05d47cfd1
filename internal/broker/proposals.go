package broker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"stint/internal/access"
	"stint/internal/policy"
)

// MaxProposals is how many undecided proposals one person may have at a time.
const MaxProposals = 20

// proposed is the content of a proposal to apply documents: the files as they came.
type proposed = []policy.File

// propose records a change that waits for a second person. The same change proposed
// again is the same proposal; one on another version of the documents takes the place
// of the one before.
func (b *Broker) propose(tx Tx, fx *effects, e editing, v int64, summary string, grave []policy.Grave) (*access.Proposal, error) {
	kind, content := e.content()
	why := make([]string, len(grave))
	for i, g := range grave {
		why[i] = g.Kind + " " + g.Name + ": " + g.Why
	}
	return b.proposeThis(tx, fx, e.by, kind, content, v, summary, why)
}

func (b *Broker) proposeThis(tx Tx, fx *effects, c Caller, kind access.ProposalKind, content any, v int64, summary string, why []string) (*access.Proposal, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	who, err := tx.Principal(c.Principal.ID)
	if err != nil {
		return nil, err
	}
	open, err := tx.Proposals(access.ProposalQuery{Person: who.Person, States: []access.ProposalState{access.ProposalPending}, Limit: 1000})
	if err != nil {
		return nil, err
	}
	open = slices.DeleteFunc(open, func(p access.Proposal) bool { return p.At(tx.Now()) != access.ProposalPending })
	for i, p := range open {
		if p.Principal != who.ID || p.Kind != kind || !bytes.Equal(p.Content, body) {
			continue
		}
		if p.Base == v && slices.Equal(p.Why, why) {
			return &p, nil
		}
		p, ev, err := p.Refuse(who, c.Actor, "proposed again", tx.Now())
		if err != nil {
			return nil, err
		}
		if err := tx.SaveProposals(p); err != nil {
			return nil, err
		}
		fx.event(ev)
		open = slices.Delete(open, i, i+1)
		break
	}
	if len(open) >= MaxProposals {
		return nil, access.Fail(access.TooMany, "too-many-proposals", fmt.Sprintf("you have %d undecided proposals already", len(open))).
			Try("have one decided, or withdraw it: stint proposal deny " + string(open[0].ID))
	}
	p, ev, err := access.Propose(access.Proposal{ID: access.NewProposalID(tx.Now().UnixMilli(), b.entropy()), Kind: kind, Principal: who.ID, Person: who.Person,
		Base: v, Content: body, Summary: summary, Why: why}, c.Actor, tx.Now())
	if err != nil {
		return nil, err
	}
	fx.event(ev)
	return &p, tx.SaveProposals(p)
}

// ProposalView is a proposal as somebody may see it.
type ProposalView struct {
	access.Proposal
	State access.ProposalState // at this moment
	// Stale says that the documents have changed since: it can be applied no more.
	Stale bool
	// Mine says that the caller may decide it: another person, with the right to
	// make the change.
	Mine     bool
	Diff     policy.Difference // of the documents; empty for other kinds, and when stale
	Ends     []Lapse           // live grants that would end
	Compared bool              // Diff and Ends say something
}

// Proposals lists proposals, newest first: administrators, auditors and policy authors
// see all, everybody else their own and those that they may decide.
// next is where to go on; empty when that was all.
func (b *Broker) Proposals(ctx context.Context, c Caller, q access.ProposalQuery) (out []ProposalView, next access.ProposalID, err error) {
	err = b.Store.View(ctx, func(tx Tx) error {
		out, next = nil, ""
		ps, err := tx.Proposals(q)
		if err != nil {
			return err
		}
		if len(ps) == q.Limit {
			next = ps[len(ps)-1].ID
		}
		for _, p := range ps {
			v := ProposalView{Proposal: p, State: p.At(tx.Now())}
			if v.State == access.ProposalPending {
				if v.Stale, v.Mine, err = b.mine(tx, c, p); err != nil {
					return err
				}
			}
			if v.Mine || c.seesAll() || p.Person == c.Principal.Person {
				out = append(out, v)
			}
		}
		return nil
	})
	return out, next, err
}

// ProposalsWaiting counts, up to a hundred, the proposals of others that wait for the word
// of somebody like the caller: of an administrator, or of a policy author about documents.
// It compiles nothing, so that of some their word would not count.
func (b *Broker) ProposalsWaiting(ctx context.Context, c Caller) (n int, err error) {
	if !c.Principal.Admin && !c.Principal.Author {
		return 0, nil
	}
	err = b.Store.View(ctx, func(tx Tx) error {
		n = 0
		ps, err := tx.Proposals(access.ProposalQuery{States: []access.ProposalState{access.ProposalPending}, Limit: 100})
		if err != nil || len(ps) == 0 {
			return err
		}
		now, err := tx.DocumentsEdition()
		if err != nil {
			return err
		}
		for _, p := range ps {
			stale := ofDocuments(p) && p.Base != now.Version
			if p.At(tx.Now()) == access.ProposalPending && !stale && p.Person != c.Principal.Person && (c.Principal.Admin || ofDocuments(p)) {
				n++
			}
		}
		return nil
	})
	return n, err
}

var errNoProposal = access.Fail(access.NotFound, "no-such-proposal", "there is no such proposal, or it is not yours to see").Try("stint proposals lists them")

// Proposal shows one proposal, by its id or how that begins, with what it would change.
func (b *Broker) Proposal(ctx context.Context, c Caller, id string) (v ProposalView, err error) {
	var x examined
	var people []access.Principal
	err = b.Store.View(ctx, func(tx Tx) error {
		p, err := b.findProposal(tx, c, id)
		if err != nil {
			return err
		}
		v = ProposalView{Proposal: p, State: p.At(tx.Now())}
		if v.State != access.ProposalPending {
			return nil
		}
		if x, err = b.examineProposal(tx, p); err != nil {
			return err
		}
		v.Stale, v.Mine = x.stale, x.mayDecide(c)
		if people, err = usable(tx); err != nil || x.after == nil {
			return err
		}
		v.Ends, _, err = b.lapses(tx, x.before, x.after)
		return err
	})
	if err == nil && x.after != nil {
		v.Diff, v.Compared = policy.Diff(x.before, x.after, people), true
	}
	return v, err
}

// findProposal resolves the id of a proposal that the caller may see.
func (b *Broker) findProposal(tx Tx, c Caller, id string) (access.Proposal, error) {
	id = strings.ToUpper(strings.TrimPrefix(strings.ToLower(id), "prp_"))
	if len(id) < 4 || len(id) > 26 || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return access.Proposal{}, errNoProposal
	}
	found, err := tx.Proposals(access.ProposalQuery{Prefix: "prp_" + id, Limit: 2})
	switch {
	case err != nil:
		return access.Proposal{}, err
	case len(found) == 0:
		return access.Proposal{}, errNoProposal
	case len(found) > 1 && !c.seesAll():
		return access.Proposal{}, errNoProposal // how many there are is not theirs to know
	case len(found) > 1:
		return access.Proposal{}, access.Fail(access.Conflict, "ambiguous-id", "more than one proposal begins like this").Try("give more of the id")
	}
	p := found[0]
	if !c.seesAll() && p.Person != c.Principal.Person {
		if _, mine, err := b.mine(tx, c, p); err != nil || !mine {
			return access.Proposal{}, cmp.Or(err, error(errNoProposal))
		}
	}
	return p, nil
}

// mine reports whether the caller's word on a proposal would count, and whether it is
// stale. For most callers that is known without compiling anything.
func (b *Broker) mine(tx Tx, c Caller, p access.Proposal) (stale, mine bool, err error) {
	x := examined{proposal: p}
	if ofDocuments(p) {
		now, err := tx.DocumentsEdition()
		if err != nil {
			return false, false, err
		}
		stale = now.Version != p.Base
	}
	if c.Principal.Admin || stale || !ofDocuments(p) {
		return stale, x.mayDecide(c), nil
	}
	set, err := b.documents(tx)
	if err != nil {
		return stale, false, err
	}
	if owns, _ := set.Offices(c.Principal); !c.Principal.Author && len(owns) == 0 {
		return stale, false, nil
	}
	x, err = b.examineProposal(tx, p)
	return stale, err == nil && x.mayDecide(c), nil
}

// seesAll: whoever administers, audits or writes policies sees every proposal.
func (c Caller) seesAll() bool { return c.Principal.Admin || c.Principal.Auditor || c.Principal.Author }

// examined is what a proposal would do at this moment.
type examined struct {
	proposal      access.Proposal
	stale         bool
	before, after *policy.Set // nil: it is stale, or about something else
	changes       []policy.Change
}

// mayDecide reports whether the caller's word would count.
func (x examined) mayDecide(c Caller) bool {
	return c.Principal.MayApprove() == nil && c.Principal.Person != x.proposal.Person && x.allows(c.Principal) == nil
}

// allows is nil when somebody may make the change that is proposed.
func (x examined) allows(p access.Principal) error {
	switch {
	case x.proposal.Kind == access.ProposesDocuments || x.proposal.Kind == access.ProposesDeletion:
		if x.after == nil {
			if p.Admin {
				return nil
			}
			return access.Fail(access.Denied, "not-yours", "the proposal is for others to decide")
		}
		return policy.MayChange(x.before, x.after, p, x.changes)
	case p.Admin:
		return nil
	}
	return access.Fail(access.Denied, "not-yours", "this is for administrators").Because(string(p.ID) + " is not one")
}

func (b *Broker) examineProposal(tx Tx, p access.Proposal) (examined, error) {
	x := examined{proposal: p}
	if p.Kind != access.ProposesDocuments && p.Kind != access.ProposesDeletion {
		return x, nil
	}
	have, v, err := readDocuments(tx)
	if err != nil {
		return x, err
	}
	if x.stale = v != p.Base; x.stale {
		return x, nil
	}
	if x.before, err = b.documents(tx); err != nil {
		return x, err
	}
	docs, changes, err := b.outcome(p, have)
	if err != nil {
		return x, err
	}
	x.after, err = b.Sets.Compile(docs, b.schemas, v+1)
	x.changes = changes
	return x, err
}

// outcome is what a proposal makes of the documents.
func (b *Broker) outcome(p access.Proposal, have []policy.Document) ([]policy.Document, []policy.Change, error) {
	switch p.Kind {
	case access.ProposesDocuments:
		docs, err := proposedDocuments(p)
		if err != nil {
			return nil, nil, err
		}
		merged, changes := policy.Merge(have, docs)
		return merged, changes, nil
	case access.ProposesDeletion:
		d, err := read[deletion](p)
		if err != nil {
			return nil, nil, err
		}
		kept, err := policy.Remove(have, d.Kind, d.Name)
		return kept, []policy.Change{{Op: policy.Deleted, Kind: d.Kind, Name: d.Name}}, err
	}
	return nil, nil, access.Fail(access.Internal, "unknown-proposal", "the proposal is of a kind that this version does not know").Because(string(p.Kind))
}

func proposedDocuments(p access.Proposal) ([]policy.Document, error) {
	files, err := read[proposed](p)
	if err != nil {
		return nil, err
	}
	docs, err := policy.Parse(files)
	return written(docs, p.Principal), err
}

// read gives the content of a proposal; strictly, for what is not understood cannot
// have been approved.
func read[T any](p access.Proposal) (v T, err error) {
	d := json.NewDecoder(bytes.NewReader(p.Content))
	d.DisallowUnknownFields()
	if err = d.Decode(&v); err != nil {
		err = access.Fail(access.Internal, "unreadable-proposal", "the proposal cannot be read").Because(string(p.ID)).Wrap(err)
	}
	return v, err
}

// Approve is the yes of a second person to a proposal, which is carried out in the same
// transaction. seen is the digest of what they were shown; it must be given. Both, who
// proposed and who approves, must have the right to the change at this moment.
func (b *Broker) Approve(ctx context.Context, c Caller, id string, seen access.Digest, note string) (access.Proposal, error) {
	p, err := b.peek(ctx, c, id)
	if err != nil {
		return access.Proposal{}, err
	}
	var done access.Proposal
	yes := func(tx Tx, fx *effects) (access.Proposal, error) {
		now, err := tx.Proposal(p.ID)
		if err != nil {
			return access.Proposal{}, err
		}
		voter, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return access.Proposal{}, err
		}
		if !bytes.Equal(now.Content, p.Content) { // what is carried out below was read from p
			return access.Proposal{}, access.Fail(access.Conflict, "digest-mismatch", "the proposal is not what it was a moment ago")
		}
		now, ev, err := now.Approve(voter, c.Actor, seen, note, tx.Now())
		if err != nil {
			return access.Proposal{}, err
		}
		fx.event(ev)
		return now, tx.SaveProposals(now)
	}
	finish := func(tx Tx, fx *effects, p access.Proposal, v int64) error {
		p, ev, err := p.Carried(v, c.Actor, tx.Now())
		if err != nil {
			return err
		}
		fx.event(ev)
		done = p
		return tx.SaveProposals(p)
	}
	if p.Kind == access.ProposesSetting || p.Kind == access.ProposesOffice {
		err = b.update(ctx, func(tx Tx, fx *effects) error {
			now, err := yes(tx, fx)
			if err != nil {
				return err
			}
			for _, who := range []access.PrincipalID{c.Principal.ID, p.Principal} {
				who, err := tx.Principal(who)
				if err == nil {
					err = who.Usable(tx.Now())
				}
				if err == nil {
					err = examined{proposal: now}.allows(who)
				}
				if err != nil {
					return err
				}
			}
			if err := b.carry(tx, fx, now, c.Actor); err != nil {
				return err
			}
			return finish(tx, fx, now, 0)
		})
		return done, err
	}
	e := editing{}
	switch p.Kind {
	case access.ProposesDocuments:
		docs, err := proposedDocuments(p)
		if err != nil {
			return access.Proposal{}, err
		}
		e.ahead, e.edit = b.compileAhead(docs), apply(docs)
	default:
		d, err := read[deletion](p)
		if err != nil {
			return access.Proposal{}, err
		}
		e.edit = b.delete(d, c.Actor)
	}
	var now access.Proposal
	e.by, e.facts = Caller{Actor: c.Actor}, map[string]string{"proposal": string(p.ID), "proposer": string(p.Principal)}
	e.second = func(tx Tx, fx *effects, v int64, old, next *policy.Set, changes []policy.Change) (err error) {
		if now, err = yes(tx, fx); err != nil {
			return err
		}
		if now.Base != v {
			return access.Fail(access.Conflict, "base-moved", "the documents have changed since this was proposed").
				Because(fmt.Sprintf("it was made on version %d, and they are at %d", now.Base, v)).
				Try("whoever proposed it proposes it again, so that what is approved is what will be")
		}
		for _, who := range []access.PrincipalID{p.Principal, c.Principal.ID} {
			p, err := tx.Principal(who)
			if err == nil {
				err = p.Usable(tx.Now())
			}
			if err == nil {
				err = policy.MayChange(old, next, p, changes)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	e.done = func(tx Tx, fx *effects, v int64) error { return finish(tx, fx, now, v) }
	if _, err := b.change(ctx, e); err != nil {
		return access.Proposal{}, err
	}
	return done, nil
}

// peek finds a proposal before anything is made of it.
func (b *Broker) peek(ctx context.Context, c Caller, id string) (p access.Proposal, err error) {
	err = b.Store.View(ctx, func(tx Tx) error { p, err = b.findProposal(tx, c, id); return err })
	return p, err
}

// Refuse denies a proposal, or withdraws the caller's own.
func (b *Broker) Refuse(ctx context.Context, c Caller, id, note string) (p access.Proposal, err error) {
	err = b.update(ctx, func(tx Tx, fx *effects) error {
		var ev access.Event
		if p, err = b.findProposal(tx, c, id); err != nil {
			return err
		}
		if p.Person != c.Principal.Person {
			x, err := b.examineProposal(tx, p)
			if err != nil {
				x = examined{proposal: p, stale: true} // what does not even load can be denied
			}
			if !x.mayDecide(c) {
				return access.Fail(access.Denied, "not-yours", "the proposal is not yours to decide")
			}
		}
		who, err := tx.Principal(c.Principal.ID)
		if err != nil {
			return err
		}
		if p, ev, err = p.Refuse(who, c.Actor, note, tx.Now()); err != nil {
			return err
		}
		fx.event(ev)
		return tx.SaveProposals(p)
	})
	return p, err
}

// usable are the principals that can sign in.
func usable(tx Tx) ([]access.Principal, error) {
	ps, err := tx.Principals("")
	return slices.DeleteFunc(ps, func(p access.Principal) bool { return p.Usable(tx.Now()) != nil }), err
}
