package policy

import (
	"go.yaml.in/yaml/v3"

	"stint/internal/access"
)

// readTicketTest reads the ticket of a test: its id alone, or with what its system is to
// say of it.
//
//	ticket: {id: OPS-1, from: corp-jira, open: true, text: orders-db is slow, assignee: mira, reporter: noor, editors: [noor]}
func readTicketTest(f *form, a *Ask) {
	for _, fd := range f.fields {
		if fd.name != "ticket" || fd.value.Kind != yaml.MappingNode {
			continue
		}
		s := f.sub("ticket")
		id, _ := s.must("id")
		from, _ := s.must("from")
		a.Ticket = id.text
		t := Ticket{Problem: s.text("problem", 1024), Open: true, Text: s.text("text", 4096),
			Assignee: access.Person(s.text("assignee", 80)), Reporter: access.Person(s.text("reporter", 80))}
		if s.has("open") {
			t.Open = s.flag("open")
		}
		for _, it := range s.texts("editors") {
			t.Editors = append(t.Editors, access.Person(it.text))
		}
		a.Tickets = map[string]Ticket{from.text: t}
		s.close()
		return
	}
	a.Ticket = f.text("ticket", 255)
}
