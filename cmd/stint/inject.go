package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"stint/internal/api"
	"stint/internal/policy"
)

// fields are what of a credential can be asked for by name.
var fields = []struct {
	name string
	of   func(api.Credential) string
}{
	{"uri", func(c api.Credential) string { return c.URI.Reveal() }},
	{"username", func(c api.Credential) string { return c.Username }},
	{"password", func(c api.Credential) string { return c.Password.Reveal() }},
	{"token", func(c api.Credential) string { return c.Token.Reveal() }},
	{"private_key", func(c api.Credential) string { return c.PrivateKey.Reveal() }},
	{"certificate", func(c api.Credential) string { return c.Certificate }},
	{"host", func(c api.Credential) string { return c.Host }},
	{"port", func(c api.Credential) string { return number(c.Port) }},
	{"database", func(c api.Credential) string { return c.Database }},
	{"sslmode", func(c api.Credential) string { return c.SSLMode }},
	{"ca", func(c api.Credential) string { return c.CA }},
	{"expires_at", func(c api.Credential) string { return c.ExpiresAt.String() }},
}

func fieldNames() (names []string) {
	for _, f := range fields {
		names = append(names, f.name)
	}
	return names
}

// knownField refuses what is no field of any credential.
func knownField(flag, name string) error {
	names := fieldNames()
	if slices.Contains(names, name) {
		return nil
	}
	why := "the fields are " + strings.Join(names, ", ")
	if near := policy.DidYouMean(name, names); near != "" {
		why = near
	}
	return usageError{errors.New("--" + flag + ": a credential has no field " + quote(name) + "; " + why)}
}

// fieldOf is one field of a credential. One that is empty there is an error: a program
// would take it for something.
func fieldOf(got api.Credential, name string) (string, error) {
	for _, f := range fields {
		if f.name == name {
			if v := f.of(got); v != "" {
				return v, nil
			}
		}
	}
	return "", &api.Error{Kind: api.NotFound, Code: "no-such-field", Message: "the credential has no " + name, Why: "it is one of " + got.Type,
		Next: "the fields are " + strings.Join(fieldNames(), ", ")}
}

// filesVariable names the folder of the files, and filesField does in a template.
const (
	filesVariable = "STINT_FILES"
	filesField    = "files"
)

// injecting is what the flags of run say of where a credential goes.
type injecting struct {
	env, files, templates []string
	renew                 bool
	overlap, reload       string

	wait time.Duration // overlap
	tell os.Signal     // reload
}

func (h *injecting) flags(cmd *cobra.Command, c *cli) {
	f := cmd.Flags()
	f.StringArrayVar(&h.env, "env", nil, "give the command a field of the credential in a variable: NAME=FIELD")
	f.StringArrayVar(&h.files, "file", nil, "give it a field in a file: NAME=FIELD in a folder of its own, or PATH=FIELD")
	f.StringArrayVar(&h.templates, "template", nil, "give it a file made of a template: FILE:NAME in a folder of its own, or FILE:PATH")
	f.BoolVar(&h.renew, "renew", false, "ask for a new grant before the end, as long as the command runs")
	f.StringVar(&h.overlap, "overlap", "30s", "with --renew: how long the credential of before is good besides the new one")
	f.StringVar(&h.reload, "reload", "", "the signal that tells the command that its files have changed: HUP, USR1 or USR2")
	c.completeFlag(cmd, "reload", cobra.FixedCompletions([]cobra.Completion{"HUP", "USR1", "USR2"}, cobra.ShellCompDirectiveNoFileComp))
}

// injection is a credential's way into a command: variables, and files that go with it.
type injection struct {
	env    [][2]string // name, field
	placed []placed
	folder string // of the command alone; empty where nothing is in it
	there  []string
	locks  []*placeLock // of the files that are elsewhere
}

// placed is a file that is made of a credential: of one field, or by a template.
type placed struct {
	flag, at, field string
	text            *template.Template
}

