package main

import "strings"

// excuse is a line of protective files whose deletion nothing is to notice: it makes
// something faster, words a message, or stands there twice on purpose.
type excuse struct {
	where string // "file.go:function", or "file.go:function#xs" in its loops over xs
	line  string // how it begins; all that begin so
	why   string
}

// Reasons that several lines have.
const (
	words   = "words what a person reads, and decides nothing"
	lapses  = "saves waiting for a lease that lapses by itself within seconds"
	faster  = "makes it faster; without it the same is done"
	nothing = "spares a look where there is nothing to do"
	labels  = "names the work for tests and traces"
)

// excused are all of them. One that is not in the source any more is an error.
var excused = []excuse{
	{"provision.go:provisionDue", "b.giveBack(", lapses},
	{"provision.go:makeIt", "said = ce.Message", words},
	{"provision.go:makeIt", "case seen.Presence == connector.Absent:", words},
	{"provision.go:makeIt", "if errors.As(err, &ce) {", "says why, and whether a repeat can help; without it what cannot succeed is tried until the set-up's time is up"},
	{"provision.go:order", "o.Renew = connector.Keep", "no connector renews what was never there: a kindness to those to come"},
	{"provision.go:provisioned", "fx.entitlement(cur.Retry(public(no), now))", "puts the next try off by a moment; provisionDue makes nothing while in doubt, and notes the same"},
	{"provision.go:arrived", "all = []access.Hold{h}", faster},
	{"provision.go:sealFor", "if r.Credential.Empty() {", nothing},
	{"provision.go:sealFor", "sealed[g.ID] = blob", "arrived seals what is not sealed yet, only later"},
	{"provision.go:provisionFailed", "said += ", words},
	{"provision.go:provisionFailed", "cur = cur.LandsBy(", "lets a quarantine end before the time on record, which is the safe one"},

	{"remove.go:removeDue", "b.giveBack(", lapses},
	{"remove.go:removeDue", "ctx = withWork(", labels},
	{"remove.go:takeAway", "ctx = withWork(", labels},
	{"remove.go:removeDue", "letGo()", "ends the renewal of leases at once, and not with the work's own time"},
	{"remove.go:byConnection", "if part[0].Target.Connection.Equal(", "makes one batch of many; one call for each does the same"},
	{"remove.go:byConnection", "parts[i] = append(part, e)", "makes one batch of many; what is left out is taken up with the next look"},
	{"remove.go:keepLeases", "if ctx.Err() != nil {", "two that remove the same thing do what one does"},
	{"remove.go:keepLeases", "<-over", "waits for a renewal that does no harm"},
	{"remove.go:takeAway", "v.said = ", words},
	{"remove.go:takeAway", "case seen[i].Err != nil:", words},
	{"remove.go:takeAway", "case seen[i].Presence == connector.Absent:", words},
	{"remove.go:takeAway", "rs[i].said = said", words},
	{"remove.go:takeAway", "silent = silent ||", "keeps the room for silent targets small; removals elsewhere have their own"},
	{"remove.go:recordRemovals", "case errors.Is(err, access.Pending):", "looks again when the quarantine is over, and not every two seconds"},
	{"remove.go:recordRemovals", "case err != nil:", "cannot be: what was claimed for removal is being removed"},
	{"remove.go:recordRemovals", "stay = append(", lapses},
	{"remove.go:recordRemovals", "if err := tx.Unlease(", lapses},
	{"remove.go:settle", "if len(gone) == 0 {", nothing},
	{"remove.go:finishIfSettled", "if len(ids) == 0 {", nothing},
	{"remove.go:finishIfSettled", "b.lookForResidue(", "the simulated targets keep no residue; internal/broker tests it"},

	{"provision.go:changedBy", "fx.changed = ", "wakes who waits for news, and who looks again anyway"},

	{"end.go:release", "if len(ids) == 0 {", nothing},
	{"end.go:release", "waits[h.Grant] = ", "finishIfSettled looks for itself"},
	{"end.go:release", "if !h.ReleasedAt.IsZero() {", "there twice: a grant ends once, so what it holds is not released before"},
	{"end.go:release#own", "h = newer", "there twice: a grant ends once, so its holds were not changed before"},
	{"end.go:End", "case r.Grant == \"\"", words},
	{"end.go:End", "if g.Over() {", words},

	{"life.go:whileAlive", "if !strings.HasPrefix(", "there twice: vouched is the last look before the call, and refuses the same"},
	{"life.go:whileAlive", "stop()", "lets a call go that is over"},
	{"life.go:Bury", "taken = ", "is for the server's log"},
	{"life.go:inherit", "if err != nil || len(es) == 0 {", nothing},
	{"life.go:inherit", "es[i] = es[i].AllLandBy(", "lets a quarantine end before the time on record, which is the safe one"},
	{"life.go:Hear", "", "a hint, which may be lost; who waits looks for themselves"},
	{"life.go:tell", "", "a hint, which may be lost; who waits looks for themselves"},
	{"life.go:tellAgain", "", "a hint, which may be lost; every replica decides again once a minute"},
	{"life.go:lookAgain", "", faster},

	{"hold.go:SetHold", "case h.Why", "is for the server's log"},

	{"credential.go:Credential", "out = Credential{}", "the transaction may run again; all that counts is set anew"},
	{"credential.go:Credential", "case r.Grant == \"\"", words},
	{"credential.go:Credential", "if g.State != access.Active {", "there twice: Show refuses the same, and this says it in better words"},
	{"credential.go:Credential", "out.View = ", "what the answer tells of the grant"},

	{"quarantine.go:BeginRestored", "taken = ", words},
	{"quarantine.go:settleRestored", "why += ", words},
	{"quarantine.go:settleRestored", "done = false", "the transaction may run again; it is set to true at the end alone"},
	{"quarantine.go:settleRestored", "if err != nil || now.Kind != Restored {", "matters if another process ends the quarantine just then; what it saves in its place cannot be read, and so grants nothing"},
	{"quarantine.go:watchQuarantine", "if err != nil || q.Kind != Restored", "spares comparisons; the look after them refuses whatever is not restored, because it lacks records or no witness was asked"},
	{"quarantine.go:watchQuarantine", "compared = ", "spares comparisons"},
	{"quarantine.go:Examine", "", "a doctor's look, which changes nothing"},
	{"quarantine.go:reconcile", "<-sem", "lets so many go at a time"},
	{"quarantine.go:reconcile", "s.Problem = found.Unsure[0]", "there twice: what is unsure counts as unwanted, and this says it in words"},
	{"quarantine.go:LogGap", "", "is read for who asks, and decides nothing"},
	{"quarantine.go:Witnessed", "if known := b.quarantine.Load()", nothing},
	{"quarantine.go:Witnessed", "said = ", words},
	{"quarantine.go:AcceptQuarantine", "case err != nil:", "a store that cannot be read takes no change either"},
	{"quarantine.go:firstOfTwo", "second = false", "the transaction may run again; it is set anew"},
	{"quarantine.go:lift", "if err != nil || q.Kind == \"\"", "matters if two end it in the same moment, and the second would say so twice"},
	{"quarantine.go:lift", "_, err = b.lookAtQuarantine(", "the loop looks each second"},
	{"quarantine.go:unclean", "", words},
	{"quarantine.go:forced", "", words},
}

func excuseFor(file string, d deletion) (excuse, bool) {
	for _, e := range excused {
		if (e.where == file+":"+d.fn || d.over != "" && e.where == file+":"+d.fn+"#"+d.over) && strings.HasPrefix(d.text, e.line) {
			return e, true
		}
	}
	return excuse{}, false
}
