package main

import (
	"errors"
	"testing"
	"time"

	"stint/internal/api"
)

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
