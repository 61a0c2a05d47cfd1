//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"stint/internal/api"
	"stint/test/stage"
)

// webSecret is what the application believes, and nobody may ever see.
const webSecret = "canary-of-the-wiki-4f1b8c"

// formSecret is likewise, of the application with a login page.
const formSecret = "canary-of-the-board-77ac02"

const webDocuments = `
kind: Resource
name: wiki
type: http
criticality: medium
owners: [user:root]
connection: {address: "WIKI", ca: AUTHORITY, credential: wiki-login, login: bearer}
---
kind: Role
name: editor
description: Read and write pages, recorded
resources: {type: http}
mechanism: token
http: {allow: ["* /**"], deny: ["* /admin/**"], alarm: ["POST /pages"], assert: "true"}
maxDuration: 4h
---
kind: Resource
name: board
type: http
criticality: medium
owners: [user:root]
connection: {address: "BOARD", ca: BAUTHORITY, credential: board-login, login: form, loginPath: /login, loginToken: csrf, loginCookie: sid, logout: POST /logout}
---
kind: Resource
name: queue
type: tcp
criticality: medium
owners: [user:root]
connection: {address: "QUEUE"}
---
kind: Role
name: worker
description: Whatever the queue speaks, counted
resources: {type: tcp}
mechanism: token
maxDuration: 4h
---
kind: Policy
name: workers
subjects: [group:platform]
roles: [worker]
---
kind: Policy
name: editors
subjects: [group:platform]
roles: [editor]
require: {maxDuration: 2h, recording: true}
---
kind: Policy
name: session-review
effect: watch
subjects: [group:reviewers]
roles: ['*']
`

