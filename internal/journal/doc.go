// Package journal keeps what must not be forgotten while the store cannot take
// it: one small file, made beforehand, to which records are added and from which
// they are taken again once they stand where they belong.
//
// It knows nothing of what the records say. It is no second store: nothing is
// looked up in it, and nothing but the end of an outage is waited for.
//
//	Write ──► file, synced ──► Entries ──► (merged elsewhere) ──► Forget ──► room again
//	   └────► memory, where the file does not take it
//
// Invariants:
//
//  1. The file is written to its full size before it is used and never grows, so
//     a disk that fills up later cannot stop a Write.
//  2. When Write returns nil, the records survive a crash of the process and of
//     the host. When it does not, they are kept in memory, up to the same size.
//  3. After a write or a sync has failed, the file is never written again: what
//     a kernel says after that is not to be believed. Mend makes a new one.
//  4. Records have numbers, ascending by one for the life of the journal, also
//     over Mend and restarts. Who merges them remembers the number, in the very
//     transaction, and so merges none twice.
//  5. What stands at the path is never a reason not to work: it is used, or, when it
//     is a damaged journal, set aside under another name with what is whole of it
//     kept, or, when it is not ours or cannot be read, left alone and done without.
//  6. Records hold no secrets; that is up to the writer.
package journal
