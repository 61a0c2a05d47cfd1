package hook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
	"stint/internal/connector/connectortest"
)

// tokens is a service with accounts that have tokens: it makes them, shows each once, and
// keeps a hash. It is reached over HTTP, and has the hook before it in the same process.
type tokens struct {
	mu       sync.Mutex
	api      *httptest.Server
	accounts map[string]map[string][32]byte // by account, by the token's name
	sessions map[string]string              // the account of each
	notes    map[string]string
	made     int
	weak     bool
	deaf     bool // no token opens anything yet

	before, after, hang bool
	waiting             chan struct{}
	onMake              func(name string) // before it is made
	late                func(name string) // after it was made, and before the answer
}

func (s *tokens) of(token string) string {
	for account, all := range s.accounts {
		for _, h := range all {
			if h == sha256.Sum256([]byte(token)) {
				return account
			}
		}
	}
	return ""
}

// add makes a token by hand.
func (s *tokens) add(account, name string) string {
	token := "tok_" + rand.Text() + rand.Text()
	if s.accounts[account] == nil {
		s.accounts[account] = map[string][32]byte{}
	}
	s.accounts[account][name] = sha256.Sum256([]byte(token))
	s.made++
	return token
}

// ServeHTTP is the service: who one is, and sessions.
func (s *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodGet {
		if s.sessions[r.URL.Path] == "" {
			w.WriteHeader(http.StatusGone)
		}
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	account := s.of(token)
	if account == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.URL.Path == "/session" {
		id := "/" + rand.Text()
		s.sessions[id] = account
		_, _ = io.WriteString(w, id)
	}
}

// opens shows a token to the service.
func (s *tokens) opens(token string) bool {
	r, err := http.NewRequest(http.MethodPost, s.api.URL+"/me", nil)
	if err != nil {
		return false
	}
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer got.Body.Close()
	return got.StatusCode == http.StatusOK
}

// hook is the program of the operator's, behind HTTPS.
func (s *tokens) hook(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var q question
	if json.Unmarshal(body, &q) != nil || q.Kind != "token" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	acts := q.Do == doMake || q.Do == doLock || q.Do == doKeep || q.Do == doNote && q.New != ""
	before, after, waiting := s.before && acts, s.after && acts, s.waiting
	if acts {
		s.before, s.after = false, false
	}
	if !s.hang {
		waiting = nil
	}
	onMake, late := s.onMake, s.late
	s.mu.Unlock()
	if waiting != nil {
		select {
		case <-waiting:
		case <-r.Context().Done():
		}
		return
	}
	if before {
		panic(http.ErrAbortHandler)
	}
	if q.Do == doMake && onMake != nil {
		onMake(q.Name)
	}
	a := s.do(q)
	if q.Do == doMake && late != nil {
		late(q.Name)
	}
	if after {
		panic(http.ErrAbortHandler)
	}
	_ = json.NewEncoder(w).Encode(a)
}

func (s *tokens) do(q question) map[string]any {
	done := map[string]any{"done": true}
	if q.Do == doProve { // as anybody shows it
		s.mu.Lock()
		deaf := s.deaf
		s.mu.Unlock()
		return map[string]any{"opens": !deaf && s.opens(q.Secret)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, exists := s.accounts[q.Account]
	switch q.Do {
	case doLook:
		names := []string{}
		for n := range all {
			names = append(names, n)
		}
		slices.Sort(names)
		open := 0
		for _, of := range s.sessions {
			if of == q.Account {
				open++
			}
		}
		return map[string]any{"exists": exists, "login": len(all) > 0, "tokens": names, "sessions": open}
	case doMake:
		if _, there := all[q.Name]; there || !exists {
			return map[string]any{"error": "there is one of this name", "next": "ask with another"}
		}
		return map[string]any{"token": s.add(q.Account, q.Name)}
	case doKeep:
		for n := range all {
			if n != q.Name {
				delete(all, n)
			}
		}
	case doLock:
		clear(all)
	case doEnd:
		for id, of := range s.sessions {
			if of == q.Account {
				delete(s.sessions, id)
			}
		}
	case doNotes:
		return map[string]any{"notes": s.notes}
	case doNote:
		if s.notes[q.Note] != q.Old {
			return map[string]any{"done": false}
		}
		if s.notes[q.Note] = q.New; q.New == "" {
			delete(s.notes, q.Note)
		}
	case doCheck:
		return map[string]any{"steps": []any{map[string]any{"name": "it ends tokens", "ok": !s.weak, "fix": "give its login the right"}}}
	default:
		return map[string]any{"error": "this hook does not know the step"}
	}
	return done
}

// tokenWorld is such a service, with a hook over HTTPS.
type tokenWorld struct {
	t      testing.TB
	s      *tokens
	c      *Connector
	target connector.Target
	n      int
}

func newTokenWorld(t testing.TB) *tokenWorld {
	s := &tokens{accounts: map[string]map[string][32]byte{}, sessions: map[string]string{}, notes: map[string]string{}}
	s.api = httptest.NewServer(s)
	t.Cleanup(s.api.Close)
	c, target, _, _ := elsewhere(t, s.hook)
	target.Connection.Options[access.SecretOption] = string(access.TokenSecret)
	return &tokenWorld{t: t, s: s, c: c, target: target}
}

func (w *tokenWorld) Connector() connector.Connector { return w.c }
func (w *tokenWorld) Target() connector.Target       { return w.target }

func (w *tokenWorld) Order(m access.Mechanism) connector.Order {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.n++
	account := fmt.Sprint("robot_", w.n)
	return connector.Order{Entitlement: "ent_1", Tag: connectortest.NewTag(), Mechanism: m, Person: "mira", ExpiresAt: time.Now().Add(time.Hour), Account: account,
		Secret: access.NewSecret([]byte(access.GivenToken + w.s.add(account, "by hand")))}
}

type tokenSession struct{ url string }

func (s tokenSession) Alive() bool {
	got, err := http.Get(s.url)
	if err != nil {
		return false
	}
	defer got.Body.Close()
	return got.StatusCode == http.StatusOK
}

func (tokenSession) Close() {}

func (w *tokenWorld) shown(r connector.Receipt) string {
	var shown credential
	if !r.Credential.Empty() {
		must(w.t, json.Unmarshal(r.Credential.Reveal(), &shown))
	}
	return shown.Token
}

func (w *tokenWorld) Session(o connector.Order, r connector.Receipt) (connectortest.Session, error) {
	ask, err := http.NewRequest(http.MethodPost, w.s.api.URL+"/session", nil)
	must(w.t, err)
	ask.Header.Set("Authorization", "Bearer "+w.shown(r))
	got, err := http.DefaultClient.Do(ask)
	must(w.t, err)
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return nil, errors.New(got.Status)
	}
	id, err := io.ReadAll(got.Body)
	return tokenSession{w.s.api.URL + string(id)}, err
}

func (w *tokenWorld) State(o connector.Order, r connector.Receipt) connectortest.State {
	w.s.mu.Lock()
	_, marked := w.s.notes[markPrefix+string(o.Tag)]
	open := len(w.s.accounts[o.Account]) > 0
	w.s.mu.Unlock()
	given, _ := bytes.CutPrefix(o.Secret.Reveal(), []byte(access.GivenToken))
	return connectortest.State{Exists: marked, Usable: marked && open || r.Creation != "" && (w.s.opens(string(given)) || w.s.opens(w.shown(r)))}
}

func (w *tokenWorld) Own(connectortest.Session, connector.Order) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *tokenWorld) Replace(connector.Order, connector.Receipt) {
	w.t.Fatal("not for accounts of the vault")
}
func (w *tokenWorld) Grant(connector.Order) { w.t.Fatal("not for accounts of the vault") }
func (w *tokenWorld) Taken(connector.Order) bool {
	w.t.Fatal("not for accounts of the vault")
	return false
}
func (w *tokenWorld) ForgeClaim(installation string, epoch int64) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.notes[claimNote] = owner{installation, epoch, ""}.String()
}
func (w *tokenWorld) Weaken() { w.arm(func(s *tokens) { s.weak = true }) }
func (w *tokenWorld) Restart() {
	w.arm(func(s *tokens) { clear(s.sessions) })
}

