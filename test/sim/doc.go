// Package sim runs the broker in a world that it owns: several replicas, a store,
// targets, people and clocks in one process, with faults at every step of I/O, and
// an account of what must hold that the broker's code has no part in. A run is a
// function of its seed: the same seed gives the same trace, byte for byte.
//
// How it works is in docs/simulation.md.
package sim
