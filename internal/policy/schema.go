package policy

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stint/internal/access"
)

// readOptions reads the fields of f that are left, as the options of a
// connector. Checked options must be in the schema; its defaults are filled in,
// so that what is decided, approved and hashed is what will be done.
func readOptions(f *form, schema map[string]access.Option, check bool) map[string]string {
	options := map[string]string{}
	if !check {
		for i := range f.fields {
			if fd := &f.fields[i]; !fd.taken {
				if kindName(fd.value) == "list" { // of an option with many values
					options[fd.name] = strings.Join(textsOf(f.texts(fd.name)), ",")
				} else if it, ok := f.scalar(fd.name); ok {
					options[fd.name] = it.text
				}
			}
		}
		return options
	}
	defer needed(f, schema, options)
	for _, name := range sortedKeys(schema) {
		o := schema[name]
		if o.Many {
			if items := f.oneOrMore(name); len(items) > 0 {
				options[name] = checkItems(f.r, name, items, o)
				continue
			}
		}
		it, ok := item{}, false
		if !o.Many {
			it, ok = f.scalar(name)
		}
		switch {
		case ok:
			checkOption(f.r, name, it, o)
			options[name] = it.text
		case o.Required && (o.Many || !f.has(name)):
			f.r.add(f.line, "", "%s has no %s", f.what, name)
		case o.Default != "":
			options[name] = o.Default
		}
	}
	return options
}

// needed refuses options that say nothing without another.
func needed(f *form, schema map[string]access.Option, options map[string]string) {
	for _, name := range sortedKeys(options) {
		other, value, ok := strings.Cut(schema[name].Needs, "=")
		if ok && options[other] != value {
			f.r.add(f.lineOf(name), "add "+other+": "+value+", or leave it out", "%s says nothing without %s: %s", name, other, value)
		}
	}
}

// meant refuses options that say nothing under the mechanism: who wrote one believes that
// it does something, that sessions are recorded for example.
func meant(f *form, schema map[string]access.Option, m access.Mechanism) {
	for _, name := range sortedKeys(schema) {
		if with := schema[name].For; m != "" && f.has(name) && len(with) > 0 && !slices.Contains(with, m) {
			f.r.add(f.lineOf(name), "leave it out, or write a role with one of the mechanisms "+join(with), "%s says nothing for the mechanism %s", name, m)
		}
	}
}

func checkOption(r *report, name string, it item, o access.Option) {
	switch {
	case len(o.Values) > 0:
		if !slices.Contains(o.Values, it.text) {
			hint := DidYouMean(it.text, o.Values)
			if hint == "" {
				hint = "it is one of " + strings.Join(o.Values, ", ")
			}
			r.add(it.line, hint, "unknown %s %q", name, it.text)
		}
	case o.Max > 0:
		n, err := strconv.ParseInt(it.text, 10, 64)
		if err != nil || n < o.Min || n > o.Max || it.text != strconv.FormatInt(n, 10) {
			r.add(it.line, "", "%s %q is not a whole number from %d to %d", name, it.text, o.Min, o.Max)
		}
	case it.text == "":
		r.add(it.line, "give it a value or leave it out", "%s is empty", name)
	case o.Credential && !access.ValidName(it.text):
		r.add(it.line, "", "%s %q is not the name of a credential", name, it.text)
	case o.Pattern != "" && !matches(o.Pattern, it.text):
		r.add(it.line, o.Form, "%s %q is not right", name, it.text)
	}
}

// checkItems checks each item of an option with many values and joins them.
func checkItems(r *report, name string, items []item, o access.Option) string {
	for _, it := range items {
		if strings.Contains(it.text, ",") {
			r.add(it.line, "write "+name+" as a list: [a, b]", "%s: an item holds a comma", name)
			continue
		}
		checkOption(r, name, it, o)
	}
	return strings.Join(textsOf(items), ",")
}

func textsOf(items []item) []string {
	all := make([]string, len(items))
	for i, it := range items {
		all[i] = it.text
	}
	return all
}

// matches reports whether the whole text matches a pattern of ours.
func matches(pattern, text string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(text)
}

// catalogue is the schemas by what they are for. The zero value, as offline in a
// CLI, checks nothing of what they define.
type catalogue struct{ resources, integrations map[string]access.Schema }

// ticketTypes are the types of integration that keep tickets, each with what their ids
// look like; nil without schemas.
func (c catalogue) ticketTypes() map[string]string {
	if c.integrations == nil {
		return nil
	}
	types := map[string]string{}
	for t, s := range c.integrations {
		if s.Tickets {
			types[t] = s.TicketForm
		}
	}
	return types
}

// onCallTypes are the types of integration that can be asked who is on call; nil without
// schemas.
func (c catalogue) onCallTypes() map[string]bool {
	if c.integrations == nil {
		return nil
	}
	types := map[string]bool{}
	for t, s := range c.integrations {
		types[t] = s.OnCall
	}
	return types
}

func catalogueOf(schemas map[string]access.Schema) catalogue {
	if schemas == nil {
		return catalogue{}
	}
	c := catalogue{map[string]access.Schema{}, map[string]access.Schema{}}
	for t, s := range schemas {
		if s.Integration != nil {
			c.integrations[t] = s
		} else {
			c.resources[t] = s
		}
	}
	return c
}