func (w *tokenWorld) arm(set func(*tokens)) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	set(w.s)
}

func (w *tokenWorld) CutBefore() { w.arm(func(s *tokens) { s.before = true }) }
func (w *tokenWorld) CutAfter()  { w.arm(func(s *tokens) { s.after = true }) }
func (w *tokenWorld) Hang() {
	w.arm(func(s *tokens) { s.hang, s.waiting = true, make(chan struct{}) })
}
func (w *tokenWorld) Resume() { w.arm(func(s *tokens) { s.hang = false; close(s.waiting) }) }
func (w *tokenWorld) Faulty() (connector.Target, connectortest.Faults) {
	return w.target, w
}

// TestTokenConformance: accounts whose tokens the target makes do all that the contract asks.
func TestTokenConformance(t *testing.T) {
	connectortest.Run(t, func(t *testing.T) connectortest.World { return newTokenWorld(t) })
}

// giveBack goes the way out once, as far as it gets.
func (w *tokenWorld) giveBack(o connector.Order) connector.Observation {
	ctx, done := context.WithTimeout(w.t.Context(), patience)
	defer done()
	for _, step := range []func(context.Context, connector.Target, []connector.Order) []connector.Result{w.c.Revoke, w.c.TerminateSessions, w.c.Remove} {
		if got := step(ctx, w.target, []connector.Order{o})[0]; got.Outcome != connector.Done {
			return connector.Observation{Err: got.Err}
		}
	}
	return w.c.Verify(ctx, w.target, []connector.Order{o})[0]
}

