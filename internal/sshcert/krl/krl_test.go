package krl

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSerials(t *testing.T) {
	got := Serials(9, 3, 1, 2, 0, 3, 7, math.MaxUint64, math.MaxUint64-1)
	want := []Range{{1, 3}, {7, 7}, {9, 9}, {math.MaxUint64 - 1, math.MaxUint64}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRoundTrip: what is written is read as it was, whichever way it was written.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ns []uint64
		at := rapid.Uint64Range(1, 1<<40).Draw(t, "from")
		for range rapid.IntRange(0, 200).Draw(t, "count") {
			at += rapid.SampledFrom([]uint64{1, 1, 1, 2, 7, 100, 5000, 1 << 30}).Draw(t, "step")
			ns = append(ns, at)
		}
		l := List{Version: 3, Generated: noon, Comment: "c", Authorities: []Authority{{Key: []byte("key"), Serials: Serials(ns...), KeyIDs: []string{"a", "b"}}}}
		b := must(Marshal(l))
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(l, got); d != "" {
			t.Fatal(d)
		}
		if !bytes.Equal(b, must(Marshal(got))) {
			t.Fatal("written again, it is other bytes")
		}
		if got.Count() != uint64(len(ns)) {
			t.Fatalf("%d serials, want %d", got.Count(), len(ns))
		}
	})
}

// TestWays: each way to write serials is used where it takes less room.
func TestWays(t *testing.T) {
	size := func(ns ...uint64) int {
		return len(must(Marshal(List{Authorities: []Authority{{Key: []byte("k"), Serials: Serials(ns...)}}})))
	}
	var many, every []uint64
	for i := range uint64(1000) {
		many, every = append(many, 1000+i), append(every, 1000+3*i)
	}
	if got := size(many...); got > 100 {
		t.Errorf("a run of 1000 takes %d bytes", got)
	}
	if got := size(every...); got > 600 {
		t.Errorf("1000 of 3000 take %d bytes", got)
	}
	if got := size(1, 1<<40, 1<<50); got > 120 {
		t.Errorf("three far apart take %d bytes", got)
	}
}

