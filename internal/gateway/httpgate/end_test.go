package httpgate

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"stint/internal/gateway"
)

// live adds to an application what goes on: an endless answer, events, a websocket that
// says again what it hears, an answer that does not come.
func (a *app) live() (gone chan string) {
	gone = make(chan string, 16)
	wait := func(r *http.Request) {
		<-r.Context().Done()
		gone <- r.URL.Path
	}
	a.mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		wait(r)
	})
	a.mux.HandleFunc("/torn", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: half of")
		_ = http.NewResponseController(w).Flush()
		wait(r)
	})
	a.mux.HandleFunc("/wait", func(_ http.ResponseWriter, r *http.Request) { wait(r) })
	a.mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 64<<10)
		for {
			if _, err := w.Write(b); err != nil {
				gone <- r.URL.Path
				return
			}
		}
	})
	a.mux.HandleFunc("/upload", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		gone <- r.URL.Path
	})
	a.mux.HandleFunc("/live", func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + acceptance(r.Header.Get("Sec-Websocket-Key")) + "\r\n\r\n")
		_ = rw.Flush()
		for {
			op, payload, err := readFrame(rw.Reader)
			if err != nil || op == 8 {
				gone <- r.URL.Path
				return
			}
			if string(payload) == "half" { // of a frame
				_, _ = rw.Write([]byte{0x81, 5, 'a', 'b'})
			} else {
				_, _ = rw.Write(append([]byte{0x81, byte(len(payload))}, payload...))
			}
			_ = rw.Flush()
		}
	})
	return gone
}

func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := int(h[1] & 0x7f)
	if n == 126 {
		var l [2]byte
		if _, err := io.ReadFull(r, l[:]); err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(l[:]))
	}
	var mask [4]byte
	if h[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return h[0] & 15, payload, err
}

// websocket opens one as a browser does.
func (w *world) websocket(cookie, path, origin string) (io.Writer, *bufio.Reader, *http.Response) {
	w.t.Helper()
	cfg := w.device()
	if cookie != "" {
		cfg.NextProtos, cfg.Certificates = []string{"http/1.1"}, nil
	}
	c, r := w.raw(cfg)
	if origin != "" {
		origin = "Origin: " + origin + "\r\n"
	}
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: %s\r\n%s\r\n", path, host, cookie, origin)
	must(w.t, err)
	got, err := http.ReadResponse(r, nil)
	must(w.t, err)
	return c, r, got
}

func frame(text string) []byte { // masked with nothing
	return append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)
}

// TestWebSocket: opening one is a right of its own, and needs a session and the
// application's own origin: class E2.
func TestWebSocket(t *testing.T) {
	w := newWorld(t, func(_ *Config, p *control) {
		p.permit.Web.Rules = []gateway.PathRule{{Effect: gateway.Allow, Methods: []string{"GET"}, Path: "/**"}, {Effect: gateway.Allow, Methods: []string{gateway.WebSocket}, Path: "/live"}}
	})
	w.app.live()
	mine := w.cookieOf(w.signedIn(false))
	for _, try := range []struct {
		cookie, path, origin string
		want                 int
	}{
		{mine, "/live", "https://" + host, 101}, {mine, "/live", "https://evil.test", 403}, {mine, "/live", "https://other.web.test", 403}, {mine, "/live", "http://" + host, 403}, {mine, "/live", "null", 403}, {mine, "/live", "", 403},
		{"a=b", "/live", "https://" + host, 401}, {cookieName + "=made-up", "/live", "https://" + host, 401}, {mine, "/begin", "https://" + host, 403}, {"", "/live", "", 101}, {"", "/live", "https://evil.test", 403},
	} {
		c, r, got := w.websocket(try.cookie, try.path, try.origin)
		if got.StatusCode != try.want {
			t.Errorf("%+v: %s", try, got.Status)
		}
		if got.StatusCode != 101 {
			continue
		}
		_, err := c.Write(frame("hello"))
		must(t, err)
		if op, text, err := readFrame(r); err != nil || op != 1 || string(text) != "hello" {
			t.Errorf("%+v: %d %q %v", try, op, text, err)
		}
	}
}

// TestC1LiveRequests: whatever runs is over when the session is, and says why where it can.
func TestC1LiveRequests(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, path := range []string{"/events", "/torn", "/wait", "/endless", "/upload"} {
			t.Run(fmt.Sprint(path, " h2 ", h2), func(t *testing.T) {
				steady(t, func() string { return liveRequest(t, path, h2) })
			})
		}
	}
}

