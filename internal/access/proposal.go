package access

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"stint/internal/moment"
)

// ProposalID names a proposal: prp_….
type ProposalID string

// NewProposalID makes an identifier that sorts by time.
func NewProposalID(ms int64, e Entropy) ProposalID { return ProposalID("prp_" + newULID(ms, e)) }

// ProposalState is the state of a proposal. Stored: only append.
type ProposalState string

// The states of a proposal. It is approved and applied in one transaction; the state
// between is seen by nobody and is in the log.
const (
	ProposalPending   ProposalState = "pending"
	ProposalApproved  ProposalState = "approved"
	ProposalApplied   ProposalState = "applied"
	ProposalDenied    ProposalState = "denied"
	ProposalWithdrawn ProposalState = "withdrawn"
	// ProposalExpired is never stored: a pending one that is too old.
	ProposalExpired ProposalState = "expired"
)

// ProposalKind says what a proposal would change. Stored: only append.
type ProposalKind string

// The kinds of proposal.
const (
	ProposesDocuments ProposalKind = "documents" // to apply: Content is the files
	ProposesDeletion  ProposalKind = "deletion"  // of one document
	ProposesSetting   ProposalKind = "setting"   // of how many persons such changes need
	ProposesOffice    ProposalKind = "office"    // of a user: a right in Stint
)

// ProposalFor is how long a proposal waits for a second person.
const ProposalFor = 7 * 24 * time.Hour

// Proposal is a change of Stint's own configuration that waits for a second person.
// What is proposed never changes; State, Decided…, Note and Version do.
type Proposal struct {
	ID      ProposalID
	Version int64
	State   ProposalState

	Kind      ProposalKind
	Principal PrincipalID // who proposes
	Person    Person
	Base      int64  // the version of the documents that it changes
	Content   []byte // exactly what will be done; its form is the broker's
	Summary   string // of Content, for people: one line
	Why       []string
	Digest    Digest // over all of the above but Version, State and Summary
	CreatedAt time.Time
	ExpiresAt time.Time

	DecidedBy     PrincipalID // who approved, denied or withdrew it
	DecidedPerson Person
	Note          string
	DecidedAt     time.Time
	Applied       int64 // the version of the documents that it became
}

// The events of proposals.
const (
	ProposalMade       EventType = "proposal.made"
	ProposalWasYes     EventType = "proposal.approved"
	ProposalWasDone    EventType = "proposal.applied"
	ProposalWasNo      EventType = "proposal.denied"
	ProposalTakenBack  EventType = "proposal.withdrawn"
	proposalDigestV1             = "stint proposal 1"
	maxProposalContent           = 8 << 20
)

// Propose makes a proposal of a draft in which ID, Kind, Principal, Person, Base,
// Content, Summary and Why are set.
func Propose(draft Proposal, actor Actor, now time.Time) (Proposal, Event, error) {
	p := draft
	switch {
	case !strings.HasPrefix(string(p.ID), "prp_") || p.Kind == "" || p.Principal == "" || p.Person == "" || len(p.Content) == 0:
		return Proposal{}, Event{}, Fail(Internal, "incomplete-proposal", "the proposal lacks its id, kind, principal, person or content")
	case len(p.Content) > maxProposalContent:
		return Proposal{}, Event{}, Fail(Invalid, "long-proposal", "the proposal is too large").Because(itoa(int64(len(p.Content))) + " bytes, and at most " + itoa(maxProposalContent))
	}
	p.Version, p.State, p.CreatedAt, p.ExpiresAt = 1, ProposalPending, now, now.Add(ProposalFor)
	p.DecidedBy, p.DecidedPerson, p.Note, p.DecidedAt, p.Applied = "", "", "", time.Time{}, 0
	p.Digest = proposalDigest(p)
	return p, p.event(ProposalMade, actor, now, "kind", string(p.Kind), "summary", p.Summary, "why", strings.Join(p.Why, "; "), "base", itoa(p.Base),
		"digest", p.Digest.String(), "expires_at", stamp(p.ExpiresAt)), nil
}

// At is the state at a time: a pending proposal that is too old has expired.
func (p Proposal) At(now time.Time) ProposalState {
	if p.State == ProposalPending && !now.Before(p.ExpiresAt) {
		return ProposalExpired
	}
	return p.State
}

// undecided refuses what is not open any more.
func (p Proposal) undecided(now time.Time) error {
	switch s := p.At(now); s {
	case ProposalPending:
		return nil
	case ProposalExpired:
		return Fail(Expired, "proposal-expired", "the proposal has expired").Because("nobody decided before " + moment.At(p.ExpiresAt)).Try("propose it again")
	default:
		return Fail(Conflict, "already-decided", "the proposal is "+string(s)+" already")
	}
}

