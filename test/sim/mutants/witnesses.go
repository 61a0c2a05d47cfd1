package main

import "strings"

// witness is a test of a package that notices when a line is deleted about which the
// simulation cannot ask: it has no tickets, no roster of an agent, no passkey.
type witness struct {
	where, line string // as an excuse has them
	pkg         string // of the test, where it is not the line's own
	test        string
}

// witnesses are all of them. One for a line that is not in the source any more is an error,
// and so is a test that is not there, or that is red while nothing is deleted.
var witnesses = []witness{
	{"broker/provision.go:makeIt", "if o.Proofs, err = b.proofs(", "internal/apiserver", "TestHostProofs"},
	{"broker/provision.go:sealCredential", "if throughGateway(", "internal/apiserver", "TestDatabase.*"},
	{"broker/credential.go:Newest", "newest = x", "", "TestNewestSealed"},
	{"broker/credential.go:CredentialAnew", "if known != nil", "", "TestCredentialAnew"},
	{"broker/credential.go:CredentialAnew", "err = b.Store.View(", "", "TestCredentialAnew"},
	{"broker/credential.go:CredentialAnew", "out.Unchanged = known(", "", "TestCredentialAnew"},
	{"broker/credential.go:CredentialAnew", "if err != nil || out.Unchanged", "", "TestCredentialAnew"},
	{"broker/credential.go:credential", "if g.State != access.Active {", "", "TestRefusedAnew"},
	{"broker/credential.go:credential", "if throughGateway(", "internal/apiserver", "TestDatabase.*"},
	{"broker/provision.go:makeIt", "if m.turn, err = b.lend(", "", "TestVaultDoors"},
	{"broker/provision.go:makeIt", "if m.turn, err = b.heal(", "", "TestT55FiveHundredKills"},
	{"broker/provision.go:provisioned", "if err := b.lent(", "", "TestVaultDoors"},
	{"broker/remove.go:takeBack", "orders[i].Secret, orders[i].Next", "", "TestT55FiveHundredKills"},
	{"broker/remove.go:takeBack", "v.turn, v.turned", "", "TestT55FiveHundredKills"},
	{"broker/remove.go:recordRemovals", "if err := b.returned(", "", "TestT55FiveHundredKills"},
	{"access/entitlement.go:Turn", "", "", "TestTurn"},
	{"access/approval.go:Recount", "case KindOf(err) == Unavailable", "", "TestRecountByPasskeys"},
	{"access/approval.go:askedOf", "how = ", "", "TestRecountByPasskeys"},
	{"access/approval.go:Quorum", "seen[a.ForPerson] = true", "", "TestQuorumCountsTwoForOne"},
	{"access/principal.go:In", "if schedule, ok", "", "TestOnCallIsIn"},
	{"access/entitlement.go:Plan", "e.Key = CheckoutKey(", "internal/broker", "TestVaultDoors"},
	{"broker/start.go:intend", "if err := vaultedAt(", "", "TestVaultDoors"},
	{"broker/remove.go:lease", "w.longest, w.since = waited, now", "", "TestLeasesLastAsTheStoreWaits"},
	{"broker/remove.go:keepLeases", "lease = b.waits.lease(asked)", "", "TestLeasesAreRenewed"},
	{"broker/remove.go:keepLeases", "next = lease / 6", "", "TestLeasesAreRenewed"},
	{"broker/remove.go:keepLeases", "tick.Reset(next)", "", "TestLeasesAreRenewed"},
	{"broker/remove.go:asOf", "if v.read.IsZero() {", "", "TestVerdictIsOfItsReading"},
	{"broker/quarantine.go:LastBackup", "", "", "TestLastBackup"},
	{"broker/start.go:carryOut", "if err := b.watchTicket(", "", "TestWatchedTicketEnds"},
	{"broker/start.go:lengthen", "if g, err = b.bounded(", "", "TestLengthenedEndsWithTheContract"},
	{"broker/eligibility.go:Reconsider", "b.PeopleChanged()", "", "TestReconsiderCountsPeople"},
	{"broker/people.go:PeopleChanged", "b.approvers.Changed()", "", "TestReconsiderCountsPeople"},
	{"broker/people.go:Disable", "if err := c.still(tx); err", "", "TestDisableIsForAdministrators"},
	{"broker/people.go:Disable", "defer b.PeopleChanged()", "", "TestDisableIsForAdministrators"},
	{"broker/people.go:disable", "q.Lock = access.Lock{}", "", "TestLockIsForAdministrators"},
	{"broker/people.go:behind", "if p.ID.Kind() != access.User {", "", "TestDisableIsForAdministrators"},
	{"broker/submit.go:Submit", "if c.Glass != nil {", "", "TestGlassLogin"},
	{"broker/submit.go:Extend", "b.extensionTickets(", "", "TestExtensionByTicket"},
	{"broker/submit.go:Extend", "case g.Renewable() != nil:", "", "TestBreakGlass"},
	{"broker/submit.go:Extend", "a.Task = orig.Task", "", "TestAgentsTicketIsWatched"},
	{"broker/submit.go:Extend", "ask.Extension = more", "", "TestExtension.*"},
	{"broker/submit.go:asker", "err = b.fresh(tx, set, p)", "", "TestStaleFacts.*"},
	{"broker/submit.go:record", "if err := b.underCeilings(", "internal/apiserver", "TestHost.*"},
	{"broker/submit.go:record", "if err := who.Answerable(", "", "TestNobodyToApprove"},
	{"broker/submit.go:record", "if r.Emergency.Is() {", "", "TestBreakGlass"},
	{"broker/decide.go:Vote", "if err := b.readTicketsFor(", "", "TestTicketSystemDown"},
	{"broker/decide.go:voteOnce", "if err := tx.SavePasskeys(", "internal/apiserver", "Test(ApprovalByPasskey|ForgedApprovals|AServerThatLies|SecondPasskey)"},
	{"broker/decide.go:voteOnce", "if err := who.NeededLater(", "", "TestNeededLater"},
	{"broker/decide.go:voteOnce", "if err := b.freshStill(", "", "TestStaleFacts.*"},
	{"broker/decide.go:voteOnce", "b.noteCopy(", "internal/apiserver", "Test(ApprovalByPasskey|ForgedApprovals|AServerThatLies|SecondPasskey)"},
	{"broker/due.go:beginGrants", "err = b.giveUp(", "", "TestStartWithoutItsTicket"},
	{"broker/target.go:target", "if b.schemas[at.Type].NoCredential {", "internal/apiserver", "TestHost.*"},
}

// witnessFor finds the test that is to notice a deletion.
func witnessFor(file string, d deletion) (witness, bool) {
	for _, w := range witnesses {
		if w.where == file+":"+d.fn && (strings.HasPrefix(d.text, w.line) || strings.HasPrefix(d.whole, w.line)) {
			return w, true
		}
	}
	return witness{}, false
}
