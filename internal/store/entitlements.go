package store

import (
	"time"

	"stint/internal/access"
)

// due_at is when somebody may next take the entitlement up: when it is to be
// tried next and no lease is on it.
var entitlementTable = table{
	name: "entitlements", noun: "entitlement", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"state", text}, {"place", text}, {"key", text}, {"removing", boolean},
		{"resource", text}, {"created_at", integer}, {"expires_at", integer}, {"next_at", integer}, {"due_at", integer}, {"body", text}},
	fixed: []string{"place", "key", "resource", "created_at"},
	derived: map[string]string{
		"due_at": "CASE WHEN {due_at} < t.lease_until THEN t.lease_until ELSE {due_at} END",
		// What is gone is nobody's work any more.
		"lease_until": "CASE WHEN {state} = 'gone' THEN NULL ELSE t.lease_until END",
	},
}.build()

type entitlementBody struct {
	Target     targetBody        `json:"target"`
	Mechanism  string            `json:"mechanism"`
	Person     string            `json:"person,omitempty"`
	Account    string            `json:"account,omitempty"`
	Rights     []string          `json:"rights,omitempty"`
	Options    map[string]string `json:"options,omitempty"`
	Exclusive  bool              `json:"exclusive,omitempty"`
	Tag        string            `json:"tag,omitempty"`
	Claimed    int64             `json:"claimed,omitempty"`
	Rev        int64             `json:"rev,omitempty"`
	Confirmed  int64             `json:"confirmed,omitempty"`
	Renew      access.Renewal    `json:"renew,omitempty"`
	Observed   bool              `json:"observed,omitempty"`
	Existing   bool              `json:"existing,omitempty"`
	Before     string            `json:"before,omitempty"`
	Creation   string            `json:"creation,omitempty"`
	CallUntil  stamp             `json:"call_until,omitempty"`
	LostUntil  stamp             `json:"lost_until,omitempty"`
	Attempts   int               `json:"attempts,omitempty"`
	LastError  string            `json:"last_error,omitempty"`
	RemovingAt stamp             `json:"removing_at,omitempty"`
	GoneAt     stamp             `json:"gone_at,omitempty"`
}

func entitlementRow(e access.Entitlement) (write, error) {
	body, err := encode(entitlementBody{
		Target: targetOf(e.Target), Mechanism: string(e.Mechanism), Person: string(e.Person), Account: e.Account, Rights: e.Rights,
		Options: e.Options, Exclusive: e.Exclusive, Tag: string(e.Tag), Claimed: e.Claimed, Rev: e.Rev, Confirmed: e.Confirmed,
		Renew: e.Renew, Observed: e.Observed, Existing: e.Existing, Before: e.Before, Creation: e.Creation,
		CallUntil: stampOf(e.CallUntil), LostUntil: stampOf(e.LostUntil), Attempts: e.Attempts, LastError: e.LastError,
		RemovingAt: stampOf(e.RemovingAt), GoneAt: stampOf(e.GoneAt),
	})
	if err != nil {
		return nil, err
	}
	next := millis(e.NextAt)
	var due any
	if e.Wanted() {
		if due = next; due == nil {
			due = int64(0) // work without a time is work for now, never work forgotten
		}
	}
	return write{string(e.ID), e.Version, string(e.State), string(e.Target.Connection.Place()), e.Key, e.State == access.Removing,
		string(e.Target.Resource), millis(e.CreatedAt), millis(e.ExpiresAt), next, due, body}, nil
}

const entitlementColumns = "SELECT id, version, state, key, created_at, expires_at, next_at, body FROM entitlements"