// liveRequest revokes the access while a request is under way. It gives what is wrong with
// the last words, which a client that is too slow does not hear.
func liveRequest(t *testing.T, path string, h2 bool) (wrong string) {
	const why = "the access was revoked (an exercise)"
	w := newWorld(t)
	gone := w.app.live()
	c := w.signedIn(h2)
	ctx, done := context.WithTimeout(t.Context(), long)
	defer done()
	method, body := http.MethodGet, io.Reader(nil)
	pr, pw := io.Pipe()
	defer func() { _ = pw.Close() }()
	if path == "/upload" {
		go func() { _, _ = io.WriteString(pw, "a part") }()
		method, body = http.MethodPost, pr
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://"+host+path, body)
	must(t, err)
	type answer struct {
		text string
		code int
	}
	got, reading := make(chan answer, 1), make(chan bool)
	go func() {
		res, err := c.Do(r)
		if err != nil {
			got <- answer{text: err.Error()}
			return
		}
		defer func() { _ = res.Body.Close() }()
		if path == "/events" || path == "/torn" {
			b := make([]byte, 9)
			_, _ = io.ReadFull(res.Body, b)
			close(reading)
		}
		if path == "/endless" {
			close(reading)
			<-ctx.Done() // it does not read
			got <- answer{code: res.StatusCode}
			return
		}
		b, _ := io.ReadAll(res.Body)
		got <- answer{string(b), res.StatusCode}
	}()
	switch path {
	case "/wait", "/upload":
		eventually(t, "it arrives", func() bool { return slices.Contains(w.app.targets(), method+" "+path) })
	default:
		select {
		case <-reading:
		case a := <-got:
			t.Fatalf("no answer begins: %d %q", a.code, a.text)
		case <-time.After(long):
			t.Fatal("no answer begins")
		}
	}
	w.control.revoke()
	if g := receive(t, "the application's end is over", gone); g != path {
		t.Errorf("%s is gone", g)
	}
	eventually(t, "it is told", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Revoked}) })
	if path == "/endless" {
		done()
	}
	_ = pw.Close() // Go's client waits for it
	a := receive(t, "the client's end is over", got)
	switch path {
	case "/events":
		if !strings.Contains(a.text, "event: stint-ended\ndata: the session has ended: "+why+"\n\n") {
			wrong = fmt.Sprintf("it ends with %q", a.text)
		}
	case "/torn":
		if strings.Contains(a.text, "stint") {
			t.Errorf("something is said within an event: %q", a.text)
		}
	case "/wait", "/upload":
		if (a.code != 403 || !strings.Contains(a.text, "the access was revoked")) && a.code != 0 { // a client that sends may not hear
			wrong = fmt.Sprintf("it ends with %d %q", a.code, a.text)
		}
	}
	c.CloseIdleConnections()
	res, text := w.get(c, "https://"+host+"/", "Accept", "text/html")
	if res.StatusCode != 403 || res.Header.Get(endedHeader) != "revoked" || !strings.Contains(text, "the access was revoked") || !strings.Contains(text, "stint request") || res.Header.Get("Clear-Site-Data") == "" {
		t.Errorf("afterwards: %s %v %s", res.Status, res.Header, text)
	}
	if res, _ := w.get(c, "https://"+host+"/", "Accept", "text/html"); res.StatusCode != http.StatusFound {
		t.Errorf("who has read why is not let sign in again: %s", res.Status)
	}
	if o, is := w.tapes.last().outcome(1); !is || !strings.Contains(o.Failed, "revoked") {
		t.Errorf("it is recorded as %+v", o)
	}
	return wrong
}

// TestC1WebSocket: a websocket is closed with why, between two frames; and after the end
// none is opened.
func TestC1WebSocket(t *testing.T) {
	for _, half := range []bool{false, true} {
		t.Run(fmt.Sprint("within a frame ", half), func(t *testing.T) {
			steady(t, func() string { return liveSocket(t, half) })
		})
	}
}

// liveSocket revokes the access while a websocket is open, perhaps within a frame. It gives
// what is wrong with the last words.
func liveSocket(t *testing.T, half bool) (wrong string) {
	w := newWorld(t)
	gone := w.app.live()
	mine := w.cookieOf(w.signedIn(false))
	c, r, got := w.websocket(mine, "/live", "https://"+host)
	if got.StatusCode != 101 {
		t.Fatal(got.Status)
	}
	say, want := "hello", byte(1)
	if half {
		say = "half"
	}
	_, err := c.Write(frame(say))
	must(t, err)
	if half {
		if _, err := r.Peek(4); err != nil {
			t.Fatal(err)
		}
	} else if op, _, err := readFrame(r); op != want || err != nil {
		t.Fatal(op, err)
	}
	w.control.revoke()
	receive(t, "the application's end is over", gone)
	rest, _ := io.ReadAll(r)
	switch {
	case half:
		if string(rest) != "\x81\x05ab" {
			t.Errorf("within a frame comes %q", rest)
		}
	case len(rest) < 4 || rest[0] != 0x88 || binary.BigEndian.Uint16(rest[2:]) != policyViolation || !strings.Contains(string(rest[4:]), "the access was revoked"):
		wrong = fmt.Sprintf("it is closed with %q", rest)
	}
	eventually(t, "it is told", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Revoked}) })
	if _, _, got := w.websocket(mine, "/live", "https://"+host); got.StatusCode != 403 || got.Header.Get(endedHeader) != "revoked" {
		t.Errorf("after the end: %s", got.Status)
	}
	if o, is := w.tapes.last().outcome(2); is || !strings.Contains(func() string { o, _ := w.tapes.last().outcome(1); return o.Failed }(), "revoked") {
		t.Errorf("recorded: %+v", o)
	}
	return wrong
}

