package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/envelope"
	"stint/internal/program"
)

// maxCode bounds what is read of a code or a certificate authority.
const maxCode = 64 << 10

// enroll makes this host one of Stint's. What has to be put back if it fails is put
// back: the code is used last but for the pins.
func (f flags) enroll(ctx context.Context, stdin io.Reader, out io.Writer) (err error) {
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
	text := strings.TrimSpace(string(code))
	_, pin, ok := strings.Cut(text, ".")
	if !ok || pin == "" || len(text) > 512 {
		return unusable("that is not a code for a host", "it does not say which key orders are signed with", "have one made with: stint admin host enroll RESOURCE")
	}
	ca := ""
	if f.ca != "" {
		pem, err := readText(f.ca, nil)
		if err != nil {
			return err
		}
		ca = string(pem)
	}
	if err := os.MkdirAll(f.state, 0o700); err != nil {
		return unusable("the folder of the agent cannot be made", err.Error(), "run it as root, or choose another --state")
	}
	if runs, err := agent.Running(f.path(ledgerFile)); err != nil {
		return err
	} else if runs {
		return access.Fail(access.Conflict, "running", "the agent runs").Try("stop it first: systemctl stop stint-agent")
	}
	device, err := api.OpenDevice(f.path(keyFile))
	if err != nil {
		return err
	}
	c, err := client(f.server, ca, device)
	if err != nil {
		return err
	}
	defer c.Close()
	if !f.noSSHD {
		undo, err := setUpSSHD(ctx)
		if err != nil {
			return err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, undo())
			}
		}()
		if err = f.exchange(ctx, c, device, text, pin, ca, out); err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, "sshd is set up; it reads its settings when the agent starts, or now: systemctl reload ssh")
		return err
	}
	return f.exchange(ctx, c, device, text, pin, ca, out)
}

func (f flags) exchange(ctx context.Context, c *api.Client, device *api.Device, code, pin, ca string, out io.Writer) error {
	var d daemon
	if !f.noSSHD {
		var err error
		if d, err = lookAtSSHD(ctx); err != nil { // before the code is used
			return err
		}
	}
	ask := d.ask()
	got, err := c.EnrollAsHost(ctx, api.HostEnroll{Code: api.Secret(code), DeviceJWK: device.JWK(), Version: program.Version(), HostAsk: ask})
	if err != nil {
		return err
	}
	if envelope.Pin(got.OrdersKey) != pin {
		return access.Fail(access.Denied, "other-key", "the server signs orders with another key than the code says").
			Because("somebody may have answered in its place").Try("ask the administrator who made the code; revoke the host: stint admin host revoke RESOURCE")
	}
	// Which host it is says the orders key too, and not only who answers.
	trust, err := envelope.OpenTrust(envelope.Sealed(got.Trust), ask.Nonce, got.Revoked, got.OrdersKey)
	if err == nil {
		err = trust.For(got.Installation, got.Host)
	}
	if err != nil {
		return access.Fail(access.Denied, "bad-trust", "the server does not prove what this host shall believe").Because(err.Error()).
			Try("ask the administrator who made the code; revoke the host: stint admin host revoke RESOURCE")
	}
	if !f.noSSHD {
		if err := f.install(ctx, trust, got.Revoked, d.keys); err != nil {
			return err
		}
	}
	p := pins{Server: strings.TrimSuffix(f.server, "/"), CA: ca, Pins: agent.Pins{Host: got.Host, Installation: got.Installation, Orders: got.OrdersKey}}
	if err := f.writePins(p); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "enrolled as %s of installation %s\norders key %s\n", got.Host, got.Installation, agent.Print(got.OrdersKey))
	return err
}

func readText(path string, stdin io.Reader) ([]byte, error) {
	var in io.Reader = stdin
	if path != "-" || stdin == nil {
		file, err := os.Open(path)
		if err != nil {
			return nil, unusable("the file cannot be read", err.Error(), "check its name")
		}
		defer func() { _ = file.Close() }() // only read
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxCode))
	if err != nil {
		return nil, unusable("the file cannot be read", err.Error(), "")
	}
	return text, nil
}
