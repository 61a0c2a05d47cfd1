//go:build unix

package pgtest

import (
	"bytes"
	"strings"
	"sync"
)

// logLimit is how much of a server's log is kept.
const logLimit = 4 << 20

// serverLog keeps what a server writes, and tells when it wrote something.
type serverLog struct {
	mu      sync.Mutex
	buf     []byte
	dropped int // bytes forgotten before buf

	needle string        // watched for, from position mark on
	mark   int           // absolute: dropped counts
	seen   chan struct{} // closed when needle was written
}

func newServerLog() *serverLog { return &serverLog{} }

// watch gives a channel that is closed when text is written from now on, and the
// position of now. One watch at a time; a new one replaces the old.
func (l *serverLog) watch(text string) (<-chan struct{}, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.needle, l.mark, l.seen = text, l.dropped+len(l.buf), make(chan struct{})
	return l.seen, l.mark
}

// Write implements io.Writer.
func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if l.needle != "" && bytes.Contains(l.buf[l.offset(l.mark):], []byte(l.needle)) {
		l.needle = ""
		close(l.seen)
	}
	if len(l.buf) > logLimit {
		cut := len(l.buf) - logLimit/2
		l.dropped += cut
		l.buf = append([]byte(nil), l.buf[cut:]...)
	}
	return len(p), nil
}

func (l *serverLog) offset(mark int) int { return max(0, mark-l.dropped) }

func (l *serverLog) since(mark int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf[l.offset(mark):])
}

func (l *serverLog) String() string { return l.since(0) }

func containsAny(s string, subs ...string) bool {
	for _, sub := range subs {
		if strings.Contains(s, sub) {
			return true
		}
	}
	return false
}
