package hook

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"stint/internal/access"
	"stint/internal/connector"
)

const patience = time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scripted is a target behind a hook that is this text.
func scripted(t testing.TB, text string) (*Connector, connector.Target, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "h")
	must(t, os.WriteFile(path, []byte(text), 0o755))
	return New(dir), connector.Target{Connection: access.Connection{Type: Type, Address: "db:1", Options: map[string]string{"hook": "h"}}, Username: "stint",
		Password: access.NewSecret([]byte("canary-login"))}, path
}

// TestWhatIsRun: a program that others than root could have written, or a name that leads
// elsewhere, is not run, and the check says why.
func TestWhatIsRun(t *testing.T) {
	const fine = "#!/bin/sh\necho '{\"notes\": {}}'\n"
	c, target, path := scripted(t, fine)
	if _, err := c.read(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	refused := func(what string) {
		t.Helper()
		_, err := c.read(t.Context(), target)
		var e *connector.Error
		if !errors.As(err, &e) || e.Outcome != connector.NotDone || e.Next == "" {
			t.Errorf("%s: %v", what, err)
		}
		if rep := c.Check(t.Context(), target); rep.OK() || rep.Steps[0].Fix == "" {
			t.Errorf("%s: the check says %+v", what, rep)
		}
	}
	must(t, os.Chmod(path, 0o777))
	refused("a program that everybody can change")
	must(t, os.Chmod(path, 0o755))
	must(t, os.Chown(path, 1234, 0))
	refused("a program of somebody else's")
	must(t, os.Chown(path, 0, 0))
	must(t, os.Chmod(filepath.Dir(path), 0o777))
	refused("a folder in which everybody can put another in its place")
	must(t, os.Chmod(filepath.Dir(path), 0o755))
	must(t, os.Chmod(path, 0o644))
	refused("what is no program")
	must(t, os.Remove(path))
	must(t, os.Symlink("/bin/true", path))
	refused("a link")
	for _, name := range []string{"", "..", "../h", "/bin/true", "-h", ".h", "a b", "h\x00"} {
		target.Connection.Options["hook"] = name
		refused("the name " + name)
	}
	c, target.Connection.Options["hook"] = New(""), "h"
	refused("no folder")
}

// TestAnswersThatAreNone: whatever a program says that the protocol does not know may have
// happened; and no error says what it was told or wrote.
func TestAnswersThatAreNone(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "",
		"no JSON":       "echo canary-login",
		"another shape": "echo '[]'",
		"two":           "echo '{\"done\": true} {\"done\": true}'",
		"not done":      "echo '{\"done\": false}'",
		"nothing said":  "echo '{}'",
		"too much":      "head -c 3000000 /dev/zero",
		"a failure":     "echo '{\"done\": true}'; echo canary-login >&2; exit 3",
		"a signal":      "kill -9 $$",
		"an echo":       "cat",
	} {
		c, target, _ := scripted(t, "#!/bin/bash\n"+text+"\n")
		_, err := c.call(t.Context(), target, question{Do: doSet, Account: "a", Secret: "canary-secret"})
		if e := failure(err); err == nil || e.Outcome != connector.Unknown || strings.Contains(e.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, target, _ := scripted(t, "#!/bin/sh\ncat >/dev/null\necho '{\"error\": \"there is\\u001b[2J no room\", \"next\": \"make some\"}'\n")
	_, err := c.call(t.Context(), target, question{Do: doSet, Account: "a"})
	if e := failure(err); e.Outcome != connector.NotDone || e.Message != "there is [2J no room" || e.Next != "make some" {
		t.Errorf("a refusal: %+v", e)
	}
}

// TestToldOnItsInputAlone: neither arguments nor environment of a program hold anything of
// ours; and what does not answer ends with all that it has started.
func TestToldOnItsInputAlone(t *testing.T) {
	t.Setenv("STINT_CANARY", "canary")
	out := filepath.Join(t.TempDir(), "out")
	c, target, _ := scripted(t, "#!/bin/bash\n(echo \"$# $PWD\"; tr '\\0' '\\n' </proc/$$/environ) >"+out+"\ncat >/dev/null\necho '{\"done\": true}'\n")
	if _, err := c.call(t.Context(), target, question{Do: doEnd, Account: "a", Secret: "canary-secret"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	must(t, err)
	if !strings.HasPrefix(string(text), "0 /\n") || strings.Contains(strings.ToLower(string(text)), "canary") {
		t.Errorf("%s", text)
	}
	pid := filepath.Join(t.TempDir(), "pid")
	c, target, _ = scripted(t, "#!/bin/bash\nsleep 600 &\necho $! >"+pid+".new\nmv "+pid+".new "+pid+"\nwait\n")
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(pid); err == nil {
				break
			}
		}
		stop()
	}()
	if _, err = c.call(ctx, target, question{Do: doEnd, Account: "a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a hook that does not answer: %v", err)
	}
	gone(t, pid)
}

// TestLinksOnTheWay: the folder of hooks may be a link of root's; whoever can change where it
// leads, at any step, decides what is run, and so nothing is.
func TestLinksOnTheWay(t *testing.T) {
	_, target, path := scripted(t, "#!/bin/sh\necho '{\"notes\": {}}'\n")
	base := t.TempDir()
	open, shut := filepath.Join(base, "open"), filepath.Join(base, "shut")
	for _, dir := range []string{open, shut} {
		must(t, os.Mkdir(dir, 0o755))
	}
	link := func(to, at string) string {
		must(t, os.Symlink(to, at))
		return at
	}
	runs := func(what, dir string, want bool) {
		t.Helper()
		_, err := New(dir).read(t.Context(), target)
		var e *connector.Error
		if want && err != nil || !want && (!errors.As(err, &e) || e.Outcome != connector.NotDone || !strings.Contains(e.Next, "whoever can change")) {
			t.Errorf("%s: %v", what, err)
		}
	}
	straight := link(filepath.Dir(path), filepath.Join(shut, "straight"))
	runs("a link of root's", straight, true)
	runs("a relative one", link("../shut/straight", filepath.Join(shut, "relative")), true)
	must(t, os.Lchown(link(filepath.Dir(path), filepath.Join(shut, "theirs")), 1234, 0))
	runs("a link of somebody else's", filepath.Join(shut, "theirs"), false)
	through := link(filepath.Join(link(filepath.Dir(path), filepath.Join(open, "in")), "."), filepath.Join(shut, "through"))
	runs("a link through a link", through, true)
	must(t, os.Chmod(open, 0o777))
	runs("a link through a folder that everybody can change", through, false)
	runs("and by another name", filepath.Join(open, "in"), false)
	parent := filepath.Join(open, "folder")
	must(t, os.Mkdir(parent, 0o755))
	must(t, os.WriteFile(filepath.Join(parent, "h"), []byte("#!/bin/sh\necho '{\"notes\": {}}'\n"), 0o755))
	runs("a link into a folder that everybody can change", link(parent, filepath.Join(shut, "into")), false)
	round := link(filepath.Join(shut, "round"), filepath.Join(shut, "round"))
	if _, err := New(round).read(t.Context(), target); failure(err).Outcome != connector.NotDone {
		t.Errorf("a link to itself: %v", err)
	}
}

// TestWhatAHookLeavesBehind: what it started, and forgot, neither takes its answer away nor
// goes on; one that fails has failed, whatever is left.
func TestWhatAHookLeavesBehind(t *testing.T) {
	for name, x := range map[string]struct {
		end string
		ok  bool
	}{"and has answered": {"exit 0", true}, "and fails": {"exit 3", false}} {
		pid := filepath.Join(t.TempDir(), "pid")
		c, target, _ := scripted(t, "#!/bin/bash\ncat >/dev/null\nsleep 600 &\necho $! >"+pid+"\necho '{\"done\": true}'\n"+x.end+"\n")
		_, err := c.call(t.Context(), target, question{Do: doSet, Account: "a", Secret: "canary-secret"})
		if (err == nil) != x.ok || err != nil && strings.Contains(err.Error(), "could not be started") {
			t.Errorf("%s: %v", name, err)
		}
		gone(t, pid)
	}
	c, target, _ := scripted(t, "#!/bin/bash\ncat >/dev/null\nsleep 600 &\nprintf '{\"done\": tr'\n")
	if _, err := c.call(t.Context(), target, question{Do: doSet, Account: "a"}); failure(err).Outcome != connector.Unknown {
		t.Errorf("half an answer: %v", err)
	}
}

// gone waits until the process of whom the file has the number has ended.
func gone(t *testing.T, file string) {
	t.Helper()
	child, err := os.ReadFile(file)
	must(t, err)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(child)) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("what the hook started goes on")
		}
	}
}

