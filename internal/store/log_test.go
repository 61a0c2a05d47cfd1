//go:build unix

package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/store"
)

// logKey signs the log of a test.
type logKey struct {
	origin, public string
	signer         note.Signer
}

func newLogKey(tb testing.TB) logKey {
	tb.Helper()
	origin := audit.Origin("test")
	private, public, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		tb.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		tb.Fatal(err)
	}
	return logKey{origin, public, signer}
}

// sequence numbers all that waits.
func (k logKey) sequence(tb testing.TB, s *store.Store) store.Head {
	tb.Helper()
	for {
		head, n, err := s.Sequence(context.Background(), k.signer, k.origin, 1000)
		if err != nil {
			tb.Fatal(err)
		}
		if n == 0 {
			return head
		}
	}
}

// verify exports and verifies the log.
func (k logKey) verify(tb testing.TB, s *store.Store) audit.Report {
	tb.Helper()
	report, err := k.check(s)
	if err != nil {
		tb.Fatal(err)
	}
	return report
}

func (k logKey) check(s *store.Store) (audit.Report, error) {
	var out bytes.Buffer
	if err := s.Export(context.Background(), &out); err != nil {
		return audit.Report{}, err
	}
	return audit.Verify(&out, k.public, nil)
}

func event(entity string, version int64, at time.Time) access.Event {
	return access.Event{Type: "test.happened", At: at, Entity: entity, Version: version, Actor: access.System, Facts: map[string]string{"n": fmt.Sprint(version)}}
}

