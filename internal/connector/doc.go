// Package connector is the contract between the broker and one kind of target.
//
// A connector acts; it does not decide, remember or schedule. The broker gives
// it orders, each of which was recorded before the target is touched, and the
// connector carries them out, ends them, and reads back what is there:
//
//	Observe ──► Provision ──► Verify            (access begins)
//	Revoke ──► TerminateSessions ──► Remove ──► Verify   (access ends)
//
// The order of the second line matters. Revoke makes the credential useless, so
// that no new session can open; TerminateSessions ends those that are open;
// Remove takes away what is left, which may be slow or may fail (an account
// that owns objects); Verify reads the target back. A Remove that fails leaves
// something that nobody can use.
//
// Invariants, each proved by package connectortest against a real target:
//
//   - Every call is idempotent by Order.Tag. Names on the target are derived
//     from the tag, so a repeat finds what the first call made.
//   - "It failed" (NotDone) and "we do not know" (Unknown) are different
//     outcomes, and the zero Outcome is Unknown.
//   - A connector removes only what carries the order's tag, has the recorded
//     creation identity and the expected shape; it never cascades.
//   - Native expiry, where the target has it, is set in the same call that
//     creates.
//   - No secret leaves a connector but in Receipt.Credential.
package connector
