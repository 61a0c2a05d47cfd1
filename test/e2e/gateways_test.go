//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// turnout carries connections to whichever replica it is set to.
type turnout struct {
	net.Listener
	to atomic.Pointer[string]
}

func newTurnout(t *testing.T, to string) *turnout {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	x := &turnout{Listener: ln}
	x.to.Store(&to)
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			go x.carry(in)
		}
	}()
	t.Cleanup(func() { _ = ln.Close() })
	return x
}

func (x *turnout) carry(in net.Conn) {
	defer func() { _ = in.Close() }()
	out, err := net.Dial("tcp", *x.to.Load())
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }() // either end closes both
	_, _ = io.Copy(in, out)
}

// numbersAt are what a gateway says of itself.
func numbersAt(ctx context.Context, at string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+"/metrics", nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return string(text), err
}

// talk is a session in which something answers what it is sent.
type talk struct {
	name string
	in   io.WriteCloser
	out  *lockedText
	done chan time.Time
}

func (x talk) says(ctx context.Context, t *testing.T, word string) {
	t.Helper()
	_, err := fmt.Fprintln(x.in, word)
	must(t, err)
	must(t, eventually(ctx, func() error {
		if !strings.Contains(x.out.String(), "got "+word+"\n") {
			return errors.New(x.name + " does not answer: " + x.out.String())
		}
		return nil
	}))
}

// ends waits until it is over. The bound is that of a slow machine; the log has the time.
func (x talk) ends(t *testing.T, what string, from time.Time) {
	t.Helper()
	select {
	case at := <-x.done:
		t.Logf("%s: %s ended after %s", what, x.name, at.Sub(from).Round(time.Millisecond))
	case <-time.After(20 * time.Second): // less than the lease, which would end it too
		t.Fatalf("%s: %s goes on: %s", what, x.name, x.out.String())
	}
}

