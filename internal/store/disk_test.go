package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"stint/internal/access"
)

// smallDisk mounts a disk of so many bytes for the test, and unmounts it after.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a small disk can be mounted by root only: run this as root, as make test is")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("%s stays mounted: %v", dir, err)
		}
	})
	return dir
}

// fillDisk takes all room on the disk, down to the last page.
func fillDisk(t *testing.T, dir string) (release func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for block := bytes.Repeat([]byte("x"), 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk: a change that does not fit is refused, says why and leaves no
// trace; reading goes on; with room it works again, without anybody's help, and
// nothing that was committed is lost. (G-18)
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 8<<20)
	s, err := Open(t.Context(), Config{Path: filepath.Join(dir, "stint.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	save := func(n int) error {
		return s.Update(context.Background(), func(tx *Tx) error {
			return tx.SaveSetting(fmt.Sprint("n", n), bytes.Repeat([]byte{byte(n)}, 20_000))
		})
	}
	have := func() (n int) {
		t.Helper()
		if err := s.View(context.Background(), func(tx *Tx) error {
			for n = 0; ; n++ {
				v, err := tx.Setting(fmt.Sprint("n", n))
				if err != nil || v == nil {
					return err
				}
			}
		}); err != nil {
			t.Fatalf("reading on a full disk: %v", err)
		}
		return n
	}
	n := 0
	for round := range 3 {
		release := fillDisk(t, dir)
		var err error
		for err == nil { // what is left in the files is used up first
			if err = save(n); err == nil {
				n++
			}
		}
		var e *access.Error
		if !errors.As(err, &e) || e.Kind != access.Unavailable || e.Code != "store-full" || e.Next == "" {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := s.Ready(context.Background()); round == 0 && err != nil && !errors.Is(err, access.Unavailable) {
			t.Error(err)
		}
		if got := have(); got != n {
			t.Fatalf("round %d: %d values of %d", round, got, n)
		}
		for range 20 { // it is tried again and again meanwhile
			if err := save(n); err == nil {
				n++
			}
		}
		release()
		if err := save(n); err != nil {
			t.Fatalf("with room again: %v", err)
		}
		n++
		if got := have(); got != n {
			t.Fatalf("%d values of %d", got, n)
		}
	}
}

// TestBrokenConnectionIsReplaced: after an error of the disk nothing is written
// through the connection that met it.
func TestBrokenConnectionIsReplaced(t *testing.T) {
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "stint.db")})
	if err != nil {
		t.Fatal(err)
	}
	e := s.engine.(*sqliteEngine)
	save := func(v string) error {
		return s.Update(context.Background(), func(tx *Tx) error { return tx.SaveSetting("x", []byte(v)) })
	}
	if err := save("before"); err != nil {
		t.Fatal(err)
	}
	old := e.writer.db
	broken := unavailable("store-broken", "the store's file cannot be read or written", errors.New("disk I/O error"))
	if err := s.Update(context.Background(), func(*Tx) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := save("after"); err != nil {
		t.Fatal(err)
	}
	if e.writer.db == old {
		t.Error("the connection that met the error is still written through")
	}
	if err := s.View(context.Background(), func(*Tx) error { return broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := s.View(context.Background(), func(tx *Tx) error {
		v, err := tx.Setting("x")
		if string(v) != "after" {
			t.Errorf("%q", v)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
