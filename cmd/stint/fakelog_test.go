package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/audit"
)

// fakeLog is a real log, signed with a real key, that a test can damage.
type fakeLog struct {
	mu       sync.Mutex // guards what follows
	signer   note.Signer
	verifier string
	records  [][]byte
	bent     bool // an export has one byte changed
}

const fakeOrigin = "stint/01TEST"

func newFakeLog(tb testing.TB) *fakeLog {
	tb.Helper()
	l := &fakeLog{}
	l.newKey(tb)
	l.append(tb, 5)
	return l
}

func (l *fakeLog) newKey(tb testing.TB) {
	tb.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, fakeOrigin)
	if err != nil {
		tb.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.signer, err = note.NewSigner(secret); err != nil {
		tb.Fatal(err)
	}
	l.verifier = public
}

// append adds n records, each of an entity of its own.
func (l *fakeLog) append(tb testing.TB, n int) {
	tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		i := len(l.records)
		encoded, err := audit.Encode(audit.Record{ID: fmt.Sprintf("rec_%d", i), Event: access.Event{Type: "grant.ended",
			At: time.Date(2026, 3, 1, 12, 0, i, 0, time.UTC), Entity: fmt.Sprintf("grt_%d", i), Version: 1,
			Actor: access.Actor{Principal: "user:mira", Person: "mira"}, Facts: map[string]string{"resource": "orders-db", "reason": "a\x1b[31m<b>"}}})
		if err != nil {
			tb.Fatal(err)
		}
		l.records = append(l.records, encoded)
	}
}

// cut takes the newest records away, as whoever restores an old copy does.
func (l *fakeLog) cut(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = l.records[:len(l.records)-n]
}

func (l *fakeLog) key() api.LogKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	return api.LogKey{Origin: fakeOrigin, Key: l.verifier}
}

func (l *fakeLog) export() ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out bytes.Buffer
	var tree audit.Tree
	e := audit.NewExporter(&out, fakeOrigin, int64(len(l.records)))
	for i, encoded := range l.records {
		leaf := audit.Leaf(encoded)
		tree, _ = tree.Append(leaf)
		if err := e.Record(int64(i), leaf, encoded); err != nil {
			return nil, err
		}
	}
	signed, err := audit.SignCheckpoint(tree.Checkpoint(fakeOrigin), l.signer)
	if err != nil {
		return nil, err
	}
	if err := e.Checkpoint(signed); err != nil {
		return nil, err
	}
	err = e.Close()
	text := out.Bytes()
	if l.bent {
		text = bytes.Replace(text, []byte("grt_3"), []byte("grt_X"), 1)
	}
	return text, err
}

func (l *fakeLog) routes(f *fake, mux *http.ServeMux) {
	f.route(mux, "GET /v1/audit/checkpoint", func(fakeLogin, *http.Request, []byte) (any, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		var tree audit.Tree
		for _, r := range l.records {
			tree, _ = tree.Append(audit.Leaf(r))
		}
		signed, err := audit.SignCheckpoint(tree.Checkpoint(fakeOrigin), l.signer)
		return api.Checkpoint{Checkpoint: string(signed)}, err
	})
	f.route(mux, "GET /v1/audit/records", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		q := r.URL.Query()
		after, err := strconv.ParseInt(q.Get("after"), 10, 64)
		if err != nil {
			after = -1
		}
		if c := q.Get("cursor"); c != "" {
			if after, err = strconv.ParseInt(c, 10, 64); err != nil {
				return nil, err
			}
		}
		page := api.Page[api.AuditRecord]{Items: []api.AuditRecord{}}
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := after + 1; i < int64(len(l.records)); i++ {
			if len(page.Items) == 2 { // so that there are pages
				page.Next = strconv.FormatInt(i-1, 10)
				break
			}
			if actor := q.Get("actor"); actor == "" || actor == "user:mira" {
				page.Items = append(page.Items, api.AuditRecord{Seq: i, Record: json.RawMessage(l.records[i])})
			}
		}
		return page, nil
	})
	stream := func(write func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if _, err := f.caller(r, nil); err != nil {
				answer(w, nil, err)
				return
			}
			w.Header().Set("Content-Type", "application/x-ndjson")
			if err := write(w, r); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}
	mux.HandleFunc("GET /v1/audit/export", stream(func(w http.ResponseWriter, _ *http.Request) error {
		text, err := l.export()
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	}))
	mux.HandleFunc("GET /v1/audit/tail", stream(func(w http.ResponseWriter, r *http.Request) error {
		after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
		if err != nil {
			return err
		}
		l.mu.Lock()
		for i := after + 1; i < int64(len(l.records)); i++ {
			fmt.Fprintf(w, `{"seq":%d,"record":%s}`+"\n", i, l.records[i])
		}
		l.mu.Unlock()
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		f.change(func() { f.waiting++ })
		<-r.Context().Done()
		f.change(func() { f.waiting-- })
		return nil
	}))
}
