package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/broker"
	"stint/internal/connector"
	"stint/internal/store"
)

// TestFailClosed is the table of what is refused and what goes on while something
// is down: grants fail closed, revocation never does. Cells that only the real
// process has (the seal key, the disks, the servers) are rows of other tests; the
// threat model names them. (G-18, I-18)
func TestFailClosed(t *testing.T) {
	ill := func(c condition) func(*ward) { return func(w *ward) { w.store.set(c) } }
	well := ill(well)
	holds := func(h broker.Hold) func(*ward) { return func(w *ward) { w.SetHold("log", h) } }
	silence := func(w *ward) { w.target.setFault(func(string, when, connector.Order) error { return errSilent }) }
	speak := func(w *ward) { w.target.setFault(nil) }
	stop := func(stopped bool) func(*ward) {
		return func(w *ward) { must(w.t, w.SetStop(w.t.Context(), w.as("root"), stopped, "a drill of the switch")) }
	}
	const refused, ok = true, false
	for _, row := range []struct {
		name                   string
		down, up               func(*ward)
		request, approve, show bool // whether it is refused
		later                  bool // revocation is done only when it is up again
		lasting                bool // it does not come up again in the life of a process
	}{
		{"nothing", func(*ward) {}, func(*ward) {}, ok, ok, ok, false, false},
		{"store refuses everything", ill(away), well, refused, refused, refused, false, false},
		{"store takes no changes", ill(full), well, refused, refused, refused, false, false},
		{"store does not answer", ill(hanging), well, refused, refused, refused, false, false},
		{"log not numbered or not exported", holds(broker.Hold{Why: "the log waits"}), holds(broker.Hold{}), refused, refused, refused, false, false},
		{"log damaged", func(w *ward) { w.SetHold("log-damaged", broker.Hold{Why: "a record is missing"}) }, func(*ward) {}, refused, refused, refused, false, true},
		{"stop switch", stop(true), stop(false), refused, refused, ok, false, false},
		{"documents do not load", badDocuments, goodDocuments, refused, refused, ok, false, false},
		{"target", silence, speak, ok, ok, ok, true, false},
		{"store and target", func(w *ward) { silence(w); w.store.set(away) }, func(w *ward) { speak(w); w.store.set(0) }, refused, refused, refused, true, false},
		{"everything", func(w *ward) { silence(w); must(w.t, w.journal.Close()); w.store.set(away) }, func(w *ward) { speak(w); w.store.set(0) },
			refused, refused, refused, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWard(t)
			live := w.hold("mira", "reader", time.Hour)
			pending, err := w.Submit(t.Context(), w.as("gus"), ask("reader", time.Hour))
			must(t, err)
			w.known(1)
			row.down(w)
			within := func(f func(ctx context.Context) error) error {
				ctx, done := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer done()
				return f(ctx)
			}
			for what, cell := range map[string]struct {
				refused bool
				do      func(ctx context.Context) error
			}{
				"a request": {row.request, func(ctx context.Context) error {
					_, err := w.Submit(ctx, w.as("noor"), ask("reader", time.Minute))
					return err
				}},
				"an approval": {row.approve, func(ctx context.Context) error {
					_, err := w.Vote(ctx, w.as("omar"), string(pending.Request.ID), access.Vote{Approve: true, Seen: pending.Request.Digest})
					return err
				}},
				"the showing of a credential": {row.show, func(ctx context.Context) error {
					_, err := w.Credential(ctx, w.as("mira"), string(live.Request.ID))
					return err
				}},
			} {
				if err := within(cell.do); (err != nil) != cell.refused {
					t.Errorf("%s: %v, refused should be %v", what, err, cell.refused)
				}
			}
			ids, err := w.Revoke(t.Context(), w.as("root"), broker.Selector{User: "mira"}, "the device was stolen")
			var e *access.Error
			if len(ids) != 1 || err != nil && (!errors.As(err, &e) || e.Code != "revoked-unrecorded") {
				t.Fatalf("a revocation: %v, %v", ids, err)
			}
			gone := func() bool { // the first account that was made
				w.target.mu.Lock()
				defer w.target.mu.Unlock()
				for _, a := range w.target.accounts {
					if a.tag != "" && a.oid == "1" {
						return false
					}
				}
				return true
			}
			if row.later {
				time.Sleep(time.Second)
				if gone() {
					t.Error("gone from a target that does not answer")
				}
				row.up(w)
			}
			w.within(15*time.Second, "taken away", gone)
			if !row.later {
				row.up(w)
			}
			v := w.until("mira", string(live.Request.ID), access.Ended)
			if v.Grant.EndReason != access.ByPerson {
				t.Errorf("ended as %s", v.Grant.EndReason)
			}
			if row.lasting {
				return
			}
			w.within(30*time.Second, "open for requests", func() bool {
				_, err := w.Submit(t.Context(), w.as("noor"), ask("reader", time.Minute))
				return err == nil
			})
		})
	}
}

// badDocuments puts documents into the store that no broker can read, as a newer
// one might have.
func badDocuments(w *ward) { saveDocuments(w, func([]byte) []byte { return []byte("kind: [") }) }

func goodDocuments(w *ward) {
	saveDocuments(w, func([]byte) []byte {
		var body []byte
		must(w.t, w.installation.store.View(context.Background(), func(tx *store.Tx) (err error) { body, err = tx.Setting("kept"); return err }))
		return body
	})
}

// saveDocuments adds a version of the documents and keeps the one before.
func saveDocuments(w *ward, change func([]byte) []byte) {
	next := change(nil)
	must(w.t, w.installation.store.Update(context.Background(), func(tx *store.Tx) error {
		version, body, err := tx.Documents()
		if err != nil {
			return err
		}
		if err := tx.SaveSetting("kept", body); err != nil {
			return err
		}
		return tx.SaveDocuments(version+1, next)
	}))
}
