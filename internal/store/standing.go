package store

import (
	"fmt"
	"strings"
	"time"

	"stint/internal/access"
)

var standingTable = table{
	name: "standing", noun: "standing privilege", keys: 3,
	columns: []column{{"resource", text}, {"account", text}, {"privilege", text}, {"first_seen", integer}, {"last_seen", integer}, {"gone_at", integer}, {"body", text}},
}.build()

type standingBody struct {
	Kind  string `json:"kind"`
	Right string `json:"right,omitempty"`
	Undo  string `json:"undo,omitempty"`
	Note  string `json:"note,omitempty"`
}

func standingRow(s access.Standing) (write, error) {
	body, err := encode(standingBody{string(s.Kind), s.Right, s.Undo, s.Note})
	return write{string(s.Resource), s.Account, s.Privilege, s.FirstSeen.UnixMilli(), s.LastSeen.UnixMilli(), millis(s.GoneAt), body}, err
}

const standingColumns = "SELECT resource, account, privilege, first_seen, last_seen, gone_at, body FROM standing"

func scanStanding(row row) (access.Standing, error) {
	var s access.Standing
	var from, last int64
	var gone *int64
	var text string
	if err := row.Scan(&s.Resource, &s.Account, &s.Privilege, &from, &last, &gone, &text); err != nil {
		return s, err
	}
	var b standingBody
	if err := decode(text, "standing privilege", string(s.Resource)+" "+s.Account, &b); err != nil {
		return s, err
	}
	s.FirstSeen, s.LastSeen, s.GoneAt = instant(from), instant(last), instantOf(gone)
	s.Kind, s.Right, s.Undo, s.Note = access.StandingKind(b.Kind), b.Right, b.Undo, b.Note
	return s, nil
}

