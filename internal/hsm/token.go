package hsm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"stint/internal/access"
	"stint/internal/hsm/module"
	"stint/internal/hsm/wire"
)

// Settings say where the token is.
type Settings struct {
	Program     string // stint-hsm
	Module      string // the vendor's library
	Label       string // of the token
	PINFile     string
	Environment []string // all that the program gets
	Log         *slog.Logger
}

// How long what may take. A token across a network answers in milliseconds.
const (
	openWithin     = 20 * time.Second
	signWithin     = 5 * time.Second
	generateWithin = 30 * time.Second
	lookEvery      = 15 * time.Second
	lingering      = 3 // how many that were killed may be there yet when another is started
	backoffLeast   = 500 * time.Millisecond
	backoffMost    = 30 * time.Second
)

// Token is a token of which one process, stint-hsm, is asked. Its methods may be called
// from any goroutine.
type Token struct {
	settings Settings
	turn     chan struct{} // holds one while a call is made; taken before what follows is touched
	child    *child        // nil: away
	refused  [sha256.Size]byte
	barred   bool         // the PIN with that hash is not tried again
	killed   atomic.Int32 // programs that were killed and are not gone

	mu    sync.Mutex // guards state
	state error      // nil: open
	lost  chan struct{}
}

// New makes one that is away until Open or Run.
func New(s Settings) *Token {
	t := &Token{settings: s, turn: make(chan struct{}, 1), lost: make(chan struct{}, 1)}
	t.state = away("it has not been opened yet", nil)
	return t
}

// None is a token that nobody configured: keys that are in one can be named, and sign
// nothing.
func None() *Token {
	t := New(Settings{})
	t.state = access.Fail(access.Unavailable, "no-token-configured", "the key that signs certificates is in a PKCS#11 token, and this server has none").
		Because("pkcs11 is not in its configuration").Try("an administrator configures the token again, or replaces the key: stintd rotate-key ssh-users, or ssh-hosts")
	return t
}

func away(why string, cause error) *access.Error {
	return access.Fail(access.Unavailable, "token-away", "the PKCS#11 token with the key that signs certificates does not answer").
		Because(why).Try("what is granted goes on and ends on time; ask again in a moment, or an administrator looks: stint admin doctor").Wrap(cause)
}

// causes are what failures mean for whoever runs the server.
var causes = map[string]string{
	wire.NotBuilt: "stint-hsm was built without PKCS#11; build it with a C compiler: make build",
	wire.Module:   "the module cannot be used",
	wire.NoToken:  "there is no token with that label",
	wire.BadPIN:   "it refuses the PIN, which is not tried again: that would lock it; mend pkcs11.pin_file",
	wire.Locked:   "its PIN is locked, or one try is left: log in by hand with the vendor's tool",
	wire.NoKey:    "it does not have the key, or has several of that name",
	wire.Unsound:  "it has the key and does not vouch that it was never outside",
	wire.NoMeans:  "it cannot make or use keys of that algorithm",
	wire.Trouble:  "it reports an error",
	wire.Question: "it does not understand the question",
}

// meant puts a failure into words. What a library said is for the log.
func meant(err error) error {
	var f *wire.Failure
	if errors.As(err, &f) {
		why, known := causes[f.Code]
		if !known {
			why = causes[wire.Trouble]
		}
		return away(why, f)
	}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		return away("it did not answer in time", err)
	}
	return away("stint-hsm ended", err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// State is why the token cannot be asked; nil if it can, as far as is known.
func (t *Token) State() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

func (t *Token) set(err error) {
	t.mu.Lock()
	t.state = err
	t.mu.Unlock()
}

// take waits for its turn.
func (t *Token) take(ctx context.Context) error {
	select {
	case t.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return away("calls before this one wait for it", ctx.Err())
	}
}

func (t *Token) give() { <-t.turn }

// Open starts stint-hsm and opens the token, if that is not so already.
func (t *Token) Open(ctx context.Context) error {
	if t.settings.Program == "" {
		return t.State()
	}
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	if err := t.take(ctx); err != nil {
		return err
	}
	defer t.give()
	if t.child != nil && t.alive() {
		return nil
	}
	err := t.open(ctx)
	t.set(err)
	return err
}

// alive says whether the program runs; of one that ended nothing is kept.
func (t *Token) alive() bool {
	select {
	case <-t.child.gone:
		t.end(t.child)
		t.child = nil
		return false
	default:
		return true
	}
}

func (t *Token) open(ctx context.Context) error {
	s := t.settings
	program, err := module.Program(s.Program)
	if err != nil {
		return away("stint-hsm is not to be trusted, or not there", err)
	}
	library, err := module.Library(s.Module)
	if err != nil {
		return away("the module is not to be trusted, or not there", err)
	}
	pin, err := ReadPIN(s.PINFile)
	if err != nil {
		return away("the file with its PIN cannot be used", err)
	}
	defer clear(pin)
	hash := sha256.Sum256(pin)
	if t.barred && hash == t.refused {
		return meant(wire.Fail(wire.BadPIN, "the PIN is the one that was refused"))
	}
	if t.killed.Load() >= lingering {
		return away("stint-hsm was killed, and its device does not let it go", nil)
	}
	c, err := launch(program, s.Environment)
	if err != nil {
		return away("stint-hsm cannot be started", err)
	}
	_, err = c.ask(ctx, wire.Open, []byte(library), []byte(s.Label), pin)
	if err != nil {
		t.end(c)
		var f *wire.Failure
		if errors.As(err, &f) && (f.Code == wire.BadPIN || f.Code == wire.Locked) {
			t.barred, t.refused = true, hash
		}
		return meant(err)
	}
	t.child, t.barred = c, false
	return nil
}

// Run keeps the token open until ctx ends.
func (t *Token) Run(ctx context.Context) {
	if t.settings.Program == "" {
		return
	}
	defer t.Close()
	wait, said := backoffLeast, ""
	for ctx.Err() == nil {
		err := t.Open(ctx)
		if err != nil {
			if ctx.Err() == nil && err.Error() != said {
				said = err.Error()
				t.settings.Log.Error("no certificates are signed", "token", t.settings.Label, "error", err)
			}
			pause(ctx, wait)
			wait = min(2*wait, backoffMost)
			continue
		}
		if wait, said = backoffLeast, ""; ctx.Err() == nil {
			t.settings.Log.Info("the token is open", "token", t.settings.Label)
		}
		t.watch(ctx)
		pause(ctx, backoffLeast) // also one that opens and dies at once is not started in a loop
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// watch returns when the token has gone away.
func (t *Token) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := t.take(ctx); err != nil {
			return
		}
		select {
		case <-t.lost: // of an earlier one
		default:
		}
		c := t.child
		t.give()
		if c == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-t.lost:
		case <-c.gone:
			t.set(away("stint-hsm ended", nil))
			return
		case <-tick.C: // no label begins so: it is looked at, and nothing is listed
			if _, err := t.call(ctx, signWithin, wire.Keys, []byte("-")); err != nil && t.State() != nil {
				t.settings.Log.Error("the token is not asked any more", "token", t.settings.Label, "error", err)
				return
			}
		}
	}
}

