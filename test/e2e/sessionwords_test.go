//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/test/stage"
)

// sameWords does with a live session what is done with any, whatever it carries, by the same
// commands: it is listed, watched, paused, ended, replayed, found and verified. act has the
// person do something in it, of which the recording shows text. rosa may see recordings.
func sameWords(t *testing.T, ctx context.Context, s *stage.Stage, id, protocol, text string, act func() error) {
	t.Helper()
	root, rosa := s.As("root"), s.As("rosa")
	one := func() (x api.Session, err error) {
		var all []api.Session
		if err := root.JSON(ctx, &all, "session", "ls"); err != nil {
			return x, err
		}
		for _, x := range all {
			if x.ID == id {
				return x, nil
			}
		}
		return x, errors.New("the session " + id + " is not listed")
	}
	x, err := one()
	must(t, err)
	if x.Protocol != protocol || !x.ClosedAt.IsZero() {
		t.Errorf("%s is listed as %+v", protocol, x)
	}

	must(t, eventually(ctx, func() error { // until then there is nothing to watch
		if err := act(); err != nil {
			return err
		}
		return rosa.Run(ctx, "session", "play", id).Failed()
	}))
	watch, seen := rosa.Command(ctx, "session", "watch", id), &lockedText{}
	watch.Stdout, watch.Stderr, watch.WaitDelay = seen, seen, 5*time.Second
	must(t, watch.Start())
	must(t, eventually(ctx, func() error {
		if err := act(); err != nil {
			return err
		}
		if !strings.Contains(seen.String(), text) {
			return fmt.Errorf("%s: who watches sees %q", protocol, seen.String())
		}
		return nil
	}))
	must(t, root.Run(ctx, "session", "pause", id, "--why", "what is that?").Failed())
	if r := root.Run(ctx, "session", "pause", id, "--why", "again"); r.Code == 0 {
		t.Errorf("%s: paused twice: %s", protocol, r.Out)
	}
	must(t, root.Run(ctx, "session", "resume", id).Failed())
	must(t, eventually(ctx, act))
	if r := rosa.Run(ctx, "session", "end", id, "--why", "not mine to say"); r.Code == 0 {
		t.Errorf("%s: who may look may end", protocol)
	}
	must(t, root.Run(ctx, "session", "end", id, "--why", "the wrong place").Failed())
	watched := make(chan error, 1)
	go func() { watched <- watch.Wait() }()
	select {
	case <-watched:
	case <-time.After(time.Minute):
		t.Errorf("%s: it is over, and is watched still: %s", protocol, seen.String())
		_ = watch.Process.Kill()
	}

	must(t, eventually(ctx, func() error {
		x, err := one()
		if err == nil && (x.ClosedAt.IsZero() || x.Recording.State != "kept") {
			err = fmt.Errorf("%s: ended %s, its recording is %s", protocol, x.ClosedAt, x.Recording.State)
		}
		return err
	}))
	if r := rosa.Run(ctx, "session", "play", id); r.Code != 0 || !strings.Contains(r.Out, text) {
		t.Errorf("%s: the replay: %d %s %s", protocol, r.Code, r.Out, r.Err)
	}
	if r := rosa.Run(ctx, "session", "search", text); r.Code != 0 || !strings.Contains(r.Out, text) {
		t.Errorf("%s: found: %d %s %s", protocol, r.Code, r.Out, r.Err)
	}
	if r := rosa.Run(ctx, "session", "show", id); r.Code != 0 || !strings.Contains(r.Out, "the wrong place") {
		t.Errorf("%s: shown: %d %s %s", protocol, r.Code, r.Out, r.Err)
	}
	if r := rosa.Run(ctx, "session", "verify", id); r.Code != 0 || !strings.Contains(r.Out, "holds: ") {
		t.Errorf("%s: verified: %d %s %s", protocol, r.Code, r.Out, r.Err)
	}
}
