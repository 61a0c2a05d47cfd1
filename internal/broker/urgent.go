package broker

import (
	"context"

	"stint/internal/access"
)

// Work that ends access is marked in its context, so that the store can let it go
// before everything else and keep means for it that a flood of requests cannot
// use up.

type endingKey struct{}

// ending marks what is done under a context as ending so many things.
func ending(ctx context.Context, things int) context.Context {
	return context.WithValue(ctx, endingKey{}, things)
}

// Ending reports whether a call of the Store ends access, and of how many things
// at about; for whoever adapts a store.
func Ending(ctx context.Context) (things int, is bool) {
	things, is = ctx.Value(endingKey{}).(int)
	return things, is
}

type behalfKey struct{}

// onBehalf marks what is done under a context as done for a person, so that the
// store can let persons take turns: what one asks for in great number delays that
// person, and another one hardly.
func onBehalf(ctx context.Context, p access.Person) context.Context {
	return context.WithValue(ctx, behalfKey{}, p)
}

// Behalf is for whom a call of the Store is made; empty for what Stint does by
// itself. It is for whoever adapts a store.
func Behalf(ctx context.Context) access.Person {
	p, _ := ctx.Value(behalfKey{}).(access.Person)
	return p
}
