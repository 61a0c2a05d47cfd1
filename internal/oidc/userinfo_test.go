package oidc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// info bends what UserInfo says.
func info(claims map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(claims)
	}
}

// slim is an ID token without the claims that UserInfo is to add.
func slim(c map[string]any) {
	delete(c, "groups")
	delete(c, "preferred_username")
}

// TestUserInfo: claims that are only there are taken from there, groups that do not fit
// into the token too; what the token says stands.
func TestUserInfo(t *testing.T) {
	for name, c := range map[string]struct {
		token  func(map[string]any)
		info   http.HandlerFunc
		user   string
		groups string
	}{
		"only there":  {slim, nil, "mira", "platform"},
		"nothing new": {nil, info(map[string]any{"sub": "subject-1"}), "mira", "platform"},
		"the token stands": {nil, info(map[string]any{"sub": "subject-1", "preferred_username": "root", "groups": []string{"dba"}}),
			"mira", "platform"},
		"groups that did not fit": {func(c map[string]any) {
			slim(c)
			c["_claim_names"] = map[string]string{"groups": "src1"}
			c["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": "https://elsewhere.example"}}
		}, nil, "mira", "platform"},
		"how somebody signed in is no claim of UserInfo": {slim, info(map[string]any{"sub": "subject-1", "preferred_username": "mira", "groups": "platform",
			"amr": []string{"mfa"}, "acr": "phrh", "auth_time": 1}), "mira", "platform"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.at.UserInfo = true
			s.idp.Claims, s.idp.Info = c.token, c.info
			p, err := s.signIn("a")
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(p.Groups, ","); p.Name != c.user || got != c.groups || p.Auth.MFA || p.Auth.Class != "" || !p.Auth.At.IsZero() {
				t.Errorf("name %s, groups %s, signed in by %+v", p.Name, got, p.Auth)
			}
		})
	}
	s := newScene(t)
	s.idp.Claims = slim
	if p, err := s.signIn("a"); err != nil || p.Name != "" || s.idp.Fetched("/userinfo") != 0 {
		t.Errorf("not asked for: %+v, %v, fetched %d times", p, err, s.idp.Fetched("/userinfo"))
	}
}

// TestHostileUserInfo: an answer that is another's, no answer, or too much of one signs
// nobody in.
func TestHostileUserInfo(t *testing.T) {
	plain := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const good = `{"sub": "subject-1", "groups": ["platform"]}`
	for name, bend := range map[string]func(*scene){
		"somebody else":       func(s *scene) { s.idp.Info = info(map[string]any{"sub": "subject-2"}) },
		"nobody":              func(s *scene) { s.idp.Info = info(map[string]any{"groups": []string{"dba"}}) },
		"a subject in case":   func(s *scene) { s.idp.Info = info(map[string]any{"sub": "Subject-1"}) },
		"a subject of digits": func(s *scene) { s.idp.Info = plain(200, "application/json", `{"sub": 1}`) },
		"an error":            func(s *scene) { s.idp.Info = plain(500, "application/json", good) },
		"not let in":          func(s *scene) { s.idp.Info = plain(401, "application/json", good) },
		"a page":              func(s *scene) { s.idp.Info = plain(200, "text/html", good) },
		"a token":             func(s *scene) { s.idp.Info = plain(200, "application/jwt", "a.b.c") },
		"half an answer":      func(s *scene) { s.idp.Info = plain(200, "application/json", good[:20]) },
		"a list":              func(s *scene) { s.idp.Info = plain(200, "application/json", "["+good+"]") },
		"without end":         func(s *scene) { s.idp.Info = plain(200, "application/json", good+strings.Repeat(" ", 2<<20)) },
		"sent elsewhere": func(s *scene) {
			s.idp.Info = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/keys", http.StatusFound) }
		},
		"no such endpoint": func(s *scene) { s.idp.Discovery = func(d map[string]any) { delete(d, "userinfo_endpoint") } },
		"an unsafe address": func(s *scene) {
			s.idp.Discovery = func(d map[string]any) { d["userinfo_endpoint"] = "ftp://idp/userinfo" }
		},
		"groups of numbers": func(s *scene) {
			s.idp.Claims = slim
			s.idp.Info = plain(200, "application/json", `{"sub": "subject-1", "groups": [1, 2]}`)
		},
		"groups elsewhere again": func(s *scene) {
			s.idp.Claims = func(c map[string]any) { slim(c); c["_claim_names"] = map[string]string{"groups": "src1"} }
			s.idp.Info = plain(200, "application/json", `{"sub": "subject-1", "_claim_names": {"groups": "src1"}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.at.UserInfo = true
			bend(s)
			if p, err := s.signIn("a"); err == nil {
				t.Errorf("signed in: %+v", p)
			} else if strings.Contains(err.Error(), s.idp.Secret) {
				t.Errorf("the error holds a secret: %v", err)
			}
		})
	}
}
