package main

import (
	"path/filepath"
	"testing"

	"stint/internal/sshcert"
	"stint/internal/store"
)

// authoritiesOf opens those of a stopped installation.
func authoritiesOf(t *testing.T, data string) (users, hosts *sshcert.Authority) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, storeFile)})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	id, err := openIdentity(t.Context(), st, data+".key")
	must(t, err)
	users, hosts, err = openAuthorities(t.Context(), st, id.vault, newToken(settings{}, nil))
	must(t, err)
	return users, hosts
}

// TestAuthorities: made once, replaced with overlap, and given up by a command.
func TestAuthorities(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := start(t, data)
	d.end()
	users, hosts := authoritiesOf(t, data)
	again, _ := authoritiesOf(t, data)
	first := users.Keys()[0].Line()
	if len(users.Keys()) != 1 || len(hosts.Keys()) != 1 || first == hosts.Keys()[0].Line() || first != again.Keys()[0].Line() {
		t.Fatalf("users %v, hosts %v, users again %v", users.Keys(), hosts.Keys(), again.Keys())
	}
	for range 2 {
		if code, out := run(t, "rotate-key", "ssh-users", "--data", data); code != exitDone {
			t.Fatalf("exit %d\n%s", code, out)
		}
	}
	if code, out := run(t, "rotate-key", "seal", "--data", data); code != exitDone { // the public ones are not sealed
		t.Fatalf("exit %d\n%s", code, out)
	}
	users, after := authoritiesOf(t, data)
	if ks := users.Keys(); len(ks) != 3 || ks[2].Line() != first || ks[0].Line() == ks[1].Line() {
		t.Errorf("after two rotations %v", ks)
	}
	if after.Keys()[0].Line() != hosts.Keys()[0].Line() {
		t.Error("the hosts' authority is another one")
	}
	newest := users.Keys()[0].Line()
	if code, out := run(t, "retire-key", "ssh-users", "--data", data); code != exitDone {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if users, _ = authoritiesOf(t, data); len(users.Keys()) != 1 || users.Keys()[0].Line() != newest {
		t.Errorf("after they were retired %v", users.Keys())
	}
	if code, _ := run(t, "retire-key", "ssh-users", "--data", data); code == exitDone {
		t.Error("nothing is retired twice")
	}
	for _, args := range [][]string{{"retire-key", "seal"}, {"retire-key"}, {"rotate-key", "ssh"}} {
		if code, out := run(t, append(args, "--data", data)...); code != exitUsage {
			t.Errorf("%q: exit %d\n%s", args, code, out)
		}
	}
}
