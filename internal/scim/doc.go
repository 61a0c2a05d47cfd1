// Package scim speaks SCIM 2.0 (RFC 7643 and RFC 7644) as a service provider: the
// protocol by which Okta, Entra and others say who works here and who is in which
// group. It is the protocol only. What is behind it is a Directory, which says what
// a user or a group becomes in Stint.
//
//	HTTP ──► Server ──► filter, PATCH, projection ──► Directory
//
// Invariants, each held by a test in this package:
//
//  1. What is not understood is refused, never passed over: an operation, a path, a
//     filter, an attribute in a PATCH. A provisioning service that speaks a dialect
//     nobody reads would else believe that somebody left.
//  2. A PATCH is applied as a whole or not at all, but for one thing: of whom a
//     refused change says that they are not active, they are not.
//  3. Attributes have the type that the schema says, whatever came in. Names are
//     compared without case, and the same one twice in an object is an error.
//  4. Passwords are taken and thrown away. Roles and entitlements are kept as text and
//     mean nothing: no attribute makes an administrator.
//  5. Filters, paths and bodies have bounds in length and depth; the work that a
//     request can cause has one too.
//
// Dialects that documented requests of Okta and Entra need are read, and named where
// they are: operations in any case, booleans as text, PATCH without a path whose keys
// are paths, removal of members listed in the value.
package scim
