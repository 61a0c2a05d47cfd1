package apiserver

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/archive"
	"stint/internal/recording"
	"stint/internal/recording/carrier"
	"stint/internal/store"
)

type archiveStore struct{ *store.Store }

func (s archiveStore) Update(ctx context.Context, fn func(archive.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s archiveStore) View(ctx context.Context, fn func(archive.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// taped is a world with an archive, a gateway, a session that mira has, and who may watch it.
type taped struct {
	*world
	admin, mira, rosa *api.Client // rosa reviews
	gateway           *api.Client
	request           api.Request // mira's
	session           string
	recipient         recording.Recipient
	spool             *recording.Spool
	kept              string
}

func tape(t *testing.T) *taped {
	t.Helper()
	w, admin := populated(t)
	x := &taped{world: w, admin: admin, kept: filepath.Join(t.TempDir(), "kept")}
	ctx := t.Context()
	private, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	check(t, err)
	inbox, err := recording.OpenInbox(filepath.Join(t.TempDir(), "running"))
	check(t, err)
	disk, err := recording.NewDisk(x.kept)
	check(t, err)
	a, err := archive.New(archive.Config{Store: archiveStore{w.store}, Inbox: inbox, Kept: disk, Openers: []*recording.Opener{recording.NewOpener(private)}, Log: slog.New(slog.NewTextHandler(w.log, nil))})
	check(t, err)
	w.server.archive = a
	run, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); _ = a.Run(run) }()
	t.Cleanup(func() { stop(); <-over })

	_, err = admin.Apply(ctx, api.Apply{Files: []api.File{{Name: "watch.yaml", Text: "kind: Policy\nname: review\neffect: watch\nsubjects: [group:reviewers]\nroles: [reader]\n"}}})
	check(t, err)
	x.mira = w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	x.rosa = w.as(admin, api.UserAdd{Name: "rosa", Groups: []string{"reviewers"}})
	r, err := x.mira.Submit(ctx, api.Ask{Resource: "db", Role: "reader", Duration: "30m", Reason: "check order 4711"}, api.Wait{For: api.Ready, Time: 20 * time.Second})
	check(t, err)
	if r.Grant == nil {
		t.Fatalf("no grant: %+v", r)
	}
	x.request = r
	x.gateway = enrolledGateway(t, w, admin, "edge")
	x.session = x.open(r, "edge")

	sealer, err := recording.NewSealer(x.gateway.Device.RecordingSigner())
	check(t, err)
	x.recipient = a.Recipient()
	x.spool, _, err = recording.OpenSpool(filepath.Join(t.TempDir(), "spool"), recording.Options{Sealer: sealer, Recipient: x.recipient})
	check(t, err)
	t.Cleanup(func() { _ = x.spool.Close(context.Background()) })
	return x
}

// open writes a session down, as the broker does when a gateway asks.
func (x *taped) open(r api.Request, gateway string) (id string) {
	x.t.Helper()
	check(x.t, x.store.Update(x.t.Context(), func(tx *store.Tx) error {
		s := access.Session{ID: access.SessionID("ses_" + strings.TrimPrefix(r.ID, "req_")[:25] + gateway[:1]), Gateway: gateway, Protocol: access.SSH, Grant: access.GrantID(r.Grant.ID), Request: access.RequestID(r.ID),
			Principal: "user:mira", Person: "mira", Role: "reader", Resource: "db", Address: "db:22", Account: "deploy", OverAt: r.Grant.ExpiresAt.Time}
		id = strings.ToUpper(string(s.ID[4:]))
		id = "ses_" + id
		s.ID = access.SessionID(id)
		s, ev := s.Open(access.System, tx.Now())
		if err := tx.SaveSessions(s); err != nil {
			return err
		}
		return tx.Append(ev)
	}))
	return id
}

// TestRecordingsComeAndAreSeen follows a recording from the gateway to whom a policy lets see it.
func TestRecordingsComeAndAreSeen(t *testing.T) {
	x := tape(t)
	ctx := t.Context()
	w, err := x.spool.New(x.session, recording.Strict)
	check(t, err)
	add := func(channel uint32, es ...recording.Event) { t.Helper(); check(t, w.Append(ctx, channel, es...)) }
	add(0, recording.Start{})
	add(1, recording.Open{Type: "session"}, recording.Terminal{Term: "xterm", Columns: 80, Rows: 24}, recording.Exec{Type: "shell"})
	add(1, recording.Output{Data: []byte("$ ")}, recording.Input{Data: []byte("cat /etc/secret\r")}, recording.Output{Data: []byte("cat /etc/secret\r\n\x1b]52;c;aGk=\x07<script>alert(1)</script> \u202efrom right\r\n$ ")})
	c := recording.NewCourier(x.spool, carrier.New(x.gateway, api.GatewayWriter), slog.New(slog.DiscardHandler))
	run, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); _ = c.Run(run) }()
	t.Cleanup(func() { stop(); <-over })

	// Live: rosa watches, the others see nothing of it.
	x.until(func() bool { r, err := x.rosa.Recording(ctx, x.session); return err == nil && r.State == "running" })
	for name, who := range map[string]*api.Client{"whose session it is": x.mira, "an administrator": x.admin} {
		if err := who.Screens(ctx, x.session, api.Play{}, func(api.Screen) error { return nil }); problemOf(err, "").Code != "not-yours-to-watch" {
			t.Errorf("%s watches: %v", name, err)
		}
	}
	stranger := x.as(x.admin, api.UserAdd{Name: "sam"})
	if _, err := stranger.Recording(ctx, x.session); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("a stranger hears of it: %v", err)
	}
	seen := make(chan api.Screen, 100)
	watching := make(chan error, 1)
	go func() {
		watching <- x.rosa.Screens(ctx, x.session, api.Play{Follow: true}, func(s api.Screen) error { seen <- s; return nil })
	}()
	var first api.Screen
	select {
	case first = <-seen:
	case err := <-watching:
		t.Fatalf("watching ended: %v", err)
	case <-time.After(60 * time.Second):
		t.Fatal("nothing is seen")
	}
	text := screenText(first)
	if !strings.Contains(text, "<script>alert(1)</script>") || strings.ContainsAny(text, "\x1b\x07\u202e") || strings.Contains(text, "aGk=") {
		t.Errorf("the screen is %q", text)
	}
	began := time.Now()
	add(1, recording.Output{Data: []byte("live nonce")})
	for got := (api.Screen{}); !strings.Contains(screenText(got), "live nonce"); {
		select {
		case got = <-seen:
		case <-time.After(60 * time.Second):
			t.Fatal("what comes is not seen")
		}
	}
	t.Logf("seen after %v", time.Since(began))

	// Its end: kept, anchored, and removed at the gateway.
	check(t, w.Close(ctx, "client-gone"))
	x.until(func() bool { names, _ := x.spool.Finished(); all, _ := c.Waiting(); return len(names) == 0 && all == 0 })
	select {
	case err := <-watching:
		check(t, err)
	case <-time.After(60 * time.Second):
		t.Fatal("watching goes on after the end")
	}
	r, err := x.rosa.Recording(ctx, x.session)
	check(t, err)
	a, _ := w.Anchor()
	if r.State != "kept" || r.Frames != a.Frames || r.Root != a.Root.String() || r.Reason != "client-gone" {
		t.Errorf("kept: %+v, anchor %+v", r, a)
	}
	v, err := x.rosa.VerifyRecording(ctx, x.session)
	check(t, err)
	if !v.Holds || len(v.Seals) < 1 || v.Seals[len(v.Seals)-1].State != "complete" {
		t.Errorf("verified: %+v", v)
	}
	i, err := x.rosa.RecordingIndex(ctx, x.session)
	check(t, err)
	if !strings.Contains(entriesText(i.Entries), "cat /etc/secret") {
		t.Errorf("index: %+v", i)
	}
	hits, err := x.rosa.SearchRecordings(ctx, api.Search{Text: "LIVE nonce", Output: true})
	check(t, err)
	if len(hits.Hits) != 1 || hits.Hits[0].Session != x.session {
		t.Errorf("found: %+v", hits)
	}
	if hits, err := x.admin.SearchRecordings(ctx, api.Search{Text: "live nonce", Output: true}); err != nil || hits.Searched != 0 {
		t.Errorf("an administrator finds: %+v, %v", hits, err)
	}
	var cast, plain, raw bytes.Buffer
	check(t, x.rosa.ExportRecording(ctx, x.session, "asciicast", &cast))
	check(t, x.rosa.ExportRecording(ctx, x.session, "text", &plain))
	check(t, x.rosa.ExportRecording(ctx, x.session, "raw", &raw))
	if !strings.HasPrefix(cast.String(), `{"version": 2`) || !strings.Contains(plain.String(), "live nonce") || bytes.Contains(raw.Bytes(), []byte("nonce")) {
		t.Errorf("exports:\n%s\n%s", cast.String(), plain.String())
	}
	if _, err := recording.Verify(ctx, &raw, recording.Trust{Keys: []edKey{x.gatewayKey()}, Name: x.session, Anchor: &a}); err != nil {
		t.Errorf("what was exported does not verify: %v", err)
	}
	var whats []string
	for _, ev := range x.events(access.RecordingOpened) {
		if ev.Actor.Principal != "user:rosa" {
			t.Errorf("%s looked", ev.Actor.Principal)
		}
		whats = append(whats, ev.Facts["what"])
	}
	for _, want := range []string{"watch", "verify", "index", "search", "export"} {
		if !strings.Contains(strings.Join(whats, " "), want) {
			t.Errorf("the log does not say that somebody opened it to %s: %v", want, whats)
		}
	}
	// An export as it is kept, and the console's page: the log says for what, and how much was seen.
	x.server.archive.CloseViews(ctx)
	before := len(x.events(access.RecordingClosed))
	check(t, x.store.Update(ctx, func(tx *store.Tx) error { // the page shows no recording of a session that is open
		s, err := tx.Session(access.SessionID(x.session))
		if err != nil {
			return err
		}
		s, ev, err := s.Close("client-gone", "", tx.Now(), 0, tx.Now())
		if err != nil {
			return err
		}
		return errors.Join(tx.SaveSessions(s), tx.Append(ev))
	}))
	rosa := x.guest("rosa")
	for _, look := range []struct {
		what string
		at   func()
	}{
		{"export", func() { check(t, x.rosa.ExportRecording(ctx, x.session, "raw", io.Discard)) }},
		{"replay", func() { rosa.get("/sessions/"+x.session).want(t, http.StatusOK) }},
		{"search", func() { rosa.get("/sessions/"+x.session+"?q=secret").want(t, http.StatusOK) }},
	} {
		look.at()
		x.server.archive.CloseViews(ctx)
		all := x.events(access.RecordingClosed)
		if len(all) != before+1 || all[before].Facts["what"] != look.what || all[before].Facts["to"] == "0s" {
			t.Fatalf("of %s the log says: %v", look.what, all[before:])
		}
		before++
	}
	for _, ev := range x.events(access.RecordingOpened)[len(whats):] {
		whats = append(whats, ev.Facts["what"])
	}
	for _, ev := range x.events(access.RecordingClosed) {
		if ev.Facts["what"] == "watch" && ev.Facts["to"] == "0s" {
			t.Errorf("what was seen is not in the log: %v", ev.Facts)
		}
	}
	if n := len(x.events(access.RecordingClosed)); n != len(whats) {
		t.Errorf("%d were opened, and %d closed", len(whats), n)
	}
}