func TestLogVerifies(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		key := newLogKey(t)
		wantKind(t, s.Export(context.Background(), new(bytes.Buffer)), access.Pending)
		for range 3 {
			b := active(t, s)
			if n, oldest, err := s.Unsequenced(context.Background()); n == 0 || oldest.IsZero() || err != nil {
				t.Errorf("unsequenced: %d since %v, %v", n, oldest, err)
			}
			key.sequence(t, s)
			update(t, s, func(tx *store.Tx) error { _, err := end(tx, b, access.ByHolder); return err })
		}
		head := key.sequence(t, s)
		report := key.verify(t, s)
		if report.Checkpoint.Size != head.Size || head.Size == 0 {
			t.Errorf("the export has %d records, the head %d", report.Checkpoint.Size, head.Size)
		}
		if n, oldest, err := s.Unsequenced(context.Background()); n != 0 || !oldest.IsZero() || err != nil {
			t.Errorf("unsequenced: %d since %v, %v", n, oldest, err)
		}
		// Every record and every earlier checkpoint can be proven.
		newest := audit.Checkpoint{Origin: key.origin, Size: head.Size, Root: head.Root}
		records, err := s.Records(context.Background(), store.LogQuery{After: -1, Limit: 1000})
		if err != nil || int64(len(records)) != head.Size {
			t.Fatalf("%d records, %v, want %d", len(records), err, head.Size)
		}
		checkpoints, err := s.Checkpoints(context.Background(), -1, 0)
		if err != nil || len(checkpoints) < 2 {
			t.Fatalf("%d checkpoints, %v", len(checkpoints), err)
		}
		if err := s.Hashes(context.Background(), func(h store.Head, hashes tlog.HashReader) error {
			for i, r := range records {
				if r.Seq != int64(i) || r.Leaf != audit.Leaf(r.Body) {
					return fmt.Errorf("record %d has number %d or a wrong leaf", i, r.Seq)
				}
				p, err := audit.ProveRecord(h.Size, r.Seq, hashes)
				if err = errors.Join(err, audit.CheckRecord(p, newest, r.Seq, r.Body)); err != nil {
					return err
				}
			}
			for _, c := range checkpoints {
				p, err := audit.ProveTree(h.Size, c.Size, hashes)
				if err = errors.Join(err, audit.CheckTree(p, newest, audit.Checkpoint{Origin: key.origin, Size: c.Size, Root: c.Root})); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

// TestSettle: who wrote a record finds it in the log after Settle.
func TestSettle(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		key := newLogKey(t)
		ctx := t.Context()
		if err := s.Settle(ctx); err != nil {
			t.Fatalf("with nothing to wait for: %v", err)
		}
		active(t, s)
		short, done := context.WithTimeout(ctx, 50*time.Millisecond)
		defer done()
		if err := s.Settle(short); err == nil {
			t.Fatal("it did not wait for a number")
		}
		settled := make(chan error, 1)
		go func() { settled <- s.Settle(ctx) }()
		key.sequence(t, s)
		if err := <-settled; err != nil {
			t.Error(err)
		}
	})
}

func TestSequencerSignsNoDamage(t *testing.T) {
	d := sqliteDatabase(t)
	s := d.open(t)
	key := newLogKey(t)
	active(t, s)
	key.sequence(t, s)
	active(t, s)
	if err := errors.Join(d.raw("DROP TRIGGER audit_hashes_fixed"),
		d.raw("UPDATE audit_hashes SET hash = zeroblob(32) WHERE idx = (SELECT MAX(idx) FROM audit_hashes)")); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Sequence(context.Background(), key.signer, key.origin, 100)
	if code := codeOf(err); code != "audit-tree-damaged" {
		t.Errorf("got %v, want audit-tree-damaged", err)
	}
	if err := s.RunSequencer(context.Background(), key.signer, key.origin, time.Hour); codeOf(err) != "audit-tree-damaged" {
		t.Errorf("the sequencer went on: %v", err)
	}
}

func TestSequencerSignsNoForeignCheckpoint(t *testing.T) {
	d := sqliteDatabase(t)
	s := d.open(t)
	key, other := newLogKey(t), newLogKey(t)
	active(t, s)
	head := key.sequence(t, s)
	active(t, s)
	// Rolled to another key: the tree is the same, so the log goes on.
	if _, n, err := s.Sequence(context.Background(), other.signer, other.origin, 1000); n == 0 || err != nil {
		t.Errorf("after a change of keys: %d, %v", n, err)
	}
	// A checkpoint with our key's name and another's signature does not pass.
	forged := bytes.Replace(head.Checkpoint, []byte("\n\n"), []byte("\n\n"), 1)
	forged[len(forged)-4] ^= 1
	d2 := sqliteDatabase(t)
	s2 := d2.open(t)
	active(t, s2)
	key.sequence(t, s2)
	active(t, s2)
	if err := errors.Join(d2.raw("DROP TRIGGER audit_checkpoints_fixed"), d2.raw("UPDATE audit_checkpoints SET note = $1", forged)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s2.Sequence(context.Background(), key.signer, key.origin, 100); codeOf(err) != "audit-tree-damaged" {
		t.Errorf("got %v, want audit-tree-damaged", err)
	}
}

func codeOf(err error) string {
	var e *access.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestVersionsAscendInTheLog: ids may be out of order where clocks of replicas
// differ; versions in the log may not, wherever a batch is cut.
func TestVersionsAscendInTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		key := newLogKey(t)
		now := storeNow(t, s)
		for v := int64(1); v <= 6; v++ {
			body, err := audit.Encode(audit.Record{ID: fmt.Sprintf("rec_%d", 10-v), Event: event("thing", v, now)})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.raw("INSERT INTO audit_records (id, type, entity, version, at, person, actor, resource, body) VALUES ($1, 'test.happened', 'thing', $2, $3, '', '', '', $4)",
				fmt.Sprintf("rec_%d", 10-v), v, now.UnixMilli(), body); err != nil {
				t.Fatal(err)
			}
		}
		limit := 2
		if d.name == "sqlite" {
			limit = 100 // one process, whose ids ascend
		}
		for {
			_, n, err := s.Sequence(context.Background(), key.signer, key.origin, limit)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		if report := key.verify(t, s); report.Checkpoint.Size != 6 {
			t.Errorf("size %d, want 6", report.Checkpoint.Size)
		}
	})
}

func TestRunSequencer(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		key := newLogKey(t)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.RunSequencer(ctx, key.signer, key.origin, time.Hour); err != nil {
				t.Error(err)
			}
		})
		defer wg.Wait()
		defer cancel()
		size := int64(0)
		for range 3 {
			active(t, s)
			head, err := s.Wait(ctx, size+4-1) // two transactions with five records
			if err != nil || head.Size < size+5 {
				t.Fatalf("head %d, %v", head.Size, err)
			}
			size = head.Size
		}
		key.verify(t, s)
	})
}

