//go:build unix

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/backup"
	"stint/internal/store"
)

// TestDumpAndLoad takes a store to the other database and back: every row is the
// same in the end, the log verifies and goes on, and the rules are in force.
func TestDumpAndLoad(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		other := map[string]func(testing.TB) *database{"sqlite": emptyDatabase, "postgres": sqliteDatabase}[d.name](t)
		k := newLogKey(t)
		s := opened(t, d)
		furnish(t, s)
		k.sequence(t, s)
		update(t, s, func(tx *store.Tx) error { return tx.Append(event("late", 1, tx.Now())) }) // has no number yet
		first, m := k.dump(t, s)
		if m.Schema < 5 || m.Size == 0 || m.Store != d.name {
			t.Errorf("the manifest says %+v", m)
		}

		finish := func(tx *store.Tx) error {
			return errors.Join(tx.ForgetCodes(), tx.SaveSetting("restored", []byte("yes")))
		}
		if err := store.Load(t.Context(), other.cfg, reader(t, first), finish); err != nil {
			t.Fatal(err)
		}
		// A store that holds anything is not overwritten.
		wantKind(t, store.Load(t.Context(), other.cfg, reader(t, first), nothing), access.Conflict)
		again := opened(t, other)
		if n := read(t, again, func(tx *store.Tx) ([]byte, error) { return tx.Setting("restored") }); string(n) != "yes" {
			t.Error("what finish wrote is not there")
		}
		second, _ := k.dump(t, again)
		before, after := rowsOf(t, first), rowsOf(t, second)
		delete(before, "enrolments") // forgotten on purpose
		delete(after, "enrolments")
		before["settings"] = append(before["settings"], "[restored yes]")
		slices.Sort(before["settings"])
		for table, want := range before {
			if strings.Join(after[table], "\n") != strings.Join(want, "\n") {
				t.Errorf("table %s differs:\n%.2000s\nwas\n%.2000s", table, strings.Join(after[table], "\n"), strings.Join(want, "\n"))
			}
		}
		if len(before) < 14 || len(before["grants"]) < 3 || len(before["audit_records"]) < 10 {
			t.Errorf("too little was compared: %d tables, %d grants", len(before), len(before["grants"]))
		}
		k.sequence(t, again)
		if r := k.verify(t, again); r.Checkpoint.Size != m.Size+1 {
			t.Errorf("the log has %d records after the restore, had %d and one without a number", r.Checkpoint.Size, m.Size)
		}
		if other.raw("UPDATE grants SET state = 'active' WHERE state = 'ended'") == nil {
			t.Error("the rules are not in force after a restore: an ended grant came back")
		}
		if other.raw("DELETE FROM audit_records") == nil {
			t.Error("the rules are not in force after a restore: the log was deleted")
		}
	})
}

// TestLoadIsAllOrNothing: a backup that turns out to be damaged at its end leaves
// an empty store, and so does one that finish refuses.
func TestLoadIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, d *database) {
		if d.name == "postgres" {
			d = emptyDatabase(t)
		}
		k := newLogKey(t)
		s := opened(t, sqliteDatabase(t))
		furnish(t, s)
		k.sequence(t, s)
		good, _ := k.dump(t, s)
		bad := bytes.Clone(good)
		bad[len(bad)-1600] ^= 1 // in the last part: behind it come at most 1536 bytes of padding and end
		if err := store.Load(t.Context(), d.cfg, reader(t, bad), nothing); err == nil {
			t.Fatal("a damaged backup was loaded")
		}
		refused := errors.New("refused")
		if err := store.Load(t.Context(), d.cfg, reader(t, good), func(*store.Tx) error { return refused }); !errors.Is(err, refused) {
			t.Fatalf("finish refused, and Load said %v", err)
		}
		if err := store.Load(t.Context(), d.cfg, reader(t, good), nothing); err != nil {
			t.Fatalf("after two that failed: %v", err)
		}
	})
}

