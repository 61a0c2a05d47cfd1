package apiserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/recording"
	"stint/internal/recording/carrier"
	"stint/internal/store"
)

// ranHost is a host on which mira's grant lets her run commands.
type ranHost struct {
	*taped
	agent, stranger *api.Client // of web1, and of another host
	shelf           *recording.Spool
	held            access.EntitlementID
}

func withCommands(t *testing.T) *ranHost {
	t.Helper()
	x := &ranHost{taped: tape(t)}
	ctx := t.Context()
	_, err := x.admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "host.yaml", Text: agentDocuments}, {Name: "other.yaml", Text: strings.NewReplacer("web1", "web2").Replace(strings.Split(agentDocuments, "\n---")[0])}}})
	check(t, err)
	enrol := func(name string) *api.Client {
		code, err := x.admin.EnrollHost(ctx, name)
		check(t, err)
		own := x.client()
		_, err = own.EnrollAsHost(ctx, api.HostEnroll{Code: code.Code, DeviceJWK: own.Device.JWK(), Version: "v1"})
		check(t, err)
		return own
	}
	x.agent, x.stranger = enrol("web1"), enrol("web2")
	x.held = x.lend("web1:22", access.Elevate, "ours")
	sealer, err := recording.NewSealer(x.agent.Device.RecordingSigner())
	check(t, err)
	x.shelf, _, err = recording.OpenSpool(filepath.Join(t.TempDir(), "shelf"), recording.Options{Sealer: sealer, Recipient: x.recipient})
	check(t, err)
	t.Cleanup(func() { _ = x.shelf.Close(context.Background()) })
	return x
}

// lend has mira's grant hold something on a host.
func (x *ranHost) lend(host string, m access.Mechanism, tag access.Tag) (id access.EntitlementID) {
	x.t.Helper()
	check(x.t, x.store.Update(x.t.Context(), func(tx *store.Tx) error {
		id = access.NewEntitlementID(tx.Now().UnixMilli(), access.Entropy{byte(len(tag)), tag[0]})
		return errors.Join(tx.SaveEntitlements(access.Entitlement{ID: id, Version: 1, State: access.Intended, Person: "mira", Tag: tag, Key: "elevate:" + string(tag), Mechanism: m,
			Target:    access.Target{Resource: "db", Connection: access.Connection{Type: "linux", Address: host}},
			CreatedAt: tx.Now(), NextAt: tx.Now().Add(time.Hour), ExpiresAt: tx.Now().Add(time.Hour)}),
			tx.SaveHolds(access.Hold{Grant: access.GrantID(x.request.Grant.ID), Entitlement: id, Needs: 1}))
	}))
	return id
}

func commandID(n byte) string {
	return string(access.NewSessionID(time.Now().UnixMilli(), access.Entropy{n, 0xa0}))
}

func (x *ranHost) command(id string) api.HostCommand {
	return api.HostCommand{ID: id, Entitlement: string(x.held), Tag: "ours", Account: "mira", RunAs: "root", Command: "/usr/bin/id -u", BeganAt: api.At(time.Now())}
}

// tell reports, and says whether it was refused.
func (x *ranHost) tell(by *api.Client, c api.HostCommand) (refused bool) {
	x.t.Helper()
	got, err := by.TellOfCommands(x.t.Context(), api.HostTold{Commands: []api.HostCommand{c}})
	check(x.t, err)
	return got.Refused[c.ID] != ""
}