// private reports whether the file is in the folder of the command alone.
func (p placed) private() bool { return !filepath.IsAbs(p.at) }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// read checks all that can be checked before anybody is asked for access. It is nil where
// no flag says where a credential goes.
func (h *injecting) read() (*injection, error) {
	usage := func(format string, a ...any) (*injection, error) { return nil, usageError{fmt.Errorf(format, a...)} }
	wait, err := parseFor("overlap", h.overlap)
	if err != nil {
		return nil, err
	}
	if h.wait, err = api.ParseDuration(wait); err != nil {
		return nil, err
	}
	in := &injection{}
	for _, text := range h.env {
		name, field, ok := strings.Cut(text, "=")
		if !ok || !variableName.MatchString(name) {
			return usage("--env %s: write it like DB_PASSWORD=password", quote(text))
		}
		if strings.HasPrefix(name, "STINT_") {
			return usage("--env %s: variables that begin with STINT_ are Stint's", quote(text))
		}
		if err := knownField("env", field); err != nil {
			return nil, err
		}
		in.env = append(in.env, [2]string{name, field})
	}
	for _, text := range h.files {
		at, field, ok := strings.Cut(text, "=")
		if !ok {
			return usage("--file %s: write it like password=password", quote(text))
		}
		if err := knownField("file", field); err != nil {
			return nil, err
		}
		in.placed = append(in.placed, placed{flag: "file", at: at, field: field})
	}
	for _, text := range h.templates {
		i := strings.LastIndexByte(text, ':')
		if i <= 0 {
			return usage("--template %s: write it like db.conf.tmpl:db.conf", quote(text))
		}
		t, err := readTemplate(text[:i])
		if err != nil {
			return nil, err
		}
		in.placed = append(in.placed, placed{flag: "template", at: text[i+1:], text: t})
	}
	seen := map[string]bool{}
	for _, p := range in.placed {
		switch {
		case p.private() && (p.at == "" || p.at == "." || p.at == ".." || p.at != filepath.Base(p.at)):
			return usage("--%s: %s is neither a name nor an absolute path", p.flag, quote(p.at))
		case seen[filepath.Clean(p.at)]:
			return usage("--%s: two files would be %s", p.flag, quote(p.at))
		}
		seen[filepath.Clean(p.at)] = true
	}
	if h.reload != "" {
		if h.tell = reloadSignals[strings.TrimPrefix(strings.ToUpper(h.reload), "SIG")]; h.tell == nil {
			return usage("--reload: %s is not one of HUP, USR1 and USR2, or this system has none", quote(h.reload))
		}
	}
	switch {
	case (h.renew || h.reload != "") && len(in.placed) == 0:
		return usage("--renew and --reload are for files: add --file or --template")
	case h.renew && len(in.env) > 0:
		return usage("--env and --renew do not go together: nobody can change the variables of a command that runs")
	case len(in.env)+len(in.placed) == 0:
		return nil, nil
	}
	return in, nil
}

// readTemplate reads a template, and tries it: what it names that no credential has shows
// before anybody is asked for access.
func readTemplate(path string) (*template.Template, error) {
	bad := func(err error) error {
		return wrong("bad-template", "--template: "+path+" is not a template that can be filled in", strings.TrimPrefix(err.Error(), "template: "),
			"the fields are "+strings.Join(append(fieldNames(), filesField), ", ")+", written like {{.username}}")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, wrong("unreadable-file", "--template: cannot read "+path, cause(err), "")
	}
	defer f.Close()
	text, err := readAtMost(f, maxFile)
	if err != nil {
		return nil, wrong("unreadable-file", "--template: cannot read "+path, cause(err), "")
	}
	t, err := template.New(filepath.Base(path)).Option("missingkey=error").Funcs(template.FuncMap{"json": quoteJSON}).Parse(string(text))
	if err != nil {
		return nil, bad(err)
	}
	trial := map[string]string{filesField: "/"}
	for _, name := range fieldNames() {
		trial[name] = "0"
	}
	if err := t.Execute(io.Discard, trial); err != nil {
		return nil, bad(err)
	}
	return t, nil
}

// quoteJSON is a text as JSON, which is YAML, too.
func quoteJSON(s string) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// open makes the folder of the files, and sees to it that none takes the place of another.
func (in *injection) open(base string) error {
	for _, p := range in.placed {
		if p.private() {
			continue
		}
		lock, err := lockPlace(p.at)
		if err != nil {
			return wrong("file-there", "--"+p.flag+": "+p.at+" cannot be made", cause(err), "name another place, or remove it")
		}
		in.locks = append(in.locks, lock)
	}
	if !slices.ContainsFunc(in.placed, placed.private) {
		return nil
	}
	folder, err := os.MkdirTemp(base, "stint-files-")
	if err != nil {
		return wrong("no-folder", "no folder for the files can be made in "+base, cause(err), "set XDG_RUNTIME_DIR to a folder of yours in memory")
	}
	in.folder = folder
	return nil
}

