// Package oncall computes who is on call at a time, from a rotation that somebody
// wrote down: layers of people who take turns, and overrides. It is pure: the schedule
// and the time go in, names come out, and the same go in and out again when a decision
// is looked at later.
//
// A layer hands over at the same time of day wherever its shifts are whole days, also
// when clocks are set forward or back; shorter shifts are counted in hours that pass.
package oncall
