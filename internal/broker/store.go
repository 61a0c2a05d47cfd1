package broker

import (
	"context"
	"time"

	"stint/internal/access"
	"stint/internal/vault"
)

// Store is the memory that the broker needs.
//
// Update runs fn in one serializable transaction and commits it, or leaves no
// trace. fn may run more than once and MUST have no effect but through its Tx.
// When Update returns nil the change is durable, events included. An error of
// kind access.Unavailable means that nothing was changed, or that the store
// could not find out; the caller reads back before it acts again.
type Store interface {
	Update(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction. Reads of what does not exist answer access.NotFound.
// Saves insert what is new, at version 1, and otherwise replace exactly the
// version before or, for bookkeeping that is no event, the same version;
// access.Conflict when somebody was faster.
type Tx interface {
	// Now is the store's time, one value for the whole transaction, UTC, whole
	// milliseconds. It never goes back from one transaction to the next.
	Now() time.Time
	// Certain is nil when Now can be trusted, and otherwise an access.Unavailable
	// that says why not. Then nothing new is granted or shown, and everything ends
	// by Now all the same.
	Certain() error

	// Append writes events to the audit log, in the same transaction.
	Append(evs ...access.Event) error

	requests
	grants
	entitlements
	residues
	reviews
	principals
	settings
	vaulted
	proposals
	favourites
	ticketWatches
	delegations
	standings
	tallies
	certificates
	sessions
}

type requests interface {
	Request(id access.RequestID) (access.Request, error)
	SaveRequests(rs ...access.Request) error
	Requests(q access.RequestQuery) ([]access.Request, error)
	// RequestsOf are those of the ids that exist.
	RequestsOf(ids ...access.RequestID) ([]access.Request, error)
	// DueRequests are pending ones whose DueAt has come, the longest due first.
	DueRequests(limit int) ([]access.Request, error)
	// FindRequest resolves a full or partial id of a request or of its grant;
	// access.Conflict when it is ambiguous.
	FindRequest(prefix string) (access.RequestID, error)

	Recall(p access.PrincipalID, key string) (access.Remembered, error)
	Remember(m access.Remembered) error
}

type grants interface {
	Grant(id access.GrantID) (access.Grant, error)
	SaveGrants(gs ...access.Grant) error
	Grants(q access.GrantQuery) ([]access.Grant, error)
	// DueGrants are those whose DueAt has come: ends first, then beginnings, the
	// longest due first.
	DueGrants(limit int) ([]access.Grant, error)
	// EndingNext are those that time ends next, the soonest first; scheduled ones
	// are none of them.
	EndingNext(limit int) ([]access.Grant, error)
	// GrantsOf are those of the ids that exist.
	GrantsOf(ids ...access.GrantID) ([]access.Grant, error)
	// GrantsByEnd lists grants of one principal in one state, what ends first first.
	GrantsByEnd(q access.EndQuery) ([]access.Grant, error)
	// LiveCounts counts the grants that are not over, by whose they are and their state.
	LiveCounts(q access.LiveQuery) ([]access.LiveCount, error)

	SaveSealed(ss ...access.Sealed) error
	Sealed(id access.GrantID) ([]access.Sealed, error)
	DropSealed(ids ...access.GrantID) error
}

type entitlements interface {
	Entitlement(id access.EntitlementID) (access.Entitlement, error)
	SaveEntitlements(es ...access.Entitlement) error
	Entitlements(q access.EntitlementQuery) ([]access.Entitlement, error)
	// EntitlementsOf are those of the ids that exist.
	EntitlementsOf(ids ...access.EntitlementID) ([]access.Entitlement, error)
	// Removals are those in state removing, also under a lease, the longest due
	// first.
	Removals(limit int) ([]access.Entitlement, error)
	// LiveEntitlement is the one of that place and key that is not gone.
	LiveEntitlement(p access.Place, key string) (access.Entitlement, error)
	// LeftGroup is the newest membership of that place and key that is gone.
	LeftGroup(p access.Place, key string) (access.Entitlement, error)

	SaveHolds(hs ...access.Hold) error
	// HoldsBy lists the holds of grants; HoldsOf those on entitlements.
	HoldsBy(ids ...access.GrantID) ([]access.Hold, error)
	HoldsOf(ids ...access.EntitlementID) ([]access.Hold, error)

	// Host reads the host at an address; NotFound where none has enrolled.
	Host(name string) (access.Host, error)

	// Claim leases up to limit due entitlements of the work to owner until the
	// given time and returns them. An entitlement under an unexpired lease of
	// another owner is not returned.
	Claim(w access.Work, owner string, until time.Time, limit int) ([]access.Entitlement, error)
	// Lease takes the lease of entitlements just made in this transaction.
	Lease(owner string, until time.Time, ids ...access.EntitlementID) error
	// Leased returns those of the ids that owner still has on lease, as they are now.
	Leased(owner string, ids ...access.EntitlementID) ([]access.Entitlement, error)
	// Claimed returns those of the ids that owner took and nobody has taken since, be
	// their lease run out or not.
	Claimed(owner string, ids ...access.EntitlementID) ([]access.Entitlement, error)
	// Unlease gives leases back; without ids, all that owner has.
	Unlease(owner string, ids ...access.EntitlementID) error
	// RenewLeases lets all that owner took, and nobody has taken since, last until the
	// given time.
	RenewLeases(owner string, until time.Time) error
	// CutLeases lets leases on the ids end at until, where they would end later.
	CutLeases(until time.Time, ids ...access.EntitlementID) error
	// TakeBack ends every lease of owners whose name begins with of and not with
	// but, and returns what was under them. Only of owners that are dead for certain
	// may it be asked.
	TakeBack(of, but string) ([]access.Entitlement, error)
	// Bury takes the name of another replica down if nobody lives under it, for
	// certain, and reports whether it did.
	Bury(name string) (dead bool, err error)
	// MayExpire reports whether no other process ends what is due just now; until
	// the end of the transaction none begins to. A no is a hint, and may be a lie.
	MayExpire() (mine bool, err error)
	// DueWork lists the places with entitlements that are due and not on lease.
	DueWork() ([]access.Work, error)
	// NextDue is when something that is not due yet next becomes due: a request, a
	// grant, an entitlement or a lease; zero when nothing ever will.
	NextDue() (time.Time, error)
}

type residues interface {
	SaveResidues(rs ...access.Residue) error
	// DueResidues are pending ones whose DueAt has come, the longest due first.
	DueResidues(limit int) ([]access.Residue, error)
	// ResiduesOf are those of the grants that have any.
	ResiduesOf(ids ...access.GrantID) ([]access.Residue, error)
	// PendingResidues are those of a place that have no answer yet, the longest due first.
	PendingResidues(q access.ResidueQuery) ([]access.Residue, error)
	// SaveFingerprint keeps one more of a place; of many, some in the middle go.
	SaveFingerprint(f access.Fingerprint) error
	// FingerprintTimes says when those of a place were complete, oldest first.
	FingerprintTimes(p access.Place) ([]time.Time, error)
	// FingerprintAt is the newest of a place that was complete at the time.
	FingerprintAt(p access.Place, at time.Time) (access.Fingerprint, error)
}

type reviews interface {
	SaveReviews(rs ...access.Review) error
	// FindReview resolves a full or partial id; access.Conflict when it is ambiguous.
	FindReview(prefix string) (access.Review, error)
	Reviews(q access.ReviewQuery) ([]access.Review, error)
	// DueReviews are open ones whose RemindAt has come, the longest due first.
	DueReviews(limit int) ([]access.Review, error)
}

type principals interface {
	Principal(id access.PrincipalID) (access.Principal, error)
	SavePrincipals(ps ...access.Principal) error
	Principals(kind access.PrincipalKind) ([]access.Principal, error)
	// PrincipalsNamed are so many of those whose id has all the parts in it, by name.
	PrincipalsNamed(parts []string, limit int) ([]access.Principal, error)
	// PrincipalsOf are the vendors and agents that a principal answers for.
	PrincipalsOf(by access.PrincipalID) ([]access.Principal, error)
	// DueContracts are the vendors whose contract is over and who are not disabled yet.
	DueContracts(limit int) ([]access.Principal, error)
	// Task is the task of an agent; SaveTasks inserts at version 1, else replaces the version before.
	Task(agent access.PrincipalID, id access.TaskID) (access.Task, error)
	SaveTasks(ts ...access.Task) error
	Tasks(q access.TaskQuery) ([]access.Task, error)
	// PrincipalByIdentity finds who is a subject of a provider.
	PrincipalByIdentity(i access.Identity) (access.Principal, error)
	SaveEnrolment(e access.Enrolment) error
	SaveLogin(l access.Login) error
	// DropLogins ends every login of a principal, and its open enrolments.
	DropLogins(p access.PrincipalID) error
	// Passkeys lists those of a person, removed ones too.
	Passkeys(person access.Person) ([]access.Passkey, error)
	Passkey(id access.PasskeyID) (access.Passkey, error)
	SavePasskeys(ps ...access.Passkey) error
}

type settings interface {
	// Documents is the newest version of the documents; version 0 and an empty
	// body before there are any. SaveDocuments adds the next one; versions never change.
	Documents() (version int64, body []byte, err error)
	// DocumentsEdition says which they are; cheap.
	DocumentsEdition() (access.Edition, error)
	SaveDocuments(version int64, body []byte) error

	Credential(name string) (access.Credential, error)
	SaveCredential(c access.Credential) error

	// Setting is a small named value, like the stop switch; nil when not set.
	Setting(name string) ([]byte, error)
	SaveSetting(name string, value []byte) error

	// ChannelState is what a channel, or another reader of which one replica is one at a
	// time, last noted of itself, in a form of its own; nil where there is none.
	ChannelState(name string) ([]byte, error)
}

// vaulted are the accounts whose secrets Stint keeps.
type vaulted interface {
	// Vaulted reads one by its name, also one that was removed; VaultedAt that of an
	// account, which was not.
	Vaulted(name string) (vault.Entry, error)
	VaultedAt(p access.Place, account string) (vault.Entry, error)
	// Vault lists those that were not removed, by name.
	Vault() ([]vault.Entry, error)
	// DueVault lists so many that are to be rotated, the longest due first, and then
	// those whose secret is given out, from the one after on; the zero Entry: from the first.
	DueVault(after vault.Entry, limit int) ([]vault.Entry, error)
	// SaveVault writes entries; of one account there is one.
	SaveVault(es ...vault.Entry) error
}

type proposals interface {
	Proposal(id access.ProposalID) (access.Proposal, error)
	SaveProposals(ps ...access.Proposal) error
	Proposals(q access.ProposalQuery) ([]access.Proposal, error)
}

type favourites interface {
	// Favourites lists those of a person, by name.
	Favourites(p access.Person) ([]access.Favourite, error)
	// SaveFavourite keeps one, in the place of one of that name.
	SaveFavourite(f access.Favourite) error
	// DropFavourite forgets one; that there is none is no error.
	DropFavourite(p access.Person, name string) error
}

type ticketWatches interface {
	SaveTicketWatches(ws ...access.TicketWatch) error
	// DueTicketWatches are those whose NextAt has come, the longest due first.
	DueTicketWatches(limit int) ([]access.TicketWatch, error)
	DropTicketWatches(ids ...access.GrantID) error
}

type delegations interface {
	SaveDelegations(ds ...access.Delegation) error
	Delegations(q access.DelegationQuery) ([]access.Delegation, error)
}

type standings interface {
	// SaveStanding replaces what is known by the same resource, account and privilege.
	SaveStanding(ss ...access.Standing) error
	Standing(q access.StandingQuery) ([]access.Standing, error)
	// DropStanding forgets what was seen of a resource: what stands there, survey and
	// probe, and not what was counted of days.
	DropStanding(r access.ResourceName) error

	SaveSurvey(s access.Survey) error
	Survey(r access.ResourceName) (access.Survey, error)
	Surveys() ([]access.Survey, error)
	SaveStandingDays(ds ...access.StandingDay) error
	// StandingDays adds up days, from one to another, of one resource or of all.
	StandingDays(r access.ResourceName, from, to time.Time) ([]access.StandingDay, error)

	SaveProbe(p access.Probe) error
	Probe(r access.ResourceName) (access.Probe, error)
	// Probes are without their steps.
	Probes() ([]access.Probe, error)

	// LiveByResource counts the grants that are not over.
	LiveByResource() (map[access.ResourceName]int, error)
}

// certificates are those that were made, by their serials.
type certificates interface {
	// SaveCertificates writes down new ones; access.Conflict where a serial is there.
	SaveCertificates(cs ...access.Certificate) error
	Certificate(s access.Serial) (access.Certificate, error)
	// RevokeCertificate notes that one was taken back by itself.
	RevokeCertificate(c access.Certificate) error
	// Certificates lists them, what ends first first.
	Certificates(q access.CertificateQuery) ([]access.Certificate, error)
	// RevokedCertificates are those, tickets aside, whose end has not come and that are good no more:
	// they were taken back, or their grant is not active.
	RevokedCertificates() ([]access.Certificate, error)
}

// sessions are those that gateways carry, and commands that hosts run.
type sessions interface {
	SaveSessions(ss ...access.Session) error
	// SaveTape notes what is known of a session's recording, beside its version.
	SaveTape(id access.SessionID, t access.Tape) error
	Session(id access.SessionID) (access.Session, error)
	Sessions(q access.SessionQuery) ([]access.Session, error)
	// LiveSessions are those of a gateway that are not closed, with what their grants say.
	LiveSessions(gateway string) ([]access.LiveSession, error)
	// RenewSessions notes that a gateway is heard of, and so are the sessions it has.
	RenewSessions(gateway string) error
	// LostSessions are open ones that were not named since, and that do not go on without
	// being named, or whose grant is over anyway.
	LostSessions(since time.Time, limit int) ([]access.Session, error)
}

// tallies are what is added up: lines of many, the newest first.
type tallies interface {
	// RequestLines are of requests made since a time, GrantLines of grants that gave
	// access since then or are not over.
	RequestLines(q access.TallyQuery) ([]access.RequestLine, error)
	GrantLines(q access.TallyQuery) ([]access.GrantLine, error)
	// VoteCounts are the approvals of requests made since a time, by who gave them, then
	// by day.
	VoteCounts(q access.TallyQuery) ([]access.VoteCount, error)
}
