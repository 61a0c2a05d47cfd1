package main

import "slices"

const clk = "internal/clock/"

// held are planted bugs in what holds back, fences and keeps apart: most of them
// show only in a situation of their own, for which the simulation has a story.
var held = []mutant{
	// Something is in doubt.
	{"hold-ignored", "fail-closed table: the log's disk is full, and grants go on", one(brk+"broker.go", "if err := b.holds.refuse(); err != nil {", "if err := b.holds.refuse(); err != nil && tx == nil {")},
	{"doubt-ignored", "T-37: the log does not add up, and grants go on when something else is well again", one(brk+"hold.go", "delete(b.holds.why, name)", "clear(b.holds.why)")},
	{"certain-ignored", "T-26: the clock is in doubt, and grants go on", one(brk+"broker.go", "\treturn tx.Certain()\n", "\treturn nil\n")},
	{"slowed-while-live", "T-26: a clock that is behind is accepted while somebody has access, which then ends late", one(brk+"time.go", "if st.Ahead >= 0 {\n\t\treturn nil\n\t}\n\tlive, err", "if st.Ahead != 0 {\n\t\treturn nil\n\t}\n\tlive, err")},
	{"activated-in-doubt", "T-26: what was being made when the clock went wrong becomes active", []edit{
		{brk + "provision.go", "if no := tx.Certain(); no != nil && cur.State == access.Intended {", "if no := tx.Certain(); no != nil && cur.State == access.Gone {"},
		{brk + "provision.go", "if tx.Certain() != nil {\n\t\treturn nil // the due loop", "if false {\n\t\treturn nil // the due loop"}}},
	{"shown-in-doubt", "T-37: a credential is shown although the log is in doubt", one(brk+"credential.go", "if err := b.certain(tx); err != nil {", "if err := b.certain(tx); err != nil && c.Principal.Admin {")},

	// Restored data, data that looks old.
	{"quarantine-not-asked", "T-25: a restored backup grants at once", one(brk+"quarantine.go", "if known.Kind == \"\" {\n\t\treturn nil\n\t}\n\treturn access.Fail", "if known.Kind == \"\" || known.Kind != Unreadable {\n\t\treturn nil\n\t}\n\treturn access.Fail")},
	{"restored-grants-live", "T-25: a restored backup brings grants back that have ended", one(brk+"quarantine.go", "if err == nil && q.Kind == Restored && !q.Settled {", "if err == nil && q.Kind == LooksOld && !q.Settled {")},
	{"lost-records-accepted", "T-39: the log lacks what a witness has seen, and nobody is asked", one(brk+"quarantine.go", "if !r.Clean() || q.Lost > 0 || !q.Compared || ctx.Err() != nil {", "if !r.Clean() || ctx.Err() != nil {")},
	{"one-administrator-is-enough", "T-61: what takes two persons takes one who says it twice", one(brk+"quarantine.go", "now.First != \"\" && slices.ContainsFunc(ps, said); second {", "now.First != \"\" && said != nil; second {")},
	{"fork-not-noticed", "T-39: the data is older than a witness knows, and grants go on", one(brk+"quarantine.go", "case q.Kind != \"\" || lost == 0:", "case q.Kind != \"\" || lost >= 0:")},

	// Whose target it is, and whose leftovers.
	{"claim-not-asked", "T-19: it makes things on a target that somebody else claims", one(brk+"provision.go", "if err := b.claim(ctx, conn, t); err != nil {", "if err := b.claim(ctx, conn, t); err != nil && e.Target.Account == \"-\" {")},
	{"claim-stops-the-end", "T-14: who forges a claim keeps their access", one(brk+"remove.go", "leave, ok := b.lanes.removing.enter(call, at.Place())\n", "if err := conn.Claim(call, t, t.Claim); err != nil {\n\t\treturn fail(public(err))\n\t}\n\tleave, ok := b.lanes.removing.enter(call, at.Place())\n")},
	{"sweep-not-alone", "T-25: a staging copy of the database was pointed at production, and swept it", one(brk+"sweep.go", "if !j.alone {", "if !j.alone && a.Account == \"\" {")},
	{"copy-makes-things", "T-25: a staging copy works on the targets of the original", one(brk+"beat.go", "if why, lost := c.lost[place]; lost {", "if why, lost := c.lost[place]; lost && why == \"\" {")},
	{"beat-not-compared", "T-25: a copy does not notice that the beat is not its own", one(brk+"beat.go", "return beat == \"\" || beat == p.Next || slices.Contains(p.Known, beat)", "return true")},
	{"no-budget", "T-25: a sweep over restored data removes everything", one(brk+"sweep.go", "if n > budget {", "if n > budget+1000 {")},
	{"budget-of-zero", "TEAM #149: a sweep finds orphans, and never removes one", one(brk+"quarantine.go", "\treturn SweepBudget\n", "\treturn 0\n")},
	{"foreign-told-at-first-only", "I-23: what is not ours under our name is told at the first attempt alone, and never after another failure", one(brk+"remove.go", "v.foreign && e.LastError != v.said", "v.foreign && e.Attempts == 0")},
	{"foreign-is-ours", "I-23: what only looks like ours is removed", one(brk+"sweep.go", "if !ok {\n\t\treturn finding{kind: foreign, said: \"it looks like ours and its tag is not\"}, nil\n\t}", "if !ok {\n\t\tid, epoch = string(access.NewEntitlementID(now.UnixMilli(), b.entropy())), b.Epoch\n\t}")},

	// Replicas.
	{"no-fence", "T-18, split brain: a replica that was taken for dead goes on making things", one(brk+"life.go", "stop := context.AfterFunc(l.over, cancel)", "stop := context.AfterFunc(l.over, func() {})")},
	{"vouched-by-itself", "T-18, split brain: a replica that the others have lost makes things", one(brk+"life.go", "(!l.known.Load() || b.Peers.Vouched()) {", "(!l.known.Load() || b.Peers != nil) {")},
	{"takes-from-the-living", "T-18: two replicas do one thing: the leases of one that lives are broken", one(brk+"life.go", "if err != nil || !dead {\n\t\t\treturn err\n\t\t}\n\t\tes, err := tx.TakeBack(name", "if err != nil || dead && name == \"\" {\n\t\t\treturn err\n\t\t}\n\t\tes, err := tx.TakeBack(name")},
	{"never-taken-over", "#3860: what a dead replica was doing waits for its leases", one(brk+"life.go", "es, err := tx.TakeBack(name, \"\")", "es, err := tx.TakeBack(name+\"-\", \"\")")},
	{"takeover-without-quarantine", "T-18: what a dead replica sent may land after its absence was believed", one(brk+"life.go", "fx.entitlement(e.LandsBy(tx.Now().Add(callSlack)).AwaitLost())", "fx.entitlement(e.LandsBy(tx.Now()))")},
	{"quarantine-without-late", "T-18: a call without an outcome may land after its absence was believed", one(brk+"provision.go", "cur = cur.LandsBy(tx.Now().Add(callSlack)) // the call is over", "cur = cur.LandsBy(tx.Now()) // the call is over")},
	{"inherits-too-much", "T-18: after a restart, calls of the process before are thought to be over", one(brk+"life.go", "es[i] = es[i].AllLandBy(tx.Now().Add(connector.Late + onTheWay))", "es[i] = es[i].AllLandBy(tx.Now())")},

	// Without the store.
	{"away-and-granting", "fail-closed table: the store takes one change and refuses the next, and grants go on", one(brk+"broker.go", "if b.pulse.isAway() {\n\t\treturn access.Fail", "if b.pulse.isAway() && tx == nil {\n\t\treturn access.Fail")},
	{"others-lose-it-too", "T-19: without the store, who leaves takes it from those who stay", one("internal/ahead/ahead.go", "if first || h.end.After(remove) {\n\t\t\tremove = h.end", "if first || h.end.Before(remove) {\n\t\t\tremove = h.end")},
	{"nothing-ends-without-the-store", "T-14: the database is down, and access goes on", one(brk+"away.go", "t := b.ahead.Take()", "t := b.ahead.Take()\n\t\t\tt.Removals, t.Spoilings = nil, nil")},
	{"unheard-not-away", "fail-closed table: the standby is gone, commits hang, and the store counts as well because it can be read", one(brk+"away.go", "isSlow(within, begun, &b.pulse.wrote)", "isSlow(within, begun, &b.pulse.worked)")},
	{"journal-merged-twice", "I-15: what was done without the store is in the log twice", one(brk+"journal.go", "tx.SaveSetting(name, strconv.AppendUint(nil, max(n-1, done), 10))", "tx.SaveSetting(name, strconv.AppendUint(nil, max(0, done), 10))")},
	{"revoked-and-forgotten", "T-14: a revocation without the store is forgotten when the process dies", one(brk+"away.go", "b.ahead.EndNow(e.Grants)", "_ = e.Grants")},
	{"journal-never-merged", "T-14: what was revoked without the store is live again when it is back", one(brk+"journal.go", "_, err = b.endGrants(tx, fx, gs, access.ByPerson, e.Why, actor)\n\t\treturn err", "_ = gs\n\t\treturn nil")},
}

