package simstore

import (
	"slices"

	"stint/internal/access"
	"stint/internal/vault"
)

func cloneEntry(e vault.Entry) vault.Entry {
	e.Secrets = slices.Clone(e.Secrets)
	for i := range e.Secrets {
		s := &e.Secrets[i]
		s.Sealed = list(s.Sealed)
		s.MadeAt, s.UsedAt, s.DeadAt = instant(s.MadeAt), instant(s.UsedAt), instant(s.DeadAt)
	}
	e.DriftAt, e.NextAt, e.CreatedAt, e.RemovedAt = instant(e.DriftAt), instant(e.NextAt), instant(e.CreatedAt), instant(e.RemovedAt)
	return e
}

// Vaulted reads a vault entry, also one that was removed.
func (tx *Tx) Vaulted(name string) (vault.Entry, error) {
	if tx.err != nil {
		return vault.Entry{}, tx.err
	}
	e, there := tx.s.vault[name]
	if !there {
		return vault.Entry{}, missing("vault entry")
	}
	return cloneEntry(e), nil
}

// VaultedAt reads the entry of an account, which is not removed.
func (tx *Tx) VaultedAt(p access.Place, account string) (vault.Entry, error) {
	all, err := tx.Vault()
	if err != nil {
		return vault.Entry{}, err
	}
	for _, e := range all {
		if e.At == p && e.Account == account {
			return e, nil
		}
	}
	return vault.Entry{}, missing("vault entry")
}

// Vault lists all entries by name, without those that were removed.
func (tx *Tx) Vault() (all []vault.Entry, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for _, e := range tx.s.vault {
		if !e.Gone() {
			all = append(all, cloneEntry(e))
		}
	}
	slices.SortFunc(all, vault.ByName)
	return all, nil
}

// DueVault lists so many entries that are to be rotated, the longest due first, and then
// those whose secret is given out, from the one after on.
func (tx *Tx) DueVault(after vault.Entry, limit int) ([]vault.Entry, error) {
	all, err := tx.Vault()
	var due, out []vault.Entry
	for _, e := range all {
		if at := e.RotateAt(); !at.IsZero() && !at.After(tx.now) {
			due = append(due, e)
		} else if e.Out != "" {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(due, func(a, b vault.Entry) int { return a.RotateAt().Compare(b.RotateAt()) })
	due = append(due, out...)
	if after.Name != "" {
		isDue := func(e vault.Entry) bool { at := e.RotateAt(); return !at.IsZero() && !at.After(tx.now) }
		due = slices.DeleteFunc(due, func(e vault.Entry) bool {
			switch {
			case isDue(e) != isDue(after):
				return isDue(e) // which come first
			case isDue(e) && !e.RotateAt().Equal(after.RotateAt()):
				return e.RotateAt().Before(after.RotateAt())
			}
			return e.Name <= after.Name
		})
	}
	return due[:min(len(due), limit)], err
}

// SaveVault writes entries.
func (tx *Tx) SaveVault(es ...vault.Entry) error {
	if err := tx.writes(); err != nil {
		return err
	}
	for _, e := range es {
		old, there := tx.s.vault[e.Name]
		if !there && e.Version != 1 || there && !follows(e.Version, old.Version) {
			return tx.fail(changed("vault entry", e.Name, e.Version))
		}
		for _, x := range tx.s.vault {
			if x.Name != e.Name && x.At == e.At && x.Account == e.Account && !x.Gone() && !e.Gone() {
				return tx.fail(taken("the vault entry of this account"))
			}
		}
		if err := hold(rule{e.Name == "" || e.At == "" || e.Account == "" || e.Gone() && e.Out != "", "the parts of a vault entry"}); err != nil {
			return tx.fail(err)
		}
		putKey(tx, tx.s.vault, e.Name, cloneEntry(e))
	}
	return nil
}
