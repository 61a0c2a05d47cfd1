package hook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

// elsewhere is a target behind a server, and the file that says where that is.
func elsewhere(t testing.TB, h http.HandlerFunc) (*Connector, connector.Target, string, remote) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	r := remote{URL: s.URL + "/hook", CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})), Key: keyPrefix + base64.StdEncoding.EncodeToString([]byte("a key of twenty-four bytes, and more"))}
	path := filepath.Join(t.TempDir(), "h"+httpsSuffix)
	write(t, path, r)
	return New(filepath.Dir(path)), connector.Target{Connection: access.Connection{Type: Type, Address: "db:1", Options: map[string]string{"hook": "h"}}, Username: "stint",
		Password: access.NewSecret([]byte("canary-login"))}, path, r
}

func write(t testing.TB, path string, r remote) {
	t.Helper()
	text, err := json.Marshal(r)
	must(t, err)
	must(t, os.WriteFile(path, text, 0o600))
}

// TestElsewhere: a question is signed, goes to the one address with the one certificate, and
// what is no answer may have been done; no error says a secret.
func TestElsewhere(t *testing.T) {
	var how atomic.Value
	how.Store("fine")
	led := make(chan struct{}, 1)
	key := []byte("a key of twenty-four bytes, and more")
	c, target, path, file := elsewhere(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		if r.URL.Path != "/hook" {
			led <- struct{}{}
			return
		}
		if h.Get("webhook-signature") != signature(key, h.Get("webhook-id"), h.Get("webhook-timestamp"), body) || !strings.Contains(string(body), "canary-secret") {
			w.WriteHeader(401)
			return
		}
		switch how.Load() {
		case "elsewhere":
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		case "failure":
			w.WriteHeader(500)
		case "too much":
			_, _ = w.Write(make([]byte, maxAnswer+10))
		case "no answer":
			_, _ = w.Write(body)
		case "cut off":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{"))
		case "silence":
			<-r.Context().Done()
		default:
			_, _ = w.Write([]byte(`{"done": true}`))
		}
	})
	set := question{Do: doSet, Account: "a", Secret: "canary-secret"}
	if _, err := c.call(t.Context(), target, set); err != nil {
		t.Fatal(err)
	}
	unknown := func(what string, err error) {
		t.Helper()
		if err == nil || failure(err).Outcome != connector.Unknown || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, what := range []string{"elsewhere", "failure", "too much", "no answer", "cut off"} {
		how.Store(what)
		_, err := c.call(t.Context(), target, set)
		unknown(what, err)
	}
	if len(led) > 0 {
		t.Error("it was led to another address")
	}
	how.Store("silence")
	ctx, done := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer done()
	_, err := c.call(ctx, target, set)
	if unknown("silence", err); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}

	how.Store("fine")
	_, _, _, other := elsewhere(t, func(http.ResponseWriter, *http.Request) {})
	if other.CA == file.CA { // servers of tests have one certificate: another authority is none of theirs
		other.CA = otherAuthority
	}
	write(t, path, remote{file.URL, other.CA, file.Key})
	_, err = c.call(t.Context(), target, set)
	unknown("another authority", err)
	write(t, path, remote{file.URL, file.CA, keyPrefix + base64.StdEncoding.EncodeToString([]byte("another key of more than 24 bytes"))})
	_, err = c.call(t.Context(), target, set)
	unknown("another key", err)

	for what, bad := range map[string]remote{
		"plain HTTP": {strings.Replace(file.URL, "https", "http", 1), file.CA, file.Key}, "no authority": {file.URL, "", file.Key},
		"a short key": {file.URL, file.CA, keyPrefix + "YWJj"}, "no key": {file.URL, file.CA, ""}, "a login": {"https://u:p@h/", file.CA, file.Key},
	} {
		write(t, path, bad)
		_, err := c.call(t.Context(), target, set)
		if e := failure(err); err == nil || e.Outcome != connector.NotDone || e.Next == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	write(t, path, file)
	must(t, os.Chmod(path, 0o644))
	if _, err := c.call(t.Context(), target, set); err == nil || failure(err).Outcome != connector.NotDone {
		t.Errorf("a key that all can read: %v", err)
	}
}

// otherAuthority vouches for nobody here.
const otherAuthority = `-----BEGIN CERTIFICATE-----
MIIBjjCCATWgAwIBAgIURueTZNeCfs7TDAqM334p076M12swCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRYW5vdGhlciBhdXRob3JpdHkwIBcNMjYxMTIzMTgzMjM5WhgP
MjEyNjEwMzAxODMyMzlaMBwxGjAYBgNVBAMMEWFub3RoZXIgYXV0aG9yaXR5MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfwLluziVyrtQwmZzeEV54GstqjT0/4cF
KUofe3dzqbyddcdGghCbdmkMIyFbXlwhCMldS6Rkz3Dexyao1t+tbaNTMFEwHQYD
VR0OBBYEFNmNM12XRImlsaW29+MvJe7WTsC4MB8GA1UdIwQYMBaAFNmNM12XRIml
saW29+MvJe7WTsC4MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIg
cVwooAVNlOpByLyuEe7OxnXasDqj+Ni4jjGUORo3/QACIGMiNpGV07h5tzIys08L
bIOYBCER/Qohv8qcwXfj463i
-----END CERTIFICATE-----
`
