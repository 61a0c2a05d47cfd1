// Package archive keeps the recordings of sessions for the control plane: it takes them
// from gateways as they are made, keeps them, opens them for reading, writes down who
// reads, and removes them when their time is over.
//
//	gateway ── Bring ──► inbox (a folder) ── settle: put, read back ──► keep (folder or S3)
//	                        │                                             │
//	                        └────────── View (written down first) ────────┘──► who may
//
// Who may read is decided by the door, before it asks for a View.
//
// Invariants:
//
//  1. A gateway writes recordings of its own sessions, sealed by its own key, and can
//     change nothing that it has sent.
//  2. What is kept was read back from where it is kept, verified, and anchored in the
//     audit log; only then is a gateway told that it may remove its own copy.
//  3. No byte of a recording is read before it is in the log who reads it, and for what.
//  4. That a recording is removed is in the log before it is.
package archive
