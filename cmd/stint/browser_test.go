package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

// atBrowser runs stint login and plays the person at the browser: come gets the
// address that the program prints, and where it wants its answer.
func atBrowser(t *testing.T, f *fake, come func(at *url.URL, back string), args ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, w := io.Pipe()
	done := make(chan struct{})
	var out, all strings.Builder
	go func() {
		defer close(done)
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			all.WriteString(lines.Text() + "\n")
			if text, ok := strings.CutPrefix(lines.Text(), "sign in at "); ok {
				at, err := url.Parse(text)
				if err != nil {
					t.Error(err)
					continue
				}
				go come(at, at.Query().Get("redirect_uri"))
			}
		}
	}()
	code = Main(ctx, append([]string{"login", "--no-browser"}, args...), []string{"STINT_SERVER=" + f.URL, "STINT_HOME=" + t.TempDir()}, strings.NewReader(""), &out, w)
	w.Close()
	<-done
	return code, out.String() + all.String()
}

func visit(t *testing.T, at string, q url.Values) (int, string) {
	t.Helper()
	res, err := http.Get(at + "?" + q.Encode())
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

func TestLoginInBrowser(t *testing.T) {
	f := newFake(t)
	f.provider = true
	code, said := atBrowser(t, f, func(at *url.URL, back string) {
		q := at.Query()
		if at.Scheme+"://"+at.Host != f.URL || at.Path != "/login/cli" || q.Get("code_challenge_method") != "S256" || len(q.Get("device")) != 43 || !strings.HasPrefix(back, "http://127.0.0.1:") {
			t.Errorf("opened %s", at)
		}
		good := url.Values{"state": {q.Get("state")}, "iss": {f.URL}, "code": {"code-for-" + q.Get("device") + "-" + q.Get("code_challenge")}}
		// Whoever does not know the state learns nothing and ends nothing.
		for _, bad := range []url.Values{{}, {"state": {"x"}, "code": {"evil"}, "iss": {f.URL}}, {"state": {"x"}, "error": {"access_denied"}}} {
			if status, _ := visit(t, back, bad); status != http.StatusNotFound {
				t.Errorf("%v: %d", bad, status)
			}
		}
		if status, _ := visit(t, back+"other", good); status != http.StatusNotFound {
			t.Errorf("another path: %d", status)
		}
		req, _ := http.NewRequest(http.MethodGet, back+"?"+good.Encode(), nil)
		req.Host = "evil.example" // a name that leads to this machine
		if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusNotFound {
			t.Errorf("another host: %v, %v", res, err)
		}
		if status, text := visit(t, back, good); status != http.StatusOK || !strings.Contains(text, "Done") {
			t.Errorf("%d %s", status, text)
		}
	})
	if code != exitDone || !strings.Contains(said, "signed in to "+f.URL+" as user:noor") || strings.Contains(said, "stint_noor") {
		t.Errorf("%d: %s", code, said)
	}
}

func TestLoginInBrowserRefused(t *testing.T) {
	f := newFake(t)
	f.provider = true
	for _, c := range []struct {
		name string
		q    func(state string) url.Values
		code int
		says string
	}{
		{"refused", func(s string) url.Values { return url.Values{"state": {s}, "iss": {f.URL}, "error": {"access_denied"}} }, exitDenied, "access_denied"},
		{"another server", func(s string) url.Values {
			return url.Values{"state": {s}, "iss": {"https://evil.example"}, "code": {"c"}}
		}, exitSignIn, "mixed-up"},
		{"no server", func(s string) url.Values { return url.Values{"state": {s}, "code": {"c"}} }, exitSignIn, "mixed-up"},
		{"a code of another", func(s string) url.Values { return url.Values{"state": {s}, "iss": {f.URL}, "code": {"c"}} }, exitSignIn, "bad-code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, said := atBrowser(t, f, func(at *url.URL, back string) { visit(t, back, c.q(at.Query().Get("state"))) })
			if code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("%d: %s", code, said)
			}
		})
	}
}

func TestLoginOnDevice(t *testing.T) {
	for _, c := range []struct {
		name  string
		polls []string
		code  int
		says  string
	}{
		{"confirmed", []string{api.CodePending, api.CodePending}, exitDone, "signed in to"},
		{"refused", []string{api.CodePending, "access_denied"}, exitDenied, "refused this device"},
		{"too late", []string{"expired_token"}, exitExpired, "in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.provider, f.polls = true, c.polls
			var out strings.Builder
			code := Main(t.Context(), []string{"login", "--device"}, []string{"STINT_SERVER=" + f.URL, "STINT_HOME=" + t.TempDir()}, strings.NewReader(""), &out, &out)
			if code != c.code || !strings.Contains(out.String(), c.says) || !strings.Contains(out.String(), "/device on any machine and type BCDF-GHJK") {
				t.Errorf("%d: %s", code, out.String())
			}
		})
	}
}
