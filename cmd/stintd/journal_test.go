package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/api"
	"stint/internal/journal"
)

// TestStartsWithAnyJournal: nothing that stands in the journal's place keeps stintd from
// starting, because then nothing would end. It is said aloud.
func TestStartsWithAnyJournal(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	path := filepath.Join(disk, "journal")
	config := filepath.Join(dir, "stint.yaml")
	must(t, os.WriteFile(config, []byte("journal:\n  file: "+path+"\n  size: 65536\n"), 0o600))
	data := filepath.Join(dir, "data")
	var client *api.Client
	diary := bytes.Repeat([]byte("dear diary "), 1000)
	for _, c := range []struct {
		name    string
		prepare func() // given the state that the case before left
		log     string
		result  string
		saw     string
	}{
		{"a disk that is not there", func() {}, "THE JOURNAL IS IN MEMORY ONLY", api.CheckFail, "no such file"},
		{"a new one", func() { must(t, os.Mkdir(disk, 0o700)) }, "", api.CheckOK, path},
		{"a damaged one", func() {
			j, err := journal.Open(path, 65536)
			must(t, err)
			must(t, j.Write([]byte("{}"), []byte("{}")))
			must(t, j.Close())
			b, err := os.ReadFile(path)
			must(t, err)
			b[bytes.Index(b, []byte("{}"))] = '['
			must(t, os.WriteFile(path, b, 0o600))
		}, "THE JOURNAL WAS DAMAGED", api.CheckWarn, "not whole"},
		{"somebody else's file", func() { must(t, os.WriteFile(path, diary, 0o600)) }, "THE JOURNAL IS IN MEMORY ONLY", api.CheckFail, "not a journal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.prepare()
			_, seen := run(t, "doctor", "--data", data, "--config", config)
			if c.name == "a damaged one" && !strings.Contains(seen, "WARN  journal: ") {
				t.Errorf("the doctor without a server:\n%s", seen)
			}
			d := start(t, data, "--config", config)
			if c.log != "" && !strings.Contains(d.out.String(), c.log) {
				t.Errorf("it is not said:\n%s", d.out)
			}
			if inMemory := strings.Contains(health(t, d).Detail, "the journal is in memory only"); inMemory != (c.result == api.CheckFail) {
				t.Errorf("/readyz says %+v", health(t, d))
			}
			if client == nil {
				client = d.first()
			}
			client.Server = d.url
			if doc, err := client.Doctor(t.Context()); err != nil || !has(doc, "journal", c.result, c.saw) {
				t.Errorf("the doctor: %+v, %v", doc, err)
			}
			d.end()
		})
	}
	if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, diary) {
		t.Errorf("what is not ours was touched: %v", err)
	}
	if aside, err := filepath.Glob(path + ".damaged-*"); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %q, %v", aside, err)
	}
}
