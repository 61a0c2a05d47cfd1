//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"stint/internal/api"
	"stint/internal/freeport"
	"stint/test/stage"
)

// TestSignInByThePage follows docs/identity/oidc.md to the letter, with other ports: a
// real dex, a person at a browser, a command line, a machine without a browser, and
// then what it is all for: she asks for access, and has it.
func TestSignInByThePage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, err := stage.Open(ctx, stage.Options{Bin: "../../bin", Store: set.Store, Config: "egress: {allow: [127.0.0.1/32]}\n"}, "mira")
	must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of stintd's log:\n" + s.LogTail(40))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	must(t, s.Credential(ctx, "orders-connector"))
	must(t, s.Documents(ctx, documents))

	p := readPage(t, "../../docs/identity/oidc.md", map[string]string{"127.0.0.1:5556": freeAddress(t), "127.0.0.1:7420": strings.TrimPrefix(s.URL, "http://")})
	for name, text := range p.files {
		must(t, os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o600))
	}
	for _, want := range []string{"bin/dex serve dex.yaml", "bin/stintd serve --egress-allow 127.0.0.1/32", "stint login", "stint login --device"} {
		if !strings.Contains(p.text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	startDex(t, filepath.Join(s.Dir, "dex.yaml"), p.files["dex.yaml"])
	for _, line := range p.commands {
		if echo, ok := strings.CutPrefix(line, "echo "); ok {
			text, file, _ := strings.Cut(echo, " > ")
			must(t, os.WriteFile(filepath.Join(s.Dir, file), []byte(text+"\n"), 0o600))
		}
		if args := strings.Fields(line); strings.HasPrefix(line, "stint admin credential") || strings.HasPrefix(line, "stint apply") {
			must(t, s.As("root").Run(ctx, args[1:]...).Failed())
		}
	}

	// A browser, by itself.
	b := newVisitor(t, s.URL)
	b.signIn(ctx, s.URL+"/")
	if home := b.get(ctx, s.URL+"/you"); !strings.Contains(home, "user:mira") || !strings.Contains(home, "platform") {
		t.Errorf("signed in, the page says %s", home)
	}

	// A command line that opens one.
	mira := s.As("mira")
	said := cliLogin(ctx, t, mira, func(line string) {
		if at, ok := strings.CutPrefix(line, "sign in at "); ok {
			b := newVisitor(t, s.URL)
			b.signIn(ctx, at)
			b.confirm(ctx)
			b.follow(ctx)
		}
	}, "login", "--no-browser")
	if !strings.Contains(said, "signed in to "+s.URL+" as user:mira") {
		t.Fatalf("stint login: %s", said)
	}
	var me api.Whoami
	must(t, mira.JSON(ctx, &me, "whoami"))
	if me.Provider != "corp-sso" || strings.Join(me.Groups, ",") != "platform" {
		t.Errorf("whoami: %+v", me)
	}
	var r api.Request
	must(t, mira.JSON(ctx, &r, "request", "orders-db", "--as", "reader", "--for", "5m", "--why", "count what came in today"))
	if r.Grant == nil || r.Grant.State != api.GrantActive {
		t.Errorf("the access is %+v", r.Grant)
	}
	must(t, mira.Run(ctx, "end", r.ID).Failed())

	// A machine without one.
	far := s.As("far")
	var code string
	said = cliLogin(ctx, t, far, func(line string) {
		if _, text, ok := strings.Cut(line, " on any machine and type "); ok {
			code = text
			b.post(ctx, s.URL+"/device", url.Values{"code": {code}})
			b.confirm(ctx)
		}
	}, "login", "--device")
	if !strings.Contains(said, "as user:mira") {
		t.Fatalf("stint login --device: %s", said)
	}
	var all []api.Login
	must(t, far.JSON(ctx, &all, "signins"))
	if len(all) != 4 { // two browsers, two command lines
		t.Errorf("%d sessions, want 4: %+v", len(all), all)
	}
	must(t, far.Run(ctx, "signins", "end", all[0].ID).Failed())
	if r := far.Run(ctx, "whoami"); r.Code != 4 {
		t.Errorf("an ended session: %d %s", r.Code, r.Err)
	}
	must(t, s.As("root").Run(ctx, "admin", "user", "disable", "mira").Failed())
	if r := mira.Run(ctx, "whoami"); r.Code != 4 {
		t.Errorf("disabled: %d %s", r.Code, r.Err)
	}
}

// docPage is a page of the documentation, as somebody follows it.
type docPage struct {
	text     string
	files    map[string]string // of its blocks of YAML, by the name in their first line
	commands []string          // of its other blocks
}

var block = regexp.MustCompile("(?s)```([a-z]*)\n(.*?)```")

func readPage(t *testing.T, file string, ports map[string]string) docPage {
	t.Helper()
	raw, err := os.ReadFile(file)
	must(t, err)
	p := docPage{text: string(raw), files: map[string]string{}}
	text := p.text
	for doc, here := range ports {
		text = strings.ReplaceAll(text, doc, here)
	}
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		if m[1] == "yaml" {
			first, _, _ := strings.Cut(m[2], "\n")
			p.files[strings.TrimPrefix(first, "# ")] = m[2]
			continue
		}
		p.commands = append(p.commands, strings.Split(strings.TrimSpace(m[2]), "\n")...)
	}
	return p
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find()
	must(t, err)
	return freeport.Address(port)
}

