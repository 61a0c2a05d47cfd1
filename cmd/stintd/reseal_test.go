package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/program"
	"stint/internal/store"
	"stint/internal/vault"
)

// TestMain lets this program be stintd, so that one can be killed.
func TestMain(m *testing.M) {
	if os.Getenv("STINT_TEST_PROGRAM") == "stintd" {
		os.Exit(Main(context.Background(), os.Args[1:], noEnv, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestT54KilledWhileSealingAnew: the rotation of the seal key is killed at moments of chance,
// before, between and after the new key file and what is sealed anew. Each time everything
// opens, and the next rotation goes through (T-54, T-55).
func TestT54KilledWhileSealingAnew(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	start(t, data).end()
	vaultSomething(t, data)
	own, err := os.Executable()
	must(t, err)
	rng := rand.New(rand.NewPCG(54, 55))
	rotate := func(kill time.Duration) (killed bool, out string) {
		t.Helper()
		cmd := exec.Command(own, "rotate-key", "seal", "--data", data)
		cmd.Env = append(os.Environ(), "STINT_TEST_PROGRAM=stintd")
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &said
		must(t, cmd.Start())
		timer := time.AfterFunc(kill, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		return err != nil && cmd.ProcessState.ExitCode() < 0, said.String()
	}
	began := time.Now()
	if killed, out := rotate(time.Hour); killed || !strings.Contains(out, "is a new one") {
		t.Fatalf("a rotation left alone: %s", out)
	}
	whole := time.Since(began)
	opens := func() {
		t.Helper()
		st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, storeFile)})
		must(t, err)
		defer func() { must(t, st.Close()) }()
		id, err := openExisting(t.Context(), st, settings{sealKey: data + ".key"})
		must(t, err)
		must(t, st.View(t.Context(), func(tx *store.Tx) error {
			kept, err := tx.Vault()
			if err != nil || len(kept) != 1 {
				return errors.Join(err, errors.New("the vault has not its one entry"))
			}
			c, _ := kept[0].Current()
			plain, err := id.vault.Open(vault.Purpose, kept[0].Place(c.Number), c.Sealed)
			if string(plain) != "a vaulted password" {
				t.Errorf("what is in the vault opens to %d bytes", len(plain))
			}
			return err
		}))
	}
	died := 0
	for n := 0; died < 15; n++ {
		if n > 300 {
			t.Fatalf("only %d of %d were killed before they were done", died, n)
		}
		began := time.Now()
		killed, out := rotate(time.Duration(rng.Int64N(int64(whole))))
		if killed {
			died++
		} else {
			whole = min(whole, time.Since(began)) // the first of its kind is slower
		}
		opens()
		if strings.Contains(out, ".key.new") { // one that died left it, and the next says so
			t.Fatalf("what was left behind was there already: %s", out)
		}
		if err := os.Remove(data + ".key.new"); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if code, out := run(t, "rotate-key", "seal", "--data", data); code != program.Done {
		t.Errorf("the last one: exit %d\n%s", code, out)
	}
	opens()
	t.Logf("%d killed, a whole one takes %s", died, whole.Round(time.Millisecond))
}