// wiki is a web application that believes one login, with a websocket that echoes.
func wiki(t *testing.T, wrong *atomic.Int64) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<!doctype html><title>wiki</title><p>seven pages</p><p id=said></p><script>
			const said = document.getElementById('said'), ws = new WebSocket('wss://' + location.host + '/live');
			ws.onopen = () => ws.send('hello');
			ws.onmessage = m => said.textContent = 'heard ' + m.data + '; cookies: ' + document.cookie;
			ws.onclose = e => said.textContent = 'closed ' + e.code + ' ' + e.reason;
		</script>`)
	})
	mux.HandleFunc("GET /api", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "asserted %t, cookie %t\n", r.Header.Get("Stint-Assertion") != "", r.Header.Get("Cookie") != "")
	})
	mux.HandleFunc("POST /pages", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "written %d\n", len(b))
	})
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, r *http.Request) {
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 section 1.3
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		echo(c, rw.Reader)
	})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+webSecret {
			wrong.Add(1)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s
}

// echo answers short text frames with what they say, until the other end goes.
func echo(w io.Writer, r *bufio.Reader) {
	for {
		head := make([]byte, 6)
		if _, err := io.ReadFull(r, head); err != nil || head[0] != 0x81 || head[1]&0x7f > 125 {
			return
		}
		text := make([]byte, head[1]&0x7f)
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		for i := range text {
			text[i] ^= head[2+i%4]
		}
		if _, err := w.Write(append([]byte{0x81, byte(len(text))}, text...)); err != nil {
			return
		}
	}
}

// TestWeb goes from a role for a web application to its page in a real browser, whose login is
// the gateway's, and by stint proxy; until the grant is revoked.
func TestWeb(t *testing.T) {
	if _, err := os.Stat("/usr/bin/chromium"); err != nil {
		t.Fatal("this takes a browser: run make setup")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: "sqlite", Named: true})
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, group := range map[string]string{"nils": "platform", "rosa": "reviewers"} {
		must(t, s.Enrol(ctx, name, "--group", group))
	}
	var wrong atomic.Int64
	app := wiki(t, &wrong)
	address := app.Listener.Addr().String()
	authority, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: app.Certificate().Raw})))
	must(t, err)
	var out atomic.Int64
	board := newBoard(t, &out)
	boardAuthority, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: board.Certificate().Raw})))
	must(t, err)
	files := t.TempDir()
	must(t, os.WriteFile(filepath.Join(files, "secret"), []byte(webSecret), 0o600))
	must(t, os.WriteFile(filepath.Join(files, "form-secret"), []byte(formSecret), 0o600))
	must(t, os.WriteFile(filepath.Join(files, "web.yaml"), []byte(strings.NewReplacer("WIKI", address, "BAUTHORITY", string(boardAuthority), "AUTHORITY", string(authority), "BOARD", board.Listener.Addr().String(), "QUEUE", queue(t)).Replace(webDocuments)), 0o600))
	root := s.As("root")
	must(t, root.Run(ctx, "admin", "credential", "set", "wiki-login", "--type", "http", "--address", address, "--password-file", filepath.Join(files, "secret")).Failed())
	must(t, root.Run(ctx, "admin", "credential", "set", "board-login", "--type", "http", "--address", board.Listener.Addr().String(), "--username", "svc", "--password-file", filepath.Join(files, "form-secret")).Failed())
	must(t, root.Run(ctx, "apply", "-f", filepath.Join(files, "web.yaml")).Failed())

	listen, state := freeAddress(t), filepath.Join(s.Dir, "gateway")
	var invite api.GatewayEnrolment
	must(t, root.JSON(ctx, &invite, "admin", "gateway", "enroll", "edge", "--address", listen, "--carries", "http,tcp"))
	enroll := exec.CommandContext(ctx, "../../bin/stint-gateway", "enroll", "--state", state, "--server", s.URL, "--code-file", "-")
	enroll.Stdin = strings.NewReader(invite.Code.Reveal())
	if out, err := enroll.CombinedOutput(); err != nil {
		t.Fatalf("enroll: %v %s", err, out)
	}
	said, _ := runGateway(t, state, listen, freeAddress(t), "--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--http-domain", "apps.test")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the gateway said:\n" + said.String())
		}
	})
	admin, err := s.Client(ctx, "olga", "--admin")
	must(t, err)
	var printed bytes.Buffer

	// In a browser: signed in by Stint, and shown what only the login opens.
	var at struct{ URL, Grant, Request string }
	must(t, eventually(ctx, func() error { // the gateway has to have said where it is
		return s.As("nils").JSON(ctx, &at, "web", "wiki", "--as", "editor", "--for", "20m", "--why", "mend the front page", "--no-browser")
	}))
	if !strings.HasPrefix(at.URL, "https://wiki.apps.test:") {
		t.Fatalf("the address is %q", at.URL)
	}
	flags := []chromedp.ExecAllocatorOption{chromedp.IgnoreCertErrors, chromedp.Flag("disable-features", "Translate,LocalNetworkAccessChecks"),
		chromedp.Flag("host-resolver-rules", "MAP *.apps.test 127.0.0.1")}
	people := readersBy(t, s.URL, flags, "nils", "rosa")
	people["rosa"].enters(codeOf(t, s, "admin", "user", "enroll", "rosa"))
	people["rosa"].open(at.URL)
	people["rosa"].see("you have no access to wiki")
	nils := people["nils"]
	nils.enters(codeOf(t, s, "admin", "user", "enroll", "nils"))
	nils.open(at.URL + "page")
	text := nils.see("heard hello")
	if said := nils.js(`document.getElementById("said").textContent`); !strings.Contains(text, "seven pages") || said != "heard hello; cookies: " {
		t.Errorf("the page says %q %q", text, said)
	}
	printed.WriteString(text + nils.js(`document.documentElement.outerHTML`))

	// By a program: no login, no certificate, and no more than the role says.
	proxy := s.As("nils").Command(ctx, "proxy", "wiki", "-o", "json")
	lines, err := proxy.StdoutPipe()
	must(t, err)
	told := &lockedText{}
	proxy.Stderr, proxy.WaitDelay = told, 5*time.Second
	must(t, proxy.Start())
	t.Cleanup(func() { _ = proxy.Process.Kill() })
	var line struct {
		URI string `json:"uri"`
	}
	if err := json.NewDecoder(lines).Decode(&line); err != nil {
		t.Fatalf("stint proxy: %v %s", err, told.String())
	}
	ask := func(method, path, body string) (int, string) {
		var status int
		var text []byte
		must(t, eventually(ctx, func() error {
			q, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(line.URI, "/")+path, strings.NewReader(body))
			must(t, err)
			res, err := http.DefaultClient.Do(q)
			if err != nil {
				return err
			}
			defer func() { _ = res.Body.Close() }()
			status = res.StatusCode
			text, err = io.ReadAll(res.Body)
			printed.Write(text)
			return err
		}))
		return status, string(text)
	}
	if n, text := ask("GET", "/api", ""); n != 200 || text != "asserted true, cookie false\n" {
		t.Errorf("by stint proxy: %d %s", n, text)
	}
	if n, text := ask("POST", "/pages", "a new page"); n != 200 || text != "written 10\n" {
		t.Errorf("written by stint proxy: %d %s", n, text)
	}
	if n, text := ask("GET", "/admin/users", ""); n != 403 || !strings.Contains(text, "the role does not allow") {
		t.Errorf("what the role denies: %d %s", n, text)
	}
	if wrong.Load() != 0 {
		t.Error("the application was asked without its login")
	}

	// Its sessions are listed, its requests found, and what was an alarm is told.
	var live api.Page[api.Session]
	must(t, eventually(ctx, func() (err error) {
		live, err = admin.Sessions(ctx, api.SessionList{Live: true})
		if err == nil && len(live.Items) != 2 {
			err = fmt.Errorf("%d sessions are live", len(live.Items))
		}
		return err
	}))
	alarms := int64(0)
	for _, x := range live.Items {
		if x.Protocol != "http" || x.Person != "nils" || x.Resource != "wiki" {
			t.Errorf("a session: %+v", x)
		}
	}
	must(t, eventually(ctx, func() error {
		page, err := admin.Sessions(ctx, api.SessionList{Live: true})
		alarms = 0
		for _, x := range page.Items {
			alarms += x.Alarms
		}
		if err == nil && alarms == 0 {
			err = fmt.Errorf("no alarm was told")
		}
		return err
	}))
	must(t, eventually(ctx, func() error { // the gateway brings it within a second or so
		if r := s.As("rosa").Run(ctx, "session", "search", "/admin/users"); r.Code != 0 || !strings.Contains(r.Out, "/admin/users") {
			return fmt.Errorf("found: %d %s %s", r.Code, r.Out, r.Err)
		}
		return nil
	}))

	// The session of another proxy, by the words that are for all sessions.
	known := map[string]bool{}
	for _, x := range live.Items {
		known[x.ID] = true
	}
	again := s.As("nils").Command(ctx, "proxy", "wiki", "-o", "json")
	more, err := again.StdoutPipe()
	must(t, err)
	must(t, again.Start())
	t.Cleanup(func() { _ = again.Process.Kill(); _ = again.Wait() })
	var other struct {
		URI string `json:"uri"`
	}
	must(t, json.NewDecoder(more).Decode(&other))
	sound := func() error {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(other.URI, "/")+"/api?sounding", nil)
		must(t, err)
		res, err := http.DefaultClient.Do(q)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	id := ""
	must(t, eventually(ctx, func() error {
		if err := sound(); err != nil {
			return err
		}
		live, err := admin.Sessions(ctx, api.SessionList{Live: true})
		for _, x := range live.Items {
			if !known[x.ID] {
				id = x.ID
			}
		}
		if err == nil && id == "" {
			err = errors.New("no other session is live")
		}
		return err
	}))
	sameWords(t, ctx, s, id, "http", "/api?sounding", sound)
	must(t, again.Process.Kill())

	overTCP(t, ctx, s, admin)
	printed.WriteString(byForm(t, ctx, s, admin, &out))

	// Revoked: the websocket and the next page say why, the proxy ends, nothing is left.
	_, err = admin.Revoke(ctx, api.RevokeAsk{Grant: at.Grant, Why: "a doubt"})
	must(t, err)
	nils.see("closed 1008 stint: the session has ended: the access was revoked")
	nils.open(at.URL + "page")
	nils.see("the access was revoked")
	must(t, eventually(ctx, func() error {
		g, err := admin.Request(ctx, at.Request, api.Wait{})
		if err == nil && (g.Grant == nil || g.Grant.State != api.GrantEnded) {
			err = fmt.Errorf("the grant is not over: %+v", g.Grant)
		}
		return err
	}))
	left, err := admin.Sessions(ctx, api.SessionList{Live: true})
	must(t, err)
	if len(left.Items) > 0 {
		t.Errorf("the grant is over, and sessions are open: %+v", left.Items)
	}
	ended := make(chan error, 1)
	go func() { ended <- proxy.Wait() }()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("stint proxy goes on without access")
		_ = proxy.Process.Signal(syscall.SIGINT)
	}
	nowhere(t, s.Dir, printed.String()+told.String()+said.String()+s.ServerLog())
}

// nowhere looks for the login in all that was printed, logged or stored.
func nowhere(t *testing.T, dir, printed string) {
	t.Helper()
	if strings.Contains(printed, webSecret) || strings.Contains(printed, formSecret) {
		t.Error("a login was printed or logged")
	}
	looked := 0
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // it may be gone
		}
		text, err := os.ReadFile(path)
		if err == nil {
			looked++
		}
		for _, secret := range []string{webSecret, formSecret} {
			for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))} {
				if bytes.Contains(text, []byte(form)) {
					t.Errorf("a login stands in %s", path)
				}
			}
		}
		return nil
	}))
	if looked < 5 {
		t.Errorf("only %d files were looked at", looked)
	}
}

// newBoard is a web application that has a login page and nothing else. out counts the sessions that it was told to end.
func newBoard(t *testing.T, out *atomic.Int64) *httptest.Server {
	t.Helper()
	var live atomic.Bool
	const session = "the-session-of-the-board"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<form method=post><input type=hidden name=csrf value="one-of-the-page"><input name=username><input type=password name=password></form>`)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("username") != "svc" || r.PostFormValue("password") != formSecret || r.PostFormValue("csrf") != "one-of-the-page" {
			_, _ = fmt.Fprintf(w, "wrong: %s", r.PostFormValue("password"))
			return
		}
		live.Store(true)
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: session, Path: "/", HttpOnly: true, Secure: true})
		http.Redirect(w, r, "/boards", http.StatusSeeOther)
	})
	known := func(r *http.Request) bool {
		c, err := r.Cookie("sid")
		return err == nil && c.Value == session && live.Load()
	}
	mux.HandleFunc("POST /logout", func(_ http.ResponseWriter, r *http.Request) {
		if known(r) {
			live.Store(false)
			out.Add(1)
		}
	})
	mux.HandleFunc("GET /boards", func(w http.ResponseWriter, r *http.Request) {
		if !known(r) {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "seven boards\n")
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.CloseClientConnections)
	t.Cleanup(s.Close)
	return s
}

