package main

import (
	"context"
	"errors"
	"strconv"

	"stint/internal/access"
	"stint/internal/api"
	"stint/internal/policy"
)

// Exit codes. Scripts rely on them; a code is never given another meaning.
const (
	exitDone          = 0
	exitFailure       = 1
	exitUsage         = 2
	exitDenied        = 3
	exitSignIn        = 4
	exitNotFound      = 5
	exitConflict      = 6
	exitSetupFailed   = 7
	exitPending       = 8
	exitExpired       = 9
	exitPasskey       = 10
	exitUnreachable   = 69 // EX_UNAVAILABLE of sysexits
	exitOwnFailure    = 125
	exitCannotExecute = 126
	exitNoCommand     = 127
	exitInterrupted   = 130 // 128 + SIGINT, as shells have it
)

// exitOf is the one table from a kind of error to an exit code.
var exitOf = map[api.Kind]int{
	api.Internal:        exitFailure,
	api.Invalid:         exitUsage,
	api.Denied:          exitDenied,
	api.Unauthenticated: exitSignIn,
	api.NotFound:        exitNotFound,
	api.Conflict:        exitConflict,
	api.SetupFailed:     exitSetupFailed,
	api.Pending:         exitPending,
	api.Expired:         exitExpired,
	api.PasskeyNeeded:   exitPasskey,
	api.Unavailable:     exitUnreachable,
	api.TooMany:         exitFailure,
}

// ended is an error whose code is all there is left to say: the reason is
// printed, or is a child's.
type ended struct{ code int }

func (e ended) Error() string { return "exit code " + strconv.Itoa(e.code) }

// usageError is what cobra says about arguments and flags.
type usageError struct{ cause error }

func (e usageError) Error() string { return e.cause.Error() }
func (e usageError) Unwrap() error { return e.cause }

// codeOf gives the exit code that says what err is.
func codeOf(err error) int {
	var (
		end   ended
		usage usageError
		away  *api.Unreachable
		fail  *api.Error
		bad   policy.Problems
		pure  *access.Error
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &end):
		return end.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &bad):
		return exitUsage
	case errors.As(err, &away):
		return exitUnreachable
	case errors.As(err, &fail):
		if code, ok := exitOf[fail.Kind]; ok {
			return code
		}
	case errors.As(err, &pure):
		return exitOf[api.Kind(pure.Kind.String())] // the kinds have the same names
	}
	return exitFailure
}

// exitWords explains the codes, in stint help exit-codes.
var exitWords = []struct {
	code int
	text string
}{
	{exitDone, "done"},
	{exitFailure, "failure; also an audit log that does not verify"},
	{exitUsage, "wrong usage, or a value that is not valid"},
	{exitDenied, "denied: by policy, by a person, or not yours to do"},
	{exitSignIn, "sign in first"},
	{exitNotFound, "not found"},
	{exitConflict, "conflict: already decided, account in exclusive use"},
	{exitSetupFailed, "approved, but access could not be set up"},
	{exitPending, "still pending when the wait ran out"},
	{exitExpired, "expired or withdrawn"},
	{exitPasskey, "a passkey is needed and cannot be asked for here"},
	{exitUnreachable, "the server cannot be reached, or cannot answer now"},
	{exitOwnFailure, "db, ssh, run: failed before the command started"},
	{exitCannotExecute, "db, ssh, run: the command was found but could not be started"},
	{exitNoCommand, "db, ssh, run: the command was not found"},
	{exitInterrupted, "interrupted"},
}

// wrong makes the error of a value that cannot be.
func wrong(code, message, why, next string) *api.Error {
	return &api.Error{Kind: api.Invalid, Code: code, Message: message, Why: why, Next: next}
}
