package signpage

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Page is what a person reads before they use a passkey.
type Page struct {
	Title string
	Facts []Fact
	Text  string
	// Button is what the first step is called.
	Button string
}

// Fact is one line of a summary.
type Fact struct{ Name, Value string }

// Step is one use of an authenticator. The zero Step says that all is done.
type Step struct {
	Create *Create `json:"create,omitempty"`
	Get    *Get    `json:"get,omitempty"`
	Said   string  `json:"said,omitempty"`   // above the button
	Button string  `json:"button,omitempty"` // empty: as it is
}

// Create has a passkey made, for localhost.
type Create struct {
	Challenge  []byte   `json:"challenge"`
	User       string   `json:"user"`
	UserID     []byte   `json:"user_id"` // at most 64 bytes
	Algorithms []int    `json:"algorithms"`
	Exclude    [][]byte `json:"exclude"` // credentials that the authenticator must not have
}

// Get has a challenge signed by one of the credentials.
type Get struct {
	Challenge []byte   `json:"challenge"`
	Allow     [][]byte `json:"allow"`
}

// Result is what the browser gives of a step.
type Result struct {
	Credential        []byte `json:"credential"`
	ClientData        []byte `json:"client_data"`
	Attestation       []byte `json:"attestation"`
	AuthenticatorData []byte `json:"authenticator_data"`
	Signature         []byte `json:"signature"`
}

const (
	maxResult = 128 << 10
	readFor   = 10 * time.Second
	// lingerFor is how long the page is there after the last step, for the browser to
	// show what became of it.
	lingerFor = 2 * time.Second
)

// Run serves the page until all is done, next fails, or ctx ends. open is told the
// page's address once it is there. next is called with what each step gave, in turn, and
// returns the one after it; its error ends the run and is returned.
func Run(ctx context.Context, p Page, first Step, open func(address string) error, next func(context.Context, Result) (Step, error)) error {
	lns, port, err := listen()
	if err != nil {
		return fmt.Errorf("listen on this machine: %w", err)
	}
	r := &run{page: p, step: first, next: next, host: "localhost:" + port, path: "/" + random(), done: make(chan error, 1), ctx: ctx}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+r.path, r.show)
	mux.HandleFunc("POST "+r.path+"/next", r.advance)
	srv := &http.Server{Handler: r.guard(mux), ReadHeaderTimeout: readFor, ReadTimeout: readFor, MaxHeaderBytes: 32 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	var served sync.WaitGroup
	for _, ln := range lns {
		served.Go(func() { _ = srv.Serve(ln) })
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lingerFor)
		defer cancel()
		if srv.Shutdown(end) != nil {
			_ = srv.Close()
		}
		served.Wait()
	}()
	if err := open("http://" + r.host + r.path); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-r.done:
		return err
	}
}

// listen takes one port on both addresses of localhost: nobody else on this machine may
// answer for us on the one that we left free.
func listen() ([]net.Listener, string, error) {
	for range 20 {
		four, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, "", err
		}
		port := strconv.Itoa(four.Addr().(*net.TCPAddr).Port)
		six, err := net.Listen("tcp", "[::1]:"+port)
		if err == nil {
			return []net.Listener{four, six}, port, nil
		}
		probe, err := net.Listen("tcp", "[::1]:0")
		if err != nil { // there is no such address here
			return []net.Listener{four}, port, nil
		}
		_ = probe.Close()
		_ = four.Close()
	}
	return nil, "", errors.New("no port is free on both 127.0.0.1 and ::1")
}

type run struct {
	page Page
	host string
	path string
	next func(context.Context, Result) (Step, error)
	done chan error
	ctx  context.Context

	mu   sync.Mutex
	step Step
	over bool
}

// guard answers to our own name and our own page only.
func (r *run) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		ours := q.Host == r.host
		if q.Method != http.MethodGet {
			ours = ours && q.Header.Get("Origin") == "http://"+r.host && q.Header.Get("Content-Type") == "application/json"
		}
		if site := q.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			ours = false
		}
		if !ours {
			http.NotFound(w, q)
			return
		}
		head := w.Header()
		head.Set("Cache-Control", "no-store")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.ServeHTTP(w, q)
	})
}

//go:embed page.html
var pageHTML string

//go:embed page.js
var pageJS string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

func (r *run) show(w http.ResponseWriter, _ *http.Request) {
	nonce := random()
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	head.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+"'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	head.Set("Permissions-Policy", "publickey-credentials-create=(self), publickey-credentials-get=(self)")
	_ = pageTemplate.Execute(w, struct {
		Page
		Nonce  string
		Script template.JS
	}{r.page, nonce, template.JS(pageJS)})
}

// advance takes what a step gave, and answers with the next one. A page that was loaded
// anew asks for the current one with null.
func (r *run) advance(w http.ResponseWriter, q *http.Request) {
	var result *Result
	d := json.NewDecoder(http.MaxBytesReader(w, q.Body, maxResult))
	d.DisallowUnknownFields()
	if err := d.Decode(&result); err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if result != nil && !r.over {
		step, err := r.next(r.ctx, *result)
		switch {
		case err != nil:
			r.over, r.step = true, Step{Said: "It did not work: " + strings.TrimSuffix(err.Error(), ".") + ". Go back to the terminal."}
		case step.Create == nil && step.Get == nil:
			r.over, r.step = true, Step{Said: "Done. You can close this page and go back to the terminal."}
		default:
			r.step = step
		}
		if r.over {
			r.done <- err // once, and there is room
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(r.step)
}

// random is 256 bits.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
