package scim

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"stint/internal/access"
)

// The types of error of RFC 7644 section 3.12, table 9.
const (
	invalidFilter = "invalidFilter"
	tooMany       = "tooMany"
	uniqueness    = "uniqueness"
	mutability    = "mutability"
	invalidSyntax = "invalidSyntax"
	invalidPath   = "invalidPath"
	noTarget      = "noTarget"
	invalidValue  = "invalidValue"
)

// Error is a refusal as RFC 7644 section 3.12 writes it.
type Error struct {
	Status int
	Type   string // one of table 9, or empty
	Detail string
}

func (e *Error) Error() string { return e.Detail }

func refuse(kind, format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Type: kind, Detail: fmt.Sprintf(format, args...)}
}

func notFound(what string) *Error {
	return &Error{Status: http.StatusNotFound, Detail: "there is no " + what}
}

// errorOf is the refusal of any error. What the directory says of a change that
// collides with another is its uniqueness, but for changes at the same time.
func errorOf(err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	e := &Error{Status: http.StatusInternalServerError, Detail: "the request could not be done; it may be tried again"}
	var told *access.Error
	if !errors.As(err, &told) || told.Kind == access.Internal {
		return e
	}
	e.Detail = told.Message
	for _, more := range []string{told.Why, told.Next} {
		if more != "" {
			e.Detail += "; " + more
		}
	}
	switch told.Kind {
	case access.Invalid:
		e.Status, e.Type = http.StatusBadRequest, invalidValue
	case access.NotFound:
		e.Status = http.StatusNotFound
	case access.Conflict:
		e.Status = http.StatusConflict
		if told.Code != changedMeanwhile {
			e.Type = uniqueness
		}
	case access.Denied:
		e.Status = http.StatusForbidden
	case access.Unauthenticated:
		e.Status = http.StatusUnauthorized
	case access.TooMany:
		e.Status = http.StatusTooManyRequests
	case access.Unavailable:
		e.Status = http.StatusServiceUnavailable
	}
	return e
}

// changedMeanwhile is the code of a directory's answer to a change of a version that
// is not the newest any more.
const changedMeanwhile = "changed-meanwhile"

func (e *Error) body() Object {
	o := Object{"schemas": []any{errorURN}, "status": strconv.Itoa(e.Status), "detail": e.Detail}
	if e.Type != "" {
		o["scimType"] = e.Type
	}
	return o
}
