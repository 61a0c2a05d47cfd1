//go:build unix

package program

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Begin runs a program that serves until it is interrupted or told to stop, and ends the process with its
// code. Whatever it makes is its own alone.
func Begin(run func(ctx context.Context) int) {
	syscall.Umask(0o077)
	if err := Shield(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "its memory cannot be kept from other processes: %v\n", err)
		os.Exit(Failure)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}
