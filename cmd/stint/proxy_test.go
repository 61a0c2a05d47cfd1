package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"stint/internal/api"
)

// TestExtendOnRequest: who types how much longer at stint proxy is asked for that, with the reason
// of before; what is no time is told how to say one, and a refusal why.
func TestExtendOnRequest(t *testing.T) {
	f := newFake(t)
	c, _, errw := atTerminal(t, f, strings.NewReader("\nsoon\n20m\n  extend 15m \n-5m\n"))
	conn, err := c.connect()
	must(t, err)
	if code := c.main(t.Context(), []string{"request", "orders-db", "--as", "reader", "--for", "10m", "--why", "check order 4711"}); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, errw)
	}
	page, err := conn.Requests(t.Context(), api.RequestList{Mine: true})
	must(t, err)
	held := page.Items[len(page.Items)-1]
	c.extendOnRequest(t.Context(), conn, held)
	page, err = conn.Requests(t.Context(), api.RequestList{Mine: true})
	must(t, err)
	var asked []string
	for _, r := range page.Items {
		if r.Extends != "" {
			asked = append(asked, r.Duration+" "+r.Reason)
		}
	}
	if !slices.Equal(asked, []string{"20m check order 4711", "15m check order 4711"}) {
		t.Errorf("asked for %q", asked)
	}
	if said := errw.String(); strings.Count(said, "type it like 30m") != 2 || !strings.Contains(said, "asked for 20m more") || !strings.Contains(said, "asked for 15m more") {
		t.Errorf("said %q", said)
	}
	c.in = strings.NewReader("20m\n")
	c.extendOnRequest(t.Context(), conn, api.Request{ID: "req_of_nobody"})
	if said := errw.String(); !strings.Contains(said, "error") {
		t.Errorf("a refusal is not told: %q", said)
	}
}

// TestUntilOverIsRefused: who is not signed in any more does not go on as if the server were away.
func TestUntilOverIsRefused(t *testing.T) {
	server, err := api.ParseServer(newFake(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	device, err := api.NewDevice()
	if err != nil {
		t.Fatal(err)
	}
	c := &cli{now: time.Now}
	r := api.Request{ID: "req_1", Grant: &api.Grant{State: api.GrantActive, ExpiresAt: api.At(time.Now().Add(time.Second / 10))}} // so it is looked at at once
	over, err := c.untilOver(t.Context(), &connection{Client: &api.Client{Server: server, Device: device, Token: "of-nobody"}}, r)
	if over || !errors.Is(err, api.Unauthenticated) {
		t.Errorf("%t, %v", over, err)
	}
	for _, code := range []string{api.CodeClockSkew, api.CodeProofReplayed} {
		if saysNo(&api.Error{Kind: api.Unauthenticated, Code: code}) {
			t.Errorf("%s is of one call", code)
		}
	}
}