// TestKeygen asks ssh-keygen what it makes of our lists, and reads those that it makes.
func TestKeygen(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (string, error) {
		cmd := exec.Command("ssh-keygen", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	ok := func(args ...string) string {
		out, err := run(args...)
		if err != nil {
			t.Fatalf("ssh-keygen %q: %v (Debian: apt install openssh-client)\n%s", args, err, out)
		}
		return out
	}
	for _, k := range []string{"ca", "ca2", "id"} {
		ok("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", k)
	}
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	revoked := map[uint64]bool{5: true, 1 << 62: true}
	for range 40 {
		revoked[1000+rnd.Uint64N(300)] = true // close together
		revoked[rnd.Uint64N(1<<62)+1] = true  // far apart
	}
	for n := range uint64(50) {
		revoked[9000+n] = true
	}
	var ns []uint64
	for n := range revoked {
		ns = append(ns, n)
	}
	blob := func(name string) []byte { return must(keyBlob(filepath.Join(dir, name+".pub"))) }
	l := List{Version: 9, Generated: noon, Comment: "stint", Authorities: []Authority{{Key: blob("ca"), Serials: Serials(ns...), KeyIDs: []string{"gone"}}}}
	if err := os.WriteFile(filepath.Join(dir, "krl"), must(Marshal(l)), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := ok("-Q", "-l", "-f", "krl")
	for _, want := range []string{"# KRL version 9", "# Comment: stint", "serial: 5\n", "serial: 9000-9049", "id: gone"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	try := append(slices.Clone(ns), 1, 4, 6, 999, 8999, 9050, 1<<62+1)
	for range 20 {
		try = append(try, 1000+rnd.Uint64N(300))
	}
	slices.Sort(try)
	for i, n := range slices.Compact(try) {
		if len(try) > 60 && i%3 != 0 { // a process each
			continue
		}
		for _, ca := range []string{"ca", "ca2"} {
			ok("-q", "-s", ca, "-I", "k", "-n", "p", "-V", "+5m", "-z", fmt.Sprint(n), "id.pub")
			out, err := run("-Q", "-f", "krl", "id-cert.pub")
			want := ca == "ca" && revoked[n]
			if (err != nil) != want || strings.Contains(out, "REVOKED") != want {
				t.Errorf("serial %d by %s: ssh-keygen says %q, %v; want revoked %v", n, ca, out, err, want)
			}
			if got := l.Revokes(blob(ca), blob("id"), n, "k"); got != want {
				t.Errorf("serial %d by %s: we say %v", n, ca, got)
			}
		}
	}
	ok("-q", "-s", "ca", "-I", "gone", "-n", "p", "-V", "+5m", "-z", "77777", "id.pub")
	if _, err := run("-Q", "-f", "krl", "id-cert.pub"); err == nil {
		t.Error("the key id is not revoked")
	}

	// The other way around, and updated by it.
	spec := "serial: 3\nserial: 10-400\nid: old\nsha256: " + string(must(os.ReadFile(filepath.Join(dir, "ca2.pub"))))
	if err := os.WriteFile(filepath.Join(dir, "spec"), []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	ok("-q", "-k", "-f", "theirs", "-s", "ca.pub", "spec")
	got, err := Parse(must(os.ReadFile(filepath.Join(dir, "theirs"))))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]Authority{{Key: blob("ca"), Serials: []Range{{3, 3}, {10, 400}}, KeyIDs: []string{"old"}}}, got.Authorities); d != "" {
		t.Error(d)
	}
	if !got.Revokes(blob("ca2"), blob("id"), 1, "x") || got.Revokes(blob("ca"), blob("id"), 9, "x") {
		t.Error("a fingerprint is not read right")
	}
	ok("-q", "-k", "-f", "empty")
	if got, err := Parse(must(os.ReadFile(filepath.Join(dir, "empty")))); err != nil || len(got.Authorities) != 0 {
		t.Errorf("an empty list: %v, %v", got, err)
	}
}

func TestRefuses(t *testing.T) {
	key := []byte("k")
	for name, l := range map[string]List{
		"any authority": {Authorities: []Authority{{Serials: Serials(1)}}}, "serial 0": {Authorities: []Authority{{Key: key, Serials: []Range{{0, 0}}}}},
		"backwards": {Authorities: []Authority{{Key: key, Serials: []Range{{9, 3}}}}}, "an empty id": {Authorities: []Authority{{Key: key, KeyIDs: []string{""}}}}, "a key": {Keys: [][]byte{key}},
	} {
		if _, err := Marshal(l); err == nil {
			t.Errorf("%s is written", name)
		}
	}
	good := must(Marshal(List{Authorities: []Authority{{Key: key, Serials: Serials(1, 5, 6, 7, 8, 900)}}}))
	for i := range good {
		if _, err := Parse(good[:i]); err == nil && i != 44 { // the head alone is a list of nothing
			t.Errorf("%d of %d bytes are read", i, len(good))
		}
	}
	for name, b := range map[string][]byte{"nothing": nil, "text": []byte(strings.Repeat("x", 100)), "an unknown section": append(slices.Clone(good), 99, 0, 0, 0, 0),
		"a signature": append(slices.Clone(good), sectionSignature, 0, 0, 0, 0), "a long one": make([]byte, maxSize+1)} {
		if _, err := Parse(b); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// FuzzParse: what is read and can be written reads the same again.
func FuzzParse(f *testing.F) {
	f.Add(must(Marshal(List{Version: 1, Generated: noon, Comment: "x", Authorities: []Authority{{Key: []byte("k"), Serials: Serials(1, 2, 3, 9, 11, 13, 1<<40), KeyIDs: []string{"a"}}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(b)
		if err != nil {
			return
		}
		out, err := Marshal(l)
		if err != nil {
			return
		}
		again, err := Parse(out)
		if err != nil || again.Count() != l.Count() || !bytes.Equal(out, must(Marshal(again))) {
			t.Errorf("%v read again is %v, %v", l, again, err)
		}
	})
}

// keyBlob is the wire form of a key in a file.
func keyBlob(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decode(strings.Fields(string(text))[1])
}

func decode(text string) ([]byte, error) { return base64.StdEncoding.DecodeString(text) }
