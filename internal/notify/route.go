package notify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stint/internal/access"
)

// What a channel may be told of.
const (
	ofRequests = "requests" // that somebody has to decide, and what became of them
	ofGrants   = "grants"   // every grant, from when it is active
	ofTroubles = "troubles" // what somebody should look at now
)

// About is what the documents of this moment say of a resource.
type About struct {
	Criticality access.Criticality
	Labels      map[string]string
}

// World is what messages tell of, as it is now.
type World interface {
	// Request reads a request and its grant, nil while there is none;
	// access.NotFound where there is no such request.
	Request(ctx context.Context, id access.RequestID) (access.Request, *access.Grant, error)
	// Resource says what the documents say; false where they know no such resource.
	Resource(ctx context.Context, name access.ResourceName) (About, bool, error)
}

// filter selects the records that a channel is told of.
type filter struct {
	events []string           // of a webhook: types, "grant.*", "*"; of others: kinds
	least  access.Criticality // empty: any
	labels map[string]string  // all of them
}

// filterOf reads the options that all types of channel share.
func filterOf(options map[string]string) (f filter, err error) {
	f.events = items(options["events"])
	if c := options["criticality"]; c != "" {
		if f.least = access.Criticality(c); !slices.Contains(access.Criticalities, f.least) {
			return f, fmt.Errorf("%q is no criticality", c)
		}
	}
	for _, l := range items(options["labels"]) {
		k, v, ok := strings.Cut(l, "=")
		if !ok {
			return f, fmt.Errorf("the label %q is not name=value", l)
		}
		if f.labels == nil {
			f.labels = map[string]string{}
		}
		f.labels[k] = v
	}
	return f, nil
}

// items are those of an option with many values.
func items(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' })
}

// has reports whether the channel is told of a kind.
func (f filter) has(kind string) bool { return slices.Contains(f.events, kind) }

// takes reports whether a webhook is told of events of the type.
func (f filter) takes(t access.EventType) bool {
	noun, _, _ := strings.Cut(string(t), ".")
	return f.has("*") || f.has(string(t)) || f.has(noun+".*")
}

// fits reports whether a record is of a resource that the channel is for. One that
// the documents do not know any more counts as critical, and has no labels. A channel
// that is for some resources is told of nothing that is of none.
func (f filter) fits(ctx context.Context, w World, e access.Event) (bool, error) {
	if f.least == "" && len(f.labels) == 0 {
		return true, nil
	}
	for _, n := range items(e.Facts["resource"]) {
		about, known, err := w.Resource(ctx, access.ResourceName(n))
		if err != nil {
			return false, err
		}
		if !known {
			about = About{Criticality: access.Critical}
		}
		if f.least != "" && slices.Index(access.Criticalities, about.Criticality) < slices.Index(access.Criticalities, f.least) {
			continue
		}
		all := true
		for k, v := range f.labels {
			got, ok := about.Labels[k]
			all = all && ok && got == v
		}
		if all {
			return true, nil
		}
	}
	return false, nil
}

// Concern says that a record concerns a message.
type Concern struct {
	Subject string
	Seq     int64
	Known   bool // only if there is such a message already
}

// concern says which message a record concerns, if any.
func (f filter) concern(ctx context.Context, w World, seq int64, e access.Event) (c Concern, ok bool, err error) {
	c.Seq = seq
	noun, _, _ := strings.Cut(string(e.Type), ".")
	switch {
	case noun == "request":
		c.Subject, c.Known = e.Entity, e.Type != access.RequestSubmitted || e.Facts["state"] != string(access.RequestPending) || !f.has(ofRequests)
	case noun == "grant" && strings.HasPrefix(e.Facts["request"], "req_"):
		c.Subject, c.Known = e.Facts["request"], e.Type != access.GrantActive || !f.has(ofGrants)
	case troubles[e.Type].title != "":
		c.Subject, c.Known = subjectOfTrouble(e), !f.has(ofTroubles)
	case ends[e.Type] != "":
		c.Subject, c.Known = e.Entity, true
	default:
		return c, false, nil
	}
	if !c.Known {
		if fits, err := f.fits(ctx, w, e); err != nil || !fits {
			return c, false, err
		}
	}
	return c, true, nil
}
