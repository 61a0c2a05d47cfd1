// Package signpage asks a person's browser to use a passkey, with a page of our own on
// http://localhost, which no server has a hand in.
//
//	Run ──► one page, shown once: what it is about, and a button for each step
//	        │ the browser makes a passkey, or signs a challenge
//	        ▼
//	      next(result) ──► the next step, or done
//
// The challenge is worked out by who calls Run, from what the page shows. That is the
// point of it: a page that came from a server could show one thing and have another
// one signed. The package does not know what is signed, and checks no signature.
//
// Invariants, each held by a test here:
//
//  1. The page is for one run, at an address that nobody can guess, on this machine; it
//     answers to no other name than localhost, and to calls of its own page only.
//  2. It loads nothing from anywhere, runs no script but its own, and is in no frame.
//  3. What it shows is text.
package signpage
