package api

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// deviceFile is the stored form of a Device. Rule of change: a new form gets a
// new version number, and this one stays readable.
type deviceFile struct {
	Version int    `json:"stint_device"`
	Sign    []byte `json:"sign"` // Ed25519 seed, RFC 8032
	Seal    []byte `json:"seal"` // X25519 private key, RFC 9180 section 7.1.2
}

const (
	deviceFileVersion = 1
	deviceFileMax     = 4096
)

// OpenDevice reads the device's keys, and makes them if there is no file yet.
// When several processes do so at once, all get the same keys. A file that is
// damaged, or that others may read, is refused and left as it is.
func OpenDevice(path string) (*Device, error) {
	d, err := LoadDevice(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	if d, err = NewDevice(); err != nil {
		return nil, err
	}
	switch err := d.store(path); {
	case errors.Is(err, fs.ErrExist):
		return LoadDevice(path) // another process was faster
	case err != nil:
		return nil, &Error{Kind: Internal, Code: "device-file", Message: "cannot write the device key " + path, Why: reason(err),
			Next: "make its folder writable, or set STINT_HOME to another", cause: err}
	}
	return d, nil
}

// LoadDevice reads the device's keys; fs.ErrNotExist if there are none.
func LoadDevice(path string) (*Device, error) {
	fail := func(why, next string, cause error) error {
		return &Error{Kind: Internal, Code: "device-file", Message: "cannot use the device key " + path, Why: why, Next: next, cause: cause}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(reason(err), "sign in with stint login", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fail(reason(err), "", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fail("it is not a file", "", nil)
	}
	// Windows has no such bits; there the folder's access list protects it.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fail(fmt.Sprintf("others on this machine can reach it (mode %04o)", info.Mode().Perm()),
			"chmod 600 "+path+", or remove it and sign in again if somebody may have read it", nil)
	}
	text, err := io.ReadAll(io.LimitReader(f, deviceFileMax))
	if err != nil {
		return nil, fail(reason(err), "", err)
	}
	defer clear(text)
	d, ok := parseDevice(text)
	if !ok {
		return nil, fail("its content is damaged", "move it away and sign in again with stint login", nil)
	}
	return d, nil
}

// parseDevice gives no error: a decoder's could quote the keys.
func parseDevice(text []byte) (*Device, bool) {
	var file deviceFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if dec.Decode(&file) != nil || file.Version != deviceFileVersion || len(file.Sign) != ed25519.SeedSize {
		return nil, false
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, false
	}
	seal, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(file.Seal)
	if err != nil {
		return nil, false
	}
	return deviceOf(ed25519.NewKeyFromSeed(file.Sign), seal), true
}

// store writes the keys to path, which must not exist. The file appears whole
// or not at all.
func (d *Device) store(path string) error {
	seal, err := d.seal.Bytes()
	if err != nil {
		return err
	}
	text, err := json.Marshal(deviceFile{Version: deviceFileVersion, Sign: d.sign.Seed(), Seal: seal})
	if err != nil {
		return err
	}
	defer clear(text)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".device-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(append(text, '\n')); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	// A link, unlike a rename, never replaces keys that another process has
	// just made.
	err = os.Link(f.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// Some file systems have no links. There two first runs at the same moment
	// may end with one of them holding keys that were replaced.
	if _, e := os.Lstat(path); e == nil {
		return fs.ErrExist
	}
	return os.Rename(f.Name(), path)
}

// reason is the last part of a file error, without operation and path.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
