// Package ident knows who is calling: local users, services, their one-time
// enrolment codes, their logins, and which proofs have been seen before.
//
//	AddUser ──► code ──Enrol (on a device)──► login ──Authenticate──► Caller
//	AddService ──────────────────────────────► login ──────┘
//	Exchange (what a workload shows) ────────► login of its service
//	MakeGlassCodes ──► codes ──GlassEnrol──► login for break-glass access alone
//	OpenBootstrap ──► code ──Enrol──► the first administrator, once
//	ChangeUser ──► groups, manager, rights; in force with the next call
//
// It decides who somebody is, not what they may do; that is policy's and the
// doors' business, but for one rule that is kept here too: only administrators
// make and change principals.
//
// Invariants, each held by a test in this package:
//
//  1. Codes and tokens are 256 random bits. Only their SHA-256 is stored, and
//     they are found by that, so no comparison of secrets takes a time that
//     depends on them.
//  2. A code is good once, until its end, and until the user has a newer one. The
//     bootstrap code is good only while there is no user at all.
//  3. A user's login belongs to one device: with another device's proof it is
//     nothing. It ends twelve hours after it was made, however much it is used.
//  4. Every call reads login and principal anew: whoever is disabled, ended or
//     signed out is refused by the very next call, on every replica.
//  5. Each change is one event in the transaction that makes it. No event, error
//     or log line holds a code or a token.
//  6. What cannot be checked is refused: a full replay guard accepts nothing.
//  7. A login by break-glass codes lasts an hour at most, belongs to one device, and
//     carries no right to administer or audit, whoever it is of. Fewer codes than a set
//     needs open nothing and use none up.
//  8. A login of a workload ends with what was shown for it, after an hour at most, and
//     with the document by which it fitted. What was shown is good for one device.
//  9. No change of a user leaves Stint without an enabled administrator.
package ident
