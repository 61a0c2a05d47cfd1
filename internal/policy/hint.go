package policy

import "strings"

// DidYouMean names the known word nearest to the one given, as a hint; empty
// when none is near.
func DidYouMean[S ~string](word string, known []S) string {
	if n := nearest(word, known); n != "" {
		return `did you mean "` + n + `"?`
	}
	return ""
}

// nearest returns the known word with the smallest edit distance, if that is at
// most a third of the word's length; the first of several.
func nearest[S ~string](word string, known []S) string {
	if len(word) > 64 {
		return ""
	}
	best, limit := "", max(1, len(word)/3)+1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(string(k)), limit); d < limit {
			best, limit = string(k), d
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours
// between a and b, or returns limit when there are at least as many.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
