package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/hsm/wire"
	"stint/internal/program"
	"stint/internal/sshcert"
	"stint/internal/store"
)

// authoritiesOf opens those of a stopped installation.
func authoritiesOf(t *testing.T, data string) (users, hosts *sshcert.Authority) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, storeFile)})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	id, err := openIdentity(t.Context(), st, settings{sealKey: data + ".key"})
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
		if code, out := run(t, "rotate-key", "ssh-users", "--data", data); code != program.Done {
			t.Fatalf("exit %d\n%s", code, out)
		}
	}
	if code, out := run(t, "rotate-key", "seal", "--data", data); code != program.Done { // the public ones are not sealed
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
	if code, out := run(t, "retire-key", "ssh-users", "--data", data); code != program.Done {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if users, _ = authoritiesOf(t, data); len(users.Keys()) != 1 || users.Keys()[0].Line() != newest {
		t.Errorf("after they were retired %v", users.Keys())
	}
	if code, _ := run(t, "retire-key", "ssh-users", "--data", data); code == program.Done {
		t.Error("nothing is retired twice")
	}
	for _, args := range [][]string{{"retire-key", "seal"}, {"retire-key"}, {"rotate-key", "ssh"}} {
		if code, out := run(t, append(args, "--data", data)...); code != program.Usage {
			t.Errorf("%q: exit %d\n%s", args, code, out)
		}
	}
}

// TestAuthorityInToken: a key that a token holds is known without it and signs nothing
// without it; and when the token is lost, the next key leads back to the disk, with overlap.
func TestAuthorityInToken(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := start(t, data)
	d.end()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	point, err := key.PublicKey.Bytes()
	must(t, err)
	pinned := wire.Key{Label: "stint-ssh-users-1", ID: []byte{1}, Algorithm: wire.P256, Public: point}
	before, _ := authoritiesOf(t, data)
	put := func(setting string) {
		t.Helper()
		st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, storeFile)})
		must(t, err)
		defer func() { must(t, st.Close()) }()
		id, err := openIdentity(t.Context(), st, settings{sealKey: data + ".key"})
		must(t, err)
		sealed, err := id.vault.SealAuthorityReference(setting, pinned.Marshal())
		must(t, err)
		must(t, st.Update(t.Context(), func(tx *store.Tx) error {
			return rotateAuthority(tx, id.vault, newToken(settings{}, nil), settingUserAuthority, sealed)
		}))
	}
	put(settingUserAuthority)
	users, hosts := authoritiesOf(t, data)
	if ks := users.Keys(); len(ks) != 2 || !strings.HasPrefix(ks[0].Line(), "ecdsa-sha2-nistp256 ") || ks[1].Line() != before.Keys()[0].Line() {
		t.Errorf("in the token: %v", ks)
	}
	if access.KindOf(users.Ready()) != access.Unavailable || !users.Remote() || hosts.Ready() != nil || hosts.Remote() {
		t.Errorf("without the token: %v; hosts %v", users.Ready(), hosts.Ready())
	}
	if code, out := run(t, "rotate-key", "seal", "--data", data); code != program.Done {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if code, out := run(t, "doctor", "--data", data); code == program.Done || !strings.Contains(out, "FAIL  key ssh-users: the key stint-ssh-users-1 is in a token") {
		t.Errorf("the doctor: exit %d\n%s", code, out)
	}
	d = start(t, data) // it serves all the same
	d.end()
	if code, out := run(t, "rotate-key", "ssh-users", "--data", data); code != program.Done {
		t.Fatalf("exit %d\n%s", code, out)
	}
	back, _ := authoritiesOf(t, data)
	if ks := back.Keys(); len(ks) != 3 || back.Ready() != nil || !strings.HasPrefix(ks[0].Line(), "ssh-ed25519 ") || ks[1].Line() != users.Keys()[0].Line() {
		t.Errorf("back on the disk: %v, %v", ks, back.Ready())
	}
	put(settingHostAuthority) // of the other authority, as somebody with a pen in the store would
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(data, storeFile)})
	must(t, err)
	defer func() { must(t, st.Close()) }()
	id, err := openIdentity(t.Context(), st, settings{sealKey: data + ".key"})
	must(t, err)
	if _, _, err := openAuthorities(t.Context(), st, id.vault, newToken(settings{}, nil)); err == nil {
		t.Error("a key of the other authority is taken")
	}
}
