//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// TestPlaces: of two runs one has a place; what a killed one left is taken over; and what
// anybody else put there stays.
func TestPlaces(t *testing.T) {
	at := filepath.Join(t.TempDir(), "password")
	put := func(mode os.FileMode) {
		t.Helper()
		_ = os.RemoveAll(at)
		if err := os.WriteFile(at, []byte("left"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at, mode); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string, want error) {
		t.Helper()
		if _, err := lockPlace(at); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	stays := func(what string) {
		t.Helper()
		if text, err := os.ReadFile(at); err != nil || string(text) != "left" {
			t.Errorf("%s: it is %q (%v)", what, text, err)
		}
	}
	put(0o600)
	refused("a file of one's own", errPlaceTaken)
	stays("a file of one's own")
	if !empty(lockName(at)) {
		t.Error("a lock file is left where nothing was begun")
	}
	_ = os.Remove(at)
	one, err := lockPlace(at)
	if err != nil {
		t.Fatal(err)
	}
	put(0o600)
	refused("of another run", errPlaceHeld)
	stays("of another run")
	_ = one.f.Close() // as the kernel does with a process that is killed
	two, err := lockPlace(at)
	if err != nil || !empty(at) {
		t.Fatalf("what a killed run left: %v", err)
	}
	_ = two.f.Close()
	put(0o644)
	refused("what others can read", errPlaceTaken)
	stays("what others can read")
	three, err := lockPlace(at + "-elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	_ = three.f.Close()
	at += "-elsewhere"
	if err := os.Symlink("/etc/hostname", at); err != nil {
		t.Fatal(err)
	}
	refused("a link", errPlaceTaken)
	_ = os.Remove(at)

	var held sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for range 8 {
		held.Go(func() {
			for range 200 {
				l, err := lockPlace(at)
				if err != nil {
					continue
				}
				mu.Lock()
				if n++; n != 1 {
					t.Error("two have one place")
				}
				mu.Unlock()
				mu.Lock()
				n--
				mu.Unlock()
				l.free()
			}
		})
	}
	held.Wait()
}