// byForm goes to an application that the gateway logs in to by its login page, until the grant is revoked; and is what it was
// shown.
func byForm(t *testing.T, ctx context.Context, s *stage.Stage, admin *api.Client, outs *atomic.Int64) string {
	t.Helper()
	proxy := s.As("nils").Command(ctx, "proxy", "board", "-o", "json", "--as", "editor", "--for", "20m", "--why", "look at the boards")
	out, err := proxy.StdoutPipe()
	must(t, err)
	told := &lockedText{}
	proxy.Stderr, proxy.WaitDelay = told, 5*time.Second
	must(t, proxy.Start())
	t.Cleanup(func() { _ = proxy.Process.Kill() })
	var line struct{ URI, Grant, Request string }
	if err := json.NewDecoder(out).Decode(&line); err != nil {
		t.Fatalf("stint proxy: %v %s", err, told.String())
	}
	var shown strings.Builder
	ask := func(path string, status int, says string) {
		t.Helper()
		must(t, eventually(ctx, func() error { // a machine with no time for it is told to try again
			q, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(line.URI, "/")+path, nil)
			must(t, err)
			res, err := http.DefaultClient.Do(q)
			if err != nil {
				return err
			}
			defer func() { _ = res.Body.Close() }()
			text, err := io.ReadAll(res.Body)
			_, _ = fmt.Fprint(&shown, res.Header, string(text))
			if err == nil && (res.StatusCode != status || !strings.Contains(string(text), says) || len(res.Cookies()) > 0) {
				err = fmt.Errorf("%s: %s %v %s; %s", path, res.Status, res.Header, text, told.String())
			}
			return err
		}))
	}
	ask("/boards", http.StatusOK, "seven boards")
	ask("/login", http.StatusForbidden, "the role does not allow")
	ask("/boards", http.StatusOK, "seven boards")
	_, err = admin.Revoke(ctx, api.RevokeAsk{Grant: line.Grant, Why: "enough"})
	must(t, err)
	must(t, eventually(ctx, func() error {
		if n := outs.Load(); n != 1 {
			return fmt.Errorf("the application was told %d times that its session is over", n)
		}
		g, err := admin.Request(ctx, line.Request, api.Wait{})
		if err == nil && (g.Grant == nil || g.Grant.State != api.GrantEnded) {
			err = fmt.Errorf("the grant is not over: %+v", g.Grant)
		}
		return err
	}))
	return shown.String() + told.String()
}

