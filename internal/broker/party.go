package broker

import (
	"context"
	"slices"
	"time"

	"stint/internal/access"
	"stint/internal/policy"
)

// Vendors and agents have somebody who answers for them, and an end. Nothing here is
// needed for an end to come: a vendor's grants end by their own ExpiresAt, which is never
// later than the contract, and its calls are refused from that moment on. What is done
// when the contract is over is to put it in order: logins, requests, the account. RFD 25.

const (
	// contractsEvery is how often contracts that are over are looked for, and
	// contractBatch how many of them one transaction deals with.
	contractsEvery = 15 * time.Second
	contractBatch  = 20
)

// ContractChanged reports that a vendor's sponsor, company, groups or contract changed.
const ContractChanged access.EventType = "contract.changed"

// answering fills in who answers for whoever asks, and when its task ends.
func answering(tx Tx, a policy.Ask) (policy.Ask, error) {
	by := a.Principal.AnsweredBy()
	if by == "" {
		return a, nil // policy refuses an agent without one
	}
	switch who, err := tx.Principal(by); {
	case err == nil:
		a.Answers = &who
		if a.Principal.ID.Kind() == access.Agent {
			a.Principal.Manager = who.Manager
		}
	case !missing(err):
		return a, err
	}
	end, err := taskEnd(tx, a.Principal.ID, a.Task)
	a.EndsBy = end
	return a, err
}

// taskEnd is when a task ends, or ended; zero for none. One that nobody has opened would
// be opened now.
func taskEnd(tx Tx, agent access.PrincipalID, id access.TaskID) (time.Time, error) {
	if id == "" {
		return time.Time{}, nil
	}
	t, err := tx.Task(agent, id)
	switch {
	case missing(err):
		return tx.Now().Add(access.MaxTask), nil
	case err != nil:
		return time.Time{}, err
	case !t.EndedAt.IsZero():
		return t.EndedAt, nil
	}
	return t.EndsAt, nil
}

// taskOf is the task that a grant is for.
func taskOf(tx Tx, fx *effects, g access.Grant) (access.TaskID, error) {
	if g.Principal.Kind() != access.Agent {
		return "", nil
	}
	if r, ok := fx.reqs.get(g.Request); ok {
		return r.Task, nil
	}
	r, err := tx.Request(g.Request)
	return r.Task, err
}

// endsWith is when whatever the principal has ends at the latest, and why; zero for never.
func endsWith(tx Tx, id access.PrincipalID, task access.TaskID) (end time.Time, why string, err error) {
	p, err := tx.Principal(id)
	if err != nil {
		return end, "", err
	}
	end, why = p.Until, "the end of "+string(id)
	if p.Sponsor != "" {
		why = access.DisabledByContract
	}
	t, err := taskEnd(tx, id, task)
	if !t.IsZero() && (end.IsZero() || t.Before(end)) {
		end, why = t, "the end of the task "+string(task)
	}
	return end, why, err
}

// bounded is a fresh or lengthened grant that ends no later than its holder's contract or
// task. Only grants that are decided again have either.
func (b *Broker) bounded(tx Tx, fx *effects, g access.Grant) (access.Grant, error) {
	if !g.Conditional {
		return g, nil
	}
	task, err := taskOf(tx, fx, g)
	if err != nil {
		return g, err
	}
	end, why, err := endsWith(tx, g.Principal, task)
	if err != nil {
		return g, err
	}
	return shorten(tx, fx, g, end, why, access.System), nil
}

func shorten(tx Tx, fx *effects, g access.Grant, end time.Time, why string, by access.Actor) access.Grant {
	if !end.After(tx.Now()) { // whoever decides it again finds that it is over
		return g
	}
	g, ev, did := g.Within(end, why, by, tx.Now())
	if did {
		fx.grant(g)
		fx.event(ev)
	}
	return g
}

// withinParty is a request that was just made, with what follows from who asks: it waits no
// longer than their contract or task lasts, and the task is open from now on.
func (b *Broker) withinParty(tx Tx, fx *effects, r access.Request, p access.Principal, by access.Actor) (access.Request, error) {
	if !p.Outside() {
		return r, nil
	}
	if err := b.openTask(tx, fx, r, by); err != nil {
		return r, err
	}
	end, _, err := endsWith(tx, p.ID, r.Task)
	return r.Ahead(end), err
}

// openTask opens the task of an agent's request, where it is the first that names it.
func (b *Broker) openTask(tx Tx, fx *effects, r access.Request, by access.Actor) error {
	if r.Task == "" || r.State == access.RequestIsDenied {
		return nil
	}
	_, err := tx.Task(r.Principal, r.Task)
	if !missing(err) {
		return err
	}
	t, ev := access.OpenTask(r.Principal, r.Task, by, tx.Now())
	fx.event(ev)
	return tx.SaveTasks(t)
}