// clocks are planted bugs in what keeps the time. A simulation gives its own time to
// the product, so it is the simulation of the clock that must find them: it draws
// walls that step, drift, freeze and come back, and restarts.
var clocks = []mutant{
	{"clock-goes-back", "T-26: the clock is set back, and so is the end", one(clk+"keeper.go", "if now.After(k.latest) {", "if !now.IsZero() {")},
	{"clock-jump-believed", "T-26: a clock set far ahead ends everything, or nothing", one(clk+"keeper.go",
		"if k.dev.Abs() <= Uncertainty && s.Wall.After(now) {", "if s.Wall.After(now) {")},
	{"clock-draws-too-fast", "T-26: who pushes the clock ahead for ever gains hours", one(clk+"keeper.go", "by := min(max(k.dev, -most), most)", "by := min(max(k.dev, -most), 50*most)")},
	{"clock-never-doubted", "T-26: a clock that is wrong is trusted", one(clk+"keeper.go",
		"case k.dev < -Uncertainty:\n\t\treturn fmt", "case k.dev < -1000*Uncertainty:\n\t\treturn fmt")},
	{"clock-stands-still", "T-26: a clock that stands still keeps grants for ever", one(clk+"keeper.go", "k.line = k.line.Add(passed)\n", "if k.dev >= 0 {\n\t\tk.line = k.line.Add(passed)\n\t}\n")},
	{"clock-forgets", "T-26: after a restart of the process the clock is believed, whatever it says", one(clk+"keeper.go",
		"k.begun, k.line, k.slewed = true, m.Line.Add(mono-m.Mono), m.Mono", "k.unbound = true")},
}

// all are the planted bugs.
func all() []mutant { return slices.Concat(mutants, parties, held, clocks) }
