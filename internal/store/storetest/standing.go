package storetest

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// standing privileges are known by resource, account and privilege, come in that order
// and in pages, and are forgotten with their resource.
func standing(t *testing.T, s Store) {
	now := storeNow(t, s)
	at := func(r access.ResourceName, account, privilege string) access.Standing {
		return access.Standing{Resource: r, Account: account, Privilege: privilege, Kind: access.StandingMember, Right: "dba", Undo: `REVOKE "dba" FROM "x"`, Note: "look first",
			FirstSeen: now.Add(-time.Hour), LastSeen: now}
	}
	a, b, c, d := at("db", "ada", "member of dba"), at("db", "ada", "superuser"), at("db", "Omar's", "superuser"), at("other", "ada", "superuser")
	b.Kind, b.Right, b.Note, b.GoneAt = access.StandingPower, "", "", now
	update(t, s, func(tx Tx) error { return tx.SaveStanding(d, b, c, a) })
	of := func(q access.StandingQuery) []access.Standing {
		return read(t, s, func(tx Tx) ([]access.Standing, error) { return tx.Standing(q) })
	}
	diff(t, of(access.StandingQuery{Resource: "db", Gone: true}), []access.Standing{c, a, b})
	diff(t, of(access.StandingQuery{}), []access.Standing{c, a, d})
	diff(t, of(access.StandingQuery{Limit: 1, After: a.Key()}), []access.Standing{d})
	diff(t, of(access.StandingQuery{Gone: true, After: a.Key(), Limit: 1}), []access.Standing{b})
	diff(t, of(access.StandingQuery{After: d.Key()}), []access.Standing(nil))

	b.GoneAt, b.LastSeen = time.Time{}, now.Add(time.Minute)
	tried := access.Survey{Resource: "db", TriedAt: now, At: now.Add(-time.Hour), Edges: 3, Accounts: 2, Cut: true, Said: "it did not answer"}
	never := access.Survey{Resource: "other", TriedAt: now}
	update(t, s, func(tx Tx) error { return errors.Join(tx.SaveStanding(b), tx.SaveSurvey(never), tx.SaveSurvey(tried)) })
	diff(t, of(access.StandingQuery{Resource: "db"}), []access.Standing{c, a, b})
	surveys := func() []access.Survey {
		return read(t, s, func(tx Tx) ([]access.Survey, error) { return tx.Surveys() })
	}
	diff(t, surveys(), []access.Survey{tried, never})
	never.At, never.Said = now, ""
	update(t, s, func(tx Tx) error {
		return errors.Join(tx.SaveSurvey(never), tx.DropStanding("db"), tx.DropStanding("never"))
	})
	diff(t, read(t, s, func(tx Tx) (access.Survey, error) { return tx.Survey("other") }), never)
	diff(t, surveys(), []access.Survey{never})
	diff(t, of(access.StandingQuery{Gone: true}), []access.Standing{d})
	update(t, s, func(tx Tx) error {
		if _, err := tx.Survey("db"); !errors.Is(err, access.NotFound) {
			t.Errorf("a survey that was forgotten: %v", err)
		}
		return nil
	})
}

// standingDays are one number a day and resource, and are added up.
func standingDays(t *testing.T, s Store) {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	update(t, s, func(tx Tx) error {
		return tx.SaveStandingDays(access.StandingDay{Day: day(1).Add(9 * time.Hour), Resource: "db", Edges: 9, Accounts: 3},
			access.StandingDay{Day: day(1), Resource: "other", Edges: 1, Accounts: 1}, access.StandingDay{Day: day(3), Resource: "db", Edges: 4, Accounts: 2})
	})
	update(t, s, func(tx Tx) error {
		return tx.SaveStandingDays(access.StandingDay{Day: day(1).Add(23 * time.Hour), Resource: "db", Edges: 7, Accounts: 3})
	})
	of := func(r access.ResourceName, from, to time.Time) []access.StandingDay {
		return read(t, s, func(tx Tx) ([]access.StandingDay, error) { return tx.StandingDays(r, from, to) })
	}
	diff(t, of("", day(1), day(3)), []access.StandingDay{{Day: day(1), Edges: 8, Accounts: 4, Resources: 2}, {Day: day(3), Edges: 4, Accounts: 2, Resources: 1}})
	diff(t, of("db", day(1).Add(time.Hour), day(2)), []access.StandingDay{{Day: day(1), Resource: "db", Edges: 7, Accounts: 3, Resources: 1}})
	diff(t, of("", day(4), day(9)), []access.StandingDay(nil))
}

// probes are the last of each resource.
func probes(t *testing.T, s Store) {
	now := storeNow(t, s)
	p := access.Probe{Resource: "db", At: now, By: "user:ada", Said: "it is not a member", Steps: []access.ProbeStep{{Name: "connects", OK: true, Detail: "TLS"}, {Name: "ends sessions", Fix: "GRANT it"}}}
	q := access.Probe{Resource: "app", At: now, By: "user:omar", OK: true, Said: "made and removed"}
	update(t, s, func(tx Tx) error { return errors.Join(tx.SaveProbe(p), tx.SaveProbe(q)) })
	last := func(r access.ResourceName) access.Probe {
		return read(t, s, func(tx Tx) (access.Probe, error) { return tx.Probe(r) })
	}
	diff(t, last("db"), p)
	p.OK, p.At, p.Said, p.Steps = true, now.Add(time.Hour), "made and removed", p.Steps[:1]
	update(t, s, func(tx Tx) error { return tx.SaveProbe(p) })
	diff(t, last("db"), p)
	short := p
	short.Steps = nil
	diff(t, read(t, s, func(tx Tx) ([]access.Probe, error) { return tx.Probes() }), []access.Probe{q, short})

	b := Active(t, s)
	want := map[access.ResourceName]int{}
	for _, x := range b.Grant.Targets {
		want[x.Resource] = 1
	}
	live := func() map[access.ResourceName]int {
		return read(t, s, func(tx Tx) (map[access.ResourceName]int, error) { return tx.LiveByResource() })
	}
	diff(t, live(), want)
	Active(t, s)
	for r := range want {
		want[r]++
	}
	diff(t, live(), want)
}
