package store

import (
	"slices"
	"time"

	"stint/internal/access"
)

var grantTable = table{
	name: "grants", noun: "grant", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"state", text}, {"request_id", text}, {"principal", text}, {"person", text},
		{"resource", text}, {"role", text}, {"duration", integer}, {"conditional", boolean}, {"watched", boolean},
		{"created_at", integer}, {"setup_by", integer}, {"expires_at", integer}, {"due_at", integer}, {"body", text}, {"auth", text}},
	fixed: []string{"request_id", "principal", "person", "resource", "role", "created_at", "auth"},
}.build()

var grantTargetTable = table{name: "grant_targets", noun: "target", keys: 2,
	columns: []column{{"resource", text}, {"id", text}}}.build()

type grantBody struct {
	Device         string          `json:"device,omitempty"`
	SealKey        []byte          `json:"seal_key,omitempty"`
	Targets        []targetBody    `json:"targets"`
	Permissions    permissionsBody `json:"permissions"`
	Endings        endingsBody     `json:"endings,omitzero"`
	Clock          string          `json:"clock,omitempty"`
	Digest         []byte          `json:"digest"`
	Documents      int64           `json:"documents,omitempty"`
	Policy         string          `json:"policy,omitempty"`
	Source         sourceBody      `json:"source,omitzero"`
	Reason         string          `json:"reason"`
	Ticket         string          `json:"ticket,omitempty"`
	Emergency      string          `json:"emergency,omitempty"`
	StartsAt       stamp           `json:"starts_at,omitempty"`
	ActiveAt       stamp           `json:"active_at,omitempty"`
	EndingAt       stamp           `json:"ending_at,omitempty"`
	EndedAt        stamp           `json:"ended_at,omitempty"`
	VerifiedGoneAt stamp           `json:"verified_gone_at,omitempty"`
	EndReason      string          `json:"end_reason,omitempty"`
	EndNote        string          `json:"end_note,omitempty"`
	SetupError     string          `json:"setup_error,omitempty"`
	SeenAt         stamp           `json:"seen_at,omitempty"`
}

func grantRow(g access.Grant) (write, error) {
	body, err := encode(grantBody{
		Device: string(g.Device), SealKey: g.SealKey, Targets: targetsOf(g.Targets), Permissions: permissionsOf(g.Permissions),
		Endings: endingsBody(g.Endings), Clock: string(g.Clock), Digest: g.Digest[:], Documents: g.Documents, Policy: string(g.Policy),
		Source: sourceOf(g.Source), Reason: g.Reason, Ticket: g.Ticket, Emergency: string(g.Emergency), StartsAt: stampOf(g.StartsAt), ActiveAt: stampOf(g.ActiveAt),
		EndingAt: stampOf(g.EndingAt), EndedAt: stampOf(g.EndedAt), VerifiedGoneAt: stampOf(g.VerifiedGoneAt),
		EndReason: string(g.EndReason), EndNote: g.EndNote, SetupError: g.SetupError, SeenAt: stampOf(g.SeenAt),
	})
	if err != nil {
		return nil, err
	}
	auth, err := authText(g.Source.Auth)
	if err != nil {
		return nil, err
	}
	watched := g.State == access.Active && (g.Endings.OnLogout || g.Endings.OnIdle > 0)
	return write{string(g.ID), g.Version, string(g.State), string(g.Request), string(g.Principal), string(g.Person),
		firstResource(g.Targets), string(g.Role), int64(g.Duration), g.Conditional, watched,
		millis(g.CreatedAt), millis(g.SetupBy), millis(g.ExpiresAt), millis(g.DueAt()), body, auth}, nil
}

const grantColumns = "SELECT id, version, state, request_id, principal, person, role, duration, conditional, created_at, setup_by, expires_at, body, auth FROM grants"

