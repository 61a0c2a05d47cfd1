//go:build e2e

package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

const hostDocuments = `
kind: Resource
name: web1
type: linux
criticality: low
owners: [group:dba]
connection: {address: "ADDRESS"}
---
kind: Role
name: deploy
resources: {type: linux}
mechanism: token
linux: {account: deploy}
maxDuration: 1h
---
kind: Policy
name: deployers
subjects: [group:platform]
roles: [deploy]
require: {maxDuration: 1h}
`

// TestHost lends access to a host by real programs: ended by hand, with the agent killed
// in the middle, and with the control plane gone.
func TestHost(t *testing.T) {
	ctx := t.Context()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "sqlite"}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Enrol(ctx, "mira", "--group", "platform"))
	address := freeAddress(t)
	must(t, s.Documents(ctx, strings.ReplaceAll(hostDocuments, "ADDRESS", address)))
	mira, err := s.Client(ctx, "nils", "--group", "platform")
	must(t, err)
	lend := func(d string) api.Request {
		t.Helper()
		r, err := mira.Submit(ctx, api.Ask{Resource: "web1", Role: "deploy", Duration: d, Reason: "deploy the release"}, api.Wait{For: api.Ready, Time: 30 * time.Second})
		must(t, err)
		return r
	}
	m := newMachine(t)
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	said := m.run(code.Code.Reveal(), m.bin, "enroll", "--server", mira.Server.String(), "--code-file", "-")
	if !strings.Contains(said, "enrolled as "+address) {
		t.Errorf("enrolled: %s", said)
	}
	m.start()
	must(t, eventually(ctx, func() error {
		if out := m.command(ctx, m.bin, "status"); out.Run() != nil {
			return errors.New("the agent does not run")
		}
		return nil
	}))

	byHand := lend("5m")
	if byHand.Grant == nil || byHand.Grant.State != api.GrantActive || m.lines() != 1 {
		t.Fatalf("lent: %+v, %d lines\n%s", byHand.Grant, m.lines(), m.said.String())
	}
	if out := m.run("", m.bin, "status"); !strings.Contains(out, "lent          1") || !strings.Contains(out, "token deploy") {
		t.Errorf("status says\n%s", out)
	}
	_, err = mira.End(ctx, byHand.ID)
	must(t, err)
	m.gone(time.Now().Add(60 * time.Second))

	killed := lend("15s")
	if m.lines() != 1 {
		t.Fatal("not lent")
	}
	m.kill()
	m.start()
	m.gone(killed.Grant.ExpiresAt.Add(20 * time.Second))
	if early := time.Until(killed.Grant.ExpiresAt.Time); early > time.Second {
		t.Errorf("taken away %s before its end", early)
	}

	alone := lend("20s")
	if m.lines() != 1 {
		t.Fatal("not lent")
	}
	// What a host is told with the order is the latest end that the grant could have had. A
	// moment later it is told the end that it has.
	must(t, eventually(ctx, func() error {
		if out := m.run("", m.bin, "status"); !strings.Contains(out, alone.Grant.ExpiresAt.UTC().Format(time.RFC3339)) {
			return errors.New("the agent does not know the end: " + out)
		}
		return nil
	}))
	must(t, s.Stop())
	m.gone(alone.Grant.ExpiresAt.Add(20 * time.Second))
	if early := time.Until(alone.Grant.ExpiresAt.Time); early > time.Second {
		t.Errorf("taken away %s before its end", early)
	}
	must(t, s.Start(ctx))
	got, err := mira.Request(ctx, alone.ID, api.Wait{For: api.Ended, Time: 30 * time.Second})
	must(t, err)
	if !got.Reached(api.Ended) {
		t.Errorf("it is not known that it is gone: %+v", got.Grant)
	}
	must(t, eventually(ctx, func() error {
		if r := s.As("root").Run(ctx, "audit", "search", "--type", "host.ended"); !strings.Contains(r.Out, "host.ended") && !strings.Contains(r.Out, "its own clock") {
			return errors.New("the log does not say that it ended alone: " + r.Out + r.Err)
		}
		return nil
	}))
	m.kill()
	m.run("", m.bin, "uninstall")
}
