package scim

import (
	"context"
	"time"
)

// Resource is a user or a group as a directory has it.
type Resource struct {
	Kind Kind
	ID   string
	// Version goes up with each change; it is the resource's ETag.
	Version          int64
	Created, Changed time.Time
	// Attributes have neither id nor meta nor schemas. A directory adds groups to
	// users, and to groups members where they were asked for.
	Attributes Object
}

// Query is what a directory is asked for.
type Query struct {
	Kind Kind
	// Attr is id, externalId, a user's userName or a group's displayName, of which
	// Value is wanted; empty: all resources. A directory may answer with more than
	// what has it, never with less. Case of names makes no difference.
	Attr, Value string
	// Offset and Limit choose from those in the order of their ids; a Limit below
	// zero is none.
	Offset, Limit int
	Members       bool // of groups
}

// Directory is what users and groups are kept in, for one integration. Errors are
// access errors: NotFound; Conflict with code "changed-meanwhile" when the version is
// not the newest any more, with any other code when a name is taken; Invalid when a
// name cannot be one of Stint's. It is safe for concurrent use.
type Directory interface {
	// List answers with the resources and how many there are without offset and limit.
	List(ctx context.Context, q Query) (found []Resource, total int, err error)
	Create(ctx context.Context, k Kind, attrs Object) (Resource, error)
	// Replace gives was its new attributes, if it is still the version it was. A user
	// who is not active any more has lost everything before Replace returns, even when
	// it fails.
	Replace(ctx context.Context, was Resource, attrs Object) (Resource, error)
	// Delete removes was, if it is still the version it was. A user has lost
	// everything before Delete returns, even when it fails.
	Delete(ctx context.Context, was Resource) error
}
