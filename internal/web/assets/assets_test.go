package assets

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestVendored: what is not ours is what VENDOR.md says, to the byte, and nothing else is
// here that is not ours.
func TestVendored(t *testing.T) {
	text, err := os.ReadFile("VENDOR.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .+ \\| .+ \\| `([0-9a-f]{64})` \\|$").FindAllStringSubmatch(string(text), -1) {
		named[row[1]] = true
		b, err := os.ReadFile(filepath.FromSlash(row[1]))
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != row[2] {
			t.Errorf("%s is %x, and VENDOR.md says %s", row[1], sum, row[2])
		}
	}
	if len(named) < 7 {
		t.Errorf("VENDOR.md has %d rows", len(named))
	}
	here, err := filepath.Glob("vendor/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range here {
		if !named[filepath.ToSlash(f)] && !strings.HasPrefix(filepath.Base(f), "LICENSE-") {
			t.Errorf("%s has no row in VENDOR.md", f)
		}
	}
}

func serve(t *testing.T, at, encoding string) *http.Response {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc(Pattern, Serve)
	r := httptest.NewRequest(http.MethodGet, at, nil)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

// TestServe: every file has its own kind, is the same zipped and plain, and is kept for
// ever only under the address that changes with it.
func TestServe(t *testing.T) {
	found, _ := all()
	for name, a := range found {
		plain, zipped := serve(t, Path(name), ""), serve(t, Path(name), "br, gzip")
		if a.kind == "" || plain.Header.Get("Content-Type") != a.kind || zipped.Header.Get("Content-Type") != a.kind {
			t.Errorf("%s is of kind %q", name, plain.Header.Get("Content-Type"))
		}
		want, err := io.ReadAll(plain.Body)
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(zipped.Body)
		if zipped.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := io.ReadAll(body); err != nil || string(got) != string(want) || len(got) == 0 {
			t.Errorf("%s is another file zipped: %v", name, err)
		}
		if c := plain.Header.Get("Cache-Control"); !strings.Contains(c, "immutable") {
			t.Errorf("%s: %s", name, c)
		}
	}
	old := serve(t, "/assets/000000000000/app.css", "")
	if old.StatusCode != http.StatusOK || old.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a page of another release: %d, %s", old.StatusCode, old.Header.Get("Cache-Control"))
	}
	for _, at := range []string{"/assets/000000000000/none.js", "/assets/x/../assets.go", "/assets/x/VENDOR.md", "/assets/x/vendor"} {
		if got := serve(t, at, ""); got.StatusCode == http.StatusOK {
			t.Errorf("%s is served", at)
		}
	}
}

// TestFirstLoad: what a browser loads for its first page stays small; docs/rfd/0029-console.md.
func TestFirstLoad(t *testing.T) {
	found, _ := all()
	sum := 0
	for name, a := range found {
		if name == "vendor/inter-5.3.0-latin-ext.woff2" || name == "passkey.js" { // loaded where it is needed
			continue
		}
		n := len(a.plain)
		if a.zipped != nil {
			n = len(a.zipped)
		}
		sum += n
	}
	t.Logf("%d bytes over the wire", sum)
	if sum > 85_000 {
		t.Errorf("the first page loads %d bytes besides itself; 85,000 are allowed", sum)
	}
}
