package recording

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"stint/internal/wholefile"
)

const (
	// flushAfter and sealAfter, and a look every beat, keep what a crash can take below a second.
	beat       = 200 * time.Millisecond
	flushAfter = 400 * time.Millisecond // a record in normal mode
	sealAfter  = 700 * time.Millisecond // a chunk without a seal

	// A chunk of at least bulk bytes is synced in its own file instead of in the log: it is
	// written once, and does not make others wait.
	bulk     = 96 << 10
	maxBulks = 4

	// What may wait for the disk: of one recording, and of all before each may have only a little.
	backlog      = 512 << 10
	littleLog    = 32 << 10
	totalBacklog = 64 << 20

	partSuffix = ".part" // being written
	fileSuffix = ".rec"  // ended
	goneSuffix = ".gone" // removed
)

// Spool is the folder in which a gateway writes recordings. It is safe for concurrent use.
type Spool struct {
	dir    string
	sealer *Sealer
	to     Recipient
	fault  fault
	lock   *os.File
	log    *log // of the loop
	total  atomic.Int64
	wake   chan struct{}
	stop   chan struct{}
	done   chan struct{}
	bulks  chan struct{} // one of maxBulks
	work   sync.WaitGroup
	ended  chan *Writer

	mu      sync.Mutex // guards everything below; a Writer's mu may be held when it is taken, never the other way round
	queue   []*Writer  // have something for the loop
	due     map[*Writer]time.Time
	writers map[string]*Writer
	ends    map[string]uint64 // of recordings that ended: the last generation of the log that has something of them
	gone    []string          // removed, but for what the log has of them
	failed  error
	closed  bool
}

// Options are of a Spool. Sealer and Recipient are required.
type Options struct {
	Sealer    *Sealer
	Recipient Recipient
	LogSize   int64 // of each half of the log; 0: DefaultLog

	fault fault
}

// Recovered is a recording that its writer did not live to end.
type Recovered struct {
	Name    string
	Anchor  Anchor // of no frames: nothing was in it, and it was removed
	Cut     int64  // bytes behind the last whole frame, which nobody was told were kept
	Damaged uint64 // the first frame that is not whole and has whole ones behind it; 0: none
	Err     error  // why it could not be mended; it is left as it is
}

// OpenSpool opens the spool in a folder, which is made if it is not there. What an earlier process
// left is ended: cut to the last whole frame, and sealed.
func OpenSpool(dir string, o Options) (*Spool, []Recovered, error) {
	if o.Sealer == nil || o.Recipient.public == nil {
		return nil, nil, errors.New("a spool of recordings needs a sealer and a recipient")
	}
	if o.LogSize == 0 {
		o.LogSize = DefaultLog
	}
	if o.LogSize < minLog {
		return nil, nil, fmt.Errorf("a log of %d bytes is too small for recordings; it needs %d", o.LogSize, minLog)
	}
	s := &Spool{dir: dir, sealer: o.Sealer, to: o.Recipient, fault: o.fault, wake: make(chan struct{}, 1), stop: make(chan struct{}),
		done: make(chan struct{}), bulks: make(chan struct{}, maxBulks), ended: make(chan *Writer, 256),
		due: map[*Writer]time.Time{}, writers: map[string]*Writer{}, ends: map[string]uint64{}}
	recovered, err := s.open(o.LogSize)
	if err != nil {
		if s.lock != nil {
			_ = s.lock.Close() // nothing was written to it
		}
		return nil, nil, &Error{Message: "cannot open the folder of recordings " + dir, Cause: err,
			Next: "check the folder, its owner and its disk; nobody gets a session that must be recorded before"}
	}
	s.work.Add(1)
	go s.finish()
	go s.run()
	return s, recovered, nil
}

func (s *Spool) open(size int64) ([]Recovered, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s.lock = lock
	switch err := lockFile(lock, lockExclusive|lockAtOnce); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, ErrBusy
	case err != nil:
		return nil, err
	}
	recovered, generation, err := s.recover()
	if err != nil {
		return nil, err
	}
	s.log, err = makeLog(s.dir, size, generation, s.fault)
	if err != nil {
		return nil, err
	}
	return recovered, errors.Join(s.sweep(), wholefile.SyncFolder(s.dir))
}