// TestDumpHoldsEveryTable: what a new migration adds is in the backup, or was
// left out on purpose.
func TestDumpHoldsEveryTable(t *testing.T) {
	k := newLogKey(t)
	s := opened(t, sqliteDatabase(t))
	update(t, s, func(tx *store.Tx) error { return tx.Append(event("a", 1, tx.Now())) })
	k.sequence(t, s)
	archive, _ := k.dump(t, s)
	have := rowsOf(t, archive)
	files, err := filepath.Glob("migrations/sqlite/*.sql")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d migrations, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			name, ok := strings.CutPrefix(line, "CREATE TABLE ")
			if !ok {
				continue
			}
			name = strings.Fields(name)[0]
			if strings.Contains(string(text), "ALTER TABLE "+name+" RENAME TO ") {
				continue // it took the place of another
			}
			if _, ok := have[name]; !ok && !slices.Contains([]string{"commits", "proofs", "attempts", "exchanges", "marks", "replicas", "clocks", "host_calls"}, name) {
				t.Errorf("the backup lacks table %s", name)
			}
		}
	}
}

// furnish puts something into nearly every table, in states that no first write
// may have.
func furnish(t *testing.T, s *store.Store) {
	t.Helper()
	active(t, s)
	grant(t, s, "w2")
	over := active(t, s)
	update(t, s, func(tx *store.Tx) (err error) { over, err = end(tx, over, access.ByHolder); return err })
	update(t, s, func(tx *store.Tx) (err error) { over, err = vanish(tx, over); return err })
	update(t, s, func(tx *store.Tx) error {
		g, ev, err := over.Grant.Finish(tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveGrants(g), tx.DropSealed(g.ID), tx.Append(ev))
	})
	update(t, s, func(tx *store.Tx) error {
		if _, err := submit(tx, approve); err != nil {
			return err
		}
		now := tx.Now()
		return errors.Join(
			tx.SaveDocuments(1, []byte("kind: Nothing\n")),
			tx.SaveSetting("empty", []byte{}), tx.SaveSetting("bytes", []byte{0, 1, 0xff}),
			tx.SavePrincipals(access.Principal{ID: "user:mira", Person: "mira", Version: 1, CreatedAt: now, Identities: []access.Identity{{Provider: "corp", Subject: "1"}}}),
			tx.SaveCredential(access.Credential{Name: "login", Type: "postgres", Address: "a:1", Username: "ü\t\"", Version: 1, Sealed: []byte{1, 2}, SetAt: now}),
			tx.SaveLogin(access.Login{Token: [32]byte{1}, Principal: "user:mira", Device: "d", SealKey: []byte("k"), CreatedAt: now, ExpiresAt: now.Add(time.Hour)}),
			tx.SaveEnrolment(access.Enrolment{Code: [32]byte{2}, Principal: "user:mira", ExpiresAt: now.Add(time.Hour)}),
		)
	})
}

// nothing is a finish that adds nothing.
func nothing(*store.Tx) error { return nil }

func (k logKey) dump(t *testing.T, s *store.Store) ([]byte, backup.Manifest) {
	t.Helper()
	spool, err := os.CreateTemp(t.TempDir(), "spool")
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	var out bytes.Buffer
	m, err := s.Dump(context.Background(), backup.Manifest{Program: "test", Installation: "test", Epoch: 1}, k.signer, spool, &out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Check(reader(t, out.Bytes()), k.public); err != nil {
		t.Fatalf("the backup does not check: %v", err)
	}
	return out.Bytes(), m
}

func reader(t *testing.T, archive []byte) *backup.Reader {
	t.Helper()
	r, err := backup.Open(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rowsOf lists the rows of each table as text, sorted.
func rowsOf(t *testing.T, archive []byte) map[string][]string {
	t.Helper()
	r := reader(t, archive)
	all := map[string][]string{}
	for {
		table, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		rows := []string{}
		for {
			row, err := table.Row()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range row {
				if b, ok := v.([]byte); ok {
					row[i] = string(b)
				}
			}
			rows = append(rows, fmt.Sprint(row))
		}
		slices.Sort(rows)
		all[table.Name] = rows
	}
}
