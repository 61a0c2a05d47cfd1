package store

import (
	"context"
	"crypto/sha256"
	"time"
)

// SeenProof records a proof of possession by its identifier, until it expires.
// It reports false when the proof was used before, on whichever replica.
func (s *Store) SeenProof(ctx context.Context, jti string, expires time.Time) (fresh bool, err error) {
	id := sha256.Sum256([]byte(jti)) // the sender chooses the length of a jti
	err = s.Update(ctx, func(tx *Tx) error {
		n, err := tx.exec("INSERT INTO proofs (jti, expires_at) VALUES ($1, $2) ON CONFLICT (jti) DO NOTHING", id[:], expires.UnixMilli())
		fresh = n == 1
		return err
	})
	return fresh && err == nil, err
}

// Prune removes what is of no more use: proofs that expired, marks of commits
// that nobody asks about any more, answers to calls of the day before, sign-ins that
// were not finished, tokens of workloads that have expired, certificates a day after their end, calls to hosts nobody waits for, logins and codes a month after their end, standing privileges that
// were taken away a year ago, what stood in messages
// long after what they tell of. Nothing else is ever removed.
func (s *Store) Prune(ctx context.Context) error {
	return s.Update(ctx, func(tx *Tx) error {
		for _, old := range []struct {
			q   string
			age time.Duration
		}{
			{"DELETE FROM proofs WHERE expires_at < $1", 0},
			{"DELETE FROM commits WHERE at < $1", time.Hour},
			{"DELETE FROM remembered WHERE at < $1", rememberFor},
			{"DELETE FROM logins WHERE expires_at < $1", 30 * 24 * time.Hour},
			{"DELETE FROM glass_logins WHERE expires_at < $1", 30 * 24 * time.Hour},
			{"DELETE FROM glass_codes WHERE expires_at < $1", 30 * 24 * time.Hour},
			{"DELETE FROM exchanges WHERE expires_at < $1", 10 * time.Minute},
			{"DELETE FROM host_calls WHERE due_at < $1", 10 * time.Minute},
			{"DELETE FROM attempts WHERE expires_at < $1", 10 * time.Minute},
			{"DELETE FROM enrolments WHERE expires_at < $1", 30 * 24 * time.Hour},
			{"DELETE FROM certificates WHERE ends_at < $1", 24 * time.Hour},
			{"DELETE FROM standing WHERE gone_at < $1", keepStanding},
			{"DELETE FROM standing_days WHERE day < $1", keepStanding},
			{"DELETE FROM messages WHERE due_at IS NULL AND at < $1", keepMessages},
		} {
			if _, err := tx.exec(old.q, tx.now.Add(-old.age).UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}
