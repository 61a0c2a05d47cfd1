package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/access"
	"stint/internal/audit"
)

// Config is what a witness is made of.
type Config struct {
	Name  string
	Key   ed25519.PrivateKey
	State string // path of the state file
	New   bool   // the state file may be missing: this witness has signed nothing yet
	Logs  []string
	Log   *slog.Logger
	Now   func() time.Time // nil: the clock
}

// Witness signs checkpoints of the logs that it was told of.
type Witness struct {
	cosigner audit.Cosigner
	key      ed25519.PrivateKey
	logs     map[string]string // verifier keys by origin
	byID     map[string]string // origins by the hash in the address
	log      *slog.Logger
	now      func() time.Time

	mu    sync.Mutex // over check and write: of two at once, the second sees the first
	state *state
}

// New opens the state. The keys of each log are the text that stint shows.
func New(c Config) (*Witness, error) {
	cosigner, err := audit.NewCosigner(c.Name, c.Key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	w := &Witness{cosigner: cosigner, key: c.Key, logs: map[string]string{}, byID: map[string]string{}, log: c.Log, now: c.Now}
	if w.now == nil {
		w.now = time.Now
	}
	for _, keys := range c.Logs {
		origin, err := originOf(keys)
		if err != nil {
			return nil, err
		}
		if _, twice := w.logs[origin]; twice {
			return nil, access.Fail(access.Invalid, "log-twice", "the log "+origin+" is named twice").Try("put all its keys into one file")
		}
		w.logs[origin], w.byID[LogID(origin)] = keys, origin
	}
	if w.state, err = openState(c.State, c.New); err != nil {
		return nil, err
	}
	for origin, s := range w.state.logs {
		if keys, ok := w.logs[origin]; ok {
			if _, err := s.newest(origin, keys); err != nil {
				return nil, errors.Join(access.Fail(access.Invalid, "other-log-key", "what was signed for "+origin+" is not of the key given for it").
					Try("give all keys that the log ever had, the newest first").Wrap(err), w.state.close())
			}
		}
	}
	return w, nil
}

// Close gives the state file back.
func (w *Witness) Close() error { return w.state.close() }

// Key is the public key, for those who rely on this witness.
func (w *Witness) Key() string { return w.cosigner.String() }

func originOf(keys string) (string, error) {
	for field := range strings.FieldsSeq(keys) {
		v, err := note.NewVerifier(field)
		if err != nil {
			return "", access.Fail(access.Invalid, "bad-log-key", "the key of a log cannot be read").Try("give it as the server shows it: name+hash+base64").Wrap(err)
		}
		return v.Name(), nil
	}
	return "", access.Fail(access.Invalid, "bad-log-key", "a file with the key of a log is empty")
}

// LogID names a log in an address.
func LogID(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return hex.EncodeToString(sum[:])
}

// refusal is an answer that is not a cosignature.
type refusal struct {
	status int
	size   int64 // with 409
	why    string
}

func (r *refusal) Error() string { return r.why }

// add is add-checkpoint.
func (w *Witness) add(text string) (line string, err error) {
	m, err := parseMessage(text)
	if err != nil {
		return "", &refusal{status: http.StatusBadRequest, why: err.Error()}
	}
	origin, _, _ := strings.Cut(m.checkpoint, "\n")
	keys, known := w.logs[origin]
	if !known {
		return "", &refusal{status: http.StatusNotFound, why: "this log is not known here"}
	}
	signed, cp, err := own(m.checkpoint, keys)
	if err != nil {
		return "", &refusal{status: http.StatusForbidden, why: err.Error()}
	}
	if m.old > cp.Size {
		return "", &refusal{status: http.StatusBadRequest, why: "the old size is larger than the checkpoint's"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	have := w.state.logs[origin]
	last, err := have.newest(origin, keys)
	if err != nil {
		return "", err
	}
	switch {
	case m.old != last.Size:
		return "", &refusal{http.StatusConflict, last.Size, "the old size is not that of the checkpoint signed last"}
	case last.Size == cp.Size && last.Root != cp.Root:
		w.log.Error("a fork: two checkpoints of one size", "log", origin, "size", cp.Size, "signed", last.Root.String(), "refused", cp.Root.String())
		return "", &refusal{http.StatusConflict, last.Size, "another checkpoint of this size was signed"}
	case !cp.Continues(last, m.proof):
		w.log.Error("a checkpoint that does not continue the log, or a wrong proof", "log", origin, "signed", last.Size, "refused", cp.Size)
		return "", &refusal{status: http.StatusUnprocessableEntity, why: "the proof does not show that the log continues the one signed last"}
	}
	line = w.cosigner.Cosign(cp, w.key, w.now())
	if last.Size != cp.Size || have.Checkpoint == "" {
		have.Checkpoint = signed + line
		if err := w.state.put(origin, have); err != nil {
			return "", err
		}
	}
	return line, nil
}

// own cuts a checkpoint down to its text and the first signature by the log, and
// opens that: whatever else was signed on it is of no interest here.
func own(text, keys string) (string, audit.Checkpoint, error) {
	body, lines, ok := strings.Cut(text, "\n\n")
	if !ok || strings.Count(lines, "\n") > 16 {
		return "", audit.Checkpoint{}, errors.New("it is not a signed checkpoint")
	}
	var last error = errors.New("it is not signed")
	for line := range strings.Lines(lines) {
		alone := body + "\n\n" + line
		cp, err := audit.OpenCheckpoint([]byte(alone), keys)
		if err == nil {
			return alone, cp, nil
		}
		last = err
	}
	return "", audit.Checkpoint{}, last
}

// Accept takes a log back to a checkpoint that does not continue what was signed:
// its data was lost and restored, and its operator has said so to the witness's.
// What was signed before stays in the state file.
func (w *Witness) Accept(checkpoint string) (from, to audit.Checkpoint, err error) {
	origin, _, _ := strings.Cut(checkpoint, "\n")
	keys, known := w.logs[origin]
	if !known {
		return from, to, access.Fail(access.NotFound, "unknown-log", "the checkpoint is of a log that is not known here").Try("name its key with --log")
	}
	signed, to, err := own(checkpoint, keys)
	if err != nil {
		return from, to, access.Fail(access.Invalid, "bad-checkpoint", "the checkpoint is not signed by the log").Wrap(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	have := w.state.logs[origin]
	if from, err = have.newest(origin, keys); err != nil {
		return from, to, err
	}
	if have.Checkpoint != "" {
		have.Abandoned = append(have.Abandoned, have.Checkpoint)
	}
	have.Checkpoint = signed + w.cosigner.Cosign(to, w.key, w.now())
	return from, to, w.state.put(origin, have)
}

// Newest is the checkpoint that was signed last for a log, with the cosignature;
// empty when there is none.
func (w *Witness) Newest(origin string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.logs[origin].Checkpoint
}

// Shown is what the witness remembers of one log.
type Shown struct {
	Origin     string
	Checkpoint string   // empty when nothing was signed
	Abandoned  []string // given up by hand, the oldest first
}

// Show lists the logs that are known here.
func (w *Witness) Show() (all []Shown) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, origin := range slices.Sorted(maps.Keys(w.logs)) {
		s := w.state.logs[origin]
		all = append(all, Shown{origin, s.Checkpoint, slices.Clone(s.Abandoned)})
	}
	return all
}

// Handler serves the protocol.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.serveAdd)
	mux.HandleFunc("GET /logs/{id}/checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		origin, known := w.byID[r.PathValue("id")]
		text := ""
		if known {
			text = w.Newest(origin)
		}
		if text == "" {
			http.Error(rw, "nothing was signed for this log", http.StatusNotFound)
			return
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(rw, text)
	})
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok\n") })
	return mux
}

func (w *Witness) serveAdd(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
	if err != nil {
		http.Error(rw, "the request is too large, or was not sent to its end", http.StatusBadRequest)
		return
	}
	line, err := w.add(string(body))
	var no *refusal
	switch {
	case err == nil:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(rw, line)
	case errors.As(err, &no) && no.status == http.StatusConflict:
		rw.Header().Set("Content-Type", "text/x.tlog.size")
		rw.WriteHeader(no.status)
		_, _ = io.WriteString(rw, strconv.FormatInt(no.size, 10)+"\n")
	case errors.As(err, &no):
		http.Error(rw, no.why, no.status)
	default:
		w.log.Error("a checkpoint was not signed", "error", err)
		http.Error(rw, "the witness cannot keep its state", http.StatusInternalServerError)
	}
}

// Limits of the server: everybody may call, so nobody may cost much.
const (
	headersWithin = 5 * time.Second
	readWithin    = 10 * time.Second
	writeWithin   = 10 * time.Second
	idleFor       = 2 * time.Minute
	maxHeader     = 8 << 10
	// MaxConnections are open at a time; more wait to be accepted.
	MaxConnections = 256
)

// Server is an HTTP server for the witness with its limits.
func (w *Witness) Server() *http.Server {
	return &http.Server{Handler: w.Handler(), ReadHeaderTimeout: headersWithin, ReadTimeout: readWithin, WriteTimeout: writeWithin, IdleTimeout: idleFor,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(w.log.Handler(), slog.LevelDebug)}
}

// Format keeps the key out of whatever is printed.
func (w *Witness) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "witness "+w.cosigner.Name) }
