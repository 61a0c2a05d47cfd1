// Package audit is the log's form: how a record is written down, how records
// make a Merkle tree, how a tree is signed, and how a stranger with an export
// and a public key finds out whether all of it is still there.
//
// It is pure. It stores nothing, numbers nothing and signs only with a signer
// it is handed; the store keeps records and hashes, one sequencer numbers them.
//
//	event ──► Record ──Encode──► bytes ──Leaf──► hash ──Tree.Append──► hashes to keep
//	                                                        │
//	                                                       Root ──SignCheckpoint──► note
//
//	export:  header · record · record · checkpoint · record … · checkpoint
//	            └──────────────── Verify (offline) ────────────────┘
//
// Invariants, each held by a test in this package:
//
//  1. A record has one encoding. What Decode accepts, Encode writes again byte
//     for byte; so does every line of an export that Verify accepts.
//  2. A record says who, what, when and which version of which entity it made,
//     and no fact is named like a secret.
//  3. The tree is that of RFC 6962, its stored hashes those of
//     golang.org/x/mod/sumdb/tlog, its checkpoints those of C2SP tlog-checkpoint,
//     so that other programs can check them too.
//  4. Verify accepts an export only if every line is canonical, every leaf is the
//     hash of its record, every checkpoint is signed by a given key and is the
//     root of what stands before it, each entity's versions are 1, 2, 3, …, the
//     last line is the checkpoint of the whole, and a pinned checkpoint, if
//     given, is the root of a prefix. Otherwise it names the first bad record.
//  5. Hostile input gives an error: memory does not grow with a line beyond
//     MaxLine, nor with a number that the input states.
//
// What Verify cannot know: a log cut back to an older signed checkpoint is
// whole, only old, which is why clients pin the last checkpoint they saw; and a
// record that was removed before it was numbered shows only when its entity
// changes again.
//
// Rules of change. Records and checkpoints are kept for years: format version 1
// never changes its meaning; another format gets another number and a decoder
// beside this one. Which characters are escaped is part of the format.
package audit
