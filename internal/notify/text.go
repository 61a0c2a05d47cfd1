package notify

import (
	"strings"
)

// footer says why somebody gets a message, and what it does not do.
func footer(site Site, channel string) string {
	s := "Sent by Stint because of its integration " + channel
	if site.URL != "" {
		s += ", " + site.URL
	}
	return s + ". No link in it does anything but show a page."
}

// plain is the message as text, for channels that have nothing better and for people
// who read mail in a terminal. What people wrote stands behind "> ".
func plain(m Message) string {
	var b strings.Builder
	b.WriteString(m.Title + "\n")
	if m.Reason != "" {
		b.WriteString("\n")
		for line := range strings.SplitSeq(reason(m), "\n") {
			b.WriteString("> " + line + "\n")
		}
	}
	width := 0
	for _, f := range m.Facts {
		width = max(width, len(f.Name))
	}
	b.WriteString("\n")
	for _, f := range m.Facts {
		b.WriteString(f.Name + strings.Repeat(" ", width-len(f.Name)+2) + f.Value + "\n")
	}
	if len(m.Said) > 0 {
		b.WriteString("\n")
	}
	for _, s := range m.Said {
		b.WriteString("- " + s + "\n")
	}
	if m.Command != "" || m.Link != "" {
		b.WriteString("\n")
	}
	if m.Command != "" {
		b.WriteString(m.Command + "\n")
	}
	if m.Link != "" {
		b.WriteString(m.Link + "\n")
	}
	return b.String()
}

// reason is what the requester wrote, cut; the page shows the rest.
func reason(m Message) string {
	s := cut(strings.TrimSpace(m.Reason), maxReason)
	if strings.HasSuffix(s, "…") && m.Link != "" {
		s += " (more on the page)"
	}
	return s
}
