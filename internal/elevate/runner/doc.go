// Package runner runs commands for people on a host with more privilege than they have,
// and records what happens. It listens on a local socket; package elevate has the words of
// the conversation.
//
//	client ──► Server ──► Host.Permit ──► recording begins ──► Host.Start ──► command
//	                          │                                             │
//	                          └ rule and ledger of the agent      cgroup ◄──┘ ended as a whole
//
// It decides nothing: who asks, the kernel says; what that account may run, and until
// when, the Host says, which reads what the agent has been ordered. It is a process of
// its own beside the agent, because what it starts must not be caught in the agent's
// sandbox, and the agent must not be without one.
//
// Invariants:
//
//  1. No command runs that is not being recorded: its record is on the disk before it
//     starts, and no byte of its output leaves before that is on the disk. When the
//     recording fails, the command ends.
//  2. A command and all that it started end when it ends, when whoever asked is gone,
//     and when the access has ended by the agent's ledger and clocks; and the agent ends
//     them too, by itself.
//  3. What the runner does not know to have ended, because it did not live to see it, it
//     ends when it starts again.
//  4. One account cannot take the room of others, nor all of the host's.
//  5. What is typed at a terminal is not recorded: what the terminal echoes stands in the
//     output, and what it does not echo is a secret. Input that is piped in is recorded,
//     because nothing else shows what the command was given.
package runner