// Close ends stint-hsm.
func (t *Token) Close() {
	t.turn <- struct{}{}
	defer t.give()
	if t.child != nil {
		t.end(t.child)
		t.child = nil
	}
	if t.settings.Program != "" {
		t.set(away("this server stops", nil))
	}
}

// call asks, if the token is open. What can be asked again after it leaves it open.
func (t *Token) call(ctx context.Context, within time.Duration, kind wire.Kind, fields ...[]byte) ([][]byte, error) {
	if err := t.State(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := t.take(ctx); err != nil {
		return nil, err
	}
	defer t.give()
	if err := t.State(); err != nil { // who waited finds it gone
		return nil, err
	}
	if t.child == nil || !t.alive() {
		err := away("stint-hsm ended", nil)
		t.drop(err)
		return nil, err
	}
	answer, err := t.child.ask(ctx, kind, fields...)
	if err == nil {
		return answer, nil
	}
	var f *wire.Failure
	said := meant(err)
	if errors.As(err, &f) && (f.Code == wire.NoKey || f.Code == wire.Unsound || f.Code == wire.NoMeans || f.Code == wire.Question) {
		return nil, said // about this key; the token is well
	}
	t.drop(said)
	return nil, said
}

// end ends a program, and counts those that a device holds back.
func (t *Token) end(c *child) {
	if c.end() {
		return
	}
	t.killed.Add(1)
	go func() {
		<-c.gone
		t.killed.Add(-1)
	}()
}

// drop ends the program, and says so. The caller has the turn.
func (t *Token) drop(why error) {
	t.set(why)
	if t.child != nil {
		t.end(t.child)
		t.child = nil
	}
	select {
	case t.lost <- struct{}{}:
	default:
	}
}

// Keys lists the keys whose labels begin with something.
func (t *Token) Keys(ctx context.Context, prefix string) ([]wire.Key, error) {
	answer, err := t.call(ctx, signWithin, wire.Keys, []byte(prefix))
	if err != nil {
		return nil, err
	}
	var out []wire.Key
	for _, f := range answer {
		k, err := wire.ParseKey(f)
		if err != nil {
			return nil, away("it lists a key that is none", err)
		}
		out = append(out, k)
	}
	return out, nil
}

// Generate makes a key in the token, with which it has then signed once. The algorithm
// may be left to the token: Ed25519 if it has it.
func (t *Token) Generate(ctx context.Context, label string, alg wire.Algorithm) (wire.Key, error) {
	answer, err := t.call(ctx, generateWithin, wire.Generate, []byte(label), []byte(alg))
	if err != nil {
		return wire.Key{}, err
	}
	if len(answer) != 1 {
		return wire.Key{}, away("it does not say which key it made", nil)
	}
	k, err := wire.ParseKey(answer[0])
	if err != nil {
		return wire.Key{}, away("the key that it made is none", err)
	}
	if k.Label != label || alg != "" && k.Algorithm != alg {
		return wire.Key{}, away("it made another key than was asked for", fmt.Errorf("%s, %s", k.Label, k.Algorithm))
	}
	s, err := t.Signer(k)
	if err != nil {
		return wire.Key{}, err
	}
	return k, s.Try(ctx)
}