// TestExpires: it ends by the gateway's own clock.
func TestExpires(t *testing.T) {
	const lasts = 4 * time.Second
	steady(t, func() (wrong string) {
		w := newWorld(t, func(_ *Config, p *control) { p.lasts = lasts })
		w.app.live()
		start := time.Now() // the gateway counts from when it asked, which is later
		code, text := w.say("GET /wait HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if code != 403 && code != 0 || code == 403 && !strings.Contains(text, "its time is over") {
			wrong = fmt.Sprintf("%d %s", code, text)
		}
		eventually(t, "it is told", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Expired}) })
		if took := time.Since(start); took < lasts {
			t.Errorf("it ended %s early", lasts-took)
		}
		return wrong
	})
}

// TestPause: while a session is paused nothing passes, and afterwards all of it does.
func TestPause(t *testing.T) {
	w := newWorld(t)
	w.app.live()
	c, r, got := w.websocket("", "/live", "")
	if got.StatusCode != 101 {
		t.Fatal(got.Status)
	}
	_, err := c.Write(frame("one"))
	must(t, err)
	if _, text, err := readFrame(r); err != nil || string(text) != "one" {
		t.Fatal(string(text), err)
	}
	w.control.pause(true)
	is := func(want bool) func() bool {
		return func() bool {
			w.server.mu.Lock()
			defer w.server.mu.Unlock()
			for _, o := range w.server.sessions {
				return o.Paused() == want
			}
			return false
		}
	}
	eventually(t, "it is paused", is(true))
	if code, text := w.say("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n"); code != 503 || !strings.Contains(text, "paused") {
		t.Errorf("%d %s", code, text)
	}
	_, err = c.Write(frame("two"))
	must(t, err)
	heard := make(chan string, 1)
	go func() { _, text, _ := readFrame(r); heard <- string(text) }()
	select {
	case text := <-heard:
		t.Errorf("%q passes a session that is paused", text)
	case <-time.After(200 * time.Millisecond):
	}
	w.control.pause(false)
	if text := <-heard; text != "two" {
		t.Errorf("afterwards comes %q", text)
	}
}

// TestIdle: a session that nobody uses ends, and whoever comes back signs in again.
func TestIdle(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *control) { c.IdleAfter = 300 * time.Millisecond })
	c := w.signedIn(false)
	eventually(t, "it is over", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.ClientGone}) })
	if r, _ := w.get(c, "https://"+host+"/", "Accept", "text/html"); r.StatusCode != http.StatusFound {
		t.Error(r.Status)
	}
}

// TestBudget: more than the role allows does not pass.
func TestBudget(t *testing.T) {
	w := newWorld(t, func(_ *Config, p *control) { p.permit.Limits.Bytes = 1 << 20 })
	w.app.live()
	w.say("GET /endless HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	eventually(t, "it is over", func() bool { return slices.Equal(w.control.endings(), []gateway.Reason{gateway.Policy}) })
}

// TestNothingStays: after the gateway stopped nothing of it runs.
func TestNothingStays(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("", func(t *testing.T) {
		w := newWorld(t)
		w.app.live()
		c := w.signedIn(true)
		w.get(c, "https://"+host+"/")
		_, _, got := w.websocket("", "/live", "")
		if got.StatusCode != 101 {
			t.Error(got.Status)
		}
		idle, _ := w.raw(w.device())
		_ = idle
	})
	goleak.VerifyNone(t, before)
}

// TestCutAsItAnswers: an end that comes while an answer is being finished touches nothing that is not there any more.
func TestCutAsItAnswers(t *testing.T) {
	w := newWorld(t)
	w.app.mux.HandleFunc("/now", func(_ http.ResponseWriter, r *http.Request) {
		go w.control.send(gateway.Cut{Session: gateway.SessionID(r.URL.Query().Get("session")), Reason: gateway.Revoked})
	})
	for n := range 100 {
		c := w.signedIn(true)
		if r, err := c.Get("https://" + host + "/now?session=ses_" + strconv.Itoa(n+1)); err == nil { // or the stream was cut
			_ = r.Body.Close()
		}
	}
	eventually(t, "all are over", func() bool { return w.reg.Count() == 0 })
}
