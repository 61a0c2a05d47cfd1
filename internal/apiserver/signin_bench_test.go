package apiserver

import (
	"testing"
	"time"
)

// BenchmarkSignIn is a whole sign-in: the form, the provider, the way back, and the
// first page. Discovery and keys are known, as with all but the first of ten minutes.
func BenchmarkSignIn(b *testing.B) {
	w := begin(b)
	w.server.trips, w.server.views = newRates(1e9, 1e9, time.Now), newRates(1e9, 1e9, time.Now)
	w.withProvider(w.first(), "corp", `create: "yes"`)
	w.browser().signIn("corp", "/")
	for b.Loop() {
		w.browser().signIn("corp", "/")
	}
}

// BenchmarkPage is a page of somebody who is signed in.
func BenchmarkPage(b *testing.B) {
	w := begin(b)
	w.server.views, w.server.reads = newRates(1e9, 1e9, time.Now), newRates(1e9, 1e9, time.Now)
	w.withProvider(w.first(), "corp", `create: "yes"`)
	mira := w.browser()
	mira.signIn("corp", "/")
	for b.Loop() {
		mira.get("/")
	}
}

// BenchmarkExchange is the sign-in of a workload: a token is signed, which is half of it,
// verified, matched, and exchanged for a login. The keys are known.
func BenchmarkExchange(b *testing.B) {
	y := newYard(b)
	for b.Loop() {
		if status, out := y.show(exchangeOf(y.forge.Sign(y.pipeline()))); status != 200 {
			b.Fatal(out)
		}
	}
}
