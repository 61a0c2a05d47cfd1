package workload

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what a token says. GitHub's has about thirty claims.
const (
	maxDepth  = 6
	maxClaims = 256
	maxName   = 256 // bytes of a name, with those of the objects around it
	maxText   = 1024
	maxKept   = 8 << 10
)

// Claims are what is said of a program, by name: texts as they are, true and false,
// and whole numbers as they are written. What is within an object has the object's
// name and "/" before its own: kubernetes.io/namespace.
type Claims map[string]string

// Object reads the claims of a token, RFC 7519 section 4, as JSON has them: values are
// string, bool, json.Number, nil, []any and map[string]any. It is stricter than JSON:
// a name stands once in its object, byte for byte, because two readers of one token
// must not see two.
func Object(payload []byte) (map[string]any, error) {
	if !utf8.Valid(payload) {
		return nil, errors.New("the claims are not UTF-8 text")
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	r := reader{d: d}
	v, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the claims")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("the claims are no object")
	}
	return m, nil
}

type reader struct {
	d *json.Decoder
	n int
}

func (r *reader) value(depth int) (any, error) {
	if r.n++; r.n > 4*maxClaims || depth > maxDepth {
		return nil, errors.New("the claims are too many, or too deep")
	}
	t, err := r.d.Token()
	if err != nil {
		return nil, errors.New("the claims are no JSON")
	}
	switch t {
	case json.Delim('{'):
		m := map[string]any{}
		for r.d.More() {
			name, err := r.d.Token()
			if err != nil {
				return nil, errors.New("the claims are no JSON")
			}
			key, _ := name.(string) // nothing else comes here
			if _, twice := m[key]; twice {
				return nil, errors.New("a claim stands twice")
			}
			if m[key], err = r.value(depth + 1); err != nil {
				return nil, err
			}
		}
		_, err = r.d.Token()
		return m, err
	case json.Delim('['):
		list := []any{}
		for r.d.More() {
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = r.d.Token()
		return list, err
	}
	return t, nil
}

// Flat makes claims of an object. Lists, numbers that are not whole, and texts that are
// too long or do not print are left out, and so is what would have the name of another
// claim: none of them meets a condition.
func Flat(object map[string]any) Claims {
	f := flattening{Claims{}, map[string]bool{}}
	f.add("", object)
	for name := range f.twice {
		delete(f.claims, name)
	}
	return f.claims
}

type flattening struct {
	claims Claims
	twice  map[string]bool
}

func (f *flattening) add(prefix string, object map[string]any) {
	for key, v := range object {
		name := prefix + key
		if len(name) > maxName || key == "" || !printable(name) {
			continue
		}
		var text string
		switch v := v.(type) {
		case string:
			text = v
		case bool:
			if text = "false"; v {
				text = "true"
			}
		case json.Number:
			if !whole(v.String()) {
				continue
			}
			text = v.String()
		case map[string]any:
			f.twice[name] = true
			f.add(name+"/", v)
			continue
		default:
			// What is here and cannot be compared hides what else has its name.
			f.twice[name] = true
			continue
		}
		if _, there := f.claims[name]; there {
			f.twice[name] = true
		}
		if f.claims[name] = text; text == "" || len(text) > maxText || !printable(text) {
			f.twice[name] = true
		}
	}
}

// whole accepts a whole number in its one form: no point, no exponent, no "-0".
func whole(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if s == "-0" {
		return false
	}
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// printable is ASCII that prints: of two texts that look alike only one is written so.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// Kept is what of claims is kept with a login, for when conditions change: all of them,
// unless there are unusually many.
func (c Claims) Kept() Claims {
	out, size := Claims{}, 0
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if size += len(name) + len(c[name]); size > maxKept || len(out) == maxClaims {
			break
		}
		out[name] = c[name]
	}
	return out
}