// close takes the files away, and then what keeps their places. What is gone already is not
// missed.
func (in *injection) close() (err error) {
	for _, at := range in.there {
		if gone := os.Remove(at); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = gone
		}
	}
	if in.folder != "" {
		if gone := os.RemoveAll(in.folder); gone != nil {
			err = gone
		}
	}
	for _, l := range in.locks {
		l.free()
	}
	in.there, in.folder, in.locks = nil, "", nil
	return err
}

// takeAway is close, which says what it could not remove.
func (c *cli) takeAway(in *injection) {
	if gone := in.close(); gone != nil {
		c.fault("a file with the credential could not be removed", cause(gone), "it is worthless once the access is given back")
	}
}

// variables are what the command finds in its environment.
func (in *injection) variables(got api.Credential) (map[string]string, error) {
	add := map[string]string{}
	if in.folder != "" {
		add[filesVariable] = in.folder
	}
	for _, e := range in.env {
		v, err := fieldOf(got, e[1])
		if err != nil {
			return nil, err
		}
		add[e[0]] = v
	}
	return add, nil
}

// write makes the files of a credential. All are filled in and written before the first is
// changed, and each is whole at every moment. Where one cannot be changed all are as before:
// files of two credentials are of none.
func (in *injection) write(got api.Credential) (err error) {
	texts := make([][]byte, len(in.placed))
	defer func() {
		for _, t := range texts {
			clear(t)
		}
	}()
	for i, p := range in.placed {
		if texts[i], err = p.fill(got, in.folder); err != nil {
			return err
		}
	}
	files := make([]change, len(in.placed))
	defer func() {
		for _, x := range files {
			x.over(err != nil)
		}
	}()
	for i, p := range in.placed {
		if files[i], err = prepare(in.at(p), texts[i]); err != nil {
			return wrong("unwritten", "--"+p.flag+": "+in.at(p)+" cannot be written", cause(err), "")
		}
	}
	for i, p := range in.placed {
		if err = files[i].do(); err != nil {
			return wrong("unwritten", "--"+p.flag+": "+in.at(p)+" cannot be written", cause(err), "")
		}
	}
	for _, p := range in.placed {
		if at := in.at(p); !p.private() && !slices.Contains(in.there, at) {
			in.there = append(in.there, at)
		}
	}
	return nil
}

// at is where a file is.
func (in *injection) at(p placed) string {
	if p.private() {
		return filepath.Join(in.folder, p.at)
	}
	return p.at
}

// fill is the text of a file.
func (p placed) fill(got api.Credential, folder string) ([]byte, error) {
	if p.text == nil {
		v, err := fieldOf(got, p.field)
		return []byte(v), err
	}
	data := map[string]string{}
	if folder != "" {
		data[filesField] = folder
	}
	for _, f := range fields {
		if v := f.of(got); v != "" {
			data[f.name] = v
		}
	}
	var b bytes.Buffer
	if err := p.text.Execute(&b, data); err != nil { // its text could quote a value
		why := "it names a field that this credential does not have"
		if !quotesAny(err.Error(), got) {
			why = strings.TrimPrefix(err.Error(), "template: ")
		}
		return nil, wrong("bad-template", "--template: "+p.text.Name()+" cannot be filled in", why, "a field that may be missing is asked for with {{with index . \"ca\"}}…{{end}}")
	}
	return b.Bytes(), nil
}

func quotesAny(text string, got api.Credential) bool {
	for _, v := range []string{got.Password.Reveal(), got.URI.Reveal(), got.Token.Reveal(), got.PrivateKey.Reveal()} {
		if v != "" && strings.Contains(text, v) {
			return true
		}
	}
	return false
}

// privateBase is where folders of files are made: in memory, where the system has that.
func (c *cli) privateBase() string {
	for _, at := range []string{c.env["XDG_RUNTIME_DIR"], "/dev/shm"} {
		if i, err := os.Stat(at); at != "" && filepath.IsAbs(at) && err == nil && i.IsDir() {
			if probe, err := os.MkdirTemp(at, "stint-files-"); err == nil {
				_ = os.Remove(probe)
				return at
			}
		}
	}
	return os.TempDir()
}