// EndTask ends a task of an agent, all access that it has for it, and the requests that
// nobody has decided: for the agent itself, its human, and administrators.
func (b *Broker) EndTask(ctx context.Context, c Caller, agent access.PrincipalID, id access.TaskID, why string) (t access.Task, ended []access.GrantID, err error) {
	if agent == "" {
		agent = c.Principal.ID
	}
	if agent.Kind() != access.Agent {
		return t, nil, access.Fail(access.Invalid, "not-an-agent", string(agent)+" is no agent, and has no tasks").Try("say whose task it is: --agent NAME")
	}
	err = b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		ended = nil
		p, err := tx.Principal(agent)
		if err != nil && !missing(err) {
			return err
		}
		if err == nil && agent != c.Principal.ID && p.Responsible != c.Principal.ID && c.admin() != nil || c.Glass != nil {
			err = access.NotFound
		}
		if err == nil {
			t, err = tx.Task(agent, id)
		}
		if missing(err) {
			return access.Fail(access.NotFound, "no-such-task", "there is no such task, or it is not yours to end").
				Because("a task is there once the agent has asked for something with it").Try("stint task list shows those that are open")
		}
		if err != nil {
			return err
		}
		var ev access.Event
		if t, ev, err = t.End(why, c.Actor, tx.Now()); err != nil {
			return err
		}
		fx.event(ev)
		if err := tx.SaveTasks(t); err != nil {
			return err
		}
		ended, err = b.endOfTask(tx, fx, t, c.Actor)
		return err
	})
	return t, ended, err
}

func (b *Broker) endOfTask(tx Tx, fx *effects, t access.Task, by access.Actor) (ended []access.GrantID, err error) {
	note := "the task " + string(t.ID) + " has ended"
	rs, err := tx.Requests(access.RequestQuery{Principal: t.Agent, States: []access.RequestState{access.RequestPending}, Limit: 1000})
	if err != nil {
		return nil, err
	}
	for _, r := range rs {
		if r.Task != t.ID {
			continue
		}
		r, ev, err := r.Reject(note, by, tx.Now())
		if err != nil {
			return nil, err
		}
		fx.request(r)
		fx.event(ev)
	}
	err = eachLive(tx, t.Agent, func(gs []access.Grant) error {
		var of []access.Grant
		for _, g := range gs {
			switch task, err := taskOf(tx, fx, g); {
			case err != nil:
				return err
			case task == t.ID:
				of = append(of, g)
			}
		}
		now, err := b.endGrants(tx, fx, of, access.ByHolder, note, by)
		ended = append(ended, now...)
		return err
	})
	return ended, err
}

// eachLive gives all live grants of a principal, in pages.
func eachLive(tx Tx, id access.PrincipalID, do func([]access.Grant) error) error {
	q := access.GrantQuery{Principal: id, States: live, Limit: dueBatch}
	for {
		gs, err := tx.Grants(q)
		if err != nil {
			return err
		}
		if err := do(gs); err != nil {
			return err
		}
		if len(gs) < q.Limit {
			return nil
		}
		q.Before = gs[len(gs)-1].ID
	}
}

