// Package agent is what runs on a host for a control plane: it fetches signed calls,
// has them carried out by a connector, and takes away on time what it made.
//
//	control plane ◄── Post: polls, answers ── Agent ──► connector.Connector ──► host
//	                                            │
//	                                          Ledger: what is there, until when
//
// The control plane decides and the agent obeys, within what it can check by itself:
//
//  1. It takes only calls that are signed by the orders key it has pinned, for its own
//     host, of its own installation, and for now. It dials out and listens to nobody.
//  2. A call is carried out once: its id is on the disk before anything is done.
//  3. What it is about to make is on the disk before it is made, with its end. At that
//     end it is taken away, whether the control plane is there or not, after a restart
//     and after a reboot. Of the clocks that there are, the latest counts.
//  4. What it has taken away is never made again.
//  5. It fails closed on what makes access, and never on what takes it away: neither a
//     wrong clock nor a full disk nor a call seen before keeps it from ending.
//  6. Memory is bounded, whatever arrives. Answers are kept until they are delivered,
//     or nobody waits for them any more.
//
// It knows nothing of hosts: what is done there, the connector does.
package agent
