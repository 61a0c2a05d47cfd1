package store

import (
	"fmt"
	"strings"

	"stint/internal/access"
)

var principalTable = table{
	name: "principals", noun: "principal", keys: 1, versioned: true,
	columns: []column{{"id", text}, {"version", integer}, {"kind", text}, {"person", text}, {"body", text}, {"linked", text},
		{"party", text}, {"answered_by", text}, {"contract_ends", integer}},
}.build()

// identityTable finds principals by who they are elsewhere; principals.linked says
// the same.
var identityTable = table{
	name: "identities", noun: "identity", keys: 2, once: true,
	columns: []column{{"provider", text}, {"subject", text}, {"principal", text}},
}.build()

// linkedBody is what providers said of a principal, and the rights that came after the
// first version. It has a column of its own, because versions that do not know it must
// not write it, nor fail to read the body.
type linkedBody struct {
	Identities []identityBody            `json:"identities,omitempty"`
	Provided   map[string][]access.Group `json:"provided,omitempty"`
	DisabledBy string                    `json:"disabled_by,omitempty"`
	Author     bool                      `json:"author,omitempty"` // of policies
	// Lock is here, too: a version that does not know it does not let anybody in whom it
	// cannot read.
	Lock *lockBody `json:"lock,omitempty"`
}

type lockBody struct {
	With string `json:"with"`
	By   string `json:"by"`
	Why  string `json:"why"`
	At   stamp  `json:"at"`
}

type identityBody struct {
	Provider string `json:"provider"`
	Subject  string `json:"subject"`
}

// linkedText is empty for those of whom there is nothing in it.
func linkedText(p access.Principal) (string, error) {
	if len(p.Identities) == 0 && len(p.Provided) == 0 && p.DisabledBy == "" && !p.Author && !p.Lock.Is() {
		return "", nil
	}
	b := linkedBody{Provided: p.Provided, DisabledBy: p.DisabledBy, Author: p.Author}
	for _, i := range p.Identities {
		b.Identities = append(b.Identities, identityBody(i))
	}
	if p.Lock.Is() {
		b.Lock = &lockBody{string(p.Lock.With), string(p.Lock.By), p.Lock.Why, stampOf(p.Lock.At)}
	}
	return encode(b)
}

// partyBody is who answers for a vendor or an agent. It too has a column of its own; the
// columns answered_by and contract_ends say the same, to be found by.
type partyBody struct {
	Sponsor     string `json:"sponsor,omitempty"`
	Company     string `json:"company,omitempty"`
	Responsible string `json:"responsible,omitempty"`
}

// partyText is empty for all others.
func partyText(p access.Principal) (string, error) {
	b := partyBody{string(p.Sponsor), p.Company, string(p.Responsible)}
	if b == (partyBody{}) {
		return "", nil
	}
	return encode(b)
}

// contractEnds is when time disables a vendor; nil for all others.
func contractEnds(p access.Principal) any {
	if p.Sponsor == "" || p.Disabled {
		return nil
	}
	return millis(p.Until)
}

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
	if err != nil {
		return nil, err
	}
	linked, err := linkedText(p)
	if err != nil {
		return nil, err
	}
	party, err := partyText(p)
	return write{string(p.ID), p.Version, string(p.ID.Kind()), string(p.Person), body, linked, party, string(p.AnsweredBy()), contractEnds(p)}, err
}

const principalColumns = "SELECT id, version, person, body, linked, party FROM principals"