func scanGrant(row row) (access.Grant, error) {
	var g access.Grant
	var duration, created, setupBy, expires int64
	var text, auth string
	if err := row.Scan(&g.ID, &g.Version, &g.State, &g.Request, &g.Principal, &g.Person, &g.Role, &duration, &g.Conditional,
		&created, &setupBy, &expires, &text, &auth); err != nil {
		return g, err
	}
	var b grantBody
	if err := decode(text, "grant", string(g.ID), &b); err != nil {
		return g, err
	}
	g.Duration, g.CreatedAt, g.SetupBy, g.ExpiresAt = time.Duration(duration), instant(created), instant(setupBy), instant(expires)
	g.Device, g.SealKey, g.Targets, g.Permissions = access.DeviceID(b.Device), b.SealKey, targets(b.Targets), b.Permissions.permissions()
	g.Endings, g.Clock, g.Digest, g.Documents = access.Endings(b.Endings), access.StartClock(b.Clock), digestOf(b.Digest), b.Documents
	g.Policy, g.Source, g.Reason, g.Ticket = access.PolicyName(b.Policy), b.Source.source(), b.Reason, b.Ticket
	g.Emergency = access.Emergency(b.Emergency)
	var err error
	if g.Source.Auth, err = authOf(auth, "grant", string(g.ID)); err != nil {
		return g, err
	}
	g.StartsAt, g.ActiveAt, g.EndingAt = b.StartsAt.time(), b.ActiveAt.time(), b.EndingAt.time()
	g.EndedAt, g.VerifiedGoneAt = b.EndedAt.time(), b.VerifiedGoneAt.time()
	g.EndReason, g.EndNote, g.SetupError, g.SeenAt = access.EndReason(b.EndReason), b.EndNote, b.SetupError, b.SeenAt.time()
	return g, nil
}

// Grant reads one grant.
func (tx *Tx) Grant(id access.GrantID) (access.Grant, error) {
	return one(tx, "grant", scanGrant, grantColumns+" WHERE id = $1", string(id))
}

// SaveGrants writes grants. The request of a new one must be saved before.
func (tx *Tx) SaveGrants(gs ...access.Grant) error {
	rows := make([]write, 0, len(gs))
	var others []write
	for _, g := range gs {
		w, err := grantRow(g)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
		if g.Version == 1 {
			others = append(others, otherTargets(string(g.ID), g.Targets)...)
		}
	}
	if err := tx.save(grantTable, rows); err != nil {
		return err
	}
	return tx.save(grantTargetTable, others)
}

// Grants lists grants, newest first.
func (tx *Tx) Grants(q access.GrantQuery) ([]access.Grant, error) {
	p := plan{columns: grantColumns, targets: "grant_targets", resource: string(q.Resource), down: true, cursor: string(q.Before),
		limit: limited(q.Limit, 100, 1000)}
	for _, s := range q.States {
		p.states = append(p.states, string(s))
	}
	p.equal("principal", string(q.Principal))
	p.equal("person", string(q.Person))
	p.equal("role", string(q.Role))
	if q.Conditional {
		p.extra = append(p.extra, "conditional")
	}
	if q.Watched {
		p.extra = append(p.extra, "watched")
		if slices.Equal(q.States, []access.GrantState{access.Active}) {
			p.states = nil // they all are; naming the state leads SQLite to the index of all active grants
		}
	}
	return page(tx, p, scanGrant, func(g access.Grant) string { return string(g.ID) })
}

// DueGrants are those whose DueAt has come: ends before beginnings, the longest
// due first, so that no number of shifts that begin hides an end. Among those that
// are due at one instant there is no order: to find one, a hundred thousand that
// end together would be read for each thousand that is ended.
func (tx *Tx) DueGrants(limit int) ([]access.Grant, error) {
	gs, err := listGood(tx, scanGrant, grantColumns+" WHERE due_at <= $1 AND state <> 'scheduled' ORDER BY due_at"+first(limit), tx.now.UnixMilli())
	if err != nil || len(gs) >= limit {
		return gs, err
	}
	// Not by the index of states: there is no limit to how many are scheduled.
	begin, err := listGood(tx, scanGrant, grantColumns+" WHERE due_at <= $1 AND state || '' = 'scheduled' ORDER BY due_at"+first(limit-len(gs)), tx.now.UnixMilli())
	return append(gs, begin...), err
}

// EndingNext are those that time ends next, the soonest first: active ones, and
// those whose set-up has a deadline.
func (tx *Tx) EndingNext(limit int) ([]access.Grant, error) {
	return listGood(tx, scanGrant, grantColumns+" WHERE due_at IS NOT NULL AND state <> 'scheduled' ORDER BY due_at"+first(limit))
}

var grantsOf = byIDs(grantColumns + " WHERE id {ids}")

// GrantsOf are those of the ids that exist.
func (tx *Tx) GrantsOf(ids ...access.GrantID) ([]access.Grant, error) {
	return listByIDs(tx, scanGrant, grantsOf, ids)
}