// TestSequencersOfReplicas: several at once make one log without gaps.
func TestSequencersOfReplicas(t *testing.T) {
	d := postgresDatabase(t)
	key := newLogKey(t)
	ctx, cancel := context.WithCancel(context.Background())
	var sequencers, writers sync.WaitGroup
	var first *store.Store
	for range 3 {
		s := d.open(t)
		if first == nil {
			first = s
		}
		sequencers.Go(func() {
			if err := s.RunSequencer(ctx, key.signer, key.origin, 5*time.Millisecond); err != nil {
				t.Error(err)
			}
		})
		writers.Go(func() {
			for range 10 {
				if err := s.Update(ctx, func(tx *store.Tx) error { _, err := submit(tx, approve); return err }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	if _, err := first.Wait(ctx, 28); err != nil {
		t.Error(err)
	}
	cancel()
	sequencers.Wait()
	if report := key.verify(t, first); report.Checkpoint.Size != 30 {
		t.Errorf("size %d, want 30", report.Checkpoint.Size)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := s.Wait(ctx, 0)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		key := newLogKey(t)
		now := storeNow(t, s)
		olga := access.Actor{Principal: "user:olga", Person: "olga"}
		update(t, s, func(tx *store.Tx) error {
			return tx.Append(
				access.Event{Type: "request.submitted", At: now, Entity: "req_1", Version: 1, Actor: asker, Facts: map[string]string{"person": "mira", "resource": "orders-db"}},
				access.Event{Type: "request.approved", At: now.Add(time.Second), Entity: "req_1", Version: 2, Actor: olga, Facts: map[string]string{"person": "mira", "resource": "orders-db"}},
				access.Event{Type: "grant.created", At: now.Add(2 * time.Second), Entity: "grt_1", Version: 1, Actor: access.System, Facts: map[string]string{"person": "ben", "resource": "orders-db,stock-db"}},
			)
		})
		if got, err := s.Records(context.Background(), store.LogQuery{After: -1}); len(got) != 0 || err != nil {
			t.Errorf("%d records without a number were shown, %v", len(got), err)
		}
		key.sequence(t, s)
		for _, c := range []struct {
			name string
			q    store.LogQuery
			want []int64
		}{
			{"all", store.LogQuery{After: -1}, []int64{0, 1, 2}},
			{"after", store.LogQuery{After: 0}, []int64{1, 2}},
			{"limit", store.LogQuery{After: -1, Limit: 1}, []int64{0}},
			{"type", store.LogQuery{After: -1, Type: "request.approved"}, []int64{1}},
			{"entity", store.LogQuery{After: -1, Entity: "req_1"}, []int64{0, 1}},
			{"person who asked", store.LogQuery{After: -1, Person: "mira"}, []int64{0, 1}},
			{"person who did it", store.LogQuery{After: -1, Person: "olga"}, []int64{1}},
			{"resource", store.LogQuery{After: -1, Resource: "orders-db"}, []int64{0, 1, 2}},
			{"second resource", store.LogQuery{After: -1, Resource: "stock-db"}, []int64{2}},
			{"since", store.LogQuery{After: -1, Since: now.Add(time.Second)}, []int64{1, 2}},
			{"until", store.LogQuery{After: -1, Until: now.Add(time.Second)}, []int64{0}},
			{"all of it", store.LogQuery{After: 0, Person: "ben", Resource: "stock-db", Type: "grant.created"}, []int64{2}},
		} {
			got, err := s.Records(context.Background(), c.q)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			var seqs []int64
			for _, r := range got {
				seqs = append(seqs, r.Seq)
				if r.Leaf != audit.Leaf(r.Body) {
					t.Errorf("%s: record %d without its leaf", c.name, r.Seq)
				}
			}
			if fmt.Sprint(seqs) != fmt.Sprint(c.want) {
				t.Errorf("%s: got %v, want %v", c.name, seqs, c.want)
			}
		}
	})
}