// SaveStanding writes what surveys found, in the place of what is known by the same.
func (tx *Tx) SaveStanding(ss ...access.Standing) error {
	rows := make([]write, 0, len(ss))
	for _, s := range ss {
		w, err := standingRow(s)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(standingTable, rows)
}

// Standing lists standing privileges by resource, account and privilege.
func (tx *Tx) Standing(q access.StandingQuery) ([]access.Standing, error) {
	p := plan{conds: []string{"resource <> ''"}}
	p.equal("resource", string(q.Resource))
	if !q.Gone {
		p.conds = append(p.conds, "gone_at IS NULL")
	}
	if a := q.After; a != (access.StandingKey{}) {
		n := len(p.args)
		p.args = append(p.args, string(a.Resource), a.Account, a.Privilege)
		p.conds = append(p.conds, fmt.Sprintf("(resource, account, privilege) > ($%d, $%d, $%d)", n+1, n+2, n+3))
	}
	p.args = append(p.args, int64(limited(q.Limit, 100, 10_000)))
	return list(tx, scanStanding, fmt.Sprintf("%s WHERE %s ORDER BY resource, account, privilege LIMIT $%d", standingColumns, strings.Join(p.conds, " AND "), len(p.args)), p.args...)
}

// DropStanding forgets what was seen on a resource, but for what is counted of days.
func (tx *Tx) DropStanding(r access.ResourceName) error {
	for _, q := range []string{"DELETE FROM standing WHERE resource = $1", "DELETE FROM surveys WHERE resource = $1", "DELETE FROM probes WHERE resource = $1"} {
		if _, err := tx.exec(q, string(r)); err != nil {
			return err
		}
	}
	return nil
}

var surveyTable = table{
	name: "surveys", noun: "survey", keys: 1,
	columns: []column{{"resource", text}, {"tried_at", integer}, {"at", integer}, {"edges", integer}, {"accounts", integer}, {"body", text}},
}.build()

type surveyBody struct {
	Cut  bool   `json:"cut,omitempty"`
	Said string `json:"said,omitempty"`
}

func surveyRow(s access.Survey) (write, error) {
	body, err := encode(surveyBody{s.Cut, s.Said})
	return write{string(s.Resource), s.TriedAt.UnixMilli(), millis(s.At), int64(s.Edges), int64(s.Accounts), body}, err
}

const surveyColumns = "SELECT resource, tried_at, at, edges, accounts, body FROM surveys"

func scanSurvey(row row) (access.Survey, error) {
	var s access.Survey
	var tried int64
	var at *int64
	var text string
	if err := row.Scan(&s.Resource, &tried, &at, &s.Edges, &s.Accounts, &text); err != nil {
		return s, err
	}
	var b surveyBody
	if err := decode(text, "survey", string(s.Resource), &b); err != nil {
		return s, err
	}
	s.TriedAt, s.At, s.Cut, s.Said = instant(tried), instantOf(at), b.Cut, b.Said
	return s, nil
}

// SaveSurvey writes when a resource was surveyed last.
func (tx *Tx) SaveSurvey(s access.Survey) error {
	w, err := surveyRow(s)
	if err != nil {
		return tx.fail(err)
	}
	return tx.save(surveyTable, []write{w})
}

// Surveys lists all, by resource.
func (tx *Tx) Surveys() ([]access.Survey, error) {
	return list(tx, scanSurvey, surveyColumns+" ORDER BY resource")
}

// Survey is that of one resource.
func (tx *Tx) Survey(r access.ResourceName) (access.Survey, error) {
	return one(tx, "survey", scanSurvey, surveyColumns+" WHERE resource = $1", string(r))
}

var standingDayTable = table{
	name: "standing_days", noun: "day", keys: 2,
	columns: []column{{"day", integer}, {"resource", text}, {"edges", integer}, {"accounts", integer}},
}.build()

// SaveStandingDays writes how much there was on days, in the place of what was written
// of the same day.
func (tx *Tx) SaveStandingDays(ds ...access.StandingDay) error {
	rows := make([]write, 0, len(ds))
	for _, d := range ds {
		rows = append(rows, write{d.Day.UTC().Truncate(24 * time.Hour).UnixMilli(), string(d.Resource), int64(d.Edges), int64(d.Accounts)})
	}
	return tx.save(standingDayTable, rows)
}

// StandingDays adds up the days from one to another, both included: of one resource, or
// of all.
func (tx *Tx) StandingDays(r access.ResourceName, from, to time.Time) ([]access.StandingDay, error) {
	p := plan{}
	p.where("day >= $%d", from.UTC().Truncate(24*time.Hour).UnixMilli())
	p.where("day <= $%d", to.UnixMilli())
	p.equal("resource", string(r))
	return list(tx, func(row row) (access.StandingDay, error) {
		d := access.StandingDay{Resource: r}
		var day int64
		err := row.Scan(&day, &d.Edges, &d.Accounts, &d.Resources)
		d.Day = instant(day)
		return d, err
	}, "SELECT day, CAST(SUM(edges) AS BIGINT), CAST(SUM(accounts) AS BIGINT), COUNT(*) FROM standing_days WHERE "+strings.Join(p.conds, " AND ")+" GROUP BY day ORDER BY day", p.args...)
}

var probeTable = table{
	name: "probes", noun: "probe", keys: 1,
	columns: []column{{"resource", text}, {"at", integer}, {"principal", text}, {"ok", boolean}, {"said", text}, {"body", text}},
}.build()

type probeBody struct {
	Steps []access.ProbeStep `json:"steps"`
}

func probeRow(p access.Probe) (write, error) {
	body, err := encode(probeBody{p.Steps})
	return write{string(p.Resource), p.At.UnixMilli(), string(p.By), p.OK, p.Said, body}, err
}

// SaveProbe writes how the last probe of a resource went.
func (tx *Tx) SaveProbe(p access.Probe) error {
	w, err := probeRow(p)
	if err != nil {
		return tx.fail(err)
	}
	return tx.save(probeTable, []write{w})
}

func scanProbe(row row) (access.Probe, error) {
	var p access.Probe
	var at int64
	var text string
	if err := row.Scan(&p.Resource, &at, &p.By, &p.OK, &p.Said, &text); err != nil {
		return p, err
	}
	var b probeBody
	if err := decode(text, "probe", string(p.Resource), &b); err != nil {
		return p, err
	}
	p.At, p.Steps = instant(at), b.Steps
	return p, nil
}

// Probe is the last one of a resource.
func (tx *Tx) Probe(r access.ResourceName) (access.Probe, error) {
	return one(tx, "probe", scanProbe, "SELECT resource, at, principal, ok, said, body FROM probes WHERE resource = $1", string(r))
}

// Probes lists the last one of every resource, without its steps.
func (tx *Tx) Probes() ([]access.Probe, error) {
	return list(tx, func(row row) (p access.Probe, err error) {
		var at int64
		err = row.Scan(&p.Resource, &at, &p.By, &p.OK, &p.Said)
		p.At = instant(at)
		return p, err
	}, "SELECT resource, at, principal, ok, said FROM probes ORDER BY resource")
}

// LiveByResource counts, for each resource that has any, the grants that are not over.
func (tx *Tx) LiveByResource() (map[access.ResourceName]int, error) {
	out := map[access.ResourceName]int{}
	states := "('scheduled', 'provisioning', 'active', 'ending')"
	err := tx.each("SELECT resource, COUNT(*) FROM (SELECT id, resource FROM grants WHERE state IN "+states+
		" UNION SELECT g.id, t.resource FROM grants g JOIN grant_targets t ON t.id = g.id WHERE g.state IN "+states+") AS live GROUP BY resource", nil, func(row row) error {
		var r access.ResourceName
		var n int
		err := row.Scan(&r, &n)
		out[r] = n
		return err
	})
	return out, err
}

// keepStanding is how long is known what standing privilege there was.
const keepStanding = 400 * 24 * time.Hour