// queue answers each line in its own way, and when a client has said all, with how many there were.
func queue(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				n := 0
				for lines := bufio.NewScanner(c); lines.Scan(); n++ {
					_, _ = fmt.Fprintf(c, "queued %s\n", lines.Text())
				}
				_, _ = fmt.Fprintf(c, "all %d\n", n)
			}()
		}
	}()
	return ln.Addr().String()
}

// overTCP goes by stint proxy to what speaks a protocol that nobody here knows, until the grant is given back.
func overTCP(t *testing.T, ctx context.Context, s *stage.Stage, admin *api.Client) {
	t.Helper()
	proxy := s.As("nils").Command(ctx, "proxy", "queue", "-o", "json", "--as", "worker", "--for", "20m", "--why", "look at the queue")
	out, err := proxy.StdoutPipe()
	must(t, err)
	told := &lockedText{}
	proxy.Stderr, proxy.WaitDelay = told, 5*time.Second
	must(t, proxy.Start())
	t.Cleanup(func() { _ = proxy.Process.Kill() })
	var line struct{ Host, Port, Grant, Request string }
	if err := json.NewDecoder(out).Decode(&line); err != nil {
		t.Fatalf("stint proxy: %v %s", err, told.String())
	}
	connect := func() (c *net.TCPConn, lines *bufio.Scanner) {
		must(t, eventually(ctx, func() error { // a machine with no time for it is told to try again
			raw, err := net.Dial("tcp", net.JoinHostPort(line.Host, line.Port))
			if err != nil {
				return err
			}
			c, lines = raw.(*net.TCPConn), bufio.NewScanner(raw)
			must(t, c.SetDeadline(time.Now().Add(time.Minute)))
			if _, err := io.WriteString(c, "one\n"); err != nil {
				return err
			}
			if !lines.Scan() || lines.Text() != "queued one" {
				_ = c.Close()
				return fmt.Errorf("the queue says %q, %v; %s", lines.Text(), lines.Err(), told.String())
			}
			return nil
		}))
		t.Cleanup(func() { _ = c.Close() })
		return c, lines
	}
	c, lines := connect()
	must(t, c.CloseWrite())
	if !lines.Scan() || lines.Text() != "all 1" || lines.Scan() {
		t.Errorf("who has said all is answered %q", lines.Text())
	}
	_, lines = connect()
	_, err = admin.Revoke(ctx, api.RevokeAsk{Grant: line.Grant, Why: "enough"})
	must(t, err)
	if lines.Scan() {
		t.Errorf("revoked, and the queue says %q", lines.Text())
	}
	must(t, eventually(ctx, func() error {
		g, err := admin.Request(ctx, line.Request, api.Wait{})
		if err == nil && (g.Grant == nil || g.Grant.State != api.GrantEnded) {
			err = fmt.Errorf("the grant is not over: %+v", g.Grant)
		}
		return err
	}))
	page, err := admin.Sessions(ctx, api.SessionList{})
	must(t, err)
	for _, x := range page.Items {
		if x.Protocol == "tcp" && (x.Resource != "queue" || x.ClosedAt.IsZero()) {
			t.Errorf("a session: %+v", x)
		}
	}
}
