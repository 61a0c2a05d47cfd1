package main

import (
	"fmt"
	"net/http"
	"strconv"

	"stint/internal/api"
)

// sessions are 120 through a gateway, in pages of fifty; the recording of the first has
// more in it than its index lists.
func (f *fake) sessions(mux *http.ServeMux) {
	session := func(n int) api.Session {
		return api.Session{ID: fmt.Sprintf("ses_%03d", n), Person: "mira", Resource: "web1", Account: "deploy", State: "closed", Recording: api.SessionRecording{State: "kept"}}
	}
	f.route(mux, "GET /v1/sessions", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		if r.URL.Query().Get("resource") != "web1" {
			return api.Page[api.Session]{Items: []api.Session{}}, nil
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		page := api.Page[api.Session]{Items: []api.Session{}}
		for n := from; n < min(from+50, 120); n++ {
			page.Items = append(page.Items, session(n))
		}
		if from+50 < 120 {
			page.Next = strconv.Itoa(from + 50)
		}
		return page, nil
	})
	f.route(mux, "GET /v1/sessions/{id}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		n, err := strconv.Atoi(r.PathValue("id")[len("ses_"):])
		return session(n), err
	})
	f.route(mux, "GET /v1/sessions/{id}/recording/index", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		return api.RecordingIndex{Entries: []api.RecordingEntry{{Kind: "command", Text: "uptime"}}, More: r.PathValue("id") == "ses_000"}, nil
	})
}
