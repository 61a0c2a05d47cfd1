package ui

import (
	"context"

	"github.com/a-h/templ"
)

// Act is what an element has the browser do by itself, in htmx's words. Nothing else in
// the console writes an hx- attribute: an element without the page's nonce is ignored
// by the browser, so that markup which somebody smuggled in does nothing.
//
// There is no field for an expression (hx-on, js:, a trigger with a condition): those
// are code in an attribute.
type Act struct {
	Get, Post string // address
	Target    string // selector of what the answer replaces; empty: the element
	Swap      string // how: outerMorph, innerHTML, beforeend, none, …
	Trigger   string // when, such as "input changed delay:250ms"; empty: click, submit or change
	Include   string // selector of fields that are sent along
	Sync      string // what happens to a call that is under way, such as "this:replace"
	Confirm   string // a question that comes first

	connect string // address of a stream
}

// Hx are the attributes of an act. They are spread into an element:
//
//	<button { ui.Hx(ctx, ui.Act{Post: "/r/1/end", Target: "#grants", Swap: "outerMorph"})... }>
func Hx(ctx context.Context, a Act) templ.Attributes {
	nonce := templ.GetNonce(ctx)
	out := templ.Attributes{"hx-nonce": nonce}
	for name, value := range map[string]string{"hx-get": a.Get, "hx-post": a.Post, "hx-target": a.Target, "hx-swap": a.Swap, "hx-trigger": a.Trigger,
		"hx-include": a.Include, "hx-sync": a.Sync, "hx-confirm": a.Confirm, "hx-sse:connect": a.connect} {
		if value != "" {
			out[name] = value
		}
	}
	if a.connect != "" {
		out["hx-headers"] = `{"` + NonceHeader + `":"` + nonce + `"}`
	}
	return out
}

// NonceHeader is how a page tells a stream its nonce, which the pieces on the stream bear:
// what comes by a stream has no headers of its own.
const NonceHeader = "Stint-Page-Nonce"
