package api_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"stint/internal/api"
)

// goldenDevice has the signing key of RFC 8037 appendix A.
func goldenDevice(t testing.TB) *api.Device {
	t.Helper()
	d, err := api.LoadDevice(copyKey(t, "testdata/device.json"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func copyKey(t testing.TB, from string) string {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "device.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newDevice(t testing.TB) *api.Device {
	t.Helper()
	d, err := api.NewDevice()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The thumbprint of RFC 8037 appendix A.3.
func TestThumbprint(t *testing.T) {
	const want = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
	d := goldenDevice(t)
	if d.ID() != want {
		t.Errorf("ID() = %q, want %q", d.ID(), want)
	}
	got, err := d.JWK().Thumbprint()
	if err != nil || got != want {
		t.Errorf("JWK().Thumbprint() = %q, %v; want %q", got, err, want)
	}
}

func TestThumbprintRefuses(t *testing.T) {
	good := goldenDevice(t).JWK()
	for name, bend := range map[string]func(*api.JWK){
		"kty":      func(j *api.JWK) { j.Kty = "EC" },
		"crv":      func(j *api.JWK) { j.Crv = "X25519" },
		"short":    func(j *api.JWK) { j.X = j.X[:20] },
		"long":     func(j *api.JWK) { j.X += "AAAA" },
		"padding":  func(j *api.JWK) { j.X += "=" },
		"newline":  func(j *api.JWK) { j.X = j.X[:10] + "\n" + j.X[10:] },
		"std":      func(j *api.JWK) { j.X = strings.Replace(j.X, "_", "/", 1) },
		"tailbits": func(j *api.JWK) { j.X = j.X[:42] + "p" },
		"empty":    func(j *api.JWK) { *j = api.JWK{} },
	} {
		j := good
		bend(&j)
		if got, err := j.Thumbprint(); !errors.Is(err, api.Invalid) {
			t.Errorf("%s: Thumbprint() = %q, %v; want an Invalid error", name, got, err)
		}
	}
}

func TestOpenDeviceMakesKeysOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "home", "device.json")
	if _, err := api.LoadDevice(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("LoadDevice of nothing: %v, want fs.ErrNotExist", err)
	}
	// Many first runs at once must agree on one pair of keys.
	const n = 8
	ids := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			d, err := api.OpenDevice(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = d.ID() + string(d.SealKey())
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("two first runs made different keys: %q", ids)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has mode %v, want 0600", info.Mode().Perm())
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v (%v), want the key alone", left, err)
	}
}

func TestLoadDeviceRefuses(t *testing.T) {
	good, err := os.ReadFile("testdata/device.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":     "",
		"not json":  "stint",
		"version":   strings.Replace(string(good), `"stint_device":1`, `"stint_device":2`, 1),
		"unknown":   strings.Replace(string(good), `"sign"`, `"more":1,"sign"`, 1),
		"no sign":   strings.Replace(string(good), `"sign"`, `"SIGNED"`, 1),
		"short":     strings.Replace(string(good), `nWGx`, ``, 1),
		"no seal":   `{"stint_device":1,"sign":"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="}`,
		"trailing":  string(good) + "{}",
		"truncated": string(good[:len(good)/2]),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "device.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, open := range []func(string) (*api.Device, error){api.LoadDevice, api.OpenDevice} {
				d, err := open(path)
				var e *api.Error
				if d != nil || !errors.As(err, &e) || e.Next == "" {
					t.Fatalf("got %v, %v; want an error with a next step", d, err)
				}
				if strings.Contains(fmt.Sprintf("%+v %v", e, errors.Unwrap(e)), "nWGx") {
					t.Errorf("the error shows the key: %+v", e)
				}
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != text {
				t.Errorf("the damaged file was changed to %q (%v)", after, err)
			}
		})
	}
}

func TestLoadDeviceRefusesSharedFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it has no such modes
	}
	path := copyKey(t, "testdata/device.json")
	for _, mode := range []fs.FileMode{0o604, 0o640, 0o660, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var e *api.Error
		if _, err := api.LoadDevice(path); !errors.As(err, &e) || !strings.Contains(e.Next, "chmod 600") {
			t.Errorf("mode %v: %v; want an error that says how to mend it", mode, err)
		}
	}
	if _, err := api.LoadDevice(t.TempDir()); err == nil {
		t.Error("LoadDevice of a folder succeeded")
	}
}

