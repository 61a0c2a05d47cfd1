package simstore

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"stint/internal/access"
)

type residueKey struct {
	grant access.GrantID
	place access.Place
}

// SaveResidues inserts residues or replaces them.
func (tx *Tx) SaveResidues(rs ...access.Residue) error {
	if err := tx.writes(); err != nil {
		return err
	}
	s := tx.s
	for _, r := range rs {
		k := residueKey{r.Grant, r.Place}
		old, was := s.residues[k]
		r.Traces = slices.Clone(r.Traces)
		s.residues[k] = r
		tx.undone(func() {
			if was {
				s.residues[k] = old
			} else {
				delete(s.residues, k)
			}
		})
	}
	return nil
}

// residuesWhere lists copies of those that ok takes, in the order of compare.
func (tx *Tx) residuesWhere(ok func(access.Residue) bool, compare func(a, b access.Residue) int) (found []access.Residue, err error) {
	if tx.err != nil {
		return nil, tx.err
	}
	for r := range maps.Values(tx.s.residues) {
		if ok(r) {
			r.Traces = slices.Clone(r.Traces)
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b access.Residue) int {
		return cmp.Or(compare(a, b), cmp.Compare(a.Grant, b.Grant), cmp.Compare(a.Place, b.Place))
	})
	return found, nil
}

// DueResidues are pending ones whose DueAt has come, the longest due first.
func (tx *Tx) DueResidues(limit int) ([]access.Residue, error) {
	found, err := tx.residuesWhere(func(r access.Residue) bool { return !r.DueAt.IsZero() && !r.DueAt.After(tx.now) },
		func(a, b access.Residue) int { return a.DueAt.Compare(b.DueAt) })
	return found[:min(len(found), limit)], err
}

// PendingResidues are those of a place that have no answer yet, the longest due first.
func (tx *Tx) PendingResidues(q access.ResidueQuery) ([]access.Residue, error) {
	found, err := tx.residuesWhere(func(r access.Residue) bool { return !r.DueAt.IsZero() && r.Place == q.Place },
		func(a, b access.Residue) int { return a.DueAt.Compare(b.DueAt) })
	return found[:min(len(found), q.Limit)], err
}

// ResiduesOf are those of the grants that have any.
func (tx *Tx) ResiduesOf(ids ...access.GrantID) ([]access.Residue, error) {
	return tx.residuesWhere(func(r access.Residue) bool { return slices.Contains(ids, r.Grant) },
		func(access.Residue, access.Residue) int { return 0 })
}

// fingerprintsKept is how many fingerprints of a place there are at most.
const fingerprintsKept = 48

// SaveFingerprint keeps one more of a place; of many, the second oldest goes.
func (tx *Tx) SaveFingerprint(f access.Fingerprint) error {
	if err := tx.writes(); err != nil {
		return err
	}
	s, old := tx.s, tx.s.fingerprints[f.Place]
	f.Body = slices.Clone(f.Body)
	next := slices.DeleteFunc(slices.Clone(old), func(o access.Fingerprint) bool { return o.TakenAt.Equal(f.TakenAt) })
	next = append(next, f)
	slices.SortFunc(next, func(a, b access.Fingerprint) int { return a.TakenAt.Compare(b.TakenAt) })
	if len(next) > fingerprintsKept {
		next = slices.Delete(next, 1, 2)
	}
	s.fingerprints[f.Place] = next
	tx.undone(func() { s.fingerprints[f.Place] = old })
	return nil
}

// FingerprintTimes says when those of a place were complete, oldest first.
func (tx *Tx) FingerprintTimes(p access.Place) (at []time.Time, err error) {
	for _, f := range tx.s.fingerprints[p] {
		at = append(at, f.TakenAt)
	}
	return at, tx.err
}

// FingerprintAt is the newest of a place that was complete at the time.
func (tx *Tx) FingerprintAt(p access.Place, at time.Time) (access.Fingerprint, error) {
	if tx.err != nil {
		return access.Fingerprint{}, tx.err
	}
	for _, f := range slices.Backward(tx.s.fingerprints[p]) {
		if !f.TakenAt.After(at) {
			f.Body = slices.Clone(f.Body)
			return f, nil
		}
	}
	return access.Fingerprint{}, missing("fingerprint")
}
