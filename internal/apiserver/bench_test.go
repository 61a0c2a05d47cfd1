package apiserver

import (
	"testing"

	"stint/internal/api"
)

// BenchmarkCall is what the door itself costs: proof, login, replay guard, JSON.
// Client and server share the processor.
func BenchmarkCall(b *testing.B) {
	w, admin := populated(b, func(c *Config) { c.Limits = Limits{ReadsPerSecond: 1e6, Burst: 1e6} })
	_ = w
	for b.Loop() {
		if _, err := admin.Whoami(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGrant goes from the question to a grant that is active, and its end.
func BenchmarkGrant(b *testing.B) {
	w, admin := populated(b, func(c *Config) {
		c.Limits = Limits{ReadsPerSecond: 1e6, WritesPerSecond: 1e6, Burst: 1e6}
	})
	mira := w.as(admin, api.UserAdd{Name: "mira", Groups: []string{"platform"}})
	for b.Loop() {
		r, err := mira.Submit(b.Context(), api.Ask{Resource: "db", Role: "reader", Duration: "5m", Reason: "look at it"}, api.Wait{For: api.Ready, Time: 10e9})
		if err != nil || r.Grant == nil || r.Grant.State != api.GrantActive {
			b.Fatalf("%+v, %v", r.Grant, err)
		}
	}
}
