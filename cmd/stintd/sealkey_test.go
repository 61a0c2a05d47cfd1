package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stint/internal/api"
	"stint/internal/program"
	"stint/internal/tpm/tpmtest"
)

// TestWrapKeyByTPM: with a real TPM the key file opens there only, through a rotation and
// a restart, with everything that was sealed before; without that TPM nothing starts, and
// the doctor says why (T-54).
func TestWrapKeyByTPM(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	chip, other := tpmtest.Start(t), tpmtest.Start(t)
	config := filepath.Join(filepath.Dir(data), "stintd.yaml")
	with := func(device string) {
		t.Helper()
		must(t, os.WriteFile(config, []byte("tpm: {device: "+device+"}\n"), 0o600))
	}
	with(chip)
	d := start(t, data)
	c := d.first()
	_, err := c.SetCredential(t.Context(), "login", api.CredentialSet{Type: "postgres", Address: "127.0.0.1:1", Username: "u", Password: "a login's password"})
	must(t, err)
	if code, out := run(t, "wrap-key", "tpm", "--data", data, "--config", config); code == program.Done {
		t.Errorf("while it runs:\n%s", out)
	}
	d.end()
	vaultSomething(t, data)
	key := data + ".key"
	plain, err := os.ReadFile(key)
	must(t, err)
	done := func(args ...string) string {
		t.Helper()
		code, out := run(t, append(args, "--data", data, "--config", config)...)
		if code != program.Done {
			t.Fatalf("%s: exit %d\n%s", args, code, out)
		}
		return out
	}
	if out := done("wrap-key", "tpm"); !strings.Contains(out, "opens with the TPM of this machine") {
		t.Error(out)
	}
	text, err := os.ReadFile(key)
	must(t, err)
	if !strings.HasPrefix(string(text), "stint-seal-key-2:tpm:") || strings.Contains(string(text), strings.TrimSpace(strings.TrimPrefix(string(plain), "stint-seal-key-1:"))) {
		t.Errorf("the key file holds\n%s", text)
	}
	done("rotate-key", "seal")
	if text, err = os.ReadFile(key); err != nil || strings.Count(string(text), "stint-seal-key-2:tpm:") != 2 || strings.Contains(string(text), "stint-seal-key-1") {
		t.Errorf("after a rotation it holds\n%s", text)
	}
	d = start(t, data, "--config", config)
	d.end()
	if code, out := run(t, "doctor", "--data", data, "--config", config); !strings.Contains(out, "by tpm, which opens it") {
		t.Errorf("exit %d\n%s", code, out)
	}

	for _, device := range []string{other, filepath.Join(filepath.Dir(data), "none")} {
		with(device)
		for _, args := range [][]string{{"serve"}, {"doctor"}, {"rotate-key", "seal"}, {"wrap-key", "none"}} {
			code, out := run(t, append(args, "--data", data, "--config", config, "--listen", "127.0.0.1:0")...)
			if code == program.Done || !strings.Contains(out, "does not open without the TPM") {
				t.Errorf("%s with another TPM: exit %d\n%s", args, code, out)
			}
		}
		if now, err := os.ReadFile(key); err != nil || string(now) != string(text) {
			t.Errorf("the key file is another one: %v", err)
		}
	}
	with(chip)
	if code, out := run(t, "wrap-key", "pkcs11", "--data", data, "--config", config); code != program.Usage || !strings.Contains(out, "pkcs11 is not in the configuration") {
		t.Errorf("without a token: exit %d\n%s", code, out)
	}
	if out := done("wrap-key", "none"); !strings.Contains(out, "holds its keys as they are") {
		t.Error(out)
	}
	open(t, data) // and the vaulted password is there
}
