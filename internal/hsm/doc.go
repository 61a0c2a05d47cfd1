// Package hsm is the authorities' keys where a PKCS#11 token holds them: it runs
// stint-hsm, the one program that has a vendor's library in its memory, and asks it to
// make keys and to sign. It links nothing of PKCS#11, decides nothing about
// certificates, and keeps nothing: which key is which the caller has pinned.
//
//	new ──► opening ──► open ──► away (the program died, hung or was told no)
//	           ▲                   │
//	           └──── backoff ──────┘
//
// Invariants:
//
//   - A signature leaves only if it is by the pinned public key over just what was to be
//     signed: what the token says is believed in nothing.
//   - No call waits longer than its time, also when the library hangs: the program is
//     killed then. While the token is away, calls fail at once.
//   - The PIN is read when it is needed, and is in no argument, environment, log or error.
//     One that the token refused is not tried again: that would lock the token.
//   - The program gets no environment but what is listed, and its output goes nowhere.
package hsm
