package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"stint/internal/api"
	"stint/internal/wholefile"
)

// Line reaches the control plane.
type Line interface {
	TellOfCommands(ctx context.Context, t api.HostTold) (api.HostHeard, error)
}

// Reports are commands that the control plane has not been told of yet, each a file of
// its own. It is told of each twice: that it runs, and that it has ended.
type Reports struct {
	dir  string
	line Line
	log  *slog.Logger
	bell chan struct{}

	mu   sync.Mutex
	open map[string]api.HostCommand // by id; also what could not be written
	told map[string]bool            // that it runs, of those that do
}

const reportSuffix = ".json"

// mostReports is how many may wait. Beyond it no command runs: what Stint is not told of
// for so long it should not be done for either.
const mostReports = 10_000

// OpenReports opens the folder. Of a command that an earlier runner did not see the end
// of, the end is reported as lost.
func OpenReports(dir string, line Line, log *slog.Logger) (*Reports, error) {
	r := &Reports{dir: dir, line: line, log: log, bell: make(chan struct{}, 1), open: map[string]api.HostCommand{}, told: map[string]bool{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	es, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range es {
		id, ok := strings.CutSuffix(e.Name(), reportSuffix)
		if !ok {
			continue
		}
		text, err := os.ReadFile(r.file(id))
		var c api.HostCommand
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		if err != nil || c.ID != id {
			log.Error("a report is damaged and set aside", "id", id, "error", err)
			if err := os.Rename(r.file(id), r.file(id)+".damaged"); err != nil {
				return nil, err
			}
			continue
		}
		if c.EndedAt.IsZero() {
			c.EndedAt, c.Status, c.Cut = api.At(time.Now()), 255, cutLost
			if err := r.write(c); err != nil {
				return nil, err
			}
		}
		r.open[id] = c
	}
	r.ring()
	return r, nil
}

func (r *Reports) file(id string) string { return filepath.Join(r.dir, id+reportSuffix) }

func (r *Reports) write(c api.HostCommand) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return wholefile.Write(r.file(c.ID), append(text, '\n'))
}

// Keep puts a command on the disk as it is now, and has it told.
func (r *Reports) Keep(c api.HostCommand) error {
	r.mu.Lock()
	full := len(r.open) >= mostReports && c.EndedAt.IsZero()
	r.mu.Unlock()
	if full {
		return fmt.Errorf("%d commands wait to be reported, and no more can", mostReports)
	}
	err := r.write(c)
	if err != nil && c.EndedAt.IsZero() {
		return err // it does not run
	}
	r.mu.Lock()
	r.open[c.ID] = c
	delete(r.told, c.ID)
	r.mu.Unlock()
	r.ring()
	return err
}

func (r *Reports) ring() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// Times of telling again.
const (
	againFirst  = time.Second
	againAtMost = 30 * time.Second
	tellAtOnce  = api.MaxHostCommands
)

// Run tells until ctx ends, and once more then.
func (r *Reports) Run(ctx context.Context) {
	wait := againFirst
	for {
		err := r.tell(ctx)
		again := time.NewTimer(againAtMost)
		if err != nil {
			r.log.Warn("Stint is not told of commands yet; tried again", "error", err)
			again.Reset(wait)
			wait = min(2*wait, againAtMost)
		} else {
			wait = againFirst
		}
		bell := r.bell
		if err != nil {
			bell = nil // not sooner than that
		}
		select {
		case <-ctx.Done():
			again.Stop()
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			if err := r.tell(within); err != nil {
				r.log.Warn("Stint is told of the rest after the next start", "error", err)
			}
			return
		case <-bell:
		case <-again.C:
		}
		again.Stop()
	}
}

// tell tells of what was not told yet, and forgets what needs no more telling.
func (r *Reports) tell(ctx context.Context) error {
	for {
		var part []api.HostCommand
		r.mu.Lock()
		for id, c := range r.open {
			if !r.told[id] {
				part = append(part, c)
			}
		}
		r.mu.Unlock()
		if len(part) == 0 {
			return nil
		}
		slices.SortFunc(part, func(a, b api.HostCommand) int { return a.BeganAt.Compare(b.BeganAt.Time) })
		part = part[:min(len(part), tellAtOnce)]
		got, err := r.line.TellOfCommands(ctx, api.HostTold{Commands: part})
		if err != nil {
			return err
		}
		for _, c := range part {
			if why, refused := got.Refused[c.ID]; refused {
				r.log.Error("Stint does not keep a report", "id", c.ID, "why", why)
			}
			if err := r.done(c); err != nil {
				return err
			}
		}
	}
}

// done notes that a command was told of as it was then.
func (r *Reports) done(c api.HostCommand) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open[c.ID] != c {
		return nil // meanwhile there is more to tell
	}
	if c.EndedAt.IsZero() {
		r.told[c.ID] = true
		return nil
	}
	delete(r.open, c.ID)
	if err := os.Remove(r.file(c.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
