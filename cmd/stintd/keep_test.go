package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/backup"
	"stint/internal/pgtest"
	"stint/internal/program"
	"stint/internal/witness"
)

// beside is a witness, and a configuration that names it.
func beside(t *testing.T, dir, logKey string) (w *witness.Witness, config string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	w, err := witness.New(witness.Config{Name: "w.test", Key: key, State: filepath.Join(dir, "w.json"), New: true, Logs: []string{logKey}, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { must(t, w.Close()) })
	srv := httptest.NewServer(w.Handler())
	t.Cleanup(srv.Close)
	config = filepath.Join(dir, "witnessed.yaml")
	must(t, os.WriteFile(config, []byte("witnesses: [{url: '"+srv.URL+"', key: '"+w.Key()+"'}]"), 0o600))
	return w, config
}

// TestRollbackIsNoticed: a store that was taken back without a word is noticed at
// the start, and one that nobody took back is not. (T-39)
func TestRollbackIsNoticed(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	d := start(t, data)
	c := d.first()
	lk, err := c.LogKey(t.Context())
	must(t, err)
	_, config := beside(t, dir, lk.Key)
	d.end()
	old, err := os.ReadFile(filepath.Join(data, storeFile))
	must(t, err)
	d = start(t, data, "--config", config)
	c.Server = d.url
	if _, err := c.AddUser(t.Context(), api.UserAdd{Name: "mira"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetStop(t.Context(), api.Stop{Why: "a record"}); err != nil {
		t.Fatal(err)
	}
	numbered(t, c, "a record")
	d.end()
	d = start(t, data, "--config", config) // and the witness sees them
	c.Server = d.url
	if q, err := c.Quarantine(t.Context()); err != nil || q.Quarantined {
		t.Fatalf("in quarantine after an ordinary restart: %+v, %v", q, err)
	}
	doc, err := c.Doctor(t.Context())
	if err != nil || !doc.OK || !has(doc, "witness ", api.CheckWarn, "is on this host") || !has(doc, "two persons", api.CheckWarn, "made alone") {
		t.Errorf("the doctor: %+v, %v", doc, err)
	}
	signed, err := c.Witnessed(t.Context())
	if err != nil || !strings.Contains(signed.Checkpoint, "— w.test ") {
		t.Errorf("witnessed: %q, %v", signed.Checkpoint, err)
	}
	d.end()

	for _, beside := range []string{"-wal", "-shm"} { // a store that is taken back is taken back whole
		_ = os.Remove(filepath.Join(data, storeFile+beside))
	}
	must(t, os.WriteFile(filepath.Join(data, storeFile), old, 0o600))
	d = start(t, data, "--config", config)
	c.Server = d.url
	q, err := c.Quarantine(t.Context())
	if err != nil || q.Kind != "looks-old" || q.Witnessed <= q.Kept {
		t.Fatalf("after the rollback: %+v, %v\n%s", q, err, d.out)
	}
	if doc, err = c.Doctor(t.Context()); err != nil || doc.OK || !has(doc, "quarantine", api.CheckFail, "") || !has(doc, "witness ", api.CheckFail, "has signed a checkpoint") {
		t.Errorf("the doctor: %+v, %v", doc, err)
	}
	d.end()
	// It outlives a restart without the witness, and ends in a declared new life.
	d = start(t, data)
	c.Server = d.url
	if q, err := c.Quarantine(t.Context()); err != nil || q.Kind != "looks-old" {
		t.Errorf("without the witness: %+v, %v", q, err)
	}
	d.end()
	if code, out := run(t, "restored", "--data", data); code != program.Done || !strings.Contains(out, "epoch 2") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	d = start(t, data, "--config", config)
	c.Server = d.url
	if q, err := c.Quarantine(t.Context()); err != nil || q.Kind != "restored" {
		t.Errorf("after stintd restored: %+v, %v", q, err)
	}
}

// TestUnwrittenBackup: an error that says of what it is keeps its words, whatever
// error of a file it has inside.
func TestUnwrittenBackup(t *testing.T) {
	inside := &fs.PathError{Op: "open", Path: "/somewhere", Err: fs.ErrPermission}
	said := access.Fail(access.Unavailable, "store-unopened", "the store cannot be opened").Wrap(inside)
	if err := unwritten(said); err != error(said) {
		t.Errorf("an error that speaks for itself became %v", err)
	}
	for _, err := range []error{inside, &os.LinkError{Op: "rename", Old: "a", New: "b", Err: fs.ErrExist}} {
		if got := unwritten(err); !strings.Contains(got.Error(), "the backup cannot be written") || access.KindOf(got) != access.Invalid {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func has(d api.Doctor, name, result, saw string) bool {
	for _, c := range d.Checks {
		if strings.HasPrefix(c.Name, name) && c.Result == result && strings.Contains(c.Saw, saw) {
			return result == api.CheckOK || c.Why != "" && c.Fix != ""
		}
	}
	return false
}

// A witness that lies stops nothing: what it says has to be signed by our own key.
func TestLyingWitness(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	srv := httptest.NewServer(liar{})
	defer srv.Close()
	w, err := witness.New(witness.Config{Name: "w.test", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), State: filepath.Join(dir, "w.json"), New: true, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	must(t, w.Close())
	config := filepath.Join(dir, "c.yaml")
	must(t, os.WriteFile(config, []byte("witnesses: [{url: '"+srv.URL+"', key: '"+w.Key()+"'}]"), 0o600))
	d := start(t, data)
	c := d.first()
	numbered(t, c, "{")
	d.end()
	d = start(t, data, "--config", config)
	c.Server = d.url
	if q, err := c.Quarantine(t.Context()); err != nil || q.Quarantined {
		t.Errorf("a witness's word was enough: %+v, %v", q, err)
	}
	if doc, err := c.Doctor(t.Context()); err != nil || doc.OK || !has(doc, "witness ", api.CheckFail, "") {
		t.Errorf("the doctor: %+v, %v", doc, err)
	}
}

// TestBackupAndRestoreByHand: stopped, into a new folder, onto PostgreSQL; what is
// wrong is refused with what to do.
func TestBackupAndRestoreByHand(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "a.backup")
	d := start(t, data)
	c := d.first()
	added, err := c.AddUser(t.Context(), api.UserAdd{Name: "mira"})
	must(t, err)
	if code, out := run(t, "backup", "--data", data, "--out", file); code == program.Done || !strings.Contains(out, "hint: stint admin backup does it while it runs") {
		t.Errorf("while it runs:\n%s", out)
	}
	if code, out := run(t, "restored", "--data", data); code == program.Done || !strings.Contains(out, "hint: stop it first") {
		t.Errorf("restored while it runs:\n%s", out)
	}
	running := filepath.Join(dir, "running.backup")
	f, err := os.Create(running)
	must(t, err)
	must(t, errors.Join(c.Backup(t.Context(), f), f.Close()))
	for _, more := range [][]string{nil, {"--replace"}} {
		if code, out := run(t, append([]string{"restore", running, "--data", data}, more...)...); code == program.Done || !strings.Contains(out, "the data folder is in use") || !strings.Contains(out, "hint: stop it first") {
			t.Errorf("restore %v while it runs: exit %d\n%s", more, code, out)
		}
	}
	d.end()
	if code, out := run(t, "backup", "--data", data, "--out", file); code != program.Done || !strings.Contains(out, "is not in it") {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info.Mode(), err)
	}
	seal, err := os.ReadFile(data + ".key")
	must(t, err)
	text, err := os.ReadFile(file)
	must(t, err)
	if holds(t, file, seal) {
		t.Error("the backup holds the seal key")
	}
	if !holds(t, file, []byte("user:mira")) {
		t.Error("the search finds nothing at all")
	}
	elsewhere := filepath.Join(dir, "else")
	if code, out := run(t, "restore", file, "--data", elsewhere); code != program.Usage || !strings.Contains(out, "seal key") {
		t.Errorf("without the seal key: exit %d\n%s", code, out)
	}
	start(t, filepath.Join(dir, "other")).end()
	if code, out := run(t, "restore", file, "--data", elsewhere, "--seal-key-file", filepath.Join(dir, "other.key")); code != program.Usage || !strings.Contains(out, "does not open") {
		t.Errorf("with another seal key: exit %d\n%s", code, out)
	}
	bad := append([]byte{}, text...)
	bad[bytes.Index(bad, []byte{0x1f, 0x8b})+20] ^= 1 // within the first part
	must(t, os.WriteFile(filepath.Join(dir, "bad.backup"), bad, 0o600))
	for _, args := range [][]string{{filepath.Join(dir, "bad.backup")}, {filepath.Join(dir, "none")}, {data + ".key"}} {
		args = append([]string{"restore", "--data", elsewhere, "--seal-key-file", data + ".key"}, args...)
		if code, out := run(t, args...); code != program.Usage || !strings.Contains(out, "hint: ") {
			t.Errorf("%v: exit %d\n%s", args, code, out)
		}
	}
	if _, err := os.Stat(filepath.Join(elsewhere, storeFile)); err == nil {
		t.Error("a refused restore left a store")
	}
	pg := pgtest.Start(t, pgtest.Options{})
	config := filepath.Join(dir, "pg.yaml")
	must(t, os.WriteFile(config, []byte("database: "+pg.SuperuserDSN(pg.Database(t))), 0o600))
	for _, to := range []struct {
		args []string
		want string
	}{
		{[]string{"--data", elsewhere, "--seal-key-file", data + ".key"}, "epoch 2"},
		{[]string{"--data", elsewhere, "--seal-key-file", data + ".key", "--replace"}, "epoch 3"}, // above what is replaced
		{[]string{"--data", elsewhere, "--seal-key-file", data + ".key", "--replace", "--epoch-above", "9"}, "epoch 10"},
		{[]string{"--data", filepath.Join(dir, "pg"), "--config", config, "--seal-key-file", data + ".key"}, "epoch 2"},
	} {
		if code, out := run(t, append([]string{"restore", file}, to.args...)...); code != program.Done || !strings.Contains(out, to.want) {
			t.Fatalf("restore %v: exit %d\n%s", to.args, code, out)
		}
	}
	if code, out := run(t, "restore", file, "--data", filepath.Join(dir, "pg"), "--config", config, "--seal-key-file", data+".key", "--replace"); code == program.Done || !strings.Contains(out, "not empty") {
		t.Errorf("over a database that is full: exit %d\n%s", code, out)
	}
	for _, at := range [][]string{{elsewhere}, {filepath.Join(dir, "pg"), "--config", config}} {
		d := start(t, at[0], append(at[1:], "--seal-key-file", data+".key")...)
		c.Server = d.url
		if q, err := c.Quarantine(t.Context()); err != nil || q.Kind != "restored" || q.BackupAt.IsZero() {
			t.Errorf("%v: %+v, %v", at, q, err)
		}
		// The code that nobody had used when the backup was made is worthless.
		var refused *api.Error
		if _, err := d.client().Enroll(t.Context(), added.EnrollToken, false, ""); !errors.As(err, &refused) {
			t.Errorf("a code of the backup: %v", err)
		}
		d.end()
	}
}

func TestDoctorOffline(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if code, out := run(t, "doctor", "--data", data); code != program.Done || !strings.Contains(out, "WARN  data:") {
		t.Errorf("of nothing: exit %d\n%s", code, out)
	}
	d := start(t, data)
	if code, out := run(t, "doctor", "--data", data); code != program.Failure || !strings.Contains(out, "FAIL  store: the data folder is in use") {
		t.Errorf("while it runs: exit %d\n%s", code, out)
	}
	d.end()
	if code, out := run(t, "doctor", "--data", data); code != program.Done || !strings.Contains(out, "OK    installation: the seal key opens it") {
		t.Errorf("of a good one: exit %d\n%s", code, out)
	}
	must(t, os.Chmod(data+".key", 0o644))
	code, out := run(t, "doctor", "--data", data, "--json")
	var found api.Doctor
	text, _, _ := strings.Cut(out, "\nstintd: error")
	if err := json.Unmarshal([]byte(text), &found); err != nil || code != program.Failure || found.OK || !has(found, "seal key", api.CheckFail, "mode") {
		t.Errorf("a key that others read: exit %d, %v\n%s", code, err, out)
	}
	must(t, os.Chmod(data+".key", 0o600))
	f, err := os.OpenFile(filepath.Join(data, storeFile), os.O_WRONLY, 0)
	must(t, err)
	for at := int64(8192); at < 200_000; at += 4096 { // pages that are in use, but not the first
		_, err = f.WriteAt([]byte(strings.Repeat("damage", 500)), at)
		must(t, err)
	}
	must(t, f.Close())
	if code, out := run(t, "doctor", "--data", data); code != program.Failure || !strings.Contains(out, "FAIL  store:") {
		t.Errorf("of a damaged one: exit %d\n%s", code, out)
	}
	if code, _ := run(t, "doctor", "--data", data, "--listen", "0.0.0.0:1"); code != program.Usage {
		t.Errorf("a setting that is not safe: exit %d", code)
	}
}

// liar says that it has seen much more than there is.
type liar struct{}

func (liar) ServeHTTP(rw http.ResponseWriter, _ *http.Request) {
	rw.Header().Set("Content-Type", "text/x.tlog.size")
	rw.WriteHeader(http.StatusConflict)
	_, _ = io.WriteString(rw, "1000000000\n")
}

// holds reports whether a value in a backup contains the text.
func holds(t *testing.T, file string, text []byte) bool {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	r, err := backup.Open(f)
	must(t, err)
	found := false
	for {
		table, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		must(t, err)
		for {
			row, err := table.Row()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			for _, v := range row {
				found = found || strings.Contains(fmt.Sprintf("%s", v), string(bytes.TrimSpace(text)))
			}
		}
	}
}

// numbered waits until the log has what was just done: records get their numbers a moment later.
func numbered(t *testing.T, c *api.Client, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var log bytes.Buffer
		must(t, c.AuditExport(t.Context(), &log))
		if strings.Contains(log.String(), text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log lacks %q:\n%s", text, log.String())
		}
	}
}
