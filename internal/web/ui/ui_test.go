package ui

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// templates are the sources of all templates, by path.
func templates(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, dir := range []string{".", "../views"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.templ"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			all[n] = string(b)
		}
	}
	if len(all) < 5 {
		t.Fatalf("%d templates were found", len(all))
	}
	return all
}

// TestTemplatesAreTame: nothing in a template is code in an attribute, or markup that was
// no template, and only Hx writes what htmx acts on.
func TestTemplatesAreTame(t *testing.T) {
	for name, text := range templates(t) {
		for what, bad := range map[string]*regexp.Regexp{
			"an attribute of htmx; use Hx":     regexp.MustCompile(`\bhx-(?:partial)?[a-z:]*\s*=|\bhx-on|data-hx-`),
			"markup that is no template":       regexp.MustCompile(`templ\.Raw|templ\.FromGoHTML|templ\.JS|@templ`),
			"a handler in an attribute":        regexp.MustCompile(`\son[a-z]+\s*=`),
			"a style in an attribute":          regexp.MustCompile(`\sstyle\s*=|<style`),
			"a script in the page":             regexp.MustCompile(`<script(?:[^>]|=>)*>[^<\s]|^\s*script `),
			"an address that runs":             regexp.MustCompile(`(?i)javascript:|\bjs:`),
			"a trigger with a condition in it": regexp.MustCompile(`Trigger:\s*"[^"]*\[`),
		} {
			if found := bad.FindString(text); found != "" {
				t.Errorf("%s has %s: %s", name, what, found)
			}
		}
		if strings.Contains(text, "SafeURL(") && filepath.Base(name) != "text.templ" {
			t.Errorf("%s trusts an address; only the page that leads to a provider does", name)
		}
	}
}

// TestTemplatesAreGenerated: what is committed is what the templates say.
func TestTemplatesAreGenerated(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generator, which `make rest` does, and with it `make test`; the race detector finds nothing in it")
	}
	dir := t.TempDir()
	for name, text := range templates(t) {
		to := filepath.Join(dir, filepath.Base(filepath.Dir(mustAbs(t, name))), filepath.Base(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "tool", "-modfile=tools/go.mod", "templ", "generate", "-path", dir)
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make generate: %v\n%s", err, out)
	}
	for name := range templates(t) {
		is, err := os.ReadFile(strings.TrimSuffix(name, ".templ") + "_templ.go")
		if err != nil {
			t.Error(err)
			continue
		}
		from := filepath.Join(dir, filepath.Base(filepath.Dir(mustAbs(t, name))), filepath.Base(name))
		should, err := os.ReadFile(strings.TrimSuffix(from, ".templ") + "_templ.go")
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(plain(is), plain(should)) {
			t.Errorf("%s has changed since make generate", name)
		}
	}
}

// plain is generated code without the names of files, which are for its errors.
func plain(b []byte) []byte { return regexp.MustCompile("FileName: `[^`]*`").ReplaceAll(b, nil) }

func mustAbs(t *testing.T, name string) string {
	t.Helper()
	abs, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestIcons: every icon that a template names is there.
func TestIcons(t *testing.T) {
	for name, text := range templates(t) {
		for _, m := range regexp.MustCompile(`Icon(?::|\()\s*"([a-z0-9-]+)"`).FindAllStringSubmatch(text, -1) {
			if icons()[m[1]] == "" {
				t.Errorf("%s: there is no icon %q", name, m[1])
			}
		}
	}
	if err := Icon("none").Render(t.Context(), &bytes.Buffer{}); err == nil {
		t.Error("an icon that is not there is drawn")
	}
}

func TestLeft(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0:00", 0: "0:00", 42 * time.Second: "0:42", 157 * time.Second: "2:37", time.Hour: "1:00:00",
		2*time.Hour + 49*time.Minute + 56*time.Second: "2:49:56", 19*time.Minute + 7900*time.Millisecond: "19:08", time.Hour - time.Millisecond: "1:00:00"} {
		if got := Left(d); got != want {
			t.Errorf("Left(%s) = %s, want %s", d, got, want)
		}
	}
}

func TestInitials(t *testing.T) {
	for in, want := range map[string]string{"mira": "M", "Mira Kovač": "MK", "ana.ruiz": "AR", "a b c": "AC", "": "?", "—": "?", "šime": "Š", "tomas.diaz@example.com": "TC"} {
		if got := Initials(in); got != want {
			t.Errorf("Initials(%q) = %s, want %s", in, got, want)
		}
	}
}
