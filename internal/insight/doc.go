// Package insight adds up what was asked for, held and taken away: is standing privilege
// going down, and does the pause cost people little? It takes the lines of three months
// and gives, for a window of days, the numbers and, behind each of them, the very lines
// that it is made of.
//
// It claims nothing: what is not known (no survey of standing privileges, no day of data)
// is said to be unknown, and what was not confirmed (a removal) counts as going on. Days
// are those of UTC. It reads no clock and no store.
package insight