// strand ends what the vendors of a sponsor hold who was disabled or locked, in the same
// transaction. They keep their logins and can do nothing with them: what they ask for is
// refused until an administrator names another sponsor, who knows what they answer for.
func (b *Broker) strand(tx Tx, fx *effects, sponsor access.Principal, was string, actor access.Actor) error {
	of, err := tx.PrincipalsOf(sponsor.ID)
	if err != nil {
		return err
	}
	for _, v := range of {
		if v.Sponsor != sponsor.ID {
			continue // an agent: disabled with its human
		}
		why := string(sponsor.ID) + ", who sponsors " + string(v.ID) + ", was " + was
		if err := b.refuseAll(tx, fx, v.ID, why, actor); err != nil {
			return err
		}
		err := eachLive(tx, v.ID, func(gs []access.Grant) error {
			_, err := b.endGrants(tx, fx, gs, access.ByPolicy, why, actor)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Contract is what shall be different about a vendor. What is nil stays as it is.
type Contract struct {
	Sponsor *access.PrincipalID
	Company *string
	Until   *time.Time
	Why     string
}

// SetContract changes who sponsors a vendor, whose they are, or when their contract
// ends. Administrators may do all of it. The sponsor may end the contract sooner, and
// later by a bounded time. Grants that would last longer end with it, from this moment;
// a contract that ended and is extended lets the vendor sign in again.
func (b *Broker) SetContract(ctx context.Context, c Caller, name string, to Contract) (v access.Principal, err error) {
	if c.Glass != nil {
		return v, errGlassOnly
	}
	id := access.NewPrincipalID(access.User, name)
	err = b.update(ending(ctx, 1), func(tx Tx, fx *effects) error {
		old, err := tx.Principal(id)
		if err == nil && (old.Sponsor == "" || old.Sponsor != c.Principal.ID && c.admin() != nil) {
			err = access.NotFound
		}
		if missing(err) {
			return access.Fail(access.NotFound, "no-such-vendor", "there is no vendor "+name+", or they are not yours").
				Try("stint admin vendor list shows them; a vendor is invited with stint admin vendor invite")
		}
		if err != nil {
			return err
		}
		if v, err = to.apply(tx, c, old); err != nil {
			return err
		}
		facts := contractFacts(old, v)
		if len(facts) == 0 {
			return nil
		}
		facts["why"], facts["person"] = to.Why, string(v.Person)
		if to.Why == "" {
			delete(facts, "why")
		}
		v.Version++
		if err := tx.SavePrincipals(v); err != nil {
			return err
		}
		fx.event(access.Event{Type: ContractChanged, At: tx.Now(), Entity: string(v.ID), Version: v.Version, Actor: c.Actor, Facts: facts})
		if !v.Until.After(tx.Now()) && !v.Disabled {
			if err := b.disable(tx, fx, v, access.DisabledByContract, "the contract was ended", c.Actor); err != nil {
				return err
			}
			v, err = tx.Principal(id)
			return err
		}
		return eachLive(tx, v.ID, func(gs []access.Grant) error {
			var never []access.Grant
			for _, g := range gs {
				if g.State == access.Scheduled && !g.StartsAt.Before(v.Until) {
					never = append(never, g)
					continue
				}
				shorten(tx, fx, g, v.Until, access.DisabledByContract, c.Actor)
			}
			// What begins only after the contract is said to be over now, and not found to have
			// nothing left of its time when it would begin.
			_, err := b.endGrants(tx, fx, never, access.ByPolicy, access.EndsBeforeStart, c.Actor)
			return err
		})
	})
	return v, err
}

func (to Contract) apply(tx Tx, c Caller, v access.Principal) (access.Principal, error) {
	admin, now := c.admin() == nil, tx.Now()
	if !admin && (to.Sponsor != nil || to.Company != nil) {
		return v, access.Fail(access.Denied, "not-yours", "a sponsor changes when the contract ends, and nothing else").Try("ask an administrator")
	}
	if to.Sponsor != nil {
		s, err := tx.Principal(*to.Sponsor)
		switch {
		case missing(err):
			return v, access.Fail(access.Invalid, "no-such-sponsor", "there is no user "+to.Sponsor.Name()+" to be the sponsor")
		case err != nil:
			return v, err
		}
		if err := s.MayAnswer(now); err != nil {
			return v, err
		}
		v.Sponsor = s.ID
	}
	if to.Company != nil {
		if err := access.CheckCompany(*to.Company); err != nil {
			return v, err
		}
		v.Company = *to.Company
	}
	if to.Until == nil {
		return v, nil
	}
	until := to.Until.UTC().Truncate(time.Millisecond)
	if !until.After(now) {
		v.Until = now
		return v, nil
	}
	most := access.MaxContract
	if !admin {
		most = access.MaxSponsorExtends
	}
	if err := access.CheckContract(until, now, most); err != nil && until.After(v.Until) {
		return v, err
	}
	if v.Until = until; v.DisabledBy == access.DisabledByContract {
		v.Disabled, v.DisabledBy = false, ""
	}
	return v, nil
}

func contractFacts(old, now access.Principal) map[string]string {
	facts := map[string]string{}
	note := func(name, was, is string) {
		if was != is {
			facts[name], facts[name+"_before"] = is, was
		}
	}
	at := func(t time.Time) string { return t.UTC().Format(access.Stamp) }
	note("sponsor", string(old.Sponsor), string(now.Sponsor))
	note("company", old.Company, now.Company)
	note("until", at(old.Until), at(now.Until))
	return facts
}

// watchContracts puts in order what is left of contracts that are over.
func (b *Broker) watchContracts(ctx context.Context) {
	every(ctx, contractsEvery, func() {
		for ctx.Err() == nil {
			n, err := b.endContracts(ctx)
			if err != nil {
				b.storeTrouble(ctx, "ending contracts", err)
			}
			if n < contractBatch {
				return
			}
		}
	})
}

// endContracts disables vendors whose contract is over, and ends all they hold.
func (b *Broker) endContracts(ctx context.Context) (n int, err error) {
	var due []access.Principal
	err = b.Store.View(ctx, func(tx Tx) (err error) { due, err = tx.DueContracts(contractBatch); return err })
	if err != nil || len(due) == 0 {
		return 0, err
	}
	err = b.update(ending(ctx, len(due)), func(tx Tx, fx *effects) error {
		n = 0
		due, err := tx.DueContracts(contractBatch)
		if err != nil {
			return err
		}
		slices.SortFunc(due, func(a, b access.Principal) int { return a.Until.Compare(b.Until) })
		for _, v := range due {
			if err := b.disable(tx, fx, v, access.DisabledByContract, "the contract ended at "+v.Until.UTC().Format(time.RFC3339), access.System); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if access.KindOf(err) == access.Conflict {
		return 0, nil // another replica was faster
	}
	return n, err
}