func scanEntitlement(row row) (access.Entitlement, error) {
	var e access.Entitlement
	var created int64
	var expires, next *int64
	var text string
	if err := row.Scan(&e.ID, &e.Version, &e.State, &e.Key, &created, &expires, &next, &text); err != nil {
		return e, err
	}
	var b entitlementBody
	if err := decode(text, "entitlement", string(e.ID), &b); err != nil {
		return e, err
	}
	e.CreatedAt, e.ExpiresAt, e.NextAt = instant(created), instantOf(expires), instantOf(next)
	e.Target, e.Mechanism, e.Person, e.Account = b.Target.target(), access.Mechanism(b.Mechanism), access.Person(b.Person), b.Account
	e.Rights, e.Options, e.Exclusive, e.Tag, e.Claimed = b.Rights, b.Options, b.Exclusive, access.Tag(b.Tag), b.Claimed
	e.Rev, e.Confirmed, e.Renew = b.Rev, b.Confirmed, b.Renew
	e.Observed, e.Existing, e.Before, e.Creation = b.Observed, b.Existing, b.Before, b.Creation
	e.CallUntil, e.LostUntil, e.Attempts, e.LastError = b.CallUntil.time(), b.LostUntil.time(), b.Attempts, b.LastError
	e.RemovingAt, e.GoneAt = b.RemovingAt.time(), b.GoneAt.time()
	return e, nil
}

// Entitlement reads one entitlement.
func (tx *Tx) Entitlement(id access.EntitlementID) (access.Entitlement, error) {
	return one(tx, "entitlement", scanEntitlement, entitlementColumns+" WHERE id = $1", string(id))
}

// SaveEntitlements writes entitlements. A lease on one stays on it.
func (tx *Tx) SaveEntitlements(es ...access.Entitlement) error {
	rows := make([]write, 0, len(es))
	for _, e := range es {
		w, err := entitlementRow(e)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(entitlementTable, rows)
}

// Entitlements lists entitlements, oldest first.
func (tx *Tx) Entitlements(q access.EntitlementQuery) ([]access.Entitlement, error) {
	p := plan{columns: entitlementColumns, resource: string(q.Resource), cursor: string(q.After), limit: limited(q.Limit, 1000, 10000)}
	for _, s := range q.States {
		p.states = append(p.states, string(s))
	}
	p.equal("place", string(q.Place))
	return page(tx, p, scanEntitlement, func(e access.Entitlement) string { return string(e.ID) })
}

// Removals are those being removed, also under a lease, the longest due first.
func (tx *Tx) Removals(limit int) ([]access.Entitlement, error) {
	return listGood(tx, scanEntitlement, entitlementColumns+" WHERE due_at IS NOT NULL AND removing = $1 ORDER BY due_at"+first(limit), true)
}

var entitlementsOf = byIDs(entitlementColumns + " WHERE id {ids}")

// EntitlementsOf are those of the ids that exist.
func (tx *Tx) EntitlementsOf(ids ...access.EntitlementID) ([]access.Entitlement, error) {
	return listByIDs(tx, scanEntitlement, entitlementsOf, ids)
}

// LiveEntitlement is the one of that place and key that is not gone.
func (tx *Tx) LiveEntitlement(p access.Place, key string) (access.Entitlement, error) {
	return one(tx, "entitlement", scanEntitlement,
		entitlementColumns+" WHERE place = $1 AND key = $2 AND state <> 'gone' AND key <> ''", string(p), key)
}

// LeftGroup is the newest membership of that place and key that is gone.
func (tx *Tx) LeftGroup(p access.Place, key string) (access.Entitlement, error) {
	return one(tx, "entitlement", scanEntitlement,
		entitlementColumns+" WHERE place = $1 AND key = $2 AND state = 'gone' AND substr(key, 1, 6) = 'group:' ORDER BY id DESC LIMIT 1", string(p), key)
}

// NextDue is when something that is not due yet next becomes due: a request, a
// grant, an entitlement or a lease; zero when nothing ever will.
func (tx *Tx) NextDue() (time.Time, error) {
	var next time.Time
	for _, q := range []string{
		"SELECT MIN(expires_at) FROM requests WHERE state = 'pending' AND expires_at > $1",
		"SELECT MIN(next_at) FROM requests WHERE state = 'pending' AND next_at > $1",
		"SELECT MIN(due_at) FROM grants WHERE due_at > $1",
		"SELECT MIN(due_at) FROM entitlements WHERE due_at > $1",
	} {
		err := tx.each(q, []any{tx.now.UnixMilli()}, func(row row) error {
			var ms *int64
			if err := row.Scan(&ms); err != nil {
				return err
			}
			if t := instantOf(ms); ms != nil && (next.IsZero() || t.Before(next)) {
				next = t
			}
			return nil
		})
		if err != nil {
			return time.Time{}, err
		}
	}
	return next, nil
}