func (s *Spool) part(name string) string  { return filepath.Join(s.dir, name+partSuffix) }
func (s *Spool) path(name string) string  { return filepath.Join(s.dir, name+fileSuffix) }
func (s *Spool) goner(name string) string { return filepath.Join(s.dir, name+goneSuffix) }

// Mode says when a record counts as written.
type Mode byte

const (
	Strict Mode = 0 // when it is on the disk
	Normal Mode = 1 // at once; it is on the disk within a second
)

// New begins a recording of that name. Its first record should be a Start.
func (s *Spool) New(name string, mode Mode) (*Writer, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("a recording cannot have the name %q: 1 to %d letters, digits, hyphens and underscores", name, maxName)
	}
	if mode != Strict && mode != Normal {
		return nil, fmt.Errorf("a recording has no mode %d", mode)
	}
	began := time.Now()
	h, aead, err := newHead(name, began, s.to)
	if err != nil {
		return nil, err
	}
	w := &Writer{spool: s, name: name, mode: mode, began: began, id: h.id, aead: aead, failure: make(chan struct{})}
	s.mu.Lock()
	switch {
	case s.closed:
		err = ErrClosed
	case s.failed != nil:
		err = s.failed
	case s.writers[name] != nil:
		err = ErrExists
	default:
		s.writers[name] = w
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := w.create(h.encode()); err != nil {
		s.forget(w)
		if errors.Is(err, ErrExists) {
			return nil, err
		}
		return nil, cannotRecord(name, err)
	}
	return w, nil
}

func (s *Spool) forget(w *Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writers, w.name)
	delete(s.due, w)
}

// Get gives the recording of that name that is being written.
func (s *Spool) Get(name string) (*Writer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.writers[name]
	return w, w != nil
}

// push has the loop look at a writer. The writer's mu is held.
func (s *Spool) push(w *Writer) {
	s.mu.Lock()
	s.queue = append(s.queue, w)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// later has the loop look at a writer within d, if nothing earlier is due.
func (s *Spool) later(w *Writer, d time.Duration) {
	at := time.Now().Add(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.due[w]; !ok || at.Before(was) {
		s.due[w] = at
	}
}

// run is the loop that writes. All that waits while a sync takes its time shares the next one.
func (s *Spool) run() {
	defer close(s.done)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	next := time.Now().Add(beat)
	for {
		stopping := false
		select {
		case <-s.wake:
		case <-tick.C:
		case <-s.stop:
			stopping = true
		}
		now := time.Now()
		if stopping || !now.Before(next) {
			s.pushDue(now, stopping)
			s.clean()
			next = now.Add(beat)
		}
		s.round(now)
		if stopping {
			return
		}
	}
}

func (s *Spool) pushDue(now time.Time, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w, at := range s.due {
		if all || !at.After(now) {
			s.queue = append(s.queue, w)
			delete(s.due, w)
		}
	}
}

// round makes durable what waits.
func (s *Spool) round(now time.Time) {
	s.mu.Lock()
	list := s.queue
	s.queue = nil
	s.mu.Unlock()
	var flushed []*flush
	commit := func() {
		err := s.log.commit()
		if err != nil {
			s.fail(err)
		}
		for _, f := range flushed {
			f.w.flushed(f, err)
		}
		flushed = flushed[:0]
	}
	for _, w := range list {
		f := w.take(now)
		if f == nil {
			continue
		}
		if len(f.plain.b) >= bulk && w.logged && s.startBulk(f) {
			continue
		}
		at, frames, err := w.write(f)
		if err != nil {
			w.flushed(f, err)
			continue
		}
		for s.log.add(w, at, frames) {
			commit()
		}
		giveBack(frames)
		flushed = append(flushed, f)
	}
	commit()
}

// startBulk syncs a large chunk by itself, if not too many do already.
func (s *Spool) startBulk(f *flush) bool {
	select {
	case s.bulks <- struct{}{}:
	default:
		return false
	}
	s.work.Add(1)
	go func() {
		defer s.work.Done()
		_, frames, err := f.w.write(f)
		giveBack(frames)
		if err == nil {
			err = f.w.file.sync()
		}
		<-s.bulks
		f.w.flushed(f, err)
	}()
	return true
}

// fail gives all up: the log could not be written, so nothing of what is in memory can be
// promised to anybody.
func (s *Spool) fail(cause error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = &Error{Message: "sessions cannot be recorded", Why: reason(cause) + " that holds " + s.dir, Cause: cause,
			Next: "mend the disk of the gateway's recordings, and restart the gateway"}
	}
	all := make([]*Writer, 0, len(s.writers))
	for _, w := range s.writers {
		all = append(all, w)
	}
	s.mu.Unlock()
	for _, w := range all {
		w.fail(cannotRecord(w.name, cause))
	}
}

// Err is why no recording can be begun; nil if one can.
func (s *Spool) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.failed
}

