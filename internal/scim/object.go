package scim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Object is a complex value: its values are string, bool, Object and []any of these.
// Where it is a resource's attributes, names are spelt as the schema spells them.
type Object map[string]any

// Bounds of what comes in.
const (
	// MaxBody is the most bytes of a body, that of /Bulk included.
	MaxBody = 1 << 20
	// maxValue is the most bytes of one text.
	maxValue = 8 << 10
	// maxValues is the most values of one attribute.
	maxValues = 20_000
)

// parseJSON reads one JSON object.
func parseJSON(body []byte) (Object, error) {
	if !utf8.Valid(body) {
		return nil, refuse(invalidSyntax, "the body is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, refuse(invalidSyntax, "the body is not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse(invalidSyntax, "something follows the JSON object")
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, refuse(invalidSyntax, "the body is not a JSON object")
	}
	return o, nil
}

// member finds a member of an object that came in, by its name in any case.
func member(o map[string]any, name string) (any, bool) {
	if v, ok := o[name]; ok {
		return v, true
	}
	for k, v := range o {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return nil, false
}

// read takes a whole resource that came in. What the schema does not know is passed
// over, as is what is read-only (RFC 7644 sections 3.3 and 3.5.1).
func read(k Kind, in map[string]any) (Object, error) {
	o, err := object(attributesOf[k], in, "", false)
	if err != nil {
		return nil, err
	}
	delete(o, "schemas")
	return o, complete(k, o)
}

// complete reports what a resource lacks.
func complete(k Kind, o Object) error {
	for _, a := range attributesOf[k] {
		if s, _ := o[a.name].(string); a.required && s == "" {
			return refuse(invalidValue, "%s is needed and is not there", a.name)
		}
	}
	return nil
}

// object converts what came in to the types of the schema. With strict, an attribute
// that is unknown or read-only is an error.
func object(attrs []attribute, in map[string]any, at string, strict bool) (Object, error) {
	out := Object{}
	for name, v := range in {
		a, ok := known(attrs, name)
		switch {
		case !ok && strict:
			return nil, refuse(invalidPath, "there is no attribute %s", quote(at+name))
		case !ok:
			continue
		case a.readOnly && strict:
			return nil, refuse(mutability, "%s is read-only", at+a.name)
		case a.readOnly || a.writeOnly:
			continue
		}
		if _, twice := out[a.name]; twice {
			return nil, refuse(invalidSyntax, "%s is there twice, in different case", at+a.name)
		}
		c, err := convert(a, v, at)
		if err != nil {
			return nil, err
		}
		if c != nil {
			out[a.name] = c
		}
	}
	return out, nil
}

// convert makes the value of an attribute; nil for none, which is null, no text and no
// elements (RFC 7643 section 2.5).
func convert(a attribute, v any, at string) (any, error) {
	if v == nil {
		return nil, nil
	}
	list, isList := v.([]any)
	if !a.multi {
		if isList {
			if len(list) != 1 { // Entra wraps the one value of a PATCH
				return nil, refuse(invalidValue, "%s has one value, not a list", at+a.name)
			}
			v = list[0]
			if m, ok := v.(map[string]any); ok && len(m) == 1 && a.typ != complexType { // and that in a value
				if inner, has := member(m, "value"); has {
					v = inner
				}
			}
		}
		return single(a, v, at)
	}
	if !isList {
		list = []any{v}
	}
	if len(list) > maxValues {
		return nil, refuse(tooMany, "%s has more than %d values", at+a.name, maxValues)
	}
	out := make([]any, 0, len(list))
	primary := false
	for _, e := range list {
		c, err := single(a, e, at)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue
		}
		if o, ok := c.(Object); ok && o["primary"] == true {
			if primary {
				return nil, refuse(invalidValue, "%s has more than one primary value", at+a.name)
			}
			primary = true
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

// single makes one value.
func single(a attribute, v any, at string) (any, error) {
	wrong := func() (any, error) {
		return nil, refuse(invalidValue, "%s is to be of type %s", at+a.name, typeNames[a.typ])
	}
	if v == nil {
		return nil, nil
	}
	switch a.typ {
	case boolean:
		switch x := v.(type) {
		case bool:
			return x, nil
		case string: // Entra sends "True" and "False"
			switch strings.ToLower(x) {
			case "true":
				return true, nil
			case "false":
				return false, nil
			}
		}
		return wrong()
	case complexType:
		m, ok := v.(map[string]any)
		if o, is := v.(Object); is {
			m, ok = o, true
		}
		if !ok {
			s, isText := v.(string)
			if _, has := known(a.sub, "value"); !isText || !has { // Entra sends the manager as a text
				return wrong()
			}
			m = map[string]any{"value": s}
		}
		o, err := object(a.sub, m, at+a.name+".", false)
		if err != nil || len(o) == 0 {
			return nil, err
		}
		return o, nil
	}
	s, ok := v.(string)
	if n, isNumber := v.(json.Number); isNumber && a.typ == text {
		s, ok = n.String(), true
	}
	switch {
	case !ok:
		return wrong()
	case len(s) > maxValue:
		return nil, refuse(invalidValue, "%s is longer than %d bytes", at+a.name, maxValue)
	case strings.ContainsRune(s, 0):
		return nil, refuse(invalidValue, "%s has a zero byte", at+a.name)
	case s == "":
		return nil, nil
	}
	switch a.typ {
	case dateTime:
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			return wrong()
		}
	case binary:
		if _, err := base64.StdEncoding.DecodeString(s); err != nil {
			return wrong()
		}
	}
	return s, nil
}

// clone copies an object in depth.
func clone(v any) any {
	switch x := v.(type) {
	case Object:
		o := make(Object, len(x))
		for k, e := range x {
			o[k] = clone(e)
		}
		return o
	case []any:
		l := make([]any, len(x))
		for i, e := range x {
			l[i] = clone(e)
		}
		return l
	}
	return v
}

// Text is the text of an attribute by its path of names, or empty.
func (o Object) Text(path ...string) string {
	var v any = o
	for _, name := range path {
		m, ok := v.(Object)
		if !ok {
			return ""
		}
		v = m[name]
	}
	s, _ := v.(string)
	return s
}

// Active reports whether a user is active; without a word they are.
func (o Object) Active() bool {
	active, said := o["active"].(bool)
	return active || !said
}

// Manager is the id of the user whom the enterprise extension names, or empty.
func (o Object) Manager() string { return o.Text(enterpriseURN, "manager", "value") }

// Members are the ids of a group's members, sorted, each once.
func (o Object) Members() []string {
	list, _ := o["members"].([]any)
	out := make([]string, 0, len(list))
	for _, e := range list {
		if m, ok := e.(Object); ok && m.Text("value") != "" {
			out = append(out, m.Text("value"))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// marshal is the JSON of an object.
func (o Object) marshal() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(o)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Encode writes attributes as a directory keeps them: JSON.
func Encode(o Object) (string, error) {
	b, err := o.marshal()
	return string(b), err
}

// Decode reads what Encode wrote, of a kind.
func Decode(k Kind, s string) (Object, error) {
	in, err := parseJSON([]byte(s))
	if err != nil {
		return nil, err
	}
	return object(attributesOf[k], in, "", true)
}

// quote shows what somebody sent: in ASCII, not all of it.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most]
	}
	return strconv.QuoteToASCII(s)
}
