//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const tokenDocuments = `
kind: Resource
name: tracker
type: hook
criticality: high
owners: [group:dba]
connection: {address: "tracker.example:443", hook: tracker, credential: tracker, secret: token}
ceiling: {mechanisms: [checkout], accounts: [robot], maxDuration: 8h}
---
kind: Role
name: borrow-robot
description: Borrow the robot of the tracker
resources: {names: [tracker]}
mechanism: checkout
hook: {account: robot}
exclusive: true
maxDuration: 1h
---
kind: Policy
name: robot-at-once
subjects: ["user:mira"]
roles: [borrow-robot]
require: {reason: {minLength: 5}, maxDuration: 1h}
`

// trackerHook is a tracker that makes its tokens itself, in a folder: a file for each.
const trackerHook = `#!/bin/bash
set -u -o pipefail
cd "$(dirname "$0")/../tracker" && exec 9>lock && flock 9 || exit 1
mapfile -d '' -t at < <(jq -j '(.do, .secret, .name, .note, .old, .new) | (. // "") + "\u0000"')
secret=${at[1]} name=${at[2]} note=notes/${at[3]} old=${at[4]} new=${at[5]}
hash() { printf %s "$1" | sha256sum | cut -c1-64; }
case ${at[0]} in
look) ls tokens | jq -Rnc '[inputs] | {exists: true, login: (length > 0), sessions: 0, tokens: .}' ;;
make)
	[ ! -e "tokens/$name" ] || { echo '{"error": "there is one"}'; exit; }
	token=tok_$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
	hash "$token" >"tokens/$name"
	echo "{\"token\": \"$token\"}"
	;;
keep) for t in tokens/*; do [ "$t" = "tokens/$name" ] || rm -f "$t"; done; echo '{"done": true}' ;;
lock) rm -f tokens/*; echo '{"done": true}' ;;
end) echo '{"done": true}' ;;
prove) if grep -qrx "$(hash "$secret")" tokens; then echo '{"opens": true}'; else echo '{"opens": false}'; fi ;;
notes) for n in notes/*; do [ ! -f "$n" ] || jq -Rsc --arg n "${n#notes/}" '{($n): .}' "$n"; done | jq -sc '{notes: (add // {})}' ;;
note)
	now=
	[ ! -f "$note" ] || now=$(<"$note")
	[ "$now" = "$old" ] || { echo '{"done": false}'; exit; }
	if [ -n "$new" ]; then printf %s "$new" >"$note"; else rm -f "$note"; fi
	echo '{"done": true}'
	;;
check) echo '{"steps": [{"name": "it is there", "ok": true}]}' ;;
esac
`

// TestTokenIsLent: an account of a tracker that makes its tokens itself goes into the vault; who
// borrows it gets the token in a file, in a field or in a variable, and it is dead after. It is
// in no row, no note and no log (T-52, T-55).
func TestTokenIsLent(t *testing.T) {
	ctx, done := context.WithTimeout(t.Context(), 4*time.Minute)
	defer done()
	base := t.TempDir()
	hooks, there := filepath.Join(base, "hooks"), filepath.Join(base, "tracker")
	for _, dir := range []string{hooks, filepath.Join(there, "tokens"), filepath.Join(there, "notes")} {
		must(t, os.MkdirAll(dir, 0o755))
	}
	must(t, os.WriteFile(filepath.Join(hooks, "tracker"), []byte(trackerHook), 0o755))
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Config: "hooks: " + hooks + "\n"})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Enrol(ctx, "mira"))
	admin, mira := s.As("root"), s.As("mira")
	must(t, admin.Run(ctx, "admin", "credential", "set", "tracker", "--type", "hook", "--address", "tracker.example:443", "--username", "stint", "--password-file", file(t, "tracker.pw", "canary-of-the-hook")).Failed())
	must(t, admin.Run(ctx, "apply", "-f", file(t, "tracker.yaml", tokenDocuments)).Failed())
	must(t, admin.Run(ctx, "resource", "check", "tracker").Failed())
	if err := admin.Run(ctx, "admin", "vault", "add", "robot", "--resource", "tracker", "--account", "robot", "--secret-file", file(t, "two", "tok_a\ntok_b\n")).Failed(); err == nil {
		t.Error("a token of two lines was taken")
	}
	must(t, admin.Run(ctx, "admin", "vault", "add", "robot", "--resource", "tracker", "--account", "robot").Failed())
	var v api.VaultEntry
	must(t, admin.JSON(ctx, &v, "admin", "vault", "show", "robot"))
	if v.Kind != "token" || v.State != "ready" {
		t.Errorf("%+v", v)
	}
	live := func() (names []string) {
		all, err := os.ReadDir(filepath.Join(there, "tokens"))
		must(t, err)
		for _, f := range all {
			names = append(names, f.Name())
		}
		return names
	}
	if n := live(); len(n) != 1 {
		t.Errorf("live are %v", n)
	}
	var r api.Request
	must(t, mira.JSON(ctx, &r, "request", "tracker", "--as", "borrow-robot", "--for", "10m", "--why", "close tickets"))
	at := filepath.Join(t.TempDir(), "token")
	must(t, mira.Run(ctx, "checkout", "tracker", "--file", at).Failed())
	text, err := os.ReadFile(at)
	must(t, err)
	if i, err := os.Stat(at); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", i.Mode(), err)
	}
	token := strings.TrimSpace(string(text))
	if err := mira.Run(ctx, "checkout", "tracker", "--file", at).Failed(); err == nil {
		t.Error("what was there was replaced")
	}
	if got := mira.Run(ctx, "secret", "read", "tracker", "--field", "token"); got.Failed() != nil || strings.TrimSpace(got.Out) != token || !strings.HasPrefix(token, "tok_") {
		t.Errorf("the field is another than the file: %v", got.Failed())
	}
	must(t, mira.Run(ctx, "end", r.ID, "--wait").Failed())
	until(t, "the account is back", func() (bool, error) {
		err := admin.JSON(ctx, &v, "admin", "vault", "show", "robot")
		return err == nil && v.State == "ready", err
	})
	if n := live(); len(n) != 1 {
		t.Errorf("after it came back live are %v", n)
	}
	got := mira.Run(ctx, "run", "tracker", "--as", "borrow-robot", "--for", "10m", "--why", "close tickets", "--env", "TRACKER=token", "--", "sh", "-c", `printf %s "$TRACKER" >`+at+`2`)
	must(t, got.Failed())
	second, err := os.ReadFile(at + "2")
	must(t, err)
	if string(second) == token || !strings.HasPrefix(string(second), "tok_") {
		t.Error("the second who borrows it has the token of the first, or none")
	}
	notes, err := os.ReadDir(filepath.Join(there, "notes"))
	must(t, err)
	said := []byte(s.ServerLog())
	for _, n := range notes {
		text, err := os.ReadFile(filepath.Join(there, "notes", n.Name()))
		must(t, err)
		said = append(said, text...)
	}
	for _, secret := range []string{token, string(second), "canary-of-the-hook"} {
		if bytes.Contains(said, []byte(secret)) {
			t.Error("a secret is in the server's log, or in a note")
		}
	}
}
