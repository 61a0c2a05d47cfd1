// Package simstore is the broker's store in memory, for simulations: fast,
// deterministic, and able to lose its last commits as a failover does.
//
// It keeps the rules of the real store: versions, uniqueness, what may change
// and what may not, one audit record for each version, time that never goes
// back. The real stores and this one pass the same suite, package storetest,
// and a differential test compares answers operation by operation.
//
// Invariants:
//
//   - A transaction is atomic, alone, and never waits. What fails leaves no
//     trace; what View's function writes is refused.
//   - No order of a map leaks out: lists are sorted, and the same calls at the
//     same times give the same answers, byte for byte.
//   - What is given and what is kept share no memory, but for the read helpers
//     of oracles, which say so.
//   - To look for what is due costs about a microsecond, however many rows have
//     ended.
package simstore
