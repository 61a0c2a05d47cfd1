package main

// mutant is the product with one bug: an edit of the source, which must still be
// there word for word.
type mutant struct {
	name  string
	from  string // what it re-creates: an incident, a threat (T-…), or the mitigation that it takes away
	edits []edit
}

// edit replaces a text that stands exactly once in a file.
type edit struct{ file, old, new string }

func one(file, old, new string) []edit { return []edit{{file, old, new}} }

const (
	brk = "internal/broker/"
	acc = "internal/access/"
)

// mutants are planted bugs in the ways that every request goes. Each must make a
// simulation red.
var mutants = []mutant{
	// Intent, act, outcome.
	{"act-before-intent", "T-17: the target is called before the intent is committed", one(brk+"effects.go",
		"\t\treturn fx.commit(tx, b)\n", "\t\tif err := fx.commit(tx, b); err != nil {\n\t\t\treturn err\n\t\t}\n\t\tb.lanes.take(fx)\n\t\treturn nil\n")},
	{"random-names", "T-18: every try has a name of its own, so a repeat finds nothing", one(brk+"provision.go",
		"Entitlement: e.ID, Tag: e.Tag,", "Entitlement: e.ID, Tag: access.Tag(b.Tagger.Tag(b.Installation, string(e.Target.Connection.Place()), b.Epoch, string(access.NewEntitlementID(1, b.entropy())))),")},
	{"no-sweep", "ontos #682, TEAM #149: what no row knows stays for ever", one(brk+"broker.go", "b.watchTargets, ", "")},
	{"quarantine-off", "T-18: absent counts as gone while a create may still land", one(acc+"entitlement.go",
		"return now.Before(e.CallUntil)", "return false")},
	{"lost-call-forgotten", "T-18: a success makes earlier calls known that are not", one(acc+"entitlement.go",
		"max(e.Confirmed, rev), e.LostUntil, 0, \"\"", "max(e.Confirmed, rev), time.Time{}, 0, \"\"")},
	{"lease-too-short", "T-18: the lease ends before the call it is for", one(brk+"provision.go",
		"tx.Claim(w, owner, now.Add(leaseFor), perPlace)", "tx.Claim(w, owner, now.Add(time.Millisecond), perPlace)")},

	// The end.
	{"expiry-never-looked-for", "CVE-2020-25816: leases outlive their time, because no code path schedules their end", one(brk+"due.go",
		"return inBatches(ctx, b, \"ending grants\", over, b.expireGrants) > 0", "return inBatches(ctx, b, \"ending grants\", over[:0], b.expireGrants) > 0")},
	{"zero-is-forever", "CVE-2021-32923: a time that rounds to zero means no end", one(acc+"grant.go",
		"return !due.IsZero() && g.State != Scheduled && !now.Before(due)", "return !due.IsZero() && g.State != Scheduled && !now.Before(due) && g.Duration/time.Minute != 0")},
	{"give-up-after-six", "OpenBao maxRevokeAttempts: after six attempts the lease is forgotten", one(brk+"remove.go",
		"v := byID[e.ID]\n\t\t\tnext, ev, err := e.Vanish", "v := byID[e.ID]\n\t\t\tv.gone = v.gone || e.Attempts >= 6\n\t\t\tnext, ev, err := e.Vanish")},
	{"retry-once-a-day", "OpenBao irrevocable leases: tried again after a day", one(acc+"entitlement.go",
		"return min(30*time.Second, 50*time.Millisecond<<min(attempts, 10))", "return 24 * time.Hour")},
	{"delete-before-revoke", "Vault, old versions: the entry is deleted although the lease was not revoked", one(brk+"remove.go",
		"v := verdict{gone: seen[i].Gone() || neverMade(es[i], seen[i])}", "v := verdict{gone: true}")},
	{"trust-success", "a target said done and did nothing: no read-back of a removal", one(brk+"remove.go",
		"seen := conn.Verify(call, t, orders)\n", "seen := make([]connector.Observation, len(orders))\n\tfor i := range seen {\n\t\tif steps[0][i].Err == nil && steps[2][i].Err == nil {\n\t\t\tseen[i].Presence = connector.Absent\n\t\t}\n\t}\n")},
	{"sessions-survive", "T-22, Vault #1857: sessions outlive the account", one(brk+"remove.go",
		"{conn.Revoke(call, t, orders), conn.TerminateSessions(call, t, orders)}", "{conn.Revoke(call, t, orders), conn.Revoke(call, t, orders)}")},
	{"absent-is-enough", "T-22: gone is said although sessions are open", one("internal/connector/connector.go",
		"return o.Presence == Absent && o.Sessions == 0", "return o.Presence != Present")},
	{"no-revoke", "the credential works until the account can be removed", one(brk+"remove.go",
		"{conn.Revoke(call, t, orders), conn.TerminateSessions", "{conn.TerminateSessions(call, t, orders), conn.TerminateSessions")},
	{"finish-early", "a grant is said to have ended while something of it is left", one(brk+"remove.go",
		"if g.State != access.Ending || open[g.ID] {", "if g.State != access.Ending {")},
	{"removal-lane-dies", "Vault #4751: a worker that fails is not started again", one(brk+"lanes.go",
		"l.mu.Lock()\n\t\tif !found && !x.again || ctx.Err() != nil {", "l.mu.Lock()\n\t\tif !found && !x.again && !w.Removals || ctx.Err() != nil {")},
	{"expiry-by-this-replica-only", "#3860: what another replica made is not found by looking", one(brk+"due.go",
		"if d.work, err = tx.DueWork(); err != nil {", "if _, err = tx.DueWork(); err != nil {")},

	// Sharing.
	{"holds-never-reach-zero", "T-19: the last holder who leaves is not the last", one(brk+"end.go",
		"stay[h.Entitlement]--", "_ = stay[h.Entitlement]")},
	{"first-leaver-removes", "T-19: who leaves takes it from those who stay", one(brk+"end.go",
		"e, h, ev, changed := e.Release(h, stay[h.Entitlement], tx.Now())", "e, h, ev, changed := e.Release(h, 0, tx.Now())")},
	{"no-rotation-on-leave", "I-24: who leaves keeps the password of a shared account", one(acc+"entitlement.go",
		"case others > 0 && e.Mechanism.Common():", "case others > 100 && e.Mechanism.Common():")},
	{"exclusive-ignored", "Q-10: an account for one person at a time is lent to two", one(acc+"entitlement.go",
		"case e.Exclusive || g.Permissions.Exclusive:", "case false:")},
	{"standing-right-removed", "T-19: a right that was there before is treated as ours", one(acc+"entitlement.go",
		"e.Observed, e.Before, e.Existing = true, before, existing", "e.Observed, e.Before, e.Existing = true, \"\", false")},
	{"before-not-kept", "T-19: the state before is lost, and settings are not put back", one(brk+"provision.go",
		"ExpiresAt: e.ExpiresAt, Before: e.Before,", "ExpiresAt: e.ExpiresAt,")},

	// What is granted.
	{"duration-overwritten", "Teleport PR #39548: one hour was asked, twelve were given", one(acc+"grant.go",
		"d = min(d, r.Decision.MaxDuration)", "d = r.Decision.MaxDuration")},
	{"end-after-duration", "Teleport #49403: the end is not the beginning and the duration", one(acc+"grant.go",
		"end = earlier(now.Add(g.Duration), end)", "end = earlier(now.Add(2*g.Duration), end)")},
	{"extension-without-cap", "T-27: extensions add up past the cap", []edit{
		{acc + "grant.go", "if total > ext.Decision.MaxDuration || total > MaxDuration {", "if total > MaxDuration {"},
		{brk + "submit.go", "whole.Duration = g.ExpiresAt.Add(a.Duration).Sub(g.ActiveAt).Truncate(time.Millisecond)", "whole.Duration = a.Duration"}}},
	{"extension-used-twice", "T-27: one approval extends a grant again and again", one(acc+"grant.go",
		"g.ExpiresAt = g.ExpiresAt.Add(d)\n\tg.Duration += d", "g.ExpiresAt = g.ExpiresAt.Add(2 * d)\n\tg.Duration += 2 * d")},
	{"extension-not-on-target", "the target's own expiry ends what was extended", one(brk+"start.go",
		"return r, b.raise(tx, fx, g)", "return r, nil")},
	{"no-native-expiry", "the dead-man's switch on the target is not set", one(brk+"provision.go",
		"ExpiresAt: e.ExpiresAt, Before:", "ExpiresAt: e.ExpiresAt.Add(1000 * time.Hour), Before:")},
	{"provisioning-not-verified", "TEAM #522: the target said yes, and it never happened", one(brk+"provision.go",
		"switch seen := conn.Verify(ctx, t, []connector.Order{o})[0]; {", "switch seen := (connector.Observation{Presence: connector.Present}); {")},
	{"expiry-moved-by-policy-edit", "T-33, I-13: an edit of policy moves the end of live grants", []edit{
		{brk + "eligibility.go", "no != nil || lasting != g.Conditional {", "no != nil || lasting != g.Conditional || set.Version() != g.Documents {"},
		{brk + "eligibility.go", "case no == nil && lasting != g.Conditional:\n", "case no == nil && g.State == access.Active && set.Version() != g.Documents:\n\t\t\t\tg.Documents, g.ExpiresAt = set.Version(), tx.Now().Add(time.Second)\n\t\t\t\tfx.grant(g)\n\t\t\tcase no == nil && lasting != g.Conditional:\n"}}},

	// Who decides.
	{"digest-not-compared", "T-05: what is approved is not what was shown", one(acc+"approval.go", "case v.Seen != r.Digest:", "case false:")},
	{"own-request-approved", "T-01, Teleport #7663: who asks approves", one(acc+"approval.go",
		"case voter.Person == r.Person || voter.Person == \"\":", "case voter.Person == \"\":")},
	{"one-approval-is-enough", "T-03: two were needed, one was enough", one(acc+"approval.go",
		"for range q.Count {", "for range min(q.Count, 1) {")},
	{"anybody-approves", "CVE-2025-62712: no check who may decide", []edit{
		{acc + "approval.go", "if err := r.mayVote(as, open); err != nil {", "if err := r.mayVote(as, open); err != nil && voter.ID == \"\" {"},
		{acc + "approval.go", "if a.Meets = r.inStages(r.meets(r.asking(r.Decision.Approvals), as, a.counts(a.Level)), open, open); a.Approve", "if a.Meets = []int{0}; a.Approve"}}},
	{"approval-widens", "T-08: the shorter time that an approver left is not heeded", one(acc+"approval.go",
		"d = min(d, a.Duration)", "d = max(d, a.Duration)")},
	{"not-decided-again", "T-09: policy and people changed between the request and its approval", one(brk+"start.go",
		"lasting, no := b.stillAllowed(tx, fx, set, g, policy.AtActivation)\n\t\tif no = errors.Join(b.freshStill(tx, set, g.Principal, g.Emergency), no); no != nil {", "lasting, no := b.stillAllowed(tx, fx, set, g, policy.AtActivation)\n\t\tif no = nil; no != nil {")},
	{"eligibility-never-again", "T-36: groups, policy and users are looked at once", one(brk+"broker.go", "b.watchEligibility, ", "")},
	{"new-version-ignored", "T-33: new documents count for new requests only", one(brk+"eligibility.go",
		"Conditional: now.Version() == dealtWith,", "Conditional: true,")},
	{"policy-error-allows", "T-34: when policy says no, it goes on", one(brk+"start.go",
		"if d.Effect == access.Deny {\n\t\t\treturn false, denied(d)", "if d.Effect == access.Deny && p != policy.Alive {\n\t\t\treturn false, denied(d)")},
	{"disabled-user-keeps-grant", "Q-07, TEAM: a user is disabled, and the access stays", one(brk+"people.go",
		"q := access.GrantQuery{Principal: id, States: live, Limit: dueBatch}", "q := access.GrantQuery{Principal: id + \"-\", States: live, Limit: dueBatch}")},
	{"disabled-user-may-ask", "Q-07: who is disabled gets new access", one(acc+"principal.go", "if p.Disabled {", "if false {")},
	{"stop-switch-ignored", "Let's Encrypt 2020: stop issuing must stop it", one(brk+"revoke.go", "if s.Stopped {", "if false {")},
	{"asked-twice-granted-twice", "I-28: a repeated call makes a second request", []edit{
		{brk + "submit.go", "if known, err := b.recall(tx, c, a); err != nil || known != \"\" {", "if known, err := \"\", error(nil); err != nil || known != \"\" {"},
		{brk + "submit.go", "if a.Key != \"\" {\n\t\t\tif err := tx.Remember", "if false {\n\t\t\tif err := tx.Remember"}}},
	{"exposed-key-ends-nothing", "revoke says done, and the grant goes on", one(brk+"revoke.go",
		"ended, err = b.endGrants(tx, fx, gs, access.ByPerson, why, c.Actor)", "_, err = b.endGrants(tx, &effects{}, gs, access.ByPerson, why, c.Actor)")},

	// The record.
	{"removal-not-recorded", "I-15: a change without its record", one(brk+"remove.go",
		"default:\n\t\t\t\tfx.event(ev)\n\t\t\t\tgone = append(gone, e.ID)", "default:\n\t\t\t\t_ = ev\n\t\t\t\tgone = append(gone, e.ID)")},
	{"recorded-twice", "I-15: two records of one change", one(brk+"end.go", "\t\tfx.event(ev)\n\t\tfx.grant(g)\n\t\tfx.drop", "\t\tfx.event(ev, ev)\n\t\tfx.grant(g)\n\t\tfx.drop")},
	{"shown-and-not-recorded", "OpenBao's own rule: log before the client gets a secret", one(brk+"credential.go", "\t\tfx.grant(g)\n\t\tfx.event(ev)\n", "\t\t_ = ev\n")},
	{"log-not-in-transaction", "I-15: the change is committed and its record is not", one(brk+"effects.go",
		"return tx.Append(fx.events...)", "_ = tx.Append(fx.events[:len(fx.events)/2]...)\n\treturn nil")},
}
