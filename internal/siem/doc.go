// Package siem carries the audit log out of Stint, to files that other systems
// collect. Each sink is a reader of the log with a cursor of its own; there is
// no second queue.
//
//	log ──Records after the cursor──► write ──► fsync ──► cursor
//
// Invariants:
//
//  1. No record is lost: the cursor moves only after the records are on disk.
//  2. No record is written twice: at the start, the last line of the file
//     corrects a cursor that a crash left behind, and half a line is cut off.
//  3. A sink never slows or stops what it reports: one that cannot write keeps
//     its place, says so, and tries again.
//  4. Files are readable by their owner only.
package siem
