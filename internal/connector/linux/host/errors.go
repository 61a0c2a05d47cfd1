package host

import (
	"context"
	"errors"
	"io/fs"

	"stint/internal/access"
	"stint/internal/connector"
)

// refuse makes an error of a Provision that had no effect and never can have.
func refuse(message, next string) *connector.Error {
	return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: message, Next: next}
}

// failure is what a Provision says of an error. Errors of ours were found before
// anything was changed; of any other it is not known what it left.
func failure(err error) error {
	var ce *connector.Error
	if errors.As(err, &ce) {
		return ce
	}
	var e *access.Error
	if errors.As(err, &e) && e.Kind != access.Internal {
		return &connector.Error{Outcome: connector.NotDone, Permanent: e.Kind != access.Unavailable && e.Kind != access.Conflict,
			Message: e.Message, Next: e.Next, Cause: err}
	}
	return &connector.Error{Outcome: connector.Unknown, Message: said(err), Cause: err}
}

// result is what a step of the way out says.
func result(err error) connector.Result {
	var ce *connector.Error
	var e *access.Error
	switch {
	case err == nil:
		return connector.Result{Outcome: connector.Done}
	case errors.As(err, new(foreignError)):
		return connector.Result{Outcome: connector.NotDone, Foreign: true, Err: err}
	case errors.As(err, &ce):
		return connector.Result{Outcome: ce.Outcome, Err: err}
	case errors.As(err, &e) && e.Kind != access.Internal:
		return connector.Result{Outcome: connector.NotDone, Err: err}
	}
	return connector.Result{Outcome: connector.Unknown, Err: access.Fail(access.Unavailable, "host-failed", said(err)).Wrap(err)}
}

// said is the public part of an error of the system: which file, and what was wrong.
func said(err error) string {
	var p *fs.PathError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "the host did not answer in time"
	case errors.As(err, &p):
		return "the host could not " + p.Op + " " + p.Path + ": " + p.Err.Error()
	}
	return "the host failed: " + err.Error()
}
