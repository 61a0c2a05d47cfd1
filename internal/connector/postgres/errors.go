package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"stint/internal/access"
	"stint/internal/connector"
)

// SQLSTATE codes that are told apart (PostgreSQL documentation, appendix A).
const (
	codeNoPrivilege       = "42501"
	codeUndefinedObject   = "42704"
	codeDuplicateObject   = "42710"
	codeUniqueViolation   = "23505"
	codeDependentObjects  = "2BP01"
	codeReadOnly          = "25006"
	codeBadPassword       = "28P01"
	codeBadAuth           = "28000"
	codeCompletionUnknown = "40003"
	codeSerialization     = "40001"
	codeDeadlock          = "40P01"
	codeNoDatabase        = "3D000"
	codeTooMany           = "53300" // connections, also of one database
	codeNotReady          = "55000" // also a database that takes no connections
	codeInternal          = "XX000" // also "tuple concurrently updated"
)

// connectError is a connection that never came to be, so that nothing was sent.
type connectError struct{ cause error }

func (e *connectError) Error() string { return "connect: " + e.cause.Error() }
func (e *connectError) Unwrap() error { return e.cause }

// refuse is an order that cannot be carried out as it is.
func refuse(message, next string) *connector.Error {
	return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: message, Next: next}
}

// failure says what an error of the driver means for the call that met it.
// It keeps neither statements nor details, which could hold a verifier.
func failure(err error) *connector.Error {
	var own *connector.Error
	if errors.As(err, &own) {
		return own
	}
	var invalid *access.Error
	if errors.As(err, &invalid) {
		return &connector.Error{Outcome: connector.NotDone, Permanent: true, Message: invalid.Error(), Next: invalid.Next, Cause: invalid.Kind}
	}
	var pg *pgconn.PgError
	errors.As(err, &pg)
	var conn *connectError
	if errors.As(err, &conn) {
		return connectFailure(conn, pg)
	}
	if pg == nil {
		// Whether anything was sent is not asked: the driver's answer is about
		// its last call, which may be a read after the write.
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return &connector.Error{Outcome: connector.Unknown, Message: "the database did not answer in time", Cause: err}
		}
		return &connector.Error{Outcome: connector.Unknown, Message: "the connection to the database was lost", Cause: err}
	}
	e := &connector.Error{Outcome: connector.NotDone, Message: said(pg)}
	switch {
	// A backend that dies may have committed before it said so.
	case pg.Severity == "FATAL" || pg.Severity == "PANIC" || pg.Code == codeCompletionUnknown || strings.HasPrefix(pg.Code, "08"):
		e.Outcome = connector.Unknown
	case pg.Code == codeNoPrivilege:
		e.Permanent = true
		e.Next = "give the connector's login the privileges that the connector's manual lists; `stint resource check` names the one that is missing"
	case pg.Code == codeUndefinedObject:
		e.Permanent = true
		e.Next = "create the role on the target, or mend the name in the document"
	case pg.Code == codeReadOnly:
		e.Next = "register the address of the primary; this is a standby or a read-only database"
	}
	return e
}

func connectFailure(err *connectError, pg *pgconn.PgError) *connector.Error {
	e := &connector.Error{Outcome: connector.NotDone, Message: "cannot connect to the database"}
	switch {
	case pg == nil:
		e.Cause = err.cause
	case pg.Code == codeBadPassword || pg.Code == codeBadAuth:
		e.Message += ": " + said(pg)
		e.Permanent = true
		e.Next = "register the connector's credential anew: stint admin credential set"
	default:
		e.Message += ": " + said(pg)
	}
	return e
}

// said is the public part of what the server said: never Detail, Where or
// InternalQuery, which repeat parts of the statement.
func said(pg *pgconn.PgError) string {
	m := pg.Message
	if i := strings.Index(m, "SCRAM-SHA-256$"); i >= 0 {
		m = m[:i] + "[verifier]"
	}
	return "the database said: " + m + " (" + pg.Code + ")"
}

// result turns the error of a call into the result of one of its orders.
func result(err error) connector.Result {
	if err == nil {
		return connector.Result{Outcome: connector.Done}
	}
	e := failure(err)
	return connector.Result{Outcome: e.Outcome, Err: e}
}

// hasCode reports whether the server answered with one of the codes.
func hasCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	for _, c := range codes {
		if pg.Code == c {
			return true
		}
	}
	return false
}

// contended reports whether a repeat that looks again is likely to succeed: two
// of us made or changed the same row of the catalogue at once.
func contended(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case codeInternal:
		return strings.Contains(pg.Message, "concurrently") // tuple concurrently updated
	case codeDuplicateObject, codeUniqueViolation, codeSerialization, codeDeadlock:
		return true
	}
	return false
}

// shutOut reports whether the server is there and this one database of it does
// not let us in.
func shutOut(err error) bool {
	var conn *connectError
	return errors.As(err, &conn) && hasCode(err, codeNoPrivilege, codeNoDatabase, codeTooMany, codeNotReady)
}

// lost reports whether the connection broke, so that a repeat needs another.
func lost(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Severity == "FATAL"
	}
	var conn *connectError
	var own *connector.Error
	return err != nil && !errors.As(err, &conn) && !errors.As(err, &own)
}