func scanPrincipal(row row) (access.Principal, error) {
	var p access.Principal
	var text, linked, party string
	if err := row.Scan(&p.ID, &p.Version, &p.Person, &text, &linked, &party); err != nil {
		return p, err
	}
	var b principalBody
	if err := decode(text, "principal", string(p.ID), &b); err != nil {
		return p, err
	}
	p.Groups, p.Attributes, p.Manager = b.Groups, b.Attributes, access.PrincipalID(b.Manager)
	p.Admin, p.Auditor, p.Disabled = b.Admin, b.Auditor, b.Disabled
	p.Until, p.CreatedAt = b.Until.time(), b.CreatedAt.time()
	if party != "" {
		var b partyBody
		if err := decode(party, "principal", string(p.ID), &b); err != nil {
			return p, err
		}
		p.Sponsor, p.Company, p.Responsible = access.PrincipalID(b.Sponsor), b.Company, access.PrincipalID(b.Responsible)
	}
	if linked == "" {
		return p, nil
	}
	var l linkedBody
	if err := decode(linked, "principal", string(p.ID), &l); err != nil {
		return p, err
	}
	p.Provided, p.DisabledBy, p.Author = l.Provided, l.DisabledBy, l.Author
	for _, i := range l.Identities {
		p.Identities = append(p.Identities, access.Identity(i))
	}
	if l.Lock != nil {
		p.Lock = access.Lock{With: access.PrincipalID(l.Lock.With), By: access.PrincipalID(l.Lock.By), Why: l.Lock.Why, At: l.Lock.At.time()}
	}
	return p, nil
}

// Principal reads one principal.
func (tx *Tx) Principal(id access.PrincipalID) (access.Principal, error) {
	return one(tx, "principal", scanPrincipal, principalColumns+" WHERE id = $1", string(id))
}

var principalByIdentity = principalColumns + " WHERE id = (SELECT principal FROM identities WHERE provider = $1 AND subject = $2)"

// PrincipalByIdentity finds who has an identity.
func (tx *Tx) PrincipalByIdentity(i access.Identity) (access.Principal, error) {
	return one(tx, "principal", scanPrincipal, principalByIdentity, i.Provider, i.Subject)
}

var dropIdentities = byIDs("DELETE FROM identities WHERE principal {ids}")

// SavePrincipals writes principals. access.Conflict when another principal has one
// of their identities.
func (tx *Tx) SavePrincipals(ps ...access.Principal) error {
	rows := make([]write, 0, len(ps))
	var later []access.PrincipalID // that may have had identities
	var ids []write
	for _, p := range ps {
		w, err := principalRow(p)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
		if p.Version > 1 {
			later = append(later, p.ID)
		}
		for _, i := range p.Identities {
			ids = append(ids, write{i.Provider, i.Subject, string(p.ID)})
		}
	}
	if err := tx.save(principalTable, rows); err != nil {
		return err
	}
	if len(later) > 0 {
		if err := execByIDs(tx, nil, dropIdentities, later); err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return tx.save(identityTable, ids)
}

// Principals lists all of a kind, or with an empty kind all, by name.
func (tx *Tx) Principals(kind access.PrincipalKind) ([]access.Principal, error) {
	if kind == "" {
		return list(tx, scanPrincipal, principalColumns+" ORDER BY id")
	}
	return list(tx, scanPrincipal, principalColumns+" WHERE kind = $1 ORDER BY id", string(kind))
}

// PrincipalsNamed lists so many of those whose id has all the parts in it, by name. A part
// is of the alphabet of ids, or nobody has it.
func (tx *Tx) PrincipalsNamed(parts []string, limit int) ([]access.Principal, error) {
	q, args := principalColumns, []any{}
	for i, p := range parts {
		for _, c := range p {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune(":._-", c) {
				return nil, nil
			}
		}
		q += []string{" WHERE ", " AND "}[min(i, 1)] + fmt.Sprintf(`id LIKE $%d ESCAPE '\'`, i+1)
		args = append(args, "%"+strings.ReplaceAll(p, "_", `\_`)+"%")
	}
	return list(tx, scanPrincipal, q+" ORDER BY id"+first(limit), args...)
}

// PrincipalsOf lists the vendors and agents that a principal answers for, by name.
func (tx *Tx) PrincipalsOf(by access.PrincipalID) ([]access.Principal, error) {
	return list(tx, scanPrincipal, principalColumns+" WHERE answered_by = $1 AND answered_by <> '' ORDER BY id", string(by))
}

// DueContracts are the vendors whose contract is over and who are not disabled yet, the
// longest over first.
func (tx *Tx) DueContracts(limit int) ([]access.Principal, error) {
	return listGood(tx, scanPrincipal, principalColumns+" WHERE contract_ends <= $1 ORDER BY contract_ends, id"+first(limit), tx.now.UnixMilli())
}
