// Package pggate is the gateway for PostgreSQL: it speaks the frontend/backend protocol,
// version 3, to whoever has a grant, and to the server on the other side, with a login
// that the person never sees.
//
//	client ──TLS, the key of a device──► startup ──Open──► session ──TLS, SCRAM──► server
//	                                                        │  up: statements, recorded first
//	                                                        │  down: rows, outcomes
//	                                                 end ───┘  cancel, say why, close
//
// It reads the head of every message and passes bodies on; it keeps the text of
// statements and, of their results, how many and how large they were. Of SQL it knows
// words (package statement), and no grammar. What a session may do is for the database role
// that it has at the server: rules here bound how much, refuse what would pass unseen, and by
// a role's guard statements whose words it denies.
//
// Invariants, each held by a test of this package:
//
//  1. Nothing of a client's is believed before TLS, and no byte that came before it is
//     read after it (CVE-2021-3935).
//  2. The server is known by its certificate before it gets a login, and it gets no
//     password in clear.
//  3. A statement is recorded before a byte of it is sent on. What would run without
//     being a statement (function calls, replication) is refused.
//  4. A message is passed on whole, or the session ends: no byte of Stint's stands within
//     one of the server's.
//  5. A cancel key is of one session and is Stint's own: the server's is shown to nobody.
//  6. At a session's end the statement that runs is cancelled, the client is told why
//     where it listens, and both connections are closed within a second.
//  7. Memory is bounded by the buffers, whatever the sizes of messages; only statements
//     are held, and they are bounded.
//  8. What a guard refuses is answered as a mistake in the statement is, by the server's own
//     state, and nothing of it reaches the server. What is carried out later, by a name, was
//     judged when it was prepared.
package pggate
