package broker

import "context"

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
