package policy

import (
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
				if it, ok := f.scalar(fd.name); ok {
					options[fd.name] = it.text
				}
			}
		}
		return options
	}
	for _, name := range sortedKeys(schema) {
		o := schema[name]
		it, ok := f.scalar(name)
		switch {
		case ok:
			checkOption(f.r, name, it, o)
			options[name] = it.text
		case o.Required && !f.has(name):
			f.r.add(f.line, "", "%s has no %s", f.what, name)
		case o.Default != "":
			options[name] = o.Default
		}
	}
	return options
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
	}
}
