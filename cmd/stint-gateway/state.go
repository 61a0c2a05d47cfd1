package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/gateway/control"
	"stint/internal/program"
	"stint/internal/wholefile"
)

//go:embed stint-gateway.service
var unit string

// place is the file of who the control plane is, and who this gateway is to it.
type place struct {
	Format  int          `json:"format"`
	Server  string       `json:"server"`
	CA      string       `json:"ca,omitempty"` // PEM
	Address string       `json:"address"`
	Pins    control.Pins `json:"pins"`
}

const placeFormat = 2 // 1 had no pins

// The files of the state folder.
const (
	keyFile    = "key.json"
	placeFile  = "gateway.json"
	hostFile   = "ssh_host_ed25519_key"
	spoolDir   = "recordings"
	maxReading = 64 << 10
)

func (f flags) path(name string) string { return filepath.Join(f.state, name) }

func (f flags) readPlace() (place, error) {
	var p place
	text, err := os.ReadFile(f.path(placeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, access.Fail(access.Invalid, "not-enrolled", "this gateway is not enrolled").Try("stint-gateway enroll --help says how that is done")
	} else if err != nil {
		return p, unusable("the gateway's settings cannot be read", err.Error(), "check --state, and who owns it")
	}
	var is struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(text, &is) == nil && is.Format == 1 {
		return p, access.Fail(access.Invalid, "no-pins", "this gateway was enrolled before it could tell its control plane's word from others'").
			Because(f.path(placeFile) + " does not name the key by which to").Try("enrol it anew: stint admin gateway enroll NAME --address HOST:PORT, then stint-gateway enroll")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil || p.Format != placeFormat {
		return p, unusable("the gateway's settings are damaged", f.path(placeFile), "enrol the gateway anew")
	}
	return p, nil
}

func (f flags) writePlace(p place) error {
	p.Format = placeFormat
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return wholefile.Write(f.path(placeFile), append(text, '\n'))
}

// client reaches the server with the gateway's key.
func client(server, ca string, d *api.Device) (*api.Client, error) {
	u, err := api.ParseServer(server)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(ca)) {
			return nil, unusable("the certificate authority holds no certificate", "", "check --ca-file")
		}
		t.TLSClientConfig.RootCAs = roots
	}
	return &api.Client{Server: u, Device: d, UserAgent: "stint-gateway/" + program.Version(), HTTP: &http.Client{Transport: t}}, nil
}

// enroll exchanges a code for being a gateway.
func (f flags) enroll(ctx context.Context, stdin io.Reader, out io.Writer) error {
	switch {
	case f.server == "":
		return program.Wrong("--server is missing: the address of Stint")
	case f.code == "":
		return program.Wrong("--code-file is missing: the file with the one-time code, or - for standard input")
	}
	code, err := readText(f.code, stdin)
	if err != nil {
		return err
	}
	defer clear(code)
	_, pin, ok := strings.Cut(strings.TrimSpace(string(code)), ".")
	if !ok || pin == "" {
		return unusable("that is not a code for a gateway", "it does not say by which key its control plane is known", "have one made with: stint admin gateway enroll NAME --address HOST:PORT")
	}
	p := place{Server: f.server}
	if f.ca != "" {
		pem, err := readText(f.ca, nil)
		if err != nil {
			return err
		}
		p.CA = string(pem)
	}
	if err := os.MkdirAll(f.state, 0o700); err != nil {
		return unusable("the folder of the gateway cannot be made", err.Error(), "choose another --state")
	}
	device, err := api.OpenDevice(f.path(keyFile))
	if err != nil {
		return err
	}
	c, err := client(p.Server, p.CA, device)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := f.hostKey(); err != nil {
		return err
	}
	got, err := c.EnrollAsGateway(ctx, api.GatewayEnroll{Code: api.Secret(strings.TrimSpace(string(code))), DeviceJWK: device.JWK(), Version: program.Version()})
	if err != nil {
		return err
	}
	if envelope.Pin(got.OrdersKey) != pin {
		return access.Fail(access.Denied, "other-key", "the server signs what it says with another key than the code names").
			Because("somebody may have answered in its place").Try("ask the administrator who made the code; revoke the gateway: stint admin gateway revoke NAME")
	}
	p.Address, p.Pins = got.Address, control.Pins{Gateway: got.Gateway, Installation: got.Installation, Orders: got.OrdersKey}
	// Which gateway it is says that key too, and not only who answers.
	voice, err := control.NewVoice(p.Pins, func(control.Pins) error { return nil }, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if _, _, err := ask(ctx, c, voice); err != nil {
		return err
	}
	if err := f.writePlace(p); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "enrolled as %s; persons will look for it at %s\nstart it with: stint-gateway run, or by the unit that stint-gateway unit prints\n", p.Pins.Gateway, p.Address)
	return err
}

// readText reads a small file, or standard input.
func readText(name string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if name != "-" || stdin == nil {
		file, err := os.Open(name)
		if err != nil {
			return nil, unusable("the file cannot be read", err.Error(), "")
		}
		defer func() { _ = file.Close() }() // only read
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxReading))
	if err != nil {
		return nil, unusable("the file cannot be read", err.Error(), "")
	}
	return text, nil
}

// hostKey is the key by which persons know this gateway, made the first time.
func (f flags) hostKey() (ssh.Signer, error) {
	path := f.path(hostFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		block, err := ssh.MarshalPrivateKey(key, "stint-gateway")
		if err != nil {
			return nil, err
		}
		text = pem.EncodeToMemory(block)
		if err := wholefile.Write(path, text); err != nil {
			return nil, unusable("the host key cannot be written", err.Error(), "check --state, and who owns it")
		}
	} else if err != nil {
		return nil, unusable("the host key cannot be read", err.Error(), "check --state, and who owns it")
	}
	defer clear(text)
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil || signer.PublicKey().Type() != ssh.KeyAlgoED25519 { // its error could quote the key
		return nil, unusable("the host key is damaged", path, "remove it, and a new one is made")
	}
	return signer, nil
}
