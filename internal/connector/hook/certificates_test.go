package hook

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/vault"
)

func newCertificate(t testing.TB, account string) access.Secret {
	t.Helper()
	s, _, err := vault.NewCertificate(account, rand.Reader, time.Now())
	must(t, err)
	return s
}

// TestCertificateSteps: a hook is told the private key of a certificate to prove it, and never
// else; elsewhere it is told of none.
func TestCertificateSteps(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	c, target, _ := scripted(t, "#!/bin/sh\ncat >>"+seen+"; echo >>"+seen+"\necho '{\"opens\": true, \"done\": true, \"exists\": true, \"notes\": {}}'\n")
	target.Connection.Options[access.SecretOption] = "certificate"
	s := newCertificate(t, "shop")
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	must(t, c.set(ctx, target, "shop", s, access.Secret{}))
	must(t, c.lock(ctx, target, "shop", s))
	if opens, err := c.opens(ctx, target, "shop", s); !opens || err != nil {
		t.Errorf("%v %v", opens, err)
	}
	text, err := os.ReadFile(seen)
	must(t, err)
	var asked []question
	for line := range strings.Lines(string(text)) {
		var q question
		must(t, json.Unmarshal([]byte(line), &q))
		asked = append(asked, q)
	}
	p, err := certificateOf(s)
	must(t, err)
	for i, want := range []question{{Do: doSet, Certificate: p.certificate}, {Do: doLock}, {Do: doProve, Certificate: p.certificate, PrivateKey: p.private}} {
		if q := asked[i]; q.Do != want.Do || q.Kind != "certificate" || q.Certificate != want.Certificate || q.PrivateKey != want.PrivateKey || q.Secret != "" {
			t.Errorf("%s: kind %q, a certificate %t, a private key %t, a secret %t", q.Do, q.Kind, q.Certificate != "", q.PrivateKey != "", q.Secret != "")
		}
	}
	shown := credential{}
	must(t, c.fits(ctx, target, "shop", s, &shown))
	if shown.Certificate+shown.PrivateKey != string(s.Reveal()) || shown.Password != "" {
		t.Error("a holder gets something else")
	}

	far, target, _, _ := elsewhere(t, nil)
	target.Connection.Options[access.SecretOption] = "certificate"
	if _, err := far.opens(ctx, target, "shop", s); err == nil || failure(err).Outcome != connector.NotDone {
		t.Errorf("over HTTPS: %v", err)
	}
	if _, err := far.there(ctx, target, "shop"); err == nil || failure(err).Outcome != connector.NotDone {
		t.Errorf("an order over HTTPS: %v", err)
	}
	if rep := far.Check(ctx, target); rep.OK() {
		t.Error("the check says nothing of it")
	}
	text = s.Reveal()
	for what, bad := range map[string]string{"a password": "canary", "no key": p.certificate, "no certificate": p.private, "the other way round": p.private + p.certificate, "more": string(text) + "canary"} {
		if _, err := certificateOf(access.NewSecret([]byte(bad))); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestNoPartOfAKeyIsSaid: whatever line of a private key a hook puts into a sentence, the
// sentence goes no further.
func TestNoPartOfAKeyIsSaid(t *testing.T) {
	p, err := certificateOf(newCertificate(t, "shop"))
	must(t, err)
	q := question{Do: doProve, Certificate: p.certificate, PrivateKey: p.private}
	parts := []string{p.private, strings.ReplaceAll(p.private, "\n", ""), strings.ReplaceAll(p.private, "\n", "\\n")}
	for line := range strings.Lines(p.private) {
		if !strings.HasPrefix(line, "-----") {
			parts = append(parts, line, strings.ToUpper(line))
		}
	}
	for _, part := range parts {
		said, err := json.Marshal(map[string]string{"error": "cannot use " + part + " here", "next": part})
		must(t, err)
		a, _ := readAnswer(q, said)
		if a.Error != hushed || a.Next != hushed {
			t.Errorf("said: %q", a.Error)
		}
	}
	said, err := json.Marshal(map[string]string{"error": "the server does not know -----BEGIN CERTIFICATE-----"})
	must(t, err)
	if a, _ := readAnswer(q, said); a.Error == hushed {
		t.Error("what is no part of the key is not said")
	}
}
