package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stint/internal/access"
	"stint/internal/provision"
	"stint/internal/scim"
	"stint/internal/store"
)

// service is a server over what is really behind it, without a broker.
type service struct {
	t testing.TB
	*scim.Server
	store *store.Store
}

type provisionStore struct{ *store.Store }

func (s provisionStore) Update(ctx context.Context, fn func(provision.Tx) error) error {
	return s.Store.Update(ctx, func(tx *store.Tx) error { return fn(tx) })
}

func (s provisionStore) View(ctx context.Context, fn func(provision.Tx) error) error {
	return s.Store.View(ctx, func(tx *store.Tx) error { return fn(tx) })
}

// ender disables as the broker does; what else it does has tests there.
type ender struct{ store *store.Store }

func (e ender) Reconsider() {}
func (e ender) Leave(ctx context.Context, _ access.Actor, id access.PrincipalID, provider, _ string) error {
	return e.store.Update(ctx, func(tx *store.Tx) error {
		p, err := tx.Principal(id)
		if err != nil || p.Disabled {
			return err
		}
		p.Disabled, p.DisabledBy, p.Version = true, provider, p.Version+1
		return tx.SavePrincipals(p)
	})
}

func newService(t testing.TB) *service {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "stint.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	d := provision.Directory{Store: provisionStore{st}, Ender: ender{st}, Provider: "corp"}
	return &service{t, &scim.Server{Directory: d, Base: "https://stint.example/scim/v2/corp"}, st}
}

// call makes one request; header is pairs.
func (s *service) call(method, target, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *service) user(name string) access.Principal {
	s.t.Helper()
	var p access.Principal
	if err := s.store.View(context.Background(), func(tx *store.Tx) (err error) {
		p, err = tx.Principal(access.NewPrincipalID(access.User, name))
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// TestCorpus plays what provisioning services are documented to send. A block is a
// request (> and a body), the status and what is in the answer (<; "*" is anything,
// null is absent), names for parts of it ($) and what became of principals (=).
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/*.txt")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			s, names, played := newService(t), map[string]string{}, 0
			for n, b := range blocks(string(text)) {
				fill := func(s string) string {
					for name, v := range names {
						s = strings.ReplaceAll(s, "{"+name+"}", v)
					}
					return s
				}
				method, target, _ := strings.Cut(fill(b.request), " ")
				w := s.call(method, target, fill(b.body), b.header...)
				at := fmt.Sprintf("block %d, %s %s", n+1, method, target)
				if status := fmt.Sprint(w.Code); status != b.status {
					t.Fatalf("%s: status %s, want %s: %s", at, status, b.status, w.Body)
				}
				var got any
				if w.Body.Len() > 0 {
					if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
						t.Fatalf("%s: %v in %s", at, err, w.Body)
					}
				}
				if b.want != "" {
					var want any
					if err := json.Unmarshal([]byte(fill(b.want)), &want); err != nil {
						t.Fatalf("%s: what is wanted is no JSON: %v", at, err)
					}
					if d := differs("", got, want); d != "" {
						t.Errorf("%s: %s\nin %s", at, d, w.Body)
					}
				}
				for _, line := range b.after {
					s.after(at, fill(line), got, names)
				}
				played++
			}
			if played < 10 {
				t.Errorf("only %d requests were played", played)
			}
		})
	}
}

func (s *service) after(at, line string, got any, names map[string]string) {
	s.t.Helper()
	words := strings.Fields(line)
	switch {
	case words[0] == "$":
		v, _ := got.(map[string]any)[words[2]].(string)
		names[words[1]] = v
	case words[1] == "groups":
		var groups []string
		for _, g := range s.user(words[2]).Groups {
			groups = append(groups, string(g))
		}
		if !slices.Equal(groups, words[3:]) {
			s.t.Errorf("%s: %s is in %v, want %v", at, words[2], groups, words[3:])
		}
	case words[1] == "manager":
		if got := string(s.user(words[2]).Manager); got != strings.Join(words[3:], "") {
			s.t.Errorf("%s: the manager of %s is %q, want %q", at, words[2], got, words[3:])
		}
	case words[1] == "left", words[1] == "there":
		if p := s.user(words[2]); p.Disabled != (words[1] == "left") {
			s.t.Errorf("%s: %s is disabled: %v", at, words[2], p.Disabled)
		}
	default:
		s.t.Fatalf("%s: nobody knows %q", at, line)
	}
}

// differs says where got lacks something of want.
func differs(at string, got, want any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		for name, v := range w {
			if _, there := g[name]; v == nil && there {
				return fmt.Sprintf("%s.%s is there", at, name)
			} else if v != nil {
				if d := differs(at+"."+name, g[name], v); d != "" {
					return d
				}
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
		for i := range w {
			if d := differs(fmt.Sprintf("%s[%d]", at, i), g[i], w[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if want != "*" && got != want || got == nil {
		return fmt.Sprintf("%s is %v, want %v", at, got, want)
	}
	return ""
}

type block struct {
	request, body, status, want string
	header, after               []string
}

func blocks(text string) (all []block) {
	var into *string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "> "):
			all = append(all, block{request: line[2:]})
			into = &all[len(all)-1].body
		case strings.HasPrefix(line, "+ "): // a header
			name, value, _ := strings.Cut(line[2:], ": ")
			all[len(all)-1].header = append(all[len(all)-1].header, name, value)
		case strings.HasPrefix(line, "< "):
			all[len(all)-1].status = line[2:]
			into = &all[len(all)-1].want
		case strings.HasPrefix(line, "$ "), strings.HasPrefix(line, "= "):
			all[len(all)-1].after = append(all[len(all)-1].after, line)
		case line != "" && into != nil:
			*into += line + "\n"
		}
	}
	return all
}
