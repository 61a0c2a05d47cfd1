package sshgate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"

	"stint/internal/gateway"
)

// File transfer, version 3 (draft-ietf-secsh-filexfer-02), as OpenSSH speaks it. The
// gateway reads whole packets in both directions: what it does not know, or what the
// role does not allow, it answers itself.
const (
	fxInit     = 1
	fxVersion  = 2
	fxOpen     = 3
	fxClose    = 4
	fxRead     = 5
	fxWrite    = 6
	fxLstat    = 7
	fxFstat    = 8
	fxSetstat  = 9
	fxFsetstat = 10
	fxOpendir  = 11
	fxReaddir  = 12
	fxRemove   = 13
	fxMkdir    = 14
	fxRmdir    = 15
	fxRealpath = 16
	fxStat     = 17
	fxRename   = 18
	fxReadlink = 19
	fxSymlink  = 20
	fxStatus   = 101
	fxHandle   = 102
	fxData     = 103
	fxExtended = 200

	statusDenied      = 3
	statusUnsupported = 8

	flagRead  = 1
	flagWrite = 2

	longestPacket = 256 << 10 // sshd's own bound
	mostPending   = 4096      // requests that wait for an answer
	mostFiles     = 4096      // open at once
	longestPath   = 4096
)

var operations = map[byte]string{
	fxOpen: "open", fxClose: "close", fxRead: "read", fxWrite: "write", fxLstat: "lstat", fxFstat: "fstat",
	fxSetstat: "setstat", fxFsetstat: "fsetstat", fxOpendir: "opendir", fxReaddir: "readdir", fxRemove: "remove",
	fxMkdir: "mkdir", fxRmdir: "rmdir", fxRealpath: "realpath", fxStat: "stat", fxRename: "rename",
	fxReadlink: "readlink", fxSymlink: "symlink",
}

// extensions are the extended requests that pass: whether they change anything, and what
// their first fields are (p a path, h a handle).
var extensions = map[string]struct {
	changes bool
	fields  string
}{
	"posix-rename@openssh.com":       {true, "pp"},
	"hardlink@openssh.com":           {true, "pp"},
	"fsync@openssh.com":              {true, "h"},
	"lsetstat@openssh.com":           {true, "p"},
	"copy-data":                      {true, "h"},
	"statvfs@openssh.com":            {false, "p"},
	"fstatvfs@openssh.com":           {false, "h"},
	"expand-path@openssh.com":        {false, "p"},
	"limits@openssh.com":             {false, ""},
	"home-directory":                 {false, ""},
	"users-groups-by-id@openssh.com": {false, ""},
}

// quiet are the operations of which no record of their own is kept: they move the bytes
// of an open file, which Transferred sums up, or only look at what is open.
var quiet = map[byte]bool{fxRead: true, fxWrite: true, fxClose: true, fxReaddir: true, fxFstat: true}

var errProtocol = errors.New("this is not the file transfer protocol")

// asked is one request that passed.
type asked struct {
	id        uint32
	kind      byte
	operation string
	path, to  string
	flags     uint32
	handle    string
	offset    uint64
	data      []byte // of a write; not kept
}

// changes says whether it could change anything on the target.
func (a *asked) changes() bool {
	switch a.kind {
	case fxOpen:
		return a.flags != flagRead
	case fxClose, fxRead, fxLstat, fxFstat, fxOpendir, fxReaddir, fxRealpath, fxStat, fxReadlink:
		return false
	case fxExtended:
		return extensions[a.operation].changes
	}
	return true
}

// reader takes the fields of a packet apart. After an error every field is zero.
type reader struct {
	p   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.p) {
		r.bad = true
		return nil
	}
	f := r.p[:n]
	r.p = r.p[n:]
	return f
}

