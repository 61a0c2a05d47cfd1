package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/program"
)

// daemon is a stintd that runs in this process.
type daemon struct {
	t    *testing.T
	data string
	url  *url.URL
	out  *output
	stop context.CancelFunc
	done chan int
	http *http.Client // nil: the default
}

// output collects what is written, and tells when something new was.
type output struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.b.Write(p)
}

func (o *output) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }

var listening = regexp.MustCompile(`msg=serving listen=(\S+)`)

func noEnv(string) (string, bool) { return "", false }

// start runs stintd serve and waits until it listens.
func start(t *testing.T, data string, args ...string) *daemon {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	d := &daemon{t: t, data: data, out: &output{more: make(chan struct{}, 1)}, stop: stop, done: make(chan int, 1)}
	args = append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)
	go func() { d.done <- Main(ctx, args, noEnv, d.out, d.out) }()
	t.Cleanup(func() {
		if d.stop != nil {
			d.end()
		}
	})
	for deadline := time.After(60 * time.Second); ; {
		if m := listening.FindStringSubmatch(d.out.String()); m != nil {
			d.url = &url.URL{Scheme: "http", Host: m[1]}
			return d
		}
		select {
		case <-d.out.more:
		case code := <-d.done:
			d.stop = nil
			t.Fatalf("stintd ended with %d:\n%s", code, d.out)
		case <-deadline:
			t.Fatalf("stintd does not listen:\n%s", d.out)
		}
	}
}

// end stops it as SIGTERM does, and insists on a clean end.
func (d *daemon) end() {
	d.t.Helper()
	d.stop()
	d.stop = nil
	select {
	case code := <-d.done:
		if code != program.Done {
			d.t.Errorf("stintd ended with %d:\n%s", code, d.out)
		}
	case <-time.After(60 * time.Second):
		d.t.Fatalf("stintd does not stop:\n%s", d.out)
	}
}

func (d *daemon) client() *api.Client {
	d.t.Helper()
	dev, err := api.NewDevice()
	if err != nil {
		d.t.Fatal(err)
	}
	return &api.Client{Server: d.url, Device: dev, HTTP: d.http}
}

// first signs the first administrator in.
func (d *daemon) first() *api.Client {
	d.t.Helper()
	code, err := os.ReadFile(filepath.Join(d.data, "bootstrap-token"))
	if err != nil {
		d.t.Fatal(err)
	}
	c := d.client()
	l, err := c.Enroll(d.t.Context(), api.Secret(bytes.TrimSpace(code)), true, "noor")
	if err != nil {
		d.t.Fatal(err)
	}
	c.Token = l.Token
	return c
}

func TestServes(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := start(t, data)
	for path, want := range map[string]os.FileMode{data: 0o700, data + ".key": 0o600, filepath.Join(data, "bootstrap-token"): 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", filepath.Base(path), info.Mode().Perm(), err, want)
		}
	}
	c := d.first()
	me, err := c.Whoami(t.Context())
	if err != nil || me.Principal != "user:noor" || !me.Admin {
		t.Fatalf("whoami: %+v, %v", me, err)
	}
	code, err := os.ReadFile(filepath.Join(data, "bootstrap-token"))
	if err == nil {
		_, err = d.client().Enroll(t.Context(), api.Secret(bytes.TrimSpace(code)), true, "eve")
	}
	if err == nil {
		t.Error("the bootstrap token made a second administrator")
	}
	// A restart keeps logins, and needs no token any more.
	d.end()
	d = start(t, data)
	c.Server = d.url
	if me, err := c.Whoami(t.Context()); err != nil || me.Principal != "user:noor" {
		t.Fatalf("after a restart: %+v, %v", me, err)
	}
	if _, err := os.Stat(filepath.Join(data, "bootstrap-token")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the bootstrap token is still there: %v", err)
	}
	if strings.Contains(d.out.String(), c.Token.Reveal()) {
		t.Error("the log holds a token")
	}
}

// run runs stintd until it ends by itself.
func run(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	code = Main(t.Context(), args, noEnv, &b, &b)
	return code, b.String()
}

func TestSaysWhatAndWhyAndHow(t *testing.T) {
	code, out := run(t, "serve", "--listen", "0.0.0.0:1")
	if code != program.Usage || !strings.HasPrefix(out, "stintd: error: plain HTTP") || !strings.Contains(out, "\nstintd: hint: listen on 127.0.0.1") || strings.Count(out, "\n") != 2 {
		t.Errorf("exit %d:\n%s", code, out)
	}
	code, out = run(t, "serve", "--listen", "127.0.0.1:99999")
	if code != program.Usage || !strings.Contains(out, "there is no port 99999") || !strings.Contains(out, "hint: write 127.0.0.1:7420") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	for _, args := range [][]string{{"version"}, {"serve", "--help"}, {}} {
		if code, out := run(t, args...); code != program.Done || out == "" {
			t.Errorf("%v: exit %d, %q", args, code, out)
		}
	}
	for _, wrong := range []struct {
		args  []string
		error string
		hint  string
	}{
		{[]string{"sreve"}, `there is no command "sreve"`, `did you mean "serve"? stintd --help says what there is`},
		{[]string{"dragons"}, `there is no command "dragons"`, "stintd --help says what there is"},
		{[]string{"serve", "--dta", "x"}, "unknown flag: --dta", `did you mean "--data"? stintd serve --help says what there is`},
		{[]string{"serve", "data"}, `"data" is not understood here`, `did you mean "--data"? stintd serve --help says what there is`},
		{[]string{"backup"}, "--out is missing: the file to write", "stintd backup --help says what there is"},
		{[]string{"restore"}, "restore needs one backup file, and was given 0", "stintd restore --help says what there is"},
		{[]string{"rotate-key", "sael"}, `there is no key "sael": rotate-key needs one of seal, log, tags, orders, recordings, ssh-users and ssh-hosts`, `did you mean "seal"? stintd rotate-key --help says what there is`},
	} {
		want := "stintd: error: " + wrong.error + "\nstintd: hint: " + wrong.hint + "\n"
		if code, out := run(t, wrong.args...); code != program.Usage || out != want {
			t.Errorf("%v: exit %d\n%s\nwant exit %d\n%s", wrong.args, code, out, program.Usage, want)
		}
	}
}

