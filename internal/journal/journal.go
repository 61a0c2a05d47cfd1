package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"stint/internal/wholefile"
)

// DefaultSize holds some 20,000 removals.
const DefaultSize = 8 << 20

// MinSize is the smallest size that is of use.
const MinSize = 64 << 10

// The reasons why a record is in memory only.
var (
	ErrFull   = errors.New("the journal is full")
	ErrFailed = errors.New("the journal has no file that can be written")
)

// ErrBusy says that another process uses the journal.
var ErrBusy = errors.New("another process uses it")

// disk is the open file; a test puts one in its place that fails.
type disk interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	Sync() error
	Close() error
}

// Journal is one file and what it holds. It is safe for concurrent use.
type Journal struct {
	path string
	size int64

	mu      sync.Mutex // guards everything below
	lock    *os.File   // held for as long as the journal is in use; nil while it cannot be had
	begun   bool       // what stands at the path was read, or nothing did: it may be replaced
	damage  string     // what is wrong with what was read, which is set aside before
	aside   string     // where that is; empty until then
	closed  bool
	file    disk  // nil when there is none that can be written
	failed  error // why there is none
	head    head
	end     int64    // where the next record goes
	records []record // those not forgotten, oldest first; head.first is the first's number
	bytes   int64    // of their bodies
	lost    int64    // records that did not even fit into memory
}

// record is one that was not forgotten. end is where it ends in the file, 0 when
// it is in memory only.
type record struct {
	body []byte
	end  int64
}

// Open opens the journal at path, or makes it. It fails only with ErrBusy, and for a
// size that is of no use: who cannot keep a record must still be able to end access.
// A disk that does not take or give it now, and a file of somebody else that stands
// there, give a journal that works in memory; Status says so, and Mend tries again.
// A damaged one is set aside, and what is whole of it kept.
func Open(path string, size int64) (*Journal, error) {
	if size < MinSize {
		return nil, fmt.Errorf("a journal of %d bytes is too small; it needs %d", size, MinSize)
	}
	j := &Journal{path: path, size: size, head: newHead()}
	if err := j.begin(); errors.Is(err, ErrBusy) {
		return nil, fmt.Errorf("the journal %s: %w", path, err)
	} else if err != nil {
		j.failed = err
	}
	return j, nil
}

func newHead() head {
	h := head{first: 1, start: dataStart}
	rand.Read(h.id[:]) // never fails
	return h
}

// begin takes the lock and reads what stands at the path. It can be called again
// after an error.
func (j *Journal) begin() error {
	if j.lock == nil {
		if err := j.takeLock(); err != nil {
			return err
		}
	}
	if _, err := os.Stat(j.path); len(j.records) > 0 && !errors.Is(err, fs.ErrNotExist) {
		return j.failed // both would be counted from where they begin: these are merged first
	}
	return j.load()
}

