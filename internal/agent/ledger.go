package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"stint/internal/access"
	"stint/internal/envelope"
	"stint/internal/roster"
	"stint/internal/wholefile"
)

// state is how far an entry has come.
type state string

const (
	intended state = "intended" // about to be made, or perhaps made
	made     state = "made"
	removed  state = "removed" // a tombstone: never again
)

// entry is one privilege that the agent was told to make.
type entry struct {
	Tag        access.Tag        `json:"tag"`
	State      state             `json:"state"`
	Order      envelope.Order    `json:"order"`
	Connection map[string]string `json:"connection,omitempty"` // its options
	Claim      envelope.Claim    `json:"claim"`
	End        deadline          `json:"end"`
	// Sooner is the end as it was fixed later than the order: it counts while the control
	// plane, which would end it then, is not there. Nil before it is known.
	Sooner *deadline `json:"sooner,omitempty"`
	// Alone is when the agent ended it by its own clock, until the control plane has heard
	// of it.
	Alone time.Time `json:"alone,omitzero"`
	// Begun is when it was made first, and Until the latest end that was shown to this
	// host for it; both only where the host has a roster.
	Begun time.Time `json:"begun,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Recordings is the public key to which commands under the order are recorded.
	Recordings []byte `json:"recordings,omitempty"`
	// Keep is until when a tombstone stays.
	Keep time.Time `json:"keep,omitzero"`
}

func (e entry) live() bool { return e.State != removed }

// Bounds of the ledger. What is over them is refused when it would make access.
const (
	maxEntries = 50_000
	maxSeen    = 200_000
	maxLine    = 1 << 20
	maxClaims  = 64
	maxUses    = 50_000
	// tombstoneMargin is how much longer than the order itself a tombstone lives: any
	// call that could bring it back has ended by then.
	tombstoneMargin = envelope.MaxLife + 2*envelope.MaxSkew
	// tellFor is how long it is remembered that something ended alone, for a control plane
	// that is not there.
	tellFor = 30 * 24 * time.Hour
	// compactAfter is how many lines of no use are kept.
	compactAfter = 4096
)

// line is one record of the file: a checksum in hex, a space, and this in JSON.
type line struct {
	Entry *entry    `json:"entry,omitempty"`
	Seen  []string  `json:"seen,omitempty"` // ids of calls
	Until time.Time `json:"until,omitzero"` // for how long to remember them
	Epoch int64     `json:"epoch,omitempty"`
	// Claim is one that the installation made here, and so is genuine.
	Claim *envelope.Claim `json:"claim,omitempty"`
	// Use is something that was shown, which is good for nothing else after that.
	Use *roster.Use `json:"use,omitempty"`
	At  time.Time   `json:"at,omitzero"` // the wall clock when it was written
}

// Ledger is what the agent must not forget, in one file to which lines are added. It
// is safe for concurrent use.
type Ledger struct {
	path  string
	clock Clock
	lock  *os.File
	queue chan note
	done  chan struct{}

	mu      sync.Mutex // guards what follows; never held while the disk is written
	entries map[access.Tag]entry
	seen    map[string]time.Time
	epoch   int64
	claims  []envelope.Claim // the latest last
	uses    []roster.Use
	mark    time.Time     // the latest wall clock that was written
	markUp  time.Duration // how long the host was up when it was written, or read
	lines   int           // in the file
	damage  []string      // what could not be read at the start
	failed  error         // of the last write; nil when it was good
}

// note is lines on their way to the disk.
type note struct {
	text  []byte
	lines int
	done  chan error
}

// ErrRunning says that another agent has the ledger.
var ErrRunning = errors.New("another stint-agent runs on this host")

// lookAtMost bounds how long who only looks whether an agent runs may hold the lock.
const lookAtMost = time.Second

// lockLedger takes the lock beside the ledger as flock(2) says, or says ErrRunning.
func lockLedger(path string, how int) (*os.File, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the ledger's lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), how|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrRunning
		}
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Running says whether an agent has the ledger. An agent that starts at the same moment
// is not kept from it: OpenLedger waits for who only looks.
func Running(path string) (bool, error) {
	lock, err := lockLedger(path, syscall.LOCK_SH)
	if errors.Is(err, ErrRunning) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, lock.Close()
}

// OpenLedger opens the ledger, or makes it. What of a damaged one can be read is used.
func OpenLedger(path string, clock Clock) (*Ledger, error) {
	lock, err := lockLedger(path, syscall.LOCK_EX)
	for began := time.Now(); errors.Is(err, ErrRunning) && time.Since(began) < lookAtMost; {
		time.Sleep(10 * time.Millisecond)
		lock, err = lockLedger(path, syscall.LOCK_EX)
	}
	if err != nil {
		return nil, err
	}
	l := newLedger(path, clock)
	l.lock = lock
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("read the ledger: %w", err), lock.Close())
	}
	l.read(text)
	if len(l.damage) > 0 { // it is replaced: keep what it was
		if err := wholefile.Write(path+".damaged", text); err != nil {
			return nil, errors.Join(fmt.Errorf("set the damaged ledger aside: %w", err), lock.Close())
		}
	}
	go l.write()
	return l, nil
}

func newLedger(path string, clock Clock) *Ledger {
	return &Ledger{path: path, clock: clock, queue: make(chan note, 256), done: make(chan struct{}),
		entries: map[access.Tag]entry{}, seen: map[string]time.Time{}}
}

// ReadLedger reads the ledger of an agent that may be running, to look at.
func ReadLedger(path string, clock Clock) (*Ledger, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	l := newLedger(path, clock)
	l.read(text)
	return l, nil
}

// Close lets go of the ledger, when everything that was put is on the disk.
func (l *Ledger) Close() error {
	close(l.queue)
	<-l.done
	return l.lock.Close()
}

// read takes what is whole. The last line may have been cut short by a crash, before
// anybody was told that it is kept.
func (l *Ledger) read(text []byte) {
	r := bufio.NewReaderSize(bytes.NewReader(text), maxLine)
	for n := 1; ; n++ {
		raw, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			l.damage = append(l.damage, fmt.Sprintf("line %d is too long", n))
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
			if err != nil {
				return
			}
			continue
		}
		if err != nil {
			return // io.EOF: what is left has no end of line
		}
		x, ok := parseLine(bytes.TrimSuffix(raw, []byte("\n")))
		if !ok {
			l.damage = append(l.damage, fmt.Sprintf("line %d is not whole", n))
			continue
		}
		l.lines++
		l.apply(x)
	}
}

func parseLine(raw []byte) (line, bool) {
	sum, body, ok := bytes.Cut(raw, []byte(" "))
	var x line
	if !ok || string(sum) != checksum(body) {
		return x, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if d.Decode(&x) != nil {
		return x, false
	}
	_, err := d.Token()
	if x.Entry != nil {
		ok = x.Entry.Tag != "" && slices.Contains([]state{intended, made, removed}, x.Entry.State) && !x.Entry.End.At.IsZero()
	}
	return x, ok && err == io.EOF
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(body []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) }

func encodeLine(x line) ([]byte, error) {
	body, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	text := append([]byte(checksum(body)+" "), body...)
	if len(text) >= maxLine {
		return nil, fmt.Errorf("a record of %d bytes is too large for the ledger", len(text))
	}
	return append(text, '\n'), nil
}

// apply brings memory to where a line says. The caller holds mu, or is alone.
func (l *Ledger) apply(x line) {
	if x.Entry != nil {
		l.entries[x.Entry.Tag] = *x.Entry
	}
	for _, id := range x.Seen {
		l.seen[id] = x.Until
	}
	l.epoch = max(l.epoch, x.Epoch)
	if x.Claim != nil && !slices.Contains(l.claims, *x.Claim) {
		l.claims = append(l.claims, *x.Claim)
		l.claims = l.claims[max(0, len(l.claims)-maxClaims):]
	}
	if x.Use != nil && !slices.ContainsFunc(l.uses, func(u roster.Use) bool { return u.Request == x.Use.Request && u.Key == x.Use.Key }) {
		l.uses = append(l.uses, *x.Use)
	}
	if x.At.After(l.mark) {
		_, up := l.clock.Boot()
		l.mark, l.markUp = x.At, up
	}
}

// put keeps lines: in memory at once, and on the disk when it returns nil. After an
// error memory has them all the same; what must not be begun without the disk is for
// the caller to leave.
func (l *Ledger) put(xs ...line) error {
	var text []byte
	now := l.clock.Wall().UTC()
	for i := range xs {
		xs[i].At = now
		b, err := encodeLine(xs[i])
		if err != nil {
			return err
		}
		text = append(text, b...)
	}
	l.mu.Lock()
	for _, x := range xs {
		l.apply(x)
	}
	l.mu.Unlock()
	n := note{text, len(xs), make(chan error, 1)}
	l.queue <- n
	return <-n.done
}

// write brings to the disk what was put, many at a time with one sync.
func (l *Ledger) write() {
	defer close(l.done)
	var f *os.File
	defer func() {
		if f != nil {
			_ = f.Close() // everything in it was synced
		}
	}()
	for n := range l.queue {
		batch := []note{n}
		for more := true; more && len(batch) < 256; {
			select {
			case next, ok := <-l.queue:
				if more = ok; ok {
					batch = append(batch, next)
				}
			default:
				more = false
			}
		}
		var err error
		if f, err = l.append(f, batch); err != nil && f != nil {
			_ = f.Close() // what a kernel says of it after a failure is not to be believed
			f = nil
		}
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
		for _, b := range batch {
			b.done <- err
		}
	}
}

func (l *Ledger) append(f *os.File, batch []note) (*os.File, error) {
	lines := 0
	for _, b := range batch {
		lines += b.lines
	}
	l.mu.Lock()
	useless := l.lines - len(l.entries) - len(l.uses)
	l.mu.Unlock()
	if f == nil || useless > compactAfter {
		if f != nil {
			_ = f.Close() // everything in it was synced
		}
		return l.compact() // which has the batch, since memory has it
	}
	for _, b := range batch {
		if _, err := f.Write(b.text); err != nil {
			return f, fmt.Errorf("write the ledger: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return f, fmt.Errorf("write the ledger: %w", err)
	}
	l.mu.Lock()
	l.lines += lines
	l.mu.Unlock()
	return f, nil
}

// compact writes the file anew from memory, without what is over.
func (l *Ledger) compact() (*os.File, error) {
	l.mu.Lock()
	l.forget()
	xs := []line{{Epoch: l.epoch, At: l.mark}}
	for _, tag := range slices.Sorted(maps.Keys(l.entries)) {
		e := l.entries[tag]
		xs = append(xs, line{Entry: &e})
	}
	for _, c := range l.claims {
		xs = append(xs, line{Claim: &c})
	}
	for _, u := range l.uses {
		xs = append(xs, line{Use: &u})
	}
	until := map[time.Time][]string{}
	for id, t := range l.seen {
		until[t] = append(until[t], id)
	}
	l.mu.Unlock()
	for t, ids := range until {
		for part := range slices.Chunk(ids, 1000) {
			xs = append(xs, line{Seen: part, Until: t})
		}
	}
	err := wholefile.Replace(l.path, func(f *os.File) error {
		w := bufio.NewWriter(f)
		for _, x := range xs {
			b, err := encodeLine(x)
			if err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
		return w.Flush()
	})
	if err != nil {
		return nil, fmt.Errorf("write the ledger: %w", err)
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("write the ledger: %w", err)
	}
	l.mu.Lock()
	l.lines = len(xs)
	l.mu.Unlock()
	return f, nil
}

// forget drops what is over from memory. The caller holds mu. A mark of time that is
// ahead of every clock is dropped with the last entry it protects.
func (l *Ledger) forget() {
	now := l.clock.Wall()
	maps.DeleteFunc(l.seen, func(_ string, until time.Time) bool { return now.After(until) })
	maps.DeleteFunc(l.entries, func(_ access.Tag, e entry) bool {
		return !e.live() && now.After(e.Keep) && (e.Alone.IsZero() || now.After(e.Alone.Add(tellFor)))
	})
	l.uses = slices.DeleteFunc(l.uses, func(u roster.Use) bool { _, there := l.entries[u.Tag]; return !there && now.After(u.Keep) })
	live := false
	for _, e := range l.entries {
		live = live || e.live()
	}
	if !live {
		_, l.markUp = l.clock.Boot()
		l.mark = now.UTC()
	}
}