// over lets go of a recording that ended or failed. Neither lock is held.
func (s *Spool) over(w *Writer) {
	w.mu.Lock()
	whole := w.ended || w.cut
	w.mu.Unlock()
	if whole {
		s.ended <- w
		return
	}
	_ = w.shutFile() // it has failed already
	s.forget(w)
}

// finish syncs, names and closes the files of recordings that ended.
func (s *Spool) finish() {
	defer s.work.Done()
	for w := range s.ended {
		err := w.finish()
		s.mu.Lock()
		if erased := s.log.erasedUpTo(); len(s.ends) > 1000 {
			maps.DeleteFunc(s.ends, func(_ string, g uint64) bool { return g <= erased })
		}
		s.ends[w.name] = w.generation.Load()
		s.mu.Unlock()
		s.forget(w)
		if err != nil { // the log has it, and the next start of the spool puts it right
			s.log.fail(err)
		}
	}
}

// Finished are the names of the recordings here that ended, in their order.
func (s *Spool) Finished() ([]string, error) {
	list, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("look for recordings that ended: %w", err)
	}
	var names []string
	for _, e := range list {
		if name, ok := strings.CutSuffix(e.Name(), fileSuffix); ok && ValidName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// OpenFile opens a recording of the spool for reading, also one that is being written.
func (s *Spool) OpenFile(name string) (*os.File, error) {
	if !ValidName(name) {
		return nil, ErrNotFound
	}
	for _, path := range []string{s.path(name), s.part(name), s.path(name)} { // it may end meanwhile
		f, err := os.Open(path)
		if !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
	return nil, ErrNotFound
}

// Remove removes a recording that ended. It is for who has it elsewhere: see Ship. As long as the
// log still has something of it, from which it would come back after a crash, it only has
// another name.
func (s *Spool) Remove(name string) error {
	if !ValidName(name) {
		return ErrNotFound
	}
	err := os.Rename(s.path(name), s.goner(name))
	if errors.Is(err, os.ErrNotExist) {
		return ErrNotFound
	} else if err != nil {
		return fmt.Errorf("remove the recording %s: %w", name, err)
	}
	if err := wholefile.SyncFolder(s.dir); err != nil {
		return fmt.Errorf("remove the recording %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, name)
	return nil
}

// clean removes what was removed, once the log has nothing of it.
func (s *Spool) clean() {
	erased := s.log.erasedUpTo()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = slices.DeleteFunc(s.gone, func(name string) bool {
		if s.ends[name] > erased {
			return false
		}
		delete(s.ends, name)
		return os.Remove(s.goner(name)) == nil // or sweep does, at the next start
	})
}

// sweep removes what an earlier process had no time to.
func (s *Spool) sweep() error {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"+goneSuffix))
	for _, path := range paths {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// Close ends what is still being written, as broken, and lets the folder go.
func (s *Spool) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	all := make([]*Writer, 0, len(s.writers))
	for _, w := range s.writers {
		all = append(all, w)
	}
	s.mu.Unlock()
	var err error
	for _, w := range all {
		if e := w.end(ctx, Broken, "the gateway stopped"); e != nil && !errors.Is(e, ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	close(s.stop)
	<-s.done
	for range maxBulks {
		s.bulks <- struct{}{}
	}
	close(s.ended)
	s.work.Wait()
	return errors.Join(err, s.log.close(), s.lock.Close())
}
