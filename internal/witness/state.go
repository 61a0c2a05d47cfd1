package witness

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"syscall"

	"stint/internal/access"
	"stint/internal/audit"
	"stint/internal/wholefile"
)

// state is the witness's whole memory, one file. It is small: one checkpoint for
// each log, and what an operator has given up by hand.
type state struct {
	path string
	lock *os.File
	logs map[string]seen // by origin
}

// seen is what is remembered of a log.
type seen struct {
	Checkpoint string `json:"checkpoint"` // the newest that was signed, with our cosignature
	// Abandoned are checkpoints that were signed, and that the log no longer
	// continues, as an operator has accepted. They stay, as evidence.
	Abandoned []string `json:"abandoned,omitempty"`
}

const stateFormat = 1

type stateFile struct {
	Format int             `json:"format"`
	Logs   map[string]seen `json:"logs"`
}

// openState reads the state and keeps every other witness out of it. A file that
// is missing is an empty state only where create says so: a witness that forgot
// everything would sign anything.
func openState(path string, create bool) (*state, error) {
	s := &state{path: path, logs: map[string]seen{}}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, stateError("it cannot be locked", err)
	}
	s.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(access.Fail(access.Conflict, "state-in-use", "another stint-witness uses "+path).Try("stop it first"), lock.Close())
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && create:
		if err := s.write(s.logs); err != nil {
			return nil, errors.Join(err, s.close())
		}
		return s, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.Join(access.Fail(access.Invalid, "no-state", "the state file "+path+" is missing").
			Because("a witness that has forgotten what it signed would sign anything").Try("bring it back; or, for a new witness with a new key, begin with --new"), s.close())
	case err != nil:
		return nil, errors.Join(stateError("it cannot be read", err), s.close())
	}
	var f stateFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || f.Format != stateFormat || f.Logs == nil {
		return nil, errors.Join(stateError("it is not a state of format 1", err), s.close())
	}
	s.logs = f.Logs
	return s, nil
}

func stateError(why string, err error) *access.Error {
	return access.Fail(access.Unavailable, "bad-state", "the state file of the witness cannot be used").Because(why).Wrap(err)
}

// put remembers what there is to remember of a log, on the disk before it
// returns; after an error the memory is as it was.
func (s *state) put(origin string, now seen) error {
	next := make(map[string]seen, len(s.logs)+1)
	for o, v := range s.logs {
		next[o] = v
	}
	next[origin] = now
	if err := s.write(next); err != nil {
		return err
	}
	s.logs = next
	return nil
}

func (s *state) write(logs map[string]seen) error {
	text, err := json.MarshalIndent(stateFile{stateFormat, logs}, "", "  ")
	if err != nil {
		return stateError("it cannot be encoded", err)
	}
	if err := wholefile.Write(s.path, append(text, '\n')); err != nil {
		return stateError("it cannot be written", err)
	}
	return nil
}

func (s *state) close() error { return s.lock.Close() } // which gives the lock back

// newest is the checkpoint that was signed last; size 0 when none was.
func (s seen) newest(origin, verifierKeys string) (audit.Checkpoint, error) {
	if s.Checkpoint == "" {
		return audit.Checkpoint{Origin: origin, Root: audit.Tree{}.Root()}, nil
	}
	c, _, err := audit.OpenWitnessed([]byte(s.Checkpoint), verifierKeys, nil)
	return c, err
}
