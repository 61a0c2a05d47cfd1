package signpage_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"stint/internal/signpage"
)

var (
	page  = signpage.Page{Title: "Approve?", Button: "Go", Facts: []signpage.Fact{{Name: "why", Value: `<script>alert(1)</script>"'`}}}
	first = signpage.Step{Get: &signpage.Get{Challenge: []byte("challenge"), Allow: [][]byte{{1}}}}
)

// call makes a call as a browser, or as somebody else, would.
func call(t *testing.T, method, address, body string, head map[string]string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range head {
		if k == "Host" {
			r.Host = v
		}
		r.Header.Set(k, v)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, string(text)
}

func ours(address string) map[string]string {
	u, _ := url.Parse(address)
	return map[string]string{"Origin": "http://" + u.Host, "Content-Type": "application/json"}
}

func TestRun(t *testing.T) {
	var got []signpage.Result
	err := signpage.Run(t.Context(), page, first, func(address string) error {
		a, text := call(t, "GET", address, "", nil)
		csp := a.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "form-action 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("the policy lacks %s: %s", want, csp)
			}
		}
		if a.Header.Get("Cache-Control") != "no-store" || strings.Contains(csp, "unsafe") || strings.Contains(text, "<script>alert") || !strings.Contains(text, "&lt;script&gt;alert") {
			t.Errorf("headers %v\n%s", a.Header, text)
		}
		for range 2 { // a page that was loaded anew gets the same step
			_, text = call(t, "POST", address+"/next", "null", ours(address))
			var s signpage.Step
			if err := json.Unmarshal([]byte(text), &s); err != nil || string(s.Get.Challenge) != "challenge" {
				t.Errorf("the first step: %s, %v", text, err)
			}
		}
		_, text = call(t, "POST", address+"/next", `{"credential":"AQ==","signature":"Ag=="}`, ours(address))
		if !strings.Contains(text, `"create"`) {
			t.Errorf("the second step: %s", text)
		}
		_, text = call(t, "POST", address+"/next", `{"attestation":"Aw=="}`, ours(address))
		if !strings.Contains(text, "Done") {
			t.Errorf("the end: %s", text)
		}
		_, text = call(t, "POST", address+"/next", `{"attestation":"BA=="}`, ours(address)) // once more
		if !strings.Contains(text, "Done") {
			t.Errorf("after the end: %s", text)
		}
		return nil
	}, func(_ context.Context, r signpage.Result) (signpage.Step, error) {
		if got = append(got, r); len(got) == 1 {
			return signpage.Step{Create: &signpage.Create{User: "mira"}}, nil
		}
		return signpage.Step{}, nil
	})
	if err != nil || len(got) != 2 || string(got[0].Signature) != "\x02" || string(got[1].Attestation) != "\x03" {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whoever does not know the address, comes by another name, or from another page, learns
// nothing and changes nothing.
func TestStrangers(t *testing.T) {
	wrong := errors.New("it was wrong")
	asked := 0
	err := signpage.Run(t.Context(), page, first, func(address string) error {
		u, _ := url.Parse(address)
		for what, c := range map[string]struct {
			method, address string
			head            map[string]string
		}{
			"no path":                {"GET", "http://" + u.Host + "/", nil},
			"another path":           {"GET", address + "x", nil},
			"a name that leads here": {"GET", address, map[string]string{"Host": "evil.example:" + u.Port()}},
			"the address itself":     {"GET", address, map[string]string{"Host": "127.0.0.1:" + u.Port()}},
			"from another site":      {"GET", address, map[string]string{"Sec-Fetch-Site": "cross-site"}},
			"no origin":              {"POST", address + "/next", map[string]string{"Content-Type": "application/json"}},
			"another origin":         {"POST", address + "/next", map[string]string{"Content-Type": "application/json", "Origin": "https://evil.example"}},
			"another port":           {"POST", address + "/next", map[string]string{"Content-Type": "application/json", "Origin": "http://localhost:1"}},
			"a form":                 {"POST", address + "/next", map[string]string{"Content-Type": "text/plain", "Origin": "http://" + u.Host}},
		} {
			if a, text := call(t, c.method, c.address, `{"signature":"AA=="}`, c.head); a.StatusCode != http.StatusNotFound || strings.Contains(text, "Approve") {
				t.Errorf("%s: %s %s", what, a.Status, text)
			}
		}
		for _, body := range []string{"", "{", `{"more":1}`, strings.Repeat(" ", 1<<20)} {
			if a, _ := call(t, "POST", address+"/next", body, ours(address)); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%.10q: %s", body, a.Status)
			}
		}
		if asked != 0 {
			t.Error("a stranger was heard")
		}
		_, text := call(t, "POST", address+"/next", `{"signature":"AA=="}`, ours(address))
		if !strings.Contains(text, "it was wrong") {
			t.Errorf("the page does not say what was wrong: %s", text)
		}
		return nil
	}, func(context.Context, signpage.Result) (signpage.Step, error) {
		asked++
		return signpage.Step{}, wrong
	})
	if !errors.Is(err, wrong) {
		t.Error(err)
	}
}

func TestNobodyComes(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := signpage.Run(ctx, page, first, func(string) error { cancel(); return nil }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	closed := errors.New("no browser")
	if err := signpage.Run(t.Context(), page, first, func(string) error { return closed }, nil); !errors.Is(err, closed) {
		t.Error(err)
	}
}