// live are the names of the tokens that open an account.
func (w *tokenWorld) live(account string) (names []string) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	for n := range w.s.accounts[account] {
		names = append(names, n)
	}
	return names
}

// TestTokenBrokenOff: wherever the making of a token is broken off, before or after it was
// made, the next attempt with the same secret ends with one token that opens, of which the
// value is known; one whose making nobody heard the end of is dead.
func TestTokenBrokenOff(t *testing.T) {
	for n := range 10 {
		for _, after := range []bool{false, true} {
			w := newTokenWorld(t)
			o := w.Order(access.Checkout)
			o.Next = access.NewSecret([]byte(newText()))
			steps, broken := 0, ""
			// The n-th step that changes anything is cut.
			w.c, w.target, _, _ = elsewhere(t, func(rw http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var q question
				_ = json.Unmarshal(body, &q)
				if q.Do == doMake || q.Do == doLock || q.Do == doKeep || q.Do == doNote || q.Do == doEnd {
					if steps++; steps == n+1 {
						broken = q.Do
						w.arm(func(s *tokens) { s.before, s.after = !after, after })
					}
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				w.s.hook(rw, r)
			})
			w.target.Connection.Options[access.SecretOption] = string(access.TokenSecret)
			seen := w.giveBack(o)
			for tries := 0; !seen.Turned && tries < 5; tries++ {
				seen = w.giveBack(o)
			}
			if !seen.Turned || !seen.Gone() {
				t.Fatalf("cut at %d (%s), after %v: %+v", n, broken, after, seen)
			}
			k, err := w.c.token(t.Context(), w.target, o.Account, o.Next)
			must(t, err)
			if live := w.live(o.Account); !slices.Equal(live, []string{k.Name}) || !w.s.opens(k.value) {
				t.Errorf("cut at %d (%s), after %v: live are %v, known is %s", n, broken, after, live, k.Name)
			}
			given, _ := bytes.CutPrefix(o.Secret.Reveal(), []byte(access.GivenToken))
			if w.s.opens(string(given)) {
				t.Error("the token of before opens")
			}
		}
	}
}

// TestTokenOfALateCall: a token that a call makes after everybody has given it up is found
// when the account is lent next, is ended, and is lent to nobody; and so is one that somebody
// made by hand.
func TestTokenOfALateCall(t *testing.T) {
	w := newTokenWorld(t)
	o := w.Order(access.Checkout)
	o.Next = access.NewSecret([]byte(newText()))
	if seen := w.giveBack(o); !seen.Turned {
		t.Fatalf("%+v", seen)
	}
	w.arm(func(s *tokens) { s.add(o.Account, "stint-late") })
	next := o
	next.Tag, next.Secret, next.Next = connectortest.NewTag(), o.Next, access.Secret{}
	_, err := w.c.Provision(t.Context(), w.target, next)
	if !errors.Is(err, connector.ErrStale) {
		t.Fatalf("an account that two tokens open was lent: %v", err)
	}
	next.Next = access.NewSecret([]byte(newText()))
	r, err := w.c.Provision(t.Context(), w.target, next)
	must(t, err)
	if live := w.live(o.Account); len(live) != 1 || !r.Turned || !w.s.opens(w.shown(r)) {
		t.Errorf("live are %v", live)
	}
	if strings.Contains(fmt.Sprint(w.s.notes), w.shown(r)) {
		t.Error("a note says the token")
	}
	notes := 0
	for name := range w.s.notes {
		if strings.HasPrefix(name, tokenPrefix) {
			notes++
		}
	}
	if notes > 2 {
		t.Errorf("%d notes about tokens are left", notes)
	}
}

// TestTokenThatDoesNotOpen: where a new token does not open, it is ended before another is
// made, and before the attempt is over: of tokens that are not seen to open one lives at a
// time, whatever is tried, and whichever step breaks off.
func TestTokenThatDoesNotOpen(t *testing.T) {
	w := newTokenWorld(t)
	o := w.Order(access.Checkout)
	o.Next = access.NewSecret([]byte(newText()))
	w.arm(func(s *tokens) {
		s.deaf = true
		s.late = func(string) {
			if live := w.live(o.Account); len(live) > 1 {
				t.Errorf("live are %v", live)
			}
		}
	})
	for range 2 {
		if seen := w.giveBack(o); seen.Turned {
			t.Fatalf("%+v", seen)
		}
		if live := w.live(o.Account); len(live) != 0 {
			t.Errorf("after the attempt live are %v", live)
		}
	}
	w.arm(func(s *tokens) { s.deaf = false })
	if seen := w.giveBack(o); !seen.Turned || !seen.Gone() {
		t.Errorf("%+v", seen)
	}
	if live := w.live(o.Account); len(live) != 1 {
		t.Errorf("at the end live are %v", live)
	}
}

// TestTokenThatWasBroughtIsLentAlone: a token that somebody brought is taken, and lent, where
// the account has no other one. Beside another it cannot be told which one is lent: then it is
// as if it was changed by hand, and what is lent is a fresh one, alone.
func TestTokenThatWasBroughtIsLentAlone(t *testing.T) {
	w := newTokenWorld(t)
	o := w.Order(access.Checkout)
	try := o
	try.Secret, try.Next = access.Secret{}, o.Secret
	if seen := w.c.Verify(t.Context(), w.target, []connector.Order{try})[0]; !seen.Turned {
		t.Errorf("alone: %+v", seen)
	}
	w.arm(func(s *tokens) { s.add(o.Account, "of somebody") })
	if seen := w.c.Verify(t.Context(), w.target, []connector.Order{try})[0]; seen.Turned || !errors.Is(seen.Err, connector.ErrNotAlone) {
		t.Errorf("beside another: %+v", seen)
	}
	if _, err := w.c.Provision(t.Context(), w.target, o); !errors.Is(err, connector.ErrStale) {
		t.Fatalf("it was lent beside another: %v", err)
	}
	o.Next = access.NewSecret([]byte(newText()))
	r, err := w.c.Provision(t.Context(), w.target, o)
	must(t, err)
	if live := w.live(o.Account); len(live) != 1 || !w.s.opens(w.shown(r)) {
		t.Errorf("live are %v", live)
	}
}

// TestTokenNotesAreNotBelieved: what somebody writes into the notes gives nobody a token of
// theirs: it does not open, and is no token.
func TestTokenNotesAreNotBelieved(t *testing.T) {
	w := newTokenWorld(t)
	o := w.Order(access.Checkout)
	o.Next = access.NewSecret([]byte(newText()))
	if seen := w.giveBack(o); !seen.Turned {
		t.Fatalf("%+v", seen)
	}
	good, err := w.c.token(t.Context(), w.target, o.Account, o.Next)
	must(t, err)
	var stored kept
	must(t, json.Unmarshal([]byte(good.text), &stored))
	text := func(k kept) string {
		b, err := json.Marshal(k)
		must(t, err)
		return string(b)
	}
	changed := slices.Clone(stored.Sealed)
	changed[len(changed)-1] ^= 1
	for what, forged := range map[string]string{
		"no JSON": "tok_x", "nothing": "{}", "not sealed": text(kept{Account: o.Account, Name: "theirs", Sealed: []byte("tok_theirs")}),
		"another name": text(kept{Account: o.Account, Name: "theirs", Sealed: stored.Sealed}), "another account": text(kept{Account: "other", Name: stored.Name, Sealed: stored.Sealed}),
		"changed": text(kept{Account: o.Account, Name: stored.Name, Sealed: changed}),
	} {
		w.arm(func(s *tokens) { s.notes[good.at] = forged })
		k, err := w.c.token(t.Context(), w.target, o.Account, o.Next)
		if err != nil || k.value != "" {
			t.Errorf("%s: %v, and a token is known", what, err)
		}
	}
	w.arm(func(s *tokens) { s.notes[good.at] = good.text })
	other := w.target
	other.Connection.Address = "elsewhere:1"
	if k, err := w.c.token(t.Context(), other, o.Account, o.Next); err != nil || k.value != "" {
		t.Errorf("at another address: %v, and a token is known", err)
	}
	if k, err := w.c.token(t.Context(), w.target, o.Account, access.NewSecret([]byte(newText()))); err != nil || k.value != "" {
		t.Errorf("with another secret: %v, and a token is known", err)
	}
}

// TestTokensThatAreNone: what a hook gives for a token and cannot be one is none, and no error
// says it.
func TestTokensThatAreNone(t *testing.T) {
	for name, token := range map[string]string{"empty": "", "two lines": "canary\r\nX: y", "a space": "canary x", "long": strings.Repeat("c", maxToken+1), "no ASCII": "canäry", "a NUL": "canary\x00"} {
		text, err := json.Marshal(map[string]any{"token": token})
		must(t, err)
		if _, err := readAnswer(question{Do: doMake}, text); !errors.Is(err, errAnswer) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	a, err := readAnswer(question{Do: doMake}, []byte(`{"token": "canary-token", "error": "canary-token is one too many"}`))
	if err == nil || strings.Contains(err.Error()+a.Error, "canary-token") {
		t.Errorf("an error says the token: %v", err)
	}
}
