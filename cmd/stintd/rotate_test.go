package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
	"stint/internal/keys"
	"stint/internal/program"
	"stint/internal/store"
	"stint/internal/vault"
)

// TestRotateKeys: each key is replaced, twice, and everything still opens: the
// connectors' logins with the new seal key alone, the old tags, the whole log.
func TestRotateKeys(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := start(t, data)
	c := d.first()
	if _, err := c.SetCredential(t.Context(), "gone", api.CredentialSet{Type: "postgres", Address: "127.0.0.1:9", Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteCredential(t.Context(), "gone"); err != nil { // what is left of it holds nothing to seal
		t.Fatal(err)
	}
	if _, err := c.SetCredential(t.Context(), "login", api.CredentialSet{Type: "postgres", Address: "127.0.0.1:1", Username: "u", Password: "a login's password"}); err != nil {
		t.Fatal(err)
	}
	if code, out := run(t, "rotate-key", "seal", "--data", data); code == program.Done {
		t.Errorf("while it runs:\n%s", out)
	}
	d.end()
	vaultSomething(t, data)
	before := open(t, data)
	tag := before.tagger.Tag(before.installation, "postgres://x", 1, "ent_01J8ZQ5T3M8W6Y2X4V9N7K1B5C")
	for range 2 {
		for _, what := range []string{"seal", "tags", "log", "orders"} {
			code, out := run(t, "rotate-key", what, "--data", data)
			if code != program.Done {
				t.Fatalf("rotate %s: exit %d\n%s", what, code, out)
			}
			if what == "log" && !strings.Contains(out, api.LogKey{Key: open(t, data).verifier}.Fingerprint()+";") {
				t.Errorf("the new log key's fingerprint is not in %q", out)
			}
		}
	}
	if code, _ := run(t, "rotate-key", "--data", data); code != program.Usage {
		t.Error("rotating nothing is no usage error")
	}

	// Without the old lines of the key file everything has to open.
	key := data + ".key"
	text, err := os.ReadFile(key)
	must(t, err)
	newest, rest, _ := bytes.Cut(text, []byte("\n"))
	if bytes.Count(rest, []byte("stint-seal-key")) != 2 {
		t.Fatalf("the key file has not two old keys after two rotations")
	}
	must(t, os.WriteFile(key, append(newest, '\n'), 0o600))

	after := open(t, data)
	if id, ok := after.tagger.Check(after.installation, "postgres://x", 1, tag); !ok || !strings.HasSuffix(id, "01J8ZQ5T3M8W6Y2X4V9N7K1B5C") {
		t.Errorf("a tag of before is not known: %q, %v", id, ok)
	}
	if after.tagger.Tag(after.installation, "postgres://x", 1, "ent_01J8ZQ5T3M8W6Y2X4V9N7K1B5C") == tag {
		t.Error("the key of the tags is the old one")
	}
	if len(strings.Fields(after.verifier)) != 3 || strings.Fields(after.verifier)[2] != before.verifier {
		t.Errorf("public keys %q, and before %q", after.verifier, before.verifier)
	}
	d = start(t, data)
	c.Server = d.url
	if _, err := c.SetCredential(t.Context(), "other", api.CredentialSet{Type: "postgres", Address: "127.0.0.1:2", Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("the newest is numbered")
	if err := c.AuditTail(t.Context(), -1, func(r api.AuditRecord) error {
		if strings.Contains(string(r.Record), "credential:other") {
			return enough
		}
		return nil
	}); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	var log bytes.Buffer
	must(t, c.AuditExport(t.Context(), &log))
	report, err := audit.Verify(&log, after.verifier, nil)
	must(t, err)
	if report.Types["key.rotated"] != 8 {
		t.Errorf("%d rotations in the log", report.Types["key.rotated"])
	}
}

// open reads the identity of a stopped installation.
func open(t *testing.T, data string) identity {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, storeFile)})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	id, err := openIdentity(t.Context(), st, settings{sealKey: data + ".key"})
	must(t, err)
	ring, err := keys.Open(data + ".key")
	must(t, err)
	must(t, st.View(t.Context(), func(tx *store.Tx) error {
		kept, err := tx.Vault()
		if err != nil {
			return err
		}
		for _, e := range kept {
			c, _ := e.Current()
			plain, err := ring.Open(vault.Purpose, e.Place(c.Number), c.Sealed)
			if err != nil || string(plain) != "a vaulted password" || !ring.Current(c.Sealed) && len(strings.Fields(id.verifier)) > 1 {
				t.Errorf("vault entry %s: %v, sealed with the newest key: %v", e.Name, err, ring.Current(c.Sealed))
			}
		}
		cs, err := tx.Credentials()
		for _, c := range cs {
			if !c.Gone() && !ring.Current(c.Sealed) && len(strings.Fields(id.verifier)) > 1 {
				t.Errorf("credential %s is sealed with an old key", c.Name)
			}
		}
		return err
	}))
	return id
}

// vaultSomething puts an account into the vault of a stopped installation.
func vaultSomething(t *testing.T, data string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, storeFile)})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	ring, err := keys.Open(data + ".key")
	must(t, err)
	must(t, st.Update(t.Context(), func(tx *store.Tx) error {
		e := vault.Entry{Name: "dba", Resource: "db", At: "postgres://127.0.0.1:1", Account: "dba", Kind: vault.Password}
		sealed, err := ring.Seal(vault.Purpose, e.Place(1), []byte("a vaulted password"))
		if err != nil {
			return err
		}
		e, ev, err := vault.Add(e, nil, vault.Fresh{Sealed: sealed}, access.System, tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveVault(e), tx.Append(ev))
	}))
}