// TestRecordingDoors: a gateway writes recordings of its own sessions, as they are made, and nothing else.
func TestRecordingDoors(t *testing.T) {
	x := tape(t)
	ctx := t.Context()
	w, err := x.spool.New(x.session, recording.Strict)
	check(t, err)
	check(t, w.Append(ctx, 0, recording.Start{}))
	check(t, w.Close(ctx, "client-gone"))
	x.until(func() bool { names, _ := x.spool.Finished(); return len(names) == 1 })
	f, err := x.spool.OpenFile(x.session)
	check(t, err)
	b, err := io.ReadAll(f)
	check(t, err)
	check(t, f.Close())
	other := enrolledGateway(t, x.world, x.admin, "west")
	agent := x.client()
	for name, try := range map[string]struct {
		by      *api.Client
		session string
	}{
		"another gateway's session": {other, x.session}, "one that was not opened": {x.gateway, "ses_01J8ZQ5T3M8W6Y2X4V9N7K1B5C"},
		"a path": {x.gateway, "..%2f..%2fetc"}, "no gateway": {agent, x.session},
	} {
		if k, err := try.by.BringFrames(ctx, api.GatewayWriter, try.session, 0, b); err == nil {
			t.Errorf("%s: taken: %+v", name, k)
		}
		if _, err := try.by.HaveFrames(ctx, api.GatewayWriter, try.session); err == nil {
			t.Errorf("%s: it hears how far it is", name)
		}
	}
	if got := x.send(x.raw(x.mira, http.MethodPost, "/v1/gateway/recordings/"+x.session+"/frames?from=0", `{"frames":""}`)); got.status != http.StatusUnauthorized {
		t.Errorf("a person brings frames: %d", got.status)
	}
	if _, err := x.gateway.BringFrames(ctx, api.GatewayWriter, x.session, 5, b[300:]); err == nil {
		t.Error("frames that do not follow are taken")
	}
	spoilt := bytes.Clone(b)
	spoilt[len(spoilt)-200] ^= 1
	if _, err := x.gateway.BringFrames(ctx, api.GatewayWriter, x.session, 0, spoilt); problemOf(err, "").Code != "bad-frames" {
		t.Errorf("a frame that was changed: %v", err)
	}
	if k, err := x.gateway.BringFrames(ctx, api.GatewayWriter, x.session, 0, b); err != nil || !k.Began {
		t.Errorf("%+v, %v", k, err)
	}
	x.until(func() bool {
		k, err := x.gateway.HaveFrames(ctx, api.GatewayWriter, x.session)
		return err == nil && k.Done
	})
	k, err := x.gateway.BringFrames(ctx, api.GatewayWriter, x.session, 0, b) // once more changes nothing
	if err != nil || !k.Done || k.Bytes != int64(len(b)) {
		t.Errorf("%+v, %v", k, err)
	}
	if n := len(x.events(access.RecordingKept)); n != 1 {
		t.Errorf("it was kept %d times", n)
	}
}

