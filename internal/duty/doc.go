// Package duty finds out who is on call where somebody else keeps the schedule: in an
// iCalendar feed, at PagerDuty, at Opsgenie, or at what speaks as they do. It asks again
// and again, and hands what it is answered to a memory that all replicas share; what
// becomes of an old answer is decided there. It never guesses: an answer that is cut off,
// that goes on too long or that it does not understand whole is no answer.
package duty
