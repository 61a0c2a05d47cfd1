package simstore

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"stint/internal/access"
)

// dayKey is what a day's count is kept under; the day in milliseconds since 1970.
type dayKey struct {
	day      int64
	resource access.ResourceName
}

func byKey(a, b access.StandingKey) int {
	return cmp.Or(cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Privilege, b.Privilege))
}

// SaveStanding writes what surveys found.
func (tx *Tx) SaveStanding(ss ...access.Standing) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, s := range ss {
		s.FirstSeen, s.LastSeen, s.GoneAt = instant(s.FirstSeen), instant(s.LastSeen), instant(s.GoneAt)
		putKey(tx, tx.s.standing, s.Key(), s)
	}
	return nil
}

// Standing lists standing privileges by resource, account and privilege.
func (tx *Tx) Standing(q access.StandingQuery) (found []access.Standing, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for k, s := range tx.s.standing {
		if (q.Resource == "" || k.Resource == q.Resource) && (q.Gone || s.GoneAt.IsZero()) && (q.After == (access.StandingKey{}) || byKey(k, q.After) > 0) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b access.Standing) int { return byKey(a.Key(), b.Key()) })
	return found[:min(len(found), limited(q.Limit, 100, 10_000))], nil
}

// DropStanding forgets what was seen on a resource, but for what is counted of days.
func (tx *Tx) DropStanding(r access.ResourceName) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for k := range tx.s.standing {
		if k.Resource == r {
			dropKey(tx, tx.s.standing, k)
		}
	}
	dropKey(tx, tx.s.surveys, r)
	dropKey(tx, tx.s.probes, r)
	return nil
}

// SaveSurvey writes when a resource was surveyed last.
func (tx *Tx) SaveSurvey(s access.Survey) error {
	if err := tx.writes(); err != nil {
		return err
	}
	s.TriedAt, s.At = instant(s.TriedAt), instant(s.At)
	putKey(tx, tx.s.surveys, s.Resource, s)
	return nil
}

// Surveys lists all, by resource.
func (tx *Tx) Surveys() ([]access.Survey, error) {
	return sortedValues(tx, tx.s.surveys), tx.err
}

// Survey is that of one resource.
func (tx *Tx) Survey(r access.ResourceName) (access.Survey, error) {
	return of(tx, tx.s.surveys, r, "survey")
}

// SaveStandingDays writes how much there was on days.
func (tx *Tx) SaveStandingDays(ds ...access.StandingDay) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, d := range ds {
		d.Day, d.Resources = d.Day.UTC().Truncate(24*time.Hour), 0
		putKey(tx, tx.s.days, dayKey{d.Day.UnixMilli(), d.Resource}, d)
	}
	return nil
}

// StandingDays adds up days, from one to another, of one resource or of all.
func (tx *Tx) StandingDays(r access.ResourceName, from, to time.Time) (out []access.StandingDay, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	first := from.UTC().Truncate(24 * time.Hour).UnixMilli()
	sums := map[int64]access.StandingDay{}
	for k, d := range tx.s.days {
		if k.day < first || k.day > to.UnixMilli() || r != "" && k.resource != r {
			continue
		}
		sum := sums[k.day]
		sums[k.day] = access.StandingDay{Day: d.Day, Resource: r, Edges: sum.Edges + d.Edges, Accounts: sum.Accounts + d.Accounts, Resources: sum.Resources + 1}
	}
	for _, day := range slices.Sorted(maps.Keys(sums)) {
		out = append(out, sums[day])
	}
	return out, nil
}

// SaveProbe writes how the last probe of a resource went.
func (tx *Tx) SaveProbe(p access.Probe) error {
	if err := tx.writes(); err != nil {
		return err
	}
	p.At, p.Steps = instant(p.At), slices.Clone(p.Steps)
	putKey(tx, tx.s.probes, p.Resource, p)
	return nil
}

// Probe is the last one of a resource.
func (tx *Tx) Probe(r access.ResourceName) (access.Probe, error) {
	p, err := of(tx, tx.s.probes, r, "probe")
	p.Steps = slices.Clone(p.Steps)
	return p, err
}

// Probes lists the last one of every resource, without its steps.
func (tx *Tx) Probes() ([]access.Probe, error) {
	all := sortedValues(tx, tx.s.probes)
	for i := range all {
		all[i].Steps = nil
	}
	return all, tx.err
}

// LiveByResource counts the grants that are not over.
func (tx *Tx) LiveByResource() (map[access.ResourceName]int, error) {
	if tx.err != nil {
		return nil, tx.err
	}
	gs, err := tx.Grants(access.GrantQuery{States: []access.GrantState{access.Scheduled, access.Provisioning, access.Active, access.Ending}, Limit: 10_000})
	out := map[access.ResourceName]int{}
	for _, g := range gs {
		seen := map[access.ResourceName]bool{}
		for _, t := range g.Targets {
			if !seen[t.Resource] {
				seen[t.Resource] = true
				out[t.Resource]++
			}
		}
	}
	return out, err
}

// sortedValues are the values of a map by key; none once the transaction has failed.
func sortedValues[V any](tx *Tx, m map[access.ResourceName]V) (out []V) {
	if tx.err != nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// of reads one value.
func of[V any](tx *Tx, m map[access.ResourceName]V, r access.ResourceName, noun string) (v V, err error) {
	if tx.err != nil {
		return v, tx.err
	}
	v, ok := m[r]
	if !ok {
		return v, access.Fail(access.NotFound, "not-found", "there is no such "+noun)
	}
	return v, nil
}
