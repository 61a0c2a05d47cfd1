// Package postgres lends access to PostgreSQL 15 and later.
//
// It serves three mechanisms:
//
//   - account: a role with LOGIN is created for the grant, a member of the
//     groups asked for, and is gone after it;
//   - group: a person's own standing role joins groups, and leaves them;
//   - enable: a dormant role gets LOGIN and a fresh password, and loses both;
//   - checkout: a role whose password the vault keeps is lent, and comes back with
//     another password.
//
// What it puts on a target can be found and told from what others put there:
//
//	stint_<person>_<tag>     an account; the tag is the last 43 bytes
//	stintmark_group_<tag>    a mark: the standing account that is a member of
//	stintmark_enable_<tag>   it is lent groups, is enabled, or is lent itself, under
//	stintmark_checkout_<tag> this tag
//	stintquarantine_<tag>    owns what an ended account left behind
//	stint_claim              whose target this is, in its comment
//
// All but the first are roles that cannot log in and have no privilege.
//
// Invariants:
//
//   - An account is removed in the order NOLOGIN, end of sessions, hand-over of
//     what it owned, DROP, so that a failure leaves something nobody can use.
//   - What an account owned goes to a role of its own without any privilege,
//     never to a powerful one and never to one that holds another's objects;
//     nothing is dropped in cascade.
//   - A role whose oid is not the one that was made, or that has powers we never
//     give, is left without login and otherwise as it is.
//   - A membership is ours when our own login is its grantor and it was not
//     there before; no other is ever taken away.
//   - The end of sessions covers log-ins under way: a backend that read the
//     role before NOLOGIN was committed is waited for and ended.
//   - Read-backs come from the primary and from the catalogue itself.
//   - A password leaves this package only in a receipt; the target is sent a
//     SCRAM verifier. Servers that ask our login for a password in clear or as
//     MD5, or for none, get no answer.
//
// README.md beside this file has the privileges that the login needs.
package postgres