// TestHushed: no sentence of a program's that has a secret in it reaches anybody, in whatever
// form programs write one; others do.
func TestHushed(t *testing.T) {
	const secret, password = `S3cr/t "pä'ss\ wörd+1`, "canary login&2"
	text := func(v any) string {
		out, err := json.Marshal(v)
		must(t, err)
		return string(out)
	}
	for _, s := range []string{secret, password} {
		shell, sql := strings.ReplaceAll(s, "'", `'\''`), strings.ReplaceAll(s, "'", "''")
		inner := text(s)
		for name, form := range map[string]string{
			"plain": s, "capitals": strings.ToUpper(s), "tabs": strings.ReplaceAll(s, " ", "\t"), "shell": shell, "SQL": sql, "JSON": inner, "quoted": strconv.Quote(s), "ASCII": strconv.QuoteToASCII(s),
			"query": url.QueryEscape(s), "path": url.PathEscape(s), "small path": strings.ToLower(url.PathEscape(s)), "userinfo": url.UserPassword("u", s).String(),
			"hex": hex.EncodeToString([]byte(s)), "HTML": html.EscapeString(s),
			"base64": base64.StdEncoding.EncodeToString([]byte(s)), "raw": base64.RawURLEncoding.EncodeToString([]byte(s)),
			"Basic 1": base64.StdEncoding.EncodeToString([]byte("u:" + s + "\n")), "Basic 2": base64.URLEncoding.EncodeToString([]byte("us:" + s)),
			"Basic 3": base64.StdEncoding.EncodeToString([]byte("use:" + s)),
		} {
			said := "it said: " + form + " is wrong"
			q := question{Secret: secret, Login: login{"stint", password}}
			for _, x := range []struct{ do, answer string }{
				{doSet, text(map[string]any{"error": said, "next": "make room"})},
				{doSet, text(map[string]any{"error": "no room", "next": said})},
				{doLook, text(map[string]any{"exists": true, "refused": said})},
				{doCheck, text(map[string]any{"steps": []any{map[string]any{"name": said, "detail": said, "fix": said}}})},
			} {
				q.Do = x.do
				a, err := readAnswer(q, []byte(x.answer))
				shown := a.Error + a.Next + a.Refused
				for _, s := range a.Steps {
					shown += s.Name + s.Detail + s.Fix
				}
				if err != nil {
					shown += err.Error() + failure(err).Next
				}
				if strings.Contains(shown, form) || strings.Contains(shown, "wrong") || !strings.Contains(shown, hushed) {
					t.Errorf("%s in %s: %q", name, x.do, shown)
				}
			}
		}
	}
	q := question{Do: doSet, Secret: "x4", Login: login{"stint", ""}}
	if _, err := readAnswer(q, []byte(`{"error": "there is no room", "next": "make some"}`)); failure(err).Message != "there is no room" || failure(err).Next != "make some" {
		t.Errorf("a sentence with nothing in it: %v", err)
	}
}

// FuzzAnswer: whatever a program answers, it is understood or refused, and what is shown of it
// is short and printable.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{`{"done": true}`, `{"opens": false}`, `{"error": "no\u0000"}`, `{"notes": {"claim": "{}"}}`, `{"exists": true, "sessions": -1}`, `{"steps": [{}]}`, `[]`, ``} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, do := range []string{doCheck, doLook, doProve, doSet, doNotes, doNote} {
			a, err := readAnswer(question{Do: do}, []byte(text))
			if do == doProve && err == nil && a.Opens == nil || do == doSet && err == nil && !*a.Done {
				t.Fatalf("%q is an answer to %s", text, do)
			}
			if err != nil && len([]rune(err.Error())) > maxSaid+1 {
				t.Fatalf("a long error: %q", err)
			}
		}
	})
}
