package apiserver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"stint/internal/audit"
)

const (
	// checkAtOnce is how long a page waits for the log to be checked further; what is left
	// goes on without it.
	checkAtOnce = 60 * time.Millisecond
	checkBatch  = 500
)

// logCheck reads the log as anybody could from outside, from its first record on and then
// what comes: every record again in its one form, the tree built anew, and its root compared
// with the signed checkpoint. It is not the word of somebody independent, for which there is
// stint audit verify; it shows that what is displayed is what was signed.
type logCheck struct {
	mu      sync.Mutex // guards what follows; no store call is made under it
	running bool
	read    logRead
}

// logRead is how far it has come.
type logRead struct {
	tree   audit.Tree
	last   time.Time // when the newest record in tree was written
	signed int64     // so many records are proven by a checkpoint
	at     time.Time // of the newest of those
	size   int64     // of the log when it was looked at last
	bad    string    // what is wrong, and where; nothing is checked after
}

// checkLog checks further, for a moment, and says how far it has come.
func (s *Server) checkLog(ctx context.Context) logRead {
	c := &s.checked
	c.mu.Lock()
	r, busy := c.read, c.running
	c.running = true
	c.mu.Unlock()
	if busy {
		return r
	}
	some, cancel := context.WithTimeout(ctx, checkAtOnce)
	defer cancel()
	more := s.readOn(some, &r)
	c.mu.Lock()
	c.read, c.running = r, more
	c.mu.Unlock()
	if more {
		go s.readRest(r)
	}
	return r
}

// readRest goes on where a page left off, until all is read or the server stops.
func (s *Server) readRest(r logRead) {
	for more := true; more && s.holding.Err() == nil; {
		part, cancel := context.WithTimeout(s.holding, time.Second)
		more = s.readOn(part, &r)
		cancel()
		s.checked.mu.Lock()
		s.checked.read = r
		s.checked.mu.Unlock()
	}
	s.checked.mu.Lock()
	s.checked.running = false
	s.checked.mu.Unlock()
}

// readOn reads until ctx is done, and reports whether there is more to read.
func (s *Server) readOn(ctx context.Context, r *logRead) (more bool) {
	look := context.WithoutCancel(ctx) // a batch is read to its end
	size, note, err := s.audit.Head(look)
	if err != nil || r.bad != "" || size == 0 {
		return false
	}
	if r.size = size; size < r.signed {
		r.bad = fmt.Sprintf("the log had %d records, and has %d", r.signed, size)
		return false
	}
	for r.tree.Size() < size {
		if ctx.Err() != nil {
			return true
		}
		recs, err := s.audit.Records(look, LogQuery{After: r.tree.Size() - 1, Before: size, Limit: checkBatch})
		if err != nil {
			return false // a page shows how far it has come; the next one tries again
		}
		if len(recs) == 0 {
			r.bad = fmt.Sprintf("record %d is missing", r.tree.Size())
			return false
		}
		for _, x := range recs {
			rec, err := audit.Decode(x.Encoded)
			switch {
			case x.Seq != r.tree.Size():
				r.bad = fmt.Sprintf("record %d is missing", r.tree.Size())
			case err != nil:
				r.bad = fmt.Sprintf("record %d is not as it was written", x.Seq)
			}
			if r.bad != "" {
				return false
			}
			r.tree, _ = r.tree.Append(audit.Leaf(x.Encoded))
			r.last = rec.Event.At
		}
	}
	c, err := audit.OpenCheckpoint(note, s.logKey.Key)
	switch {
	case err != nil:
		r.bad = "the newest checkpoint is not signed by this log's key"
	case c.Size == r.tree.Size() && c.Root != r.tree.Root():
		r.bad = fmt.Sprintf("a record between %d and %d is not the one that was signed", r.signed, c.Size-1)
	case c.Size == r.tree.Size():
		r.signed, r.at = c.Size, r.last
	}
	return false
}
