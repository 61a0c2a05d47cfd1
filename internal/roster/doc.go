// Package roster has a host decide for itself what it does for its control plane: whose
// passkeys it believes, what has to be signed for what, and what is never done. The file
// is put there by whoever administers the host, and never comes from the control plane.
//
//	Load, Parse ──► a Roster: people, their passkeys, and the ceiling
//	Judge       ──► whether an order is one that people of the roster have approved
//
// A control plane that has been taken over has the key that orders are signed with. It has
// no passkey, and so it cannot show what Judge asks for. Three things hold, each by a test:
//
//  1. What no rule of the ceiling holds is never done, and a file that cannot be read, or
//     that others could have written, lets nothing be made at all.
//  2. Where a rule asks for approvals, an order asks no more than a request that so many
//     persons of the roster have signed lately, for this host, and none of them for
//     themselves. One request makes one privilege, once, for as long as was approved.
//  3. What takes access away is never judged.
//
// Judge is pure: what is known of the host, its clock, and what was shown before are passed in.
package roster
