package hook

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"stint/internal/access"
	"stint/internal/connector"
)

type signedLogin struct {
	Session []byte
	Type    byte
	User    string
	Service string
	Method  string
	Signed  bool
	Algo    string
	Key     []byte
}

// TestAgentSignsOneLogin: the agent that a hook is lent signs a log-in of the one account, with
// the one key, and nothing else that anybody puts before it; and gives no key away.
func TestAgentSignsOneLogin(t *testing.T) {
	k, err := keyOf(access.NewSecret([]byte(newText())))
	must(t, err)
	other, err := keyOf(access.NewSecret([]byte(newText())))
	must(t, err)
	at := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", at)
	must(t, err)
	one := &signing{account: "shop", signer: k.signer}
	end := serve(l, one)
	c, err := net.Dial("unix", at)
	must(t, err)
	defer c.Close()
	a := agent.NewClient(c)
	keys, err := a.List()
	if err != nil || len(keys) != 1 || strings.TrimSpace(keys[0].String()) != k.public {
		t.Fatalf("%v %v", keys, err)
	}
	blob := k.signer.PublicKey().Marshal()
	good := signedLogin{[]byte("session"), 50, "shop", "ssh-connection", "publickey", true, ssh.KeyAlgoED25519, blob}
	for what, change := range map[string]func(*signedLogin){
		"another account": func(s *signedLogin) { s.User = "root" }, "another service": func(s *signedLogin) { s.Service = "ssh-userauth" },
		"another method": func(s *signedLogin) { s.Method = "hostbased" }, "another message": func(s *signedLogin) { s.Type = 51 },
		"a question": func(s *signedLogin) { s.Signed = false }, "another key": func(s *signedLogin) { s.Key = other.signer.PublicKey().Marshal() },
	} {
		s := good
		change(&s)
		if _, err := a.Sign(k.signer.PublicKey(), ssh.Marshal(s)); err == nil {
			t.Errorf("%s is signed", what)
		}
	}
	for _, text := range [][]byte{nil, []byte("SSHSIG"), []byte("anything at all"), ssh.Marshal(good)[:20]} {
		if _, err := a.Sign(k.signer.PublicKey(), text); err == nil {
			t.Errorf("%q is signed", text)
		}
	}
	if _, err := a.Sign(other.signer.PublicKey(), ssh.Marshal(good)); err == nil || one.signed() {
		t.Errorf("a key that it has not: %v", err)
	}
	if a.Add(agent.AddedKey{}) == nil || a.RemoveAll() == nil {
		t.Error("it is changed")
	}
	sig, err := a.Sign(k.signer.PublicKey(), ssh.Marshal(good))
	must(t, err)
	if must(t, k.signer.PublicKey().Verify(ssh.Marshal(good), sig)); !one.signed() {
		t.Error("it does not know that it signed")
	}
	end()
	if _, err := a.List(); err == nil {
		t.Error("it answers after its end")
	}
}

// TestKeysAreProven: a hook that says that a key opens, and has not used it, is not believed; one
// elsewhere is not asked; and no hook is told a private key.
func TestKeysAreProven(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	c, target, _ := scripted(t, "#!/bin/sh\ncat >>"+seen+"\necho '{\"opens\": true, \"done\": true, \"exists\": true, \"notes\": {}}'\n")
	target.Connection.Options[access.SecretOption] = "key"
	s := access.NewSecret([]byte(newText()))
	k, err := keyOf(s)
	must(t, err)
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	if opens, err := c.opens(ctx, target, "shop", s); opens || err == nil || failure(err).Outcome != connector.Unknown {
		t.Errorf("believed: %v %v", opens, err)
	}
	must(t, c.set(ctx, target, "shop", s, access.Secret{}))
	must(t, c.lock(ctx, target, "shop", s))
	text, err := os.ReadFile(seen)
	must(t, err)
	if said := string(text); strings.Contains(said, "PRIVATE") || strings.Contains(said, string(s.Reveal())) || !strings.Contains(said, k.public) {
		t.Error("a hook was told a private key, or not the public one")
	}
	again, err := keyOf(s)
	must(t, err)
	if again.public != k.public {
		t.Error("the next attempt has another key")
	}
	far, target, _, _ := elsewhere(t, nil)
	target.Connection.Options[access.SecretOption] = "key"
	if _, err := far.opens(ctx, target, "shop", s); err == nil || failure(err).Outcome != connector.NotDone {
		t.Errorf("over HTTPS: %v", err)
	}
	if rep := far.Check(ctx, target); rep.OK() {
		t.Error("the check says nothing of it")
	}
	for _, bad := range []string{"-----BEGIN OPENSSH PRIVATE KEY-----\ncanary\n-----END OPENSSH PRIVATE KEY-----", "-----BEGIN canary"} {
		if _, err := keyOf(access.NewSecret([]byte(bad))); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("a key that is none: %v", err)
		}
	}
}