// TestPausing: who may watch a session, owns the resource or administers pauses it; others do not.
func TestPausing(t *testing.T) {
	x := tape(t)
	ctx := t.Context()
	for verb, call := range map[string]func() (api.Session, error){
		"paused":  func() (api.Session, error) { return x.mira.PauseSession(ctx, x.session, "no") },
		"resumed": func() (api.Session, error) { return x.mira.ResumeSession(ctx, x.session) },
	} {
		_, err := call()
		p := problemOf(err, "")
		if p.Kind != api.Denied || !strings.HasPrefix(p.Message, "a session is "+verb+" by owners of the resource") || !strings.Contains(p.Next, "stint session end "+x.session) {
			t.Errorf("%s by mira, whose it is: %v; %s", verb, err, p.Next)
		}
	}
	if _, err := x.rosa.EndSession(ctx, x.session, "no"); !strings.HasPrefix(problemOf(err, "").Message, "a session is ended by who has it") || problemOf(err, "").Next == "" {
		t.Errorf("rosa, who only watches, ends it: %v", err)
	}
	s, err := x.rosa.PauseSession(ctx, x.session, "what is that")
	check(t, err)
	if s.PausedAt.IsZero() || s.PausedBy != "user:rosa" {
		t.Errorf("%+v", s)
	}
	if _, err := x.admin.PauseSession(ctx, x.session, "again"); problemOf(err, "").Kind != api.Conflict {
		t.Errorf("twice: %v", err)
	}
	s, err = x.admin.ResumeSession(ctx, x.session)
	check(t, err)
	if !s.PausedAt.IsZero() {
		t.Errorf("%+v", s)
	}
	if got := len(x.events(access.SessionPaused)) + len(x.events(access.SessionResumed)); got != 2 {
		t.Errorf("%d records", got)
	}
}

