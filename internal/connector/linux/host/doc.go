// Package host does on a Linux host what Stint orders for it. It is linked into
// stint-agent alone, and runs as root.
//
// What it puts on a host can be found and told from what others put there:
//
//	/etc/ssh/stint/principals/LOGIN   one line for each order that opens sessions of LOGIN
//	/sys/fs/cgroup/stint/TAG/         the processes of the sessions that an order opened
//	s-PERSON-MAC, comment stint-TAG   an account that was made for an order
//	/var/lib/stint-agent/orders/TAG   what an order changed that cannot carry a mark itself
//	/var/lib/stint-agent/claim        whose host this is
//
// A session begins in three steps, each of which needs the one before: sshd finds the
// order's line for the principal of the certificate; the PAM hook (PAMSession) finds it
// once more, under the lock, and puts sshd's process for the connection into the order's
// cgroup; only then does sshd start what the person asked for.
//
// Invariants:
//
//   - Revoke takes the line away under the lock that the hook holds. A log-in under way
//     is therefore either in the cgroup when TerminateSessions kills it, or refused.
//   - Whoever got a shell cannot leave the cgroup without being root, and root is never
//     lent by a mechanism that says it can end.
//   - A session is whatever still runs in a cgroup of its own, the connection's end or
//     not. A process that has ended and was not waited for is none.
//   - An account is removed in the order: no log-in, every process of it ended, home, jobs,
//     account. One with another uid or comment than was made is left without log-in and
//     otherwise as it is.
//   - A membership is ours when the note of the order says so, which is written before it;
//     one that was there before is in no note.
//   - Files are replaced as a whole and are on the disk before a call says that it is
//     done. Where the disk fails, the answer is "we do not know".
//   - Lines that are not ours stay byte for byte.
//   - What stands in a file comes from a checked name or is quoted.
package host