// TestGateways has two replicas and two gateways: what one replica is told, the gateway of
// another does; a replica that dies takes no session with it, and what was recorded
// through it is whole where the other looks.
func TestGateways(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	shared := filepath.Join(t.TempDir(), "recordings")
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "postgres", Replicas: 2, Config: "accept_unprotected_commits: true\nrecordings: {folder: " + shared + "}\n"}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			for _, v := range s.Servers {
				t.Log("the end of a stintd's log:\n" + v.LogTail(40))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	first, second := s.Servers[0], s.Servers[1]
	must(t, s.Enrol(ctx, "nils", "--group", "platform"))
	must(t, s.Enrol(ctx, "lars", "--group", "platform"))
	address := freeAddress(t)
	must(t, s.Documents(ctx, strings.ReplaceAll(hostDocuments, "ADDRESS", address)+gatewayRole+
		"---\nkind: Policy\nname: session-review\neffect: watch\nsubjects: [group:reviewers]\nroles: ['*']\n"))
	m := newMachine(t)
	m.serve(address)
	var code api.HostEnrolment
	must(t, s.As("root").JSON(ctx, &code, "admin", "host", "enroll", "web1"))
	m.run(code.Code.Reveal(), "stint-agent", "enroll", "--server", s.URL, "--code-file", "-")
	m.start()
	admin, err := s.Client(ctx, "olga", "--admin")
	must(t, err)
	admin.Server, err = api.ParseServer("http://" + second.Address()) // all that is told, is told the second replica
	must(t, err)

	// edge speaks with the first replica, by a way that can be changed; west with the second.
	way := newTurnout(t, first.Address())
	ports, ready := map[string]string{}, map[string]func() error{}
	for name, server := range map[string]string{"edge": way.Addr().String(), "west": second.Address()} {
		listen, status, state := freeAddress(t), freeAddress(t), filepath.Join(t.TempDir(), name)
		var invite api.GatewayEnrolment
		must(t, s.As("root").JSON(ctx, &invite, "admin", "gateway", "enroll", name, "--address", listen))
		enroll := exec.CommandContext(ctx, "../../bin/stint-gateway", "enroll", "--state", state, "--server", "http://"+server, "--code-file", "-")
		enroll.Stdin = strings.NewReader(invite.Code.Reveal())
		if out, err := enroll.CombinedOutput(); err != nil {
			t.Fatalf("enroll %s: %v %s", name, err, out)
		}
		said, _ := runGateway(t, state, listen, status)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the gateway %s said:\n%s", name, said.String())
			}
		})
		_, ports[name], _ = strings.Cut(listen, ":")
		ready[name] = func() error {
			out, err := exec.CommandContext(ctx, "../../bin/stint-gateway", "status", "--state", state, "--status", status).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "yes, ready") {
				return errors.New(name + ": " + string(out))
			}
			return nil
		}
	}
	must(t, eventually(ctx, ready["edge"]))
	must(t, eventually(ctx, ready["west"]))

	// granted has a grant and a certificate, by whichever gateway it is.
	granted := func(who string) (grant string) {
		t.Helper()
		p := s.As(who)
		must(t, eventually(ctx, func() error {
			return p.Run(ctx, "ssh", "web1", "--as", "recorded", "--for", "10m", "--why", "look at the disk", "--", "true").Failed()
		}))
		var held []api.Request
		must(t, p.JSON(ctx, &held, "get", "requests"))
		return held[0].Grant.ID
	}
	// open opens a session through the gateway that is named.
	open := func(who, grant, gateway string) talk {
		t.Helper()
		dir := filepath.Join(s.As(who).Home, "ssh")
		lines, err := os.ReadFile(filepath.Join(dir, grant+"-hosts"))
		must(t, err)
		_, rest, _ := strings.Cut(string(lines), " ")
		_, key, _ := strings.Cut(rest, " ")
		hosts := filepath.Join(t.TempDir(), "hosts")
		must(t, os.WriteFile(hosts, []byte("@cert-authority * "+key), 0o600))
		cmd := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", filepath.Join(dir, "id_ed25519"), "-o", "CertificateFile="+filepath.Join(dir, grant+"-cert.pub"), "-o", "IdentitiesOnly=yes",
			"-o", "IdentityAgent=none", "-o", "UserKnownHostsFile="+hosts, "-o", "GlobalKnownHostsFile=none", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-p", ports[gateway],
			"-o", "User=deploy@web1", "127.0.0.1", "while read x; do echo got $x; done")
		x := talk{name: who + " through " + gateway, out: &lockedText{}, done: make(chan time.Time, 1)}
		cmd.Stdout, cmd.Stderr, cmd.WaitDelay = x.out, x.out, 3*time.Second
		x.in, err = cmd.StdinPipe()
		must(t, err)
		must(t, cmd.Start())
		go func() { _ = cmd.Wait(); x.done <- time.Now() }() // how it ended is asked of Stint
		x.says(ctx, t, "hello")
		return x
	}

	// What the second replica is told ends a session that the first one opened.
	grant := granted("nils")
	x := open("nils", grant, "edge")
	began := time.Now()
	_, err = admin.Revoke(ctx, api.RevokeAsk{Grant: grant, Why: "a doubt"})
	must(t, err)
	x.ends(t, "revoked by the other replica", began)

	// A replica dies. The sessions that it opened go on, and the other one ends them.
	grant = granted("lars")
	x, y := open("lars", grant, "edge"), open("lars", grant, "west")
	must(t, first.Kill())
	to := second.Address()
	way.to.Store(&to)
	x.says(ctx, t, "after")
	y.says(ctx, t, "after")
	must(t, eventually(ctx, ready["edge"]))
	x.says(ctx, t, "later")
	began = time.Now()
	_, err = admin.Revoke(ctx, api.RevokeAsk{Grant: grant, Why: "a doubt"})
	must(t, err)
	x.ends(t, "revoked after its replica died", began)
	y.ends(t, "revoked after a replica died", began)

	// All of it was recorded, is kept, and is whole.
	all := func() []api.Session {
		page, err := admin.Sessions(ctx, api.SessionList{})
		must(t, err)
		return page.Items
	}
	must(t, eventually(ctx, func() error {
		kept := 0
		for _, x := range all() {
			if x.State != "closed" {
				return fmt.Errorf("%s is %s, its recording %s", x.ID, x.State, x.Recording.State)
			}
			if x.Recording.State == "kept" {
				kept++
			}
		}
		if kept < 5 { // one that was tried in vain, while a replica began, has none
			return fmt.Errorf("%d recordings are kept", kept)
		}
		return nil
	}))
	by := map[string]int{}
	rosa, err := s.Client(ctx, "rosa", "--group", "reviewers")
	must(t, err)
	rosa.Server = admin.Server
	for _, x := range all() {
		if x.Recording.State != "kept" {
			continue
		}
		by[x.Gateway]++
		v, err := rosa.VerifyRecording(ctx, x.ID)
		if err != nil || !v.Holds {
			t.Errorf("%s through %s: %+v, %v", x.ID, x.Gateway, v, err)
		}
	}
	if by["edge"] < 2 || by["west"] < 1 {
		t.Errorf("sessions by gateway: %v", by)
	}
	m.kill()
	m.run("", "stint-agent", "uninstall")
}
