package ticket

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stint/internal/access"
)

// The answers below are written in the form that the providers' documentation gives, and
// were taken from no live system: Jira Cloud REST API 3 "Get issue", ServiceNow "Table API", GitHub
// REST "Get an issue" (2022-11-28), GitLab "Issues API: single project issue".

const jiraAnswer = `{
  "expand": "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations",
  "id": "10002", "self": "https://your-domain.atlassian.net/rest/api/3/issue/10002", "key": "OPS-1",
  "fields": {
    "summary": "orders-db is slow",
    "description": {"type": "doc", "version": 1, "content": [
      {"type": "paragraph", "content": [{"type": "text", "text": "Since noon "}, {"type": "text", "text": "billing-db", "marks": [{"type": "code"}]}]},
      {"type": "paragraph", "content": [{"type": "text", "text": "waits too."}]}]},
    "labels": ["prod"], "components": [{"self": "…", "id": "10000", "name": "Shop"}],
    "status": {"self": "…", "name": "In Progress", "id": "3", "statusCategory": {"self": "…", "id": 4, "key": "indeterminate", "colorName": "yellow", "name": "In Progress"}},
    "assignee": {"accountId": "5b10a2844c20165700ede21g", "displayName": "Mia Krystof", "emailAddress": "mia@example.com", "active": true},
    "reporter": {"accountId": "5b10ac8d82e05b22cc7d4ef5", "displayName": "Emma Richards", "active": true},
    "creator": {"accountId": "5b10ac8d82e05b22cc7d4ef5", "displayName": "Emma Richards", "active": true}
  },
  "changelog": {"startAt": 0, "maxResults": 2, "total": 2, "histories": [
    {"id": "10002", "author": {"accountId": "5b109f2e9729b51b54dc274d"}, "created": "2026-11-20T18:00:00.000+0000", "items": [{"field": "resolution", "fieldtype": "jira", "fieldId": "resolution", "from": "1", "to": null}]},
    {"id": "10001", "author": {"accountId": "5b10ac8d82e05b22cc7d4ef5"}, "created": "2026-11-19T18:00:00.000+0000", "items": [{"field": "resolution", "fieldtype": "jira", "fieldId": "resolution", "from": null, "to": "1"}]}]}
}`

const serviceNowAnswer = `{"result": [{"number": "INC0010001", "active": "true", "state": "2", "short_description": "orders-db is slow", "description": "since noon",
 "cmdb_ci.name": "shop", "assigned_to.user_name": "beth.anglin", "opened_by.user_name": "abel.tuter", "sys_created_by": "abel.tuter", "sys_updated_by": "fred.luddy", "reopen_count": "1"}]}`

const gitHubAnswer = `{"id": 1, "node_id": "MDU6SXNzdWUx", "url": "BASE/repos/octocat/Hello-World/issues/1347", "repository_url": "BASE/repos/octocat/Hello-World",
 "number": 1347, "state": "open", "state_reason": null, "title": "Found a bug", "body": "orders-db has a problem.", "user": {"login": "octocat", "id": 1, "type": "User"},
 "labels": [{"id": 208045946, "name": "bug", "color": "f29513"}], "assignee": {"login": "hubot", "id": 2}, "assignees": [{"login": "hubot", "id": 2}], "locked": false, "comments": 0,
 "closed_at": null, "created_at": "2011-04-22T13:33:48Z", "updated_at": "2011-04-22T13:33:48Z", "author_association": "COLLABORATOR"}`

const gitLabAnswer = `{"project_id": 4, "milestone": null, "author": {"state": "active", "id": 18, "username": "eileen.lowe", "name": "Alexandra Bashirian"},
 "description": "Omnis vero earum.", "state": "closed", "iid": 1, "assignees": [{"state": "active", "id": 9, "username": "keyon"}], "assignee": {"id": 9},
 "type": "ISSUE", "labels": ["orders-db"], "id": 41, "title": "Ut commodi", "moved_to_id": null, "closed_at": "2026-01-04T15:31:46.176Z", "closed_by": {"id": 1}}`

const plainAnswer = `{"id": "INC-1", "open": true, "text": "orders-db", "assignee": "u1", "reporter": "u2", "editors": ["u2", "u3"], "closings": "0"}`

