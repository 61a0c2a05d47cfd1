package broker

import (
	"errors"
	"testing"
	"time"

	"stint/internal/access"
)

// sessionsTx is a store with sessions of one grant and one host.
type sessionsTx struct {
	Tx
	now   time.Time
	n     int
	asked access.SessionQuery
}

func (tx *sessionsTx) Now() time.Time { return tx.now }

func (tx *sessionsTx) Sessions(q access.SessionQuery) ([]access.Session, error) {
	tx.asked = q
	return make([]access.Session, min(tx.n, q.Limit)), nil
}

// TestRoomForCommand: what a host writes down in the name of a grant has a bound, while it
// lasts and after it.
func TestRoomForCommand(t *testing.T) {
	end := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	h := access.Host{Name: "web1:22"}
	o := order{Grant: access.Grant{ID: "grt_1"}, till: end}
	for name, c := range map[string]struct {
		now  time.Time
		n    int
		late bool
		ok   bool
	}{
		"one more at once":      {end.Add(-time.Minute), sessionsOfGrant - 1, false, true},
		"too many at once":      {end.Add(-time.Minute), sessionsOfGrant, false, false},
		"one more after it":     {end, lateCommands - 1, true, true},
		"too many after it":     {end, lateCommands, true, false},
		"far too many after it": {end.AddDate(1, 0, 0), 2 * lateCommands, true, false},
	} {
		tx := &sessionsTx{now: c.now, n: c.n}
		err := roomForCommand(tx, h, o)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, access.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
		if q := tx.asked; q.Grant != "grt_1" || q.Gateway != access.HostCarrier("web1:22") || q.Live == c.late || q.Since.Equal(end) != c.late {
			t.Errorf("%s: sessionsTx %+v", name, q)
		}
	}
}
