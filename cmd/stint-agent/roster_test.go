package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/passkey/passkeytest"
	"stint/internal/program"
)

// TestRosterGone has the absence of a roster be no permission, once there was one.
func TestRosterGone(t *testing.T) {
	dir := t.TempDir()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f := flags{state: filepath.Join(dir, "state"), roster: filepath.Join(dir, "roster.yaml")}
	check(os.Mkdir(f.state, 0o700))
	usual := func() rosters { r := f.rosters(); r.named = false; return r } // as if the path were the usual one
	if _, err := usual().Roster(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a host that never had one: %v", err)
	}
	if _, err := f.rosters().Roster(); !errors.Is(err, access.Denied) || errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("one that was named, with a slip in its path: %v", err)
	}
	d := passkeytest.Client()
	text := "format: 1\npasskeys:\n- {person: omar, principal: \"user:omar\", name: laptop, rpId: localhost, origin: \"http://localhost\", credential: " +
		base64.RawURLEncoding.EncodeToString(d.ID) + ", key: " + base64.RawURLEncoding.EncodeToString(d.COSE) + "}\n" +
		"ceiling:\n- {mechanisms: [elevate], longest: 1h, approvals: 1}\n- {mechanisms: [token], longest: 1h, approvals: 0}\n"
	check(os.WriteFile(f.roster, []byte(text), 0o600))
	if r, fresh, err := f.rosters().look(); err != nil || !fresh || len(r.Passkeys) != 1 {
		t.Fatalf("%+v, %v, %v", r, fresh, err)
	}
	if _, err := os.Stat(f.path(rosterMark)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("that somebody looked is kept as if the agent had")
	}
	if r, err := f.rosters().Roster(); err != nil || len(r.Passkeys) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	said := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := Main(t.Context(), append([]string{"roster"}, append(args, "--roster", f.roster, "--state", f.state)...), strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	if code, text := said("check"); code != program.Done || !strings.Contains(text, "warning: rule 2 asks for no approval, and opens the account root") || !strings.Contains(text, "good: 1 passkeys, 2 rules") {
		t.Errorf("check: %d %s", code, text)
	}
	if code, text := said("show"); code != program.Done || !strings.Contains(text, "omar") || !strings.Contains(text, "1 approvals by passkey") {
		t.Errorf("show: %d %s", code, text)
	}
	if code, text := said("drop"); code == program.Done || !strings.Contains(text, "is there") {
		t.Errorf("drop while it is there: %d %s", code, text)
	}
	check(os.Remove(f.roster))
	for range 2 { // a new process knows it too
		if _, err := f.rosters().Roster(); !errors.Is(err, access.Denied) {
			t.Errorf("a roster that is gone: %v", err)
		}
	}
	if code, text := said("check"); code != program.Failure || !strings.Contains(text, "there is no roster") {
		t.Errorf("check: %d %s", code, text)
	}
	if code, _ := said("drop"); code != program.Done {
		t.Errorf("drop: %d", code)
	}
	if _, err := usual().Roster(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after drop: %v", err)
	}
	check(os.WriteFile(f.roster, []byte("format: 1\n"), 0o600))
	if _, err := f.rosters().Roster(); err == nil {
		t.Error("a broken one was taken")
	}
	check(os.Remove(f.roster))
	if _, err := f.rosters().Roster(); !errors.Is(err, access.Denied) {
		t.Errorf("a broken one that is gone: %v", err)
	}
}

// TestCeilingOut: a ceiling beyond the bounds of the question that brings it is not told, so
// that what ended early is answered all the same.
func TestCeilingOut(t *testing.T) {
	names := func(n, length int) (out []string) {
		for range n {
			out = append(out, strings.Repeat("x", length))
		}
		return out
	}
	rules := func(n int, r access.CeilingRule) (c access.Ceiling) {
		for range n {
			c.Rules = append(c.Rules, r)
		}
		return c
	}
	for name, x := range map[string]struct {
		c      access.Ceiling
		untold bool
	}{
		"one rule":            {rules(1, access.CeilingRule{Accounts: names(1000, 20), Approvals: 2}), false},
		"as many rules":       {rules(100, access.CeilingRule{Rights: names(10, 20)}), false},
		"more rules":          {rules(101, access.CeilingRule{}), true},
		"more accounts":       {rules(1, access.CeilingRule{Accounts: names(1001, 1)}), true},
		"more rights":         {rules(1, access.CeilingRule{Rights: names(1001, 1)}), true},
		"more to run as":      {rules(1, access.CeilingRule{RunAs: names(1001, 1)}), true},
		"more mechanisms":     {rules(1, access.CeilingRule{Mechanisms: make([]access.Mechanism, 11)}), true},
		"a longer text":       {rules(100, access.CeilingRule{Rights: names(100, 20)}), true},
		"one that is no good": {access.Ceiling{Why: strings.Repeat("x", 5000)}, false},
	} {
		out := ceilingOut(x.c)
		if out.Untold != x.untold || x.untold && (len(out.Rules) > 0 || out.Why != "") || len(out.Rules) != len(x.c.Rules) && !x.untold {
			t.Errorf("%s: untold %v, %d rules", name, out.Untold, len(out.Rules))
		}
	}
}