var sites = map[string]struct {
	site   Site
	id     string
	path   string
	answer string
	want   access.Ticket
	header [2]string
}{
	Jira: {Site{Type: Jira, Options: map[string]string{"projects": "DEV,OPS"}, Username: "stint@example.com"}, "OPS-1", "/rest/api/3/issue/OPS-1", jiraAnswer,
		access.Ticket{ID: "OPS-1", Open: true, Text: "orders-db is slow\nSince noon billing-db\nwaits too.\n\n\nprod\nShop", Assignee: "5b10a2844c20165700ede21g", Reporter: "5b10ac8d82e05b22cc7d4ef5",
			Editors: []string{"5b10ac8d82e05b22cc7d4ef5", "5b10ac8d82e05b22cc7d4ef5", "5b109f2e9729b51b54dc274d"}, EditorsKnown: true, Closings: "1"},
		[2]string{"Authorization", "Basic c3RpbnRAZXhhbXBsZS5jb206czNjcmV0"}},
	ServiceNow: {Site{Type: ServiceNow, Username: "stint"}, "INC0010001", "/api/now/table/incident", serviceNowAnswer,
		access.Ticket{ID: "INC0010001", Open: true, Text: "orders-db is slow\nsince noon\nshop", Assignee: "beth.anglin", Reporter: "abel.tuter",
			Editors: []string{"abel.tuter", "fred.luddy"}, EditorsKnown: true, Closings: "1"}, [2]string{"Authorization", "Basic c3RpbnQ6czNjcmV0"}},
	GitHub: {Site{Type: GitHub, Options: map[string]string{"repository": "octocat/Hello-World"}}, "#1347", "/repos/octocat/Hello-World/issues/1347", gitHubAnswer,
		access.Ticket{ID: "1347", Open: true, Text: "Found a bug\norders-db has a problem.\nbug", Assignee: "2", Reporter: "1"}, [2]string{"Authorization", "Bearer s3cret"}},
	GitLab: {Site{Type: GitLab, Options: map[string]string{"project": "4"}}, "1", "/api/v4/projects/4/issues/1", gitLabAnswer,
		access.Ticket{ID: "1", Text: "Ut commodi\nOmnis vero earum.\norders-db", Assignee: "9", Reporter: "18"}, [2]string{"Private-Token", "s3cret"}},
	HTTP: {Site{Type: HTTP}, "INC-1", "/INC-1", plainAnswer,
		access.Ticket{ID: "INC-1", Open: true, Text: "orders-db", Assignee: "u1", Reporter: "u2", Editors: []string{"u2", "u3"}, EditorsKnown: true, Closings: "0"},
		[2]string{"Authorization", "Bearer s3cret"}},
}

// serve answers every call in one way and keeps the last one.
func serve(t *testing.T, answer http.HandlerFunc) (*httptest.Server, *http.Request) {
	t.Helper()
	last := &http.Request{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = *r.Clone(r.Context())
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s, last
}

func says(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "BASE", "http://"+r.Host))
	}
}

func at(s Site, server *httptest.Server) Site {
	s.Name, s.Address, s.Secret = "tickets", server.URL, access.NewSecret([]byte("s3cret"))
	return s
}

// TestAnswers reads the documented answer of each provider.
func TestAnswers(t *testing.T) {
	for name, x := range sites {
		t.Run(name, func(t *testing.T) {
			server, asked := serve(t, says(x.answer))
			got, err := Look(t.Context(), server.Client(), at(x.site, server), x.id)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, x.want); d != "" {
				t.Error(d)
			}
			if asked.URL.Path != x.path || asked.Method != http.MethodGet || asked.Header.Get(x.header[0]) != x.header[1] {
				t.Errorf("asked %s %s with %v", asked.Method, asked.URL.Path, asked.Header)
			}
		})
	}
}

