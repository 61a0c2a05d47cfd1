package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"stint/internal/api"
)

// The request object that scripts rely on. What follows "person" is beyond it
// and may grow.
func TestRequestObject(t *testing.T) {
	at := time.Date(2026, 3, 1, 18, 30, 0, 123_456_789, time.FixedZone("CET", 3600))
	r := api.Request{
		ID: "req_01", State: api.RequestApproved, Principal: "user:mira", Resource: "orders-db", Role: "reader",
		Duration: "20s", Granted: "15s", Reason: "look", Digest: "sha256:00",
		Decision: api.Decision{Outcome: api.OutcomeApprove,
			Reasons:   []api.Reason{{Policy: "orders-read", Source: "policy.yaml:31", Text: "one of dba approves"}},
			Approvals: []api.Approval{{From: []string{"group:dba"}, Count: 1}}},
		Grant:  &api.Grant{ID: "grt_01", State: api.GrantActive, ActiveAt: api.At(at)},
		Person: "mira", Votes: []api.Vote{},
	}
	want := `{"id":"req_01","state":"approved","principal":"user:mira","resource":"orders-db","role":"reader",` +
		`"duration":"20s","granted_duration":"15s","reason":"look","ticket":"","digest":"sha256:00",` +
		`"decision":{"outcome":"approve","reasons":[{"policy":"orders-read","source":"policy.yaml:31","text":"one of dba approves"}],` +
		`"approvals":[{"from":["group:dba"],"count":1,"have":0}]},` +
		`"grant":{"id":"grt_01","state":"active","active_at":"2026-03-01T17:30:00.123Z","expires_at":null,"ended_at":null,` +
		`"verified_gone_at":null,"end_reason":"","overdue":false},"person":"mira",`
	got := mustJSON(t, r)
	if !strings.HasPrefix(got, want) {
		t.Errorf("the request object is\n %s, want it to begin with\n %s", got, want)
	}
	var back api.Request
	if err := json.Unmarshal([]byte(got), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Error(diff)
	}
	if r.Grant = nil; strings.Contains(mustJSON(t, r), `"grant"`) {
		t.Error("grant is there before there is one")
	}
}

func TestCredentialObject(t *testing.T) {
	c := api.Credential{Type: "postgres", URI: "postgres://u:p@db1:5432/orders", Username: "u", Password: "p", Host: "db1", Port: 5432,
		Database: "orders", ExpiresAt: api.At(time.Unix(1772386200, 0))}
	want := `{"type":"postgres","uri":"postgres://u:p@db1:5432/orders","username":"u","password":"p","host":"db1","port":5432,` +
		`"database":"orders","expires_at":"2026-03-01T17:30:00.000Z"}`
	if got := mustJSON(t, c); got != want {
		t.Errorf("the credential object is\n %s, want\n %s", got, want)
	}
}

