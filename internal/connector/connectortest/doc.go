// Package connectortest is the suite that every connector passes against a real
// target.
//
// A connector's test describes its target as a World, which looks at and
// disturbs the target without the connector's code, and calls Run. Each case
// runs for every mechanism that the connector serves, in a World of its own.
//
// What the cases prove is the contract of package connector: conditional
// create, idempotence by tag, the end of sessions, read-backs that agree with
// the target, and no hand laid on what is not ours, through lost answers,
// restarts, missing privileges and hostile names.
package connectortest