// TestHostileIDs: no id that is not one of its system's own is ever sent anywhere.
func TestHostileIDs(t *testing.T) {
	hostile := []string{"", " ", "../../admin", "OPS-1/../SEC-9", "OPS-1?expand=all", "OPS-1#x", "OPS-1%2f..%2fSEC-9", "OPS-1\nHost: evil", "OPS-1\r\n", "\nOPS-1", "OPS-1 ", "ops-1",
		"OPS-1 OR project=SEC", `OPS-1" OR "1"="1`, "OPS-01", "OPS-0", "SEC-9", "OPSX-1", "INC0010001^ORnumberISNOTEMPTY", "INC0010001&sysparm_limit=9", "number=INC0010001", "1;drop", "1/comments",
		"##1", "-1", "+1", "0", "1e3", "99999999999", "octocat/Hello-World#1", "https://evil.example.com/1", "//evil.example.com", "@evil", "..", ".", "INC-1/..", "INC.1", "ＯＰＳ-１", "OPS-\u0661", strings.Repeat("A", 300) + "-1"}
	for name, x := range sites {
		calls := 0
		server, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { calls++; says(x.answer)(w, r) })
		for _, id := range hostile {
			if id == x.id || name == HTTP && ids[HTTP].MatchString(id) { // its ids are whatever they are; the answer's has to be the same
				continue
			}
			if t1, err := Look(t.Context(), server.Client(), at(x.site, server), id); !errors.Is(err, access.NotFound) || t1.ID != "" {
				t.Errorf("%s: %q: got %+v, %v", name, id, t1, err)
			}
		}
		if calls != 0 {
			t.Errorf("%s was called %d times for what is none of its ids", name, calls)
		}
	}
}

