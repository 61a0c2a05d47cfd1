package apiserver

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reference/api.md anew")

const apiPage = "../../docs/reference/api.md"

type described struct {
	OpenAPI    string                                   `json:"openapi"`
	Paths      map[string]map[string]describedOperation `json:"paths"`
	Components struct {
		Schemas map[string]json.RawMessage `json:"schemas"`
	} `json:"components"`
}

type describedOperation struct {
	ID          string            `json:"operationId"`
	Who         string            `json:"x-stint-who"`
	Security    *[]map[string]any `json:"security"`
	Responses   map[string]any    `json:"responses"`
	RequestBody *struct{}         `json:"requestBody"`
}

// The served description has every route of the code, and no other.
func TestDescriptionIsTheCode(t *testing.T) {
	w := begin(t)
	g := w.send(raw{method: "GET", path: "/openapi.json"})
	var d described
	check(t, json.Unmarshal(g.body, &d))
	if !strings.HasPrefix(d.OpenAPI, "3.1") {
		t.Errorf("it is OpenAPI %s", d.OpenAPI)
	}
	seen := map[string]bool{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			rt, ok := w.server.routes[op.ID]
			if !ok || rt.path != path || !strings.EqualFold(rt.method, method) {
				t.Errorf("%s %s is described and not served", method, path)
				continue
			}
			seen[op.ID] = true
			if op.Who != rt.who.String() || op.Security == nil || (len(*op.Security) == 0) != (rt.who == public) {
				t.Errorf("%s does not say who may call it: %q, %v", op.ID, op.Who, op.Security)
			}
			if op.Responses["default"] == nil {
				t.Errorf("%s does not describe its refusals", op.ID)
			}
		}
	}
	for name, rt := range w.server.routes {
		if !seen[name] {
			t.Errorf("%s %s is served and not described", rt.method, rt.path)
		}
	}
	for _, name := range []string{"Error", "Request", "Grant", "LoginResult"} {
		if d.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
	if strings.Contains(string(g.body), "ErrorModel") {
		t.Error("it describes errors that we never send")
	}
}

// docs/reference/api.md is made from the routes: go test -update.
func TestPageIsTheCode(t *testing.T) {
	w := begin(t)
	want := page(w.server)
	if *update {
		check(t, os.WriteFile(apiPage, []byte(want), 0o644))
	}
	got, err := os.ReadFile(apiPage)
	check(t, err)
	if string(got) != want {
		t.Errorf("%s is not what the routes say; run go test ./internal/apiserver -update", apiPage)
	}
}

func page(s *Server) string {
	var b strings.Builder
	head, err := os.ReadFile("testdata/api-head.md")
	if err != nil {
		panic(err)
	}
	b.Write(head)
	byTag := map[string][]route{}
	for _, rt := range s.routes {
		byTag[rt.tag] = append(byTag[rt.tag], rt)
	}
	for _, tag := range []string{"Health", "Sign-in", "Passkeys", "Requests", "Grants", "SSH", "Break-glass", "Documents", "Administration", "Hosts", "Gateways", "Sessions", "Audit"} {
		b.WriteString("\n## " + tag + "\n\n| Call | Who | What it does |\n|---|---|---|\n")
		routes := byTag[tag]
		delete(byTag, tag)
		slices.SortFunc(routes, func(a, c route) int { return strings.Compare(a.path+a.method, c.path+c.method) })
		for _, rt := range routes {
			what := rt.summary
			if rt.detail != "" {
				what += ". " + rt.detail
			}
			b.WriteString("| `" + rt.method + " " + rt.path + "` | " + rt.who.String() + " | " + strings.TrimSuffix(what, ".") + ". |\n")
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		panic("the page has no place for " + tag)
	}
	return b.String()
}