func startDex(t *testing.T, config, text string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command("../../bin/dex", "serve", config)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Log("dex:\n" + log.String())
		}
	})
	issuer := regexp.MustCompile(`(?m)^issuer: (.*)$`).FindStringSubmatch(text)[1]
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		res, err := http.Get(issuer + "/.well-known/openid-configuration")
		if err == nil {
			res.Body.Close()
			return
		}
		select {
		case <-done:
			t.Fatalf("dex ended: %s", log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("dex does not answer: %v", err)
		}
	}
}

// cliLogin runs a command line, gives each line that it says to see, and returns all.
func cliLogin(ctx context.Context, t *testing.T, p *stage.Person, see func(string), args ...string) string {
	t.Helper()
	cmd := p.Command(ctx, args...)
	out, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	var all strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		see(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		fmt.Fprintf(&all, "%v\n", err)
	}
	return all.String()
}

// visitor is a person at a browser without scripts: it keeps cookies, follows what a
// browser follows, and fills in the forms that it meets.
type visitor struct {
	t    *testing.T
	c    *http.Client
	home string
	at   *url.URL
	page string
}

func newVisitor(t *testing.T, home string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &visitor{t: t, c: &http.Client{Jar: jar, Timeout: 30 * time.Second}, home: home}
}

func (v *visitor) do(req *http.Request) string {
	v.t.Helper()
	res, err := v.c.Do(req)
	must(v.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(v.t, err)
	v.at, v.page = res.Request.URL, string(text)
	if res.StatusCode != http.StatusOK {
		v.t.Fatalf("%s %s: %s\n%s", req.Method, req.URL, res.Status, v.page)
	}
	return v.page
}

func (v *visitor) get(ctx context.Context, at string) string {
	v.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	must(v.t, err)
	return v.do(req)
}

func (v *visitor) post(ctx context.Context, at string, form url.Values) string {
	v.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(form.Encode()))
	must(v.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	return v.do(req)
}

var (
	formOf   = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)"[^>]*>(.*?)</form>`)
	hiddenOf = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	onwardOf = regexp.MustCompile(`id="go"[^>]*href="([^"]*)"`)
)

// submit sends the last form of the page, with more fields.
func (v *visitor) submit(ctx context.Context, more url.Values) {
	v.t.Helper()
	all := formOf.FindAllStringSubmatch(v.page, -1)
	if len(all) == 0 {
		v.t.Fatalf("%s has no form: %s", v.at, v.page)
	}
	m := all[len(all)-1]
	form := url.Values{}
	for _, h := range hiddenOf.FindAllStringSubmatch(m[2], -1) {
		form.Set(html.UnescapeString(h[1]), html.UnescapeString(h[2]))
	}
	for name, value := range more {
		form[name] = value
	}
	to, err := v.at.Parse(html.UnescapeString(m[1]))
	must(v.t, err)
	v.post(ctx, to.String(), form)
}

// follow goes where the page takes a browser by itself.
func (v *visitor) follow(ctx context.Context) {
	v.t.Helper()
	m := onwardOf.FindStringSubmatch(v.page)
	if m == nil {
		v.t.Fatalf("%s leads nowhere: %s", v.at, v.page)
	}
	v.get(ctx, html.UnescapeString(m[1]))
}

// signIn opens a page that asks to sign in, and does so as mira, at dex.
func (v *visitor) signIn(ctx context.Context, at string) {
	v.t.Helper()
	v.get(ctx, at)
	v.submit(ctx, nil) // the one provider there is
	v.follow(ctx)
	// dex asks by which way only if there is more than one.
	v.submit(ctx, url.Values{"login": {"mira@corp.example"}, "password": {"password"}})
	if !strings.HasPrefix(v.at.String(), v.home) {
		v.t.Fatalf("after dex the browser is at %s: %s", v.at, v.page)
	}
}

// confirm says yes.
func (v *visitor) confirm(ctx context.Context) {
	v.t.Helper()
	v.submit(ctx, url.Values{"answer": {"yes"}})
}
