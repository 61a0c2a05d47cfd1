package apiserver

import (
	"net/http"
	"testing"
	"time"
)

// TestOneServiceLeavesRoom: an outside service with many calls in work has the next ones
// refused, with a word when to come again; another service, and people, are served. Once
// its calls are answered it goes on.
func TestOneServiceLeavesRoom(t *testing.T) {
	w, admin, token := provisioned(t)
	other := w.token(admin, "other")
	for range ofOneService { // as if each was in the middle of a bulk
		if !w.server.serving.enter("corp") {
			t.Fatal("there is no room at all")
		}
	}
	if status, a := w.scim(token, http.MethodGet, "/scim/v2/corp/Users", ""); status != http.StatusTooManyRequests {
		t.Errorf("one more is answered: %d %v", status, a)
	}
	if status, a := w.scim(other, http.MethodGet, "/scim/v2/other/Users", ""); status != http.StatusOK {
		t.Errorf("another service: %d %v", status, a)
	}
	if _, err := admin.Whoami(t.Context()); err != nil {
		t.Errorf("a person: %v", err)
	}
	w.server.serving.leave("corp")
	if status, a := w.scim(token, http.MethodGet, "/scim/v2/corp/Users", ""); status != http.StatusOK {
		t.Errorf("with room again: %d %v", status, a)
	}
	if n := w.server.serving.used["other"]; n != 0 {
		t.Errorf("%d places of the other were not given back", n)
	}
}

// TestFloodOfOneService: who sends too fast is refused for a moment before the store is
// asked anything about the call; nobody else is, and not for longer.
func TestFloodOfOneService(t *testing.T) {
	w, admin, token := provisioned(t)
	other := w.token(admin, "other")
	at := time.Now()
	w.server.now = func() time.Time { return at }
	w.server.services = newRates(1, 2, func() time.Time { return at })
	users := func(token, of string) int {
		t.Helper()
		status, _ := w.scim(token, http.MethodGet, "/scim/v2/"+of+"/Users", "")
		return status
	}
	for n, want := range []int{200, 200, 429} {
		if got := users(token, "corp"); got != want {
			t.Errorf("call %d: %d, want %d", n+1, got, want)
		}
	}
	// With room again in the rate, it is still the note that refuses, for a moment.
	w.server.services = newRates(1, 2, func() time.Time { return at })
	if got := users(token, "corp"); got != http.StatusTooManyRequests {
		t.Errorf("right after: %d", got)
	}
	if got := users(other, "other"); got != http.StatusOK {
		t.Errorf("another service: %d", got)
	}
	if got := users("stint-provider-guess", "corp"); got != http.StatusUnauthorized {
		t.Errorf("a guess: %d", got)
	}
	at = at.Add(slowedFor)
	if got := users(token, "corp"); got != http.StatusOK {
		t.Errorf("a moment later: %d", got)
	}
}
