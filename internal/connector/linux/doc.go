// Package linux lends access to Linux hosts that run stint-agent.
//
// This package is what both ends know: the type of resource, what documents may say of
// it, and how the names on a host are made. The work on the host is done by package
// host, which is linked into the agent alone; the control plane hands each call to it.
//
// It serves the mechanism token: a certificate that Stint signs opens SSH sessions of a
// standing account, because a line on the host says so:
//
//	/etc/ssh/stint/principals/LOGIN   expiry-time="…Z",restrict,pty stint-TAG
//
// Invariants:
//
//   - A certificate by itself opens nothing. Its one principal is that of an order, and
//     sshd takes it only while the order's line is in the file of that account.
//   - What stands in a line is quoted or refused, never passed on as it came.
//   - A credential says where to go and as whom. A secret is in that of checkout alone: the
//     host is told of it by a hash, and the control plane puts it in.
package linux
