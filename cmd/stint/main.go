// Command stint is the command line of Stint: people ask for access, use it and
// give it back; approvers decide; administrators and pipelines apply documents;
// auditors verify the log. It decides nothing itself. It speaks the server's API
// (internal/api), and it carries the two judges that must not need a server: the
// verification of the log (internal/audit) and the tests of policies
// (internal/policy).
//
//	arguments ─► cli (one command per file) ─► api.Client ─► server
//	                  │                            │
//	stdout ◄── result (table, json, yaml, name)    └─ proof by the device's key
//	stderr ◄── progress, reasons, hints, errors
//
// Invariants:
//
//  1. Standard output holds the result and nothing else; what a script reads is
//     the same on a terminal and in a pipe.
//  2. Exit codes are those of exit.go, and nothing else decides them.
//  3. What others wrote (reasons, notes, names) reaches the terminal with its
//     control characters escaped.
//  4. No secret is an argument of a process, ours or a child's, and none is in
//     an error. State is in files of mode 0600 that appear whole or not at all.
//  5. The key that the audit log verifies with is the one pinned at sign-in or
//     given with --key; never one that comes with the log.
//  6. Nothing is asked where nobody can answer: without a terminal a missing
//     value is an error that names the flag.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"stint/internal/program"
)

func main() {
	if err := program.Shield(); err != nil { // what ends access has to work all the same
		_, _ = fmt.Fprintf(os.Stderr, "warning: the memory of stint cannot be kept from other processes: %v\n", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	code := Main(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
