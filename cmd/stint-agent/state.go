package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/program"
	"stint/internal/wholefile"
)

//go:embed stint-agent.service
var unit string

// pins is the file of what the agent was told when it enrolled.
type pins struct {
	Format int        `json:"format"`
	Server string     `json:"server"`
	CA     string     `json:"ca,omitempty"` // PEM
	Pins   agent.Pins `json:"pins"`
}

const pinsFormat = 1

func (f flags) path(name string) string { return filepath.Join(f.state, name) }

// The files of the state folder, beside the connector's.
const (
	keyFile    = "key.json"
	pinsFile   = "pins.json"
	ledgerFile = "ledger"
	reloadFile = "reload-sshd" // there while sshd has yet to read its settings again
)

func (f flags) readPins() (pins, error) {
	var p pins
	text, err := os.ReadFile(f.path(pinsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return p, access.Fail(access.Invalid, "not-enrolled", "this host is not enrolled").Try("stint-agent enroll --help says how that is done")
	} else if err != nil {
		return p, unusable("the agent's pins cannot be read", err.Error(), "run it as root, or check --state")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&p) != nil || p.Format != pinsFormat {
		return p, unusable("the agent's pins are damaged", f.path(pinsFile), "enrol the host anew")
	}
	return p, nil
}

func (f flags) writePins(p pins) error {
	p.Format = pinsFormat
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return wholefile.Write(f.path(pinsFile), append(text, '\n'))
}

// client reaches the server with the agent's key.
func client(server, ca string, d *api.Device) (*api.Client, error) {
	u, err := api.ParseServer(server)
	if err != nil {
		return nil, err
	}
	c := &api.Client{Server: u, Device: d, UserAgent: "stint-agent/" + program.Version(), Patience: -1}
	if ca != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(ca)) {
			return nil, unusable("the certificate authority holds no certificate", "", "check --ca-file")
		}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		c.HTTP = &http.Client{Transport: t}
	}
	return c, nil
}
