package store

import (
	"time"

	"stint/internal/access"
)

var delegationTable = table{
	name: "delegations", noun: "delegation", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"principal", text}, {"person", text}, {"delegate", text}, {"delegate_person", text},
		{"starts_at", integer}, {"ends_at", integer}, {"ended_at", integer}, {"body", text}},
	fixed: []string{"principal", "person", "delegate", "delegate_person", "starts_at", "ends_at"},
}.build()

type delegationBody struct {
	Why       string `json:"why"`
	CreatedAt stamp  `json:"created_at"`
	EndedBy   string `json:"ended_by,omitempty"`
}

func delegationRow(d access.Delegation) (write, error) {
	body, err := encode(delegationBody{d.Why, stampOf(d.CreatedAt), string(d.EndedBy)})
	return write{string(d.ID), d.Version, string(d.Principal), string(d.Person), string(d.To), string(d.ToPerson),
		d.StartsAt.UnixMilli(), d.EndsAt.UnixMilli(), millis(d.EndedAt), body}, err
}

const delegationColumns = "SELECT id, version, principal, person, delegate, delegate_person, starts_at, ends_at, ended_at, body FROM delegations"

func scanDelegation(row row) (access.Delegation, error) {
	var d access.Delegation
	var starts, ends int64
	var ended *int64
	var text string
	if err := row.Scan(&d.ID, &d.Version, &d.Principal, &d.Person, &d.To, &d.ToPerson, &starts, &ends, &ended, &text); err != nil {
		return d, err
	}
	var b delegationBody
	if err := decode(text, "delegation", string(d.ID), &b); err != nil {
		return d, err
	}
	d.StartsAt, d.EndsAt, d.EndedAt = instant(starts), instant(ends), instantOf(ended)
	d.Why, d.CreatedAt, d.EndedBy = b.Why, b.CreatedAt.time(), access.PrincipalID(b.EndedBy)
	return d, nil
}

// SaveDelegations writes delegations.
func (tx *Tx) SaveDelegations(ds ...access.Delegation) error {
	rows := make([]write, 0, len(ds))
	for _, d := range ds {
		w, err := delegationRow(d)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(delegationTable, rows)
}

// Delegations lists delegations, newest first.
func (tx *Tx) Delegations(q access.DelegationQuery) ([]access.Delegation, error) {
	p := plan{columns: delegationColumns, down: true, cursor: string(q.Before), limit: limited(q.Limit, 100, 1000)}
	p.equal("principal", string(q.Principal))
	p.equal("delegate", string(q.To))
	if q.Prefix != "" {
		p.where("id >= $%d", q.Prefix)
		p.where("id < $%d", q.Prefix+"~") // sorts after all letters
	}
	if q.Open {
		p.where("ends_at > $%d", tx.now.Truncate(time.Millisecond).UnixMilli())
		p.extra = append(p.extra, "ended_at IS NULL")
	}
	return page(tx, p, scanDelegation, func(d access.Delegation) string { return string(d.ID) })
}
