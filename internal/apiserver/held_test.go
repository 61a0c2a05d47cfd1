package apiserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/audit"
)

// A held answer comes as soon as there is what it is held for.
func TestHeldAnswer(t *testing.T) {
	w, admin := populated(t)
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	olga := w.as(admin, api.UserAdd{Name: "olga", Groups: []string{"dba"}})
	r, err := gus.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
	check(t, err)
	type result struct {
		r   api.Request
		err error
	}
	answer := make(chan result, 1)
	go func() {
		r, err := gus.Request(context.Background(), r.ID, api.Wait{For: api.Decided, Time: time.Minute})
		answer <- result{r, err}
	}()
	w.until(func() bool { return w.server.waits.used.Load() == 1 })
	_, err = olga.Deny(t.Context(), r.ID, api.VoteAsk{Note: "not today"})
	check(t, err)
	select {
	case got := <-answer:
		if got.err != nil || got.r.State != api.RequestDenied {
			t.Errorf("got %s, %v", got.r.State, got.err)
		}
	case <-time.After(60 * time.Second):
		t.Error("the answer did not come")
	}
}

// until looks at the server's own counters until they say what is waited for.
func (w *world) until(is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); {
		if time.Now().After(deadline) {
			w.t.Fatal("it did not come to that")
		}
		// One call through the door is a good moment to look again.
		w.send(raw{method: "GET", path: "/healthz"})
	}
}

func TestWaitRunsOut(t *testing.T) {
	w, admin := populated(t)
	w.as(admin, api.UserAdd{Name: "anna", Groups: []string{"dba"}}) // who could approve
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	r, err := gus.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{For: api.Ready, Time: time.Second})
	check(t, err)
	if r.State != api.RequestPending {
		t.Errorf("got %s", r.State)
	}
}

func TestTail(t *testing.T) {
	w, admin := populated(t)
	w.server.pulse = 20 * time.Millisecond
	axel := w.as(admin, api.UserAdd{Name: "axel", Auditor: true})
	w.records(admin, api.AuditList{Actor: "user:axel", Type: "login.created"}, 1)
	next := w.openTail(axel, "?after=-1")
	seq := int64(0)
	for line := range next {
		if len(line) == 0 { // all of the past was told
			break
		}
		var r api.AuditRecord
		r.Seq, r.Record = record(t, line)
		if r.Seq != seq {
			t.Fatalf("record %d follows %d", r.Seq, seq-1)
		}
		if _, err := audit.Decode(r.Record); err != nil {
			t.Fatalf("record %d: %v in %s", r.Seq, err, r.Record)
		}
		seq++
	}
	if seq < 5 {
		t.Errorf("the past has %d records", seq)
	}
	_, err := admin.AddUser(t.Context(), api.UserAdd{Name: "mira"})
	check(t, err)
	for line := range next {
		if len(line) > 0 {
			if got, rec := record(t, line); got != seq || !bytes.Contains(rec, []byte("principal.created")) {
				t.Errorf("then came %d %s", got, rec)
			}
			break
		}
	}
	// Whoever loses their sign-in loses the stream.
	check(t, axel.Logout(t.Context()))
	done := make(chan struct{})
	go func() {
		for range next {
		}
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Error("the stream went on after the sign-in had ended")
	}
}

func record(t *testing.T, line []byte) (int64, []byte) {
	t.Helper()
	head, body, ok := bytes.Cut(line, []byte(`,"record":`))
	num, ok2 := strings.CutPrefix(string(head), `{"seq":`)
	if !ok || !ok2 {
		t.Fatalf("not a line of a log: %s", line)
	}
	var n int64
	for _, c := range num {
		n = n*10 + int64(c-'0')
	}
	return n, bytes.TrimSuffix(body, []byte("}"))
}