func (r *reader) u32() uint32 {
	if f := r.take(4); f != nil {
		return binary.BigEndian.Uint32(f)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if f := r.take(8); f != nil {
		return binary.BigEndian.Uint64(f)
	}
	return 0
}

func (r *reader) bytes() []byte { return r.take(int(r.u32())) }

func (r *reader) path() string {
	b := r.bytes()
	if len(b) > longestPath {
		r.bad = true
	}
	return string(b)
}

func (r *reader) handle() string {
	b := r.bytes()
	if len(b) > 256 { // the draft's bound
		r.bad = true
	}
	return string(b)
}

// parseRequest reads a packet of the client, without its length.
func parseRequest(p []byte) (asked, error) {
	if len(p) < 5 {
		return asked{}, errProtocol
	}
	a := asked{kind: p[0], operation: operations[p[0]]}
	r := &reader{p: p[1:]}
	a.id = r.u32()
	switch a.kind {
	case fxOpen:
		a.path, a.flags = r.path(), r.u32()
	case fxClose, fxFstat, fxFsetstat, fxReaddir:
		a.handle = r.handle()
	case fxRead:
		a.handle, a.offset = r.handle(), r.u64()
		r.u32()
	case fxWrite:
		a.handle, a.offset, a.data = r.handle(), r.u64(), r.bytes()
	case fxLstat, fxSetstat, fxOpendir, fxRemove, fxMkdir, fxRmdir, fxRealpath, fxStat, fxReadlink:
		a.path = r.path()
	case fxRename, fxSymlink:
		a.path, a.to = r.path(), r.path()
	case fxExtended:
		a.operation = r.path()
		for _, f := range extensions[a.operation].fields {
			switch {
			case f == 'h':
				a.handle = r.handle()
			case a.path == "":
				a.path = r.path()
			default:
				a.to = r.path()
			}
		}
	case fxInit:
		return asked{}, errProtocol // a second one
	}
	if r.bad {
		return asked{}, fmt.Errorf("%w: a packet of type %d is shorter than it says", errProtocol, a.kind)
	}
	return a, nil
}

// verdict is what becomes of a request: 0 passes, else the status that answers it.
func verdict(a *asked, mode gateway.FileMode) uint32 {
	_, extension := extensions[a.operation]
	switch {
	case a.operation == "" || (a.kind == fxExtended && !extension):
		return statusUnsupported
	case mode == gateway.WriteFiles, mode == gateway.ReadFiles && !a.changes():
		return 0
	}
	return statusDenied
}

// flags says how a file was opened: read, write, append, create, truncate, exclusively.
func flags(f uint32) (s string) {
	for i, c := range "rwactx" {
		if f&(1<<i) != 0 {
			s += string(c)
		}
	}
	return s
}

// statusPacket answers a request with a failure.
func statusPacket(id, code uint32, text string) []byte {
	b := ssh.Marshal(struct {
		Type      byte
		ID, Code  uint32
		Text, Tag string
	}{fxStatus, id, code, text, "en"})
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// files carries one file transfer.
type files struct {
	*program
	track Track
	mode  gateway.FileMode

	started bool // by the first packet; of the goroutine that takes requests

	mu      sync.Mutex
	pending map[uint32]asked
	open    map[string]*moved // by handle
}

// moved is what has been read and written of one open file.
type moved struct {
	path          string
	read, written flow
}

// flow is the bytes of one direction. Its sum is known as long as they come in order.
type flow struct {
	bytes uint64
	sum   hash.Hash // nil once they did not
}

func (f *flow) add(offset uint64, p []byte) {
	if f.bytes == 0 && offset == 0 && len(p) > 0 {
		f.sum = sha256.New()
	}
	if f.sum != nil && offset != f.bytes {
		f.sum = nil
	}
	if f.sum != nil {
		f.sum.Write(p)
	}
	f.bytes += uint64(len(p))
}

func (f *flow) digest() string {
	if f.sum == nil {
		return ""
	}
	return hex.EncodeToString(f.sum.Sum(nil))
}

func (m *moved) event() Transferred {
	return Transferred{Path: plain(m.path), Read: m.read.bytes, Written: m.written.bytes,
		ReadSHA256: m.read.digest(), WrittenSHA256: m.written.digest()}
}

func newFiles(p *program, t Track) *files {
	return &files{program: p, track: t, mode: p.rules.SFTP, pending: map[uint32]asked{}, open: map[string]*moved{}}
}

// requests carries what the person asks.
func (f *files) requests() {
	err := f.pump(f.person, f.target, f.request)
	switch {
	case errors.Is(err, errProtocol):
		f.session.End(gateway.Refused, err.Error())
	case errors.Is(err, io.EOF):
		f.closeWrite(f.target)
	}
}

// replies carries what the target answers, and at the end sums up what is still open.
func (f *files) replies() {
	err := f.pump(f.target, f.out, f.reply)
	if errors.Is(err, errProtocol) {
		f.session.End(gateway.Refused, "the target's file transfer: "+err.Error())
	}
	f.mu.Lock()
	left := f.open
	f.open = map[string]*moved{}
	f.mu.Unlock()
	for _, m := range left {
		if err := f.track.Event(m.event()); err != nil {
			f.unrecorded(err)
		}
	}
}

// pump reads packets, lets see decide of each, and forwards those that it lets through: all
// that have come by the time in one go.
func (f *files) pump(from io.Reader, to io.Writer, see func([]byte) (bool, error)) error {
	var in packets
	forward := func(p []byte) error {
		if len(p) == 0 {
			return nil
		}
		if over := f.session.Pass(); over != nil {
			return over
		}
		_, err := to.Write(p)
		return err
	}
	for {
		if err := in.fill(from); err != nil {
			return err
		}
		var passed []byte // what may be forwarded: one piece of what was read
		for {
			p, err := in.next()
			if err != nil {
				return errors.Join(err, forward(passed))
			}
			if p == nil {
				break
			}
			pass, err := see(p[4:])
			if err != nil {
				return errors.Join(err, forward(passed))
			}
			if pass {
				passed = in.b[in.at-len(passed)-len(p) : in.at]
				continue
			}
			if err := forward(passed); err != nil {
				return err
			}
			passed = nil
		}
		if err := forward(passed); err != nil {
			return err
		}
	}
}

// request decides about one packet of the person, and keeps what is asked.
func (f *files) request(p []byte) (pass bool, err error) {
	if !f.started {
		if f.started = p[0] == fxInit && len(p) >= 5; !f.started {
			return false, fmt.Errorf("%w: it does not begin with a version", errProtocol)
		}
		return true, nil
	}
	a, err := parseRequest(p)
	if err != nil {
		return false, err
	}
	if code := verdict(&a, f.mode); code != 0 {
		if !f.note(Refused{What: plain("sftp " + a.operation + " " + a.path + " " + a.to), Why: "the role does not allow it"}) {
			return false, errUnrecorded
		}
		_, err := f.out.Write(statusPacket(a.id, code, "stint: the role does not allow it"))
		return false, err
	}
	f.mu.Lock()
	_, twice := f.pending[a.id]
	full := len(f.pending) >= mostPending
	m := f.open[a.handle]
	if m != nil && a.kind == fxWrite {
		m.written.add(a.offset, a.data)
	}
	if m != nil && a.path == "" {
		a.path = m.path
	}
	f.mu.Unlock()
	if twice || full {
		return false, fmt.Errorf("%w: request %d again, or too many at once", errProtocol, a.id)
	}
	if !quiet[a.kind] {
		e := File{Operation: a.operation, Path: plain(a.path), To: plain(a.to)}
		if a.kind == fxOpen {
			e.Flags = flags(a.flags)
		}
		if err := f.event(f.track, e); err != nil {
			return false, err
		}
	}
	a.data = nil
	f.mu.Lock()
	f.pending[a.id] = a
	f.mu.Unlock()
	return true, nil
}

// reply takes note of one packet of the target.
func (f *files) reply(p []byte) (pass bool, err error) {
	if p[0] == fxVersion {
		return true, nil
	}
	r := &reader{p: p[1:]}
	id := r.u32()
	f.mu.Lock()
	a, known := f.pending[id]
	delete(f.pending, id)
	if !known || r.bad {
		f.mu.Unlock()
		return false, fmt.Errorf("%w: an answer that nobody waits for", errProtocol)
	}
	var e Event
	m := f.open[a.handle]
	switch p[0] {
	case fxHandle:
		handle := r.handle()
		switch {
		case r.bad || (a.kind != fxOpen && a.kind != fxOpendir) || len(f.open) >= mostFiles || f.open[handle] != nil:
			f.mu.Unlock()
			return false, fmt.Errorf("%w: a handle that cannot be", errProtocol)
		case a.kind == fxOpen:
			f.open[handle] = &moved{path: a.path}
		}
	case fxData:
		if data := r.bytes(); m != nil && a.kind == fxRead && !r.bad {
			m.read.add(a.offset, data)
		}
	case fxStatus:
		code := r.u32()
		switch {
		case a.kind == fxClose && m != nil:
			delete(f.open, a.handle)
			e = m.event()
		case code > 1 && !quiet[a.kind]: // 0 is done, 1 the end of a file
			e = Failed{Operation: a.operation, Path: plain(a.path), Status: code}
		}
	}
	f.mu.Unlock()
	if e != nil {
		return true, f.event(f.track, e)
	}
	return true, nil
}
