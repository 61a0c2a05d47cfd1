package main

import "strings"

// excuse is a line of protective files whose deletion nothing is to notice; the
// reasons that count are in docs/simulation.md.
type excuse struct {
	where string // "broker/file.go:function", or "broker/file.go:function#xs" in its loops over xs
	// line is how it begins, on one line and if need be with what follows; never empty.
	// All that begin so are excused.
	line string
	why  string
}

// Reasons that several lines have.
const (
	words   = "words what a person reads, and decides nothing"
	lapses  = "saves waiting for a lease that lapses by itself within seconds"
	faster  = "makes it faster; without it the same is done"
	nothing = "spares a look where there is nothing to do"
	labels  = "names the work for tests and traces"
	again   = "the transaction may run again; here it starts anew"
	handsOn = "hands on an error that is there already, as an if err != nil does"
	tells   = "is read for who asks, and decides nothing"
	hint    = "a hint, which may be lost; who waits looks for themselves"
	sooner  = "looks again at once; what is due is looked for each second anyway"
	busy    = "is on the safe side without it: a store that is only busy counts as away, and nothing new is granted"
	twice   = "there twice: "
)

// excused are all of them. One that is not in the source any more is an error.
var excused = []excuse{
	{"broker/provision.go:provisionDue", "b.giveBack(", lapses},
	{"broker/provision.go:makeIt", "said = ce.Message", words},
	{"broker/provision.go:makeIt", "case seen.Presence == connector.Absent:", words},
	{"broker/provision.go:makeIt", "if errors.As(err, &ce) {", "says why, and whether a repeat can help; without it what cannot succeed is tried until the set-up's time is up"},
	{"broker/provision.go:order", "o.Renew = connector.Keep", "no connector renews what was never there: a kindness to those to come"},
	{"broker/provision.go:provisioned", "fx.entitlement(cur.Retry(public(no), now))", "puts the next try off by a moment; provisionDue makes nothing while in doubt, and notes the same"},
	{"broker/provision.go:arrived", "all = []access.Hold{h}", faster},
	{"broker/provision.go:sealFor", "if r.Credential.Empty() {", nothing},
	{"broker/provision.go:sealFor", "sealed[g.ID] = blob", "arrived seals what is not sealed yet, only later"},
	{"broker/provision.go:provisionFailed", "said += ", words},
	{"broker/provision.go:provisionFailed", "cur = cur.LandsBy(", "lets a quarantine end before the time on record, which is the safe one"},

	{"broker/remove.go:removeDue", "b.giveBack(", lapses},
	{"broker/remove.go:removeDue", "ctx = withWork(", labels},
	{"broker/remove.go:takeAway", "ctx = withWork(", labels},
	{"broker/remove.go:removeDue", "letGo()", "ends the renewal of leases at once, and not with the work's own time"},
	{"broker/remove.go:byConnection", "if part[0].Target.Connection.Equal(", "makes one batch of many; one call for each does the same"},
	{"broker/remove.go:byConnection", "parts[i] = append(part, e)", "makes one batch of many; what is left out is taken up with the next look"},
	{"broker/remove.go:keepLeases", "if ctx.Err() != nil {", "two that remove the same thing do what one does"},
	{"broker/remove.go:keepLeases", "<-over", "waits for a renewal that does no harm"},
	{"broker/remove.go:takeAway", "v.said = ", words},
	{"broker/remove.go:takeAway", "case seen[i].Err != nil:", words},
	{"broker/remove.go:takeAway", "case seen[i].Presence == connector.Absent:", words},
	{"broker/remove.go:takeAway", "rs[i].said = said", words},
	{"broker/remove.go:takeAway", "silent = silent ||", "keeps the room for silent targets small; removals elsewhere have their own"},
	{"broker/remove.go:recordRemovals", "case errors.Is(err, access.Pending):", "looks again when the quarantine is over, and not every two seconds"},
	{"broker/remove.go:recordRemovals", "case err != nil:", "cannot be: what was claimed for removal is being removed"},
	{"broker/remove.go:recordRemovals", "stay = append(", lapses},
	{"broker/remove.go:recordRemovals", "if err := tx.Unlease(", lapses},
	{"broker/remove.go:settle", "if len(gone) == 0 {", nothing},
	{"broker/remove.go:finishIfSettled", "if len(ids) == 0 {", nothing},
	{"broker/remove.go:finishIfSettled", "b.lookForResidue(", "the simulated targets keep no residue; internal/broker tests it"},

	{"broker/provision.go:changedBy", "fx.changed = ", "wakes who waits for news, and who looks again anyway"},

	{"broker/end.go:release", "if len(ids) == 0 {", nothing},
	{"broker/end.go:release", "waits[h.Grant] = ", "finishIfSettled looks for itself"},
	{"broker/end.go:release", "if !h.ReleasedAt.IsZero() {", "there twice: a grant ends once, so what it holds is not released before"},
	{"broker/end.go:release#own", "h = newer", "there twice: a grant ends once, so its holds were not changed before"},
	{"broker/end.go:End", "case r.Grant == \"\"", words},
	{"broker/end.go:End", "if g.Over() {", words},

	{"broker/life.go:whileAlive", "if !strings.HasPrefix(", "there twice: vouched is the last look before the call, and refuses the same"},
	{"broker/life.go:whileAlive", "stop()", "lets a call go that is over"},
	{"broker/life.go:Bury", "taken = ", "is for the server's log"},
	{"broker/life.go:inherit", "if err != nil || len(es) == 0 {", nothing},
	{"broker/life.go:inherit", "es[i] = es[i].AllLandBy(", "lets a quarantine end before the time on record, which is the safe one"},
	{"broker/life.go:Hear", "b.watch.changed(", hint},
	{"broker/life.go:Hear", "b.alarm.set(", hint},
	{"broker/life.go:Hear", "b.again.Store(", hint},
	{"broker/life.go:Hear", "b.nudge()", hint},
	{"broker/life.go:tell", "if b.Peers == nil", hint},
	{"broker/life.go:tell", "n.Due = fx.due", hint},
	{"broker/life.go:tell", "b.Peers.Tell(", hint},
	{"broker/life.go:tellAgain", "b.Peers.Tell(", "a hint, which may be lost; every replica decides again once a minute"},
	{"broker/life.go:lookAgain", "if b.Peers != nil && b.Peers.Vouched()", faster},

	{"broker/hold.go:SetHold", "case h.Why", "is for the server's log"},

	{"broker/credential.go:Credential", "out = Credential{}", "the transaction may run again; all that counts is set anew"},
	{"broker/credential.go:Credential", "case r.Grant == \"\"", words},
	{"broker/credential.go:Credential", "if g.State != access.Active {", "there twice: Show refuses the same, and this says it in better words"},
	{"broker/credential.go:Credential", "out.View = ", "what the answer tells of the grant"},

	{"broker/quarantine.go:BeginRestored", "taken = ", words},
	{"broker/quarantine.go:settleRestored", "why += ", words},
	{"broker/quarantine.go:settleRestored", "done = false", "the transaction may run again; it is set to true at the end alone"},
	{"broker/quarantine.go:settleRestored", "if err != nil || now.Kind != Restored {", "matters if another process ends the quarantine just then; what it saves in its place cannot be read, and so grants nothing"},
	{"broker/quarantine.go:watchQuarantine", "if err != nil || q.Kind != Restored", "spares comparisons; the look after them refuses whatever is not restored, because it lacks records or no witness was asked"},
	{"broker/quarantine.go:watchQuarantine", "compared = ", "spares comparisons"},
	{"broker/quarantine.go:Examine", "defer func()", "a doctor's look, which changes nothing"},
	{"broker/quarantine.go:Examine", "<-sem", "a doctor's look, which changes nothing"},
	{"broker/quarantine.go:Examine", "states[i] = PlaceState{", "a doctor's look, which changes nothing"},
	{"broker/quarantine.go:Examine", "err = conn.Claim(", "a doctor's look, which changes nothing"},
	{"broker/quarantine.go:Examine", "states[i].Problem = ", "a doctor's look, which changes nothing"},
	{"broker/quarantine.go:Examine", "<-done", "a doctor's look, which changes nothing"},
	{"broker/quarantine.go:reconcile", "<-sem", "lets so many go at a time"},
	{"broker/quarantine.go:reconcile", "s.Problem = found.Unsure[0]", "there twice: what is unsure counts as unwanted, and this says it in words"},
	{"broker/quarantine.go:LogGap", "err = b.Store.View(", "is read for who asks, and decides nothing"},
	{"broker/quarantine.go:LogGap", "q, err = readQuarantine(", "is read for who asks, and decides nothing"},
	{"broker/quarantine.go:Witnessed", "if known := b.quarantine.Load()", nothing},
	{"broker/quarantine.go:Witnessed", "said = ", words},
	{"broker/quarantine.go:AcceptQuarantine", "case err != nil:", "a store that cannot be read takes no change either"},
	{"broker/quarantine.go:firstOfTwo", "second = false", "the transaction may run again; it is set anew"},
	{"broker/quarantine.go:lift", "if err != nil || q.Kind == \"\"", "matters if two end it in the same moment, and the second would say so twice"},
	{"broker/quarantine.go:lift", "_, err = b.lookAtQuarantine(", "the loop looks each second"},
	{"broker/quarantine.go:unclean", "case q.Kind != Restored", words},
	{"broker/quarantine.go:unclean", "case r.Problem", words},
	{"broker/quarantine.go:unclean", "case r.At", words},
	{"broker/quarantine.go:unclean", "if p.Problem", words},
	{"broker/quarantine.go:unclean", "if p.Unwanted", words},
	{"broker/quarantine.go:forced", "if clean", words},
	{"broker/quarantine.go:forced", "places = append(", words},

	{"broker/sweep.go:watchTargets", "looked.Add(", "gives memory back to the system"},
	{"broker/sweep.go:watchTargets", "debug.FreeOSMemory()", "gives memory back to the system"},
	{"broker/sweep.go:places", "at = nil", again},
	{"broker/sweep.go:places", "known[l] = true", "sweeps a place once and not for each of its resources"},
	{"broker/sweep.go:places", "add(e.Target.Connection)", "what is being removed goes without a sweep; only what else is left at a place that no document names waits until one does"},
	{"broker/sweep.go:Sweep", "case !ok:", "words it: a resource that is not there has no connector"},
	{"broker/sweep.go:done", "l.at = ", tells},
	{"broker/sweep.go:sweep", "ctx = withWork(", labels},
	{"broker/sweep.go:sweep", "if !ok { return found, call.Err()", "the time is over, and so is the call that follows"},
	{"broker/sweep.go:suspect", "suspects = suspects[:n]", again},
	{"broker/sweep.go:judge", "found.Foreign, found.Unsure", again},
	{"broker/sweep.go:judge", "found.Unsure = append(found.Unsure, name+\": it is removed after", "tells who sweeps; the next sweep finds it"},
	{"broker/sweep.go:unwanted", "case err != nil:", handsOn},
	{"broker/sweep.go:unwanted", "case e.State != access.Gone:", "there twice: Again orders nothing that is not gone"},
	{"broker/sweep.go:unwanted", "if !ok { return finding{}, nil", "there twice: what comes here is gone, and Again orders it"},

	{"broker/start.go:carryOut", "case err != nil:", handsOn},
	{"broker/start.go:beingRemoved", "if g.Permissions.Mechanism == access.Account", "spares a look: what shares nothing with anybody is never found"},
	{"broker/start.go:intend", "case err != nil:", handsOn},
	{"broker/start.go:begin", "case err != nil:", handsOn},
	{"broker/start.go:begin", "fx.grant(g.Defer(tx.Now())) return nil } lasting", "looks again a moment later, and not at once"},
	{"broker/start.go:lengthen", "whole.Duration = ", "is on the safe side without it: what was asked for is never less than what came of it"},
	{"broker/start.go:stillAllowed", "if err := who.Usable(", "there twice: policy denies who is disabled or has ended"},
	{"broker/start.go:stillAllowed", "case err != nil:", handsOn},
	{"broker/start.go:recount", "case missing(err):", "is on the safe side without it; and nobody's row is ever deleted"},
	{"broker/start.go:recount", "case err != nil:", handsOn},
	{"broker/start.go:denied", "e = e.Because(", words},
	{"broker/start.go:public", "if e.Why != ", words},

	{"broker/eligibility.go:watchEligibility", "case err != nil:", "without it all is decided again at the next look, which does no harm"},
	{"broker/eligibility.go:watchEligibility", "case version != dealtWith:", "decides all again at each look, and not once a minute"},
	{"broker/eligibility.go:watchEligibility", "dealtWith, at, hurry = ", "decides all again at each look, and not once a minute"},
	{"broker/eligibility.go:watchEligibility", "pace = ", faster},
	{"broker/eligibility.go:rested", "if !idle(b.glances.newest.Load())", "sleeps on where nothing lasts and nothing changed"},
	{"broker/eligibility.go:rested", "t.Reset(recheckEvery - ", "keeps loops apart"},
	{"broker/eligibility.go:Reconsider", "b.tellAgain()", "a hint, which may be lost; every replica decides again once a minute"},
	{"broker/eligibility.go:decideAgain", "differ = nil", again},
	{"broker/eligibility.go:decideAgain", "tx = &knowing{", faster},
	{"broker/eligibility.go:decideAgain", "lost = err", "what the store did not take is found again within a minute, and not at once"},
	{"broker/eligibility.go:decideAgain", "if lost != nil", "what the store did not take is found again within a minute, and not at once"},
	{"broker/eligibility.go:decideAgain", "if rests && !pause(", "leaves half of a processor to others"},
	{"broker/eligibility.go:Principal", "if p, ok := k.people[id]; ok", faster},
	{"broker/eligibility.go:Principal", "k.people[id] = p", faster},
	{"broker/eligibility.go:endUnlessAllowed", "case !g.Live():", "there twice: what has ended, or is ending, is not ended again (access.Grant.End)"},
	{"broker/eligibility.go:endUnlessAllowed", "case no == nil:", "matters if it is allowed again between two looks; what is done then is to ask again"},

	{"broker/revoke.go:revokeSome", "few = 1", "tells the store how much is to come"},
	{"broker/revoke.go:revokeSome", "ended, more = nil", again},
	{"broker/revoke.go:known", "case err == nil:", "the next case hands the same nil on"},
	{"broker/revoke.go:known", "case !missing(err):", handsOn},
	{"broker/revoke.go:selected", "err = errNotFound", words},

	{"broker/decide.go:Vote", "if _, err := b.documents(tx)", "is on the safe side without it: the yes counts, and the grant fails for want of a policy"},

	{"broker/submit.go:Extend", "case missing(err):", words},
	{"broker/submit.go:Extend", "case err != nil:", handsOn},
	{"broker/submit.go:Extend", "case g.Principal != c.Principal.ID:", "there twice: a grant is extended by its own principal's request alone (access.Grant.Extend)"},
	{"broker/submit.go:Extend", "case g.State != access.Active", "there twice: only a grant that is active is extended (access.Grant.Extend)"},
	{"broker/submit.go:Extend", "case a.Duration <= 0:", "there twice: nobody may ask for so little (access.Submit)"},
	{"broker/submit.go:Extend", "case a.Duration > access.MaxDuration:", "there twice: nobody may ask for so much (access.Submit)"},
	{"broker/submit.go:submit", "v = View{}", again},
	{"broker/submit.go:submit", "fx.met = append(", "what a grant is known ahead by until the next reading, seconds later"},
	{"broker/submit.go:submit", "err = p.Usable(", "there twice: policy denies who is disabled or has ended"},
	{"broker/submit.go:recall", "if a.Key == ", "there twice: what has no key is not remembered"},
	{"broker/submit.go:recall", "case err != nil:", handsOn},
	{"broker/submit.go:Preview", "as = c.Principal.ID", tells},
	{"broker/submit.go:Preview", "err = b.Store.View(", tells},
	{"broker/submit.go:Preview", "if _, err := set.Resolve(", tells},
	{"broker/submit.go:Preview", "x = set.Explain(", tells},

	{"broker/beat.go:beats", "err = b.Store.View(", "spares a change where a look is enough"},
	{"broker/beat.go:beats", "p, err = readBeats(", "spares a change where a look is enough"},
	{"broker/beat.go:beats", "if err != nil || p.Next != ", "spares a change where a look is enough"},
	{"broker/beat.go:beats", "now = tx.Now()", twice + "the look a moment before says what time it is, and so does the change"},
	{"broker/beat.go:beats", "err = b.Store.Update(", twice + "beaten makes a next beat, too; without it the first one is empty, and the second, a minute later, is not"},
	{"broker/beat.go:beats", "if p, err = readBeats(", "matters if two make the first beat at once: none is left on a target before it was read again"},
	{"broker/beat.go:beats", "p.Next, p.At = ", twice + "beaten makes a next beat, too; without it the first one is empty, and the second, a minute later, is not"},
	{"broker/beat.go:beaten", "if err != nil || p.Next != beat", "who records a beat that is recorded makes another next one, and that does no harm"},
	{"broker/beat.go:beaten", "p.Known = p.Known[max(", "bounds what is kept"},

	{"broker/due.go:watchDue", "batch, again = ", faster},
	{"broker/due.go:watchDue", "batch = firstBatch", faster},
	{"broker/due.go:watchDue", "again = ", "how soon what did not go through is looked at again, within a third of a second"},
	{"broker/due.go:watchDue", "b.alarm.set(d.now.Add(", sooner},
	{"broker/due.go:lookForDue", "whole = true", "where a glance is taken nothing is due; who cannot take one looks again a moment later"},
	{"broker/due.go:lookForDue", "case err != nil && whole", "where a glance is taken nothing is due; who cannot take one looks again a moment later"},
	{"broker/due.go:lookForDue", "err = nil", "where a glance is taken nothing is due; who cannot take one looks again a moment later"},
	{"broker/due.go:lookForDue", "seen, err = b.glanceAt(", "saves other loops their look; without it each looks for itself"},
	{"broker/due.go:lookForDue", "b.glances.failed.Store(", "spares looks that fail"},
	{"broker/due.go:lookForDue", "case err == nil && seen != nil:", "saves other loops their look; without it each looks for itself"},
	{"broker/due.go:lookForDue", "b.glanced(", "saves other loops their look; without it each looks for itself"},
	{"broker/due.go:doDue", "b.alarm.set(", sooner},
	{"broker/due.go:inBatches", "over()", "lets a timer go"},
	{"broker/due.go:inBatches", "case err == nil:", "does again what is done, which changes nothing"},
	{"broker/due.go:inBatches", "case errors.Is(err, errNotOurs):", "asks again in halves, and is told the same"},
	{"broker/due.go:yields", "*y = yielded{", "is on the safe side without it: who yields to nobody ends what is due"},
	{"broker/due.go:expireGrants", "case err != nil:", handsOn},
	{"broker/due.go:expireGrants", "case !mine && ", "is on the safe side without it: who yields to nobody ends what is due"},
	{"broker/due.go:expireRequests", "if errors.Is(err, access.Conflict) {", twice + "a batch that fails is halved, down to the one that was decided meanwhile"},
	{"broker/due.go:timesUp", "if e.LastError != ", words},
	{"broker/due.go:timesUp", "note += ", words},

	{"broker/target.go:ResealCredential", "c.Sealed = sealed", "for the change of keys while nothing runs; cmd/stintd tests it"},
	{"broker/target.go:put", "delete(l.m, n)", "bounds what is kept"},
	{"broker/target.go:put", "l.m[name] = c", faster},
	{"broker/target.go:target", "case err != nil:", "is on the safe side without it: the login that was not read fits no address"},
	{"broker/target.go:target", "c.until = ", faster},
	{"broker/target.go:target", "b.logins.put(", faster},
	{"broker/target.go:ForgetLogin", "b.ahead.forget(", "drops a login that nothing uses: it is deleted only when nothing depends on it"},
	{"broker/target.go:ForgetLogin", "b.examine.poke()", hint},
	{"broker/target.go:claim", "if ok {", faster},
	{"broker/target.go:claimAnew", "b.claims.m[place] = ", faster},
	{"broker/target.go:SetCredential", "case !missing(err):", handsOn},

	{"broker/effects.go:request", "fx.changed = ", hint},
	{"broker/effects.go:request", "fx.dueAt(", sooner},
	{"broker/effects.go:grant", "fx.changed = ", hint},
	{"broker/effects.go:grant", "fx.dueAt(", sooner},
	{"broker/effects.go:dueAt", "fx.due = t", sooner},
	{"broker/effects.go:commit", "if err := tx.SaveResidues(", "the simulated targets keep no residue; internal/broker tests it"},
	{"broker/effects.go:commit", "if slices.Contains(fx.mine, e.ID) {", "sends a lane that finds nothing: it is leased"},
	{"broker/effects.go:commit", "fx.dueAt(", sooner},
	{"broker/effects.go:commit", "fx.kick[", sooner},
	{"broker/effects.go:hurry", "if len(ids) == 0 {", nothing},
	{"broker/effects.go:update", "case storeFailed(err):", "has the store read ahead again within a second, and not within five"},
	{"broker/effects.go:update", "b.ahead.doubted()", "has the store read ahead again within a second, and not within five"},
	{"broker/effects.go:view", "r = newer", tells},
	{"broker/effects.go:removalsFirst", "case a.Removals", "keeps one order in which goroutines start"},
	{"broker/effects.go:after", "b.watch.changed(", hint},
	{"broker/effects.go:after", "b.pulse.wake()", hint},
	{"broker/effects.go:after", "b.alarm.set(", sooner},
	{"broker/effects.go:after", "b.tell(", hint},
	{"broker/effects.go:after", "b.lanes.kick(", sooner},

	{"broker/journal.go:jot", "if len(es) == 0 {", nothing},
	{"broker/journal.go:endTakenAway", "if err != nil || !known ", twice + "nobody holds what is being removed, or is not there"},
	{"broker/journal.go:endTakenAway", "case !g.Live() || ", twice + "who does not live holds nothing, nor who is to begin"},
	{"broker/journal.go:renew", "if err != nil || !known {", twice + "what is not there is not renewed (access.Entitlement.Renewed)"},

	{"broker/revokeaway.go:revokeAway", "b.pulse.away.CompareAndSwap(", "a change has failed, so that it is found out within a second"},
	{"broker/revokeaway.go:revokeAway", "b.wakeAway()", "who ends without the store looks each second anyway"},
	{"broker/revokeaway.go:revokeAway", "if more {", "matters beyond the 4096 grants that are known ahead; internal/broker tests what tells it"},
	{"broker/revokeaway.go:readSelected", "ids, next = nil,", again},
	{"broker/revokeaway.go:join", "a.logins[name] = ", twice + "the first call to the target reads the login and keeps it"},

	{"broker/away.go:Update", "p.heard(", busy},
	{"broker/away.go:Update", "p.wrote.Store(", busy},
	{"broker/away.go:Update", "p.wake()", "what is late without the store is looked for each second anyway"},
	{"broker/away.go:View", "p.heard(", busy},
	{"broker/away.go:heard", "p.worked.Store(", busy},
	{"broker/away.go:heard", "p.overslept.Store(", busy},
	{"broker/away.go:slept", "p.overslept.Store(", busy},
	{"broker/away.go:watchStore", "probed = ", "how often a store is asked"},
	{"broker/away.go:watchStore", "wait = min(", faster},
	{"broker/away.go:watchStore", "t.Reset(", "what is late without the store is looked for each second anyway"},
	{"broker/away.go:lookAhead", "b.goneAway(", twice + "what is late has the store asked for a change, which finds out the same"},
	{"broker/away.go:probe", "begun, within = ", busy},
	{"broker/away.go:probe", "case ctx.Err() != nil || ", busy},
	{"broker/away.go:probe", "b.alarm.set(", sooner},
	{"broker/away.go:goneAway", "b.pulse.wake()", "what is late without the store is looked for each second anyway"},
	{"broker/away.go:remember", "if journal == known {", "spares reading what was read"},
	{"broker/away.go:watchAway", "wait = max(", "bounds how often it looks"},
	{"broker/away.go:watchAway", "b.lookAhead(", "for a machine that stood still, while the seeds alone can make processes stand still"},
	{"broker/away.go:inParts", "parts, part = ", "bounds how many go in one call"},
	{"broker/away.go:endAway", "gone++", "is for the server's log"},
	{"broker/away.go:endAway", "b.wakeAway()", "who ends without the store looks each second anyway"},
	{"broker/away.go:spoil", "rs[i].said = ", words},
	{"broker/away.go:spoil", "silent = silent ||", "keeps the room for silent targets small; removals elsewhere have their own"},
	{"broker/away.go:Outage", "o.Ahead, o.Truncated = ", tells},
	{"broker/away.go:Outage", "o.Waiting, o.Journal = ", tells},
}

// excuseFor finds the excuse of a deletion in a file, "broker/end.go".
func excuseFor(file string, d deletion) (excuse, bool) {
	for _, e := range excused {
		if (e.where == file+":"+d.fn || d.over != "" && e.where == file+":"+d.fn+"#"+d.over) && (strings.HasPrefix(d.text, e.line) || strings.HasPrefix(d.whole, e.line)) {
			return e, true
		}
	}
	return excuse{}, false
}
