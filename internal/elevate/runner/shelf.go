package runner

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"stint/internal/recording"
	"stint/internal/wholefile"
)

// Shelf is the folder of recordings. Each key to which they are sealed has a spool of
// its own in it: the key changes when the installation's does. What is kept by the control
// plane is removed here.
type Shelf struct {
	dir    string
	sealer *recording.Sealer
	log    *slog.Logger
	fresh  chan struct{} // there may be a spool that nobody brings from

	mu     sync.Mutex
	spools map[string]*recording.Spool // by the key, in hex
}

const recipientFile = "recipient"

// Bounds of what waits here to be brought away. Beyond them no command runs: what cannot be
// shown to anybody for so long should not be done for either.
const (
	mostWaiting = 10_000
	mostBytes   = 4 << 30
	handOver    = 5 * time.Second // for what is left when the runner stops
)

// OpenShelf opens the folder, and seals what an earlier runner did not live to seal.
func OpenShelf(dir string, sealer *recording.Sealer, log *slog.Logger) (*Shelf, error) {
	s := &Shelf{dir: dir, sealer: sealer, log: log, fresh: make(chan struct{}, 1), spools: map[string]*recording.Spool{}}
	es, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range es {
		if !e.IsDir() {
			continue
		}
		key, err := os.ReadFile(filepath.Join(dir, e.Name(), recipientFile))
		if err == nil {
			_, err = s.spool(key)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open the recordings in %s: %w", e.Name(), err), s.Close(context.Background()))
		}
	}
	return s, nil
}

// spool gives the spool of a key; the caller does not hold mu.
func (s *Shelf) spool(key []byte) (*recording.Spool, error) {
	to, err := recording.NewRecipient(key)
	if err != nil {
		return nil, err
	}
	name := hex.EncodeToString(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.spools[name]; x != nil {
		return x, nil
	}
	dir := filepath.Join(s.dir, name[:16])
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	switch was, err := os.ReadFile(filepath.Join(dir, recipientFile)); {
	case errors.Is(err, fs.ErrNotExist):
		if err := wholefile.Write(filepath.Join(dir, recipientFile), key); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !bytes.Equal(was, key):
		return nil, errors.New("two keys of recordings begin alike")
	}
	x, recovered, err := recording.OpenSpool(dir, recording.Options{Sealer: s.sealer, Recipient: to})
	if err != nil {
		return nil, err
	}
	for _, r := range recovered {
		s.log.Warn("a recording that was not ended is sealed as broken", "id", r.Name, "frames", r.Anchor.Frames, "error", r.Err)
	}
	s.spools[name] = x
	select {
	case s.fresh <- struct{}{}:
	default:
	}
	return x, nil
}

// Bring brings recordings to where they are kept, as they are made, until ctx is done, and then
// for a moment the last of them.
func (s *Shelf) Bring(ctx context.Context, to recording.Carrier) {
	couriers := map[*recording.Spool]*recording.Courier{}
	var all sync.WaitGroup
	for ctx.Err() == nil {
		s.mu.Lock()
		for _, x := range s.spools {
			if couriers[x] == nil {
				c := recording.NewCourier(x, to, s.log)
				couriers[x] = c
				all.Go(func() { _ = c.Run(ctx) }) // it ends with ctx alone
			}
		}
		s.mu.Unlock()
		select {
		case <-s.fresh:
		case <-ctx.Done():
		}
	}
	all.Wait()
	within, done := context.WithTimeout(context.WithoutCancel(ctx), handOver)
	defer done()
	for _, c := range couriers {
		if left := c.HandOver(within); left > 0 {
			s.log.Warn("recordings are brought away after the next start", "count", left)
		}
	}
}

// room fails when too much waits here.
func (s *Shelf) room() error {
	n, bytes := 0, int64(0)
	err := filepath.WalkDir(s.dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // nothing was recorded yet, or it was just brought away
			return nil
		}
		if err != nil || e.IsDir() || filepath.Ext(e.Name()) != ".rec" {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // likewise
			return nil
		} else if err != nil {
			return err
		}
		n, bytes = n+1, bytes+info.Size()
		return nil
	})
	if err == nil && (n >= mostWaiting || bytes >= mostBytes) {
		err = fmt.Errorf("%d recordings of %d bytes wait to be brought to Stint, and no more may", n, bytes)
	}
	return err
}

// Begin begins a recording that is sealed to a key; what it promises is on the disk.
func (s *Shelf) Begin(name string, to []byte) (*recording.Writer, error) {
	if err := s.room(); err != nil {
		return nil, err
	}
	x, err := s.spool(to)
	if err != nil {
		return nil, err
	}
	return x.New(name, recording.Strict)
}

// Close closes the spools, when nothing is recorded any more.
func (s *Shelf) Close(ctx context.Context) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, x := range s.spools {
		err = errors.Join(err, x.Close(ctx))
		delete(s.spools, name)
	}
	return err
}
