package vault

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"

	"stint/internal/access"
)

// maxExport bounds a file that is imported.
const maxExport = 1 << 20

// ReadKV reads one secret from what `vault kv get -format=json` and `bao kv get
// -format=json` print, of version 1 or 2 of the KV engine. field is the name of the
// secret's own; empty: "password". Of several, with commas between, the values follow each
// other on lines of their own: a certificate and its key. The account is that of the field "username" (or
// "user"), where there is one. Whether it can be what opens the account is said by
// Given. No error repeats a value.
func ReadKV(r io.Reader, field string) (account string, secret access.Secret, err error) {
	bad := func(why, next string) (string, access.Secret, error) {
		return "", access.Secret{}, access.Fail(access.Invalid, "bad-export", "the file is not an export of a key-value secret").Because(why).Try(next)
	}
	const how = "make it with: vault kv get -format=json PATH, or bao kv get -format=json PATH"
	text, err := io.ReadAll(io.LimitReader(r, maxExport+1))
	switch {
	case err != nil:
		return bad("it cannot be read", how)
	case len(text) > maxExport:
		return bad("it is larger than 1 MiB", how)
	}
	defer clear(text)
	var export struct {
		Data map[string]json.RawMessage `json:"data"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if d.Decode(&export) != nil || d.More() || export.Data == nil { // the decoder's own words may quote a value
		return bad("it is not one JSON object with the field data", how)
	}
	fields := export.Data
	var inner map[string]json.RawMessage
	_, versioned := fields["metadata"]
	if versioned && json.Unmarshal(fields["data"], &inner) == nil && inner != nil {
		fields = inner
	} else if versioned && string(fields["data"]) == "null" {
		return bad("this version of the secret was deleted", "export a version that is there: vault kv get -version=N -format=json PATH")
	}
	if field == "" {
		field = "password"
	}
	parts := []string{field}
	if _, one := fields[field]; !one {
		parts = strings.Split(field, ",")
	}
	var value []byte
	for i, part := range parts {
		var text string
		if raw, ok := fields[part]; !ok {
			names := slices.Sorted(maps.Keys(fields))
			return bad("it has no field "+part, "name the right one with --field: "+strings.Join(names, ", "))
		} else if json.Unmarshal(raw, &text) != nil {
			return bad("the field "+part+" is not a text", "name the right one with --field")
		}
		if i > 0 && !bytes.HasSuffix(value, []byte("\n")) {
			value = append(value, '\n')
		}
		value = append(value, text...)
	}
	for _, n := range []string{"username", "user"} {
		if account == "" && !slices.Contains(parts, n) {
			_ = json.Unmarshal(fields[n], &account) // one that is no text is none
		}
	}
	return account, access.NewSecret(value), bounded(Key, value)
}
