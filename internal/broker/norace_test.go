//go:build !race

package broker_test

// raced says that the race detector looks on.
const raced = false