// The data opens with the key that sealed it, and with no other.
func TestSealKey(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	start(t, data).end()
	key := data + ".key"
	must(t, os.Rename(key, key+".away"))
	code, out := run(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if code != program.Usage || !strings.Contains(out, "the seal key") || !strings.Contains(out, "is missing") {
		t.Errorf("without its key: exit %d\n%s", code, out)
	}
	if _, err := os.Stat(key); err == nil {
		t.Fatal("a new key was made for data that another one sealed")
	}
	start(t, filepath.Join(filepath.Dir(data), "other")).end()
	must(t, os.Rename(filepath.Join(filepath.Dir(data), "other.key"), key))
	code, out = run(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if code != program.Usage || !strings.Contains(out, "does not open") {
		t.Errorf("with another's key: exit %d\n%s", code, out)
	}
	must(t, os.Rename(key+".away", key))
	must(t, os.Chmod(key, 0o644))
	code, out = run(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if code == program.Done || !strings.Contains(out, "hint") {
		t.Errorf("with a key that others read: exit %d\n%s", code, out)
	}
	must(t, os.Chmod(key, 0o600))
	start(t, data).end()
}

func TestOneProcessPerFolder(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := start(t, data)
	if code, out := run(t, "serve", "--data", data, "--listen", "127.0.0.1:0"); code == program.Done {
		t.Errorf("a second process took the folder:\n%s", out)
	}
	if code, out := run(t, "serve", "--data", data+"2", "--listen", d.url.Host); code != program.Usage || !strings.Contains(out, "cannot listen") {
		t.Errorf("an address in use: exit %d\n%s", code, out)
	}
}

// A restored installation is in a later epoch than the one it came from; one that
// runs cannot be declared restored, and neither can nothing.
func TestRestored(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := start(t, data)
	if code, out := run(t, "restored", "--data", data); code == program.Done {
		t.Errorf("while it runs:\n%s", out)
	}
	d.end()
	for _, epoch := range []string{"epoch 2", "epoch 3"} {
		if code, out := run(t, "restored", "--data", data); code != program.Done || !strings.Contains(out, epoch) {
			t.Errorf("exit %d, want %s:\n%s", code, epoch, out)
		}
	}
	start(t, data).end()
	if code, out := run(t, "restored", "--data", t.TempDir()); code != program.Usage || !strings.Contains(out, "no installation") {
		t.Errorf("of nothing: exit %d\n%s", code, out)
	}
}

// The log reaches the file, and goes on after a restart where it was.
func TestAuditFile(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "audit.jsonl")
	cfg := filepath.Join(dir, "stintd.yaml")
	must(t, os.WriteFile(cfg, []byte("audit: {files: [audit.jsonl]}"), 0o600))
	d := start(t, data, "--config", cfg)
	c := d.first()
	waitFor(t, file, "login.created")
	d.end()
	d = start(t, data, "--config", cfg)
	c.Server = d.url
	must(t, c.Logout(t.Context()))
	waitFor(t, file, "login.ended")
	d.end()
	b, err := os.ReadFile(file)
	must(t, err)
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if !strings.HasPrefix(line, fmt.Sprintf(`{"seq":%d,`, i)) {
			t.Errorf("line %d is %s", i, line)
		}
	}
}

// waitFor looks at a file until it holds the text. Another process's collector
// would do the same.
func waitFor(t *testing.T, path, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(60 * time.Second); ; {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s does not come to hold %s", filepath.Base(path), text)
		}
	}
}

// Over TLS the proof is over https, and nothing else differs.
func TestTLS(t *testing.T) {
	p := place{t, t.TempDir()}
	cert, key := p.pair(time.Now().AddDate(1, 0, 0))
	cfg := p.file("stintd.yaml", "tls: {cert: "+cert+", key: "+key+"}", 0o600)
	d := start(t, filepath.Join(p.dir, "data"), "--config", cfg)
	d.url.Scheme = "https"
	pem, err := os.ReadFile(cert)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	d.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	c := d.first()
	if me, err := c.Whoami(t.Context()); err != nil || me.Principal != "user:noor" {
		t.Errorf("whoami: %+v, %v", me, err)
	}
	d.http.CloseIdleConnections()
}

// TestStopsInTime: what never comes to its end does not keep the process.
func TestStopsInTime(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	stuck := make(chan struct{})
	defer close(stuck)
	if err := inTime(ctx, 10*time.Millisecond, func() error { <-stuck; return nil }); err == nil || !strings.Contains(err.Error(), "did not come to its end") {
		t.Errorf("stuck: %v", err)
	}
	mine := errors.New("mine")
	if err := inTime(ctx, time.Minute, func() error { return mine }); !errors.Is(err, mine) {
		t.Errorf("a server that ends: %v", err)
	}
}