func TestTime(t *testing.T) {
	for in, want := range map[string]string{
		`"2026-03-01T17:30:00.123Z"`: `"2026-03-01T17:30:00.123Z"`, `"2026-03-01T18:30:00+01:00"`: `"2026-03-01T17:30:00.000Z"`,
		`"2026-03-01T17:30:00.999999Z"`: `"2026-03-01T17:30:00.999Z"`, `null`: `null`, `""`: `null`,
	} {
		var got api.Time
		if err := json.Unmarshal([]byte(in), &got); err != nil || mustJSON(t, got) != want {
			t.Errorf("%s reads as %s, %v; want %s", in, mustJSON(t, got), err, want)
		}
	}
	for _, in := range []string{`"soon"`, `7`, `{}`, `"2026-03-01"`, `"2026-02-30T00:00:00Z"`, `true`} {
		var got api.Time
		if err := json.Unmarshal([]byte(in), &got); err == nil || !got.IsZero() {
			t.Errorf("%s reads as %v, %v; want an error", in, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := api.At(time.UnixMilli(rapid.Int64Range(1, 253402300799999).Draw(t, "ms")))
		text, err := want.MarshalText()
		var got api.Time
		if err == nil {
			err = got.UnmarshalText(text)
		}
		if err != nil || !got.Equal(want) || len(text) != len("2026-03-01T17:30:00.000Z") {
			t.Fatalf("%v is %s and reads as %v, %v", want, text, got, err)
		}
	})
	if zero, err := (api.Time{}).MarshalText(); err != nil || len(zero) != 0 || !api.At(time.Time{}).IsZero() {
		t.Errorf("the zero time is %q, %v", zero, err)
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	const word = "hunter2"
	s := api.Secret(word)
	holders := []any{s, &s, []api.Secret{s}, map[string]api.Secret{"k": s}, api.CredentialSet{Password: s}, api.LoginResult{Token: s},
		api.Credential{URI: s, Password: s}, api.Enroll{Code: s}, api.UserAdded{EnrollToken: s}, api.ServiceAdded{Token: s}, api.Call{Token: s}}
	for _, v := range holders {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.2s"} {
			got := fmt.Sprintf(verb, v)
			if strings.Contains(got, word) || strings.Contains(strings.ToLower(got), "68756e74") || strings.Contains(got, "104 117") {
				t.Errorf("Sprintf(%s, %T) = %s", verb, v, got)
			}
		}
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", s)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", s)
	if strings.Contains(b.String(), word) {
		t.Errorf("slog wrote %s", b.String())
	}
	if s.Reveal() != word || mustJSON(t, s) != `"hunter2"` || !s.Equal("hunter2") || s.Equal("hunter3") {
		t.Error("the wire does not carry it")
	}
}

// A member that sounds secret has a type that does not print.
func TestSecretMembersAreSecrets(t *testing.T) {
	sounds := regexp.MustCompile(`(?i)(^|_)(password|token|code|uri|secret)$`)
	allowed := map[string]bool{"Error.code": true} // the name of an error
	for _, v := range []any{api.Credential{}, api.Enroll{}, api.LoginResult{}, api.UserAdded{}, api.ServiceAdded{}, api.CredentialSet{},
		api.ConnectorCredential{}, api.SealedCredential{}, api.Whoami{}, api.Ask{}, api.Error{}, api.Resource{}} {
		for f := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			where := reflect.TypeOf(v).Name() + "." + name
			if sounds.MatchString(name) && f.Type != reflect.TypeFor[api.Secret]() && !allowed[where] {
				t.Errorf("%s is a %v", where, f.Type)
			}
		}
	}
}

func TestError(t *testing.T) {
	kinds := []api.Kind{api.Internal, api.Invalid, api.Denied, api.Unauthenticated, api.NotFound, api.Conflict, api.SetupFailed,
		api.Pending, api.Expired, api.PasskeyNeeded, api.Unavailable, api.TooMany}
	for _, k := range kinds {
		e := (&api.Error{Kind: k, Code: "some-code", Message: "no", Why: "because"}).Complete()
		wrapped := fmt.Errorf("ask: %w", e)
		if !errors.Is(wrapped, k) || e.Status < 400 || e.Title == "" || e.Type != "urn:stint:error:some-code" || e.Error() != "no: because" {
			t.Errorf("%s: %+v", k, e)
		}
		for _, other := range kinds {
			if other != k && errors.Is(wrapped, other) {
				t.Errorf("%s is also %s", k, other)
			}
		}
	}
	if s := api.Kind("odd").HTTPStatus(); s != 500 {
		t.Errorf("an unknown kind has status %d", s)
	}
	if (&api.Error{Status: 418}).Error() != "the server answered 418" || (&api.Error{}).Complete().Type != "about:blank" {
		t.Error("an error without words has none")
	}
	if api.Denied.Error() != "denied" {
		t.Errorf("Denied is %q", api.Denied.Error())
	}
}
