// Package trial puts a stage under load, deals it a blow, and looks for what an
// outside observer must never find. test/chaos, test/failover and test/upgrade
// choose the blows; what is looked for is the same for all of them:
//
//   - nothing is left on the target, by an oracle that reads the target itself: no
//     account, no membership, no enabled login; and every session that was opened
//     under a grant is dead. So it is within five seconds of the last end, and so
//     the records say by then;
//   - no promise is lost: what any call was ever told, kept in a ledger outside of
//     the product, still holds;
//   - nothing was done twice: one request for each question however often it was
//     sent, one account for each grant;
//   - the audit log is whole, by `stint audit verify` against the server and on an
//     export, and holds what was promised to be in it.
package trial
