package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

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
	// One is found by its id; "ses_" is the beginning of many, and what is not there is 404.
	find := func(r *http.Request) (api.Session, error) {
		switch id := r.PathValue("id"); id {
		case "ses_":
			return api.Session{}, &api.Error{Kind: api.Conflict, Code: "ambiguous-id", Message: "more than one session may begin like this", Next: "give more of the id"}
		case "ses_cmd":
			x := session(0)
			status := 3
			x.ID, x.Protocol, x.Host, x.Reason, x.Command = id, "elevate", "web1:22", "exited", &api.SessionCommand{Line: "/usr/bin/id -u\x1b[2J", RunAs: "root", Status: &status}
			return x, nil
		default:
			n, err := strconv.Atoi(strings.TrimPrefix(id, "ses_"))
			if err != nil || n >= 120 {
				return api.Session{}, &api.Error{Kind: api.NotFound, Code: "not-found", Message: "there is no such session, or it is not yours to see"}
			}
			return session(n), nil
		}
	}
	f.route(mux, "GET /v1/sessions/{id}", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) { return find(r) })
	for _, verb := range []string{"pause", "resume", "end"} {
		f.route(mux, "POST /v1/sessions/{id}/"+verb, func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
			x, err := find(r)
			if err == nil && verb == "pause" && x.Command != nil {
				err = &api.Error{Kind: api.Conflict, Code: "not-paused", Message: "a command that runs with more privilege is not paused"}
			}
			var why api.SessionEnd
			if err == nil && verb != "resume" && (json.Unmarshal(body, &why) != nil || why.Why == "") {
				err = &api.Error{Kind: api.Invalid, Code: "no-reason", Message: "why?"}
			}
			x.EndNote = why.Why
			return x, err
		})
	}
	for _, verb := range []string{"hold", "release"} {
		f.route(mux, "POST /v1/sessions/{id}/recording/"+verb, func(_ fakeLogin, r *http.Request, body []byte) (any, error) {
			x, err := find(r)
			if err == nil && verb == "release" && x.ID == "ses_001" {
				err = &api.Error{Kind: api.Denied, Code: "not-yours", Message: "a recording that is held is let go by administrators"}
			}
			var why api.SessionEnd
			_ = json.Unmarshal(body, &why)
			return api.Recording{Session: x.ID, State: "kept", Keys: []string{}, HeldWhy: why.Why}, err
		})
	}
	f.route(mux, "GET /v1/sessions/{id}/recording/verify", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		x, err := find(r)
		v := api.RecordingVerdict{Recording: api.Recording{Session: x.ID, State: "kept", Keys: []string{}}, Holds: true, Chunks: 4, Seals: []api.RecordingSeal{{Chunk: 4, State: "complete", Reason: "client-gone", By: "AAAA"}}}
		switch x.ID {
		case "ses_001":
			v.Holds, v.Damage = false, "frame 3: it does not fit"
		case "ses_002":
			v.Recording.State = "lost"
		}
		return v, err
	})
	f.route(mux, "GET /v1/recordings/search", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		out := api.RecordingHits{Hits: []api.RecordingEntry{}, Skipped: []string{"ses_003: it is damaged"}, Searched: 2}
		if r.URL.Query().Get("text") == "uptime" {
			out.Hits = append(out.Hits, api.RecordingEntry{Session: "ses_000", Millis: 65000, Kind: "command", Text: "uptime\x1b]0;x\x07"})
		}
		return out, nil
	})
	stream := func(verb string, write func(http.ResponseWriter, *http.Request)) {
		mux.HandleFunc("GET /v1/sessions/{id}/recording/"+verb, func(w http.ResponseWriter, r *http.Request) {
			_, err := f.caller(r, nil)
			if err == nil {
				_, err = find(r)
			}
			if err != nil {
				answer(w, nil, err)
				return
			}
			write(w, r)
		})
	}
	stream("export", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-tar")
		_, _ = fmt.Fprintf(w, "in the form %s\n", r.URL.Query().Get("form"))
	})
	stream("screens", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		q := r.URL.Query()
		for _, x := range []api.Screen{
			{Millis: 1000, Columns: 80, Rows: 24, Lines: [][]api.ScreenRun{{{Text: "channel " + q.Get("channel") + " from " + q.Get("from") + "\x1b[2J", Cells: 9, Fore: "1", Attrs: "b"}}}},
			{Millis: 1010, Columns: 80, Rows: 24, Lines: [][]api.ScreenRun{{{Text: "second", Cells: 6}}}},
			{Lines: [][]api.ScreenRun{}, End: "the session ended: client-gone"},
		} {
			_ = json.NewEncoder(w).Encode(x)
		}
	})
	f.route(mux, "GET /v1/sessions/{id}/recording/index", func(_ fakeLogin, r *http.Request, _ []byte) (any, error) {
		return api.RecordingIndex{Entries: []api.RecordingEntry{{Kind: "command", Text: "uptime"}}, More: r.PathValue("id") == "ses_000"}, nil
	})
}
