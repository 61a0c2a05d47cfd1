package hosts_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/hosts"
	"stint/internal/store"
)

// elevation saves an entitlement for a host.
func (w *world) elevation(host string, m access.Mechanism, tag access.Tag) access.EntitlementID {
	w.Helper()
	var id access.EntitlementID
	err := w.store.Store.Update(w.Context(), func(tx *store.Tx) error {
		id = access.NewEntitlementID(tx.Now().UnixMilli(), [10]byte{byte(len(tag)), tag[0]})
		return tx.SaveEntitlements(access.Entitlement{ID: id, Version: 1, State: access.Intended, Person: "mira", Tag: tag, Key: "elevate:" + string(tag), Mechanism: m,
			Target:    access.Target{Resource: "web1", Connection: access.Connection{Type: "linux", Address: host}},
			CreatedAt: tx.Now(), NextAt: tx.Now(), ExpiresAt: tx.Now().Add(time.Hour)})
	})
	if err != nil {
		w.Fatal(err)
	}
	return id
}

var errProbe = errors.New("not meant")

// events counts the records of an entity: of those that are there another cannot be made.
func (w *world) events(entity string) (n int) {
	w.Helper()
	for version := int64(1); version < 4; version++ {
		err := w.store.Store.Update(w.Context(), func(tx *store.Tx) error {
			if err := tx.Append(access.Event{Type: hosts.CommandBegan, At: tx.Now(), Entity: entity, Version: version, Actor: access.System}); err != nil {
				return err
			}
			return errProbe
		})
		switch {
		case errors.Is(err, access.Conflict):
			n++
		case !errors.Is(err, errProbe):
			w.Fatal(err)
		}
	}
	return n
}

// TestCommandReports: a host tells of its own commands, each once.
func TestCommandReports(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	h1, h2 := w.enrol("h1:22", "a1", newKey()), w.enrol("h2:22", "a2", newKey())
	ours := w.elevation("h1:22", access.Elevate, "ours")
	session := w.elevation("h1:22", access.Token, "session")
	id := "cmd_" + strings.Repeat("0a", 16)
	good := hosts.Command{ID: id, Entitlement: ours, Tag: "ours", Account: "mira", RunAs: "root", Line: "/usr/bin/id\xff", BeganAt: time.Now()}
	for name, bend := range map[string]func(*hosts.Command) access.Host{
		"by another host":   func(*hosts.Command) access.Host { return h2 },
		"of another tag":    func(c *hosts.Command) access.Host { c.Tag = "session"; return h1 },
		"without a tag":     func(c *hosts.Command) access.Host { c.Tag = ""; return h1 },
		"of no order":       func(c *hosts.Command) access.Host { c.Entitlement = "ent_none"; return h1 },
		"of a session":      func(c *hosts.Command) access.Host { c.Entitlement, c.Tag = session, "session"; return h1 },
		"named as another":  func(c *hosts.Command) access.Host { c.ID = "grt_01"; return h1 },
		"with a path":       func(c *hosts.Command) access.Host { c.ID = "cmd_../../x"; return h1 },
		"in capitals":       func(c *hosts.Command) access.Host { c.ID = strings.ToUpper(id); return h1 },
		"with a long link":  func(c *hosts.Command) access.Host { c.EndedAt, c.Root = time.Now(), strings.Repeat("0", 65); return h1 },
		"with a short name": func(c *hosts.Command) access.Host { c.ID = "cmd_0a"; return h1 },
	} {
		c := good
		h := bend(&c)
		if err := w.register.Ran(ctx, h, c); !errors.Is(err, access.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := w.events(id); n != 0 {
		t.Errorf("%d records of what was refused", n)
	}
	ended := good
	ended.EndedAt, ended.Status, ended.Root = time.Now(), 3, strings.Repeat("ab", 32)
	for i, x := range []struct {
		c    hosts.Command
		want int
	}{{good, 1}, {good, 1}, {ended, 2}, {ended, 2}, {good, 2}} {
		if err := w.register.Ran(ctx, h1, x.c); err != nil {
			t.Fatal(err)
		}
		if n := w.events(id); n != x.want {
			t.Errorf("%d: %d records, want %d", i, n, x.want)
		}
	}
	// The beginning was lost: the end brings it along, so that no record is missing.
	ended.ID = "cmd_" + strings.Repeat("0b", 16)
	if err := w.register.Ran(ctx, h1, ended); err != nil || w.events(ended.ID) != 2 {
		t.Errorf("%d records, %v", w.events(ended.ID), err)
	}
}
