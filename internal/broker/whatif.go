package broker

import (
	"context"
	"slices"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/moment"
	"stint/internal/policy"
)

// Lapse is a live grant that would end under other documents.
type Lapse struct {
	Grant     access.GrantID
	Request   access.RequestID
	Principal access.PrincipalID
	Resource  access.ResourceName
	Role      access.RoleName
	Why       string
}

// maxLapses bounds how many live grants a question about documents looks at.
const maxLapses = 10_000

// WhatIf is what applying documents would change.
type WhatIf struct {
	Version  int64 // of the documents that it is compared with
	Diff     policy.Difference
	Ends     []Lapse
	Grave    []policy.Grave // what one person alone may not do where two are asked for
	InForce  bool           // and they are
	Warnings []policy.Problem
	// Partial says that there are more live grants than were looked at.
	Partial bool
}

// WhatIf compares documents, put over those that are applied, with these. Policy
// authors, administrators and auditors see all of it; owners what is about resources of
// theirs.
func (b *Broker) WhatIf(ctx context.Context, c Caller, files []policy.File) (out WhatIf, err error) {
	before, after, changes, err := b.imagine(ctx, c, files)
	if err != nil {
		return out, err
	}
	return b.whatIf(ctx, c, before, after, changes)
}

func (b *Broker) whatIf(ctx context.Context, c Caller, before, after *policy.Set, changes []policy.Change) (out WhatIf, err error) {
	var people []access.Principal
	err = b.Store.View(ctx, func(tx Tx) error {
		if people, err = usable(tx); err != nil {
			return err
		}
		if out.Ends, out.Partial, err = b.lapses(tx, before, after); err != nil {
			return err
		}
		out.InForce, err = twoPersons(tx)
		return err
	})
	if err != nil {
		return out, err
	}
	out.Version, out.Warnings, out.Grave = before.Version(), after.Warnings(), policy.SecondPerson(before, after, changes)
	out.Diff = policy.Diff(before, after, people)
	if !c.seesAll() {
		out.Diff.Can = slices.DeleteFunc(out.Diff.Can, func(x policy.CanChange) bool { return !c.owns(before, x.Resource) })
		out.Ends = slices.DeleteFunc(out.Ends, func(l Lapse) bool { return !c.owns(before, l.Resource) })
	}
	return out, nil
}

// imagine compiles what the documents would be if files were applied.
func (b *Broker) imagine(ctx context.Context, c Caller, files []policy.File) (before, after *policy.Set, changes []policy.Change, err error) {
	if !slices.ContainsFunc(files, func(f policy.File) bool { return strings.TrimSpace(f.Text) != "" }) {
		return nil, nil, nil, errNoDocuments
	}
	if !c.Principal.Auditor {
		if err := b.mayDocument(ctx, c); err != nil {
			return nil, nil, nil, err
		}
	}
	docs, err := policy.Parse(files)
	switch {
	case err != nil:
		return nil, nil, nil, err
	case len(docs) == 0:
		return nil, nil, nil, errNoDocuments
	}
	if before, err = b.Documents(ctx); err != nil {
		return nil, nil, nil, err
	}
	merged, changes := policy.Merge(before.Documents(), written(docs, c.Principal.ID))
	after, err = b.Sets.Compile(merged, b.schemas, before.Version()+1)
	return before, after, changes, err
}

// lapses lists the live grants that may go on under one set and would end under the
// other, the newest first.
func (b *Broker) lapses(tx Tx, before, after *policy.Set) (out []Lapse, partial bool, err error) {
	tx = &knowing{Tx: tx, people: map[access.PrincipalID]access.Principal{}}
	q := access.GrantQuery{States: []access.GrantState{access.Scheduled, access.Provisioning, access.Active}, Limit: dueBatch}
	for seen := 0; ; {
		gs, err := tx.Grants(q)
		if err != nil {
			return nil, false, err
		}
		for _, g := range gs {
			if _, no := b.stillAllowed(tx, &effects{}, after, g, policy.Alive); no == nil {
				continue
			} else if _, now := b.stillAllowed(tx, &effects{}, before, g, policy.Alive); now != nil {
				continue // it ends anyway
			} else {
				out = append(out, Lapse{g.ID, g.Request, g.Principal, g.Targets[0].Resource, g.Role, public(no)})
			}
		}
		if seen += len(gs); len(gs) < q.Limit || seen >= maxLapses {
			return out, len(gs) == q.Limit, nil
		}
		q.Before = gs[len(gs)-1].ID
	}
}

