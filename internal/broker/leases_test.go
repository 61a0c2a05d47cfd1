package broker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// renewals is a store that is only asked to renew leases; how says what becomes of each.
type renewals struct {
	Store
	Tx
	how   func(n int) error
	began time.Time
	at    []time.Duration // when each was asked for
	until []time.Duration
}

func (s *renewals) Update(_ context.Context, do func(Tx) error) error {
	s.at = append(s.at, time.Since(s.began))
	if err := s.how(len(s.at)); err != nil {
		return err
	}
	return do(s)
}

func (s *renewals) RenewLeases(_ string, until time.Time) error {
	s.until = append(s.until, until.Sub(s.began))
	return nil
}

func (s *renewals) Now() time.Time { return time.Now() }

// TestLeasesAreRenewed: at half of their time, again and again, sooner after one that
// failed, for longer while the store lets renewals wait, and no more when they are let go.
func TestLeasesAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const second = time.Second
		s := &renewals{began: time.Now(), how: func(n int) error {
			switch n {
			case 2:
				return errors.New("the store is away")
			case 3:
				time.Sleep(4 * second)
			}
			return nil
		}}
		b := &Broker{Config: Config{Store: s, Log: slog.New(slog.DiscardHandler)}}
		letGo := b.keepLeases(t.Context(), "one", 6*second)
		time.Sleep(14*second + second/2)
		letGo()
		time.Sleep(time.Minute)
		// The lease is of 6 s at first, of 2 s when it was renewed, and of three times the 4 s
		// that the third renewal waited after that.
		if want := []time.Duration{3 * second, 4 * second, 4*second + second/3, 14*second + second/3}; !nearly(s.at, want) {
			t.Errorf("renewals at %v, not at %v", s.at, want)
		}
		if want := []time.Duration{5 * second, 20*second + second/3, 26*second + second/3}; !nearly(s.until, want) {
			t.Errorf("renewed until %v, not until %v", s.until, want)
		}
	})
}

func nearly(got, want []time.Duration) bool {
	return slices.EqualFunc(got, want, func(a, b time.Duration) bool { return (a - b).Abs() < time.Millisecond })
}

// TestVerdictIsOfItsReading: what was read back counts from then, and what nobody had to read
// from now.
func TestVerdictIsOfItsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now()
		time.Sleep(3 * time.Second)
		now := at.Add(time.Hour) // the store's
		if got := (verdict{read: at}).asOf(now); !got.Equal(now.Add(-3 * time.Second)) {
			t.Errorf("read 3 s ago, and as of %s", got.Sub(now))
		}
		if got := (verdict{}).asOf(now); !got.Equal(now) {
			t.Errorf("never read, and as of %s", got.Sub(now))
		}
	})
}
