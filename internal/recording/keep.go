package recording

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"
)

// Store is where things are kept under names such as "ses_01.rec". It is safe for
// concurrent use.
type Store interface {
	// Put keeps what r gives, of that size, and returns nil only when it is kept as a whole and would
	// survive a crash. It never replaces: where there is something of that name, the error is ErrExists.
	// When it fails, there may be nothing or all, and never a part.
	Put(ctx context.Context, name string, size int64, r io.ReadSeeker) error

	// Get gives what is kept, or ErrNotFound.
	Get(ctx context.Context, name string) (io.ReadCloser, error)

	// List gives what names begin so, in the order of the names.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]

	// Delete removes it for good. That there is none is no error.
	Delete(ctx context.Context, name string) error
}

// Object is something that a Store keeps.
type Object struct {
	Name  string
	Size  int64
	Since time.Time
}

// What stands beside a recording in a Keep.
const deletedSuffix = ".deleted"

// validObject says whether a Store may be asked for that name.
func validObject(name string) bool {
	base, suffix, _ := strings.Cut(name, ".")
	switch "." + suffix {
	case fileSuffix, deletedSuffix:
		return ValidName(base)
	}
	return false
}

func errObject(name string) error {
	return &Error{Message: fmt.Sprintf("nothing is kept under the name %q", name), Why: "a name is that of a recording with .rec or .deleted behind it", Cause: ErrNotFound}
}

// Keep is where recordings go when their session has ended.
type Keep struct {
	store Store
	trust Trust
}

// NewKeep keeps recordings in a store. What is moved there must verify with these keys.
func NewKeep(store Store, trust Trust) *Keep {
	trust.Name, trust.Anchor, trust.Live = "", nil, false
	return &Keep{store, trust}
}

// Origin is where a recording is that ended, and is to be kept: a Spool, or an Inbox.
type Origin interface {
	OpenFile(name string) (*os.File, error)
	Remove(name string) error
}

// Ship moves a recording that ended from where it is: it is put into the store, read back from there byte by byte,
// and only when it is the same and verifies is it removed there. What fails can be
// tried again at any time. A recording that does not verify is kept in both places, and
// the error is a *Damage.
func (k *Keep) Ship(ctx context.Context, s Origin, name string) (Report, error) {
	return k.ship(ctx, s, name, false)
}

// Salvage moves what there is of a recording whose writer will not send the rest, likewise: a
// final seal is not asked for. The report's anchor says where it ends from now on.
func (k *Keep) Salvage(ctx context.Context, s Origin, name string) (Report, error) {
	return k.ship(ctx, s, name, true)
}

func (k *Keep) ship(ctx context.Context, s Origin, name string, lost bool) (Report, error) {
	failed := func(what string, err error) (Report, error) {
		return Report{}, fmt.Errorf("move the recording %s: %s: %w", name, what, err)
	}
	f, err := s.OpenFile(name)
	if err != nil {
		return failed("open it", err)
	}
	defer func() { _ = f.Close() }() // only read
	size, sum, err := digest(f)
	if err != nil {
		return failed("read it", err)
	}
	err = k.store.Put(ctx, name+fileSuffix, size, io.NewSectionReader(f, 0, size))
	if err != nil && !errors.Is(err, ErrExists) { // an earlier try may have got so far
		return failed("keep it", err)
	}
	r, err := k.store.Get(ctx, name+fileSuffix)
	if err != nil {
		return failed("read it back", err)
	}
	defer func() { _ = r.Close() }() // only read
	h := sha256.New()
	trust := k.trust
	trust.Name, trust.Lost = name, lost
	back := io.TeeReader(io.LimitReader(r, size+1), h)
	report, damage := Verify(ctx, back, trust)
	rest, err := io.Copy(io.Discard, back) // behind what is damaged
	if err != nil {
		return failed("read it back", err)
	}
	if Link(h.Sum(nil)) != sum {
		return Report{}, &Error{Message: "the recording " + name + " is not kept as it was written",
			Why:  fmt.Sprintf("what was read back is not the same (%d bytes behind what verifies); it stays with the gateway", rest),
			Next: "look at the store; when another recording of that name is there, move it away"}
	}
	if damage != nil {
		return report, fmt.Errorf("move the recording %s: %w", name, damage)
	}
	if err := s.Remove(name); err != nil && !errors.Is(err, ErrNotFound) {
		return failed("remove it here", err)
	}
	report.Sum = sum
	return report, nil
}

func digest(f *os.File) (size int64, sum Link, err error) {
	h := sha256.New()
	size, err = io.Copy(h, f)
	h.Sum(sum[:0])
	return size, sum, err
}

// Open opens a kept recording.
func (k *Keep) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if !ValidName(name) {
		return nil, ErrNotFound
	}
	return k.store.Get(ctx, name+fileSuffix)
}

// Act says who did something to a recording, when and why.
type Act struct {
	By   string    `json:"by"`
	Why  string    `json:"why"`
	When time.Time `json:"when"`
}

// Deletion is what stays of a recording that was deleted.
type Deletion struct {
	Act
	Recording string    `json:"recording"`
	Size      int64     `json:"size"`
	Frames    uint64    `json:"frames"`
	Root      string    `json:"root"` // of the last frame, as in the audit log; empty: it could not be read
	State     string    `json:"state"`
	Began     time.Time `json:"began"`
	Damage    string    `json:"damage,omitempty"` // why it did not verify
}

// Delete deletes a recording. What stays is a Deletion, which is kept before
// the recording goes, so that none is ever missing without one.
func (k *Keep) Delete(ctx context.Context, name string, m Act) (Deletion, error) {
	r, err := k.Open(ctx, name)
	if err != nil {
		return Deletion{}, err
	}
	counted := &counter{r: r}
	trust := k.trust
	trust.Name = name
	report, damage := Verify(ctx, counted, trust)
	if x := (*Damage)(nil); damage != nil && !errors.As(damage, &x) {
		return Deletion{}, fmt.Errorf("read the recording %s before it is deleted: %w", name, errors.Join(damage, r.Close()))
	}
	_, err = io.Copy(io.Discard, counted) // behind what is damaged
	if err = errors.Join(err, r.Close()); err != nil {
		return Deletion{}, fmt.Errorf("read the recording %s before it is deleted: %w", name, err)
	}
	d := Deletion{Act: m, Recording: name, Size: counted.n, State: report.State.String(), Began: report.Began.UTC()}
	if damage != nil {
		d.Damage = damage.Error()
	}
	if report.Anchor.Frames > 0 {
		d.Frames, d.Root = report.Anchor.Frames, report.Anchor.Root.String()
	}
	switch err := k.putJSON(ctx, name+deletedSuffix, d); {
	case errors.Is(err, ErrExists): // of an earlier try
		if err := k.getJSON(ctx, name+deletedSuffix, &d); err != nil {
			return Deletion{}, err
		}
	case err != nil:
		return Deletion{}, fmt.Errorf("record that the recording %s is deleted: %w", name, err)
	}
	return d, k.store.Delete(ctx, name+fileSuffix)
}

func (k *Keep) putJSON(ctx context.Context, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return k.store.Put(ctx, name, int64(len(b)), strings.NewReader(string(b)))
}

func (k *Keep) getJSON(ctx context.Context, name string, v any) error {
	r, err := k.store.Get(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	return json.NewDecoder(io.LimitReader(r, 64<<10)).Decode(v)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
