// Package storetest is the suite that every store of the broker passes: the ones
// on SQLite and PostgreSQL, and the one in memory that simulations use.
//
// A store's test says how to open it and calls Run. Each case gets a new store.
// What the cases prove is the contract of broker.Store: transactions that are
// atomic and alone, saves that compare versions, rows that come back as they
// were saved, leases that only one has, and the rules that even a buggy program
// cannot break.
package storetest
