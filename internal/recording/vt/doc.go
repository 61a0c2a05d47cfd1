// Package vt is a terminal without a terminal: it takes the bytes that a program wrote to one
// and says what stood on the screen, as plain cells. It is for showing recordings to people,
// whatever those who were recorded wrote.
//
//	bytes ──► Terminal ──► Frame (lines of runs of text and style)
//	      └─► Stripper ──► lines of text, for search
//
// It knows the part of ECMA-48 and of what xterm adds that changes the screen: printable
// characters, cursor, tabs, erasing, inserting and deleting, colours and attributes, the scroll region, the
// alternate screen, line drawing, UTF-8 and wide characters. All else is read to its end
// and dropped: titles, links and the clipboard (OSC), device control and private strings (DCS, APC,
// PM, SOS), reports, modes, mouse, printing, sizes of windows. Nothing is ever answered.
//
// Invariants:
//
//  1. Nothing that comes out is a control character, a C1 control, a bidirectional or another invisible
//     control, or ill-formed UTF-8. What would be one is dropped, or shown as U+FFFD.
//  2. No input makes it panic. Memory is bounded by columns and rows, which are at most
//     MaxColumns and MaxRows; a character has at most two marks; a number in a sequence is
//     at most 65535, and there are at most 32; time is bounded by the length of the input times
//     the size of the screen.
//  3. A string that does not end hides no more than 16 KiB of what follows.
//  4. The same bytes give the same screen, however they are cut into pieces.
package vt
