package archive

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"io"
	"path/filepath"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/recording"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// half is an archive to which half of a recording has come, of a session that is over.
func half(t *testing.T) (*Archive, *memory) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	sealer, err := recording.NewSealer(private)
	must(t, err)
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	must(t, err)
	opener := recording.NewOpener(key)
	spool, _, err := recording.OpenSpool(filepath.Join(t.TempDir(), "spool"), recording.Options{Sealer: sealer, Recipient: opener.Recipient()})
	must(t, err)
	t.Cleanup(func() { _ = spool.Close(t.Context()) })
	w, err := spool.New("ses_1", recording.Strict)
	must(t, err)
	must(t, w.Append(t.Context(), 0, recording.Start{}, recording.Note{What: "x", Text: "what came"}))
	f, err := spool.OpenFile("ses_1")
	must(t, err)
	b, err := io.ReadAll(f)
	must(t, err)
	must(t, f.Close())
	a, m := newTestArchive(nil)
	a.Inbox, err = recording.OpenInbox(filepath.Join(t.TempDir(), "running"))
	must(t, err)
	a.Kept, err = recording.NewDisk(filepath.Join(t.TempDir(), "kept"))
	must(t, err)
	a.Openers = []*recording.Opener{opener}
	m.r.Keys = [][]byte{public}
	_, err = a.Inbox.Take("ses_1", trustOf(m.r), 0, b)
	must(t, err)
	m.now = time.Now()
	m.session = access.Session{ID: "ses_1", Gateway: "edge", ClosedAt: m.now.Add(-2 * time.Hour)}
	return a, m
}

// TestLost: what came of a recording is kept when its writer is gone, and not before that
// is sure.
func TestLost(t *testing.T) {
	enrolled := access.Host{Name: access.GatewayHost("edge"), Agent: "agent"}
	revoked := access.Host{Name: access.GatewayHost("edge")}
	for name, x := range map[string]struct {
		bend func(*memory)
		lost bool
	}{
		"its gateway is there":              {func(m *memory) { m.host = enrolled }, false},
		"and said nothing for a week":       {func(m *memory) { m.host = enrolled; m.session.ClosedAt = m.now.Add(-silentFor) }, true},
		"its gateway was revoked":           {func(m *memory) { m.host = revoked; m.host.RevokedAt = m.now.Add(-goneFor) }, true},
		"its gateway was just revoked":      {func(m *memory) { m.host = revoked; m.host.RevokedAt = m.now.Add(-time.Minute) }, false},
		"its gateway is not known any more": {func(*memory) {}, true},
		"its session goes on":               {func(m *memory) { m.session.ClosedAt = time.Time{} }, false},
		"its session has just ended":        {func(m *memory) { m.session.ClosedAt = m.now.Add(-time.Minute) }, false},
		"its host is there": {func(m *memory) {
			m.r.Gateway = access.HostCarrier("web1:22")
			m.host = access.Host{Name: "web1:22", Agent: "agent"}
		}, false},
		"its host was revoked": {func(m *memory) {
			m.r.Gateway = access.HostCarrier("web1:22")
			m.host = access.Host{Name: "web1:22", RevokedAt: m.now.Add(-goneFor)}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a, m := half(t)
			x.bend(m)
			a.loseAll(t.Context())
			if !x.lost {
				if m.r.State != access.RecordingRunning {
					t.Errorf("it is %s", m.r.State)
				}
				return
			}
			if m.r.State != access.RecordingLost || m.r.Frames == 0 || m.r.Bytes == 0 || len(m.of(access.RecordingKept)) != 1 {
				t.Fatalf("%+v", m.r)
			}
			if names, err := a.Inbox.Names(); err != nil || len(names) != 0 {
				t.Errorf("it still waits: %v, %v", names, err)
			}
			f, trust, err := a.file(t.Context(), m.r)
			must(t, err)
			report, err := recording.Verify(t.Context(), f, trust, a.Openers...)
			if err != nil || report.Anchor.Frames != m.r.Frames || report.State != recording.Unended {
				t.Errorf("%+v, %v", report, err)
			}
			must(t, f.Close())
			before := m.r.Version
			a.loseAll(t.Context())
			if m.r.Version != before {
				t.Error("it is lost twice")
			}
		})
	}
}

// TestHold: what is held stays whatever its age, and goes when it is let go.
func TestHold(t *testing.T) {
	a, m := half(t)
	m.session.ClosedAt = m.now.Add(-silentFor)
	a.loseAll(t.Context())
	m.r.BeganAt, a.Age = m.now.Add(-48*time.Hour), 24*time.Hour
	by := access.Actor{Principal: "user:lea"}
	_, err := a.Hold(t.Context(), by, "ses_1", "case 7")
	must(t, err)
	if _, err := a.Hold(t.Context(), by, "ses_1", "again"); access.KindOf(err) != access.Conflict {
		t.Errorf("held twice: %v", err)
	}
	a.expire(t.Context())
	must(t, a.remove(t.Context(), m.r, access.System, "who found it before it was held"))
	if m.r.State != access.RecordingLost || m.r.HeldBy != "user:lea" || m.r.HeldWhy != "case 7" {
		t.Fatalf("%+v", m.r)
	}
	f, _, err := a.file(t.Context(), m.r)
	must(t, err)
	must(t, f.Close())
	_, err = a.Free(t.Context(), by, "ses_1", "closed")
	must(t, err)
	if _, err := a.Free(t.Context(), by, "ses_1", "again"); access.KindOf(err) != access.Conflict {
		t.Errorf("let go twice: %v", err)
	}
	a.expire(t.Context())
	if _, err := a.Hold(t.Context(), by, "ses_1", "too late"); access.KindOf(err) != access.Conflict || m.r.State != access.RecordingGone {
		t.Errorf("%s, %v", m.r.State, err)
	}
	if len(m.of(access.RecordingHeld)) != 1 || len(m.of(access.RecordingFreed)) != 1 || len(m.of(access.RecordingRemoved)) != 1 {
		t.Errorf("the log has %+v", m.log)
	}
}