// takeLock keeps a second process from the journal. The lock is on the folder's
// name for it and not on the file, which Mend replaces.
func (j *Journal) takeLock() error {
	f, err := os.OpenFile(j.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if onlyReadable(err) {
		f, err = os.Open(j.path + ".lock")
	}
	if err != nil {
		return fmt.Errorf("the journal's lock: %w", err)
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return errors.Join(ErrBusy, f.Close())
	case err != nil:
		return errors.Join(fmt.Errorf("the journal's lock: %w", err), f.Close())
	}
	j.lock = f
	return nil
}

func onlyReadable(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// load reads the file that is there, or makes one. A file that can be read and not
// written gives its records.
func (j *Journal) load() error {
	f, c, err := read(j.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		j.begun = true
		return j.make()
	case f == nil:
		return fmt.Errorf("the file %s: %w", j.path, err)
	}
	info, no := f.Stat()
	if no != nil {
		return errors.Join(no, f.Close())
	}
	if c.head.first > 0 { // else not even a head is whole, and there is a new one
		j.head = c.head
	}
	j.begun, j.records, j.end, j.damage = true, c.records, c.end, c.damage
	for _, r := range j.records {
		j.bytes += int64(len(r.body))
	}
	switch {
	case err != nil: // to write
		return errors.Join(err, f.Close())
	case j.damage != "":
		return errors.Join(j.make(), f.Close())
	}
	j.file, j.failed = f, nil
	if info.Size() != j.size { // the setting was changed
		if err := j.make(); err != nil {
			j.size = info.Size() // as it is, it serves too
		}
	}
	return nil
}

// read opens and reads a file. With a file and an error it can be read, and not
// written.
func read(path string) (f *os.File, c content, err error) {
	if info, err := os.Stat(path); err != nil {
		return nil, c, err
	} else if !info.Mode().IsRegular() { // to open a pipe could take for ever
		return nil, c, errForeign
	}
	f, no := os.OpenFile(path, os.O_RDWR, 0)
	if onlyReadable(no) {
		f, err = os.Open(path)
	} else {
		err = no
	}
	if err != nil {
		return nil, c, err
	}
	if c, err = readAll(f); err != nil {
		return nil, c, errors.Join(err, f.Close())
	}
	return f, c, no
}

// maxSize is more than a journal ever is.
const maxSize = 1 << 30

func readAll(f *os.File) (content, error) {
	heads := make([]byte, otherHead+headSize)
	n, err := f.ReadAt(heads, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return content{}, err
	}
	if _, err := parse(heads[:n]); err != nil { // whatever it is, it need not be read
		return content{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return content{}, err
	}
	if info.Size() > maxSize {
		return content{}, errForeign
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size()), data); err != nil {
		return content{}, err
	}
	return parse(data)
}

// Examine says what is wrong with the file at path, without touching it; nil where
// there is none.
func Examine(path string) error {
	f, c, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if f != nil {
		_ = f.Close() // nothing was written
	}
	if err == nil && c.damage != "" {
		err = errors.New(c.damage)
	}
	return err
}

// setAside gives a damaged file another name, before a new one takes its place.
func (j *Journal) setAside() error {
	if j.damage == "" || j.aside != "" {
		return nil
	}
	aside := fmt.Sprintf("%s.damaged-%d", j.path, time.Now().UnixMilli())
	if err := os.Link(j.path, aside); err != nil { // so that there is a journal at every moment
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := os.Rename(j.path, aside); errors.Is(err, fs.ErrNotExist) {
			return nil // somebody has taken it away: there is nothing to keep
		} else if err != nil {
			return err
		}
	}
	j.aside = aside
	return nil
}

// make writes a new file of full size, with what was not forgotten, and puts it
// in the place of the old one.
func (j *Journal) make() (err error) {
	next := j.head
	next.generation++
	next.start = dataStart
	records := make([]record, len(j.records))
	data := make([]byte, 0, dataStart)
	for i, r := range j.records {
		data = appendRecord(data, next.first+uint64(i), r.body)
		records[i] = record{body: r.body, end: dataStart + int64(len(data))}
	}
	if dataStart+int64(len(data)) > j.size {
		return ErrFull
	}
	f, err := os.OpenFile(j.path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(j.path+".new"))
		}
	}()
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < j.size; at += int64(len(zeros)) { // written, so that the blocks are ours
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), j.size-at)], at); err != nil {
			return err
		}
	}
	if _, err := f.WriteAt(data, dataStart); err != nil {
		return err
	}
	if _, err := f.WriteAt(next.encode(), next.at()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := j.setAside(); err != nil {
		return err
	}
	if err := os.Rename(j.path+".new", j.path); err != nil {
		return err
	}
	if err := wholefile.SyncFolder(filepath.Dir(j.path)); err != nil {
		return err
	}
	if j.file != nil {
		_ = j.file.Close() // nothing of it counts any more
	}
	j.file, j.failed, j.head, j.records = f, nil, next, records
	j.end = dataStart + int64(len(data))
	return nil
}

// ID names the journal, for as long as its file is not deleted.
func (j *Journal) ID() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return hex.EncodeToString(j.head.id[:])
}

// Write adds records. nil: they are on disk. ErrFull and ErrFailed: they are in
// memory, and will be merged unless the process ends before.
func (j *Journal) Write(bodies ...[]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var data []byte
	fresh := make([]record, 0, len(bodies))
	for _, body := range bodies {
		if j.bytes+int64(len(body)) > j.size {
			j.lost++
			continue
		}
		data = appendRecord(data, j.head.first+uint64(len(j.records)+len(fresh)), body)
		fresh = append(fresh, record{body: body, end: j.end + int64(len(data))})
		j.bytes += int64(len(body))
	}
	err := j.put(data)
	if err != nil {
		for i := range fresh {
			fresh[i].end = 0
		}
	}
	j.records = append(j.records, fresh...)
	if err == nil && len(fresh) < len(bodies) {
		return ErrFull
	}
	return err
}

