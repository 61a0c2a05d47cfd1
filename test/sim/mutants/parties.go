package main

// parties are planted bugs in what ends with somebody or something else: a contract, a
// human, a ticket, a delegation, a review.
var parties = []mutant{
	// Break-glass.
	{"alarm-not-raised", "T-06: the glass is broken, and nobody hears of it", one(brk+"breakglass.go",
		"fx.reviews = append(fx.reviews, v)\n\tfx.event(ev)", "fx.reviews = append(fx.reviews, v)\n\t_ = ev")},
	{"glass-without-review", "T-06: nobody has to look afterwards at what was done", one(brk+"breakglass.go",
		"fx.reviews = append(fx.reviews, v)\n\tfx.event(ev)", "_ = v\n\tfx.event(ev)")},
	{"own-review-closed", "T-01, T-06: who broke the glass finds that it was right", one(acc+"review.go",
		"case closer.Person == v.Person:", "case closer.Person == \"\":")},
	{"anybody-reviews", "T-06: the review is closed by whoever wants it to be", []edit{
		{brk + "review.go", "if r.Person != closer.Person && !c.reviews(set, r) {", "if closer.Person == \"\" {"},
		{brk + "review.go", "if missing(err) || err == nil && !c.seesReview(set, r) {", "if missing(err) {"}}},
	{"glass-is-extended", "T-06: an hour at the most, again and again", one(acc+"emergency.go",
		"if g.Emergency.Is() {\n\t\treturn errNotRenewable", "if g.Emergency.Is() && g.ID == \"\" {\n\t\treturn errNotRenewable")},

	// Contracts, and who answers for somebody.
	{"contract-end-not-watched", "Q-07: the contract ends, and the account stays open", one(brk+"broker.go", ", b.watchContracts,", ",")},
	{"contract-moved-access-stays", "Q-07: the contract ends sooner, and what is held goes on", one(brk+"party.go",
		"shorten(tx, fx, g, v.Until, access.DisabledByContract, c.Actor)", "_ = g")},
	{"sponsor-goes-vendor-stays", "Q-07: nobody answers for the vendor any more, who goes on", []edit{
		{brk + "people.go", "return b.strand(tx, fx, p, \"disabled\", actor)", "return nil"},
		{"internal/policy/party.go", "if err := p.Answered(w.facts.ask.Answers, now); err != nil {", "if err := p.Answered(w.facts.ask.Answers, now); err != nil && p.Sponsor == \"\" {"}}},
	{"agent-outlives-human", "T-13: the human is disabled, and the agent goes on", []edit{
		{brk + "people.go", "if s.Person == p.Person && !s.Disabled {", "if s.Person == p.Person && !s.Disabled && kind != access.Agent {"},
		{"internal/policy/party.go", "if err := p.Answered(w.facts.ask.Answers, now); err != nil {", "if err := p.Answered(w.facts.ask.Answers, now); err != nil && p.ID.Kind() != access.Agent {"}}},
	{"agent-has-more", "T-13: an agent gets without an approval what its human would need one for", one("internal/policy/party.go",
		"if h.Effect != access.Approve {\n\t\treturn d\n\t}", "if h.Effect != access.Deny {\n\t\treturn d\n\t}")},
	{"task-over-access-stays", "the task is done, and the agent keeps what it had for it", one(brk+"party.go",
		"case task == t.ID:\n\t\t\t\tof = append(of, g)", "case task == t.ID && t.Agent == \"\":\n\t\t\t\tof = append(of, g)")},

	// Tickets.
	{"closed-ticket-ignored", "the ticket is closed, and the access that rests on it goes on", []edit{
		{"internal/policy/ticket.go", "case !t.AnyState && !got.Open:\n\t\treturn", "case !t.AnyState && !got.Open && id == \"\":\n\t\treturn"},
		{brk + "ticketwatch.go", "case w.Read && w.Closings != read.Closings:", "case w.Read && w.Closings != read.Closings && w.Ticket == \"\":"}}},
	{"closed-ticket-lets-in", "a ticket of last year lets in for ever", one("internal/policy/ticket.go", "if !t.AnyState && !got.Open {\n\t\t\tsay", "if !t.AnyState && !got.Open && got.Text == \"\" {\n\t\t\tsay")},
	{"ticket-read-once", "a ticket is read when somebody asks, and never again", one(brk+"ticketwatch.go",
		"w.NextAt = tx.Now().Add(every)", "w.NextAt = tx.Now().Add(1000 * every)")},
	{"any-ticket-does", "a ticket about something else lets in", one("internal/policy/ticket.go", "if t.Names && !got.names(res.Name) {\n\t\t\tsay", "if t.Names && got.Text == \"\" {\n\t\t\tsay")},

	// Delegation.
	{"delegation-without-end", "who stands in for somebody does so for ever", []edit{
		{acc + "delegation.go", "return d.EndedAt.IsZero() && !now.Before(d.StartsAt) && now.Before(d.EndsAt)", "return !now.Before(d.StartsAt)"},
		{brk + "delegate.go", "access.DelegationQuery{To: p.ID, Open: true, Limit: maxDelegators}", "access.DelegationQuery{To: p.ID, Limit: maxDelegators}"}}},
	{"delegate-counts-twice", "T-03: of two approvals one person gives both", []edit{
		{acc + "delegation.go", "d.Person == voter.Person || r.voted(d.Person) {", "d.Person == voter.Person {"},
		{acc + "approval.go", "case r.voted(voter.Person):", "case false:"}}},
}