// maxReplayed bounds how many past requests are decided again.
const maxReplayed = 10_000

// Rerun is what past requests would have come to under other documents.
type Rerun struct {
	Version int64
	Since   time.Time
	Asked   int // requests that were decided again
	// What was not: extensions, whose length depends on what they extend, and requests
	// of principals that are gone.
	Extensions, Unknown int
	Partial             bool // there were more than maxReplayed; the newest were taken
	Differ              []policy.Replayed
}

// MostReplayed is how far back a replay goes.
const MostReplayed = 30 * 24 * time.Hour

// Replay decides the requests since a time again, under the documents that are applied
// and with files put over them. What was asked, from where and when is as it was
// recorded; groups, manager and attributes are those of now, and who was disabled since
// counts as if they were not.
func (b *Broker) Replay(ctx context.Context, c Caller, files []policy.File, since time.Duration) (out Rerun, err error) {
	if since <= 0 || since > MostReplayed {
		return out, access.Fail(access.Invalid, "bad-since", "a replay goes back at most 30 days").Because(moment.Span(since) + " was asked")
	}
	before, after, _, err := b.imagine(ctx, c, files)
	if err != nil {
		return out, err
	}
	return b.replay(ctx, c, before, after, since)
}

func (b *Broker) replay(ctx context.Context, c Caller, before, after *policy.Set, since time.Duration) (out Rerun, err error) {
	var past []policy.Past
	err = b.Store.View(ctx, func(tx Tx) error {
		tx = &knowing{Tx: tx, people: map[access.PrincipalID]access.Principal{}}
		past, out = nil, Rerun{Version: before.Version(), Since: tx.Now().Add(-since)}
		q := access.RequestQuery{Limit: 1000}
		for {
			rs, err := tx.Requests(q)
			if err != nil {
				return err
			}
			for _, r := range rs {
				if r.CreatedAt.Before(out.Since) {
					return nil
				}
				if !c.seesAll() && !c.ownsAll(before, r.Targets) {
					continue
				}
				switch who, err := tx.Principal(r.Principal); {
				case missing(err):
					out.Unknown++
				case err != nil:
					return err
				case r.Extends != "":
					out.Extensions++
				default:
					was, err := pastOf(tx, r, who)
					if err != nil {
						return err
					}
					past = append(past, was)
				}
				if len(past) == maxReplayed {
					out.Partial = true
					return nil
				}
			}
			if len(rs) < q.Limit {
				return nil
			}
			q.Before = rs[len(rs)-1].ID
		}
	})
	out.Asked = len(past)
	out.Differ = policy.Replay(before, after, past)
	return out, err
}

func pastOf(tx Tx, r access.Request, who access.Principal) (policy.Past, error) {
	who.Disabled, who.Lock, who.Until = false, access.Lock{}, time.Time{}
	ask, err := answering(tx, policy.Ask{Principal: who, Resource: r.Targets[0].Resource, Role: r.Role,
		Duration: r.Duration, Start: r.Start, Reason: r.Reason, Ticket: r.Ticket, Source: r.Source, Emergency: r.Emergency.Is(), Task: r.Task})
	if ask.Answers != nil {
		ask.Answers.Disabled, ask.Answers.Lock = false, access.Lock{}
	}
	ask.EndsBy = time.Time{}
	return policy.Past{Request: r.ID, At: r.CreatedAt, Was: r.Decision.Effect, Ask: ask}, err
}
