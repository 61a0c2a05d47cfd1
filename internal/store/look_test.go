package store_test

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// TestLookAmongChanges: somebody has read that a grant is active and is about to begin
// something under it; the grant ends; and whoever looks now, by an update that changes
// nothing, either finds what began or it does not begin. By a snapshot (View) both could be
// true: nothing was there, and then there is. Replicas on PostgreSQL alone do so at once.
func TestLookAmongChanges(t *testing.T) {
	const begun = "test/begun"
	s := opened(t, postgresDatabase(t))
	b := active(t, s)
	errOver := errors.New("the grant is over")
	read, looked, ended := make(chan struct{}, 10), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Update(t.Context(), func(tx *store.Tx) error {
			g, err := tx.Grant(b.Grant.ID)
			if err != nil {
				return err
			}
			if g.State != access.Active {
				return errOver
			}
			read <- struct{}{}
			select {
			case <-looked:
			case <-time.After(time.Minute):
			}
			return tx.SaveSetting(begun, []byte("1"))
		})
	}()
	<-read
	if err := s.UpdateEnds(t.Context(), 1, func(tx *store.Tx) error { _, err := end(tx, b, access.ByHolder); return err }); err != nil {
		t.Fatal(err)
	}
	var found []byte
	if err := s.UpdateEnds(t.Context(), 1, func(tx *store.Tx) (err error) { found, err = tx.Setting(begun); return err }); err != nil {
		t.Fatal(err)
	}
	close(looked)
	if err := <-ended; found == nil && !errors.Is(err, errOver) {
		t.Errorf("nothing had begun, and then it began: %v", err)
	}
}
