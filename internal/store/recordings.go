package store

import (
	"fmt"
	"strings"

	"stint/internal/access"
)

type recordingBody struct {
	Keys   [][]byte      `json:"keys"`
	GoneAt int64         `json:"gone_at,omitempty"`
	Frames uint64        `json:"frames,omitempty"`
	Root   access.Digest `json:"root,omitzero"`
	Bytes  int64         `json:"bytes,omitempty"`
	Sum    access.Digest `json:"sum,omitzero"`
	Reason string        `json:"reason,omitempty"`
	Hold   *holdBody     `json:"hold,omitempty"`
	// Lost is of one whose end did not come. Its column says broken: to a version that knows
	// nothing of lost ones it is that.
	Lost bool `json:"lost,omitempty"`
}

type holdBody struct {
	At  stamp  `json:"at"`
	By  string `json:"by"`
	Why string `json:"why"`
}

const recordingColumns = "SELECT session, version, gateway, state, began_at, ended_at, body FROM recordings"

func scanRecording(row row) (access.Recording, error) {
	var r access.Recording
	var began int64
	var ended *int64
	var text string
	if err := row.Scan(&r.Session, &r.Version, &r.Gateway, &r.State, &began, &ended, &text); err != nil {
		return r, err
	}
	var b recordingBody
	if err := decode(text, "recording", r.Session, &b); err != nil {
		return r, err
	}
	r.Keys, r.Frames, r.Root, r.Bytes, r.Sum, r.Reason = b.Keys, b.Frames, b.Root, b.Bytes, b.Sum, b.Reason
	r.BeganAt, r.EndedAt = instant(began), instantOf(ended)
	if b.GoneAt != 0 {
		r.GoneAt = instant(b.GoneAt)
	}
	if b.Lost && r.State == access.RecordingBroken {
		r.State = access.RecordingLost
	}
	if h := b.Hold; h != nil {
		r.HeldAt, r.HeldBy, r.HeldWhy = h.At.time(), access.PrincipalID(h.By), h.Why
	}
	return r, nil
}

// Recording reads what is known of a session's recording.
func (tx *Tx) Recording(session string) (access.Recording, error) {
	return one(tx, "recording", scanRecording, recordingColumns+" WHERE session = $1", session)
}

// Recordings lists them, the newest first.
func (tx *Tx) Recordings(q access.RecordingQuery) ([]access.Recording, error) {
	p := plan{conds: []string{"session > ''"}}
	p.equal("state", string(q.State))
	if !q.Begun.IsZero() {
		p.args = append(p.args, q.Begun.UnixMilli())
		p.conds = append(p.conds, fmt.Sprintf("began_at < $%d AND state <> 'removed' AND NOT held", len(p.args)))
	}
	if q.Before != "" {
		p.args = append(p.args, q.Before)
		p.conds = append(p.conds, fmt.Sprintf("session < $%d", len(p.args)))
	}
	p.args = append(p.args, int64(limited(q.Limit, 100, 1000)))
	return list(tx, scanRecording, fmt.Sprintf("%s WHERE %s ORDER BY session DESC LIMIT $%d", recordingColumns, strings.Join(p.conds, " AND "), len(p.args)), p.args...)
}

// SaveRecording writes one in the place of exactly the version before.
func (tx *Tx) SaveRecording(r access.Recording) error {
	b := recordingBody{Keys: r.Keys, Frames: r.Frames, Root: r.Root, Bytes: r.Bytes, Sum: r.Sum, Reason: r.Reason}
	if !r.GoneAt.IsZero() {
		b.GoneAt = r.GoneAt.UnixMilli()
	}
	state := r.State
	if state == access.RecordingLost {
		state, b.Lost = access.RecordingBroken, true
	}
	if !r.HeldAt.IsZero() {
		b.Hold = &holdBody{stampOf(r.HeldAt), string(r.HeldBy), r.HeldWhy}
	}
	body, err := encode(b)
	if err != nil {
		return tx.fail(err)
	}
	q := `INSERT INTO recordings (session, version, gateway, state, began_at, ended_at, body, held)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (session) DO NOTHING`
	if r.Version > 1 {
		q = "UPDATE recordings SET version = $2, gateway = $3, state = $4, began_at = $5, ended_at = $6, body = $7, held = $8 WHERE session = $1 AND version = $2 - 1"
	}
	n, err := tx.exec(q, r.Session, r.Version, r.Gateway, string(state), r.BeganAt.UnixMilli(), millis(r.EndedAt), body, !r.HeldAt.IsZero())
	if err == nil && n == 0 {
		err = tx.fail(changed("recording", r.Session, r.Version))
	}
	return err
}
