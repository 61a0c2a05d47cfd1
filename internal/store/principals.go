package store

import "stint/internal/access"

var principalTable = table{
	name: "principals", noun: "principal", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"kind", text}, {"person", text}, {"body", text}},
}.build()

type principalBody struct {
	Groups     []access.Group    `json:"groups,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Manager    string            `json:"manager,omitempty"`
	Admin      bool              `json:"admin,omitempty"`
	Auditor    bool              `json:"auditor,omitempty"`
	Disabled   bool              `json:"disabled,omitempty"`
	Until      stamp             `json:"until,omitempty"`
	CreatedAt  stamp             `json:"created_at,omitempty"`
}

func principalRow(p access.Principal) (write, error) {
	body, err := encode(principalBody{p.Groups, p.Attributes, string(p.Manager), p.Admin, p.Auditor, p.Disabled, stampOf(p.Until), stampOf(p.CreatedAt)})
	return write{string(p.ID), p.Version, string(p.ID.Kind()), string(p.Person), body}, err
}

const principalColumns = "SELECT id, version, person, body FROM principals"

func scanPrincipal(row row) (access.Principal, error) {
	var p access.Principal
	var text string
	if err := row.Scan(&p.ID, &p.Version, &p.Person, &text); err != nil {
		return p, err
	}
	var b principalBody
	if err := decode(text, "principal", string(p.ID), &b); err != nil {
		return p, err
	}
	p.Groups, p.Attributes, p.Manager = b.Groups, b.Attributes, access.PrincipalID(b.Manager)
	p.Admin, p.Auditor, p.Disabled = b.Admin, b.Auditor, b.Disabled
	p.Until, p.CreatedAt = b.Until.time(), b.CreatedAt.time()
	return p, nil
}

// Principal reads one principal.
func (tx *Tx) Principal(id access.PrincipalID) (access.Principal, error) {
	return one(tx, "principal", scanPrincipal, principalColumns+" WHERE id = $1", string(id))
}

// SavePrincipals writes principals.
func (tx *Tx) SavePrincipals(ps ...access.Principal) error {
	rows := make([]write, 0, len(ps))
	for _, p := range ps {
		w, err := principalRow(p)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(principalTable, rows)
}

// Principals lists all of a kind, or with an empty kind all, by name.
func (tx *Tx) Principals(kind access.PrincipalKind) ([]access.Principal, error) {
	if kind == "" {
		return list(tx, scanPrincipal, principalColumns+" ORDER BY id")
	}
	return list(tx, scanPrincipal, principalColumns+" WHERE kind = $1 ORDER BY id", string(kind))
}
