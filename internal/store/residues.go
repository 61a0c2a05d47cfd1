package store

import (
	"time"

	"stint/internal/access"
)

var residueTable = table{
	name: "residues", noun: "residue", keys: 2,
	columns: []column{{"grant_id", text}, {"place", text}, {"state", text}, {"due_at", integer}, {"body", text}},
}.build()

type residueBody struct {
	Attempts int            `json:"attempts,omitempty"`
	At       *int64         `json:"at,omitempty"`
	Note     string         `json:"note,omitempty"`
	Traces   []access.Trace `json:"traces,omitempty"`
}

const residueColumns = "SELECT grant_id, place, state, due_at, body FROM residues"

// SaveResidues writes what is known of what grants left behind.
func (tx *Tx) SaveResidues(rs ...access.Residue) error {
	rows := make([]write, 0, len(rs))
	for _, r := range rs {
		w, err := residueRow(r)
		if err != nil {
			return tx.fail(err)
		}
		rows = append(rows, w)
	}
	return tx.save(residueTable, rows)
}

func residueRow(r access.Residue) (write, error) {
	b := residueBody{Attempts: r.Attempts, Note: r.Note, Traces: r.Traces}
	if !r.At.IsZero() {
		ms := r.At.UnixMilli()
		b.At = &ms
	}
	body, err := encode(b)
	return write{string(r.Grant), string(r.Place), string(r.State), millis(r.DueAt), body}, err
}

func scanResidue(row row) (access.Residue, error) {
	var r access.Residue
	var due *int64
	var text string
	if err := row.Scan(&r.Grant, &r.Place, &r.State, &due, &text); err != nil {
		return r, err
	}
	var b residueBody
	if err := decode(text, "residue", string(r.Grant), &b); err != nil {
		return r, err
	}
	r.DueAt, r.Attempts, r.At, r.Note, r.Traces = instantOf(due), b.Attempts, instantOf(b.At), b.Note, b.Traces
	return r, nil
}

// DueResidues are those whose target is to be looked at, the longest due first.
func (tx *Tx) DueResidues(limit int) ([]access.Residue, error) {
	return list(tx, scanResidue, residueColumns+" WHERE due_at <= $1 ORDER BY due_at"+first(limit), tx.now.UnixMilli())
}

// PendingResidues are those of a place that have no answer yet, the longest due first.
func (tx *Tx) PendingResidues(q access.ResidueQuery) ([]access.Residue, error) {
	return list(tx, scanResidue, residueColumns+" WHERE due_at IS NOT NULL AND place = $1 ORDER BY due_at, grant_id"+first(q.Limit), string(q.Place))
}

var residuesOf = byIDs(residueColumns + " WHERE grant_id {ids} ORDER BY grant_id, place")

// ResiduesOf are those of the grants that have any.
func (tx *Tx) ResiduesOf(ids ...access.GrantID) ([]access.Residue, error) {
	return listByIDs(tx, scanResidue, residuesOf, ids)
}

// fingerprintsKept is how many fingerprints of a place there are at most.
const fingerprintsKept = 48

// SaveFingerprint keeps one more of a place. Where they get too many, one in the
// middle goes, where they are closest: an older one than would be right makes a
// comparison longer and never shorter, so the first one stays.
func (tx *Tx) SaveFingerprint(f access.Fingerprint) error {
	if _, err := tx.exec("INSERT INTO fingerprints (place, taken_at, body) VALUES ($1, $2, $3) ON CONFLICT (place, taken_at) DO UPDATE SET body = excluded.body",
		string(f.Place), f.TakenAt.UnixMilli(), f.Body); err != nil {
		return err
	}
	at, err := tx.FingerprintTimes(f.Place)
	if err != nil || len(at) <= fingerprintsKept {
		return err
	}
	least := 1
	for i := 1; i < len(at)-1; i++ {
		if at[i+1].Sub(at[i-1]) < at[least+1].Sub(at[least-1]) {
			least = i
		}
	}
	_, err = tx.exec("DELETE FROM fingerprints WHERE place = $1 AND taken_at = $2", string(f.Place), at[least].UnixMilli())
	return err
}

// FingerprintTimes says when those of a place were complete, oldest first.
func (tx *Tx) FingerprintTimes(p access.Place) ([]time.Time, error) {
	return list(tx, func(row row) (time.Time, error) {
		var ms int64
		err := row.Scan(&ms)
		return instant(ms), err
	}, "SELECT taken_at FROM fingerprints WHERE place = $1 ORDER BY taken_at", string(p))
}

// FingerprintAt is the newest of a place that was complete at the time.
func (tx *Tx) FingerprintAt(p access.Place, at time.Time) (access.Fingerprint, error) {
	return one(tx, "fingerprint", func(row row) (access.Fingerprint, error) {
		f := access.Fingerprint{Place: p}
		var ms int64
		err := row.Scan(&ms, &f.Body)
		f.TakenAt = instant(ms)
		return f, err
	}, "SELECT taken_at, body FROM fingerprints WHERE place = $1 AND taken_at <= $2 ORDER BY taken_at DESC LIMIT 1", string(p), at.UnixMilli())
}
