package access

import (
	"cmp"
	"encoding/json"
	"time"
)

// Credential is a registered connector login: how Stint itself signs in to a
// target. It is bound to type and address, so that no document can send it
// elsewhere. Sealed is ciphertext.
type Credential struct {
	Name     string
	Type     string
	Address  string
	Username string
	Sealed   []byte
	Version  int64
	SetAt    time.Time
}

// Gone reports whether the credential was deleted: its row stays without the secret,
// so that the versions of its name go on.
func (c Credential) Gone() bool { return len(c.Sealed) == 0 }

// Place is where the credential signs in.
func (c Credential) Place() Place { return Connection{Type: c.Type, Address: c.Address}.Place() }

// Moves reports whether b is bound elsewhere than c: no more of use for what c made.
func (c Credential) Moves(b Credential) bool { return c.Type != b.Type || c.Address != b.Address }

// QuarantineSetting is where the store keeps why the installation grants nothing, as
// JSON with a "why"; absent means that it is in no quarantine.
const QuarantineSetting = "quarantine"

// CredentialTx is what LetGo reads, in the transaction that changes the credential.
type CredentialTx interface {
	Setting(name string) ([]byte, error)
	Entitlements(q EntitlementQuery) ([]Entitlement, error)
	PendingResidues(q ResidueQuery) ([]Residue, error)
	HoldsBy(ids ...GrantID) ([]Hold, error)
	EntitlementsOf(ids ...EntitlementID) ([]Entitlement, error)
}

// LetGo refuses to take the login away from its address, by deleting it or by binding
// it elsewhere, while it may still be needed there: Unavailable in quarantine, Conflict
// where something was made with it that is not gone, or not examined for what it left
// behind. In doubt it is needed.
func (c Credential) LetGo(tx CredentialTx) error {
	if err := quarantined(tx); err != nil {
		return err
	}
	live, err := tx.Entitlements(c.users())
	if err != nil {
		return err
	}
	if err := c.unused(live); err != nil {
		return err
	}
	pending, err := tx.PendingResidues(c.unanswered())
	if err != nil {
		return err
	}
	grants := make([]GrantID, len(pending))
	for i, r := range pending {
		grants[i] = r.Grant
	}
	holds, err := tx.HoldsBy(grants...)
	if err != nil {
		return err
	}
	ids := make([]EntitlementID, len(holds))
	for i, h := range holds {
		ids[i] = h.Entitlement
	}
	ended, err := tx.EntitlementsOf(ids...)
	if err != nil {
		return err
	}
	return c.answered(pending, holds, ended)
}

// quarantined refuses while nobody can tell what was made.
func quarantined(tx CredentialTx) error {
	v, err := tx.Setting(QuarantineSetting)
	if err != nil || v == nil {
		return err
	}
	var q struct {
		Why string `json:"why"`
	}
	if json.Unmarshal(v, &q) != nil || q.Why == "" {
		q.Why = "what the store says about it cannot be read"
	}
	return Fail(Unavailable, "quarantined", "no credential is deleted or bound elsewhere: the installation is in quarantine").
		Because("nobody can tell yet what was made with it: " + q.Why).
		Try("see what is missing with stint admin restore status; a new password can be set meanwhile")
}

// users selects what may have been made with the credential and may still be there.
func (c Credential) users() EntitlementQuery {
	return EntitlementQuery{Place: c.Place(),
		States: []EntitlementState{Intended, Present, Refreshing, Removing}, Limit: 10000}
}

// unused refuses while what users found was made with the credential, or is too much to
// tell. A Resource that was deleted, its grants revoked, still needs it until everything
// is read back as gone.
func (c Credential) unused(found []Entitlement) error {
	for _, e := range found {
		if e.Target.Connection.Credential == c.Name && e.State == Removing {
			trouble := "stint audit search --type removal.trouble" // entities of their own: a search by this one finds none
			if e.Target.Resource != "" {                           // a sweep does not know it
				trouble += " --resource " + string(e.Target.Resource)
			}
			return Fail(Conflict, "in-use", "access that was made with the credential "+c.Name+" is not read back as gone yet").
				Because(cmp.Or(e.LastError, string(e.ID)+" is being removed") + "; without the credential, it could not be taken away").
				Try("try again when nothing is ending: stint get grants --state ending; " + trouble)
		}
		if e.Target.Connection.Credential == c.Name {
			return Fail(Conflict, "in-use", "live access depends on the credential "+c.Name+" at "+c.Address).
				Because("without it, it could not be taken away").
				Try("end it first with: stint revoke --resource " + string(e.Target.Resource) + " --why …")
		}
	}
	if len(found) >= c.users().Limit {
		return Fail(Conflict, "in-use", "there is too much live access at "+c.Address+" to tell whether it depends on the credential "+c.Name).
			Try("let some of it end, then try again")
	}
	return nil
}

// unanswered selects the ended grants of which it is not known what they left behind
// where the credential signs in.
func (c Credential) unanswered() ResidueQuery { return ResidueQuery{Place: c.Place(), Limit: 1000} }

// answered refuses while what unanswered found is still to be examined with the
// credential, or is too much to tell. held are the holds of these grants, and ended the
// entitlements held. An entitlement is examined with the login that it was made with;
// what a grant's own targets name may be another one, where it shares what was there.
func (c Credential) answered(pending []Residue, held []Hold, ended []Entitlement) error {
	of := map[EntitlementID]GrantID{}
	for _, h := range held {
		of[h.Entitlement] = h.Grant
	}
	for _, e := range ended {
		if at := e.Target.Connection; at.Credential == c.Name && at.Place() == c.Place() {
			grant := string(of[e.ID])
			return Fail(Conflict, "in-use", "it is not known yet what access left behind that was made with the credential "+c.Name).
				Because("the target has not been looked at since " + grant + " ended").
				Try("try again in some seconds; a target that does not answer is given up after half an hour: stint status " + grant)
		}
	}
	if len(pending) >= c.unanswered().Limit {
		return Fail(Conflict, "in-use", "too much access at "+c.Address+" has just ended to tell whether it was made with the credential "+c.Name).
			Try("try again in a minute")
	}
	return nil
}
