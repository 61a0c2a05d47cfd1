package recording

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"stint/internal/wholefile"
)

// A spool's log is what makes many recordings durable with one sync. What is written to a
// recording's file is written here, too, and only here is waited for the disk. It has two
// halves, written to their full size beforehand so that a sync has nothing to allocate and a
// full disk does not stop it. When one is full, the recordings that have something in it are
// synced themselves, in the background, and it is erased. After a crash the log is
// written into the recordings once more, which changes nothing where it got there.
//
// A half is: magic 8, zeros up to 512, entries. An entry is
//
//	length 4 · crc 4 · generation 8 · offset 8 · n 1 · name n · data
//
// length is of what follows the crc, and the crc (Castagnoli) of length and what follows. Each use
// of a half has a generation, greater than all before. The first entry that is not whole or of
// another generation than the first ends it.
const (
	logMagic  = "STINTW1\n"
	logStart  = 512
	entryHead = 8
	entryMin  = 8 + 8 + 1

	// DefaultLog is the size of each half.
	DefaultLog = 16 << 20
	minLog     = 4 << 20 // two entries of the largest chunk with seals

	// manyFiles are synced with their whole disk: one commit of the file system instead of as many
	// as there are files, for which the log's own syncs would wait.
	manyFiles = 32

	// maxBatch is what one write takes at most, if more than one entry is in it.
	maxBatch = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendEntry(b []byte, generation uint64, name string, offset int64, data []byte) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(entryMin+len(name)+len(data)))
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, generation)
	b = binary.BigEndian.AppendUint64(b, uint64(offset))
	b = append(b, byte(len(name)))
	b = append(b, name...)
	b = append(b, data...)
	binary.BigEndian.PutUint32(b[start+4:], entrySum(b[start:]))
	return b
}

func entrySum(entry []byte) uint32 {
	return crc32.Update(crc32.Checksum(entry[:4], castagnoli), castagnoli, entry[entryHead:])
}

type entry struct {
	generation uint64
	offset     int64
	name       string
	data       []byte
}

// decodeEntries reads a half, as far as it is whole.
func decodeEntries(b []byte) (es []entry) {
	if len(b) < logStart || string(b[:len(logMagic)]) != logMagic {
		return nil
	}
	for b = b[logStart:]; len(b) >= entryHead+entryMin; {
		n := int64(binary.BigEndian.Uint32(b))
		if n < entryMin || n > int64(len(b)-entryHead) {
			break
		}
		raw := b[:entryHead+n]
		if binary.BigEndian.Uint32(raw[4:]) != entrySum(raw) {
			break
		}
		e := entry{generation: binary.BigEndian.Uint64(raw[8:]), offset: int64(binary.BigEndian.Uint64(raw[16:]))}
		at := 25 + int(raw[24])
		if at > len(raw) || e.offset < 0 {
			break
		}
		e.name, e.data = string(raw[25:at]), raw[at:]
		if !ValidName(e.name) || len(es) > 0 && es[0].generation != e.generation {
			break
		}
		es = append(es, e)
		b = b[len(raw):]
	}
	return es
}

// half is one of the two files of a log.
type half struct {
	file       file
	generation uint64
	at         int64
	touched    map[*Writer]struct{} // who has something in it
	free       chan struct{}        // closed when nothing in it is needed any more
}

// log belongs to the spool's loop, but for what mu guards.
type log struct {
	dir     string
	folder  *os.File // dir, open from the beginning, so that no error of the disk is missed
	size    int64
	halves  [2]*half
	current int
	batch   []byte

	mu     sync.Mutex
	erased uint64 // the generation up to which nothing is in the log any more
	failed error
}

