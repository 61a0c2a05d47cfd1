// Package simtarget is a world of targets in memory, with a connector to them
// that passes the suite of the real ones.
//
// It models what access on a target is made of: accounts with a password and an
// end of their own, groups and who granted the membership, dormant accounts,
// marks, sessions that live on until somebody ends them, one claim for each
// place, and everything that other people do there. The connector works as the
// one for PostgreSQL does; what it may touch it knows from names, creation
// identities and marks, as there.
//
// The world itself knows who made what, which no connector can. That is what an
// oracle asks: Privileges and Sessions say what there is because of Stint, Harm
// says what the connector did to things of others.
//
// There are no faults here. Calls are atomic, never wait, and what comes out
// depends on nothing but the calls and the clock: no random numbers, no order of
// a map. Who wants faults wraps the connector.
package simtarget
