// Package egress makes Stint's outgoing calls: to identity providers, chats, mail
// servers, webhooks. Where they go is written in documents and sometimes given by
// the other side, so none of it is believed.
//
//	call ──► form of the URL ──► resolve ──► address filter ──► dial ──► caps
//
// Invariants, each held by a test of this package:
//
//  1. The filter judges the address that is dialled, after the last resolution and
//     before the first packet: a name that changes its answer gains nothing.
//  2. Only addresses of the public Internet are dialled, and those that the operator
//     allowed. Loopback and link-local ones, metadata services above all, are dialled
//     only where a rule names them and nothing else; multicast ones never.
//  3. No redirect is followed, no proxy is taken from the environment, nothing is
//     sent unencrypted but to loopback, and TLS is 1.2 or later with the server's
//     certificate verified.
//  4. An answer is bounded: in time, in the size of its headers and its body. It is
//     never decompressed. A body that is too long is an error and not a short body.
package egress
