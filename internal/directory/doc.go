// Package directory reads people and groups from an LDAP directory: OpenLDAP, Active
// Directory, and others that speak RFC 4511. It says who is there, who is disabled and
// who is in which group, as a Picture. What is done about it is not its business.
//
// Invariants, each held by a test in this package:
//
//  1. A person is known by an id that the directory gave and never changes
//     (entryUUID, objectGUID): never by a name, a mail address or where an entry stands.
//  2. A picture is whole or it is none: a page that is missing, a limit of the server,
//     an entry that cannot be read are errors, and the picture before stays.
//  3. Nothing is sent over a connection without TLS but to this machine, and there
//     only where the document says so. Referrals are not followed.
//  4. What the directory says has bounds: bytes, entries, pages and time of a pass.
//     Groups within groups may form circles.
//  5. No text of a person or of the directory becomes part of a filter unescaped.
package directory