// TestCommandReports: a host tells of its own commands, each once, and what is refused
// leaves nothing behind.
func TestCommandReports(t *testing.T) {
	x := withCommands(t)
	ctx := t.Context()
	token := x.lend("web1:22", access.Token, "session")
	id := commandID(1)
	for name, bend := range map[string]func(*api.HostCommand) *api.Client{
		"by another host":    func(*api.HostCommand) *api.Client { return x.stranger },
		"of another tag":     func(c *api.HostCommand) *api.Client { c.Tag = "session"; return x.agent },
		"without a tag":      func(c *api.HostCommand) *api.Client { c.Tag = ""; return x.agent },
		"of no order":        func(c *api.HostCommand) *api.Client { c.Entitlement = "ent_none"; return x.agent },
		"of a log-in":        func(c *api.HostCommand) *api.Client { c.Entitlement, c.Tag = string(token), "session"; return x.agent },
		"named as a grant":   func(c *api.HostCommand) *api.Client { c.ID = x.request.Grant.ID; return x.agent },
		"named as a session": func(c *api.HostCommand) *api.Client { c.ID = x.session; return x.agent },
		"with a path":        func(c *api.HostCommand) *api.Client { c.ID = "ses_../../x"; return x.agent },
		"in small letters":   func(c *api.HostCommand) *api.Client { c.ID = strings.ToLower(id); return x.agent },
		"of next year": func(c *api.HostCommand) *api.Client {
			c.ID = string(access.NewSessionID(time.Now().AddDate(1, 0, 0).UnixMilli(), access.Entropy{}))
			return x.agent
		},
		"with a short link": func(c *api.HostCommand) *api.Client { c.EndedAt, c.Root = api.At(time.Now()), "0a"; return x.agent },
	} {
		c := x.command(id)
		by := bend(&c)
		if !x.tell(by, c) {
			t.Errorf("%s: it is taken", name)
		}
	}
	if s, err := x.mira.Sessions(ctx, api.SessionList{}); err != nil || len(s.Items) != 1 {
		t.Errorf("what was refused is listed: %+v %v", s.Items, err)
	}
	good := x.command(id)
	good.Command = "/usr/bin/id\ufffd"
	ended := good
	ended.EndedAt, ended.Status, ended.Root = api.At(time.Now()), 3, strings.Repeat("ab", 32)
	for i, c := range []api.HostCommand{good, good, ended, ended, good} {
		if x.tell(x.agent, c) {
			t.Fatalf("%d is refused", i)
		}
		if b, e := len(x.events(access.CommandBegan)), len(x.events(access.CommandEnded)); b != 1 || (e == 1) != (i >= 2) {
			t.Errorf("%d: %d began, %d ended", i, b, e)
		}
	}
	s, err := x.mira.Session(ctx, id)
	check(t, err)
	if s.State != "closed" || s.Reason != "exited" || s.Protocol != "elevate" || s.Host != "web1:22" || s.Gateway != "" || s.Command == nil || s.Command.RunAs != "root" || *s.Command.Status != 3 || s.Command.AfterEnd || s.Grant != x.request.Grant.ID {
		t.Errorf("%+v %+v", s, s.Command)
	}
	if e := x.events(access.CommandBegan)[0]; e.Facts["after_end"] != "" {
		t.Errorf("a command while its grant lasts: %+v", e.Facts)
	}
	// One that began when the grant was over says so in the log.
	after := x.command(commandID(4))
	check(t, x.store.Update(ctx, func(tx *store.Tx) error {
		g, err := tx.Grant(access.GrantID(x.request.Grant.ID))
		after.BeganAt = api.At(g.ExpiresAt.Add(time.Minute))
		return err
	}))
	after.EndedAt = after.BeganAt
	if x.tell(x.agent, after) {
		t.Error("what ran after the end is not written down")
	}
	if s, err = x.mira.Session(ctx, after.ID); err != nil || s.Command == nil || !s.Command.AfterEnd {
		t.Errorf("its session does not say so: %+v %+v %v", s, s.Command, err)
	}
	for _, what := range []access.EventType{access.CommandBegan, access.CommandEnded} {
		if all := x.events(what); len(all) != 2 || !slices.ContainsFunc(all, func(e access.Event) bool { return e.Facts["after_end"] == "true" }) {
			t.Errorf("%s: %+v", what, all)
		}
	}
	// The beginning was lost: the end brings it along.
	ended.ID = commandID(2)
	if x.tell(x.agent, ended) || len(x.events(access.CommandBegan)) != 3 || len(x.events(access.CommandEnded)) != 3 {
		t.Error("an end without a beginning")
	}
	// One that was taken for lost is put right.
	late := x.command(commandID(3))
	x.tell(x.agent, late)
	check(t, x.store.Update(ctx, func(tx *store.Tx) error {
		s, err := tx.Session(access.SessionID(late.ID))
		if err != nil {
			return err
		}
		s, ev, err := s.Close(access.SessionLost, "", tx.Now(), 0, tx.Now())
		return errors.Join(err, tx.SaveSessions(s), tx.Append(ev))
	}))
	late.EndedAt, late.Signal, late.Cut, late.Status = api.At(time.Now()), "KILL", "access-ended", 137
	x.tell(x.agent, late)
	if s, err := x.mira.Session(ctx, late.ID); err != nil || s.Reason != "access-ended" || s.Command.Signal != "KILL" {
		t.Errorf("%+v %v", s, err)
	}
}

