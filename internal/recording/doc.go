// Package recording keeps what happened in sessions: what a terminal showed, what was
// run, which files, ports, statements and requests went through, and what the product
// itself did to the session. It writes recordings, reads and verifies them, exports and
// searches them, and moves them to where they are kept. It does not know what a grant is,
// and decides nothing: a door asks who may read one before it opens it.
//
//	door ── Writer ──► Spool (one folder, one log, shared fsyncs) ──► Keep (disk, S3)
//	          │ chunk: encrypted, chained            │ read back, then removed here
//	          └ seal: signed, every second and at the end
//	                                        reader ◄─ Reader, Verify ◄┘
//
// # A recording
//
// All integers are big-endian. A uvarint is that of encoding/binary, in as few bytes as it
// takes. A recording is a head and frames, and nothing behind the last:
//
//	head   magic "STINTR1\n" 8 · id 16 · began 8 · kem 2 · kdf 2 · aead 2 ·
//	       recipient 8 · wrapped key 80 · n 1 · name n · link 32
//	frame  kind 1 · number 8 · length 4 · payload length · link 32
//
// The head's link is the SHA-256 of "stint recording 1\n" and the head before it. A frame's
// link is the SHA-256 of the link before it and of the frame before its own. So each
// frame names everything before it, and a damaged one is found where it stands, because
// the one after it still fits the link that stands before it. Frames are numbered from 1.
//
// began is in milliseconds since 1970. kem, kdf and aead are HPKE's (RFC 9180): 0x0020,
// 0x0001, 0x0002. recipient is the beginning of the SHA-256 of the recipient's public key.
// The wrapped key is the recording's key, 32 random bytes, sealed to the recipient with
// the info "stint recording 1 ", id in hexadecimal, a space, and the name.
//
// Frames are of two kinds. 'C' is a chunk: AES-256-GCM with the recording's key, as nonce
// four zero bytes and the number, and as additional data the head's link and the frame's
// kind, number and length. In it:
//
//	chunk   first 8 · base 8 · record…
//	record  kind 1 · channel uvarint · later uvarint · length uvarint · body length
//
// first is the number of the first record, from 0 on through the recording. base is when
// the chunk begins and later how much later than the one before it (or base) a record is, in
// microseconds since began. Bodies are described in event.go.
//
// 'S' is a seal, in clear, so that whoever has the public key can verify without being able to
// read:
//
//	seal    state 1 · at 8 · key 32 · n 1 · reason n · signature 64
//
// state is 0 for a seal in between, 1 when the session ended, 2 when the writer did not live to end it or
// could not. Behind a seal that is not 0 nothing follows. at is in milliseconds since 1970,
// key the Ed25519 key that signed: "stint recording seal 1\n", id, the link before the frame,
// its number 8, and the seal before the signature.
//
// # Invariants
//
//  1. In strict mode, a mark that was waited for is on the disk: it survives a crash of the process and
//     of the host. In normal mode what is younger than a second may be lost.
//  2. A writer cannot read what it has closed: the key is known to it while it writes, and to
//     the recipient.
//  3. A number is encrypted once. After a write or a sync has failed nothing is encrypted in that recording any more.
//  4. No byte can be changed, left out, moved, added or put in from elsewhere without
//     Verify saying so and where. An end that is cut off shows, because the last frame
//     is no final seal; that a whole recording was replaced by whoever holds the signing key shows by its
//     Anchor, which the audit log has.
//  5. A reader holds one frame in memory, whatever the recording says of itself.
//  6. A local recording is removed only when what it was moved to was read back from there and is the same.
//  7. Formats carry their version first. Kinds and states are only added to; what a kind holds never changes.
package recording
