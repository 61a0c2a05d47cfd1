package httpgate

import (
	"errors"
	"html/template"
	"net/http"
	"strings"

	"stint/internal/access"
	"stint/internal/gateway"
)

// endedHeader tells programs why a session is over.
const endedHeader = "Stint-Ended"

// wantsPage says whether a person looks at the answer, and not a program or a page's script.
func wantsPage(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title></head>
<body><main><h1>{{.Title}}</h1>{{with .Why}}<p>{{.}}</p>{{end}}{{with .Next}}<p>{{.}}</p>{{end}}<p>This page is Stint's, and not the application's.</p></main></body></html>
`))

type words struct{ Title, Why, Next string }

// statuses are those of refusals.
var statuses = map[access.Kind]int{
	access.Invalid: http.StatusBadRequest, access.Denied: http.StatusForbidden, access.Unauthenticated: http.StatusUnauthorized, access.NotFound: http.StatusNotFound,
	access.Conflict: http.StatusConflict, access.Expired: http.StatusForbidden, access.Unavailable: http.StatusServiceUnavailable, access.TooMany: http.StatusTooManyRequests,
	access.Pending: http.StatusForbidden, access.SetupFailed: http.StatusServiceUnavailable,
}

// refuse says why a request has no other answer than this one. A person who has read why a
// session ended is let sign in again.
func (q *request) refuse(w http.ResponseWriter, err error) {
	status, say := http.StatusInternalServerError, words{Title: "the gateway failed"}
	var over *gateway.Ended
	var ours *access.Error
	h := w.Header()
	clear(h) // nothing of an application's stands beside it
	switch {
	case errors.As(err, &over):
		if q.page && q.browser {
			setCookie(w, cookieName, "", -1)
		}
		status, say = http.StatusForbidden, words{"the session has ended: " + over.Reason.Sentence(), over.Text, next(over.Reason)}
		h.Set(endedHeader, string(over.Reason))
		// What a page left in the browser, its worker above all, would go on without us.
		h.Set("Clear-Site-Data", `"cache", "storage"`)
	case errors.As(err, &ours) && ours.Kind != access.Internal:
		say = words{ours.Message, ours.Why, ours.Next}
		if n := statuses[ours.Kind]; n != 0 {
			status = n
		}
		switch ours.Code {
		case "other-host":
			status = http.StatusMisdirectedRequest
		case "too-long":
			status = http.StatusRequestEntityTooLarge
		case "target-away":
			status = http.StatusBadGateway
		case "too-slow":
			status = http.StatusRequestTimeout
		}
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // a ticket may be in the address
	h.Set("X-Content-Type-Options", "nosniff")
	if !q.page {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(strings.TrimRight("stint: "+strings.Join([]string{say.Title, say.Why, say.Next}, "\n"), "\n") + "\n"))
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	w.WriteHeader(status)
	_ = page.Execute(w, say)
}

func next(r gateway.Reason) string {
	switch r {
	case gateway.Expired, gateway.Revoked, gateway.Returned, gateway.Policy:
		return "ask again with: stint request"
	case gateway.Partitioned, gateway.Stopping, gateway.Unknown, gateway.ClientGone:
		return "open the address again"
	}
	return ""
}
