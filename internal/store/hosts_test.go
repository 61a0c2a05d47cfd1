//go:build unix

package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/store"
)

// TestHosts: a host keeps every field, one code and one agent lead to it, and of two
// changes at the same time one fails.
func TestHosts(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		var now time.Time
		code := access.Digest{1, 2, 3}
		h := access.Host{Name: "web1:22", Version: 1, Code: code}
		update(t, s, func(tx *store.Tx) error {
			now = tx.Now().Truncate(time.Millisecond)
			h.CodeUntil = now.Add(time.Minute)
			return tx.SaveHost(h)
		})
		same := func(read func(tx *store.Tx) (access.Host, error)) {
			t.Helper()
			view(t, s, func(tx *store.Tx) error {
				got, err := read(tx)
				if err != nil || got.Name != h.Name || got.Version != h.Version || got.Code != h.Code || !got.CodeUntil.Equal(h.CodeUntil) || got.Agent != h.Agent || !bytes.Equal(got.Key, h.Key) ||
					got.Program != h.Program || !got.EnrolledAt.Equal(h.EnrolledAt) || !got.RevokedAt.Equal(h.RevokedAt) || !reflect.DeepEqual(got.SSHKeys, h.SSHKeys) {
					t.Errorf("read %+v (%v), want %+v", got, err, h)
				}
				return nil
			})
		}
		byName := func(tx *store.Tx) (access.Host, error) { return tx.Host("web1:22") }
		same(byName)
		same(func(tx *store.Tx) (access.Host, error) { return tx.HostByCode(code) })
		was := h
		h = access.Host{Name: "web1:22", Version: 2, Agent: "thumb", Key: []byte{7}, Program: "v1", EnrolledAt: now,
			SSHKeys: []access.HostKey{{Line: "ssh-ed25519 AAAA", Fingerprint: "SHA256:x", Certificate: "c", Authority: "SHA256:y", Principals: []string{"web1"}, NotAfter: now, Resource: "web1"}, {Line: "ssh-rsa BBBB", Fingerprint: "z"}}}
		update(t, s, func(tx *store.Tx) error { return tx.SaveHost(h) })
		same(byName)
		same(func(tx *store.Tx) (access.Host, error) { return tx.HostByAgent("thumb") })
		view(t, s, func(tx *store.Tx) error {
			for name, read := range map[string]func() (access.Host, error){
				"another name": func() (access.Host, error) { return tx.Host("web2:22") }, "a used code": func() (access.Host, error) { return tx.HostByCode(code) },
				"no agent": func() (access.Host, error) { return tx.HostByAgent("") }, "another agent": func() (access.Host, error) { return tx.HostByAgent("x") },
			} {
				if _, err := read(); access.KindOf(err) != access.NotFound || err == nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			return nil
		})
		for _, stale := range []access.Host{was, {Name: "web1:22", Version: 2}, {Name: "web1:22", Version: 4}} {
			if err := s.Update(t.Context(), func(tx *store.Tx) error { return tx.SaveHost(stale) }); !errors.Is(err, access.Conflict) {
				t.Errorf("version %d over 2: %v", stale.Version, err)
			}
		}
		update(t, s, func(tx *store.Tx) error { return tx.SeeHost("web1:22") })
		view(t, s, func(tx *store.Tx) error {
			all, err := tx.Hosts()
			if err != nil || len(all) != 1 || all[0].SeenAt.IsZero() || all[0].Version != 2 {
				t.Errorf("%+v, %v", all, err)
			}
			return nil
		})
		if err := s.Update(t.Context(), func(tx *store.Tx) error {
			return tx.SaveHost(access.Host{Name: "web2:22", Version: 1, Agent: "thumb", EnrolledAt: now})
		}); err == nil {
			t.Error("one agent for two hosts")
		}
	})
}

// TestHostCalls: each call is taken once, by its own host, what ends first; each answer
// is that of its host, and the first.
func TestHostCalls(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		s := opened(t, d)
		update(t, s, func(tx *store.Tx) error {
			due := tx.Now().Add(time.Minute)
			for _, c := range []access.HostCall{
				{ID: "a", Host: "h1", Call: "A", DueAt: due}, {ID: "b", Host: "h1", Call: "B", DueAt: due, Ends: true}, {ID: "c", Host: "h2", Call: "C", DueAt: due},
				{ID: "d", Host: "h1", Call: "D", DueAt: due.Add(-time.Hour)}, {ID: "e", Host: "h1", Call: "E", DueAt: due.Add(time.Second)},
			} {
				if err := tx.PutHostCall(c); err != nil {
					return err
				}
			}
			return nil
		})
		take := func(host string, ends, rest int) (ids string) {
			t.Helper()
			update(t, s, func(tx *store.Tx) error {
				ids = ""
				got, err := tx.TakeHostCalls(host, ends, rest)
				for _, c := range got {
					ids += c.Call
				}
				return err
			})
			return ids
		}
		for _, x := range []struct {
			ends, rest int
			want       string
		}{{0, 0, ""}, {5, 1, "BA"}, {5, 5, "E"}, {5, 5, ""}} {
			if got := take("h1", x.ends, x.rest); got != x.want {
				t.Errorf("%d and %d: took %q, want %q", x.ends, x.rest, got, x.want)
			}
		}
		update(t, s, func(tx *store.Tx) error {
			return errors.Join(tx.AnswerHostCall("h1", "a", "yes"), tx.AnswerHostCall("h1", "a", "no"), tx.AnswerHostCall("h2", "b", "forged"), tx.AnswerHostCall("h2", "x", "unasked"))
		})
		view(t, s, func(tx *store.Tx) error {
			got, err := tx.HostAnswers(map[string]string{"a": "h1", "b": "h1", "c": "h2", "x": "h1"})
			if err != nil || len(got) != 1 || got["a"] != "yes" {
				t.Errorf("%v, %v", got, err)
			}
			return nil
		})
		for id, want := range map[string]bool{"a": false, "b": false, "c": true, "nobody": false} {
			update(t, s, func(tx *store.Tx) error {
				untaken, err := tx.DropHostCall(id)
				if untaken != want {
					t.Errorf("dropped %s: untaken %v", id, untaken)
				}
				return err
			})
		}
		if got := take("h2", 5, 5); got != "" {
			t.Errorf("took what was dropped: %q", got)
		}
		// An agent that answers what nobody asked fills its own place, and no more; calls
		// that were asked are answered all the same.
		update(t, s, func(tx *store.Tx) error {
			err := tx.PutHostCall(access.HostCall{ID: "asked", Host: "h3", Call: "A", DueAt: tx.Now().Add(time.Minute)})
			for i := range 300 {
				err = errors.Join(err, tx.AnswerHostCall("h3", fmt.Sprint("made-up-", i), "x"))
			}
			return errors.Join(err, tx.AnswerHostCall("h3", "asked", "yes"), tx.AnswerHostCall("h4", "late", "yes"), tx.AnswerHostCall("h4", "huge", strings.Repeat("x", 16<<20)))
		})
		view(t, s, func(tx *store.Tx) error {
			all := map[string]string{"asked": "h3", "late": "h4", "huge": "h4"}
			for i := range 300 {
				all[fmt.Sprint("made-up-", i)] = "h3"
			}
			got, err := tx.HostAnswers(all)
			if err != nil || len(got) != 258 || got["asked"] != "yes" || got["late"] != "yes" || got["huge"] != "" {
				t.Errorf("%d answers are there, %v", len(got), err)
			}
			return nil
		})
	})
}