// put writes behind the last record. Once a record is in memory only, all later
// ones are: their numbers follow its.
func (j *Journal) put(data []byte) error {
	switch {
	case j.file == nil:
		return errors.Join(ErrFailed, j.failed)
	case len(j.records) > 0 && j.records[len(j.records)-1].end == 0, j.end+int64(len(data)) > j.size:
		return ErrFull
	}
	room := min(j.size-j.end-int64(len(data)), recordHead)
	// Zeros behind the last record part it from what an earlier turn left there.
	_, err := j.file.WriteAt(append(data[:len(data):len(data)], make([]byte, room)...), j.end)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return j.fail(err)
	}
	j.end += int64(len(data))
	return nil
}

// fail gives the file up.
func (j *Journal) fail(cause error) error {
	j.failed = cause
	_ = j.file.Close() // it is of no use any more
	j.file = nil
	return errors.Join(ErrFailed, cause)
}

// Entries are the oldest records that were not forgotten, up to limit, and the
// number of the first.
func (j *Journal) Entries(limit int) (first uint64, bodies [][]byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range j.records[:min(limit, len(j.records))] {
		bodies = append(bodies, r.body)
	}
	return j.head.first, bodies
}

// Forget drops the records up to a number, which stand elsewhere by now. If that
// does not get to the disk, they come back after a restart.
func (j *Journal) Forget(through uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if through < j.head.first || len(j.records) == 0 {
		return nil
	}
	n := min(int(through-j.head.first)+1, len(j.records))
	last := j.records[n-1]
	for _, r := range j.records[:n] {
		j.bytes -= int64(len(r.body))
	}
	j.records = append([]record(nil), j.records[n:]...)
	j.head.first += uint64(n)
	j.head.generation++
	j.head.start = last.end
	inMemory := last.end == 0 || len(j.records) > 0 && j.records[len(j.records)-1].end == 0
	if len(j.records) == 0 {
		j.head.start, j.end = dataStart, dataStart
	}
	switch {
	case j.file == nil:
		return errors.Join(ErrFailed, j.failed)
	case inMemory && len(j.records) > 0: // there is room again
		return j.make()
	}
	_, err := j.file.WriteAt(j.head.encode(), j.head.at())
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return j.fail(err)
	}
	return nil
}

// Mend makes a new file where the old one failed or never was; nil when there is
// nothing to mend. What was not read is never replaced.
func (j *Journal) Mend() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file != nil || j.closed {
		return nil
	}
	if j.begun {
		err = j.make()
	} else {
		err = j.begin()
	}
	if err != nil {
		j.failed = err
	}
	return err
}

// Status is how the journal is.
type Status struct {
	Waiting int    // records that were not forgotten
	Lost    int64  // records that there was no room for, since the start
	Used    int64  // bytes
	Size    int64  // bytes
	Failed  error  // why records are in memory only; nil when they go to disk
	Damage  string // what was wrong with the file that was found; empty: nothing
	Aside   string // where that file is now
}

// Status tells how the journal is.
func (j *Journal) Status() Status {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Status{Waiting: len(j.records), Lost: j.lost, Used: j.bytes, Size: j.size, Failed: j.failed, Damage: j.damage, Aside: j.aside}
	if s.Failed == nil && len(j.records) > 0 && j.records[len(j.records)-1].end == 0 {
		s.Failed = ErrFull
	}
	return s
}

// Close lets the journal go. What was not forgotten and is on disk stays there.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	var err error
	if j.lock != nil {
		err = j.lock.Close()
	}
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
	}
	j.closed, j.lock, j.file, j.failed = true, nil, nil, errors.New("it is closed")
	return err
}

// Waiting is how many records were not forgotten, and why they would not survive
// the process, if they would not.
func (j *Journal) Waiting() (records int, failed error) {
	s := j.Status()
	return s.Waiting, s.Failed
}
