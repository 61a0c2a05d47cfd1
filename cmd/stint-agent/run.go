package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"stint/internal/access"
	"stint/internal/agent"
	"stint/internal/api"
	"stint/internal/connector/linux/host"
	"stint/internal/program"
)

// open makes the agent on what is in the state folder.
func (f flags) open(log *slog.Logger) (*agent.Agent, *agent.Ledger, *api.Client, error) {
	p, err := f.readPins()
	if err != nil {
		return nil, nil, nil, err
	}
	device, err := api.LoadDevice(f.path(keyFile))
	if err != nil {
		return nil, nil, nil, err
	}
	c, err := client(p.Server, p.CA, device)
	if err != nil {
		return nil, nil, nil, err
	}
	clock := agent.SystemClock()
	ledger, err := agent.OpenLedger(f.path(ledgerFile), clock)
	if errors.Is(err, agent.ErrRunning) {
		err = access.Fail(access.Conflict, "running", "the agent runs already").Try("stop it first: systemctl stop stint-agent")
	}
	if err != nil {
		return nil, nil, nil, err
	}
	a, err := agent.New(agent.Config{
		Connector: host.New(host.Config{State: f.state, Hook: self}), Line: c, Signer: device, Ledger: ledger, Clock: clock, Log: log, Pins: p.Pins, Username: "root", Version: program.Version(), Rosters: f.rosters(),
		SavePins: func(now agent.Pins) error { p.Pins = now; return f.writePins(p) },
	})
	if err != nil {
		return nil, nil, nil, errors.Join(err, ledger.Close())
	}
	return a, ledger, c, nil
}

func (f flags) run(ctx context.Context, stderr io.Writer) (err error) {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	a, ledger, c, err := f.open(log)
	if err != nil {
		return err
	}
	defer func() { c.Close(); err = errors.Join(err, ledger.Close()) }()
	if _, _, err := f.rosters().look(); err != nil && !errors.Is(err, fs.ErrNotExist) { // what is lent ends all the same
		log.Error("ALARM: nothing new is made", "error", err)
	}
	log.Info("working", "server", c.Server.String(), "held", len(ledger.Held()), "version", program.Version())
	refreshed := make(chan struct{})
	keeper := &refresher{flags: f, agent: a, client: c, log: log}
	go func() { defer close(refreshed); keeper.run(ctx) }()
	err = a.Run(ctx)
	<-refreshed
	log.Info("stopped", "held", len(ledger.Held()))
	return err
}

func (f flags) status(out io.Writer) error {
	p, err := f.readPins()
	if err != nil {
		return err
	}
	runs, err := agent.Running(f.path(ledgerFile))
	if err != nil {
		return err
	}
	l, err := agent.ReadLedger(f.path(ledgerFile), agent.SystemClock())
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "host          %s\ninstallation  %s\nserver        %s\norders key    %s\nruns          %s\n", p.Pins.Host, p.Pins.Installation, p.Server, agent.Print(p.Pins.Orders), map[bool]string{true: "yes", false: "no"}[runs])
	switch r, _, err := f.rosters().look(); {
	case err == nil:
		fmt.Fprintf(&b, "roster        %d passkeys, %d rules\n", len(r.Passkeys), len(r.Ceiling.Rules))
	case !errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(&b, "roster        %s\n", err)
	}
	if why := l.Trouble(); why != "" {
		fmt.Fprintf(&b, "ledger        %s\n", why)
	}
	held := l.Held()
	fmt.Fprintf(&b, "lent          %d\n", len(held))
	for _, h := range held {
		left := "over; being taken away"
		if h.Left > 0 {
			left = "ends in " + h.Left.Round(time.Second).String()
		}
		fmt.Fprintf(&b, "  %s  %s %s for %s, %s (%s)\n", h.Tag, h.Mechanism, h.Account, h.Person, left, h.Until.UTC().Format(time.RFC3339))
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return err
	}
	if !runs {
		return access.Fail(access.Unavailable, "not-running", "the agent does not run: what is lent does not end by itself").Try("systemctl start stint-agent")
	}
	return nil
}

func (f flags) uninstall(ctx context.Context, out, stderr io.Writer) error {
	a, ledger, c, err := f.open(slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil && access.KindOf(err) != access.Invalid { // one that never enrolled has nothing to take away
		return err
	}
	if err == nil {
		c.Close()
		left := a.EndAll(ctx)
		if err := ledger.Close(); err != nil {
			return err
		}
		if len(left) > 0 {
			return access.Fail(access.Unavailable, "not-gone", fmt.Sprintf("%d privileges could not be taken away", len(left))).
				Because("the first is " + string(left[0].Tag)).Try("see above what stands in the way, and run it again; the ledger is kept")
		}
	}
	if !f.noSSHD {
		if err := takeBackSSHD(ctx); err != nil {
			return err
		}
	}
	for _, name := range []string{pinsFile, keyFile, ledgerFile, ledgerFile + ".lock", rosterMark, "claim"} {
		if err := os.Remove(f.path(name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	_, err = fmt.Fprintln(out, "taken away; reload sshd, and revoke the agent: stint admin host revoke RESOURCE")
	return err
}
