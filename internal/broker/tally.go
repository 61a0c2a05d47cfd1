package broker

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/access"
	"stint/internal/insight"
	"stint/internal/policy"
)

const (
	// tallyGood is how old what was added up may be: three months of many thousands are
	// not read anew for each page.
	tallyGood = time.Minute
	// tallyMost bounds the lines of each kind, and glassMost the reviews.
	tallyMost, glassMost = 50_000, 1000
)

// tallied keeps what was read last. Its lock is not held while it is read.
type tallied struct {
	mu    sync.Mutex
	lines insight.Lines
	at    time.Time // by this host's monotonic clock
}

// Tally gives what three months of requests, grants and votes add up to, for auditors and
// administrators. It is up to a minute old and says of when it is.
func (b *Broker) Tally(ctx context.Context, c Caller) (insight.Lines, error) {
	if c.Glass != nil || !c.Principal.Admin && !c.Principal.Auditor {
		return insight.Lines{}, access.Fail(access.Denied, "not-yours", "this is for auditors and administrators").Because(string(c.Principal.ID) + " is neither")
	}
	b.tally.mu.Lock()
	lines, at := b.tally.lines, b.tally.at
	b.tally.mu.Unlock()
	if !at.IsZero() && time.Since(at) < tallyGood {
		return lines, nil
	}
	began := time.Now()
	var l insight.Lines
	err := b.Store.View(ctx, func(tx Tx) (err error) {
		l = insight.Lines{At: tx.Now()}
		q := access.TallyQuery{Since: l.At.AddDate(0, 0, -insight.Most).Truncate(24 * time.Hour), Limit: tallyMost}
		if l.Requests, err = tx.RequestLines(q); err != nil {
			return err
		}
		if l.Grants, err = tx.GrantLines(q); err != nil {
			return err
		}
		if l.Votes, err = tx.VoteCounts(q); err != nil {
			return err
		}
		l.Cut = len(l.Requests) == tallyMost || len(l.Grants) == tallyMost
		l.Glass, err = tx.Reviews(access.ReviewQuery{Limit: glassMost})
		return err
	})
	if err != nil {
		return insight.Lines{}, err
	}
	b.tally.mu.Lock()
	defer b.tally.mu.Unlock()
	if began.After(b.tally.at) {
		b.tally.lines, b.tally.at = l, began
	}
	return l, nil
}

// OneApprover is a resource on which one person alone can say yes to a role.
type OneApprover struct {
	Resource access.ResourceName
	Role     access.RoleName
	Policy   access.PolicyName
	Person   access.PrincipalID // empty: nobody can
}

// OneApprovers lists resources with roles that wait for a person, of whom there is one or
// none, for auditors and administrators: of each resource the first such role.
func (b *Broker) OneApprovers(ctx context.Context, c Caller) ([]OneApprover, error) {
	if c.Glass != nil || !c.Principal.Admin && !c.Principal.Auditor {
		return nil, access.Fail(access.Denied, "not-yours", "this is for auditors and administrators")
	}
	set, err := b.Documents(ctx)
	if err != nil {
		return nil, err
	}
	users, err := b.approvers.Users(ctx)
	if err != nil {
		return nil, err
	}
	count := newFew(users)
	var out []OneApprover
	for _, res := range set.Resources() {
		for _, e := range set.WhoCan(res.Name, "") {
			if e.Effect != access.Approve || e.BreakGlass {
				continue
			}
			if who, few := count.tight(e); few {
				out = append(out, OneApprover{res.Name, e.Role, e.Policy, who})
				break
			}
		}
	}
	return out, nil
}

// few counts who could fill requirements, each person once. What somebody wrote for many
// resources is counted once.
type few struct {
	groups map[access.Group][]access.Principal
	all    []access.Principal
	known  map[string][]access.Principal // up to two persons, by the subjects
}

func newFew(users []access.Principal) *few {
	f := &few{groups: map[access.Group][]access.Principal{}, all: users, known: map[string][]access.Principal{}}
	for _, p := range users {
		for _, g := range p.Groups {
			f.groups[g] = append(f.groups[g], p)
		}
	}
	return f
}

// tight reports whether some requirement of a rule can be filled by one person at most,
// and by whom. Who is on call changes by itself, and managers differ: these are not counted.
func (f *few) tight(e policy.Eligible) (who access.PrincipalID, yes bool) {
	for _, q := range e.Approvals {
		from := slices.Concat(q.From, q.EscalateTo)
		if slices.ContainsFunc(from, func(s access.Subject) bool {
			_, shift := s.Schedule()
			return shift || !strings.Contains(string(s), ":")
		}) {
			continue
		}
		switch people := f.two(from); len(people) {
		case 0:
			return "", true
		case 1:
			return people[0].ID, true
		}
	}
	return "", false
}

func (f *few) two(from []access.Subject) (found []access.Principal) {
	key := ""
	for _, s := range from {
		key += string(s) + "\n"
	}
	if found, ok := f.known[key]; ok {
		return found
	}
	defer func() { f.known[key] = found }()
	add := func(p access.Principal) bool {
		if !slices.ContainsFunc(found, func(x access.Principal) bool { return x.Person == p.Person }) {
			found = append(found, p)
		}
		return len(found) > 1
	}
	for _, s := range from {
		if g, ok := strings.CutPrefix(string(s), "group:"); ok {
			if slices.ContainsFunc(f.groups[access.Group(g)], add) {
				return found
			}
			continue
		}
		if i := slices.IndexFunc(f.all, func(p access.Principal) bool { return string(p.ID) == string(s) }); i >= 0 && add(f.all[i]) {
			return found
		}
	}
	return found
}
