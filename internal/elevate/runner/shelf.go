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

	"stint/internal/recording"
	"stint/internal/wholefile"
)

// Shelf is the folder of recordings. Each key to which they are sealed has a spool of
// its own in it: the key changes when the installation's does.
type Shelf struct {
	dir    string
	sealer *recording.Sealer
	log    *slog.Logger

	mu     sync.Mutex
	spools map[string]*recording.Spool // by the key, in hex
}

const recipientFile = "recipient"

// OpenShelf opens the folder, and seals what an earlier runner did not live to seal.
func OpenShelf(dir string, sealer *recording.Sealer, log *slog.Logger) (*Shelf, error) {
	s := &Shelf{dir: dir, sealer: sealer, log: log, spools: map[string]*recording.Spool{}}
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
	return x, nil
}

// Begin begins a recording that is sealed to a key; what it promises is on the disk.
func (s *Shelf) Begin(name string, to []byte) (*recording.Writer, error) {
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