// TestCommandsAreSessions: a command's recording comes from its host, is seen by whom a
// policy names, and holds; another host brings nothing of it, and it is ended from here.
func TestCommandsAreSessions(t *testing.T) {
	x := withCommands(t)
	ctx := t.Context()
	id := commandID(1)
	if x.tell(x.agent, x.command(id)) {
		t.Fatal("it is refused")
	}
	w, err := x.shelf.New(id, recording.Strict)
	check(t, err)
	check(t, w.Append(ctx, 0, recording.Start{}))
	check(t, w.Append(ctx, 1, recording.Open{Type: "session"}, recording.Exec{Type: "exec", Command: "/usr/bin/id -u"}, recording.Output{Data: []byte("a nonce\n")}))
	f, err := x.shelf.OpenFile(id)
	check(t, err)
	b, err := io.ReadAll(f)
	check(t, errors.Join(err, f.Close()))
	for name, by := range map[string]struct {
		c  *api.Client
		as api.Writer
	}{"another host": {x.stranger, api.HostWriter}, "a gateway": {x.gateway, api.GatewayWriter}, "a gateway, as a host": {x.gateway, api.HostWriter}, "its host, as a gateway": {x.agent, api.GatewayWriter}, "its person": {x.mira, api.HostWriter}} {
		if _, err := by.c.BringFrames(ctx, by.as, id, 0, b); err == nil {
			t.Errorf("%s brings frames", name)
		}
		if _, err := by.c.HaveFrames(ctx, by.as, id); err == nil {
			t.Errorf("%s hears how far it is", name)
		}
	}
	if _, err := x.agent.BringFrames(ctx, api.HostWriter, x.session, 0, b); err == nil {
		t.Error("a host brings frames of a gateway's session")
	}
	spoilt := bytes.Clone(b)
	spoilt[len(spoilt)-40] ^= 1
	if _, err := x.agent.BringFrames(ctx, api.HostWriter, id, 0, spoilt); problemOf(err, "").Code != "bad-frames" {
		t.Errorf("a frame that was changed: %v", err)
	}
	run, stop := context.WithCancel(ctx)
	over := make(chan struct{})
	courier := recording.NewCourier(x.shelf, carrier.New(x.agent, api.HostWriter), slog.New(slog.DiscardHandler))
	go func() { defer close(over); _ = courier.Run(run) }()
	defer func() { stop(); <-over }()

	// It is listed, watched, paused by nobody, and ended.
	var live api.Session
	x.until(func() bool {
		live, err = x.rosa.Session(ctx, id)
		return err == nil && live.Recording.State == "running"
	})
	if live.State != "live" || live.Recording.State != "running" || live.Command.Line != "/usr/bin/id -u" || live.Command.Status != nil {
		t.Errorf("%+v", live)
	}
	if _, err := x.admin.PauseSession(ctx, id, "no"); problemOf(err, "").Code != "not-paused" {
		t.Errorf("it is paused: %v", err)
	}
	if err := x.admin.Screens(ctx, id, api.Play{}, func(api.Screen) error { return nil }); problemOf(err, "").Code != "not-yours-to-watch" {
		t.Errorf("an administrator watches: %v", err)
	}
	cuts := make(chan api.SessionCut, 10)
	follow, leave := context.WithCancel(ctx)
	followed := make(chan error, 1)
	go func() { followed <- x.agent.FollowHostCuts(follow, func() {}, func(c api.SessionCut) { cuts <- c }) }()
	strange, depart := context.WithCancel(ctx)
	departed := make(chan error, 1)
	go func() {
		departed <- x.stranger.FollowHostCuts(strange, func() {}, func(c api.SessionCut) { t.Errorf("another host hears %+v", c) })
	}()
	_, err = x.mira.EndSession(ctx, id, "wrong host")
	check(t, err)
	select {
	case c := <-cuts:
		if c.Session != id || c.Reason != "killed" || c.Text != "wrong host" {
			t.Errorf("%+v", c)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the host does not hear that it is to end")
	}
	leave()
	depart()
	<-followed
	<-departed
	check(t, w.Append(ctx, 1, recording.Exit{Status: 137, Signal: "KILL"}))
	check(t, w.Close(ctx, "killed"))
	done := x.command(id)
	done.EndedAt, done.Signal, done.Cut, done.Status = api.At(time.Now()), "KILL", "killed", 137
	x.tell(x.agent, done)
	x.until(func() bool { names, _ := x.shelf.Finished(); return len(names) == 0 }) // taken, and so removed there
	v, err := x.rosa.VerifyRecording(ctx, id)
	check(t, err)
	s, err := x.rosa.Session(ctx, id)
	check(t, err)
	if !v.Holds || v.Recording.State != "kept" || s.Reason != "killed" || s.EndNote != "wrong host" || s.Recording.State != "kept" {
		t.Errorf("%+v\n%+v", v, s)
	}
	hits, err := x.rosa.SearchRecordings(ctx, api.Search{Text: "a nonce", Output: true})
	check(t, err)
	if len(hits.Hits) != 1 || hits.Hits[0].Session != id {
		t.Errorf("found %+v", hits)
	}
	if !slices.ContainsFunc(x.events(access.RecordingOpened), func(e access.Event) bool { return e.Actor.Principal == "user:rosa" && e.Facts["session"] == id }) {
		t.Error("who looked is not in the log")
	}
}

// TestAmbiguousSession: what somebody may not see does not make an id ambiguous.
func TestAmbiguousSession(t *testing.T) {
	x := withCommands(t)
	ctx := t.Context()
	one := x.command(commandID(1))
	x.tell(x.agent, one)
	two := one
	two.ID = one.ID[:len(one.ID)-2] + "ZZ"
	x.tell(x.agent, two)
	common := one.ID[:len(one.ID)-2]
	for name, c := range map[string]*api.Client{"whose they are": x.mira, "a watcher": x.rosa, "an administrator": x.admin} {
		if _, err := c.Session(ctx, common); problemOf(err, "").Code != "ambiguous-id" {
			t.Errorf("%s: %v", name, err)
		}
	}
	sam := x.as(x.admin, api.UserAdd{Name: "sam", Groups: []string{"platform"}})
	for _, id := range []string{common, one.ID, strings.ToLower(one.ID), "ses_"} {
		if _, err := sam.Session(ctx, id); problemOf(err, "").Kind != api.NotFound {
			t.Errorf("who sees neither hears of them by %s: %v", id, err)
		}
		if _, err := sam.EndSession(ctx, id, "x"); problemOf(err, "").Kind != api.NotFound {
			t.Errorf("who sees neither hears of them by %s: %v", id, err)
		}
	}
	if s, err := x.mira.Session(ctx, strings.ToLower(one.ID[4:])); err != nil || s.ID != one.ID {
		t.Errorf("%+v %v", s, err)
	}
}