// makeLog replaces what log there is. Everything in it must be in the recordings, and durable.
func makeLog(dir string, size int64, generation uint64, fault fault) (*log, error) {
	l := &log{dir: dir, size: size, erased: generation}
	var err error
	if l.folder, err = os.Open(dir); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	close(done)
	for i, path := range logPaths(dir) {
		err := wholefile.Replace(path, func(f *os.File) error {
			zeros := make([]byte, 256<<10)
			copy(zeros, logMagic)
			for at := int64(0); at < l.size; at += int64(len(zeros)) { // written, so that the blocks are ours
				if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), l.size-at)], at); err != nil {
					return err
				}
				clear(zeros[:len(logMagic)])
			}
			return nil
		})
		if err != nil {
			return nil, l.closeWith(err)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, l.closeWith(err)
		}
		l.halves[i] = &half{file: file{f, fault}, at: logStart, touched: map[*Writer]struct{}{}, free: done}
	}
	l.halves[0].generation = generation + 1
	return l, nil
}

func logPaths(dir string) [2]string {
	return [2]string{filepath.Join(dir, "log.0"), filepath.Join(dir, "log.1")}
}

// add puts an entry into the batch. full says that the batch must be committed first.
func (l *log) add(w *Writer, offset int64, data []byte) (full bool) {
	h := l.halves[l.current]
	need := entryHead + entryMin + len(w.name) + len(data)
	if len(l.batch) > 0 && (len(l.batch)+need > maxBatch || h.at+int64(len(l.batch)+need) > l.size) {
		return true
	}
	if h.at+int64(need) > l.size {
		l.turn()
		h = l.halves[l.current]
	}
	l.batch = appendEntry(l.batch, h.generation, w.name, offset, data)
	h.touched[w] = struct{}{}
	w.generation.Store(h.generation)
	return false
}

// commit makes the batch durable.
func (l *log) commit() error {
	if len(l.batch) == 0 {
		return nil
	}
	h := l.halves[l.current]
	err := l.trouble()
	if err == nil {
		err = h.file.write(l.batch, h.at)
	}
	if err == nil {
		err = h.file.sync()
	}
	h.at += int64(len(l.batch))
	l.batch = l.batch[:0]
	return err
}

func (l *log) trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// turn goes over to the other half, and has this one erased.
func (l *log) turn() {
	old, next := l.halves[l.current], l.halves[1-l.current]
	<-next.free
	old.free = make(chan struct{})
	go l.erase(old, old.free)
	next.generation, next.at = old.generation+1, logStart
	l.current = 1 - l.current
}

// erase makes durable where it belongs what a half holds, and then forgets it there. Where
// that fails, it is kept for the next start, and the log takes nothing any more.
func (l *log) erase(h *half, done chan<- struct{}) {
	defer close(done)
	err := l.trouble()
	if err == nil {
		err = l.syncTouched(h.touched)
	}
	if err == nil {
		err = wholefile.SyncFolder(l.dir) // the names of new recordings
	}
	if err == nil {
		err = h.file.write(make([]byte, entryHead+entryMin), logStart)
	}
	if err == nil {
		err = h.file.sync()
	}
	clear(h.touched)
	if err != nil {
		l.fail(err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erased = h.generation
}

func (l *log) syncTouched(touched map[*Writer]struct{}) error {
	if len(touched) > manyFiles {
		if err := syncAll(l.folder); !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	for w := range touched {
		if err := w.syncFile(); err != nil {
			return err
		}
	}
	return nil
}

// erasedUpTo is the generation up to which nothing is in the log any more.
func (l *log) erasedUpTo() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.erased
}

// fail has the log take nothing any more; what is in it stays for the next start.
func (l *log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
}

// close erases both halves.
func (l *log) close() error {
	err := l.commit()
	l.turn()
	l.turn()
	for _, h := range l.halves {
		<-h.free
	}
	if e := l.trouble(); err == nil {
		err = e
	}
	return l.closeWith(err)
}

func (l *log) closeWith(err error) error {
	if e := l.folder.Close(); err == nil {
		err = e
	}
	for _, h := range l.halves {
		if h != nil {
			if e := h.file.Close(); err == nil {
				err = e
			}
		}
	}
	return err
}
