package broker

import "context"

// about is the key under which a context says what the work is about.
type about struct{}

// withWork marks what is done under a context: the place, or the entitlement.
func withWork(ctx context.Context, what string) context.Context {
	return context.WithValue(ctx, about{}, what)
}

// WorkOf says what the work is about in which the broker calls its store or a
// connector: a place, an entitlement, or nothing in particular. Of two calls from
// the same line it tells which is which, to a store that traces, and to the
// simulation, whose order of events must not depend on the runtime's.
func WorkOf(ctx context.Context) string {
	what, _ := ctx.Value(about{}).(string)
	return what
}
