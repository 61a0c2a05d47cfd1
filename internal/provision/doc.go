// Package provision turns what outside services say of people into principals: users
// that come, change and leave, and the groups they are in.
//
//	SCIM client ──► scim.Server ──► Directory ──┬─► users, groups and members, kept
//	                                            ├─► principals, by package ident
//	                                            └─► Leave, Reconsider: the broker
//
// Invariants, each held by a test in this package:
//
//  1. A service touches only users who are known to be its own: made by it, or linked
//     to it by an administrator. Nobody is recognised by a name or a mail address.
//  2. It gives no rights in Stint: it makes no administrator, and gives none a new way
//     to sign in.
//  3. It replaces the groups that it gave, never those that others gave.
//  4. Who leaves loses logins and grants before the service hears that it is done, and
//     even when what else it said cannot be done. The principal stays, disabled: the log
//     names it, and its name is never given again.
//  5. It enables only whom it disabled.
package provision
