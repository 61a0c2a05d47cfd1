package ui

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Frame is what stands around a page.
type Frame struct {
	Title string
	Lede  string // a sentence below the title
	// Own says that the page has its own heading.
	Own bool
	// Crumbs lead back to the pages above this one.
	Crumbs []Crumb

	Person *Person // nil: nobody is signed in, and there is no rail
	Nav    string  // key of the page in Groups
	Groups []Group
	Theme  string // light, dark, or empty for the system's
	Here   string // address of the page, to come back to
	Now    time.Time
	// Live is the address of the stream that keeps the page true; empty without one.
	Live string
	// Signing loads the script that asks for passkeys.
	Signing bool
	// Replay loads the script that plays recordings.
	Replay bool
	// NoKeys says that keys of one letter do nothing.
	NoKeys bool
	// Still loads no script at all: for pages that show a secret.
	Still bool
}

// Person is whose page it is.
type Person struct {
	Name string
	Note string // groups, or rights
}

// Crumb is a way back.
type Crumb struct{ Href, Label string }

// Group is a part of the rail. The first has no name; its first four are the tabs of a
// telephone.
type Group struct {
	Name  string
	Links []Link
}

// Link is a page in the rail.
type Link struct {
	Key, Href, Icon, Label string
	Shortcut               string // goes there after g
	Badge                  int    // so many wait; none at 0
}

func (f Frame) tabs() []Link {
	if len(f.Groups) == 0 {
		return nil
	}
	return f.Groups[0].Links[:min(4, len(f.Groups[0].Links))]
}

// rest are the groups without what the tabs show.
func (f Frame) rest() []Group {
	var out []Group
	for i, g := range f.Groups {
		if i == 0 {
			g.Links = g.Links[len(f.tabs()):]
		}
		if len(g.Links) > 0 {
			out = append(out, g)
		}
	}
	return out
}

// Initials stand for somebody in a circle: of the first and the last word.
func Initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var out []rune
	for i, w := range words {
		if i == 0 || i == len(words)-1 {
			r, _ := utf8.DecodeRuneInString(w)
			out = append(out, unicode.ToUpper(r))
		}
	}
	if len(out) == 0 {
		return "?"
	}
	return string(out)
}

// Stamp is a time for scripts.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
