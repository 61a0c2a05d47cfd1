package passkey

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"stint/internal/access"
)

// The types of client data (WebAuthn Level 3, section 5.8.1).
const (
	typeCreate = "webauthn.create"
	typeGet    = "webauthn.get"
)

// clientData is what the browser says about one ceremony.
type clientData struct {
	kind, challenge, origin, topOrigin string
	crossOrigin                        bool
}

// parseClientData reads the browser's JSON. Members that nobody knows yet may be in it;
// those that count are there once, spelled as they are.
func parseClientData(b []byte) (c clientData, err error) {
	refuse := func(why string) (clientData, error) {
		return clientData{}, bad("bad-client-data", "what the browser says about the signature cannot be read").Because(why)
	}
	switch {
	case len(b) > maxClientData:
		return refuse("it is too long")
	case !utf8.Valid(b):
		return refuse("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return refuse("it is not an object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return refuse("it is not JSON")
		}
		if seen[name] {
			return refuse("it has " + strconv.QuoteToASCII(name) + " twice")
		}
		seen[name] = true
		to := map[string]*string{"type": &c.kind, "challenge": &c.challenge, "origin": &c.origin, "topOrigin": &c.topOrigin}[name]
		switch {
		case to != nil:
			t, err := d.Token()
			text, ok := t.(string)
			if err != nil || !ok {
				return refuse("its " + name + " is not a text")
			}
			*to = text
		case name == "crossOrigin":
			t, err := d.Token()
			if c.crossOrigin, ok = t.(bool); err != nil || !ok {
				return refuse("its crossOrigin is neither true nor false")
			}
		default:
			var other json.RawMessage
			if d.Decode(&other) != nil {
				return refuse("it is not JSON")
			}
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return refuse("it is cut short")
	}
	if _, err := d.Token(); err != io.EOF {
		return refuse("something follows it")
	}
	if seen["topOrigin"] && c.topOrigin == "" {
		return refuse("its topOrigin is empty")
	}
	return c, nil
}

// check compares the client data with what was expected (section 7.2, steps 11 to 14).
func (c clientData) check(kind string, e Expect) error {
	switch {
	case c.kind != kind:
		return bad("wrong-ceremony", "this was made for something else").Because("its type is " + strconv.QuoteToASCII(c.kind) + ", not " + kind)
	case c.challenge != base64.RawURLEncoding.EncodeToString(e.Challenge):
		return bad("wrong-challenge", "the passkey signed something else")
	case c.crossOrigin || c.topOrigin != "":
		return bad("wrong-origin", "the passkey was asked within a page of another site")
	case !originOf(e.Origin, c.origin):
		return bad("wrong-origin", "the passkey was asked by a page of another site").Because("by " + strconv.QuoteToASCII(c.origin) + ", not " + e.Origin)
	}
	return nil
}

// originOf reports whether got is the origin wanted. The person's own client serves its
// page on whatever port is free.
func originOf(want, got string) bool {
	if want != access.ClientOrigin {
		return want != "" && got == want
	}
	port, ok := strings.CutPrefix(got, access.ClientOrigin)
	if !ok || port == "" {
		return ok
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(port, ":"), 10, 16)
	return err == nil && n > 0 && port == ":"+strconv.FormatUint(n, 10)
}
