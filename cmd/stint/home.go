package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"

	"stint/internal/api"
	"stint/internal/wholefile"
)

// The files of STINT_HOME. Each is replaced as a whole, so that a reader, or a
// crash, never meets half of one.
//
//	config.json   which server, and who one is there: a token, useless without
//	device.json   the keys of this device (internal/api writes it)
//	pins.json     per server: the audit log's key, and the last checkpoint seen
const (
	configFile = "config.json"
	deviceFile = "device.json"
	pinsFile   = "pins.json"
)

// config is the sign-in state. Rule of change: members are only added.
type config struct {
	Server string           `json:"server,omitempty"` // of the last sign-in
	Logins map[string]login `json:"logins,omitempty"` // by server
	// Glass are logins by break-glass codes, which are good for nothing else.
	Glass map[string]login `json:"break_glass,omitempty"` // by server
}

type login struct {
	Token     api.Secret `json:"token"`
	Principal string     `json:"principal"`
	ExpiresAt api.Time   `json:"expires_at"`
}

// pins is what must not change behind the user's back, by server.
type pins map[string]pin

type pin struct {
	Origin     string `json:"log_origin"`
	Key        string `json:"log_key"`
	Checkpoint string `json:"checkpoint,omitempty"` // signed; the last that verified
	// Roots are the digests of the passkeys that are believed without anybody's word:
	// the first of all as it was first seen, and what --genesis named.
	Roots []string `json:"roots,omitempty"`
}

// home is the folder of the state.
func (c *cli) home() (string, error) {
	if dir := c.env["STINT_HOME"]; dir != "" {
		return dir, nil
	}
	base := c.env["XDG_CONFIG_HOME"]
	switch runtime.GOOS {
	case "windows":
		base = c.env["APPDATA"]
	case "darwin":
		base = ""
	}
	if base != "" && filepath.IsAbs(base) {
		return filepath.Join(base, "stint"), nil
	}
	dir := c.env["HOME"]
	if dir == "" { // as under a service manager
		if u, err := user.Current(); err == nil {
			dir = u.HomeDir
		}
	}
	if dir == "" {
		return "", wrong("no-home", "there is no place for the sign-in state", "neither STINT_HOME nor HOME is set", "set STINT_HOME to a folder of your own")
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(dir, "Library", "Application Support", "stint"), nil
	}
	return filepath.Join(dir, ".config", "stint"), nil
}

const stateMax = 1 << 20

// load reads a state file into v; a file that is not there leaves v as it is.
func (c *cli) load(name string, v any) error {
	dir, err := c.home()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := checkFolder(dir); err != nil {
		return err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return stateError(path, cause(err), "")
	}
	defer f.Close()
	if err := checkPrivate(f, path); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, stateMax))
	if err != nil {
		return stateError(path, cause(err), "")
	}
	if json.Unmarshal(text, v) != nil { // its error could quote the token
		return stateError(path, "its content is damaged", "move it away and sign in again with stint login")
	}
	return nil
}

// checkFolder refuses a folder in which anybody could put files of their own in
// the place of ours. One that is not there yet will be made.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || runtime.GOOS == "windows" || info.Mode()&fs.ModeSticky != 0 || info.Mode().Perm()&0o002 == 0 {
		return nil
	}
	return stateError(dir, fmt.Sprintf("everybody on this machine can change what is in it (mode %04o)", info.Mode().Perm()), "chmod 700 "+dir)
}

// checkPrivate refuses a file that others could have read or written: a token
// in it may be known, a pin in it may be theirs.
func checkPrivate(f *os.File, path string) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return stateError(path, cause(err), "")
	case !info.Mode().IsRegular():
		return stateError(path, "it is not a file", "")
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return stateError(path, fmt.Sprintf("others on this machine can reach it (mode %04o)", info.Mode().Perm()),
			"chmod 600 "+path+", or remove it and sign in again if somebody may have read it")
	}
	return nil
}

// store replaces a state file.
func (c *cli) store(name string, v any) error {
	dir, err := c.home()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return stateError(path, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	if err := wholefile.Write(path, text.Bytes()); err != nil {
		return stateError(path, cause(err), "make its folder writable, or set STINT_HOME to another")
	}
	return nil
}

// replaceFile has write fill the file path, in the place of the one that is there.
// What the server or a check of the content had to say comes back as it is; only an
// error of the file itself becomes one that names path and has this code.
func replaceFile(code, path string, write func(*os.File) error) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() { // before anything is fetched
		return &api.Error{Kind: api.Internal, Code: code, Message: "cannot write " + path, Why: "it is a folder", Next: "name a file in it"}
	}
	err := wholefile.Replace(path, write)
	var away *api.Unreachable
	if errors.As(err, &away) || !isFileError(err) {
		return err
	}
	return &api.Error{Kind: api.Internal, Code: code, Message: "cannot write " + path, Why: cause(err), Next: "make its folder writable, or name another file"}
}

func isFileError(err error) bool {
	var p *fs.PathError
	var l *os.LinkError
	return errors.As(err, &p) || errors.As(err, &l)
}

func stateError(path, why, next string) error {
	return &api.Error{Kind: api.Internal, Code: "state-file", Message: "cannot use " + path, Why: why, Next: next}
}

// cause is the last part of a file error, without operation and path.
func cause(err error) string {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err.Error()
	case errors.As(err, &l):
		return l.Err.Error()
	}
	return err.Error()
}
