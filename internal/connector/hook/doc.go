// Package hook lends vaulted accounts of anything for which an operator has written a
// program: the connector knows the steps and their order, the program how each is done on its
// kind of target.
//
// The program is called once for each step, with one JSON object on its standard input, and
// answers with one on its standard output (protocol.go). It sets a password, proves one, takes
// the login, ends sessions, and keeps a few short notes on the target; it decides nothing. The
// notes hold whom the target belongs to, and a mark for each order that has an account:
//
//	Provision          mark, (set Next,) prove
//	Revoke             lock with the next password: nobody gets in, with what was lent
//	                   as with what a borrower may have set instead
//	TerminateSessions  end; nobody is in who could set it once more
//	Remove             set the next password, with login; the mark goes
//	Verify             the next one opens, the one that was lent does not
//
// Invariants:
//
//   - A program is run by its name in one folder, which the owner of the server chose; no
//     document names a path. It is the root user's, and nobody else can change it or put
//     another in its place.
//   - A hook that is elsewhere is asked over HTTPS, with the authority and the key that a file of
//     the same folder names; nothing leads it on to another address.
//   - No shell, no arguments, an environment of our own: what a program is told is on its
//     standard input, secrets too. What it writes to standard error goes nowhere.
//   - What the vault keeps is durable before any step, and the same at every attempt; a token or
//     a key is made of it (secrets.go). No program is told a private key.
//   - Whatever a program does that the protocol does not know (a failure, silence, an answer
//     that cannot be read) counts as not known: it may have happened.
package hook