// TestHolding: administrators, auditors and who may watch hold a recording; administrators let
// go, and nobody of a session of their own.
func TestHolding(t *testing.T) {
	x := tape(t)
	ctx := t.Context()
	w, err := x.spool.New(x.session, recording.Strict)
	check(t, err)
	check(t, w.Append(ctx, 0, recording.Start{}))
	if _, err := x.rosa.HoldRecording(ctx, x.session, "case 7"); problemOf(err, "").Code != "no-recording" {
		t.Errorf("what is not here: %v", err)
	}
	check(t, w.Close(ctx, "client-gone"))
	courier := recording.NewCourier(x.spool, carrier.New(x.gateway, api.GatewayWriter), slog.New(slog.DiscardHandler))
	if left := courier.HandOver(ctx); left != 0 {
		t.Errorf("%d are left when the gateway has stopped", left)
	}
	x.until(func() bool { r, err := x.rosa.Recording(ctx, x.session); return err == nil && r.State == "kept" })
	auditor, sam := x.as(x.admin, api.UserAdd{Name: "aude", Auditor: true}), x.as(x.admin, api.UserAdd{Name: "sam"})
	for name, c := range map[string]*api.Client{"whose session it is": x.mira} {
		if _, err := c.HoldRecording(ctx, x.session, "mine"); problemOf(err, "").Code != "not-yours" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sam.HoldRecording(ctx, x.session, "x"); problemOf(err, "").Kind != api.NotFound {
		t.Errorf("a stranger hears of it: %v", err)
	}
	for _, c := range []*api.Client{x.rosa, auditor, x.admin} {
		r, err := c.HoldRecording(ctx, x.session, "case 7")
		check(t, err)
		if r.HeldAt.IsZero() || r.HeldWhy != "case 7" {
			t.Errorf("%+v", r)
		}
		if _, err := c.HoldRecording(ctx, x.session, "again"); problemOf(err, "").Code != "recording-held" {
			t.Errorf("twice: %v", err)
		}
		for _, no := range []*api.Client{x.rosa, auditor, x.mira} {
			if _, err := no.ReleaseRecording(ctx, x.session, "x"); problemOf(err, "").Code != "not-yours" {
				t.Errorf("let go: %v", err)
			}
		}
		r, err = x.admin.ReleaseRecording(ctx, x.session, "closed")
		check(t, err)
		if !r.HeldAt.IsZero() {
			t.Errorf("%+v", r)
		}
	}
	if h, f := len(x.events(access.RecordingHeld)), len(x.events(access.RecordingFreed)); h != 3 || f != 3 {
		t.Errorf("the log has %d and %d", h, f)
	}
}

type edKey = ed25519.PublicKey

func (x *taped) gatewayKey() edKey { return x.gateway.Device.RecordingSigner().Public().(edKey) }

func screenText(s api.Screen) string {
	var b strings.Builder
	for _, l := range s.Lines {
		for _, r := range l {
			b.WriteString(r.Text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func entriesText(es []api.RecordingEntry) (s string) {
	for _, e := range es {
		s += e.Kind + " " + e.Text + "\n"
	}
	return s
}
