package store

import (
	"context"
	"errors"

	"stint/internal/access"
)

// The errors that both databases have.

func rowTaken(cause error) error {
	return access.Fail(access.Conflict, "already-there", "somebody else made it already").Try("read it again and repeat").Wrap(cause)
}

// ruleBroken is a bug: the schema refused what the core never does.
func ruleBroken(cause error) error {
	return access.Fail(access.Internal, "rule-broken", "the store refused a change that breaks a rule").Wrap(cause)
}

func unavailable(code, message string, cause error) *access.Error {
	return access.Fail(access.Unavailable, code, message).Try("it is worth trying again").Wrap(cause)
}

func unknownCommit(cause error) error {
	return access.Fail(access.Unavailable, "commit-unknown", "the store cannot find out whether the change was made").
		Try("read it back before you repeat it").Wrap(cause)
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