func TestDeviceDoesNotPrint(t *testing.T) {
	d := goldenDevice(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, d); got != "device "+d.ID() {
			t.Errorf("Sprintf(%s) = %q", verb, got)
		}
	}
	//lint:ignore SA9005 that nothing comes out is what is tested
	if b, err := json.Marshal(d); err != nil || string(b) != "{}" {
		t.Errorf("json.Marshal = %s, %v; want {}", b, err)
	}
}

// The vector is shared with whoever seals; it must open for ever.
func TestOpenSealedGolden(t *testing.T) {
	var golden struct {
		Info, Plaintext string
		Public, Sealed  []byte
	}
	text, err := os.ReadFile("testdata/sealed.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	d := goldenDevice(t)
	if !bytes.Equal(d.SealKey(), golden.Public) {
		t.Errorf("SealKey() = %x, want %x", d.SealKey(), golden.Public)
	}
	plain, err := d.OpenSealed(golden.Info, golden.Sealed)
	if err != nil || string(plain) != golden.Plaintext {
		t.Fatalf("OpenSealed = %q, %v; want %q", plain, err, golden.Plaintext)
	}
}

func TestOpenCredential(t *testing.T) {
	const plain = `{"type":"postgres","uri":"postgres://u:p@db1:5432/orders?sslmode=verify-full","username":"u","password":"p",` +
		`"host":"db1","port":5432,"database":"orders","sslmode":"verify-full"}`
	d := newDevice(t)
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(d.SealKey())
	if err != nil {
		t.Fatal(err)
	}
	seal := func(info, plain string) []byte {
		t.Helper()
		sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	end := api.At(time.Unix(1772386200, 0))
	got, err := d.OpenCredential(api.SealedCredential{Grant: "grt_01", Sealed: seal("stint credential grt_01", plain), ExpiresAt: end})
	want := api.Credential{Type: "postgres", URI: "postgres://u:p@db1:5432/orders?sslmode=verify-full", Username: "u", Password: "p",
		Host: "db1", Port: 5432, Database: "orders", SSLMode: "verify-full", ExpiresAt: end}
	if err != nil || got != want {
		t.Errorf("OpenCredential = %s, %v; want %s", mustJSON(t, got), err, mustJSON(t, want))
	}
	for name, c := range map[string]api.SealedCredential{
		"another grant's": {Grant: "grt_02", Sealed: seal("stint credential grt_01", plain)},
		"not JSON":        {Grant: "grt_01", Sealed: seal("stint credential grt_01", "hunter2")},
		"wrong type":      {Grant: "grt_01", Sealed: seal("stint credential grt_01", `{"port":"hunter2"}`)},
		"nothing":         {Grant: "grt_01"},
	} {
		got, err := d.OpenCredential(c)
		if err == nil || got != (api.Credential{}) || strings.Contains(fmt.Sprint(err, errors.Unwrap(err)), "hunter2") {
			t.Errorf("%s: OpenCredential = %v, %v", name, got, err)
		}
	}
}

func TestOpenSealedRoundTrip(t *testing.T) {
	d, other := newDevice(t), newDevice(t)
	public, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(d.SealKey())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		info := rapid.String().Draw(t, "info")
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.OpenSealed(info, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("OpenSealed = %x, %v; want %x", got, err, plain)
		}
		if _, err := d.OpenSealed(info+"x", sealed); err == nil {
			t.Fatal("opened with another info")
		}
		if _, err := other.OpenSealed(info, sealed); err == nil {
			t.Fatal("opened on another device")
		}
		at := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		bit := byte(1) << rapid.IntRange(0, 7).Draw(t, "bit")
		sealed[at] ^= bit
		if _, err := d.OpenSealed(info, sealed); err == nil {
			t.Fatalf("opened with bit %#x of byte %d flipped", bit, at)
		}
		if _, err := d.OpenSealed(info, sealed[:at]); err == nil {
			t.Fatalf("opened when cut to %d bytes", at)
		}
	})
}
