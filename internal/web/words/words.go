// Package words is what the console says: every English text of its pages, a file a
// page. Constants are whole sentences or labels; functions make sentences of values and
// know the plural. It knows no type of ours, decides nothing and writes no markup: who
// translates the console writes this package again.
package words

import "strconv"

// Count is a number and the word for that many: "1 grant", "3 grants".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
