package httpgate

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestChromium is the whole way in a real browser: it is sent to the sign-in and comes back,
// the page has what the login opens, a websocket goes on until the access is revoked, and
// then the page and the next visit say why.
func TestChromium(t *testing.T) {
	w := newWorld(t)
	w.app.live()
	w.app.mux.HandleFunc("/page", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+canary {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		rw.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(rw, `<!doctype html><title>orders</title><p id=orders>seven orders</p><p id=said></p><script>
			const said = document.getElementById('said'), ws = new WebSocket('wss://' + location.host + '/live');
			ws.onopen = () => ws.send('hello');
			ws.onmessage = m => said.textContent = 'heard ' + m.data + '; cookies: ' + document.cookie;
			ws.onclose = e => said.textContent = 'closed ' + e.code + ' ' + e.reason;
		</script>`)
	})
	signIn := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/open" {
			http.Redirect(rw, r, w.control.sign(r.URL), http.StatusSeeOther)
		}
	}))
	t.Cleanup(signIn.Close)
	at, err := url.Parse(signIn.URL)
	must(t, err)
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.IgnoreCertErrors, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-features", "Translate,LocalNetworkAccessChecks"), chromedp.WSURLReadTimeout(long),
		chromedp.Flag("host-resolver-rules", "MAP "+host+" "+w.addr+",MAP stint.test "+at.Host+",MAP * ~NOTFOUND"))
	alloc, end := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(end)
	tab, leave := chromedp.NewContext(alloc)
	t.Cleanup(func() { _ = chromedp.Cancel(tab); leave() })
	must(t, chromedp.Do(tab, chromedp.Navigate("about:blank"))) // it starts, without a deadline that would end it
	read := func(script string) string {
		ctx, done := context.WithTimeout(tab, long)
		defer done()
		text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](script)) // between two pages there is nothing to read
		return text
	}
	visit := func() {
		ctx, done := context.WithTimeout(tab, 2*long)
		defer done()
		_ = chromedp.Do(ctx, chromedp.Navigate("https://"+host+"/page")) // what is refused is an error to chromedp
	}
	visit()
	eventually(t, "the page has what the login opens", func() bool { return read(`document.body.innerText`) != "" })
	if text := read(`document.body.innerText`); !strings.Contains(text, "seven orders") {
		t.Fatalf("the page is %q", text)
	}
	eventually(t, "the websocket answers", func() bool {
		return strings.HasPrefix(read(`document.getElementById('said').textContent`), "heard hello")
	})
	if text := read(`document.getElementById('said').textContent`); text != "heard hello; cookies: " {
		t.Errorf("a script reads %q", text)
	}
	began := time.Now()
	w.control.revoke()
	eventually(t, "the websocket says why it is closed", func() bool {
		return read(`document.getElementById('said').textContent`) == "closed 1008 stint: the session has ended: the access was revoked"
	})
	t.Logf("the page knew after %s", time.Since(began).Round(time.Millisecond))
	visit()
	eventually(t, "the next visit says why", func() bool {
		text := read(`document.body.innerText`)
		return strings.Contains(text, "the access was revoked") && strings.Contains(text, "stint request")
	})
}