// openTail follows the log; the lines end when the stream does.
func (w *world) openTail(c *api.Client, query string) func(func([]byte) bool) {
	w.t.Helper()
	u, err := url.Parse(w.http.URL + "/v1/audit/tail" + query)
	check(w.t, err)
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, u.String(), nil)
	check(w.t, err)
	proof, err := c.Device.Proof(api.Call{Method: http.MethodGet, URL: u, Body: emptyBody, Token: c.Token}, time.Now().Add(w.skew))
	check(w.t, err)
	req.Header.Set(api.HeaderProof, proof)
	req.Header.Set("Authorization", "DPoP "+c.Token.Reveal())
	resp, err := w.http.Client().Do(req)
	check(w.t, err)
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != linesType {
		w.t.Fatalf("the tail answers %d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	sc := bufio.NewScanner(resp.Body)
	return func(yield func([]byte) bool) {
		for sc.Scan() {
			if !yield(sc.Bytes()) {
				return
			}
		}
	}
}

func TestExportVerifies(t *testing.T) {
	w, admin := populated(t)
	w.records(admin, api.AuditList{Type: "documents.applied"}, 1)
	var out bytes.Buffer
	check(t, admin.AuditExport(t.Context(), &out))
	key, err := admin.LogKey(t.Context())
	check(t, err)
	rep, err := audit.Verify(bytes.NewReader(out.Bytes()), key.Key, nil)
	check(t, err)
	if rep.Checkpoint.Size < 5 {
		t.Errorf("the export has %d records", rep.Checkpoint.Size)
	}
	cp, err := admin.AuditCheckpoint(t.Context())
	check(t, err)
	if _, err := audit.OpenCheckpoint([]byte(cp.Checkpoint), key.Key); err != nil {
		t.Error(err)
	}
}

// At the end held answers are given, streams end, and calls in work finish.
func TestStopsGracefully(t *testing.T) {
	w, admin := populated(t)
	w.as(admin, api.UserAdd{Name: "anna", Groups: []string{"dba"}}) // who could approve
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, ln) }()
	admin.Server = &url.URL{Scheme: "http", Host: ln.Addr().String()}
	gus := w.as(admin, api.UserAdd{Name: "gus", Groups: []string{"guests"}})
	gus.Server = admin.Server
	r, err := gus.Submit(t.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{})
	check(t, err)
	held := make(chan error, 1)
	go func() {
		r, err := gus.Request(context.Background(), r.ID, api.Wait{For: api.Decided, Time: time.Minute})
		if err == nil && r.State != api.RequestPending {
			err = errors.New("it was " + string(r.State))
		}
		held <- err
	}()
	tail := make(chan error, 1)
	go func() {
		tail <- admin.AuditTail(context.Background(), api.FromFirst, func(api.AuditRecord) error { return nil })
	}()
	w.until(func() bool { return w.server.waits.used.Load() == 2 })
	stop()
	for name, ch := range map[string]chan error{"the server": served, "the held answer": held} {
		select {
		case err := <-ch:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(60 * time.Second):
			t.Fatalf("%s does not end", name)
		}
	}
	select {
	case <-tail:
	case <-time.After(60 * time.Second):
		t.Error("the stream does not end")
	}
}

// TestStopWaitsForNoSilence: a connection on which nothing is said, as clients keep them
// in reserve, keeps nobody from stopping. net/http would give it five seconds, always;
// a busy machine can make one stop slow, and not each of several.
func TestStopWaitsForNoSilence(t *testing.T) {
	w, _ := populated(t)
	took := time.Hour
	for range 5 {
		if took = min(took, w.stopWith("")); took < 4*time.Second {
			return
		}
	}
	t.Errorf("the quickest of several stops took %s", took)
}

// TestStopWaitsForNoEnd: a call that never comes to its end keeps nobody from stopping
// either. Without a bound, reading it would take readWithin.
func TestStopWaitsForNoEnd(t *testing.T) {
	w, _ := populated(t)
	took := w.stopWith("POST /v1/requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
	if took > readWithin-finishWithin {
		t.Errorf("the stop took %s", took)
	}
}

// stopWith is how long the server takes to stop while a client has said that and no more.
func (w *world) stopWith(says string) time.Duration {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(w.t, err)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(ctx, ln) }()
	conn, err := net.Dial("tcp", ln.Addr().String())
	check(w.t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, says)
	check(w.t, err)
	other, err := http.Get("http://" + ln.Addr().String() + "/healthz") // the first is accepted by then
	check(w.t, err)
	check(w.t, other.Body.Close())
	began := time.Now()
	stop()
	check(w.t, <-served)
	return time.Since(began)
}
