package main

import "strings"

// excuse is a line of protective files whose deletion nothing is to notice: it makes
// something faster, words a message, or stands there twice on purpose.
type excuse struct {
	where string // "file.go:function"
	line  string // how it begins
	why   string
}

// excused are all of them. One that is not in the source any more is an error.
var excused = []excuse{}

func excuseFor(file string, d deletion) (excuse, bool) {
	for _, e := range excused {
		if e.where == file+":"+d.fn && strings.HasPrefix(d.text, e.line) {
			return e, true
		}
	}
	return excuse{}, false
}
