package store

import "time"

// SignalSeen reports whether a security event of a provider was dealt with.
func (tx *Tx) SignalSeen(provider, jti string) (bool, error) {
	found, err := list(tx, scanText[string], "SELECT jti FROM signals WHERE provider = $1 AND jti = $2", provider, jti)
	return len(found) > 0, err
}

// SaveSignal notes that a security event was dealt with, and forgets those from before
// a time.
func (tx *Tx) SaveSignal(provider, jti string, forget time.Time) error {
	if _, err := tx.exec("DELETE FROM signals WHERE at < $1", forget.UnixMilli()); err != nil {
		return err
	}
	_, err := tx.exec("INSERT INTO signals (provider, jti, at) VALUES ($1, $2, $3) ON CONFLICT (provider, jti) DO NOTHING", provider, jti, tx.now.UnixMilli())
	return err
}
