package httpgate

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// tricks are ways to write /admin, or something else, that servers are known to read
// differently: class E1. None of them reaches an application.
var tricks = []string{
	"/x;/admin", "/admin;a=1", "//admin", "/./admin", "/x/../admin", "/x/..", "/..", "/.", "/%2e%2e/admin", "/x/%2e%2e/admin", "/%2E/admin", "/x%2f..%2fadmin", "/x%2Fadmin", "/x%5cadmin", `/x\admin`, `\admin`,
	"/admin%00", "/admin%0a", "/admin%0d%0aX:1", "/admin%09", "/%252e%252e/admin", "/%25%32%65", "/x%3b/admin", "/admin%3bx", "/%c0%af", "/%c0%ae%c0%ae/", "/%ff", "/x%", "/x%4", "/x%zz", "/x/./", "/x//", "/a#b", "/\x80", "/a b",
	"/a\tb", "/a\x7f", "/%7f", "/x%5C..%5Cadmin", "/x/%2e", "/%2e", "*", "", "http://evil.test/admin", "//evil.test/admin", "evil.test:443", "?x", "/x?a;b", "/x?%zz", "/x?a#b", "/x?\x00", "/x? a",
	"/x?a=%", "/..;/admin", "/x/..;/admin", "/%u002e%u002e/", "/%ef%bc%8e%2f",
}

func TestTricks(t *testing.T) {
	for _, uri := range append(tricks, "/"+strings.Repeat("a", longestTarget)) {
		if got, err := readTarget(uri); err == nil {
			t.Errorf("%q is read as %+v", uri, got)
		}
	}
}

func TestTargets(t *testing.T) {
	for uri, want := range map[string][2]string{
		"/": {"/", "/"}, "/a/b": {"/a/b", "/a/b"}, "/a/": {"/a/", "/a/"}, "/%41%7e": {"/A~", "/A~"}, "/a%2bb": {"/a+b", "/a%2Bb"}, "/a+b": {"/a+b", "/a+b"}, "/a%20b": {"/a b", "/a%20b"}, "/ü": {"", ""},
		"/%c3%bc": {"/ü", "/%C3%BC"}, "/a[1]|^": {"/a[1]|^", "/a%5B1%5D%7C%5E"}, "/a:b@c!$&'()*,=": {"/a:b@c!$&'()*,=", "/a:b@c!$&'()*,="}, "/.well-known/x": {"/.well-known/x", "/.well-known/x"}, "/...": {"/...", "/..."}, "/a.b..c": {"/a.b..c", "/a.b..c"},
		`/a"b<c>`: {`/a"b<c>`, "/a%22b%3Cc%3E"}, "/x?a=1&b=%2e%2e/;": {"", ""}, "/x?a=1&b=%2e%2e/": {"/x", "/x?a=1&b=%2e%2e/"}, "/x?": {"/x", "/x"},
	} {
		got, err := readTarget(uri)
		if want[0] == "" {
			if err == nil {
				t.Errorf("%q is read as %+v", uri, got)
			}
			continue
		}
		if err != nil || got.path != want[0] || got.String() != want[1] {
			t.Errorf("%q: %q %q %v, want %q", uri, got.path, got.String(), err, want)
		}
	}
}

// FuzzTarget: what is taken is written in one way, means the same to Go's own reader, and
// nothing in it climbs or hides.
func FuzzTarget(f *testing.F) {
	for _, s := range tricks {
		f.Add(s)
	}
	f.Add("/a/b?c=d")
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := readTarget(uri)
		if err != nil {
			return
		}
		again, err := readTarget(got.String())
		if err != nil || again != got {
			t.Fatalf("%q is %+v, and that is %+v %v", uri, got, again, err)
		}
		u, err := url.ParseRequestURI(got.String())
		if err != nil || u.Path != got.path || u.RawQuery != got.query || u.Host != "" {
			t.Fatalf("%q is %+v, and to Go %+v %v", uri, got, u, err)
		}
		if sent := (&url.URL{Path: got.path, RawPath: got.escaped}).EscapedPath(); sent != got.escaped {
			t.Fatalf("%q is sent as %q, not %q", uri, sent, got.escaped)
		}
		if strings.ContainsAny(got.path, "\\;%\x00") || strings.Contains(got.path, "//") || strings.Contains(got.path+"/", "/../") || strings.Contains(got.path+"/", "/./") || !utf8.ValidString(got.path) {
			t.Fatalf("%q is %q", uri, got.path)
		}
	})
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte{0x81, 3, 'a', 'b', 'c', 0x88, 0}, 1)
	f.Add([]byte{0x82, 126, 0, 2, 1, 2, 0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 9}, 3)
	f.Add([]byte{0x81, 0x81, 1, 2, 3, 4, 9}, 2)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			return
		}
		var whole, parts, single frames
		whole.pass(b)
		parts.pass(b[:cut])
		parts.pass(b[cut:])
		for i := range b {
			single.pass(b[i : i+1])
		}
		if whole != parts || whole.between() != single.between() || whole.left != single.left {
			t.Fatalf("%x at %d: %+v %+v %+v", b, cut, whole, parts, single)
		}
	})
}

// FuzzCookie: what passes is for its own host, and is not the gateway's.
func FuzzCookie(f *testing.F) {
	f.Add("a=b; Domain=web.test; Path=/x; HttpOnly")
	f.Add("__Host-stint=x; Secure; Path=/")
	f.Add("__HOST-STINT=x")
	f.Fuzz(func(t *testing.T, line string) {
		got := hostOnly(line)
		if l := strings.ToLower(got); got != "" && (strings.Contains(l, "; domain") || !strings.Contains(l, "; secure") || strings.HasPrefix(l, "__host-stint") || strings.ContainsAny(got, "\r\n")) {
			t.Fatalf("%q becomes %q", line, got)
		}
	})
}