// second refuses whoever is not a second person. It says nothing about rights.
func (p Proposal) second(by Principal, now time.Time) error {
	if err := by.Usable(now); err != nil {
		return err
	}
	if err := by.MayApprove(); err != nil {
		return err
	}
	switch {
	case by.Person == "" || by.Person == p.Person || by.ID == p.Principal:
		return Fail(Denied, "own-proposal", "nobody approves their own proposal").Because(string(p.Principal) + " proposed it for the same person, " + string(p.Person)).
			Try("ask another one who may make this change: stint proposal show " + string(p.ID))
	}
	return nil
}

// Approve records the yes of a second person, who saw what has the digest seen. The
// caller has made sure that this person may make the change, and carries it out in the
// same transaction; see Carried.
func (p Proposal) Approve(by Principal, actor Actor, seen Digest, note string, now time.Time) (Proposal, Event, error) {
	if err := p.undecided(now); err != nil {
		return p, Event{}, err
	}
	if err := p.second(by, now); err != nil {
		return p, Event{}, err
	}
	switch {
	case proposalDigest(p) != p.Digest:
		return p, Event{}, Fail(Conflict, "digest-mismatch", "the proposal is not what was proposed").Try("deny it, and find out who can write Stint's database")
	case seen != p.Digest:
		return p, Event{}, Fail(Conflict, "other-proposal", "the proposal is not the one you were shown").Because("its digest is " + p.Digest.String())
	}
	if err := p.decide(ProposalApproved, by, note, now); err != nil {
		return p, Event{}, err
	}
	return p, p.event(ProposalWasYes, actor, now, "approver", string(by.ID), "approver_person", string(by.Person), "note", note, "digest", p.Digest.String()), nil
}

// Carried records that an approved proposal was carried out, and which version of the
// documents it became; 0 when it was about something else.
func (p Proposal) Carried(version int64, actor Actor, now time.Time) (Proposal, Event, error) {
	if p.State != ProposalApproved {
		return p, Event{}, Fail(Internal, "not-approved", "the proposal is "+string(p.State))
	}
	p.State, p.Applied = ProposalApplied, version
	p.Version++
	return p, p.event(ProposalWasDone, actor, now, "approver", string(p.DecidedBy), "approver_person", string(p.DecidedPerson), "documents", itoa(version)), nil
}

// Refuse denies a proposal, or withdraws it where it is one's own.
func (p Proposal) Refuse(by Principal, actor Actor, note string, now time.Time) (Proposal, Event, error) {
	if err := p.undecided(now); err != nil {
		return p, Event{}, err
	}
	own := by.Person == p.Person || by.ID == p.Principal
	state, t := ProposalDenied, ProposalWasNo
	if own {
		state, t = ProposalWithdrawn, ProposalTakenBack
	} else if strings.TrimSpace(note) == "" {
		return p, Event{}, Fail(Invalid, "no-note", "a note is needed").Try("say why, so that who proposed it knows")
	}
	if err := p.decide(state, by, note, now); err != nil {
		return p, Event{}, err
	}
	return p, p.event(t, actor, now, "by", string(by.ID), "by_person", string(by.Person), "note", note), nil
}

func (p *Proposal) decide(s ProposalState, by Principal, note string, now time.Time) error {
	if err := checkText("note", note, MaxReason, true); err != nil {
		return err
	}
	p.State, p.DecidedBy, p.DecidedPerson, p.Note, p.DecidedAt = s, by.ID, by.Person, note, now
	p.Version++
	return nil
}

func (p Proposal) event(t EventType, actor Actor, now time.Time, kv ...string) Event {
	return Event{Type: t, At: now, Entity: string(p.ID), Version: p.Version, Actor: actor,
		Facts: fact(append(slices.Clone(kv), "principal", string(p.Principal), "person", string(p.Person))...)}
}

// proposalDigest covers, in order: version word, id, kind, principal, person, base,
// content, why, time made.
func proposalDigest(p Proposal) Digest {
	f := fields{sha256.New()}
	f.text(proposalDigestV1)
	f.text(string(p.ID))
	f.text(string(p.Kind))
	f.text(string(p.Principal))
	f.text(string(p.Person))
	f.number(p.Base)
	f.bytes(p.Content)
	f.list(p.Why)
	f.time(p.CreatedAt)
	return f.sum()
}

// ProposalQuery selects proposals, newest first. Zero fields do not select.
type ProposalQuery struct {
	Person Person
	States []ProposalState
	Before ProposalID
	Prefix string // only ids that begin with it
	Limit  int    // 1 to 1000; 0 means 100
}
