package gateway

import (
	"fmt"
	"slices"
	"strings"
)

// Web is what a session with a web application may do, and how its requests look there.
// The zero value allows nothing.
type Web struct {
	Rules []PathRule
	// Host is the Host header that the application gets; "" is the name of the target.
	Host string
	// Drop are headers that the application believes, and that no client may send. Those by
	// which applications are usually told who somebody is are not sent on anyway.
	Drop []string
	// Assert has each request carry a signed word of who it is, for applications that read it.
	Assert bool
	// Bodies is how many bytes of each body are recorded, in either direction.
	Bodies int
	// MostBody is how many bytes a request may have; 0 is 100 MiB.
	MostBody int64
}

// PathRule is one pattern of requests and what it does.
//
// Path begins with a slash. In a part between slashes a star stands for any characters; a
// part that is ** stands for any parts, or none. In an allow rule a star stands for at
// least one character and letters are as they are written; deny and alarm rules also match
// what differs in the case of letters, in dots and spaces at the end of a part, and in a
// slash at the end, because there are applications to which that is the same.
//
// Methods are names of methods, WEBSOCKET for opening one, or a star. GET is HEAD as well.
// In an allow rule a star stands for the common ones and WEBSOCKET; in deny and alarm rules
// for all there are. What a websocket carries later is seen by no rule.
type PathRule struct {
	Effect  Effect // deny overrides; what no rule allows is refused
	Methods []string
	Path    string
}

// WebSocket is the method of rules that stands for opening a websocket.
const WebSocket = "WEBSOCKET"

// common are the methods that a star allows. Others have to be named: what an
// application makes of PROPFIND nobody thinks of who writes a star.
var common = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", WebSocket}

const mostBodies = 1 << 20

// Check says what in it cannot be.
func (w *Web) Check() error {
	switch {
	case len(w.Rules)+len(w.Drop) > mostPatterns:
		return fmt.Errorf("there are %d rules; the most is %d", len(w.Rules), mostPatterns)
	case w.Bodies < 0 || w.Bodies > mostBodies:
		return fmt.Errorf("bodies are recorded up to %d bytes; it is 0 to %d", w.Bodies, mostBodies)
	case w.MostBody < 0:
		return fmt.Errorf("a request may have %d bytes; it is 0 or more", w.MostBody)
	case strings.ContainsAny(w.Host, " /\\@?#\r\n\t\x00"):
		return fmt.Errorf("%q is no host", w.Host)
	}
	for _, r := range w.Rules {
		if err := r.check(); err != nil {
			return err
		}
	}
	return nil
}

func (r PathRule) check() error {
	if r.Effect != Allow && r.Effect != Deny && r.Effect != Alarms {
		return fmt.Errorf("a rule's effect is %q; it is allow, deny or alarm", r.Effect)
	}
	if len(r.Methods) == 0 {
		return fmt.Errorf("the rule for %s names no method", r.Path)
	}
	for _, m := range r.Methods {
		if m == "" || strings.ToUpper(m) != m || m == "CONNECT" || m == "TRACE" {
			return fmt.Errorf("%q is no method that a rule can name", m)
		}
	}
	if !strings.HasPrefix(r.Path, "/") || len(r.Path) > longest {
		return fmt.Errorf("the path %q does not begin with a slash, or has more than %d bytes", r.Path, longest)
	}
	parts := strings.Split(r.Path[1:], "/")
	many := 0
	for i, p := range parts {
		switch {
		case p == "**":
			many++
		case strings.Contains(p, "**"):
			return fmt.Errorf("in the path %q, ** is not a part of its own", r.Path)
		case p == "." || p == ".." || p == "" && i < len(parts)-1 || strings.ContainsAny(p, "\\;%?#"):
			return fmt.Errorf("the path %q has a part that no request has", r.Path)
		}
	}
	if many > 1 {
		return fmt.Errorf("the path %q has ** more than once", r.Path)
	}
	return nil
}

// Allows says whether a request may be sent on, and which alarms it sets off. path is
// decoded, without empty parts nor parts of dots. Where the request may not, why says what
// forbids it.
func (w *Web) Allows(method, path string) (allowed bool, why string, alarms []string) {
	for _, r := range w.Rules {
		if !r.matches(method, path) {
			continue
		}
		switch r.Effect {
		case Deny:
			return false, "it is denied by the rule " + r.String(), alarms
		case Allow:
			allowed = true
		case Alarms:
			alarms = append(alarms, r.String())
		}
	}
	if !allowed {
		return false, "no rule of the role allows it", alarms
	}
	return true, "", alarms
}

func (r PathRule) String() string { return strings.Join(r.Methods, ",") + " " + r.Path }

func (r PathRule) matches(method, path string) bool {
	if !slices.ContainsFunc(r.Methods, func(m string) bool {
		return m == method || m == "GET" && method == "HEAD" || m == "*" && (r.Effect != Allow || slices.Contains(common, method))
	}) {
		return false
	}
	want, have := strings.Split(r.Path[1:], "/"), strings.Split(strings.TrimPrefix(path, "/"), "/")
	strict := r.Effect == Allow
	if !strict {
		want, have = folded(want), folded(have)
	}
	return matchParts(want, have, strict)
}

// folded is a path as the most lenient application reads it.
func folded(parts []string) []string {
	out := make([]string, 0, len(parts))
	for _, p := range parts {
		out = append(out, strings.TrimRight(strings.ToLower(p), ". "))
	}
	for len(out) > 1 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// matchParts compares part by part. There is at most one ** in want.
func matchParts(want, have []string, strict bool) bool {
	for i, w := range want {
		if w == "**" {
			rest := want[i+1:]
			if len(have)-i < len(rest) {
				return false
			}
			tail := have[len(have)-len(rest):]
			for k, r := range rest {
				if !matchPart(r, tail[k], strict) {
					return false
				}
			}
			return true
		}
		if i >= len(have) || !matchPart(w, have[i], strict) {
			return false
		}
	}
	return len(want) == len(have)
}

// matchPart compares one part, in which stars may stand.
func matchPart(want, have string, strict bool) bool {
	pieces := strings.Split(want, "*")
	if len(pieces) == 1 {
		return want == have
	}
	least := 0
	if strict {
		least = 1
	}
	first, last := pieces[0], pieces[len(pieces)-1]
	if !strings.HasPrefix(have, first) {
		return false
	}
	have = have[len(first):]
	for _, p := range pieces[1 : len(pieces)-1] {
		if len(have) < least {
			return false
		}
		at := strings.Index(have[least:], p)
		if at < 0 {
			return false
		}
		have = have[least+at+len(p):]
	}
	return len(have) >= least+len(last) && strings.HasSuffix(have, last)
}