// TestUnknownAndForbidden: the answers do not tell which it was.
func TestUnknownAndForbidden(t *testing.T) {
	for name, x := range sites {
		words := map[string]bool{}
		for _, status := range []int{401, 403, 404, 410} {
			server, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"errorMessages":["Issue does not exist or you do not have permission to see it."],"message":"secret project"}`)
			})
			_, err := Look(t.Context(), server.Client(), at(x.site, server), x.id)
			var e *access.Error
			if !errors.As(err, &e) || e.Kind != access.NotFound {
				t.Fatalf("%s, %d: %v", name, status, err)
			}
			words[e.Message+e.Why+e.Next] = true
		}
		server, _ := serve(t, says(x.answer))
		_, err := Look(t.Context(), server.Client(), at(x.site, server), "nonsense/../x")
		var e *access.Error
		if errors.As(err, &e) {
			words[e.Message+e.Why+e.Next] = true
		}
		if len(words) != 1 {
			t.Errorf("%s tells them apart: %v", name, words)
		}
	}
}

// TestHostileAnswers: whatever else comes, nothing is known of the ticket.
func TestHostileAnswers(t *testing.T) {
	elsewhere, reached := serve(t, says(plainAnswer))
	for what, answer := range map[string]http.HandlerFunc{
		"huge": func(w http.ResponseWriter, r *http.Request) {
			says(`{"id":"`+strings.Repeat("x", answerBytes)+`"}`)(w, r)
		},
		"huge and unended": func(w http.ResponseWriter, r *http.Request) { says(strings.Repeat(" ", answerBytes+10))(w, r) },
		"another type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, plainAnswer)
		},
		"no type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, plainAnswer)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/INC-1", http.StatusFound)
		},
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/INC-1", http.StatusMovedPermanently)
		},
		"down":               func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"too many calls":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"two values":         says("{} {}"),
		"no JSON":            says("<html>sign in</html>"),
		"broken JSON":        says(`{"key":`),
		"a list":             says(`[]`),
		"empty":              says(`{}`),
		"other types":        says(`{"key":1,"number":"x","result":{},"id":[],"iid":"1","open":"yes"}`),
		"accepted, not done": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) },
	} {
		for name, x := range sites {
			server, _ := serve(t, answer)
			got, err := Look(t.Context(), server.Client(), at(x.site, server), x.id)
			// An empty list is what ServiceNow says of a record that is not there.
			if kind := access.KindOf(err); err == nil || kind != access.Unavailable && !(name == ServiceNow && what == "empty" && kind == access.NotFound) {
				t.Errorf("%s, %s: got %+v, %v", name, what, got, err)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s, %s: the secret is in %v", name, what, err)
			}
		}
	}
	if reached.Method != "" {
		t.Error("a redirect was followed")
	}
}

// TestOtherTickets: an answer about another ticket, project, repository or host is none.
func TestOtherTickets(t *testing.T) {
	for what, x := range map[string]struct{ typ, answer string }{
		"moved to another project":      {Jira, strings.Replace(jiraAnswer, `"key": "OPS-1"`, `"key": "SEC-9"`, 1)},
		"another record":                {ServiceNow, strings.Replace(serviceNowAnswer, "INC0010001", "INC0010002", 1)},
		"a query that was ignored":      {ServiceNow, strings.Replace(serviceNowAnswer, `[{`, `[{"number":"INC0010001","active":"true","state":"1"},{`, 1)},
		"none":                          {ServiceNow, `{"result":[]}`},
		"another number":                {GitHub, strings.Replace(gitHubAnswer, "1347, \"state\"", "1348, \"state\"", 1)},
		"another repository":            {GitHub, strings.Replace(gitHubAnswer, `"repository_url": "BASE/repos/octocat/Hello-World"`, `"repository_url": "BASE/repos/octocat/other"`, 1)},
		"another host":                  {GitHub, strings.Replace(gitHubAnswer, `"repository_url": "BASE`, `"repository_url": "https://api.github.com`, 1)},
		"a pull request":                {GitHub, strings.Replace(gitHubAnswer, `"locked"`, `"pull_request": {}, "locked"`, 1)},
		"another project":               {GitLab, strings.Replace(gitLabAnswer, `"project_id": 4`, `"project_id": 5`, 1)},
		"moved":                         {GitLab, strings.Replace(gitLabAnswer, `"moved_to_id": null`, `"moved_to_id": 77`, 1)},
		"a state that is none":          {GitLab, strings.Replace(gitLabAnswer, `"state": "closed", "iid"`, `"state": "reopened", "iid"`, 1)},
		"another id":                    {HTTP, strings.Replace(plainAnswer, "INC-1", "INC-2", 1)},
		"no word on whether it is open": {HTTP, `{"id":"INC-1"}`},
		"a field that is not ours":      {HTTP, strings.Replace(plainAnswer, `"open"`, `"opne": true, "open"`, 1)},
	} {
		server, _ := serve(t, says(x.answer))
		site := sites[x.typ]
		if got, err := Look(t.Context(), server.Client(), at(site.site, server), site.id); err == nil {
			t.Errorf("%s, %s: got %+v", x.typ, what, got)
		}
	}
}

// TestSlow: a system that never finishes is given up, within the time of a call.
func TestSlow(t *testing.T) {
	done := make(chan struct{})
	server, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		<-done
	})
	defer close(done)
	x := sites[HTTP]
	began := time.Now()
	_, err := Look(t.Context(), server.Client(), at(x.site, server), x.id)
	if !errors.Is(err, access.Unavailable) || time.Since(began) > 4*answerWithin {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// TestHistoryThatIsCut: of a history that is not all there, nothing is concluded.
func TestHistoryThatIsCut(t *testing.T) {
	server, _ := serve(t, says(strings.Replace(jiraAnswer, `"total": 2`, `"total": 120`, 1)))
	got, err := Look(t.Context(), server.Client(), at(sites[Jira].site, server), "OPS-1")
	if err != nil || got.EditorsKnown || got.Closings != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestQuery: what is asked of ServiceNow is one equality and nothing else.
func TestQuery(t *testing.T) {
	server, asked := serve(t, says(serviceNowAnswer))
	if _, err := Look(t.Context(), server.Client(), at(sites[ServiceNow].site, server), "INC0010001"); err != nil {
		t.Fatal(err)
	}
	q, err := url.ParseQuery(asked.URL.RawQuery)
	if err != nil || q.Get("sysparm_query") != "number=INC0010001" || q.Get("sysparm_limit") != "2" {
		t.Errorf("%v, %v", q, err)
	}
}

// FuzzAnswers: no answer makes it panic, or be about another ticket.
func FuzzAnswers(f *testing.F) {
	var answer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { says(answer)(w, r) }))
	f.Cleanup(server.Close)
	for _, x := range sites {
		f.Add(x.answer)
	}
	f.Fuzz(func(t *testing.T, text string) {
		answer = text
		for _, x := range sites {
			got, err := Look(t.Context(), server.Client(), at(x.site, server), x.id)
			if err == nil && got.ID != strings.TrimPrefix(x.id, "#") {
				t.Errorf("%s: %+v", x.site.Type, got)
			}
		}
	})
}
