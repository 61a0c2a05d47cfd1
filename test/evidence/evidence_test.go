package evidence_test

import (
	"os"
	"path/filepath"
	"testing"

	"stint/test/evidence"
)

func TestWriteAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	r := evidence.New("chaos-sqlite", "kill", "make chaos TRIALS=3")
	r.Passed, r.Seconds = true, 1.5
	r.Count("trials", 3, "")
	for range 2 { // the second takes the place of the first
		if err := r.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
	rs, err := evidence.Load(dir)
	if err != nil || len(rs) != 1 || rs[0].Figures[0].Value != 3 || !rs[0].Passed {
		t.Fatalf("loaded %+v, %v", rs, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files are left, want one", len(files))
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, r := range []evidence.Result{
		evidence.New("../up", "kill", ""), evidence.New("", "kill", ""), evidence.New("a", "guess", ""),
	} {
		if err := r.Write(t.TempDir()); err == nil {
			t.Errorf("%q by %q was written", r.Name, r.Method)
		}
	}
}

func TestLoadRefusesAMisnamedFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "soak.json"), []byte(`{"name":"sim"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.Load(dir); err == nil {
		t.Error("a result under another's name was taken")
	}
}
