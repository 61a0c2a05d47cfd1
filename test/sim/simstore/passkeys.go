package simstore

import (
	"bytes"
	"cmp"
	"slices"

	"stint/internal/access"
)

// Passkey reads one passkey.
func (tx *Tx) Passkey(id access.PasskeyID) (access.Passkey, error) {
	if tx.err != nil {
		return access.Passkey{}, tx.err
	}
	p, there := tx.s.people.passkeys[id]
	if !there {
		return access.Passkey{}, missing("passkey")
	}
	return clonePasskey(p), nil
}

// Passkeys lists the passkeys of a person, or without one all, by name.
func (tx *Tx) Passkeys(person access.Person) (found []access.Passkey, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, p := range tx.s.people.passkeys {
		if person == "" || p.Person == person {
			found = append(found, clonePasskey(p))
		}
	}
	slices.SortFunc(found, func(a, b access.Passkey) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// SavePasskeys writes passkeys.
func (tx *Tx) SavePasskeys(ps ...access.Passkey) error {
	if err := tx.writes(); err != nil {
		return err
	}
	all := tx.s.people.passkeys
	for _, fresh := range []bool{true, false} {
		for _, p := range ps {
			if fresh != (p.Version == 1) {
				continue
			}
			old, there := all[p.ID]
			same := p.Principal == old.Principal && p.Person == old.Person && bytes.Equal(p.Credential, old.Credential) && instant(p.CreatedAt).Equal(old.CreatedAt)
			if !there && p.Version != 1 || there && (!follows(p.Version, old.Version) || !same) {
				return tx.fail(changed("passkey", p.ID, p.Version))
			}
			if err := passkeyRule(all, old, there, p); err != nil {
				return tx.fail(err)
			}
			putKey(tx, all, p.ID, clonePasskey(p))
		}
	}
	return nil
}

func passkeyRule(all map[access.PasskeyID]access.Passkey, old access.Passkey, there bool, p access.Passkey) error {
	twice, first := false, false
	for id, other := range all {
		if id != p.ID {
			twice = twice || bytes.Equal(other.Credential, p.Credential)
			first = first || other.Anchor == access.AnchorGenesis
		}
	}
	switch {
	case twice:
		return taken("the passkey of this credential")
	case first && p.Anchor == access.AnchorGenesis:
		return taken("the first passkey")
	}
	return hold(
		rule{p.State == access.PasskeyActive && p.Anchor == "", "an active passkey has an anchor"},
		rule{p.ID == "" || p.Principal == "" || p.Person == "" || len(p.Credential) == 0 || len(p.Credential) > 1023, "the parts of a passkey"},
		rule{there && (old.State == access.PasskeyRemoved || p.State != old.State && p.Version == old.Version ||
			old.State == access.PasskeyActive && p.State == access.PasskeyProposed || old.Anchor != "" && p.Anchor != old.Anchor || p.Counter < old.Counter),
			"a passkey is proposed, active, removed, and its counter goes up"},
	)
}
